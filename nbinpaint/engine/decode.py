"""From latents to pictures: the VAE's decoder, a check for numbers that are none, and the model's safety checker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from PIL import Image

from .families import decoding_vae, unscaled
from .models import Model

__all__ = ["WITHHELD", "Decoded", "decode", "pixels"]

WITHHELD = (128, 128, 128)
"""The colour of a picture that the safety checker withholds."""


class Decoded(NamedTuple):
    """One decoded picture.

    Attributes:
        image: RGB; a plain `WITHHELD` where flagged.
        flagged: Whether the model's safety checker withholds it.
    """

    image: Image.Image
    flagged: bool


@torch.inference_mode()
def pixels(model: Model, latents: torch.Tensor) -> torch.Tensor:
    """Decode latents (n, channels, h, w) to values (n, 3, H, W) around [-1, 1], unclipped."""
    vae = decoding_vae(model)
    decoded: torch.Tensor = vae.decode(unscaled(model, latents.to(vae.dtype)), return_dict=False)[0]
    return decoded


@torch.inference_mode()
def decode(model: Model, latents: Sequence[torch.Tensor]) -> list[Decoded]:
    """Decode several latents (1, channels, h, w) of one size together.

    Raises:
        torch.OutOfMemoryError: Not even one at a time fits.
    """
    try:
        values = pixels(model, torch.cat(list(latents)))
    except torch.OutOfMemoryError:
        if len(latents) == 1:
            raise
        torch.cuda.empty_cache()
        return [picture for one in latents for picture in decode(model, [one])]
    if getattr(model.pipeline, "watermark", None) is not None:
        values = model.pipeline.watermark.apply_watermark(values)
    images = model.pipeline.image_processor.postprocess(values, output_type="pil")
    flags = [False] * len(images)
    if getattr(model.pipeline, "safety_checker", None) is not None:
        flags = model.pipeline.run_safety_checker(values.clone(), model.device, model.dtype)[1] or flags
    return [
        Decoded(Image.new("RGB", image.size, WITHHELD) if flag else image, bool(flag))
        for image, flag in zip(images, flags, strict=True)
    ]
