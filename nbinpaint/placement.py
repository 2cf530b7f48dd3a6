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
from .mask import blend_weight, composite

__all__ = ["Placement", "place"]

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
        """Bring a mask onto the canvas: uint8 (h, w), 255 wherever a painted pixel falls in, 0 beyond the source."""
        painted = self._window(np.where(source >= 128, np.uint8(255), np.uint8(0)), cv2.BORDER_CONSTANT)
        for axis, side in ((1, self.size[0]), (0, self.size[1])):
            painted = _any_along(painted, axis, side)
        return painted

    def _window(self, pixels: NDArray[np.uint8], border: int) -> NDArray[np.uint8]:
        x0, y0, x1, y1 = self.box
        ix0, iy0, ix1, iy1 = self._inner
        inner = pixels[iy0:iy1, ix0:ix1]
        if self._inner == self.box:
            return np.ascontiguousarray(inner)
        return np.asarray(cv2.copyMakeBorder(inner, iy0 - y0, y1 - iy1, ix0 - x0, x1 - ix1, border, value=0), np.uint8)

    def restore(self, generated: Image.Image, source: Image.Image, mask: NDArray[np.uint8], blur: float) -> Image.Image:
        """Put a generated canvas back into its source, at the source's own resolution.

        Args:
            generated: RGB at `size`.
            source: RGB at `source_size`.
            mask: uint8 (H, W) at `source_size`.
            blur: Sigma of the feathered edge in canvas pixels.

        Returns:
            RGB at `source_size`; wherever the feathered mask's weight is 0, and outside the window, the source's
            very bytes.
        """
        x0, y0, x1, y1 = self.box
        inner = self._inner
        back = generated
        if generated.size != (x1 - x0, y1 - y0):
            back = generated.resize((x1 - x0, y1 - y0), Image.Resampling.LANCZOS)
        part = back.crop((inner[0] - x0, inner[1] - y0, inner[2] - x0, inner[3] - y0))
        weight = blend_weight(mask, (blur / self.scale[0], blur / self.scale[1]))[
            inner[1] : inner[3], inner[0] : inner[2]
        ]
        whole = source.copy()
        whole.paste(composite(part, source.crop(inner), weight), inner[:2])
        return whole


def _any_along(mask: NDArray[np.uint8], axis: int, side: int) -> NDArray[np.uint8]:
    """Resample along one axis: a target pixel is painted if any source pixel that it overlaps is."""
    length = mask.shape[axis]
    if length == side:
        return mask
    edges = np.arange(side + 1) * length / side
    first = np.floor(edges[:-1] + 1e-9).astype(int)
    last = np.minimum(np.ceil(edges[1:] - 1e-9).astype(int), length)
    sums = np.concatenate([np.zeros_like(mask.take([0], axis), np.int64), (mask > 0).cumsum(axis)], axis)
    return np.where(sums.take(last, axis) > sums.take(first, axis), np.uint8(255), np.uint8(0))


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


_SCALES = {"crop": max, "fill": min}
