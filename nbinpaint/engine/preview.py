"""Small pictures of what a grid cell is becoming, from its latents by a linear map: no decoder is run.

The map is fitted to the model's own autoencoder, by encoding patches of known colours once.
"""

from __future__ import annotations

import threading

import numpy as np
import torch
from PIL import Image

from .families import encoding_vae, unscaled
from .models import Model

__all__ = ["Preview"]

_PATCHES = 8


class Preview:
    """Turns latents into small pictures.

    Args:
        model: The model whose latents they are.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self._map: torch.Tensor | None = None
        self._lock = threading.Lock()

    def picture(self, latents: torch.Tensor) -> Image.Image:
        """Return latents (1, channels, h, w) as an RGB picture of w x h pixels."""
        with self._lock:
            if self._map is None:
                self._map = self._fit()
        flat = latents[0].detach().float().cpu().flatten(1).T
        colours = torch.cat([flat, torch.ones(len(flat), 1)], 1) @ self._map
        height, width = latents.shape[-2:]
        return Image.fromarray(colours.clamp(0, 255).round().byte().reshape(height, width, 3).numpy())

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
