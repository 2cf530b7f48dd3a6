"""Fill the masked part of a picture smoothly from what surrounds it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["fill_masked"]

_ROUNDS = 12
"""Rounds of averaging on each level."""


def fill_masked(image: Image.Image, mask: NDArray[np.uint8]) -> Image.Image:
    """Replace what is masked by colours that go over smoothly from one edge to the other; the rest keeps its bytes.

    It is the membrane that is spanned between the known pixels: each filled pixel is the mean of its neighbours
    (Laplace's equation), solved from coarse to fine with a few rounds of averaging on each level. AUTOMATIC1111 gets
    much the same from blurs of falling radius.

    Args:
        image: RGB.
        mask: uint8 (H, W), 255 = fill, 0 = keep. A picture without a known pixel becomes mid-grey.
    """
    pixels = np.asarray(image, np.float32)
    known = (mask < 128).astype(np.float32)
    return Image.fromarray(_membrane(pixels * known[..., None], known).clip(0, 255).round().astype(np.uint8))


def _membrane(colours: NDArray[np.float32], weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Span from colours times weight (H, W, 3) and their weights (H, W); what has a weight above 0 stays."""
    height, width = weight.shape
    held = (weight > 0)[..., None]
    own = np.asarray(colours / np.maximum(weight, np.float32(1e-6))[..., None], np.float32)
    if held.all():
        return own
    if max(height, width) <= 2:
        total = float(weight.sum())
        mean = colours.sum((0, 1)) / total if total else np.full(3, 127.5)
        return np.where(held, own, mean.astype(np.float32))
    half = ((width + 1) // 2, (height + 1) // 2)
    coarse = _membrane(*(cv2.resize(values, half, interpolation=cv2.INTER_AREA) for values in (colours, weight)))
    spanned = np.where(held, own, cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR))
    for _ in range(_ROUNDS):
        spanned = np.where(held, own, cv2.blur(spanned, (3, 3), borderType=cv2.BORDER_REPLICATE))
    return spanned
