"""What the tests of loading share: small models in folders, an empty hub cache, and a hub of their own."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import families
import pytest
import torch
from hub import Hub, running_hub
from huggingface_hub import constants
from models import random_pipeline


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty hub cache, and a hub at a port of this machine where nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    use_hub(monkeypatch, address)
    return tmp_path / "hub"


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def use_hub(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with running_hub() as running:
        use_hub(monkeypatch, running.address)
        yield running


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with plain weights."""
    folder = tmp_path_factory.mktemp("plain") / "small-1.5"
    random_pipeline().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def half(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with fp16 weights alone."""
    folder = tmp_path_factory.mktemp("half") / "small"
    random_pipeline().to(torch.float16).save_pretrained(folder, variant="fp16")
    return folder


@pytest.fixture(scope="session")
def both(plain: Path, half: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with plain and fp16 weights."""
    folder = tmp_path_factory.mktemp("both") / "small"
    shutil.copytree(half, folder)
    shutil.copytree(plain, folder, dirs_exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def xl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of SDXL's kind."""
    folder = tmp_path_factory.mktemp("xl") / "small-xl"
    families.sdxl().save_pretrained(folder)
    return folder


@pytest.fixture
def copy(plain: Path, tmp_path: Path) -> Path:
    """A folder that a test may spoil."""
    return Path(shutil.copytree(plain, tmp_path / "copy"))


@pytest.fixture(scope="session")
def other_vae(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of another VAE that goes with the small models."""
    torch.manual_seed(1234)
    folder = tmp_path_factory.mktemp("vae") / "better-vae"
    vae = random_pipeline().vae
    for weight in vae.parameters():
        weight.data += 0.01 * torch.randn_like(weight)
    vae.save_pretrained(folder)
    return folder
