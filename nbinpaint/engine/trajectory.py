"""One grid cell on its way from noise to latents: its own scheduler, generator, latents and conditioning.

A trajectory says what rows it wants from the denoising network and takes the prediction back; who else sits in the
same batch is none of its business. The arithmetic and the order of random draws are those of diffusers'
`StableDiffusionInpaintPipeline`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import torch
from diffusers.utils.torch_utils import randn_tensor
from PIL import Image

from ..blend import weight_of_change
from ..params import Params
from ..region import region_of
from ..sweep import GridCell
from .conditioning import Conditioning
from .models import Model
from .samplers import Sampler
from .softness import mix, share

__all__ = ["Rows", "Trajectory"]


class Rows(NamedTuple):
    """What a trajectory asks of the network in one evaluation; every member has the same number of rows.

    Attributes:
        latents: (rows, channels, h, w), already scaled and concatenated with mask and masked image where the model
            takes them.
        timesteps: float32 (rows,), on the CPU.
        text: (rows, tokens, channels).
        added: Further conditions by the name that the network knows them by, each (rows, ...).
    """

    latents: torch.Tensor
    timesteps: torch.Tensor
    text: torch.Tensor
    added: Mapping[str, torch.Tensor]


class Trajectory:
    """The state of one grid cell between its first and last evaluation.

    Args:
        cell: The grid cell.
        params: Its recipe with the size resolved; at least one step must be left to run.
        model: The model.
        conditioning: Encodings, shared by all trajectories of an engine.
    """

    @torch.inference_mode()
    def __init__(self, cell: GridCell, params: Params, model: Model, conditioning: Conditioning) -> None:
        assert params.size is not None
        self.cell = cell
        self.params = params
        self.done = 0
        self.seconds = 0.0
        self.estimate: torch.Tensor | None = None
        source, region = cell.source, region_of(cell.source, params)
        generator = torch.Generator("cpu").manual_seed(params.noise_seed)
        self._region = region
        self._sampler = Sampler(params, model.pipeline.scheduler.config, generator)
        self._text = conditioning.text(params)
        inpaints = model.unet_channels != model.latent_channels
        mask = conditioning.mask(region)

        # The draws, in the pipeline's order: image, noise, masked image, then the sampler's own.
        clean = None
        if params.denoise < 1 or not inpaints or params.soft or params.differential:
            clean = conditioning.image(source, region, params.masked_content).sample(generator)
        shape = (1, model.latent_channels, *mask.shape[-2:])
        noise = randn_tensor(shape, generator=generator, device=model.device, dtype=model.dtype)
        masked = conditioning.masked_image(source, region, params.conditioning_mask_strength).sample(generator)

        if clean is not None:
            clean = _CONTENT[params.masked_content](clean, mask, params.noise_seed)
        if params.denoise < 1:
            assert clean is not None
            self.latents = self._sampler.add_noise(clean, noise, 0)
        else:
            self.latents = noise * self._sampler.scheduler.init_noise_sigma
        self._noise, self._clean = noise, clean
        self._extra = torch.cat([mask, masked], dim=1) if inpaints else None
        self._strength = conditioning.strength(region) if params.differential else None
        self._painted = conditioning.softness(region, params.mask_blur) if params.soft else None
        self._free = None if inpaints or params.soft else mask
        self._hold()

    @property
    def evaluations(self) -> int:
        """Evaluations of the whole trajectory."""
        return self._sampler.evaluations

    @property
    def sigma_start(self) -> float:
        """Noise level of the first step."""
        return self._sampler.sigma_start

    @property
    def left(self) -> int:
        """Evaluations still to come."""
        return self.evaluations - self.done

    @property
    def row_count(self) -> int:
        """Rows it needs in a batch: two with guidance, one without."""
        return len(self._text.tokens)

    def rows(self) -> Rows:
        """Return what the network is to be asked next."""
        scaled = self._sampler.scale(self.latents, self.done)
        if self._extra is not None:
            scaled = torch.cat([scaled, self._extra], dim=1)
        count = self.row_count
        timestep = self._sampler.timesteps[self.done].float()
        return Rows(scaled.expand(count, -1, -1, -1), timestep.expand(count), *self._text)

    def advance(self, prediction: torch.Tensor, watched: bool = False) -> None:
        """Take the network's answer (rows, channels, h, w) and move one evaluation on.

        Args:
            prediction: The answer.
            watched: Keep in `estimate` the clean latents that the answer amounts to.
        """
        if self.params.guided:
            negative, positive = prediction.chunk(2)
            prediction = negative + self.params.guidance_scale * (positive - negative)
        if self._painted is not None:
            prediction = self._soften(prediction)
        self.estimate = self._sampler.clean(prediction, self.done, self.latents) if watched else None
        self.latents = self._sampler.step(prediction, self.done, self.latents)
        self.done += 1
        self._hold()

    def _soften(self, prediction: torch.Tensor) -> torch.Tensor:
        """Draw the clean latents that a prediction amounts to towards the source, by how little each is painted."""
        assert self.params.soft is not None
        assert self._clean is not None
        assert self._painted is not None
        clean = self._sampler.clean(prediction, self.done, self.latents)
        taken = share(self._painted, self._sampler.sigma(self.done), self.params.soft)
        mixed = mix(self._clean, clean, taken, self.params.soft.transition_contrast)
        return self._sampler.shift(prediction, self.done, mixed - clean)

    def _hold(self) -> None:
        """Bring what is not free to move yet, or not at all, back to the source at the present noise.

        A base model is held outside the mask. With a strength of its own for each pixel, one of strength s is set free
        when a share of 1 - s of the evaluations is done (differential diffusion; Levin and Fried 2023).
        """
        free = self._free
        if self._strength is not None:
            waiting = 1 - self.done / self.evaluations
            now = (self._strength >= waiting - 1e-3) & (self._strength > 0)
            free = now.to(self.latents.dtype) if free is None else free * now
        elif self.done == 0:
            return
        if free is None:
            return
        assert self._clean is not None
        known = self._sampler.add_noise(self._clean, self._noise, self.done) if self.left else self._clean
        self.latents = (1 - free) * known + free * self.latents

    def blend(self) -> Image.Image | None:
        """Return how much of the finished picture goes into the result, greyscale; None where the mask says so alone.

        It is 0 wherever the feathered mask is, so that the source's bytes come back there.
        """
        if self._painted is None:
            return None
        assert self.params.soft is not None
        assert self._clean is not None
        assert self.params.size is not None
        distance = (self.latents - self._clean).float().norm(dim=1)[0].cpu().numpy()
        painted = self._painted[0, 0].float().cpu().numpy()
        weight = weight_of_change(distance, painted, self.params.soft, self.params.size)
        weight = np.where(self._region.weight(self.params.mask_blur) > 0, weight, 0)
        return Image.fromarray(np.rint(weight * 255).astype(np.uint8))


def _noise_content(clean: torch.Tensor, mask: torch.Tensor, seed: int) -> torch.Tensor:
    # A generator of its own: the start's noise must be independent of it, and stay as it is without it.
    generator = torch.Generator("cpu").manual_seed(seed + 2**60)
    drawn: torch.Tensor = randn_tensor(clean.shape, generator=generator, device=clean.device, dtype=clean.dtype)
    filled: torch.Tensor = (1 - mask) * clean + mask * drawn
    return filled


_CONTENT: Mapping[str, Callable[[torch.Tensor, torch.Tensor, int], torch.Tensor]] = {
    "original": lambda clean, mask, seed: clean,
    "fill": lambda clean, mask, seed: clean,
    "latent noise": _noise_content,
    "latent nothing": lambda clean, mask, seed: (1 - mask) * clean,
}
