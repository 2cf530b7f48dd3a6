"""VAEs and LoRAs by name."""

from __future__ import annotations

import shutil
from pathlib import Path

import diffusers
import families
import pytest
import torch
from attempts import REPO, load, picture, refused
from checkpoints import (
    edit_json,
    random_lora,
    single_file,
    vae_state,
)
from hub import Hub
from models import random_pipeline
from safetensors.torch import load_file, save_file

from nbinpaint.engine import models


def test_a_vae_is_taken_from_a_folder_a_file_or_the_hub(
    plain: Path, other_vae: Path, cache: Path, hub: Hub, tmp_path: Path
) -> None:
    expected = load(plain, vae=other_vae)
    own = load(plain)
    assert expected.name == "small-1.5 + better-vae"
    assert expected.fingerprint != own.fingerprint
    vae = diffusers.AutoencoderKL.from_pretrained(other_vae)
    for key, value in expected.pipeline.vae.state_dict().items():
        assert torch.equal(value, vae.state_dict()[key])
    file = tmp_path / "better.safetensors"
    save_file({key: value.clone().contiguous() for key, value in vae_state(vae).items()}, file)
    hub.repos["somebody/better"] = other_vae
    shutil.copytree(plain, tmp_path / "whole")
    shutil.copytree(other_vae, tmp_path / "whole" / "vae", dirs_exist_ok=True)
    for other in (file, "somebody/better", tmp_path / "whole"):
        assert load(plain, vae=other).fingerprint == expected.fingerprint
    assert picture(model=plain, vae=file) != picture(model=plain)


def test_the_models_own_vae_is_not_downloaded_for_nothing(hub: Hub, plain: Path, other_vae: Path) -> None:
    hub.repos[REPO] = plain
    load(REPO, vae=other_vae)
    assert "vae/diffusion_pytorch_model.safetensors" not in hub.sent


