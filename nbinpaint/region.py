"""What a recipe works on: the mask as the recipe means it, and the part of the source that comes onto the canvas."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from .errors import InvalidMask
from .mask import blend_weight, bounding_box, grow, invert, soften
from .placement import Box, Placement, place, place_part

if TYPE_CHECKING:
    from .params import Params
    from .sweep import Source

__all__ = ["MASK_FIELDS", "Region", "check_left", "region_of", "window_of"]

MASK_FIELDS = ("mask_grow", "mask_invert", "differential")
"""The parameters that change which pixels are painted."""
_PLACE_FIELDS = ("size", "resize_mode", "padding", "mask_blur")
_FEATHER = 3.0
"""Sigmas after which a feather is too faint to be seen: 2 * Phi(-3) is under 1 of 255."""


@dataclass(frozen=True, eq=False)
class Region:
    """What of a source a recipe repaints, and where that comes to lie.

    Attributes:
        mask: uint8 (H, W) at the source's resolution, 255 = repaint, 0 = keep, nothing between.
        strength: uint8 (H, W) at the source's resolution, each pixel's share of the denoise in 255ths, 0 outside the
            mask; None where all that is painted has the same.
        placement: How the source, or the part of it that is worked on, maps onto the model's canvas.
        key: What the mask follows from; equal keys over equal sources mean equal regions.
    """

    mask: NDArray[np.uint8]
    strength: NDArray[np.uint8] | None
    placement: Placement
    key: tuple[object, ...]

    def painted(self, blur: float) -> NDArray[np.float32]:
        """Return how strongly each pixel of the canvas is painted, float32 (h, w), 0 to 1, under a blur of `blur`."""
        values = self.mask if self.strength is None else self.strength
        return soften(np.asarray(self.placement.mask(values) / 255, np.float32), blur)

    def weight(self, blur: float) -> NDArray[np.float32]:
        """Return the blend weight on the canvas, float32 (h, w); `blur` is a sigma in canvas pixels."""
        return blend_weight(self.placement.mask(self.mask), blur)

    def full_weight(self, blur: float) -> NDArray[np.float32]:
        """Return the blend weight at the source's resolution, float32 (H, W); `blur` is a sigma in canvas pixels."""
        along, down = self.placement.scale
        return blend_weight(self.mask, (blur / along, blur / down))


def region_of(source: Source, params: Params) -> Region:
    """Return what a recipe, with its size resolved, works on.

    Raises:
        InvalidMask: Nothing of the mask is left.
    """
    assert params.size is not None
    return _region(source, *(params.get(name) for name in (*MASK_FIELDS, *_PLACE_FIELDS)))


def check_left(source: Source, params: Params) -> None:
    """Check that something is painted as the recipe means the mask.

    Raises:
        InvalidMask: Nothing is; the message names the parameters that took it away.
    """
    _painted(source, *(params.get(name) for name in MASK_FIELDS))


def window_of(mask: NDArray[np.uint8], params: Params) -> Placement | None:
    """Return where a recipe with `padding` and a size works, as `region_of` does, for showing it while one paints.

    Nothing is kept, and only the mask's box is grown.

    Args:
        mask: uint8 (H, W) as it is painted.
        params: The recipe, its size resolved and its padding set.

    Returns:
        The placement; None where nothing of the mask is left.
    """
    assert params.size is not None
    assert params.padding is not None
    least = 1 if params.differential else 128
    _, painted = cv2.threshold(invert(mask) if params.mask_invert else mask, least - 1, 255, cv2.THRESH_BINARY)
    height, width = mask.shape
    box = bounding_box(np.asarray(painted, np.uint8))
    if box is not None and params.mask_grow < 0:
        # A pixel around the box is enough to shrink from.
        left, top = max(0, box[0] - 1), max(0, box[1] - 1)
        inner = bounding_box(grow(painted[top : box[3] + 1, left : box[2] + 1], params.mask_grow))
        box = inner and (left + inner[0], top + inner[1], left + inner[2], top + inner[3])
    if box is None:
        return None
    more = max(0, params.mask_grow)
    box = (max(0, box[0] - more), max(0, box[1] - more), min(width, box[2] + more), min(height, box[3] + more))
    return _only_masked(box, (width, height), params.size, params.padding, params.mask_blur)


@lru_cache(maxsize=32)
def _painted(
    source: Source, mask_grow: int, mask_invert: bool, differential: bool
) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """Return the mask and, where it is differential, each pixel's strength."""
    strength = invert(source.mask) if mask_invert else source.mask
    mask = np.where(strength >= (1 if differential else 128), np.uint8(255), np.uint8(0))
    if mask_grow:
        strength = grow(strength, mask_grow)
        mask = grow(mask, mask_grow)
    if not mask.any():
        changed = [f"{n}={v!r}" for n, v in zip(MASK_FIELDS[:2], (mask_grow, mask_invert), strict=True) if v]
        reason = f"{' and '.join(changed)} leave nothing of it" if changed else "nothing is painted at half strength"
        hint = "" if differential else "; with differential=True grey counts as strength"
        raise InvalidMask(f"mask: {reason}; allowed: at least one painted pixel (128 to 255){hint}")
    return mask, np.where(mask > 0, strength, np.uint8(0)) if differential else None


@lru_cache(maxsize=32)
def _region(
    source: Source,
    mask_grow: int,
    mask_invert: bool,
    differential: bool,
    size: tuple[int, int],
    resize_mode: str,
    padding: int | None,
    mask_blur: float,
) -> Region:
    mask, strength = _painted(source, mask_grow, mask_invert, differential)
    if padding is None:
        placement = place(source.image.size, size, resize_mode)
    else:
        box = bounding_box(mask)
        assert box is not None
        placement = _only_masked(box, source.image.size, size, padding, mask_blur)
    return Region(mask, strength, placement, (source.digest, mask_grow, mask_invert, differential, placement))


def _only_masked(box: Box, source_size: tuple[int, int], size: tuple[int, int], padding: int, blur: float) -> Placement:
    """The mask's box and a margin, wide enough for the feather, which is given in pixels of the canvas."""
    margin = padding
    while True:
        part = (box[0] - margin, box[1] - margin, box[2] + margin, box[3] + margin)
        placement = place_part(source_size, size, part)
        needed = math.ceil(_FEATHER * blur / min(placement.scale))
        if margin >= needed or margin >= max(source_size):
            return placement
        margin = needed
