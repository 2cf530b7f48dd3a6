"""The mask canvas: a photo, the mask on it, and what it takes to paint the mask with a pen, a mouse, keys, or Python.

The photo is a picture in the page. Over it lies an ipycanvas that shows the kernel's mask, and over that the ink layer,
which draws a stroke while it is made. The kernel gets the stroke once it is finished, draws it into the mask, draws the
mask's pixels, and tells the ink layer that its own ink may go.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import ipywidgets
import numpy as np
import traitlets
from numpy.typing import NDArray
from PIL import Image

from ..errors import InvalidMask, NbInpaintError
from ..image import load_image, load_mask
from ..mask import blend_weight, share
from ..painting import Box, Painting
from ..strokes import Act, Imported, Region, Stroke
from .acts import Acts
from .ink import SETTINGS, InkLayer
from .overlay import LONGEST, Overlay, long
from .page import style
from .pen import PlainPen
from .still import Still

__all__ = ["MaskCanvas"]

PATIENCE = 6.0
"""Seconds after the overlay is there in which the ink layer has to report, before plain drawing takes over."""

STILL = 640
"""Pixels of the static picture's longer side."""

Mask = NDArray[np.uint8]


class MaskCanvas(Acts, Still, ipywidgets.GridBox):
    """Paint a mask on a picture.

    Tool settings are traits: `tool`, `radius`, `strength`, `tolerance`, `pixels`, `colour`, `opacity`, `outline`,
    `feather`, `mask_blur`, `use_pressure`, `mask_hidden`.

    Args:
        image: Whatever `load_image` takes.
        mask: Whatever `load_mask` takes; nothing is painted where None.
        width: Width on the screen in CSS pixels; as large as fits into 760 x 600 where None. It shrinks with the page.
        ink: False draws with plain ipycanvas events, as is done by itself where anywidget does not load.
        **settings: Tool settings, and what ipywidgets' GridBox takes.

    Attributes:
        image: The picture, PIL RGB; setting it takes whatever `load_image` takes and keeps a mask of the same size.
        mask: uint8 (H, W) at the picture's own resolution, 255 = repaint, 0 = keep, between them a strength; read-only.
            Setting it takes whatever `load_mask` takes, keeps its grey, and can be undone. May be empty.
        mask_share: The painted part of the picture, at whatever strength, 0 to 1.
        crop: [x0, y0, x1, y1] in image pixels of what will be worked on: shown as a dashed frame, never part of the
            mask. Empty for none.
        remark: A calm sentence under the picture about what becomes of the mask; empty for none.

    Raises:
        InvalidImage: The picture cannot be read.
        InvalidMask: The mask cannot be read or is of another size.

    Example:
        >>> canvas = MaskCanvas("photo.jpg")                         # doctest: +SKIP
        >>> canvas.stroke([(20, 30), (90, 40)], radius=12)           # doctest: +SKIP
        >>> canvas.mask.mean()                                       # doctest: +SKIP
    """

    image = traitlets.Any()
    mask = traitlets.Any()
    mask_share = traitlets.Float(0.0, read_only=True)
    crop = traitlets.List(traitlets.Int(), maxlen=4)
    remark = traitlets.Unicode("")

    def __init__(self, image: Any, mask: Any = None, *, width: int | None = None, ink: bool = True, **settings: Any):
        picture = load_image(image)
        chosen = {name: settings.pop(name) for name in SETTINGS if name in settings}
        self._lock = threading.RLock()
        self._painting = Painting(picture, None if mask is None else load_mask(mask, picture.size, grey=True))
        self._width = width
        self._enter = ipywidgets.CallbackDispatcher()
        self._overlay = Overlay(picture.size, "#ff2d78")
        self._photo = ipywidgets.Image(format="jpeg")
        self._photo.add_class("nb-photo")
        self._feather = ipywidgets.Image(format="png")
        self._feather.add_class("nb-feather")
        self._stage = ipywidgets.Box()
        self._stage.add_class("nb-stage")
        self._style_sheet = ipywidgets.HTML(f"<style>{style('canvas')}</style>")
        self._style_sheet.add_class("nb-style")
        self._ink = InkLayer()
        self._pen: PlainPen | None = None
        self._timer: threading.Timer | None = None
        self._told = not ink
        super().__init__(children=[self._style_sheet, self._stage, self._ink], **settings)
        self.add_class("nb-canvas")
        self._ink.on_msg(self._hear)
        for name in (*SETTINGS, "crop", "remark"):
            traitlets.link((self, name), (self._ink, name))
            if name in chosen:
                setattr(self, name, chosen[name])
        self.observe(self._restyle, names=["colour", "outline", "feather", "mask_blur"])
        self._show_image()
        if not ink:
            self._draw_plainly(ASKED)

    # --- the picture and the mask ---

    @traitlets.validate("image")
    def _take_image(self, proposal: Any) -> Any:
        if proposal.value is self._painting.image:
            return proposal.value
        return load_image(proposal.value)

    @traitlets.observe("image")
    def _new_image(self, change: Any) -> None:
        if change.new is self._painting.image:
            return
        with self._lock:
            old = self._painting
            keep = old.image.size == change.new.size
            self._painting = Painting(change.new, old.mask if keep and old.mask.any() else None)
            self._overlay.close()
            self._overlay = Overlay(change.new.size, self.colour)
            self._show_image()

    @traitlets.validate("mask")
    def _take_mask(self, proposal: Any) -> Mask:
        painting = self._painting
        if proposal.value is not painting.mask:
            self._do(Imported.of(load_mask(proposal.value, painting.image.size, grey=True)))
        return painting.mask

    def load_mask(self, source: Any, channel: str = "auto") -> None:
        """Replace the mask by one from a file, URL, array or picture; its grey is kept.

        Args:
            source: Whatever `nbinpaint.load_mask` takes.
            channel: "auto", "alpha" (what was erased is repainted) or "luminance" (white is repainted).

        Raises:
            InvalidMask: It cannot be read or is of another size than the picture.
        """
        if channel not in ("auto", "alpha", "luminance"):
            raise InvalidMask(f"channel={channel!r} is unknown; allowed: auto, alpha, luminance")
        self._do(Imported.of(load_mask(source, self.image.size, channel, grey=True)))  # type: ignore[arg-type]

    def save_mask(self, path: str | Path) -> None:
        """Write the mask as a PNG, white = repaint, grey = that strength."""
        Image.fromarray(self.mask).save(path, "PNG")

    @property
    def strokes(self) -> list[dict[str, Any]]:
        """How the mask was painted, as plain JSON values; setting it paints that, on any picture, as one step."""
        with self._lock:
            return self._painting.to_json()

    @strokes.setter
    def strokes(self, values: Iterable[Mapping[str, Any]]) -> None:
        with self._lock:
            self._changed(self._painting.replace(values))

    @property
    def strengths(self) -> tuple[float, float] | None:
        """The least and the greatest strength that is painted, 0 to 1; None where the mask has no grey."""
        return self._painting.strengths

    def mask_at(self, size: tuple[int, int]) -> Mask:
        """Paint the same mask at another size from its strokes: uint8 (height, width).

        Args:
            size: (width, height).
        """
        with self._lock:
            return self._painting.draw(size)

    # --- what the pointer can do ---

    def undo(self) -> None:
        """Take the last step back, if there is one."""
        with self._lock:
            self._changed(self._painting.undo())

    def redo(self) -> None:
        """Do the step again that was taken back last, if there is one."""
        with self._lock:
            self._changed(self._painting.redo())

    def on_enter(self, callback: Callable[[MaskCanvas], None], remove: bool = False) -> None:
        """Call something when Enter is pressed on the canvas."""
        self._enter.register_callback(callback, remove=remove)

    def show(self, what: str) -> None:
        """Move the view: "fit", "full" (one image pixel on one screen pixel), "in" or "out"."""
        if what not in ("fit", "full", "in", "out"):
            raise ValueError(f"what={what!r} is unknown; allowed: fit, full, in, out")
        self._ink.send({"type": "show", "what": what})

    # --- doing and showing ---

    # One lock from the mask to the screen keeps both in the same order; observers run with it held.

    def _do(self, act: Act) -> None:
        with self._lock:
            self._changed(self._painting.do(act))

    def _changed(self, box: Box | None) -> None:
        if box is not None:
            self._overlay.show(self._painting.mask, box)
            self._show_feather()
            self._tell()

    def _tell(self) -> None:
        """Bring every trait up to date."""
        painting = self._painting
        with self._ink.hold_sync():
            self._ink.share = share(painting.mask)
            self._ink.strengths = list(painting.strengths or ())
            self._ink.can_undo, self._ink.can_redo = painting.can_undo, painting.can_redo
            self._ink.description = f"{self._caption()}. Press ? for the keys."
            self._ink.message = ""
        self.set_trait("mask_share", self._ink.share)
        self.mask = painting.mask
        self._still_changed()

    def _caption(self) -> str:
        width, height = self._painting.image.size
        least, most = (round(one * 100) for one in self._painting.strengths or (1, 1))
        grey = "" if least == 100 else f", strength {least} %" if least == most else f", strength {least} to {most} %"
        return f"Picture of {width} x {height} pixels, mask {share(self._painting.mask):.1%}{grey}"

    def _show_image(self) -> None:
        image = self._painting.image
        shown = image.copy()
        shown.thumbnail((LONGEST, LONGEST), Image.Resampling.LANCZOS)
        buffer = io.BytesIO()
        # Small pictures have hard pixels that people zoom into; JPEG would smear them.
        small = max(shown.size) <= 512
        shown.save(buffer, "PNG" if small else "JPEG", **({} if small else {"quality": 92, "subsampling": 0}))
        width, height = self._view_size()
        with self.hold_sync():
            self._photo.format = "png" if small else "jpeg"
            self._photo.value = buffer.getvalue()
            self._ink.image_size = list(image.size)
            self._stage.layout = ipywidgets.Layout(width=f"{width}px", height=f"{height}px")
            overlay = self._overlay
            overlay.canvas.on_client_ready(self._page_is_there)
            self._stage.children = (self._photo, overlay.canvas, self._feather)
            overlay.outline = self.outline
            overlay.colour = self.colour
            overlay.show(self._painting.mask)
            self._show_feather()
            if self._pen is not None:
                self._pen.watch(overlay)
        self.image = image
        self._tell()

    def _view_size(self) -> tuple[int, int]:
        """CSS pixels of the stage: small pictures are enlarged, up to four times."""
        width, height = self._painting.image.size
        scale = self._width / width if self._width else min(760 / width, 600 / height, 4.0)
        return max(32, round(width * scale)), max(32, round(height * scale))

    def _restyle(self, change: Any) -> None:
        with self._lock:
            self._overlay.colour = self.colour
            self._overlay.outline = self.outline
            if change.name in ("colour", "outline"):
                self._overlay.show(self._painting.mask)
            self._show_feather()

    def _show_feather(self) -> None:
        """Draw the blend weight of all that is painted, as colour with alpha, at most 1024 pixels wide or high."""
        if not self.feather:
            return
        mask = self._painting.mask
        painted = np.where(mask > 0, np.uint8(255), np.uint8(0))
        weight = Image.fromarray(np.rint(blend_weight(painted, self.mask_blur) * 255).astype(np.uint8))
        weight.thumbnail((1024, 1024), Image.Resampling.BOX)
        picture = Image.new("RGBA", weight.size, self.colour)
        picture.putalpha(weight)
        buffer = io.BytesIO()
        picture.save(buffer, "PNG", compress_level=1)
        self._feather.value = buffer.getvalue()

    def _still_pictures(self) -> list[tuple[Image.Image, str]]:
        image, mask = self._painting.image.copy(), self._painting.mask
        image.thumbnail((STILL, STILL), Image.Resampling.LANCZOS)
        weight = 0.55 * (np.asarray(Image.fromarray(mask).resize(image.size)) / 255)[..., None]
        colour = np.array([int(long(self.colour)[i : i + 2], 16) for i in (1, 3, 5)])
        mixed = np.asarray(image) * (1 - weight) + colour * weight
        return [(Image.fromarray(mixed.astype(np.uint8)), self._caption())]

    # --- the page ---

    def _page_is_there(self) -> None:
        """A page has made the overlay: draw what it missed, and wait for its ink layer."""
        with self._lock:
            self._overlay.replay(self._painting.mask)
            if not self._told and self._timer is None:
                self._timer = threading.Timer(PATIENCE, self._draw_plainly, [PLAIN])
                self._timer.daemon = True
                self._timer.start()

    def _draw_plainly(self, why: str) -> None:
        with self._lock:
            if self._pen is None:
                self._pen = PlainPen(self, why)
                self._pen.watch(self._overlay)
                self.add_class("nb-live")
                self.children = (self._style_sheet, self._pen.tools, self._stage, self._pen.line)

    def _draw_finely(self) -> None:
        """The ink layer has reported, however late."""
        with self._lock:
            self._told = True
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

    def _hear(self, _: Any, content: Mapping[str, Any], buffers: Sequence[Any]) -> None:
        """Take a message of the ink layer; on whichever thread it comes."""
        try:
            handle = _MESSAGES.get(content.get("type", ""))
            if handle is not None:
                handle(self, content, buffers)
        except NbInpaintError as error:
            self._ink.message = str(error)
        finally:
            if "id" in content:
                self._ink.send({"type": "ack", "id": content["id"]})

    def _hear_ready(self, content: Mapping[str, Any], buffers: Sequence[Any]) -> None:
        self._draw_finely()
        self._ink.send({"type": "alive"})

    def _hear_stroke(self, content: Mapping[str, Any], buffers: Sequence[Any]) -> None:
        points = np.frombuffer(buffers[0], "<f4").reshape(-1, 3).astype(float)
        pressure = () if (points[:, 2] == 1).all() else tuple(points[:, 2].tolist())
        xy = tuple(map(tuple, points[:, :2].tolist()))
        shape, erase = content["shape"], content["erase"]
        self._do(Stroke(xy, content["radius"], shape, erase, pressure, content.get("strength", 1.0)))

    def _hear_region(self, content: Mapping[str, Any], buffers: Sequence[Any]) -> None:
        x, y = content["point"]
        tool, tolerance = content["tool"], content["tolerance"]
        self._do(Region((x, y), tool, tolerance, content["erase"], content.get("strength", 1.0)))

    def _hear_action(self, content: Mapping[str, Any], buffers: Sequence[Any]) -> None:
        action = content.get("action")
        if action == "fill":
            self.fill(content.get("strength"))
        elif action in _ACTIONS:
            getattr(self, action)()

    def _hear_file(self, content: Mapping[str, Any], buffers: Sequence[Any]) -> None:
        data = bytes(buffers[0])
        if content.get("what") == "mask":
            self.load_mask(data)
        else:
            self.image = load_image(data)

    def _hear_save(self, content: Mapping[str, Any], buffers: Sequence[Any]) -> None:
        buffer = io.BytesIO()
        Image.fromarray(self.mask).save(buffer, "PNG")
        self._ink.send({"type": "download", "name": "mask.png"}, [buffer.getvalue()])

    def _hear_enter(self, content: Mapping[str, Any], buffers: Sequence[Any]) -> None:
        self._enter(self)

    def close(self) -> None:
        """Free everything in the page."""
        for widget in (self._photo, self._feather, self._ink, self._overlay.canvas, self._stage, self._style_sheet):
            widget.close()
        super().close()

    def __repr__(self) -> str:
        return f"<MaskCanvas: {self._caption()}>"


ASKED = "Drawing without the ink layer, as asked: strokes appear when the kernel has drawn them."
PLAIN = "The ink layer did not load (is anywidget installed where JupyterLab runs?). Strokes appear a little later."
_ACTIONS = ("undo", "redo", "grow", "shrink", "invert", "clear")
_MESSAGES: Mapping[str, Callable[[MaskCanvas, Mapping[str, Any], Sequence[Any]], None]] = {
    "ready": MaskCanvas._hear_ready,
    "stroke": MaskCanvas._hear_stroke,
    "region": MaskCanvas._hear_region,
    "action": MaskCanvas._hear_action,
    "file": MaskCanvas._hear_file,
    "save": MaskCanvas._hear_save,
    "enter": MaskCanvas._hear_enter,
}
