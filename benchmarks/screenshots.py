"""The documentation's pictures of the interface, taken from a real JupyterLab in a real Chromium: `make pictures`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from benchmarks.jupyterlab import Notebook, Server, browse, serve

IMAGES = Path(__file__).parent.parent / "docs" / "images"
STUDIO = "import nbinpaint as nb\n\nstudio = nb.Studio()\nstudio"
PANEL = """
import nbinpaint as nb
panel = nb.ParameterPanel(nb.Params(prompt="a red apple on the grass", denoise=0.75, soft=True), nb.load_engine())
panel
"""
CANVAS = """
import nbinpaint as nb
scene = nb.sample("meadow")
studio = nb.Studio(scene.image, params=nb.Params(padding=16, differential=True))
studio.canvas.ellipse(62, 40, 112, 90)
studio.canvas.stroke([(60, 96), (88, 104), (116, 96)], 8, strength=0.6)
studio.canvas.stroke([(60, 30), (88, 24), (116, 30)], 6, strength=0.2)
studio
"""


def opened(server: Server, page: Any, name: str, cell: str) -> Notebook:
    book = Notebook(server, page, f"{name}.ipynb", [cell])
    page.evaluate("() => window.jupyterapp.shell.collapseLeft()")
    book.run()
    return book


def studio(server: Server, page: Any) -> None:
    book = opened(server, page, "studio", STUDIO)
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


def panel(server: Server, page: Any) -> None:
    book = opened(server, page, "panel", PANEL)
    book.until("'panel' in globals()", 120)
    made = page.locator(".nb-panel")
    made.get_by_text("starts at sigma").wait_for()
    for heading in made.locator("summary").all():
        heading.click()
    made.screenshot(path=IMAGES / "panel.png")


def canvas(server: Server, page: Any) -> None:
    book = opened(server, page, "canvas", CANVAS)
    book.until("'studio' in globals() and studio.engine is not None", 120)
    page.locator(".nb-crop .nb-light").wait_for()
    page.locator(".nb-canvas").screenshot(path=IMAGES / "canvas.png")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, serve(Path(folder)) as server, browse(1500, 2150) as page:
        for take in (studio, panel, canvas):
            take(server, page)
            server.stop_kernels()
    print(f"written to {IMAGES}")


if __name__ == "__main__":
    main()
