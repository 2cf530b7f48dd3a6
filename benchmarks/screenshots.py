"""The README's pictures of the interface, taken from a real JupyterLab in a real Chromium: `make pictures`."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.jupyterlab import Notebook, browse, serve

IMAGES = Path(__file__).parent.parent / "docs" / "images"
CELL = "import nbinpaint as nb\n\nstudio = nb.Studio()\nstudio"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, serve(Path(folder)) as server, browse(1500, 2150) as page:
        book = Notebook(server, page, "studio.ipynb", [CELL])
        page.evaluate("() => window.jupyterapp.shell.collapseLeft()")
        book.run()
        page.locator(".nb-live .nb-ink").wait_for()
        book.until("studio.engine is not None", 60)
        book.ask(
            "studio.desk.axes = [{'name': 'scheduler', 'text': studio.desk.axes[0]['text']},"
            " {'name': 'denoise', 'text': '0.3, 0.5, 0.7, 1.0'}]"
        )
        page.locator(".nb-compare").click()
        book.until("studio.job is not None and studio.job.done", 300)
        page.locator(".nb-cell[data-key='11'][data-status='done']").click()
        page.get_by_role("button", name="Before / after").click()
        page.locator(".nb-wipe").fill("62")
        page.get_by_label("Size of the pictures").fill("118")
        page.locator(".nb-facts dd").first.wait_for()
        page.wait_for_function("() => [...document.querySelectorAll('.nb-studio img')].every((i) => i.complete)")
        page.locator(".nb-studio").screenshot(path=IMAGES / "studio.png")
        server.stop_kernels()
    print(f"written to {IMAGES / 'studio.png'}")


if __name__ == "__main__":
    main()
