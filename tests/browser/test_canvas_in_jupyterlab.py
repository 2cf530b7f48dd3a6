"""The mask canvas in a real JupyterLab: what the pointer and the keys do, and what survives."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks.jupyterlab import Notebook

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CELL = """
import json, numpy as np, nbinpaint as nb
from nbinpaint.strokes import acts_from_json, draw
rng = np.random.default_rng(0)
photo = rng.integers(0, 255, (8, 12, 3), dtype=np.uint8).repeat(50, 0).repeat(50, 1)
canvas = nb.MaskCanvas(photo, radius=20)
canvas
"""
LIVE = ".nb-live .nb-ink"
# The kernel's mask is what its recorded strokes draw.
REPLAYED = "np.array_equal(draw(acts_from_json(canvas.strokes), canvas.image), canvas.mask)"


class Pointer:
    """Draws on the ink layer in image pixels."""

    def __init__(self, notebook: Notebook, index: int = 0) -> None:
        self.notebook, self.page = notebook, notebook.page
        self.ink = self.page.locator(LIVE).nth(index)
        self.ink.wait_for()
        self.ink.scroll_into_view_if_needed()

    def at(self, x: float, y: float) -> tuple[float, float]:
        box = self.ink.bounding_box()
        return box["x"] + x * box["width"] / 600, box["y"] + y * box["height"] / 400

    def draw(self, *points: tuple[float, float], steps: int = 6) -> None:
        self.ink.scroll_into_view_if_needed()
        last = self.ink.get_attribute("data-acknowledged")
        self.page.mouse.move(*self.at(*points[0]))
        self.page.mouse.down()
        for point in points[1:]:
            self.page.mouse.move(*self.at(*point), steps=steps)
        self.page.mouse.up()
        self.page.wait_for_function(
            "([ink, last]) => ink.dataset.acknowledged && ink.dataset.acknowledged != last",
            arg=[self.ink.element_handle(), last],
        )

    def click(self, x: float, y: float) -> None:
        self.page.mouse.click(*self.at(x, y))

    def tool(self, label: str) -> None:
        self.ink.locator("xpath=..").get_by_role("button", name=label, exact=True).click()

    def painted(self, x: float, y: float) -> bool:
        """Whether the page shows the mask at this place."""
        return self.shown(x, y) > 0

    def shown(self, x: float, y: float) -> int:
        """How opaque the page shows the mask at this place, 0 to 255."""
        return self.page.evaluate(
            """([ink, x, y]) => {
              const c = ink.closest('.nb-canvas').querySelector('.nb-overlay');
              return c.getContext('2d').getImageData(x * c.width / 600, y * c.height / 400, 1, 1).data[3] }""",
            [self.ink.element_handle(), x, y],
        )

    def share(self) -> float:
        return float(self.notebook.ask("print(canvas.mask_share)"))


def test_every_tool_paints_what_it_shows(notebook: Callable[..., Notebook]) -> None:
    book = notebook(CELL)
    pointer = Pointer(book)
    pointer.draw((60, 60), (200, 80))
    assert pointer.painted(130, 70)
    assert not pointer.painted(130, 130)
    pointer.tool("Eraser")
    pointer.draw((130, 40), (130, 110))
    assert not pointer.painted(130, 70)
    pointer.tool("Line")
    pointer.draw((60, 200), (90, 350), (200, 200))
    assert pointer.painted(130, 200)
    assert not pointer.painted(90, 340)
    pointer.tool("Rectangle")
    pointer.draw((300, 50), (420, 150))
    assert pointer.painted(310, 145)
    pointer.tool("Ellipse")
    pointer.draw((450, 50), (580, 150))
    assert pointer.painted(515, 100)
    assert not pointer.painted(455, 55)
    pointer.tool("Lasso")
    pointer.draw((300, 200), (420, 200), (300, 380))
    assert pointer.painted(320, 220)
    assert not pointer.painted(410, 370)
    book.page.keyboard.press("x")  # clear
    pointer.tool("Rectangle")
    pointer.draw((100, 100), (300, 300))
    book.page.keyboard.down("Alt")
    pointer.draw((120, 120), (280, 280))
    book.page.keyboard.up("Alt")
    assert not pointer.painted(200, 200)
    pointer.tool("Bucket: fill what a stroke encloses")
    pointer.click(200, 200)
    book.page.wait_for_function("() => document.querySelector('.nb-badge').textContent == 'mask 17 %'")
    assert pointer.painted(200, 200)
    book.page.keyboard.press("x")
    pointer.tool("Wand: like colours")
    pointer.click(475, 325)
    book.page.wait_for_function("() => document.querySelector('.nb-badge').textContent == 'mask 1.0 %'")
    assert pointer.painted(475, 325)
    book.until(REPLAYED)


def test_grey_is_painted_at_the_strength_that_is_set(notebook: Callable[..., Notebook]) -> None:
    book = notebook(CELL)
    pointer, page = Pointer(book), book.page
    pointer.draw((60, 60), (300, 60))
    page.get_by_label("Strength", exact=True).fill("0.4")
    pointer.draw((180, 30), (180, 200))
    assert 0 < pointer.shown(180, 60) < pointer.shown(100, 60) == 255  # it takes the place of what was there
    assert pointer.shown(180, 150) == pointer.shown(180, 60)
    book.until("(canvas.mask[60, 100], canvas.mask[60, 180], canvas.mask[150, 180]) == (255, 102, 102)")
    page.locator(".nb-remark").get_by_text("Strength 40 to 100 %").wait_for()
    pointer.ink.focus()
    for _ in range(3):
        page.keyboard.press(",")
    book.until("round(canvas.strength, 3) == 0.1")
    page.keyboard.press(",")
    book.until("round(canvas.strength, 3) == 0.01")
    page.keyboard.press(".")
    book.until("round(canvas.strength, 3) == 0.1")
    pointer.tool("Eraser")
    assert page.get_by_label("Strength", exact=True).is_disabled()
    pointer.draw((180, 150))
    assert pointer.shown(180, 150) == 0
    book.until(REPLAYED)
    page.keyboard.press("Control+z")
    page.keyboard.press("Control+z")
    page.wait_for_function("() => document.querySelector('.nb-remark').textContent == ''")
    assert pointer.shown(180, 60) == 255


def test_ink_looks_as_the_kernel_will_draw_it(notebook: Callable[..., Notebook]) -> None:
    """What is on the screen at a place: while a weaker stroke is made over a stronger one, and when it is committed."""
    book = notebook(CELL.replace("radius=20", "radius=20, strength=0.3, mask=np.full((400, 600), 255, np.uint8)"))
    pointer, page = Pointer(book), book.page
    ask = "([ink]) => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
    page.mouse.move(*pointer.at(150, 100))
    page.mouse.down()
    page.mouse.move(*pointer.at(450, 100), steps=5)
    page.evaluate(ask, [pointer.ink.element_handle()])
    x, y = pointer.at(275, 100)
    spot = {"x": x, "y": y, "width": 2, "height": 2}
    drawn = colour(page.screenshot(clip=spot))
    page.mouse.up()
    page.wait_for_function("() => document.querySelector('.nb-ink').dataset.acknowledged")
    page.evaluate(ask, [pointer.ink.element_handle()])
    page.wait_for_function(
        "([ink]) => !ink.getContext('2d').getImageData(ink.width * 275 / 600, ink.height / 4, 1, 1).data[3]",
        arg=[pointer.ink.element_handle()],
    )
    assert colour(page.screenshot(clip=spot)) == pytest.approx(drawn, abs=4)
    book.until("canvas.mask[100, 275] == 76")


def colour(png: bytes) -> list[float]:
    """The mean R, G and B of a screenshot."""
    return [float(v) for v in np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).mean((0, 1))]


def test_the_crop_is_framed_and_moves_with_the_picture(notebook: Callable[..., Notebook]) -> None:
    book = notebook(CELL)
    pointer, page = Pointer(book), book.page
    frame = page.locator(".nb-crop .nb-light")
    assert not frame.is_visible()
    book.ask("canvas.crop = [60, 40, 360, 240]")
    frame.wait_for()
    fit = pointer.ink.bounding_box()["width"] / 600

    def box() -> list[float]:
        return [float(frame.get_attribute(name)) for name in ("x", "y", "width", "height")]

    assert box() == pytest.approx([60 * fit, 40 * fit, 300 * fit, 200 * fit])
    pointer.draw((100, 100), (200, 100))  # it is not in the way of the pointer
    assert pointer.painted(150, 100)
    pointer.ink.focus()
    page.keyboard.press("+")
    page.wait_for_function("() => document.querySelector('.nb-canvas').style.getPropertyValue('--nb-zoom') > 1")
    assert box()[2] == pytest.approx(300 * fit * 1.2)
    book.ask("canvas.crop = []")
    frame.wait_for(state="hidden")


def test_a_burst_of_moves_loses_no_point(notebook: Callable[..., Notebook]) -> None:
    book = notebook(CELL)
    pointer = Pointer(book)
    session = book.page.context.new_cdp_session(book.page)
    moves = [(100 + i, 200 + 80 * ((i // 10) % 2)) for i in range(200)]
    pointer.page.mouse.move(*pointer.at(100, 200))
    pointer.page.mouse.down()
    for x, y in moves:  # without waiting for the page, as a fast hand does
        px, py = pointer.at(x, y)
        session.send(
            "Input.dispatchMouseEvent", {"type": "mouseMoved", "x": px, "y": py, "button": "left", "buttons": 1}
        )
    pointer.page.mouse.up()
    book.page.wait_for_function("() => document.querySelector('.nb-ink').dataset.acknowledged")
    points = json.loads(book.ask("print(json.dumps(canvas.strokes[0]['points']))"))
    wanted = {(round(x), round(y)) for x, y in moves}
    assert wanted <= {(round(x), round(y)) for x, y in points}
    book.until(REPLAYED)


def test_keys_work_and_jupyterlab_does_not_hear_them(notebook: Callable[..., Notebook]) -> None:
    book = notebook(CELL)
    pointer, keys = Pointer(book), book.page.keyboard
    cells = book.page.locator(".jp-Cell").count()
    pointer.draw((100, 100), (300, 100))
    one = pointer.share()
    for key, tool in (("e", "eraser"), ("r", "rectangle"), ("o", "ellipse"), ("l", "line"), ("Shift+L", "lasso"),
                      ("w", "wand"), ("f", "fill"), ("b", "brush")):  # fmt: skip
        keys.press(key)
        book.until(f"canvas.tool == {tool!r}")
    keys.press("]")
    book.until("round(canvas.radius, 3) == 23")
    keys.press("[")
    book.until("canvas.radius < 23")
    for key, share in (
        ("Control+z", 0), ("Control+Shift+Z", one), ("i", 1 - one), ("x", 0), ("Shift+F", 1), ("Control+z", 0)
    ):  # fmt: skip
        keys.press(key)
        book.until(f"abs(canvas.mask_share - {share}) < 1e-9")
    keys.press("?")
    book.page.locator(".nb-help").wait_for(state="visible")
    keys.press("Escape")
    book.page.locator(".nb-help").wait_for(state="hidden")
    keys.down("h")
    book.page.wait_for_selector(".nb-canvas.nb-hidden")
    keys.up("h")
    book.page.wait_for_selector(".nb-canvas:not(.nb-hidden)")
    assert book.page.locator(".jp-Cell").count() == cells
    keys.press("Tab")  # no trap
    assert not pointer.ink.evaluate("ink => ink == document.activeElement")


def test_zoom_and_pan_keep_strokes_exact(notebook: Callable[..., Notebook]) -> None:
    book = notebook(CELL)
    pointer, page = Pointer(book), book.page
    page.mouse.move(*pointer.at(300, 200))
    page.keyboard.down("Control")
    page.mouse.wheel(0, -100)
    page.mouse.wheel(0, -100)
    page.keyboard.up("Control")
    pointer.ink.focus()
    page.keyboard.down(" ")
    page.mouse.down()
    page.mouse.move(*pointer.at(330, 180), steps=3)
    page.mouse.up()
    page.keyboard.up(" ")
    assert pointer.share() == 0  # moving the picture paints nothing
    zoom, x, y = page.evaluate(
        "() => { const s = document.querySelector('.nb-canvas').style;"
        "return ['--nb-zoom', '--nb-x', '--nb-y'].map((n) => parseFloat(s.getPropertyValue(n))) }"
    )
    assert zoom == pytest.approx(1.44)
    pointer.draw((250, 150), (400, 260))
    width = pointer.ink.bounding_box()["width"]
    fit = width / 600
    first = json.loads(book.ask("print(json.dumps(canvas.strokes[0]['points'][0]))"))
    assert first == pytest.approx([(250 * fit - x) / fit / zoom, (150 * fit - y) / fit / zoom], abs=0.6)
    book.until(REPLAYED)
    page.keyboard.press("0")
    page.wait_for_function("() => document.querySelector('.nb-canvas').style.getPropertyValue('--nb-zoom') == 1")


def test_a_plain_wheel_scrolls_the_page(notebook: Callable[..., Notebook]) -> None:
    book = notebook(CELL, *["print('\\n' * 40)"] * 3)
    pointer = Pointer(book)
    before = pointer.ink.bounding_box()["y"]
    book.page.mouse.move(*pointer.at(300, 200))
    book.page.mouse.wheel(0, 200)
    book.page.wait_for_function(
        "([ink, y]) => ink.getBoundingClientRect().y < y - 50", arg=[pointer.ink.element_handle(), before]
    )


def test_touch_paints(notebook: Callable[..., Notebook]) -> None:
    book = notebook(CELL)
    pointer = Pointer(book)
    session = book.page.context.new_cdp_session(book.page)

    def touch(kind: str, *points: tuple[float, float]) -> None:
        places = [dict(zip("xy", pointer.at(*point), strict=True)) for point in points]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": places})

    touch("touchStart", (100, 100))
    for x in range(110, 260, 10):
        touch("touchMove", (x, 100))
    touch("touchEnd")
    book.page.wait_for_function("() => document.querySelector('.nb-ink').dataset.acknowledged")
    assert pointer.painted(180, 100)
    book.until(REPLAYED)


def test_local_ink_shows_while_the_kernel_is_busy(notebook: Callable[..., Notebook]) -> None:
    book = notebook(CELL, "import os, time\nwhile not os.path.exists('go'): time.sleep(0.05)\nos.remove('go')")
    pointer = Pointer(book)
    book.page.wait_for_function("() => document.querySelectorAll('.jp-InputPrompt')[1]?.textContent == '[*]:'")
    box = pointer.ink.bounding_box()
    book.page.mouse.move(*pointer.at(100, 100))
    book.page.mouse.down()
    book.page.mouse.move(*pointer.at(300, 100), steps=5)
    book.page.mouse.up()
    pointer.tool("Eraser")
    assert pointer.ink.locator("xpath=..").get_by_label("Eraser").get_attribute("aria-pressed") == "true"
    shown = (
        "([ink, x, y]) => ink.getContext('2d').getImageData(x * devicePixelRatio, y * devicePixelRatio, 1, 1).data[3]"
    )
    where = [pointer.ink.element_handle(), 200 * box["width"] / 600, 100 * box["height"] / 400]
    assert book.page.evaluate(shown, where) > 0
    assert not pointer.painted(200, 100)
    (book.server.notebooks / "go").touch()
    book.page.wait_for_function("() => document.querySelector('.nb-ink').dataset.acknowledged")
    assert pointer.painted(200, 100)


def test_it_is_whole_and_alive_after_a_reload(notebook: Callable[..., Notebook]) -> None:
    book = notebook(CELL, "other = nb.MaskCanvas(photo)\nother.rectangle(300, 200, 500, 300)\nother")
    first = Pointer(book)
    Pointer(book, 1)
    first.draw((60, 60), (200, 80))
    book.save()
    book.open()
    first, second = Pointer(book), Pointer(book, 1)
    book.page.wait_for_function("() => document.querySelectorAll('.nb-live').length == 2")
    assert first.painted(130, 70)
    assert not first.painted(400, 250)
    assert second.painted(400, 250)
    assert not second.painted(130, 70)
    first.draw((60, 300), (200, 300))
    assert first.painted(130, 300)
    book.until(REPLAYED)


def test_each_generation_of_ipykernel_paints_and_undoes(notebook: Callable[..., Notebook], kernel: str) -> None:
    book = notebook(CELL, kernel=kernel)
    major = book.ask("import ipykernel; print(ipykernel.version_info[0])")
    assert major == ("6" if kernel == "ipykernel6" else "7")
    pointer = Pointer(book)
    pointer.draw((60, 60), (200, 80))
    assert pointer.painted(130, 70)
    book.ask("canvas.rectangle(300, 200, 500, 300)")  # from the main thread
    book.until("canvas.mask[250, 400] == 255")
    pointer.draw((60, 300), (200, 300))
    pointer.ink.locator("xpath=..").locator(".nb-undo").click()
    book.until("len(canvas.strokes) == 2")
    assert pointer.painted(400, 250)
    book.until(REPLAYED)


def test_two_views_show_one_mask(notebook: Callable[..., Notebook]) -> None:
    book = notebook(CELL, "canvas")
    first, second = Pointer(book), Pointer(book, 1)
    first.draw((60, 60), (200, 80))
    assert second.painted(130, 70)
    second.draw((60, 300), (200, 300))
    assert first.painted(130, 300)


def test_a_saved_notebook_shows_photo_and_mask_without_a_kernel(notebook: Callable[..., Notebook], shots: Any) -> None:
    book = notebook(CELL)
    pointer = Pointer(book)
    pointer.draw((60, 60), (500, 300))
    book.page.locator(".nb-still").wait_for(state="attached")
    assert not book.page.locator(".nb-still").is_visible()
    book.page.wait_for_function("() => document.querySelector('.nb-still img').alt.includes('mask 9.')")
    book.save()
    outputs = json.loads(book.path.read_text())["cells"][0]["outputs"]
    html = next("".join(o["data"]["text/html"]) for o in outputs if "text/html" in o["data"])
    assert "data:image/jpeg" in html
    # Another kernel: what the notebook refers to is gone.
    book.page.evaluate("() => window.jupyterapp.commands.execute('kernelmenu:shutdown')")
    book.open()
    book.page.get_by_text("Error displaying widget").wait_for(state="attached")
    book.page.locator(".nb-still img").wait_for()
    assert book.page.locator(".nb-still img").evaluate("i => i.naturalWidth") == 600
    book.page.screenshot(path=shots / "canvas-without-kernel.png")
    assert "Error displaying widget" not in book.page.locator(".jp-Notebook").inner_text()


def test_plain_drawing_works(notebook: Callable[..., Notebook]) -> None:
    book = notebook(CELL.replace("radius=20", "radius=20, ink=False"))
    ink = book.page.locator(".nb-canvas .nb-ink")
    ink.wait_for()
    ink.scroll_into_view_if_needed()
    box = ink.bounding_box()
    book.page.get_by_text("without the ink layer").wait_for()
    book.page.mouse.move(box["x"] + 60, box["y"] + 60)
    book.page.mouse.down()
    book.page.mouse.move(box["x"] + 300, box["y"] + 90, steps=10)
    book.page.mouse.up()
    book.page.wait_for_function(
        "() => document.querySelector('.nb-overlay').getContext('2d').getImageData(140, 60, 1, 1).data[3] > 0"
    )
    assert float(book.ask("print(canvas.mask_share)")) > 0.02


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
@pytest.mark.parametrize("width", [1000, 1600])
def test_nothing_is_clipped(notebook: Callable[..., Notebook], shots: Any, theme: str, width: int) -> None:
    book = notebook(CELL)
    book.page.set_viewport_size({"width": width, "height": 1000})
    book.theme(theme)
    pointer = Pointer(book)
    pointer.draw((60, 60), (200, 80))
    book.page.screenshot(path=shots / f"canvas-{width}-{theme.split()[1].lower()}.png")
    clipped = book.page.evaluate(
        """() => [...document.querySelectorAll('.nb-tools button, .nb-foot label, .nb-foot button, .nb-badge')]
          .filter((e) => e.offsetParent && (e.scrollWidth > e.clientWidth + 1
            || e.getBoundingClientRect().right > e.closest('.jp-OutputArea').getBoundingClientRect().right))
          .map((e) => e.outerHTML)"""
    )
    assert clipped == []