def test_a_tiny_vae_is_taken_from_a_folder_or_a_file(copy: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    tiny = diffusers.AutoencoderTiny()
    tiny.save_pretrained(tmp_path / "taesd")
    edit_json(copy / "vae" / "config.json", block_out_channels=[8, 16, 16, 16])
    folder = load(copy, vae=tmp_path / "taesd")
    file = load(copy, vae=tmp_path / "taesd" / "diffusion_pytorch_model.safetensors")
    assert type(file.pipeline.vae) is diffusers.AutoencoderTiny
    assert folder.fingerprint == file.fingerprint


def test_a_vae_of_other_latents_is_refused(plain: Path, other_vae: Path, tmp_path: Path) -> None:
    wide = diffusers.AutoencoderKL(
        block_out_channels=(8, 16),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=16,
        norm_num_groups=4,
    )
    wide.save_pretrained(tmp_path / "wide")
    refused("vae=", "does not go with this model", "16 latent channels", "needs 4", model=plain, vae=tmp_path / "wide")
    refused("is not a VAE: it is a UNet2DConditionModel", model=plain, vae=plain / "unet")
    refused("has no VAE", model=plain, vae=plain / "tokenizer")
    lora = random_lora(tmp_path / "lora.safetensors", random_pipeline().unet)
    refused("is not a VAE", model=plain, vae=lora)
    refused("vae='somebody/none'", "connect to the network", model=plain, vae="somebody/none")


def test_the_vae_that_overflows_in_float16_stays_exact(xl: Path, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="float16"):
        model = load(xl, dtype="float16")
    assert (model.dtype, model.vae_dtype, model.pipeline.unet.dtype) == (torch.float16, torch.float32, torch.float16)
    whole = load(xl).pipeline.vae.state_dict()
    assert all(torch.equal(value, whole[key]) for key, value in model.pipeline.vae.state_dict().items())
    file = single_file(families.sdxl(), tmp_path / "small.safetensors")
    with pytest.warns(UserWarning, match="float16"):
        assert load(file, config=xl, dtype="float16").fingerprint == model.fingerprint
    sound = Path(shutil.copytree(xl, tmp_path / "sound"))
    edit_json(sound / "vae" / "config.json", force_upcast=False)
    with pytest.warns(UserWarning, match="float16"):
        assert load(sound, dtype="float16").vae_dtype == torch.float16
    assert load(xl, dtype="bfloat16").vae_dtype == torch.bfloat16


def test_a_lora_is_in_the_weights_and_costs_nothing(plain: Path, tmp_path: Path) -> None:
    own = load(plain)
    file = random_lora(tmp_path / "red.safetensors", own.pipeline.unet)
    model = load(plain, lora={file: 0.8})
    assert model.name == "small-1.5 + red:0.8"
    assert model.fingerprint != own.fingerprint
    lora, before = load_file(file), own.pipeline.unet.state_dict()
    after = model.pipeline.unet.state_dict()
    assert list(after) == list(before)
    for key, value in after.items():
        name = f"unet.{key.removesuffix('.weight')}"
        change = lora[f"{name}.lora_B.weight"] @ lora[f"{name}.lora_A.weight"] if f"{name}.lora_A.weight" in lora else 0
        assert torch.allclose(value, before[key] + 0.8 * change, atol=1e-5)
    assert picture(model=plain, lora=file) != picture(model=plain)


def test_several_loras_add_up(plain: Path, tmp_path: Path) -> None:
    unet = load(plain).pipeline.unet
    red = random_lora(tmp_path / "red.safetensors", unet)
    model = load(plain, lora={red: 0.5, random_lora(tmp_path / "in" / "a_folder.safetensors", unet).parent: 0.3})
    assert model.name == "small-1.5 + red:0.5 + in:0.3"
    whole = load(plain, lora={str(red): 0.8}).pipeline.unet.state_dict()
    for key, value in model.pipeline.unet.state_dict().items():
        assert torch.allclose(value, whole[key], atol=1e-5)


def test_a_lora_of_the_hub_is_found(hub: Hub, plain: Path, tmp_path: Path) -> None:
    unet = load(plain).pipeline.unet
    random_lora(tmp_path / "one" / "red.safetensors", unet)
    hub.repos["somebody/one"] = tmp_path / "one"
    expected = load(plain, lora=tmp_path / "one" / "red.safetensors").fingerprint
    assert load(plain, lora="somebody/one").fingerprint == expected
    asked = hub.asked
    assert load(plain, lora=["somebody/one/red.safetensors"]).fingerprint == expected
    assert hub.asked == asked
    random_lora(tmp_path / "two" / "a.safetensors", unet)
    random_lora(tmp_path / "two" / "b.safetensors", unet)
    hub.repos["somebody/two"] = tmp_path / "two"
    refused("several files", "a.safetensors, b.safetensors", model=plain, lora="somebody/two")
    assert load(plain, lora="somebody/two/b.safetensors").name == "small-1.5 + b:1"


def test_what_is_no_lora_for_this_model_is_refused(plain: Path, xl: Path, tmp_path: Path) -> None:
    refused("has no usable weight; allowed: a number", model=plain, lora={plain: "strong"})
    refused("is not a LoRA", model=plain, lora=plain / "unet" / "diffusion_pytorch_model.safetensors")
    refused("has no .safetensors file", model=plain, lora=tmp_path)
    refused("lora='somebody/none'", "connect to the network", model=plain, lora="somebody/none")
    other = random_lora(tmp_path / "xl.safetensors", families.sdxl().unet)
    refused("does not fit this model", "another family", model=plain, lora=other)
    save_file({"transformer.block.lora_A.weight": torch.ones(2, 2)}, tmp_path / "flux.safetensors")
    refused("does not fit this model", model=plain, lora=tmp_path / "flux.safetensors")


def test_loras_need_a_package_and_name_it(plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = random_lora(tmp_path / "red.safetensors", random_pipeline().unet)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    refused("pip install 'nbinpaint[lora]'", model=plain, lora=file)


def test_the_fingerprint_covers_every_text_encoder(xl: Path) -> None:
    model = load(xl)
    before = model.fingerprint
    again = models.Model(model.name, model.pipeline, model.device, model.dtype)
    assert again.fingerprint == before
    with torch.no_grad():
        model.pipeline.text_encoder_2.text_projection.weight += 1
    assert models.Model(model.name, model.pipeline, model.device, model.dtype).fingerprint != before
