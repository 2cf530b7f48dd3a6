"""Pictures and masks that tests are made on."""

from __future__ import annotations

import numpy as np
from PIL import Image


def smooth_image(width: int, height: int, seed: int = 0) -> Image.Image:
    """A smooth random picture, so that resizing it means something."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


def box_mask(width: int, height: int, box: tuple[int, int, int, int]) -> np.ndarray:
    """A mask that is 255 inside the box (x0, y0, x1, y1)."""
    mask = np.zeros((height, width), np.uint8)
    mask[box[1] : box[3], box[0] : box[2]] = 255
    return mask
