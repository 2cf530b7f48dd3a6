"""What a grid cell is conditioned on, computed once per distinct input: prompt encodings and VAE posteriors.

Posteriors are kept, not samples of them: each grid cell draws its own sample from its own generator, as diffusers'
pipeline does.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

import torch
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion_inpaint import retrieve_latents
from PIL import Image

from ..mask import latent_mask
from ..params import Params
from ..placement import Placement
from ..sweep import Source
from .models import Model

__all__ = ["Conditioning", "Posterior"]


class _Kept:
    """A cache that forgets what was used longest ago."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._items: OrderedDict[Hashable, Any] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Any]) -> Any:
        if key not in self._items:
            self._items[key] = make()
        self._items.move_to_end(key)
        while len(self._items) > self._most:
            self._items.popitem(last=False)
        return self._items[key]


class Posterior:
    """The VAE's posterior over one picture's latents."""

    def __init__(self, encoded: Any, scaling: float) -> None:
        self._encoded = encoded
        self._scaling = scaling

    def sample(self, generator: torch.Generator) -> torch.Tensor:
        """Draw latents of shape (1, channels, height, width), scaled as the denoising network expects."""
        drawn: torch.Tensor = self._scaling * retrieve_latents(self._encoded, generator=generator)
        return drawn


class Conditioning:
    """Encodes prompts and pictures for one model, once each.

    Attributes:
        encodes: How many network passes were made, by kind; for benchmarks and tests.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self._prompts = _Kept(256)
        self._pictures = _Kept(64)
        self.encodes = {"prompt": 0, "image": 0}

    @torch.inference_mode()
    def prompt(self, text: str) -> torch.Tensor:
        """Return the text encoder's output, shape (1, tokens, channels)."""

        def encode() -> torch.Tensor:
            self.encodes["prompt"] += 1
            encoded: torch.Tensor = self._model.pipeline.encode_prompt(text, self._model.device, 1, False)[0]
            return encoded

        kept: torch.Tensor = self._prompts.get(text, encode)
        return kept

    def rows(self, params: Params) -> torch.Tensor:
        """Return the text rows of one grid cell: (2, ...) with guidance, negative first, otherwise (1, ...)."""
        texts = (params.negative_prompt, params.prompt) if params.guided else (params.prompt,)
        return torch.cat([self.prompt(text) for text in texts])

    def image(self, source: Source, placement: Placement) -> Posterior:
        """Return the posterior of the resized source."""
        return self._posterior("image", source, placement)

    def masked_image(self, source: Source, placement: Placement) -> Posterior:
        """Return the posterior of the resized source with the mask's pixels set to zero (mid-grey)."""
        return self._posterior("masked", source, placement)

    def mask(self, source: Source, placement: Placement) -> torch.Tensor:
        """Return the mask on the latent grid, shape (1, 1, h, w): 1 wherever any painted pixel falls in."""
        grid = torch.from_numpy(latent_mask(placement.mask(source.mask), self._model.factor))
        return grid[None, None].to(self._model.device, self._model.dtype)

    @torch.inference_mode()
    def _posterior(self, kind: str, source: Source, placement: Placement) -> Posterior:
        def encode() -> Posterior:
            self.encodes["image"] += 1
            pixels = self._pixels(placement.image(source.image))
            if kind == "masked":
                pixels = pixels * (torch.from_numpy(placement.mask(source.mask)) < 128)
            vae = self._model.pipeline.vae
            return Posterior(vae.encode(pixels.to(self._model.device, self._model.dtype)), vae.config.scaling_factor)

        posterior: Posterior = self._pictures.get((kind, source.digest, placement), encode)
        return posterior

    def _pixels(self, image: Image.Image) -> torch.Tensor:
        """Return float32 (1, 3, H, W) in [-1, 1]."""
        pixels: torch.Tensor = self._model.pipeline.image_processor.preprocess(image, image.height, image.width)
        return pixels
