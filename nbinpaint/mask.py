"""Masks as arrays: checking, growing, feathering, compositing, and what is left of them on the latent grid.

A mask is uint8 (H, W): 255 is repainted, 0 is kept.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .errors import InvalidMask

__all__ = [
    "blend_weight",
    "bounding_box",
    "check_mask",
    "composite",
    "grow",
    "invert",
    "latent_mask",
    "latent_share",
    "share",
    "soften",
]

_REACH = 4.0
"""Where the Gaussian is cut off, in sigmas."""


def check_mask(mask: Any, size: tuple[int, int], least: int = 128) -> None:
    """Check that an array is a mask for a picture of this size, with something painted on it.

    Args:
        mask: The array.
        size: (width, height) of the picture.
        least: The grey from which on a pixel counts as painted.

    Raises:
        InvalidMask: Wrong type, shape or size, or nothing is painted.
    """
    if not isinstance(mask, np.ndarray) or mask.dtype != np.uint8 or mask.ndim != 2:
        found = f"{mask.dtype} {mask.shape}" if isinstance(mask, np.ndarray) else type(mask).__name__
        raise InvalidMask(f"mask is {found}; allowed: uint8 (height, width), 255 = repaint, 0 = keep")
    if mask.shape != (size[1], size[0]):
        raise InvalidMask(
            f"mask is {mask.shape[1]} x {mask.shape[0]}; allowed: the image's own size, {size[0]} x {size[1]}"
        )
    if not (mask >= least).any():
        raise InvalidMask(
            "mask is empty, so that nothing would be repainted; allowed: at least one painted pixel (255)"
        )


def share(mask: NDArray[np.uint8]) -> float:
    """Return the painted part of the picture, at whatever strength, 0 to 1."""
    return cv2.countNonZero(mask) / mask.size


def bounding_box(mask: NDArray[np.uint8]) -> tuple[int, int, int, int] | None:
    """Return (x0, y0, x1, y1) around all that is painted, the ends exclusive; None where nothing is."""
    x, y, width, height = cv2.boundingRect((mask >= 128).astype(np.uint8))
    return (x, y, x + width, y + height) if width else None


def grow(mask: NDArray[np.uint8], pixels: int) -> NDArray[np.uint8]:
    """Grow what is painted by some pixels all around, with a round element; negative values shrink it."""
    if pixels == 0:
        return mask.copy()
    side = 2 * abs(pixels) + 1
    element = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    operate = cv2.dilate if pixels > 0 else cv2.erode
    return np.asarray(operate(mask, element), np.uint8)


def invert(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Swap what is repainted and what is kept."""
    return np.asarray(255 - mask, np.uint8)


def blend_weight(mask: NDArray[np.uint8], blur: float | tuple[float, float]) -> NDArray[np.float32]:
    """Return how much of the generated pixel goes into the result, float32 (H, W), 0 to 1.

    It is `clip(2 * blurred, 0, 1)` of the Gaussian-blurred mask, and 1 wherever the mask is painted, so that even a
    thin stroke is repainted whole and the fade lies outside. Beyond four sigmas it is exactly 0.

    Args:
        mask: uint8 (H, W).
        blur: Sigma in pixels, or (sigma along x, sigma along y).
    """
    painted = (mask >= 128).astype(np.float32)
    weight = np.clip(2 * soften(painted, blur), 0, 1)
    weight[weight < 1 / 512] = 0
    return np.asarray(np.maximum(weight, painted), np.float32)


def soften(values: NDArray[np.float32], blur: float | tuple[float, float]) -> NDArray[np.float32]:
    """Return values (H, W) under a Gaussian blur that is cut off at four sigmas; edges go on as they end.

    Args:
        values: float32 (H, W).
        blur: Sigma in pixels, or (sigma along x, sigma along y).
    """
    sigmas = (blur, blur) if isinstance(blur, (int, float)) else blur
    reach = [int(np.ceil(_REACH * sigma)) for sigma in sigmas]
    if not any(reach):
        return values
    kernels = [
        cv2.getGaussianKernel(2 * r + 1, s if r else 1.0, cv2.CV_32F) for r, s in zip(reach, sigmas, strict=True)
    ]
    along, down = kernels
    return np.asarray(cv2.sepFilter2D(values, cv2.CV_32F, along, down, borderType=cv2.BORDER_REPLICATE), np.float32)


def composite(generated: Image.Image, source: Image.Image, weight: NDArray[np.float32]) -> Image.Image:
    """Blend two RGB pictures: the source's very bytes where the weight is 0, the generated ones where it is 1.

    Args:
        generated: RGB picture.
        source: RGB picture of the same size.
        weight: float32 (H, W), 0 to 1.
    """
    x, y, width, height = cv2.boundingRect((weight > 0).astype(np.uint8))
    part = (slice(y, y + height), slice(x, x + width))
    whole = np.array(source)
    over, under = np.asarray(generated)[part].astype(np.float32), whole[part].astype(np.float32)
    blended = under + (over - under) * weight[part][..., None]
    whole[part] = np.rint(blended).clip(0, 255).astype(np.uint8)
    return Image.fromarray(whole)


def latent_mask(mask: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """Return the mask on the latent grid, uint8 (H / factor, W / factor): the largest value that falls in each place.

    Args:
        mask: uint8 (H, W), both sides multiples of `factor`.
        factor: Pixels per latent pixel along one side.
    """
    return np.asarray(_blocks(mask, factor).max(axis=(1, 3)))


def latent_share(values: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """Return values on the latent grid, float32 (H / factor, W / factor): the mean of what falls in each place."""
    return np.asarray(_blocks(values, factor).mean(axis=(1, 3)))


def _blocks(values: NDArray[Any], factor: int) -> NDArray[Any]:
    height, width = values.shape
    return values.reshape(height // factor, factor, width // factor, factor)
