"""Small models written as people have them: in a hub cache, as one file under the first key names, as LoRAs."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

State = Mapping[str, torch.Tensor]
COMMIT = "0123456789abcdef0123456789abcdef01234567"

_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}
_UNET = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
_OPEN_CLIP = {"layer_norm1": "ln_1", "layer_norm2": "ln_2", "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj"}


def _renamed(key: str, names: Mapping[str, str]) -> str:
    stem, _, ending = key.rpartition(".")
    return f"{names.get(stem, stem)}.{ending}"


def _unet_key(key: str, layers: int, levels: int) -> str:
    match = re.fullmatch(
        r"(down|up|mid)_blocks?\.(?:(\d+)\.)?(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.+)", key
    )
    if match is None:
        return _renamed(key, _UNET)
    side, block, kind, index, rest = match[1], int(match[2] or 0), match[3], int(match[4]), match[5]
    rest = _renamed(rest, _RESNET) if kind == "resnets" else rest
    if side == "mid":
        return f"middle_block.{2 * index + (kind == 'attentions')}.{rest}"
    if kind == "downsamplers":
        return f"input_blocks.{(block + 1) * (layers + 1)}.0.{rest.replace('conv', 'op')}"
    if side == "down":
        return f"input_blocks.{block * (layers + 1) + index + 1}.{int(kind == 'attentions')}.{rest}"
    if kind == "upsamplers":
        return f"output_blocks.{block * (layers + 1) + layers}.2.{rest}"
    return f"output_blocks.{block * (layers + 1) + index}.{int(kind == 'attentions')}.{rest}"


def _vae_key(key: str, levels: int) -> str:
    key = key.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
    key = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", key)
    if match := re.fullmatch(r"(.+)\.mid_block\.attentions\.0\.(.+)", key):
        return f"{match[1]}.mid.attn_1.{_renamed(match[2], _ATTENTION)}"
    key = re.sub(r"down_blocks\.(\d)\.resnets", r"down.\1.block", key)
    key = re.sub(r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", key)
    key = re.sub(r"up_blocks\.(\d)\.resnets", lambda m: f"up.{levels - 1 - int(m[1])}.block", key)
    return re.sub(r"up_blocks\.(\d)\.upsamplers\.0", lambda m: f"up.{levels - 1 - int(m[1])}.upsample", key)


def vae_state(vae: Any) -> dict[str, torch.Tensor]:
    """A VAE's weights under the first key names, without their prefix."""
    levels = len(vae.config.block_out_channels)
    state = {_vae_key(key, levels): value for key, value in vae.state_dict().items()}
    return {
        key: value[..., None, None] if ".attn_1." in key and value.ndim == 2 else value for key, value in state.items()
    }


def _open_clip(model: Any, prefix: str) -> dict[str, torch.Tensor]:
    state = {key.removeprefix("text_model."): value for key, value in model.state_dict().items()}
    names = {
        "embeddings.token_embedding.weight": "token_embedding.weight",
        "embeddings.position_embedding.weight": "positional_embedding",
        "final_layer_norm.weight": "ln_final.weight",
        "final_layer_norm.bias": "ln_final.bias",
    }
    found = {f"{prefix}{new}": state[old] for old, new in names.items()}
    if "text_projection.weight" in state:
        found[f"{prefix}text_projection"] = state["text_projection.weight"].T
    for key, value in state.items():
        match = re.fullmatch(r"encoder\.layers\.(\d+)\.(.+)", key)
        if match is None:
            continue
        block = f"{prefix}transformer.resblocks.{match[1]}."
        if (inner := re.fullmatch(r"self_attn\.q_proj\.(weight|bias)", match[2])) is not None:
            three = [state[key.replace("q_proj", f"{letter}_proj")] for letter in "qkv"]
            found[f"{block}attn.in_proj_{inner[1]}"] = torch.cat(three)
        elif "self_attn.out_proj" in match[2]:
            found[block + match[2].replace("self_attn", "attn")] = value
        elif "self_attn" not in match[2]:
            found[block + _renamed(match[2], _OPEN_CLIP)] = value
    return found


def single_file(pipeline: Any, file: Path) -> Path:
    """Write a pipeline's weights as one .safetensors or .ckpt file under the first key names."""
    config = pipeline.unet.config
    layers, levels = config.layers_per_block, len(config.block_out_channels)
    state = {
        f"model.diffusion_model.{_unet_key(key, layers, levels)}": value
        for key, value in pipeline.unet.state_dict().items()
    }
    state |= {f"first_stage_model.{key}": value for key, value in vae_state(pipeline.vae).items()}
    xl = hasattr(pipeline, "text_encoder_2")
    prefix = "conditioner.embedders.0" if xl else "cond_stage_model"
    for key, value in pipeline.text_encoder.state_dict().items():
        state[f"{prefix}.transformer.text_model.{key.removeprefix('text_model.')}"] = value
    if xl:
        state |= _open_clip(pipeline.text_encoder_2, "conditioner.embedders.1.model.")
    state = {key: value.clone().contiguous() for key, value in state.items()}
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix == ".ckpt":
        torch.save({"state_dict": state}, file)
    else:
        save_file(state, file)
    return file


def cache_repo(cache: Path, repo: str, folder: Path, files: Iterable[str] | None = None) -> Path:
    """Put a folder's files into a hub cache as a download of `repo` would, and return the snapshot's folder."""
    home = cache / f"models--{repo.replace('/', '--')}"
    snapshot = home / "snapshots" / COMMIT
    (home / "refs").mkdir(parents=True, exist_ok=True)
    (home / "refs" / "main").write_text(COMMIT)
    for file in folder.rglob("*"):
        name = file.relative_to(folder).as_posix()
        if file.is_file() and (files is None or name in files):
            blob = home / "blobs" / name.replace("/", "-")
            blob.parent.mkdir(exist_ok=True)
            shutil.copy(file, blob)
            (snapshot / name).parent.mkdir(parents=True, exist_ok=True)
            (snapshot / name).unlink(missing_ok=True)
            (snapshot / name).symlink_to(blob)
    return snapshot


def random_lora(file: Path, unet: Any, scale: float = 1.0) -> Path:
    """Write a LoRA of rank 2 for every attention of a UNet."""
    generator = torch.Generator().manual_seed(7)
    state = {}
    for name, module in unet.named_modules():
        if re.search(r"attn\d\.to_(q|k|v|out\.0)$", name):
            rows, columns = module.weight.shape
            state[f"unet.{name}.lora_A.weight"] = torch.randn(2, columns, generator=generator)
            state[f"unet.{name}.lora_B.weight"] = scale * torch.randn(rows, 2, generator=generator)
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file(state, file)
    return file


def edit_json(file: Path, **values: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | values))
