"""What changes a model after its choice: another VAE, and LoRAs, which are fused so that they cost nothing per step."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import torch

from ..errors import ModelError
from . import hub
from .classes import keeps_vae_exact
from .devices import is_out_of_memory, name_of
from .folders import Found
from .places import Place
from .weights import choose, listing, shapes, wanted

__all__ = ["Lora", "VaeFiles", "find_loras", "find_vae", "fuse", "read_vae"]

_VAES = ("AutoencoderKL", "AutoencoderTiny")
_TINY_KEY = "encoder.layers.0.weight"
_KL_KEYS = ("first_stage_model.encoder.conv_in.weight", "encoder.conv_in.weight")


@dataclass(frozen=True)
class Lora:
    """A LoRA that is there.

    Attributes:
        label: What people call it.
        file: Its weights.
        weight: How strongly it works; 1 as it was trained.
    """

    label: str
    file: Path
    weight: float


@dataclass(frozen=True)
class VaeFiles:
    """A VAE that is there.

    Attributes:
        place: How it was named.
        kind: Its class.
        path: Its folder, or its single file.
        part: The folder in `path` that holds it, "" for none.
        variant: Variant of its weights.
    """

    place: Place
    kind: str
    path: Path
    part: str = ""
    variant: str | None = None


def find_loras(named: Iterable[tuple[Place, float]]) -> list[Lora]:
    """Find the files of LoRAs; those of the hub are downloaded unless the cache has them.

    Raises:
        ModelError: There is no LoRA, or the package for them is missing.
    """
    named = list(named)
    if named and importlib.util.find_spec("peft") is None:
        raise ModelError("LoRAs need the package peft: pip install 'nbinpaint[lora]'")
    return [Lora(place.label, _lora_file(place), weight) for place, weight in named]


def _lora_file(place: Place) -> Path:
    folder = place.path if place.path else hub.cached_folder(place.repo or "")
    file: Path | None = None
    if place.inside:
        file = hub.fetch(place, place.inside)
    elif place.path and place.path.is_file():
        file = place.path
    elif folder and (only := _only_lora(place, listing(folder), strict=bool(place.path))):
        file = folder / only
    elif place.repo and (only := _only_lora(place, hub.offered(place), strict=True)):
        file = hub.fetch(place, only)
    assert file is not None
    if not any("lora" in key for key in shapes(file)):
        raise place.error("is not a LoRA: no key in it has that word; a whole model goes first, a VAE as vae=")
    return file


def _only_lora(place: Place, files: Iterable[str], *, strict: bool) -> str | None:
    """Return the one file that holds the LoRA; where it cannot be told, an error if strict, None if not."""
    found = [file for file in files if file.endswith(".safetensors")]
    if usual := [file for file in found if file.endswith("pytorch_lora_weights.safetensors")]:
        return usual[0]
    if len(found) == 1:
        return found[0]
    if not strict:
        return None
    if not found:
        raise place.error("has no .safetensors file: give a LoRA's file, a folder or a hub id that has one")
    raise place.error(f"has several files; add one of these to it: {', '.join(sorted(found)[:8])}")


def find_vae(place: Place, dtype: torch.dtype) -> VaeFiles:
    """Find the files of a VAE; those of the hub are downloaded unless the cache has them.

    Args:
        place: A folder, a hub id or a single file.
        dtype: The number format to load it in.

    Raises:
        ModelError: There is no VAE.
    """
    if place.inside or (place.path and place.path.is_file()):
        file = hub.fetch(place, place.inside or "") if place.inside else place.path
        assert file is not None
        keys = shapes(file)
        if not any(key in keys for key in (_TINY_KEY, *_KL_KEYS)):
            raise place.error("is not a VAE: it has no encoder of pictures")
        return VaeFiles(place, _VAES[_TINY_KEY in keys], file)
    folder = place.path or hub.cached_folder(place.repo or "")
    if folder and (found := _vae_of(place, folder, listing(folder), dtype)):
        return found
    if place.repo is None:
        raise place.error("has no VAE: give a folder with its config.json and weights, or one with a vae folder inside")
    files = hub.offered(place)
    part = "vae" if "vae/config.json" in files else ""
    chosen = choose(files, {part: ""}, sum(wanted(None, dtype), ()))
    if chosen is None or f"{part}/config.json".lstrip("/") not in files:
        raise place.error("has no VAE: give a hub id with its config.json and weights, or of a whole model")
    folder = hub.download(place, [*chosen.files, f"{part}/config.json".lstrip("/")])
    found = _vae_of(place, folder, listing(folder), dtype)
    assert found is not None
    return found


def _vae_of(place: Place, folder: Path, files: Mapping[str, int], dtype: torch.dtype) -> VaeFiles | None:
    for part in ("vae", ""):
        config = folder / part / "config.json"
        chosen = choose(files, {part: ""}, sum(wanted(None, dtype), ())) if config.is_file() else None
        if chosen:
            kind = json.loads(config.read_text("utf-8")).get("_class_name", "")
            if not kind.startswith("Autoencoder") or getattr(diffusers, kind, None) is None:
                raise place.error(f"is not a VAE: it is a {kind or 'model of another library'}")
            return VaeFiles(place, kind, folder, part, chosen.variant)
    return None


def read_vae(found: VaeFiles, model: Found) -> Any:
    """Load a VAE and check that it goes with the model.

    Args:
        found: Its files.
        model: The model's files; a single file of a VAE is loaded with the model's own configuration.

    Raises:
        ModelError: Its latents are not those of the model.
    """
    kind = getattr(diffusers, found.kind)
    numbers = torch.float64 if model.dtype == torch.float64 else torch.float32
    if found.path.is_dir():
        options = {"subfolder": found.part} if found.part else {}
        vae = kind.from_pretrained(
            str(found.path), variant=found.variant, dtype=numbers, local_files_only=True, **options
        )
    elif found.kind == "AutoencoderTiny":
        vae = _tiny(found)
    else:
        vae = kind.from_single_file(
            str(found.path), config=str(model.folder), subfolder="vae", dtype=numbers, local_files_only=True
        )
    config = model.config("vae")
    own, needed = _latents(vae.config), _latents(config)
    if own != needed or found.kind not in {*_VAES, config.get("_class_name")}:
        raise found.place.error(
            f"does not go with this model: it is a {found.kind} with {own[0]} latent channels, {own[1]} pixels each; "
            f"the model needs {needed[0]} channels, {needed[1]} pixels each"
        )
    exact = keeps_vae_exact(model.pipeline, vae.config, model.dtype)
    return vae.to(torch.float32 if exact else model.dtype).eval()


def _tiny(found: VaeFiles) -> Any:
    from safetensors.torch import load_file

    vae = diffusers.AutoencoderTiny()
    vae.load_state_dict(load_file(found.path))
    return vae


def _latents(config: Mapping[str, Any]) -> tuple[int, int]:
    """Return a VAE's latent channels, and its pixels per latent pixel along one side."""
    blocks = config.get("block_out_channels") or config.get("encoder_block_out_channels") or ()
    return int(config.get("latent_channels", 4)), 1 << max(0, len(blocks) - 1)


