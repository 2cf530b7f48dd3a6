"""Which model a name means, what it is loaded with, and that it is loaded once."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import diffusers
import families
import pytest
import torch
from attempts import REPO, load, refused
from checkpoints import (
    cache_repo,
    edit_json,
    random_lora,
    single_file,
)
from hub import Hub
from models import random_pipeline
from safetensors.torch import load_file, save_file

import nbinpaint as nb
from nbinpaint.engine import calm, models
from nbinpaint.engine.classes import half_precision, pipeline_class
from nbinpaint.engine.devices import find_dtype
from nbinpaint.engine.places import locate


def test_a_folder_keeps_the_dots_of_its_name(plain: Path) -> None:
    assert load(plain).name == "small-1.5"
    assert load("embedded").name == "embedded"


def test_the_folder_one_is_in_has_its_name_too(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(plain)
    assert locate(".").label == "small-1.5"


@pytest.mark.parametrize(
    ("name", "repo", "inside"),
    [
        ("owner/name", "owner/name", None),
        ("owner/some.model-1.5/unet/file.safetensors", "owner/some.model-1.5", "unet/file.safetensors"),
        ("https://huggingface.co/owner/name", "owner/name", None),
        ("https://huggingface.co/owner/name/blob/main/a.safetensors", "owner/name", "a.safetensors"),
        ("https://huggingface.co/owner/name/resolve/main/a.safetensors?download=true", "owner/name", "a.safetensors"),
    ],
)
def test_hub_names_are_read_in_every_spelling(name: str, repo: str, inside: str | None) -> None:
    place = locate(name)
    assert (place.repo, place.inside) == (repo, inside)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("embeded", ["did you mean 'embedded'", "hub id", "diffusers folder", ".safetensors"]),
        ("/nowhere/model.safetensors", ["/nowhere/model.safetensors", "is not there"]),
        ("./here", ["'./here' is not there"]),
        (Path("owner/name"), ["is not there"]),
        ("", ["is not there"]),
        (3, ["model=3 is not a name"]),
    ],
)
def test_a_name_that_leads_nowhere_is_refused_at_once(name: Any, words: list[str]) -> None:
    refused(*words, model=name)


@pytest.mark.parametrize("field", ["vae", "lora", "config"])
def test_names_beside_the_model_are_looked_up_before_it_is_loaded(field: str, plain: Path, tmp_path: Path) -> None:
    file = single_file(random_pipeline(), tmp_path / "small.safetensors")
    model = file if field == "config" else plain
    refused(f"{field}='/nowhere' is not there; allowed", model=model, **{field: "/nowhere"})


def test_device_and_number_format_suit_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu, cuda, mps = torch.device("cpu"), torch.device("cuda"), torch.device("mps")
    modern = [True]
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **options: modern[0])
    flux = half_precision(diffusers.FluxFillPipeline)
    assert find_dtype(None, cpu) == find_dtype(None, cpu, flux) == torch.float32
    assert find_dtype(None, cuda) == find_dtype(None, mps) == torch.float16
    assert find_dtype(None, cuda, flux) == torch.bfloat16
    modern[0] = False
    assert find_dtype(None, cuda, flux) == torch.float16
    assert half_precision(diffusers.StableDiffusionXLInpaintPipeline) == torch.float16


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"device": "gpu"}, ["device='gpu' is unknown", "'cuda'"]),
        ({"device": "cuda:99"}, ["device='cuda:99' is not there", "leave device out"]),
        ({"dtype": "int8"}, ["dtype='int8' is unknown", "bfloat16"]),
        ({"config": "owner/name"}, ["config='owner/name' is for single files"]),
    ],
)
def test_what_the_machine_does_not_have_is_refused(options: dict[str, str], words: list[str]) -> None:
    refused(*words, model="embedded", **options)


def test_float16_on_the_cpu_is_warned_of_and_bfloat16_is_not(plain: Path) -> None:
    with pytest.warns(UserWarning, match="float16.* on the CPU is slow.*use 'float32', or 'bfloat16'"):
        load(plain, dtype="float16")
    assert load(plain, dtype="bfloat16").pipeline.unet.dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("named", "used"),
    [
        ("StableDiffusionPipeline", "StableDiffusionInpaintPipeline"),
        ("StableDiffusionXLPipeline", "StableDiffusionXLInpaintPipeline"),
        ("StableDiffusion3Pipeline", "StableDiffusion3InpaintPipeline"),
        ("FluxPipeline", "FluxInpaintPipeline"),
        ("FluxFillPipeline", "FluxFillPipeline"),
        ("QwenImagePipeline", "QwenImageInpaintPipeline"),
        ("ZImagePipeline", "ZImageInpaintPipeline"),
    ],
)
def test_each_model_is_inpainted_with_by_the_class_made_for_it(named: str, used: str) -> None:
    assert pipeline_class(named).__name__ == used


@pytest.mark.parametrize("model", ["plain", "xl"])
def test_a_base_model_is_loaded_as_one_that_inpaints(model: str, copy: Path, xl: Path, tmp_path: Path) -> None:
    folder = copy if model == "plain" else Path(shutil.copytree(xl, tmp_path / "base"))
    name = "StableDiffusionPipeline" if model == "plain" else "StableDiffusionXLPipeline"
    edit_json(folder / "model_index.json", _class_name=name)
    assert type(load(folder).pipeline).__name__ == name.replace("Pipeline", "InpaintPipeline")


def test_a_model_with_a_transformer_loads_too(tmp_path: Path) -> None:
    diffusers.StableDiffusion3Pipeline(**families.sd3().components).save_pretrained(tmp_path / "small-3")
    model = load(tmp_path / "small-3")
    assert type(model.pipeline) is diffusers.StableDiffusion3InpaintPipeline
    assert (model.name, model.dtype, model.vae_dtype) == ("small-3", torch.float32, torch.float32)
    assert load(tmp_path / "small-3").fingerprint == model.fingerprint
    with torch.no_grad():
        model.pipeline.transformer.pos_embed.proj.bias += 1
    assert models.Model(model.name, model.pipeline, model.device, model.dtype).fingerprint != model.fingerprint


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("StableVideoDiffusionPipeline", ["is a StableVideoDiffusionPipeline, which cannot inpaint", "choose a model"]),
        ("StableDiffusionControlNetInpaintPipeline", ["cannot inpaint from an image and a mask alone"]),
        ("TomorrowsPipeline", ["'TomorrowsPipeline' is not part of diffusers", "pip install -U diffusers"]),
        (["pipeline", "Own"], ["code of its own, which is not run"]),
    ],
)
def test_what_does_not_inpaint_is_refused_before_it_is_loaded(kind: Any, words: list[str], copy: Path) -> None:
    edit_json(copy / "model_index.json", _class_name=kind)
    shutil.rmtree(copy / "unet")
    refused(*words, model=copy)


def test_the_safety_checker_is_there_unless_left_out(copy: Path) -> None:
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
    from transformers import CLIPConfig, CLIPImageProcessor

    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    checker = StableDiffusionSafetyChecker(
        CLIPConfig(text_config=small, vision_config={**small, "image_size": 28, "patch_size": 14}, projection_dim=16)
    )
    checker.save_pretrained(copy / "safety_checker")
    CLIPImageProcessor().save_pretrained(copy / "feature_extractor")
    edit_json(
        copy / "model_index.json",
        safety_checker=["stable_diffusion", "StableDiffusionSafetyChecker"],
        feature_extractor=["transformers", "CLIPImageProcessor"],
        requires_safety_checker=True,
    )
    assert type(load(copy).pipeline.safety_checker) is StableDiffusionSafetyChecker
    shutil.rmtree(copy / "safety_checker")
    refused("lacks files of safety_checker", model=copy)
    assert load(copy, safety_checker=False).pipeline.safety_checker is None


def test_loading_shows_one_bar_and_no_noise(
    plain: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(calm, "BAR_AFTER", 0)
    load(plain, progress=True)
    out, err = capfd.readouterr()
    lines = [line for line in err.replace("\n", "\r").split("\r") if line.strip()]
    assert out == ""
    assert lines
    assert all(line.startswith("loading small-1.5:") for line in lines)
    assert any("unet" in line for line in lines)


def test_nothing_is_printed_without_progress(plain: Path, cache: Path, capfd: pytest.CaptureFixture[str]) -> None:
    cache_repo(cache, REPO, plain)
    load(REPO, progress=False)
    nb.load_engine(plain, device="cpu", progress=False)
    assert capfd.readouterr() == ("", "")


def test_a_download_shows_its_bars_only_with_progress(
    hub: Hub, plain: Path, cache: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    hub.repos[REPO] = plain
    load(REPO, progress=False)
    assert capfd.readouterr() == ("", "")
    shutil.rmtree(cache)
    load(REPO, progress=True)
    assert capfd.readouterr().err


def test_other_peoples_settings_are_put_back(plain: Path) -> None:
    from diffusers.utils import logging

    logging.set_verbosity_info()
    logging.enable_progress_bar()
    try:
        load(plain)
        refused("is not a VAE", model=plain, vae=plain / "unet")
        assert logging.get_verbosity() == logging.INFO
        assert logging.is_progress_bar_enabled()
    finally:
        logging.set_verbosity_warning()


def test_the_same_model_is_loaded_once_however_it_is_spelt(
    plain: Path, other_vae: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lora = random_lora(tmp_path / "red.safetensors", random_pipeline().unet)
    monkeypatch.chdir(plain.parent)
    options: dict[str, Any] = {"vae": str(other_vae), "lora": str(lora), "progress": False}
    engine = nb.load_engine(plain, device="cpu", **options)
    same: list[dict[str, Any]] = [
        {"model": str(plain)},
        {"model": plain.name, "device": torch.device("cpu")},
        {"model": Path("..") / plain.parent.name / plain.name, "dtype": "float32"},
        {"model": plain, "dtype": torch.float32, "lora": {lora: 1}, "vae": other_vae},
    ]
    with monkeypatch.context() as patch:
        patch.setattr(models, "_load", lambda *args: pytest.fail("it was loaded again"))
        for others in same:
            assert nb.load_engine(**{"device": "cpu", **options, **others}) is engine
    for others in ({"dtype": "float64"}, {"lora": {lora: 0.5}}, {"vae": None}, {"rows": 4}, {"safety_checker": False}):
        assert nb.load_engine(plain, device="cpu", **{**options, **others}) is not engine


def test_two_who_ask_at_once_get_one_engine(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load_once, loads = models._load, []

    def count(*args: Any) -> models.Model:
        loads.append(args)
        return load_once(*args)

    monkeypatch.setattr(models, "_load", count)
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(nb.load_engine, plain, device="cpu", dtype="bfloat16", progress=False) for _ in range(4)]
        engines = [future.result() for future in asked]
    assert len(loads) == 1
    assert len(set(map(id, engines))) == 1


def test_a_model_whose_files_have_changed_is_loaded_anew(copy: Path) -> None:
    engine = nb.load_engine(copy, device="cpu", progress=False)
    file = copy / "unet" / "diffusion_pytorch_model.safetensors"
    save_file({key: value + 1 for key, value in load_file(file).items()}, file)
    again = nb.load_engine(copy, device="cpu", progress=False)
    assert again is not engine
    assert again.fingerprint != engine.fingerprint
