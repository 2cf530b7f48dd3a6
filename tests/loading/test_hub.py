"""Models of the hub: from the cache, downloaded in the variant that suits, or refused in clear words."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from attempts import REPO, load, refused
from checkpoints import (
    cache_repo,
    single_file,
)
from hub import Hub
from models import random_pipeline

from nbinpaint.engine.weights import choose, wanted


def test_a_cached_model_loads_without_a_network(cache: Path, plain: Path) -> None:
    cache_repo(cache, REPO, plain)
    model = load(REPO)
    assert model.name == "small-inpainting"
    assert model.fingerprint == load(plain).fingerprint


@pytest.mark.parametrize("offline", ["1", None])
def test_without_a_network_it_is_said_what_to_do(
    offline: str | None, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if offline:
        monkeypatch.setenv("HF_HUB_OFFLINE", offline)
    advice = "unset HF_HUB_OFFLINE" if offline else "connect to the network"
    refused(REPO, str(cache), "not complete in the local hub cache", advice, "or give the path")


def test_a_cached_model_that_lacks_a_file_is_not_taken_for_whole(cache: Path, plain: Path) -> None:
    snapshot = cache_repo(cache, REPO, plain)
    (snapshot / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    refused("not complete in the local hub cache", "connect")


def test_half_precision_takes_the_half_download(hub: Hub, both: Path) -> None:
    hub.repos[REPO] = both
    model = load(REPO, dtype="bfloat16")
    weights = [name for name in hub.sent if name.endswith(".safetensors")]
    assert len(weights) == 3
    assert all(".fp16." in name for name in weights)
    asked = hub.asked
    assert load(REPO, dtype="bfloat16").fingerprint == model.fingerprint
    assert hub.asked == asked


def test_full_precision_takes_the_plain_weights(hub: Hub, both: Path, plain: Path) -> None:
    hub.repos[REPO] = both
    assert load(REPO).fingerprint == load(plain).fingerprint
    assert not any(".fp16." in name for name in hub.sent)


def test_a_repository_without_variants_serves_half_precision_too(hub: Hub, plain: Path) -> None:
    hub.repos[REPO] = plain
    assert load(REPO, dtype="bfloat16").dtype == torch.bfloat16
    assert sum(name.endswith(".safetensors") for name in hub.sent) == 3


def test_only_half_weights_serve_full_precision_with_a_word(cache: Path, half: Path) -> None:
    cache_repo(cache, REPO, half)
    with pytest.warns(UserWarning, match="only fp16 weights here: float32 holds rounded ones"):
        model = load(REPO)
    assert model.pipeline.unet.dtype == torch.float32


def test_a_variant_that_was_asked_for_is_used(cache: Path, both: Path, half: Path) -> None:
    cache_repo(cache, REPO, both)
    assert load(REPO, variant="fp16").fingerprint == load(half, variant="fp16").fingerprint
    assert load(REPO, variant="fp16").fingerprint != load(REPO).fingerprint


def test_a_missing_variant_is_named_with_those_there_are(hub: Hub, both: Path, plain: Path) -> None:
    refused("no variant 'bf16'", "variant='fp16'", "plain weights (leave variant out)", model=both, variant="bf16")
    hub.repos[REPO] = plain
    refused("no variant 'fp16'", "plain weights (leave variant out)", variant="fp16")
    assert not any(name.endswith(".safetensors") for name in hub.sent)


def test_a_variant_that_is_not_cached_and_cannot_be_asked_for_is_said(cache: Path, plain: Path) -> None:
    cache_repo(cache, REPO, plain)
    refused("variant='fp16' is not cached, only the plain weights", "connect to the network", variant="fp16")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((401, "RepoNotFound"), ["is not on the model hub", "check the spelling", "hf auth login"]),
        ((404, "RepoNotFound"), ["is not on the model hub"]),
        ((403, "GatedRepo"), ["is gated: accept its terms", REPO, "hf auth login"]),
        ((503, ""), ["status 503", "try again later"]),
    ],
)
def test_what_the_hub_refuses_is_explained(hub: Hub, answer: tuple[int, str], words: list[str]) -> None:
    hub.refused[REPO] = answer
    refused(REPO, *words)


def test_a_repository_of_single_files_says_which(hub: Hub, tmp_path: Path) -> None:
    single_file(random_pipeline(), tmp_path / "only" / "small.safetensors")
    hub.repos[REPO] = tmp_path / "only"
    refused("no model_index.json", f"'{REPO}/small.safetensors'")


def test_sharded_weights_count_only_when_all_are_there() -> None:
    index = {"unet": "UNet2DConditionModel"}
    shards = [f"unet/diffusion_pytorch_model.fp16-0000{i}-of-00002.safetensors" for i in (1, 2)]
    chosen = choose(["unet/config.json", *shards], index, ("fp16", None))
    assert chosen is not None
    assert chosen.files == shards
    assert choose(["unet/config.json", shards[0]], index, ("fp16", None)) is None


def test_a_variant_of_some_parts_is_filled_up_with_plain_ones() -> None:
    index = {"unet": "UNet2DConditionModel", "vae": "AutoencoderKL", "scheduler": "DDIMScheduler"}
    files = [
        "unet/diffusion_pytorch_model.fp16.safetensors",
        "unet/diffusion_pytorch_model.fp16.bin",
        "unet/diffusion_pytorch_model.non_ema.safetensors",
        "vae/diffusion_pytorch_model.bin",
        "scheduler/scheduler_config.json",
    ]
    chosen = choose(files, index, wanted(None, torch.float16).first)
    assert chosen is not None
    assert chosen.variant == "fp16"
    assert chosen.files == [files[0], files[3]]
    assert choose(files, index, (None,)) is None
