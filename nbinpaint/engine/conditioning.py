"""What a grid cell is conditioned on, computed once per distinct input: prompt encodings and VAE posteriors.

Posteriors are kept, not samples of them: each grid cell draws its own sample from its own generator, as diffusers'
pipeline does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion_inpaint import retrieve_latents
from numpy.typing import NDArray
from PIL import Image

from ..fill import fill_masked
from ..mask import latent_mask, latent_share
from ..params import Params
from ..region import Region
from ..sweep import Source
from .cache import Kept
from .families import encoding_vae
from .models import Model
from .text import Text, TextEncoder

__all__ = ["Conditioning", "Posterior"]


class Posterior:
    """The VAE's posterior over one picture's latents."""

    def __init__(self, encoded: Any, scaling: float, dtype: torch.dtype) -> None:
        self._encoded = encoded
        self._scaling = scaling
        self._dtype = dtype

    def sample(self, generator: torch.Generator) -> torch.Tensor:
        """Draw latents of shape (1, channels, height, width), scaled as the denoising network expects."""
        drawn: torch.Tensor = self._scaling * retrieve_latents(self._encoded, generator=generator).to(self._dtype)
        return drawn


class Conditioning:
    """Encodes prompts and pictures for one model, once each."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._text = TextEncoder(model)
        self._pictures = Kept(64)
        self._images = 0

    @property
    def encodes(self) -> dict[str, int]:
        """How many prompts and pictures were encoded; for benchmarks and tests."""
        return {"prompt": self._text.encodes, "image": self._images}

    def text(self, params: Params) -> Text:
        """Return the text rows of one grid cell."""
        return self._text.rows(params)

    def image(self, source: Source, region: Region, content: str = "original") -> Posterior:
        """Return the posterior of the source on the model's canvas.

        Args:
            source: Image and mask.
            region: What of it is repainted.
            content: "original", or anything else to have the masked part filled from its surroundings first.
        """
        placed = region.placement.image
        if content == "original":
            return self._posterior((source.image_digest, region.placement), lambda: self._pixels(placed(source.image)))
        return self._posterior(
            ("fill", region.key),
            lambda: self._pixels(fill_masked(placed(source.image), region.placement.mask(region.mask))),
        )

    def masked_image(self, source: Source, region: Region, strength: float = 1.0) -> Posterior:
        """Return the posterior of the source with the mask's pixels taken away, which leaves mid-grey.

        Args:
            source: Image and mask.
            region: What of it is repainted.
            strength: How much of them is taken away, 0 to 1.
        """

        def pixels() -> torch.Tensor:
            whole = self._pixels(region.placement.image(source.image))
            return whole * (1 - strength * (torch.from_numpy(region.placement.mask(region.mask)) >= 128).float())

        return self._posterior(("masked", region.key, strength), pixels)

    def mask(self, region: Region) -> torch.Tensor:
        """Return the mask on the latent grid, shape (1, 1, h, w): 1 wherever any painted pixel falls in."""
        return self._grid(latent_mask(region.placement.mask(region.mask), self._model.factor) >= 128)

    def strength(self, region: Region) -> torch.Tensor:
        """Return each latent's own share of the denoise, shape (1, 1, h, w), 0 to 1; 0 where nothing is repainted."""
        chosen = region.mask if region.strength is None else region.strength
        return self._grid(latent_mask(region.placement.mask(chosen), self._model.factor) / 255)

    def softness(self, region: Region, blur: float) -> torch.Tensor:
        """Return how strongly each latent is painted under a blurred mask, shape (1, 1, h, w), 0 to 1."""
        return self._grid(latent_share(region.painted(blur), self._model.factor))

    def _grid(self, values: NDArray[Any]) -> torch.Tensor:
        return torch.from_numpy(values)[None, None].to(self._model.device, self._model.dtype)

    @torch.inference_mode()
    def _posterior(self, key: tuple[object, ...], pixels: Callable[[], torch.Tensor]) -> Posterior:
        def encode() -> Posterior:
            self._images += 1
            model, vae = self._model, encoding_vae(self._model)
            encoded = vae.encode(pixels().to(model.device, model.dtype).to(vae.dtype))
            return Posterior(encoded, vae.config.scaling_factor, model.dtype)

        posterior: Posterior = self._pictures.get(key, encode)
        return posterior

    def _pixels(self, image: Image.Image) -> torch.Tensor:
        """Return float32 (1, 3, H, W) in [-1, 1]."""
        pixels: torch.Tensor = self._model.pipeline.image_processor.preprocess(image, image.height, image.width)
        return pixels
