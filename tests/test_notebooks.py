"""The notebooks run from top to bottom, and leave what they promise."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbconvert import HTMLExporter
from PIL import Image

import nbinpaint as nb

NOTEBOOKS = Path(nb.__file__).parent.parent / "notebooks"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_quickstart_runs(tmp_path: Path) -> None:
    notebook = nbformat.read(NOTEBOOKS / "quickstart.ipynb", as_version=4)
    NotebookClient(notebook, timeout=500, resources={"metadata": {"path": str(tmp_path)}}).execute()
    for name in ("schedulers-by-denoise.png", "schedulers-by-steps.png"):
        with Image.open(tmp_path / name) as sheet:
            assert min(sheet.size) > 600
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert any("image/png" in output.get("data", {}) for output in shown)
    assert not any(output.get("output_type") == "error" for output in shown)
    # Canvas, grid and Studio are pictures in the exported page.
    page, _ = HTMLExporter().from_notebook_node(notebook)
    assert page.count('<div class="nb-still"><figure') == 3
    assert "Error displaying widget" not in page
