"""Which diffusers pipeline inpaints with the weights of a model, by the class that its folder names."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import diffusers
import torch
from diffusers.pipelines import auto_pipeline

from ..errors import ModelError

__all__ = ["BATCHED", "half_precision", "keeps_vae_exact", "pipeline_class"]

_SD = "StableDiffusionInpaintPipeline"
_XL = "StableDiffusionXLInpaintPipeline"

BATCHED = {
    "StableDiffusionInpaintPipeline": _SD,
    "StableDiffusionPipeline": _SD,
    "StableDiffusionImg2ImgPipeline": _SD,
    "StableDiffusionXLInpaintPipeline": _XL,
    "StableDiffusionXLPipeline": _XL,
    "StableDiffusionXLImg2ImgPipeline": _XL,
}
"""Classes that the batched engine runs, and as what. Every other class goes through its own pipeline."""

# Their VAE overflows in float16 where its config says force_upcast; the VAEs of SD 1 and 2, which do not, have the flag
# by default.
_EXACT_VAE = {_XL}
# They need a second picture to follow, which no recipe has.
_CONTROLS = {"control_image", "control_images", "control_video"}


@cache
def pipeline_class(name: str) -> Any:
    """Return the pipeline class that inpaints with the weights of a model of another class.

    Args:
        name: The class that the model's folder names.

    Raises:
        ModelError: diffusers does not know it, or it cannot inpaint.
    """
    for found in _candidates(name):
        takes = inspect.signature(found.__call__).parameters.keys()
        if {"image", "mask_image"} <= takes and not takes & _CONTROLS:
            return found
    if getattr(diffusers, name, None) is None:
        raise ModelError(
            f"its pipeline class {name!r} is not part of diffusers {diffusers.__version__}: "
            "upgrade with `pip install -U diffusers`, or choose another model"
        )
    raise ModelError(
        f"it is a {name}, which cannot inpaint from an image and a mask alone: "
        "choose a model of Stable Diffusion 1, 2, XL or 3, Flux, Qwen-Image or another that diffusers inpaints with"
    )


def _candidates(name: str) -> Iterator[Any]:
    """Return classes to try: the batched engine's, the class itself, and its sister for inpainting."""
    if name in BATCHED:
        yield getattr(diffusers, BATCHED[name])
    if (own := getattr(diffusers, name, None)) is not None:
        yield own
    for table in (auto_pipeline.AUTO_TEXT2IMAGE_PIPELINES_MAPPING, auto_pipeline.AUTO_IMAGE2IMAGE_PIPELINES_MAPPING):
        for kind, found in table.items():
            if found.__name__ == name and kind in auto_pipeline.AUTO_INPAINT_PIPELINES_MAPPING:
                yield auto_pipeline.AUTO_INPAINT_PIPELINES_MAPPING[kind]


def half_precision(pipeline: Any) -> torch.dtype:
    """Return the half precision that a pipeline class was made for: transformers overflow in float16."""
    unet = "unet" in inspect.signature(pipeline.__init__).parameters
    return torch.float16 if unet else torch.bfloat16


def keeps_vae_exact(pipeline: Any, vae_config: Mapping[str, Any], dtype: torch.dtype) -> bool:
    """Say whether a VAE stays in float32 although the rest is in float16."""
    return dtype == torch.float16 and pipeline.__name__ in _EXACT_VAE and bool(vae_config.get("force_upcast", True))
