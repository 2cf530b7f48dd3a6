"""Fixtures that several test modules share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pictures import box_mask, smooth_image
from PIL import Image


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


@pytest.fixture(autouse=True)
def own_memory(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what is learned about this machine out of the user's own cache folder."""
    monkeypatch.setattr(
        "nbinpaint.remembered.cache_folder",
        lambda: Path(os.environ.get("XDG_CACHE_HOME") or tmp_path_factory.getbasetemp() / "cache") / "nbinpaint",
    )


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Networks as small as the tests' are slowed down by threads."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def engine(random_model: Path) -> Any:
    """A fresh engine, so that tests may break it."""
    from nbinpaint.engine import models
    from nbinpaint.engine.diffusion import DiffusionEngine

    return DiffusionEngine(models.load_model(random_model, device="cpu", dtype="float64"), rows=6)
