"""Fixtures that several test modules share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
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


@pytest.fixture
def photo() -> Image.Image:
    return smooth_image(96, 64)


@pytest.fixture
def mask() -> np.ndarray:
    return box_mask(96, 64, (32, 16, 64, 48))


@pytest.fixture(scope="session")
def random_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A diffusers folder of a 9-channel model with random weights."""
    from models import random_folder

    return random_folder(tmp_path_factory.mktemp("models") / "random-inpainting")


@pytest.fixture(scope="session")
def random_base_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with 4 input channels, as text-to-image models have."""
    from models import random_folder

    return random_folder(tmp_path_factory.mktemp("models") / "random-base", unet_channels=4)
