"""The Studio and the grid in a real JupyterLab: paint, set, compare, look closely, and come back later."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from benchmarks.jupyterlab import Notebook

pytestmark = [pytest.mark.browser, pytest.mark.slow]

STUDIO = """
import nbinpaint as nb
studio = nb.Studio(engine={engine})
studio
"""
EMBEDDED = STUDIO.format(engine='"embedded"')
SLOW = STUDIO.format(engine="nb.FakeEngine(native_size=(128, 128), seconds_per_step=0.05)")
QUICK = STUDIO.format(engine="nb.FakeEngine(native_size=(128, 128))")
GRID = """
import nbinpaint as nb
scene = nb.sample("meadow")
sweep = nb.Sweep(scene.image, scene.mask, nb.Params(prompt="a red apple"), {axes})
engine = nb.FakeEngine(
    native_size=(64, 64),
    fail=lambda c: "the sampler stumbled over its own feet" if c.index == 1 else None,
    flag=lambda c: c.index == 2,
)
study = nb.run(sweep, engine=engine, progress=False)
grid = nb.ComparisonGrid(study)
grid
"""


def cell(book: Notebook, key: int) -> Any:
    return book.page.locator(f".nb-cell[data-key='{key}']")


def state(book: Notebook, key: int, status: str) -> Any:
    found = book.page.locator(f".nb-cell[data-key='{key}'][data-status='{status}']")
    found.wait_for()
    return found


def test_from_paint_to_picture_on_the_embedded_model(notebook: Callable[..., Notebook], shots: Any) -> None:
    book = notebook(EMBEDDED)
    page = book.page
    ink = page.locator(".nb-live .nb-ink")
    ink.wait_for()
    page.locator(".nb-studio .nb-tools").get_by_label("Clear the mask").click()
    box = ink.bounding_box()
    page.mouse.move(box["x"] + 0.4 * box["width"], box["y"] + 0.5 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.7 * box["width"], box["y"] + 0.6 * box["height"], steps=10)
    page.mouse.up()
    book.until("0 < studio.canvas.mask_share < 0.2")
    prompt = page.locator(".nb-panel").get_by_label("Prompt", exact=True)
    prompt.fill("a blue ball")
    steps = page.locator(".nb-panel").get_by_label("Steps", exact=True)
    steps.last.fill("4")
    steps.last.press("Enter")
    book.until("studio.params.prompt == 'a blue ball' and studio.params.steps == 4")
    axis = page.get_by_label("Values of denoise")
    axis.fill("0.5, 1.0")
    axis.press("Tab")
    page.get_by_text("12 grid cells").wait_for()
    book.ask("studio.desk.axes = [*studio.desk.axes[:1], {'name': 'denoise', 'text': '0.6, 1.0'}]")  # from Python
    page.wait_for_function("() => document.querySelector('[aria-label=\"Values of denoise\"]').value == '0.6, 1.0'")
    book.until("studio.engine is not None", 60)
    page.locator(".nb-compare").click()
    page.locator(".nb-cell[data-status='done'] img").first.wait_for(timeout=60_000)
    book.until("studio.job.done", 120)
    last = state(book, 11, "done")
    assert last.locator("img").evaluate("i => i.decode().then(() => i.naturalWidth)") >= 100
    page.screenshot(path=shots / "studio-done.png")
    # Look at one closely.
    last.click()
    inspector = page.locator(".nb-inspector")
    inspector.get_by_text("KLMS").wait_for()
    inspector.get_by_role("button", name="Before / after").click()
    inspector.get_by_label("Where the wipe stands").fill("20")
    inspector.get_by_role("button", name="Difference").click()
    inspector.locator("canvas[data-ready]").wait_for()
    # Use its settings.
    inspector.locator(".nb-use").click()
    book.until("studio.params.scheduler == 'KLMS'")
    page.locator(".nb-panel").get_by_text("linear multistep").wait_for()
    # Go on from it, with one picture.
    page.locator(".nb-continue").click()
    book.until("studio.canvas.image.tobytes() == studio.studies[0][11].full.tobytes()")
    page.locator(".nb-inpaint").click()
    book.until("len(studio.studies) == 2 and studio.job.done", 60)
    book.until("studio.grid.selected == 0")


def test_cancel_keeps_what_is_done_and_the_kernel_stays_free(notebook: Callable[..., Notebook]) -> None:
    book = notebook(SLOW)
    page = book.page
    page.locator(".nb-live .nb-ink").wait_for()
    page.locator(".nb-compare").click()
    state(book, 0, "running")
    page.locator(".nb-progress").get_by_text("left").wait_for()
    assert book.ask("print(6 * 7)") == "42"  # other cells run meanwhile
    state(book, 0, "done")
    page.locator(".nb-cancel").click()
    page.get_by_text("Cancelled:").wait_for()
    assert page.locator(".nb-cell[data-status='running']").count() == 0
    assert page.locator(".nb-cell[data-status='done']").count() >= 1


def test_it_is_whole_and_alive_after_a_reload_and_static_without_a_kernel(
    notebook: Callable[..., Notebook], shots: Any
) -> None:
    book = notebook(QUICK)
    page = book.page
    page.locator(".nb-live .nb-ink").wait_for()
    page.locator(".nb-compare").click()
    book.until("studio.job is not None and studio.job.done")
    state(book, 23, "done")
    page.wait_for_function("() => document.querySelectorAll('.nb-still img').length == 2")
    book.save()
    book.open()
    page.locator(".nb-live .nb-ink").wait_for()
    state(book, 0, "done").locator("img").wait_for()
    assert page.locator(".nb-panel").get_by_label("Prompt", exact=True).input_value()
    page.locator(".nb-inpaint").click()
    book.until("len(studio.studies) == 2 and studio.job.done")
    page.wait_for_function("() => document.querySelectorAll('.nb-cell').length == 1")
    outputs = json.loads(book.path.read_text())["cells"][0]["outputs"]
    assert any("data:image/jpeg" in "".join(o["data"].get("text/html", "")) for o in outputs)
    assert book.path.stat().st_size < 1_000_000
    page.evaluate("() => window.jupyterapp.commands.execute('kernelmenu:shutdown')")
    book.open()
    page.locator(".nb-still img").last.wait_for()
    page.get_by_text("Error displaying widget").wait_for(state="attached")
    assert "Error displaying widget" not in page.locator(".jp-Notebook").inner_text()
    page.screenshot(path=shots / "studio-without-kernel.png")


def test_flags_are_axes_images_are_a_strip_and_the_crop_follows(notebook: Callable[..., Notebook]) -> None:
    book = notebook(QUICK)
    page = book.page
    page.locator(".nb-live .nb-ink").wait_for()
    page.get_by_label("Axis 2").select_option("mask_invert")
    page.locator(".nb-axis", has_text="columns").locator("summary").click()
    ticks = page.locator(".nb-ticks:visible")
    ticks.get_by_text("off", exact=True).click()
    ticks.get_by_text("on", exact=True).click()
    page.get_by_text("12 grid cells").wait_for()
    assert page.get_by_label("Axis 2").locator("optgroup").first.get_attribute("label") == "Mask and content"
    page.locator(".nb-compare").click()
    book.until("studio.job is not None and studio.job.done")
    assert book.ask("print(studio.studies[0].axes['mask_invert'])") == "(False, True)"
    images = page.get_by_label("images", exact=True)
    images.fill("3")
    images.press("Tab")
    page.get_by_text("3 pictures").wait_for()
    page.locator(".nb-inpaint").click()
    book.until("len(studio.studies) == 2 and studio.job.done")
    page.wait_for_function("() => document.querySelectorAll('.nb-cell[data-status=done]').length == 3")
    assert {cell(book, key).get_attribute("data-row") for key in range(3)} == {"0"}
    # The only-masked window: shown while one paints, and in the inspector.
    frame = page.locator(".nb-crop .nb-light")
    assert not frame.is_visible()
    panel = page.locator(".nb-panel")
    panel.locator("summary", has_text="Size and resize").click()
    panel.get_by_label("Only masked, padding: on").check()
    frame.wait_for()
    page.locator(".nb-remark").get_by_text("Worked on:").wait_for()
    book.ask("studio.canvas.clear(); studio.canvas.rectangle(10, 10, 20, 20)")
    small = json.loads(book.ask("print(studio.canvas.crop)"))
    page.wait_for_function("() => document.querySelector('.nb-remark').textContent.includes(' px')")
    ink = page.locator(".nb-ink")
    ink.scroll_into_view_if_needed()
    box = ink.bounding_box()
    page.mouse.move(box["x"] + 0.7 * box["width"], box["y"] + 0.7 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.9 * box["width"], box["y"] + 0.9 * box["height"], steps=4)
    page.mouse.up()
    book.until(f"studio.canvas.crop[2] - studio.canvas.crop[0] > {small[2] - small[0]}")
    width = int(book.ask("print(studio.canvas.crop[2] - studio.canvas.crop[0])"))
    side = int(book.ask("print(studio.canvas.image.width)"))
    page.wait_for_function(
        "w => Math.abs(document.querySelector('.nb-crop .nb-light').getAttribute('width') - w) < 1",
        arg=width * box["width"] / side,
    )
    cell(book, 0).click()
    inspector = page.locator(".nb-inspector")
    inspector.get_by_role("button", name="Crop").click()
    inspector.get_by_alt_text("what the model saw").wait_for()
    inspector.get_by_alt_text("what it made").wait_for()


def test_the_grid_explains_failures_and_answers_to_keys(notebook: Callable[..., Notebook]) -> None:
    book = notebook(GRID.format(axes="scheduler=nb.SCHEDULERS, denoise=[0.4, 0.7, 1.0], seed=[1, 2]"))
    page = book.page
    state(book, 0, "done")
    page.get_by_label("Seed", exact=True).select_option(label="2")
    state(book, 1, "failed").get_by_text("the sampler stumbled").wait_for()
    page.get_by_label("Seed", exact=True).select_option(label="1")
    state(book, 2, "withheld").get_by_text("withheld by the safety checker").wait_for()
    page.get_by_text("1 failed, 1 withheld by the safety checker").wait_for()
    view = page.locator(".nb-grid")
    view.focus()
    for key in ("ArrowRight", "ArrowDown", "ArrowRight", "Enter"):
        page.keyboard.press(key)
    book.until("grid.selected == 8")
    page.keyboard.press("4")
    book.until("study.ratings == {8: 4}")
    page.keyboard.press("a")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("b")
    page.locator(".nb-inspector").get_by_role("button", name="A / B", pressed=True).wait_for()
    page.keyboard.press("Escape")
    page.locator(".nb-inspector").wait_for(state="hidden")
    assert page.locator(".jp-Cell").count() == 1


def test_two_hundred_cells_are_drawn_as_they_come_into_view(notebook: Callable[..., Notebook]) -> None:
    book = notebook(GRID.format(axes="seed=range(20), denoise='0.1-1.0 [10]'"))
    page = book.page
    state(book, 0, "done").locator("img").wait_for()
    assert page.locator(".nb-cell").count() < 120
    page.locator(".nb-grid").evaluate("g => g.scrollTo(0, g.scrollHeight)")
    state(book, 199 - 5, "done").locator("img").wait_for()
    assert cell(book, 0).count() == 0
    # Headers stay in view.
    top = page.locator(".nb-grid").bounding_box()["y"]
    assert page.locator(".nb-across .nb-head").first.bounding_box()["y"] == pytest.approx(top, abs=3)


WORDS = "a small red apple with a green leaf on a wooden table in the evening light of a late summer day"


@pytest.mark.parametrize(
    "axes",
    [
        f"prompt=['an apple', '{WORDS}'], negative_prompt=['', '{WORDS}', 'x{'y' * 60}']",
        "seed=[1, 2], conditioning_mask_strength=[0.5, 1]",
    ],
)
def test_headers_long_and_short_are_not_clipped(notebook: Callable[..., Notebook], axes: str) -> None:
    book = notebook(GRID.format(axes=axes))
    state(book, 0, "done")
    clipped = book.page.evaluate(
        "() => [...document.querySelectorAll('.nb-head, .nb-corner')].map((e) => [e, e.outerHTML])"
        ".filter(([e]) => e.scrollWidth > e.clientWidth + 1 || e.scrollHeight > e.clientHeight + 1).map((e) => e[1])"
    )
    assert clipped == []


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
@pytest.mark.parametrize("width", [1000, 1600])
def test_nothing_is_clipped(notebook: Callable[..., Notebook], shots: Any, theme: str, width: int) -> None:
    book = notebook(QUICK)
    page = book.page
    page.set_viewport_size({"width": width, "height": 1700})
    page.evaluate("() => window.jupyterapp.shell.collapseLeft()")
    book.theme(theme)
    page.locator(".nb-live .nb-ink").wait_for()
    page.locator(".nb-compare").click()
    state(book, 5, "done").click()
    page.locator(".nb-facts dd").first.wait_for()
    for i in range(page.locator(".nb-panel summary").count()):
        page.locator(".nb-panel summary").nth(i).click()
    page.screenshot(path=shots / f"studio-{width}-{theme.split()[1].lower()}.png")
    clipped = page.evaluate(
        """() => [...document.querySelectorAll('.nb-studio :is(button, label, select, .nb-head, .nb-badge)')]
          .filter((e) => e.offsetParent && !e.closest('.nb-grid') && (e.scrollWidth > e.clientWidth + 1
            || e.getBoundingClientRect().right > e.closest('.nb-studio').getBoundingClientRect().right + 1))
          .map((e) => e.outerHTML)"""
    )
    assert clipped == []
