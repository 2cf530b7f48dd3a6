"""The mask canvas without a browser: messages in, masks, traits and drawing commands out."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ipycanvas.canvas
import numpy as np
import pytest
from ipycanvas import Canvas
from pictures import box_mask, smooth_image
from PIL import Image

import nbinpaint as nb
from nbinpaint.strokes import Stroke, draw
from nbinpaint.widgets.canvas import MaskCanvas
from nbinpaint.widgets.overlay import Overlay, drawing, rectangles

PHOTO = smooth_image(96, 64)


class Page:
    """Stands for the browser: sends what the ink layer sends, keeps what the kernel says to it."""

    def __init__(self, canvas: MaskCanvas, monkeypatch: pytest.MonkeyPatch) -> None:
        self.canvas = canvas
        self.heard: list[dict[str, Any]] = []
        self.files: list[bytes] = []
        monkeypatch.setattr(canvas._ink, "send", self._listen)

    def _listen(self, content: dict[str, Any], buffers: Any = None) -> None:
        self.heard.append(content)
        self.files += [bytes(b) for b in buffers or ()]

    def send(self, content: dict[str, Any], *buffers: bytes) -> None:
        self.canvas._ink._handle_custom_msg(content, [memoryview(b) for b in buffers])

    def stroke(self, points: list[tuple[float, ...]], ident: str = "s-1", **changes: Any) -> None:
        data = np.array([(*p, 1.0)[:3] for p in points], "<f4").tobytes()
        message = {"type": "stroke", "id": ident, "shape": "brush", "erase": False, "radius": 6.0}
        self.send(message | changes, data)


@pytest.fixture
def canvas() -> MaskCanvas:
    return nb.MaskCanvas(PHOTO)


@pytest.fixture
def page(canvas: MaskCanvas, monkeypatch: pytest.MonkeyPatch) -> Page:
    return Page(canvas, monkeypatch)


class Screen:
    """What ipycanvas's commands leave on the overlay, painted by numpy."""

    def __init__(self, overlay: Overlay) -> None:
        self.overlay = overlay
        self.pixels = np.zeros((overlay.canvas.height, overlay.canvas.width), bool)
        self.alpha = np.zeros(self.pixels.shape)
        self.colour = ""
        self.messages = 0
        self.current: str | None = overlay.canvas.model_id

    def take(self, content: Any, buffers: list[Any]) -> None:
        self.messages += 1
        commands = json.loads(bytes(buffers[0]))
        rest = list(buffers[1:])
        for command in commands if isinstance(commands[0], list) else [commands]:
            name = ipycanvas.canvas._CMD_LIST[command[0]]
            used = [rest.pop(0) for _ in range(command[2] if len(command) > 2 else 0)]
            if name == "switchCanvas":
                self.current = command[1][0].removeprefix("IPY_MODEL_")
            elif self.current == self.overlay.canvas.model_id and name == "clearRect":
                x, y, w, h = (int(v) for v in command[1])
                self.pixels[y : y + h, x : x + w] = False
                self.alpha[y : y + h, x : x + w] = 0
            elif name == "set" and command[1][0] == Canvas.ATTRS["fill_style"]:
                self.colour = command[1][1]
            elif self.current == self.overlay.canvas.model_id and name == "fillRects":
                columns = [np.frombuffer(b, m["dtype"]) for b, m in zip(used, command[1], strict=True)]
                for x, y, w, h in zip(*columns, strict=True):
                    assert not self.pixels[y : y + h, x : x + w].any(), "rectangles overlap"
                    self.pixels[y : y + h, x : x + w] = True
                    self.alpha[y : y + h, x : x + w] = int(self.colour[7:] or "ff", 16) / 255


@pytest.fixture
def screen(canvas: MaskCanvas, monkeypatch: pytest.MonkeyPatch) -> Iterator[Screen]:
    made = Screen(canvas._overlay)
    monkeypatch.setattr(ipycanvas.canvas._CANVAS_MANAGER, "send", lambda c, buffers=None: made.take(c, buffers))
    yield made
    assert not ipycanvas.canvas._CANVAS_MANAGER._caching


