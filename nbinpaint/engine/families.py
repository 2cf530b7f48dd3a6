"""What differs between the model families that the batched engine runs: SD 1 and 2 on one side, SDXL on the other.

A family is told by what its denoising network asks for. All else that differs from model to model, such as 4 or 9 input
channels, is read from the networks' own configurations.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import torch

from ..errors import ModelError

if TYPE_CHECKING:
    from .models import Model

__all__ = ["FAMILIES", "SETTINGS", "Family", "decoding_vae", "encoding_vae", "family_of", "unscaled", "widened"]


@dataclass(frozen=True)
class Family:
    """One model family.

    Attributes:
        name: What people call it.
        pooled: Whether the network also takes a summary of the prompt and is told the picture's size.
        upcasts: Whether the pipeline heeds the VAE's `force_upcast`.
        normalises: Whether the pipeline heeds the VAE's `latents_mean` and `latents_std`.
    """

    name: str
    pooled: bool = False
    upcasts: bool = False
    normalises: bool = False


FAMILIES: Mapping[str | None, Family] = MappingProxyType(
    {
        None: Family("SD 1.x, 2.x"),
        "text_time": Family("SDXL", pooled=True, upcasts=True, normalises=True),
    }
)
"""By the UNet's `addition_embed_type`."""

SETTINGS = ("force_zeros_for_empty_prompt", "requires_aesthetics_score")
"""Settings of a pipeline's own that a picture follows from, in the families that have them."""


def family_of(pipeline: Any) -> Family:
    """Return the family that a pipeline's denoising network belongs to.

    Raises:
        ModelError: It belongs to none of them.
    """
    unet = getattr(pipeline, "unet", None)
    asked = unet.config.get("addition_embed_type") if unet is not None else "no UNet"
    if asked not in FAMILIES:
        known = ", ".join(family.name for family in FAMILIES.values())
        raise ModelError(
            f"{type(pipeline).__name__} ({asked}) is of no family that runs in one batch; allowed: {known}; "
            "nbinpaint.PipelineEngine(pipeline) runs any other diffusers inpainting pipeline"
        )
    return FAMILIES[asked]


def encoding_vae(model: Model) -> Any:
    """Return the VAE for encoding: in float32 where the pipeline raises it to that, whatever its own format."""
    vae = model.pipeline.vae
    return model.wide_vae if model.family.upcasts and vae.config.force_upcast else vae


def decoding_vae(model: Model) -> Any:
    """Return the VAE for decoding: in float32 where float16 would overflow."""
    vae = model.pipeline.vae
    upcast = model.family.upcasts and vae.config.force_upcast and vae.dtype == torch.float16
    return model.wide_vae if upcast else vae


def widened(vae: Any, device: torch.device) -> Any:
    """Return a VAE in float32: itself where it is, or a copy on the device, without what others hooked onto it."""
    if vae.dtype == torch.float32:
        return vae
    wide = type(vae).from_config(vae.config)
    # Assigned, so that the weights keep their memory format.
    wide.load_state_dict({k: v.to(device, torch.float32) for k, v in vae.state_dict().items()}, assign=True)
    return wide.eval()


def unscaled(model: Model, latents: torch.Tensor) -> torch.Tensor:
    """Bring latents (n, channels, h, w) from the scale of the denoising network to that of the VAE."""
    config = model.pipeline.vae.config
    mean, std = config.get("latents_mean"), config.get("latents_std")
    if not model.family.normalises or mean is None or std is None:
        return latents / float(config.scaling_factor)
    mean, std = (torch.tensor(v).view(1, -1, 1, 1).to(latents.device, latents.dtype) for v in (mean, std))
    return torch.add(latents * std / float(config.scaling_factor), mean)
