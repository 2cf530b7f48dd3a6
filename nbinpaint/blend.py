"""The final blend of soft inpainting: the result shows where the picture has changed."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from .soft import SoftInpainting

__all__ = ["weight_of_change"]


def weight_of_change(
    distance: NDArray[np.float32], painted: NDArray[np.float32], soft: SoftInpainting, size: tuple[int, int]
) -> NDArray[np.float32]:
    """Return how much of the generated picture goes into the result, from how far its latents have moved.

    The weight is a half where they have moved by the difference threshold t, and `1 - s(1 / (1 + (d / t) ** c))` at a
    distance d, with the difference contrast c and a smooth step s. Mask influence m mixes a threshold of its own in for
    each place by how little it is painted. The settings are AUTOMATIC1111's; what evens out single latents here is a
    maximum and a median over three by three.

    Args:
        distance: float32 (h, w), length of the difference between the source's latents and the result's.
        painted: float32 (h, w), how strongly each latent is painted, 0 to 1.
        soft: The settings.
        size: (width, height) of the weight.

    Returns:
        float32 (height, width), 0 to 1.
    """
    moved = cv2.medianBlur(cv2.dilate(distance, np.ones((3, 3), np.uint8)), 3)
    kept = 1 - painted.clip(0, 1) ** (soft.preservation / 2)
    share = 0.5 * (1 - soft.mask_influence) + kept * soft.mask_influence
    threshold = np.maximum(soft.difference_threshold * share / (1.00001 - share), 1e-6)
    source = 1 / (1 + (moved / threshold) ** soft.difference_contrast)
    weight = 1 - source**3 * (source * (6 * source - 15) + 10)
    return np.asarray(cv2.resize(weight.astype(np.float32), size, interpolation=cv2.INTER_LINEAR).clip(0, 1))
