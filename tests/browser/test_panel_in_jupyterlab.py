"""The parameter panel in a real JupyterLab: what edits in the page become, and how it looks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from benchmarks.jupyterlab import Notebook

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CELL = """
import nbinpaint as nb
from nbinpaint.widgets.panel import ParameterPanel
panel = ParameterPanel(nb.Params(prompt="a red apple on the grass", denoise=0.6, seed=42), nb.FakeEngine())
seen = []
panel.observe(lambda change: seen.append(change.new), "params")
panel
"""


def opened(book: Notebook) -> Any:
    panel = book.page.locator(".nb-panel")
    panel.wait_for()
    return panel


def unfold(panel: Any) -> None:
    for heading in ("Mask and content", "Size and resize", "Soft inpainting", "Sampling"):
        panel.locator("summary", has_text=heading).click()


def row(panel: Any, name: str) -> Any:
    return panel.locator(f'.nb-row[data-name="{name}"]')


def test_edits_become_the_recipe_and_the_recipe_shows(notebook: Callable[..., Notebook]) -> None:
    book = notebook(CELL)
    panel, page = opened(book), book.page
    cells = page.locator(".jp-Cell").count()
    panel.get_by_label("Prompt", exact=True).fill("a barn")
    book.until("panel.params.prompt == 'a barn'")
    panel.get_by_label("Scheduler", exact=True).select_option("DDIM")
    row(panel, "scheduler").get_by_text("deterministic classic").wait_for()
    steps = panel.get_by_label("Steps, as a number")
    steps.fill("300")
    assert panel.get_by_label("Steps", exact=True).input_value() == "100"  # the slider ends before the number does
    row(panel, "denoise").get_by_text("180 of 300 steps, starts at sigma").wait_for()
    steps.fill("900")
    steps.press("Enter")
    row(panel, "steps").get_by_text("steps=900 is out of bounds").wait_for()
    steps.fill("20")
    steps.press("Enter")
    panel.locator(".nb-wrong").wait_for(state="detached")
    panel.get_by_label("Steps", exact=True).focus()
    for key in ("ArrowRight", "d", "d", "a"):  # JupyterLab does not hear them
        page.keyboard.press(key)
    book.until("panel.params.steps == 21")
    panel.get_by_role("button", name="Another seed").click()
    book.until("panel.params.seed != 42")
    panel.get_by_role("button", name="Keep the seed").click()
    book.until("not panel.seed_locked")
    unfold(panel)
    panel.get_by_label("model's own").uncheck()
    panel.get_by_label("Size, width").fill("128")
    book.until("panel.params.size == (128, 64)")
    panel.get_by_label("model's own").check()
    book.until("panel.params.size is None")
    panel.get_by_label("Preset").select_option("Retouch")
    assert panel.get_by_label("Denoise", exact=True).input_value() == "0.4"  # at once
    book.until("panel.preset == 'Retouch'")
    book.ask("panel.params = nb.Params(prompt='from Python', seed=5)")
    page.wait_for_function("() => document.querySelector('.nb-panel textarea').value == 'from Python'")
    assert panel.get_by_label("Seed", exact=True).input_value() == "5"
    assert panel.get_by_label("Preset").input_value() == ""
    assert page.locator(".jp-Cell").count() == cells
    book.ask("from dataclasses import asdict; from nbinpaint.metadata import png_bytes; from PIL import Image")
    book.ask("open('r.png', 'wb').write(png_bytes(Image.new('RGB', (8, 8)), nb.Params(prompt='dropped'), {}))")
    panel.locator(".nb-file").set_input_files(book.server.notebooks / "r.png")
    book.until("panel.params.prompt == 'dropped'")
    panel.locator(".nb-file").set_input_files({"name": "x.png", "mimeType": "image/png", "buffer": b"no picture"})
    panel.locator(".nb-says").get_by_text("cannot be read").wait_for()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    panel.get_by_role("button", name="Copy as code").click()
    panel.get_by_role("button", name="Copied").wait_for()
    assert page.evaluate("() => navigator.clipboard.readText()") == 'nb.Params(prompt="dropped")'


def test_a_drag_shows_at_once_and_does_not_flood_the_kernel(notebook: Callable[..., Notebook]) -> None:
    book = notebook(CELL)
    panel, page = opened(book), book.page
    slider = panel.get_by_label("Denoise", exact=True)
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    book.ask("seen.clear()")
    moves = 100
    page.mouse.move(box["x"] + 10, box["y"] + box["height"] / 2)
    page.mouse.down()
    started = page.evaluate("() => performance.now()")
    for i in range(moves):
        page.mouse.move(box["x"] + 10 + i * (box["width"] - 20) / moves, box["y"] + box["height"] / 2)
    shown = panel.get_by_label("Denoise, as a number").input_value()
    assert shown == slider.input_value()
    page.mouse.up()
    seconds = (page.evaluate("() => performance.now()") - started) / 1000
    book.until(f"panel.params.denoise == {shown}")
    assert int(book.ask("print(len(seen))")) <= 10 * seconds + 3
    assert slider.input_value() == shown


def test_flags_and_settings_are_ticked(notebook: Callable[..., Notebook]) -> None:
    book = notebook(CELL)
    panel = opened(book)
    panel.locator("summary", has_text="Sampling").click()
    row(panel, "eta").get_by_text("no effect: DPMSolverMultistep takes none").wait_for()
    panel.get_by_label("Scheduler", exact=True).select_option("DDIM")
    row(panel, "eta").locator(".nb-note", has_text="no effect").wait_for(state="detached")
    panel.locator("summary", has_text="Mask and content").click()
    panel.get_by_label("Mask invert", exact=True).check()
    book.until("panel.params.mask_invert is True")
    panel.locator("summary", has_text="Soft inpainting").click()
    preservation = panel.get_by_label("Preservation strength, as a number")
    assert preservation.is_disabled()
    panel.get_by_label("Soft inpainting", exact=True).check()
    assert preservation.is_enabled()  # at once
    book.until("panel.params.soft == nb.SoftInpainting()")
    preservation.fill("0.8")
    preservation.press("Enter")
    book.until("panel.params.soft == nb.SoftInpainting(preservation=0.8)")
    panel.get_by_label("Soft inpainting", exact=True).uncheck()
    book.until("panel.params.soft is None")
    assert preservation.is_disabled()
    assert preservation.input_value() == "0.8"
    panel.locator("summary", has_text="Mask and content").click()
    panel.locator("summary", has_text="Mask and content").get_by_text("1 changed").wait_for()


def test_a_new_parameter_appears_by_itself_in_its_group(notebook: Callable[..., Notebook]) -> None:
    book = notebook(CELL)
    panel = opened(book)
    book.ask(
        "panel.specs = [*panel.specs, {**panel.specs[4], 'name': 'novelty', 'label': 'Novelty', 'group': 'Novel'},"
        " {**panel.specs[4], 'name': 'depth', 'label': 'Depth', 'group': 'Sampling'}]"
    )
    panel.locator("summary", has_text="Novel").click()
    panel.locator("details", has_text="Novel").get_by_label("Novelty", exact=True).wait_for()
    assert panel.locator("summary").all_inner_texts()[-1] == "Novel"
    panel.locator("summary", has_text="Sampling").click()
    panel.get_by_label("Depth, as a number").fill("0.5")
    panel.get_by_label("Depth, as a number").press("Enter")
    row(panel, "depth").get_by_text("no parameter").wait_for()  # Params has the last word


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
@pytest.mark.parametrize("width", [320, 480])
def test_nothing_is_clipped(notebook: Callable[..., Notebook], shots: Any, theme: str, width: int) -> None:
    book = notebook(CELL.replace("nb.FakeEngine())", f"nb.FakeEngine(), layout={{'width': '{width}px'}})"))
    book.theme(theme)
    panel = opened(book)
    unfold(panel)
    panel.locator("summary", has_text="Mask and content").focus()
    panel.screenshot(path=shots / f"panel-{width}-{theme.split()[1].lower()}.png")
    clipped = panel.evaluate(
        """(panel) => [...panel.querySelectorAll('label, input, select, textarea, button, summary, .nb-note')]
          .filter((e) => e.offsetParent
            && (e.scrollWidth > e.clientWidth + 1 && !['INPUT', 'SELECT'].includes(e.tagName)
            || e.getBoundingClientRect().right > panel.getBoundingClientRect().right))
          .map((e) => e.outerHTML)"""
    )
    assert clipped == []
