"""Bring the colours of one picture towards those of another."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage.exposure import match_histograms

__all__ = ["match_colors"]


def match_colors(image: Image.Image, reference: Image.Image) -> Image.Image:
    """Match the colour histograms of a picture to a reference's, in CIELAB; lightness stays its own.

    Each of the channels a and b is mapped so that its cumulative histogram is the reference's. Keeping lightness is
    what AUTOMATIC1111's color correction comes to, which lays the matched colours under the picture's own luminosity.

    Args:
        image: RGB.
        reference: RGB, of any size.

    Returns:
        RGB of the picture's size.
    """
    lab, wanted = _lab(image), _lab(reference)
    lab[..., 1:] = match_histograms(lab[..., 1:], wanted[..., 1:], channel_axis=2)
    rgb = cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)
    return Image.fromarray(np.rint(rgb.clip(0, 1) * 255).astype(np.uint8))


def _lab(image: Image.Image) -> NDArray[np.float32]:
    return np.asarray(cv2.cvtColor(np.asarray(image, np.float32) / 255, cv2.COLOR_RGB2LAB), np.float32)
