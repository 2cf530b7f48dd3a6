"""How a source of one size is brought onto a model's canvas of another, and how the result comes back.

One mechanism serves every resize mode: a window of the source, which may reach beyond its edges, is resampled to the
canvas.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .errors import InvalidParams
from .mask import composite

__all__ = ["Box", "Placement", "place", "place_part"]

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Placement:
    """A window of a source, resampled to a canvas.

    Attributes:
        source_size: (width, height) of the source.
        box: The window (x0, y0, x1, y1) in source pixels, the ends exclusive; parts beyond the source repeat its edge.
        size: (width, height) of the canvas.
    """

    source_size: tuple[int, int]
    box: Box
    size: tuple[int, int]

    @property
    def scale(self) -> tuple[float, float]:
        """Canvas pixels per source pixel, along x and y."""
        x0, y0, x1, y1 = self.box
        return self.size[0] / (x1 - x0), self.size[1] / (y1 - y0)

    @property
    def _inner(self) -> Box:
        """The part of the window that lies inside the source."""
        x0, y0, x1, y1 = self.box
        return max(x0, 0), max(y0, 0), min(x1, self.source_size[0]), min(y1, self.source_size[1])

    def image(self, source: Image.Image) -> Image.Image:
        """Bring a picture onto the canvas: RGB at `size`, by Lanczos; the very pixels where nothing is resized."""
        window = Image.fromarray(self._window(np.asarray(source), cv2.BORDER_REPLICATE))
        return window if window.size == self.size else window.resize(self.size, Image.Resampling.LANCZOS)

    def mask(self, source: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Bring a mask onto the canvas: uint8 (h, w), the largest value that falls in, 0 beyond the source.

        However thin a stroke is, it does not vanish.
        """
        painted = self._window(source, cv2.BORDER_CONSTANT)
        for axis, side in ((1, self.size[0]), (0, self.size[1])):
            painted = _largest_along(painted, axis, side)
        return painted

    def _window(self, pixels: NDArray[np.uint8], border: int) -> NDArray[np.uint8]:
        x0, y0, x1, y1 = self.box
        ix0, iy0, ix1, iy1 = self._inner
        inner = pixels[iy0:iy1, ix0:ix1]
        if self._inner == self.box:
            return np.ascontiguousarray(inner)
        return np.asarray(cv2.copyMakeBorder(inner, iy0 - y0, y1 - iy1, ix0 - x0, x1 - ix1, border, value=0), np.uint8)

    def restore(self, generated: Image.Image, source: Image.Image, weight: NDArray[np.float32]) -> Image.Image:
        """Put a generated canvas back into its source, at the source's own resolution.

        Args:
            generated: RGB at `size`.
            source: RGB at `source_size`.
            weight: float32 (H, W) at `source_size`, 0 to 1: how much of the generated picture is taken.

        Returns:
            RGB at `source_size`; wherever the weight is 0, and outside the window, the source's very bytes.
        """
        inner = self._inner
        part = self._back(generated, Image.Resampling.LANCZOS)
        whole = source.copy()
        whole.paste(composite(part, source.crop(inner), weight[inner[1] : inner[3], inner[0] : inner[2]]), inner[:2])
        return whole

    def weight_back(self, weight: NDArray[np.float32]) -> NDArray[np.float32]:
        """Bring a blend weight from the canvas, float32 (h, w), to the source's resolution; 0 outside the window."""
        x0, y0, x1, y1 = self._inner
        whole = np.zeros((self.source_size[1], self.source_size[0]), np.float32)
        whole[y0:y1, x0:x1] = np.asarray(self._back(Image.fromarray(weight), Image.Resampling.BILINEAR)).clip(0, 1)
        return whole

    def _back(self, canvas: Image.Image, resample: Image.Resampling) -> Image.Image:
        """Resample the canvas to the window's size and cut off what lies beyond the source."""
        x0, y0, x1, y1 = self.box
        if canvas.size != (x1 - x0, y1 - y0):
            canvas = canvas.resize((x1 - x0, y1 - y0), resample)
        inner = self._inner
        return canvas.crop((inner[0] - x0, inner[1] - y0, inner[2] - x0, inner[3] - y0))


def _largest_along(mask: NDArray[np.uint8], axis: int, side: int) -> NDArray[np.uint8]:
    """Resample along one axis: a target pixel has the largest value of the source pixels that it overlaps."""
    length = mask.shape[axis]
    if length == side:
        return mask
    edges = np.arange(side + 1) * length / side
    first = np.floor(edges[:-1] + 1e-9).astype(int)
    last = np.minimum(np.ceil(edges[1:] - 1e-9).astype(int), length) - 1
    # Each stretch runs to where the next begins; the last pixel may belong to both.
    return np.asarray(np.maximum(np.maximum.reduceat(mask, first, axis), mask.take(last, axis)), np.uint8)


def place(source_size: tuple[int, int], size: tuple[int, int], mode: str) -> Placement:
    """Say how a source maps onto a canvas.

    Args:
        source_size: (width, height) of the source.
        size: (width, height) of the canvas.
        mode: "stretch" takes the whole source and ignores its aspect; "crop" covers the canvas and cuts off what is
            over, evenly on both sides; "fill" holds the whole source and repeats its edges beyond.

    Raises:
        InvalidParams: The mode is unknown.
    """
    width, height = source_size
    if mode == "stretch":
        return Placement(source_size, (0, 0, width, height), size)
    if mode not in _SCALES:
        raise InvalidParams(f"resize_mode={mode!r} is unknown; allowed: 'stretch', 'crop', 'fill'")
    scale = _SCALES[mode](size[0] / width, size[1] / height)
    # The window on the canvas's aspect, in whole source pixels; one side is the source's own.
    spans = [max(1, math.floor(side / scale + 0.5)) for side in size]
    starts = [(side - span) // 2 for side, span in zip(source_size, spans, strict=True)]
    return Placement(source_size, (starts[0], starts[1], starts[0] + spans[0], starts[1] + spans[1]), size)


def place_part(source_size: tuple[int, int], size: tuple[int, int], part: Box) -> Placement:
    """Say how a part of a source maps onto a canvas of its own: grown to the canvas's aspect, inside the source.

    The window is shifted where it would reach beyond an edge; only where it is longer than the source it does so,
    evenly on both sides.

    Args:
        source_size: (width, height) of the source.
        size: (width, height) of the canvas.
        part: (x0, y0, x1, y1) of what must be in it, the ends exclusive; what lies outside the source is cut off.
    """
    low = [max(0, part[axis]) for axis in (0, 1)]
    high = [min(source_size[axis], part[axis + 2]) for axis in (0, 1)]
    scale = min(size[axis] / (high[axis] - low[axis]) for axis in (0, 1))
    starts, spans = [], []
    for axis in (0, 1):
        span = max(high[axis] - low[axis], math.floor(size[axis] / scale + 0.5))
        start = low[axis] - (span - (high[axis] - low[axis])) // 2
        over = source_size[axis] - span
        starts.append(over // 2 if over < 0 else min(max(start, 0), over))
        spans.append(span)
    return Placement(source_size, (starts[0], starts[1], starts[0] + spans[0], starts[1] + spans[1]), size)


_SCALES = {"crop": max, "fill": min}
