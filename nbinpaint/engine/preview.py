"""Small pictures of what grid cells are becoming, from their latents by a linear map: no decoder is run.

The map is fitted to the model's own autoencoder, by encoding patches of known colours once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Generic, TypeVar

import numpy as np
import torch
from PIL import Image

from .families import encoding_vae, unscaled
from .models import Model

__all__ = ["Preview", "Previews"]

_PATCHES = 8

Key = TypeVar("Key")


class Previews(Generic[Key]):
    """Pictures on their way from the device.

    Args:
        keys: Whose they are.
        levels: uint8 (n, h, w, 3) on the CPU, filled once `arrived`.
        arrived: The end of the copy; None where it has ended.
    """

    def __init__(self, keys: list[Key], levels: torch.Tensor, arrived: torch.cuda.Event | None) -> None:
        self._keys = keys
        self._levels = levels
        self._arrived = arrived

    @property
    def ready(self) -> bool:
        """Whether looking at them would not hold up the device."""
        return self._arrived is None or bool(self._arrived.query())  # type: ignore[no-untyped-call]

    def pictures(self) -> Mapping[Key, Callable[[], Image.Image]]:
        """Return by key what makes the RGB picture."""
        return {key: partial(Image.fromarray, one.numpy()) for key, one in zip(self._keys, self._levels, strict=True)}


class Preview:
    """Turns latents into small pictures.

    Args:
        model: The model whose latents they are.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self._map: torch.Tensor | None = None

    def fit(self) -> torch.Tensor:
        """Return the map, float32 (channels + 1, 3) on the model's device; the first call encodes a picture for it."""
        if self._map is None:
            self._map = self._fit().to(self._model.device)
        return self._map

    @torch.inference_mode()
    def start(self, latents: Mapping[Key, torch.Tensor]) -> Previews[Key]:
        """Turn latents (1, channels, h, w) of one size into pictures of w x h pixels, waiting for no device."""
        fitted = self.fit()
        together = torch.cat(list(latents.values())).float().permute(0, 2, 3, 1)
        levels = (together @ fitted[:-1] + fitted[-1]).nan_to_num().clamp(0, 255).round().byte()
        if levels.device.type != "cuda":
            return Previews(list(latents), levels.cpu(), None)
        kept = torch.empty(levels.shape, dtype=levels.dtype, pin_memory=True).copy_(levels, non_blocking=True)
        return Previews(list(latents), kept, torch.cuda.current_stream(levels.device).record_event())

    @torch.inference_mode()
    def _fit(self) -> torch.Tensor:
        """Least squares from latents and a constant to RGB, over a picture of random patches: (channels + 1, 3)."""
        model = self._model
        side = _PATCHES * 4 * model.factor
        colours = np.random.default_rng(0).integers(0, 256, (_PATCHES, _PATCHES, 3), dtype=np.uint8)
        picture = Image.fromarray(colours).resize((side, side), Image.Resampling.NEAREST)
        vae = encoding_vae(model)
        pixels = model.pipeline.image_processor.preprocess(picture, side, side).to(model.device, vae.dtype)
        encoded = vae.encode(pixels)
        latents = encoded.latent_dist.mode() if hasattr(encoded, "latent_dist") else encoded.latents
        offset = unscaled(model, torch.zeros_like(latents))
        scale = unscaled(model, torch.ones_like(latents)) - offset
        grid = ((latents - offset) / scale)[0].float().cpu()
        # The middle of each patch, where its neighbours do not reach.
        centres = grid.unflatten(1, (_PATCHES, 4)).unflatten(3, (_PATCHES, 4))[:, :, 1:3, :, 1:3].mean((2, 4))
        known = torch.cat([centres.flatten(1).T, torch.ones(_PATCHES**2, 1)], 1)
        wanted = torch.from_numpy(colours).reshape(-1, 3).float()
        solution: torch.Tensor = torch.linalg.lstsq(known, wanted).solution
        return solution