def test_a_stroke_of_the_pointer_and_of_python_paint_the_same_pixels(canvas: MaskCanvas, page: Page) -> None:
    points = [(10.5, 12.25), (40.0, 30.0), (70.75, 20.5)]
    page.stroke(points)
    by_pointer = canvas.mask
    assert {"type": "ack", "id": "s-1"} in page.heard
    canvas.undo()
    assert not canvas.mask.any()
    canvas.stroke(points, radius=6)
    assert np.array_equal(canvas.mask, by_pointer)
    assert np.array_equal(by_pointer, draw([Stroke(tuple(points), 6.0)], PHOTO))


REGION = {"type": "region", "point": [50, 30], "tolerance": 9, "erase": False}


@pytest.mark.parametrize(
    ("message", "same"),
    [
        (REGION | {"tool": "fill"}, lambda c: c.bucket(50, 30)),
        (REGION | {"tool": "wand"}, lambda c: c.wand(50, 30, 9)),
        ({"type": "action", "action": "grow"}, lambda c: c.grow()),
        ({"type": "action", "action": "shrink"}, lambda c: c.shrink()),
        ({"type": "action", "action": "invert"}, lambda c: c.invert()),
        ({"type": "action", "action": "clear"}, lambda c: c.clear()),
        ({"type": "action", "action": "fill"}, lambda c: c.fill()),
        ({"type": "action", "action": "undo"}, lambda c: c.undo()),
    ],
)
def test_each_message_does_what_its_method_does(canvas: MaskCanvas, page: Page, message: Any, same: Any) -> None:
    other = nb.MaskCanvas(PHOTO)
    for one in (canvas, other):
        one.rectangle(20, 10, 60, 50)
        one.ellipse(30, 15, 50, 45, erase=True)
    page.send(message)
    same(other)
    assert np.array_equal(canvas.mask, other.mask)
    assert canvas.strokes == other.strokes


def test_the_screen_shows_the_mask_to_the_pixel_after_every_act(canvas: MaskCanvas, page: Page, screen: Screen) -> None:
    for act in (
        lambda: page.stroke([(10, 10), (80, 50)]),
        lambda: page.stroke([(80, 10), (10, 50)], shape="ellipse"),
        lambda: page.stroke([(30, 30)], erase=True),
        lambda: canvas.grow(3),
        lambda: canvas.invert(),
        lambda: canvas.undo(),
        lambda: canvas.undo(),
        lambda: canvas.redo(),
        lambda: setattr(canvas, "mask", box_mask(96, 64, (3, 3, 20, 60))),
        lambda: canvas.wand(50, 30, 40),
        lambda: canvas.clear(),
    ):
        act()
        assert np.array_equal(screen.pixels, canvas.mask > 0)


def test_grey_is_shown_by_lighter_shades_of_which_none_is_invisible(
    canvas: MaskCanvas, page: Page, screen: Screen
) -> None:
    canvas.rectangle(0, 0, 10, 10)
    canvas.rectangle(10, 0, 20, 10, strength=0.5)
    canvas.rectangle(20, 0, 30, 10, strength=0.01)
    canvas.rectangle(5, 5, 15, 10, strength=0.25)  # takes the place of what was there
    assert np.array_equal(screen.pixels, canvas.mask > 0)
    assert screen.alpha[2, [5, 15, 25]] == pytest.approx([1, 0.65, 0.3], abs=0.06)
    assert len({screen.alpha[7, x] for x in (7, 12)}) == 1
    assert 0.25 < screen.alpha[7, 7] < 0.6
    everything = screen.alpha.copy()
    canvas._overlay.canvas._client_ready_callbacks()  # a page that comes later
    assert np.array_equal(screen.alpha, everything)
    canvas._timer.cancel()
    canvas.outline = True
    assert screen.pixels[0, :30].all()
    assert not screen.pixels[4, 3:28].any()  # between two strengths is no edge


