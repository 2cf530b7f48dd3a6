"""From the scheduler table to one fresh diffusers scheduler for one grid cell, placed at its first step.

Schedulers hold history, so no two grid cells ever share one.
"""

from __future__ import annotations

import inspect
import math
from typing import Any

import diffusers
import torch

from ..errors import InvalidParams
from ..params import Params
from ..schedulers import SCHEDULER_TABLE

__all__ = ["Sampler", "refuse_unusable"]


def refuse_unusable(params: Params, prediction_type: str) -> None:
    """Refuse a scheduler that cannot run this recipe on a model with this kind of prediction.

    Raises:
        InvalidParams: Names the scheduler and the reason.
    """
    spec = Params.specs()["scheduler"]
    info = SCHEDULER_TABLE[params.scheduler]
    if missing := info.missing():
        raise spec.refuse(params.scheduler, f"the others, or `pip install {missing}`", f"needs the package {missing}")
    if info.max_steps is not None and params.steps > info.max_steps:
        raise InvalidParams(
            f"steps={params.steps} is more than scheduler={params.scheduler!r} can hold; allowed: 1 to {info.max_steps}"
        )
    if prediction_type not in ("epsilon", "v_prediction", "sample"):
        raise spec.refuse(
            params.scheduler, "models with epsilon or v predictions", f"cannot use {prediction_type!r} models"
        )


class Sampler:
    """A scheduler made for one recipe: its timesteps from the first that is run, and what its step needs.

    Args:
        params: The recipe.
        config: The model's own scheduler configuration; the class is made from it as diffusers' `from_config` does.
        generator: The grid cell's generator, for samplers that add noise.
    """

    def __init__(self, params: Params, config: Any, generator: torch.Generator | None = None) -> None:
        info = SCHEDULER_TABLE[params.scheduler]
        overrides = dict(info.overrides)
        if info.seed_field:
            overrides[info.seed_field] = params.noise_seed
        self.scheduler: Any = getattr(diffusers, info.cls).from_config(config, **overrides)
        self.scheduler.set_timesteps(params.steps, device="cpu")
        skipped = (params.steps - params.steps_run) * self.scheduler.order
        self.timesteps: torch.Tensor = self.scheduler.timesteps[skipped:]
        if hasattr(self.scheduler, "set_begin_index"):
            self.scheduler.set_begin_index(skipped)
        known = inspect.signature(self.scheduler.step).parameters
        offered = {"eta": 0.0, "generator": generator}
        self._extra = {name: value for name, value in offered.items() if name in known}

    @property
    def evaluations(self) -> int:
        """Calls of the denoising network."""
        return len(self.timesteps)

    @property
    def sigma_start(self) -> float:
        """Noise level of the first step; 0 where there is none."""
        return self.sigma(0) if len(self.timesteps) else 0.0

    def sigma(self, step: int) -> float:
        """Noise level of timestep number `step`: sigma = sqrt((1 - alpha_bar) / alpha_bar).

        Between whole timesteps log sigma is interpolated (Karras et al. 2022, as k-diffusion's `t_to_sigma` does).
        """
        alphas = self.scheduler.alphas_cumprod.double()
        log_sigmas = ((1 - alphas) / alphas).log() / 2
        t = min(max(float(self.timesteps[step]), 0.0), len(log_sigmas) - 1.0)
        low = min(int(t), len(log_sigmas) - 2)
        part = t - low
        return math.exp((1 - part) * float(log_sigmas[low]) + part * float(log_sigmas[low + 1]))

    def add_noise(self, latents: torch.Tensor, noise: torch.Tensor, step: int) -> torch.Tensor:
        """Bring clean latents to the noise level of timestep number `step`."""
        noisy: torch.Tensor = self.scheduler.add_noise(latents, noise, self.timesteps[step : step + 1])
        return noisy

    def scale(self, latents: torch.Tensor, step: int) -> torch.Tensor:
        """Bring latents to the scale that the network expects."""
        scaled: torch.Tensor = self.scheduler.scale_model_input(latents, self.timesteps[step])
        return scaled

    def clean(self, prediction: torch.Tensor, step: int, latents: torch.Tensor) -> torch.Tensor:
        """Return the clean latents x0 that a prediction amounts to, from x = sqrt(a) x0 + sqrt(1 - a) noise."""
        alpha = 1 / (1 + self.sigma(step) ** 2)
        scaled, signal, noise = self.scale(latents, step), math.sqrt(alpha), math.sqrt(1 - alpha)
        kind = self.scheduler.config.get("prediction_type", "epsilon")
        if kind == "v_prediction":
            return signal * scaled - noise * prediction
        return prediction if kind == "sample" else (scaled - noise * prediction) / signal

    def step(self, prediction: torch.Tensor, step: int, latents: torch.Tensor) -> torch.Tensor:
        """Take one step of the sampler."""
        taken: torch.Tensor = self.scheduler.step(
            prediction, self.timesteps[step], latents, **self._extra, return_dict=False
        )[0]
        return taken
