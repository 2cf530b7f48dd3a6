"""The committed mask on the screen: an ipycanvas that shows exactly the kernel's pixels.

Only rectangles are drawn, never pictures: ipycanvas waits for a picture to be decoded while all canvases of a page
share one drawing state, so that another canvas's commands can slip in between. Rectangles are drawn in the order they
are sent, to the pixel, and leave nothing behind in the browser's memory.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import numpy as np
from ipycanvas import Canvas, hold_canvas
from numpy.typing import NDArray

from ..painting import Box

__all__ = ["SHADES", "Overlay", "drawing", "long", "rectangles"]

LONGEST = 2048
"""Canvas pixels along the longer side at most; the mask itself has no such limit."""
SHADES = tuple(0.2 + 0.8 * i / 8 for i in range(1, 9))
"""How opaque each eighth of strength is drawn: even the weakest is seen, and the strongest is the plain colour."""
_LEVEL = ((np.arange(256) * len(SHADES) + 254) // 255).astype(np.uint8)

_lock = threading.RLock()
_scratch: list[Canvas] = []


@contextmanager
def drawing() -> Iterator[None]:
    """Collect drawing commands of this thread and send them as one message, an exception or not.

    ipycanvas's own `hold_canvas` is neither safe between threads nor after an exception.
    """
    with _lock:
        error: BaseException | None = None
        with hold_canvas():
            try:
                yield
            except BaseException as caught:
                error = caught
    if error is not None:
        raise error


def rectangles(painted: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Cover what is painted by rectangles that do not overlap: int32 (n, 4) of x, y, width and height.

    Each row's runs of painted pixels are joined with the row above where they have the same ends.
    """
    height, width = painted.shape
    padded = np.zeros((height, width + 2), np.int8)
    padded[:, 1:-1] = painted
    steps = np.diff(padded, axis=1)
    y, x0 = np.nonzero(steps == 1)
    x1 = np.nonzero(steps == -1)[1]
    order = np.lexsort((y, x1, x0))
    x0, x1, y = x0[order], x1[order], y[order]
    begins = np.ones(len(y), bool)
    begins[1:] = (np.diff(x0) != 0) | (np.diff(x1) != 0) | (np.diff(y) != 1)
    first = np.flatnonzero(begins)
    tall = np.diff(np.append(first, len(y)))
    return np.stack([x0[first], y[first], x1[first] - x0[first], tall], 1).astype(np.int32)


class Overlay:
    """Draws a mask, or its outline, in one colour, full strength opaque and less of it in lighter shades.

    How much of the photo shines through in all is the page's matter.

    Args:
        size: (width, height) of the mask.
        colour: #rrggbb or #rgb.

    Attributes:
        canvas: The ipycanvas that shows it.
        scale: Canvas pixels per mask pixel, 1 or less.
    """

    def __init__(self, size: tuple[int, int], colour: str) -> None:
        self.scale = min(1.0, LONGEST / max(size))
        self.colour = colour
        self.outline = False
        width, height = (max(1, round(side * self.scale)) for side in size)
        self.canvas = Canvas(width=width, height=height)
        self.canvas.add_class("nb-overlay")

    def show(self, mask: NDArray[np.uint8], box: Box | None = None) -> None:
        """Draw the mask, or only what lies in the box, in mask pixels."""
        width, height = self.canvas.width, self.canvas.height
        shown = cv2.LUT(mask, _LEVEL) if self.scale == 1 else _levels_at(mask, (width, height))
        margin = 1
        if self.outline:
            thick = max(1, round(max(width, height) / 500))
            inner = cv2.erode(shown, np.ones((2 * thick + 1,) * 2, np.uint8), borderValue=0)
            shown = np.where(inner == 0, shown, np.uint8(0))
            margin += thick
        x0, y0, x1, y1 = box or (0, 0, mask.shape[1], mask.shape[0])
        left, top = max(0, int(x0 * self.scale) - margin), max(0, int(y0 * self.scale) - margin)
        right = min(width, int(np.ceil(x1 * self.scale)) + margin)
        bottom = min(height, int(np.ceil(y1 * self.scale)) + margin)
        part = shown[top:bottom, left:right]
        with drawing():
            self.canvas.clear_rect(left, top, right - left, bottom - top)
            for level in np.flatnonzero(np.bincount(part.reshape(-1), minlength=1)):
                if level:
                    runs = rectangles(part == level) + np.array([left, top, 0, 0], np.int32)
                    self.canvas.fill_style = _shaded(self.colour, SHADES[level - 1])
                    self.canvas.fill_rects(*(np.ascontiguousarray(column) for column in runs.T))

    def replay(self, mask: NDArray[np.uint8]) -> None:
        """Draw all of it for a page that knows nothing yet."""
        with drawing():
            # A page that was loaded anew has no current canvas, while ipycanvas names one only when it changes.
            if not _scratch:
                _scratch.append(Canvas(width=1, height=1))
            _scratch[0].clear()
            self.show(mask)

    def close(self) -> None:
        """Free the canvas in the page."""
        self.canvas.close()


def _levels_at(mask: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Reduce a mask to levels at a smaller size; a thin stroke must not vanish on a large picture."""
    part = cv2.resize((mask > 0).astype(np.float32), size, interpolation=cv2.INTER_AREA)
    shown = np.where(part > 0, _LEVEL[255], np.uint8(0))
    least, *_ = cv2.minMaxLoc(mask, mask)
    if least < 255:
        values = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA)
        mean = np.divide(values, part, out=np.zeros_like(values), where=part > 0)
        shown = np.where(part > 0, np.maximum(_LEVEL[np.rint(mean).astype(np.uint8)], 1), np.uint8(0))
    return np.asarray(shown, np.uint8)


def long(colour: str) -> str:
    """Write #rgb as #rrggbb."""
    return colour if len(colour) == 7 else "#" + "".join(2 * c for c in colour[1:])


def _shaded(colour: str, alpha: float) -> str:
    return colour if alpha == 1 else f"{long(colour)}{round(255 * alpha):02x}"