def test_the_pointer_paints_at_the_strength_of_the_page(canvas: MaskCanvas, page: Page) -> None:
    page.stroke([(30, 30)], strength=0.4, radius=8.0)
    page.stroke([(30, 30)], "s-2", strength=0.2, radius=3.0)
    assert (canvas.mask[30, 30], canvas.mask[30, 35], canvas.mask[30, 50]) == (51, 102, 0)
    assert canvas._ink.strengths == [51 / 255, 102 / 255]
    assert repr(canvas).endswith("strength 20 to 40 %>")
    page.stroke([(30, 30)], "s-3", strength=0.2, radius=3.0, erase=True)
    assert canvas.mask[30, 30] == 0
    assert canvas.strengths == (0.4, 0.4)
    page.send({"type": "action", "action": "fill", "strength": 0.6})
    assert (canvas.mask == 153).all()
    page.send(REGION | {"tool": "fill", "strength": 1})
    assert canvas.strengths is None
    canvas.strength = 0.3  # Python's own tools take it as well
    canvas.rectangle(0, 0, 9, 9)
    assert canvas.mask[3, 3] == 76
    page.stroke([(30, 30)], "s-4", strength=0)
    assert "strength=0" in canvas._ink.message


def test_a_stroke_takes_one_drawing_message_however_grey_the_mask_is(
    canvas: MaskCanvas, page: Page, screen: Screen
) -> None:
    canvas.mask = np.tile(np.linspace(0, 255, 96).astype(np.uint8), (64, 1))
    before = screen.messages
    page.stroke([(10, 10), (80, 50)], strength=0.5)
    assert screen.messages == before + 1
    assert len(page.heard) == 1  # the acknowledgement


def test_a_crop_and_a_remark_are_shown_and_paint_nothing(canvas: MaskCanvas) -> None:
    canvas.crop = [4, 5, 60, 61]
    canvas.remark = "Worked on: 56 x 56 px."
    assert (canvas._ink.crop, canvas._ink.remark) == ([4, 5, 60, 61], "Worked on: 56 x 56 px.")
    assert not canvas.mask.any()
    canvas.crop = []
    assert canvas._ink.crop == []


def test_a_page_that_comes_later_gets_the_whole_picture(canvas: MaskCanvas, screen: Screen) -> None:
    canvas.stroke([(10, 10), (80, 50)], 8)
    screen.pixels[:] = False
    screen.current = None  # a page that was loaded anew knows no current canvas
    canvas._overlay.canvas._client_ready_callbacks()
    assert np.array_equal(screen.pixels, canvas.mask > 0)
    canvas._timer.cancel()


def test_the_outline_is_the_edge_and_nothing_else(canvas: MaskCanvas, screen: Screen) -> None:
    canvas.rectangle(20, 10, 60, 50)
    canvas.outline = True
    assert screen.pixels[10, 20:60].all()
    assert screen.pixels[10:50, 20].all()
    assert not screen.pixels[14:46, 24:56].any()
    canvas.rectangle(60, 10, 70, 50)
    assert not screen.pixels[14:46, 58:62].any()
    canvas.outline = False
    assert np.array_equal(screen.pixels, canvas.mask > 0)


def test_feather_shows_the_true_blend_weight(canvas: MaskCanvas) -> None:
    from io import BytesIO

    from nbinpaint.mask import blend_weight

    canvas.rectangle(20, 10, 60, 50)
    canvas.mask_blur, canvas.feather = 3.0, True
    shown = np.asarray(Image.open(BytesIO(canvas._feather.value)).getchannel("A"), float) / 255
    assert np.abs(shown - blend_weight(canvas.mask, 3.0)).max() < 0.005


def test_masks_come_from_arrays_files_and_alpha_and_go_to_files(canvas: MaskCanvas, tmp_path: Path) -> None:
    wanted = box_mask(96, 64, (8, 8, 40, 40))
    canvas.mask = wanted
    canvas.save_mask(tmp_path / "mask.png")
    other = nb.MaskCanvas(PHOTO, tmp_path / "mask.png")
    assert np.array_equal(other.mask, wanted)
    cut = PHOTO.convert("RGBA")
    cut.putalpha(Image.fromarray(255 - wanted))
    other.clear()
    other.load_mask(cut, "alpha")
    assert np.array_equal(other.mask, wanted)
    other.undo()
    assert not other.mask.any()
    with pytest.raises(nb.InvalidMask, match="10 x 10"):
        other.mask = np.zeros((10, 10), np.uint8)
    with pytest.raises(nb.InvalidMask, match="channel='hue'"):
        other.load_mask(cut, "hue")


