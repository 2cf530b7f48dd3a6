"""One grid cell on its way from noise to latents: its own scheduler, generator, latents and conditioning.

A trajectory says what rows it wants from the denoising network and takes the prediction back; who else sits in the
same batch is none of its business. The arithmetic and the order of random draws are those of diffusers'
`StableDiffusionInpaintPipeline`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from diffusers.utils.torch_utils import randn_tensor

from ..params import Params
from ..region import region_of
from ..sweep import GridCell
from .conditioning import Conditioning
from .models import Model
from .samplers import Sampler

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
        self._sampler = Sampler(params, model.pipeline.scheduler.config, generator)
        self._text = conditioning.text(params)
        self._blends = model.unet_channels == model.latent_channels
        mask = conditioning.mask(region)

        # The draws, in the pipeline's order: image, noise, masked image, then the sampler's own.
        clean = None
        if params.denoise < 1 or self._blends:
            clean = conditioning.image(source, region, params.masked_content).sample(generator)
        shape = (1, model.latent_channels, *mask.shape[-2:])
        noise = randn_tensor(shape, generator=generator, device=model.device, dtype=model.dtype)
        masked = conditioning.masked_image(source, region, params.conditioning_mask_strength).sample(generator)

        if params.denoise < 1:
            assert clean is not None
            self.latents = self._sampler.add_noise(clean, noise, 0)
        else:
            self.latents = noise * self._sampler.scheduler.init_noise_sigma
        self._mask, self._noise, self._clean = mask, noise, clean
        self._extra = None if self._blends else torch.cat([mask, masked], dim=1)

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
        self.estimate = self._sampler.clean(prediction, self.done, self.latents) if watched else None
        self.latents = self._sampler.step(prediction, self.done, self.latents)
        self.done += 1
        if self._blends:
            assert self._clean is not None
            known = self._sampler.add_noise(self._clean, self._noise, self.done) if self.left else self._clean
            self.latents = (1 - self._mask) * known + self._mask * self.latents
