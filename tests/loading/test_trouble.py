"""Damaged files and too little memory: a sentence that says what to do."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from attempts import REPO, load, refused
from checkpoints import (
    edit_json,
    single_file,
)
from hub import Hub
from models import random_pipeline

from nbinpaint.engine import calm, devices


def test_a_file_cut_short_is_named(copy: Path) -> None:
    file = copy / "unet" / "diffusion_pytorch_model.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[:-100])
    refused(str(file), f"damaged: it is {len(whole) - 100} bytes long instead of {len(whole)}", "again", model=copy)
    file.write_bytes(b"<html>not found</html>")
    refused(str(file), "damaged", model=copy)


def test_a_damaged_configuration_is_named(copy: Path) -> None:
    (copy / "model_index.json").write_text("{")
    refused("model_index.json is damaged: it is not JSON", model=copy)


def test_a_ckpt_that_holds_more_than_weights_is_not_run(tmp_path: Path) -> None:
    torch.save({"state_dict": {}, "hook": calm.LoadingBar}, tmp_path / "odd.ckpt")
    refused("holds Python objects", "convert it to .safetensors", model=tmp_path / "odd.ckpt")
    (tmp_path / "cut.ckpt").write_bytes(b"PK\x03\x04")
    refused("is damaged", model=tmp_path / "cut.ckpt")


def test_a_part_that_is_missing_is_named(copy: Path) -> None:
    shutil.rmtree(copy / "text_encoder")
    refused("lacks files of text_encoder", "download or save it again", model=copy)


def test_a_tokenizer_without_its_words_is_missed(copy: Path) -> None:
    for file in (copy / "tokenizer").iterdir():
        file.unlink()
    (copy / "tokenizer" / "tokenizer_config.json").write_text("{}")
    refused("lacks files of tokenizer", "download or save it again", model=copy)


def test_weights_of_another_shape_are_refused(copy: Path) -> None:
    edit_json(copy / "unet" / "config.json", block_out_channels=[16, 64])
    refused("cannot be loaded: its weights do not fit its configuration", model=copy)


def test_other_input_channels_are_refused(tmp_path: Path) -> None:
    random_pipeline(5).save_pretrained(tmp_path / "odd")
    refused("takes 5 input channels; allowed: 4 (base) or 9 (inpainting)", model=tmp_path / "odd")


def test_a_missing_package_is_named(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lacking(*args: Any, **options: Any) -> None:
        raise ImportError("this tokenizer requires the sentencepiece library")

    monkeypatch.setattr(diffusers.UNet2DConditionModel, "from_pretrained", lacking)
    refused("needs a package that is missing: pip install sentencepiece", model=copy)


def test_a_model_larger_than_the_memory_is_not_even_downloaded(
    hub: Hub, plain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.repos[REPO] = plain
    size = sum(file.stat().st_size for file in plain.rglob("*.safetensors"))
    monkeypatch.setattr(devices, "free_memory", lambda device: size - 200_000)
    refused("needs about", "for its weights in float32", "cpu has", "free", "dtype='bfloat16'", "smaller model")
    assert not any(name.endswith(".safetensors") for name in hub.sent)
    refused("needs about", "for its weights in float32", model=plain)
    assert load(plain, dtype="bfloat16").dtype == torch.bfloat16


def test_a_single_file_larger_than_the_memory_is_refused(plain: Path, tmp_path: Path, monkeypatch: Any) -> None:
    file = single_file(random_pipeline(), tmp_path / "small.safetensors")
    monkeypatch.setattr(devices, "free_memory", lambda device: 1000)
    refused("needs about", "choose dtype='bfloat16' or a smaller model", model=file, config=plain)


def test_memory_that_runs_out_on_the_way_is_said(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any, **options: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(diffusers.UNet2DConditionModel, "from_pretrained", full)
    refused("needs more memory than there is", "smaller model", model=copy)


def test_the_memory_of_a_container_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"memory.max": "1000", "memory.current": "700", "memory.stat": "anon 1\ninactive_file 100\nactive_file 50"}
    for name, value in values.items():
        (tmp_path / name).write_text(value)
    monkeypatch.setattr(devices, "_CGROUP", tmp_path)
    assert devices.free_memory(torch.device("cpu")) == 450
    (tmp_path / "memory.max").write_text("max")
    assert (devices.free_memory(torch.device("cpu")) or 0) > 1000