def test_grey_masks_keep_their_grey_wherever_they_come_from(canvas: MaskCanvas, page: Page, tmp_path: Path) -> None:
    wanted = np.tile(np.arange(96, dtype=np.uint8), (64, 1)) * 2
    canvas.mask = wanted
    assert np.array_equal(canvas.mask, wanted)
    canvas.save_mask(tmp_path / "grey.png")
    assert np.array_equal(nb.MaskCanvas(PHOTO, tmp_path / "grey.png").mask, wanted)
    canvas.clear()
    page.send({"type": "file", "what": "mask"}, (tmp_path / "grey.png").read_bytes())
    assert np.array_equal(canvas.mask, wanted)
    canvas.invert()
    assert np.array_equal(canvas.mask, 255 - wanted)
    canvas.undo()
    canvas.grow(2)
    assert canvas.mask[20, 40] == wanted[20, 42]
    assert canvas.mask_share == pytest.approx(1)  # every strength counts
    assert "strength 2 to 75 %" in canvas._caption()


def test_files_of_the_page_are_taken_and_bad_ones_explained(canvas: MaskCanvas, page: Page, tmp_path: Path) -> None:
    wanted = box_mask(96, 64, (8, 8, 40, 40))
    Image.fromarray(wanted).save(tmp_path / "m.png")
    page.send({"type": "file", "what": "mask"}, (tmp_path / "m.png").read_bytes())
    assert np.array_equal(canvas.mask, wanted)
    page.send({"type": "file", "what": "image"}, b"not a picture")
    assert "damaged or no picture" in canvas._ink.message
    smooth_image(40, 30).save(tmp_path / "p.png")
    page.send({"type": "file", "what": "image"}, (tmp_path / "p.png").read_bytes())
    assert canvas.image.size == (40, 30)
    assert canvas.mask.shape == (30, 40)
    assert not canvas.mask.any()
    page.send({"type": "save"})
    assert page.files[0].startswith(b"\x89PNG")


def test_a_picture_of_the_same_size_keeps_the_mask(canvas: MaskCanvas) -> None:
    canvas.rectangle(10, 10, 30, 30)
    before = canvas.mask
    canvas.image = smooth_image(96, 64, 5)
    assert np.array_equal(canvas.mask, before)


def test_traits_can_be_observed_and_linked(canvas: MaskCanvas, page: Page) -> None:
    masks, shares = [], []
    canvas.observe(lambda change: masks.append(change.new), "mask")
    canvas.observe(lambda change: shares.append(change.new), "mask_share")
    page.stroke([(10, 10), (80, 50)])
    canvas.undo()
    assert [m.any() for m in masks] == [True, False]
    assert shares[0] == pytest.approx((masks[0] > 0).mean())
    assert shares[1] == 0
    canvas._ink.set_state({"tool": "lasso", "radius": 33.0})  # as the page does
    assert (canvas.tool, canvas.radius) == ("lasso", 33.0)
    canvas.tool = "wand"
    assert canvas._ink.tool == "wand"
    for name, bad in (("tool", "hammer"), ("colour", "reddish"), ("opacity", 3)):
        with pytest.raises(Exception, match=name):
            setattr(canvas, name, bad)


def test_strokes_are_json_that_paints_the_same_mask_on_another_canvas(canvas: MaskCanvas, page: Page) -> None:
    page.stroke([(10, 10, 0.2), (80, 50, 0.9)])
    canvas.lasso([(5, 5), (40, 8), (20, 60)])
    canvas.wand(60, 30, 20)
    other = nb.MaskCanvas(PHOTO)
    other.strokes = json.loads(json.dumps(canvas.strokes))
    assert np.array_equal(other.mask, canvas.mask)
    other.undo()
    assert not other.mask.any()
    assert canvas.mask_at((192, 128)).shape == (128, 192)


