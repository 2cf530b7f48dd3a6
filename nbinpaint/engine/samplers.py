"""From the scheduler table to one fresh diffusers scheduler for one grid cell, placed at its first step.

Schedulers hold history, so no two grid cells ever share one.
"""

from __future__ import annotations

import copy
import inspect
import json
import math
import warnings
from functools import lru_cache
from typing import Any

import diffusers
import torch

from ..errors import InvalidParams
from ..params import Params
from ..schedulers import ALL_SCHEDULERS, SCHEDULER_TABLE
from .lms import keep_coefficients
from .logs import quiet

__all__ = ["Sampler", "refuse_unusable"]

# torchsde compares noise levels more finely than it keeps them; it takes the level that it has, which is the right one.
warnings.filterwarnings("ignore", "Should have t[ab]", UserWarning)


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
    if params.sigmas != "default" and not _takes(params.scheduler, params.sigmas):
        able = [name for name in ALL_SCHEDULERS if _takes(name, params.sigmas)]
        raise InvalidParams(
            f"sigmas={params.sigmas!r} is not possible with scheduler={params.scheduler!r}; "
            f"allowed: 'default', or one of the schedulers {', '.join(able)}"
        )
    if prediction_type not in ("epsilon", "v_prediction", "sample"):
        raise spec.refuse(
            params.scheduler, "models with epsilon or v predictions", f"cannot use {prediction_type!r} models"
        )


@lru_cache
def _takes(scheduler: str, sigmas: str) -> bool:
    """Whether a scheduler can space its noise levels so."""
    made = getattr(diffusers, SCHEDULER_TABLE[scheduler].cls)
    return f"use_{sigmas}_sigmas" in inspect.signature(made.__init__).parameters


class Sampler:
    """A scheduler made for one recipe: its timesteps from the first that is run, and what its step needs.

    Args:
        params: The recipe.
        config: The model's own scheduler configuration; the class is made from it as diffusers' `from_config` does.
        generator: The grid cell's generator, for samplers that add noise.
    """

    def __init__(self, params: Params, config: Any, generator: torch.Generator | None = None) -> None:
        info = SCHEDULER_TABLE[params.scheduler]
        known = json.dumps(dict(config), sort_keys=True, default=list)
        overrides = dict(info.overrides)
        if info.seed_field:
            overrides[info.seed_field] = params.noise_seed
        if params.sigmas != "default":
            overrides[f"use_{params.sigmas}_sigmas"] = True
        steps, skipped = params.steps, params.steps - params.steps_run
        if params.denoise_by == "noise":
            overrides |= _cut_off(_prepared(info.cls, known, "{}", 1), params.denoise)
            steps, skipped = params.steps_run, 0
        self.scheduler: Any = copy.deepcopy(_prepared(info.cls, known, json.dumps(overrides), steps))
        skipped *= self.scheduler.order
        self.timesteps: torch.Tensor = self.scheduler.timesteps[skipped:]
        if hasattr(self.scheduler, "set_begin_index"):
            self.scheduler.set_begin_index(skipped)
        # Those with a level between two steps tell it only by its timestep.
        told = hasattr(self.scheduler, "sigmas") and not hasattr(self.scheduler, "sigmas_interpol")
        self._sigmas: torch.Tensor | None = self.scheduler.sigmas[skipped:] if told else None
        offered = {"eta": params.eta, "generator": generator}
        self._extra = {name: value for name, value in offered.items() if name in _step_takes(info.cls)}

    @property
    def evaluations(self) -> int:
        """Calls of the denoising network."""
        return len(self.timesteps)

    @property
    def sigma_start(self) -> float:
        """Noise level of the first step; 0 where there is none."""
        return self.sigma(0) if len(self.timesteps) else 0.0

    def sigma(self, step: int) -> float:
        """Noise level of evaluation number `step`: sigma = sqrt((1 - alpha_bar) / alpha_bar).

        Where the scheduler names only timesteps, log sigma is interpolated between whole ones (Karras et al. 2022, as
        k-diffusion's `t_to_sigma` does).
        """
        if self._sigmas is not None:
            return float(self._sigmas[step])
        alphas = self.scheduler.alphas_cumprod.double()
        log_sigmas = ((1 - alphas) / alphas).log() / 2
        t = min(max(float(self.timesteps[step]), 0.0), len(log_sigmas) - 1.0)
        low = min(int(t), len(log_sigmas) - 2)
        part = t - low
        return math.exp((1 - part) * float(log_sigmas[low]) + part * float(log_sigmas[low + 1]))

    def add_noise(self, latents: torch.Tensor, noise: torch.Tensor, step: int) -> torch.Tensor:
        """Bring clean latents to the noise level of timestep number `step`."""
        # The scheduler is asked for both shares on the CPU, so that the device is not waited for.
        ends = torch.tensor([[1.0], [0.0]], dtype=latents.dtype)
        signal, share = (
            float(self.scheduler.add_noise(one, other, self.timesteps[step : step + 1]))
            for one, other in (ends, ends.flip(0))
        )
        return signal * latents + share * noise

    def scale(self, latents: torch.Tensor, step: int) -> torch.Tensor:
        """Bring latents to the scale that the network expects."""
        scaled: torch.Tensor = self.scheduler.scale_model_input(latents, self.timesteps[step])
        return scaled

    def clean(self, prediction: torch.Tensor, step: int, latents: torch.Tensor) -> torch.Tensor:
        """Return the clean latents x0 that a prediction amounts to, from x = sqrt(a) x0 + sqrt(1 - a) noise."""
        signal, noise = self._levels(step)
        scaled = self.scale(latents, step)
        if self._kind == "v_prediction":
            return signal * scaled - noise * prediction
        return prediction if self._kind == "sample" else (scaled - noise * prediction) / signal

    def shift(self, prediction: torch.Tensor, step: int, by: torch.Tensor) -> torch.Tensor:
        """Return the prediction whose clean latents are those of `prediction` plus `by`."""
        signal, noise = self._levels(step)
        if self._kind == "v_prediction":
            return prediction - by / noise
        return prediction + by if self._kind == "sample" else prediction - by * (signal / noise)

    @property
    def _kind(self) -> str:
        return str(self.scheduler.config.get("prediction_type", "epsilon"))

    def _levels(self, step: int) -> tuple[float, float]:
        """Shares of signal and noise, sqrt(a) and sqrt(1 - a)."""
        alpha = 1 / (1 + self.sigma(step) ** 2)
        return math.sqrt(alpha), math.sqrt(1 - alpha)

    def step(self, prediction: torch.Tensor, step: int, latents: torch.Tensor) -> torch.Tensor:
        """Take one step of the sampler."""
        taken: torch.Tensor = self.scheduler.step(
            prediction, self.timesteps[step], latents, **self._extra, return_dict=False
        )[0]
        return taken


