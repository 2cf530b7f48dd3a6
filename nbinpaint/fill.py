"""Fill the masked part of a picture smoothly from what surrounds it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["fill_masked"]


def fill_masked(image: Image.Image, mask: NDArray[np.uint8]) -> Image.Image:
    """Replace what is masked by colours that go over smoothly into their surroundings; the rest keeps its bytes.

    A pyramid of ever coarser averages over the known pixels alone, laid over each other from the coarsest to the finest
    (push-pull; Gortler et al. 1996, "The Lumigraph"). AUTOMATIC1111 gets much the same from blurs of falling radius.

    Args:
        image: RGB.
        mask: uint8 (H, W), 255 = fill, 0 = keep. A picture without a known pixel becomes mid-grey.
    """
    pixels = np.asarray(image, np.float32)
    known = (mask < 128).astype(np.float32)
    filled = _filled(pixels * known[..., None], known)
    return Image.fromarray(np.where(known[..., None] > 0, pixels, filled.clip(0, 255)).round().astype(np.uint8))


def _filled(weighted: NDArray[np.float32], weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return colours everywhere from colours times weight (H, W, 3) and weights (H, W)."""
    height, width = weight.shape
    own = weighted / np.maximum(weight, 1e-6)[..., None]
    if min(height, width) <= 1 or weight.min() >= 1:
        return np.where(weight[..., None] > 0, own, np.float32(127.5))
    coarse = _filled(cv2.pyrDown(weighted), cv2.pyrDown(weight))
    under = cv2.pyrUp(coarse, dstsize=(width, height))
    share = np.minimum(weight, 1)[..., None]
    return np.asarray(share * own + (1 - share) * under, np.float32)
