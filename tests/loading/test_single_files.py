"""Single files: the same model as the folder they were made from."""

from __future__ import annotations

from pathlib import Path

import diffusers
import families
import pytest
from attempts import REPO, load, picture, refused
from checkpoints import (
    cache_repo,
    random_lora,
    single_file,
    vae_state,
)
from hub import Hub
from models import random_pipeline
from safetensors.torch import save_file


def test_a_single_file_gives_the_picture_of_its_folder(plain: Path, tmp_path: Path) -> None:
    file = single_file(random_pipeline(), tmp_path / "small.safetensors")
    assert picture(model=file, config=plain) == picture(model=plain)


@pytest.mark.parametrize(("channels", "ending"), [(4, "safetensors"), (9, "ckpt")])
def test_a_single_file_is_the_model_of_its_folder(channels: int, ending: str, tmp_path: Path) -> None:
    pipeline = random_pipeline(channels)
    pipeline.save_pretrained(tmp_path / "folder")
    file = single_file(pipeline, tmp_path / f"small.{ending}")
    assert load(file, config=tmp_path / "folder").fingerprint == load(tmp_path / "folder").fingerprint


@pytest.mark.parametrize("channels", [9, 4])
def test_a_single_file_of_sdxl_is_the_model_of_its_folder(channels: int, tmp_path: Path) -> None:
    pipeline = families.sdxl(channels)
    pipeline.save_pretrained(tmp_path / "folder")
    file = single_file(pipeline, tmp_path / "small.safetensors")
    model = load(file, config=tmp_path / "folder")
    assert type(model.pipeline) is diffusers.StableDiffusionXLInpaintPipeline
    assert model.fingerprint == load(tmp_path / "folder").fingerprint


def test_a_single_file_takes_the_configuration_that_is_cached(cache: Path, plain: Path, tmp_path: Path) -> None:
    small = [f.relative_to(plain).as_posix() for f in plain.rglob("*") if f.suffix in {".json", ".txt"}]
    cache_repo(cache, "Lykon/dreamshaper-8-inpainting", plain, small)
    file = single_file(random_pipeline(), tmp_path / "small.safetensors")
    assert load(file).fingerprint == load(plain).fingerprint


def test_a_single_file_fetches_small_files_only(hub: Hub, plain: Path, tmp_path: Path) -> None:
    hub.repos["stable-diffusion-v1-5/stable-diffusion-inpainting"] = plain
    load(single_file(random_pipeline(), tmp_path / "small.safetensors"))
    assert "tokenizer/tokenizer.json" in hub.sent
    assert not any(name.endswith(".safetensors") for name in hub.sent)


def test_a_file_of_the_hub_loads(hub: Hub, plain: Path, tmp_path: Path) -> None:
    single_file(random_pipeline(), tmp_path / "repo" / "small.safetensors")
    hub.repos[REPO] = tmp_path / "repo"
    model = load(f"{REPO}/small.safetensors", config=plain)
    assert (model.name, model.fingerprint) == ("small", load(plain).fingerprint)
    refused("no file 'other.safetensors'; it has small.safetensors", model=f"{REPO}/other.safetensors")


def test_a_single_file_without_a_configuration_says_how_to_give_one(tmp_path: Path) -> None:
    file = single_file(random_pipeline(), tmp_path / "small.safetensors")
    message = refused("single file of Stable Diffusion 1", "Or give config=", "connect to the network", model=file)
    assert "stable-diffusion-v1-5/stable-diffusion-inpainting" in message


def test_a_configuration_of_another_kind_is_refused(plain: Path, xl: Path, tmp_path: Path) -> None:
    file = single_file(random_pipeline(4), tmp_path / "base.safetensors")
    refused("describes a model with 9 input channels", "has 4", "config of a base model", model=file, config=plain)
    refused("config=", "no model_index.json", model=file, config=tmp_path)
    inpainting = single_file(random_pipeline(), tmp_path / "small.safetensors")
    refused("is of a StableDiffusionXLInpaintPipeline", "Stable Diffusion 1", model=inpainting, config=xl)
    refused("variant='fp16' is for folders and hub ids", model=file, variant="fp16")


def test_a_file_that_is_no_model_says_what_it_is(plain: Path, tmp_path: Path) -> None:
    pipeline = random_pipeline()
    lora = random_lora(tmp_path / "lora.safetensors", pipeline.unet)
    refused("is a LoRA: give it as lora=", "Stable Diffusion XL", model=lora)
    vae = tmp_path / "vae.safetensors"
    save_file({key: value.contiguous() for key, value in vae_state(pipeline.vae).items()}, vae)
    refused("give a VAE as vae=", model=vae)
    refused("is only a part of a model (a AutoencoderKL)", "model_index.json", model=plain / "vae")
    refused("is not a diffusers folder", repr(str(lora)), model=tmp_path)