def test_a_damaged_message_is_acknowledged_and_changes_nothing(canvas: MaskCanvas, page: Page) -> None:
    page.stroke([(float("nan"), 3.0), (5.0, 5.0)], "bad")
    assert {"type": "ack", "id": "bad"} in page.heard
    assert "points" in canvas._ink.message
    assert not canvas.mask.any()
    page.stroke([(5.0, 5.0)], "good")
    assert canvas._ink.message == ""
    assert canvas.mask.any()


def test_messages_on_several_threads_lose_nothing(canvas: MaskCanvas, page: Page, screen: Screen) -> None:
    """ipykernel may call back on the main thread, on a subshell's, or on both in turn."""
    centres = [(x, y) for x in range(4, 96, 8) for y in range(4, 64, 8)]
    gate = threading.Barrier(4)

    def work(part: list[tuple[int, int]]) -> None:
        gate.wait()
        for x, y in part:
            page.stroke([(x + 0.5, y + 0.5)], f"{x}-{y}", radius=2.5)

    threads = [threading.Thread(target=work, args=(centres[i::4],)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = draw([Stroke(((x + 0.5, y + 0.5),), 2.5) for x, y in centres], PHOTO)
    assert np.array_equal(canvas.mask, expected)
    assert np.array_equal(screen.pixels, canvas.mask > 0)
    assert sum(m["type"] == "ack" for m in page.heard) == len(centres)


def test_an_exception_while_drawing_does_not_stop_later_drawing(canvas: MaskCanvas, screen: Screen) -> None:
    with pytest.raises(ZeroDivisionError), drawing():
        raise ZeroDivisionError
    canvas.rectangle(5, 5, 20, 20)
    assert np.array_equal(screen.pixels, canvas.mask > 0)


def test_enter_is_passed_on(canvas: MaskCanvas, page: Page) -> None:
    pressed = []
    canvas.on_enter(pressed.append)
    page.send({"type": "enter"})
    assert pressed == [canvas]


def test_plain_events_paint_where_the_ink_layer_is_missing() -> None:
    canvas = nb.MaskCanvas(PHOTO, ink=False, radius=5.0)
    assert canvas._ink not in canvas.children
    assert "without the ink layer" in canvas.children[-1].value
    overlay = canvas._overlay.canvas
    overlay._mouse_down_callbacks(10, 10)
    overlay._mouse_move_callbacks(40, 30)
    overlay._mouse_move_callbacks(70, 20)
    overlay._mouse_up_callbacks(70, 20)
    assert np.array_equal(canvas.mask, draw([Stroke(((10, 10), (40, 30), (70, 20)), 5.0)], PHOTO))


def test_plain_drawing_takes_over_when_the_page_never_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nbinpaint.widgets.canvas.PATIENCE", 0.01)
    canvas = nb.MaskCanvas(PHOTO)
    canvas._overlay.canvas._client_ready_callbacks()
    canvas._timer.join(5)
    assert canvas._ink not in canvas.children
    assert "ink layer did not load" in canvas.children[-1].value


def test_a_large_picture_is_painted_at_its_own_resolution(monkeypatch: pytest.MonkeyPatch) -> None:
    canvas = nb.MaskCanvas(Image.new("RGB", (3000, 1500)))
    made = Screen(canvas._overlay)
    monkeypatch.setattr(ipycanvas.canvas._CANVAS_MANAGER, "send", lambda c, buffers=None: made.take(c, buffers))
    canvas.stroke([(100, 100), (2900, 1400)], 1.0)  # thinner than a pixel of the screen's canvas
    assert canvas.mask.shape == (1500, 3000)
    assert max(made.pixels.shape) == 2048
    assert made.pixels.any(0)[80:1900].all()


def test_rectangles_cover_a_mask_exactly() -> None:
    rng = np.random.default_rng(0)
    for painted in (rng.random((40, 60)) < 0.5, np.ones((5, 9), bool), np.zeros((5, 9), bool)):
        covered = np.zeros(painted.shape, int)
        for x, y, w, h in rectangles(painted):
            covered[y : y + h, x : x + w] += 1
        assert np.array_equal(covered, painted.astype(int))
    assert len(rectangles(np.ones((500, 500), bool))) == 1
