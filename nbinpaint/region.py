"""What a recipe works on: the mask as the recipe means it, and the part of the source that comes onto the canvas."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .errors import InvalidMask
from .mask import blend_weight, bounding_box, grow, invert, soften
from .placement import Placement, place, place_part

if TYPE_CHECKING:
    from .params import Params
    from .sweep import Source

__all__ = ["MASK_FIELDS", "Region", "check_left", "region_of"]

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
        placement = _only_masked(mask, size, padding, mask_blur)
    return Region(mask, strength, placement, (source.digest, mask_grow, mask_invert, differential, placement))


def _only_masked(mask: NDArray[np.uint8], size: tuple[int, int], padding: int, blur: float) -> Placement:
    """The mask's box and a margin, wide enough for the feather, which is given in pixels of the canvas."""
    box = bounding_box(mask)
    assert box is not None
    margin = padding
    while True:
        part = (box[0] - margin, box[1] - margin, box[2] + margin, box[3] + margin)
        placement = place_part((mask.shape[1], mask.shape[0]), size, part)
        needed = math.ceil(_FEATHER * blur / min(placement.scale))
        if margin >= needed or margin >= max(mask.shape):
            return placement
        margin = needed