@lru_cache(maxsize=64)
def _prepared(cls: str, config: str, overrides: str, steps: int) -> Any:
    """Return a scheduler with its timesteps, to be copied: some take half a second to be made.

    Args:
        cls: The class in diffusers.
        config: The model's own configuration, as JSON.
        overrides: What differs from it, as JSON.
        steps: Steps of the full schedule.
    """
    with quiet():
        scheduler = getattr(diffusers, cls).from_config(json.loads(config), **json.loads(overrides))
        scheduler.set_timesteps(steps, device="cpu")
    keep_coefficients(scheduler)
    return scheduler


@lru_cache
def _step_takes(cls: str) -> frozenset[str]:
    return frozenset(inspect.signature(getattr(diffusers, cls).step).parameters)


def _cut_off(scheduler: Any, denoise: float) -> dict[str, Any]:
    """Return the configuration of the same noise schedule cut off at a share of its training timesteps.

    All of a scheduler's steps then lie below that noise, and its first stands right at it: at timestep
    `denoise * num_train_timesteps - 1`, whichever class it is. Spacings that leave out the end ("leading") start at it
    too ("trailing").
    """
    alphas = scheduler.alphas_cumprod.double()
    last = max(2, round(denoise * len(alphas)))
    betas = 1 - alphas[:last] / torch.cat([torch.ones(1, dtype=alphas.dtype), alphas[: last - 1]])
    changes: dict[str, Any] = {"num_train_timesteps": last, "trained_betas": betas.tolist()}
    known = scheduler.config
    if known.get("rescale_betas_zero_snr"):
        changes["rescale_betas_zero_snr"] = False
    if known.get("timestep_spacing") == "leading":
        changes["timestep_spacing"] = "trailing"
    if "original_inference_steps" in known:
        changes["original_inference_steps"] = min(known["original_inference_steps"], last)
    return changes