def fuse(pipeline: Any, loras: Sequence[Lora]) -> None:
    """Add LoRAs to a pipeline's weights for good.

    Raises:
        ModelError: The pipeline takes none, or one does not fit it.
    """
    if not loras:
        return
    if not hasattr(pipeline, "load_lora_weights"):
        raise ModelError(f"lora= cannot be used with this model: a {type(pipeline).__name__} takes no LoRA")
    for lora in loras:
        misfit = ModelError(
            f"lora={str(lora.file)!r} does not fit this model: it was trained on a model of another family"
        )
        try:
            pipeline.load_lora_weights(
                str(lora.file.parent), weight_name=lora.file.name, adapter_name="lora", local_files_only=True
            )
        except Exception as error:
            if is_out_of_memory(error):
                raise
            raise misfit from None
        held = sorted(pipeline.get_list_adapters())
        if not held:
            raise misfit
        pipeline.set_adapters(["lora"], [lora.weight])
        pipeline.fuse_lora(components=held)
        pipeline.unload_lora_weights()
        for part in held:
            if not all(bool(torch.isfinite(p).all()) for p in getattr(pipeline, part).parameters()):
                raise ModelError(
                    f"lora={str(lora.file)!r} leaves the range of {name_of(pipeline.dtype)} in the {part}: "
                    "give it a smaller weight"
                )
