"""The quickstart notebook, executed without a browser: `make demo`.

Leaves the executed notebook as an HTML page and the contact sheets in `demo/`, and prints time and peak memory.
"""

from __future__ import annotations

import resource
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbconvert import HTMLExporter

ROOT = Path(__file__).parent.parent
NOTEBOOK = ROOT / "notebooks" / "quickstart.ipynb"


def main() -> None:
    target = ROOT / "demo"
    target.mkdir(exist_ok=True)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    started = time.perf_counter()
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(target)}}).execute()
    seconds = time.perf_counter() - started
    page, _ = HTMLExporter().from_notebook_node(notebook)
    (target / "quickstart.html").write_text(page, "utf-8")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"executed in {seconds:.1f} s, peak memory of the kernel {peak:.0f} MB; see")
    for file in sorted(target.iterdir()):
        print(f"  demo/{file.name}")


if __name__ == "__main__":
    main()
