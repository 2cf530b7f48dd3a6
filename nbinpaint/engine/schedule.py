"""A fresh scheduler for one call of a pipeline, and what that call will come to, known before it runs."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable
from typing import Any

import diffusers
import numpy as np
import torch

from ..params import Params
from ..schedulers import SCHEDULER_TABLE
from .contract import Contract
from .samplers import Sampler

__all__ = ["Schedule", "bound", "make_scheduler", "watched"]


def make_scheduler(params: Params, config: Any) -> Any:
    """Make a recipe's scheduler from the pipeline's own configuration, as diffusers' `from_config` does."""
    info = SCHEDULER_TABLE[params.scheduler]
    overrides = dict(info.overrides) | ({info.seed_field: params.noise_seed} if info.seed_field else {})
    return getattr(diffusers, info.cls).from_config(config, **overrides)


def bound(scheduler: Any, generator: torch.Generator) -> None:
    """Let a scheduler draw its noise from a generator, even where the pipeline hands it none."""
    if "generator" in inspect.signature(scheduler.step).parameters:
        scheduler.step = functools.partial(scheduler.step, generator=generator)


def watched(scheduler: Any, taken: Callable[[int, torch.Tensor], None]) -> None:
    """Have each step of a scheduler told: its number from 0 and the latents after it."""
    step, count = scheduler.step, 0

    @functools.wraps(step)
    def told(*args: Any, **kwargs: Any) -> Any:
        nonlocal count
        out = step(*args, **kwargs)
        taken(count, out[0])
        count += 1
        return out

    scheduler.step = told


class Schedule:
    """What a recipe, with its size resolved, comes to on one pipeline.

    Attributes:
        steps: Denoising steps that are run.
        evaluations: Calls of the scheduler, one for each timestep.
        sigma_start: Noise level at the start. Flow-matching models count it from 0 to 1, as the share of noise; all
            others as sigma = sqrt((1 - alpha_bar) / alpha_bar).
    """

    def __init__(self, pipeline: Any, contract: Contract, params: Params) -> None:
        probe = copy.copy(pipeline)
        probe.scheduler = scheduler = make_scheduler(params, pipeline.scheduler.config)
        scheduler.set_timesteps(params.steps, device="cpu", **_spacing(pipeline, contract, params))
        timesteps, self.steps = scheduler.timesteps, params.steps
        if "strength" in contract.takes and hasattr(probe, "get_timesteps"):
            known = inspect.signature(probe.get_timesteps).parameters
            offered = {"num_inference_steps": params.steps, "strength": params.denoise, "device": "cpu"}
            timesteps, self.steps = probe.get_timesteps(**{n: v for n, v in offered.items() if n in known})
        self.evaluations = len(timesteps)
        self.sigma_start = 0.0
        if self.steps and contract.flow:
            self.sigma_start = float(scheduler.sigmas[len(scheduler.timesteps) - len(timesteps)])
        elif self.steps:
            self.sigma_start = Sampler(params, pipeline.scheduler.config).sigma_start


def _spacing(pipeline: Any, contract: Contract, params: Params) -> dict[str, Any]:
    """Return what a pipeline for a flow-matching model tells its scheduler besides the number of steps."""
    assert params.size is not None
    told: dict[str, Any] = {}
    if contract.flow and contract.own_sigmas:
        told["sigmas"] = np.linspace(1.0, 1 / params.steps, params.steps)
    if contract.flow and contract.shifts:
        # All of them cut the latents into patches of 2 x 2, and shift by their number.
        width, height = (side // contract.factor // 2 for side in params.size)
        told["mu"] = _shift(width * height, pipeline.scheduler.config)
    return told


def _shift(patches: int, config: Any) -> float:
    """Linear in the number of patches, between a base and a largest one (Esser et al. 2024, as Flux applies it)."""
    low, high = config.get("base_image_seq_len", 256), config.get("max_image_seq_len", 4096)
    least, most = config.get("base_shift", 0.5), config.get("max_shift", 1.15)
    return float(least + (most - least) * (patches - low) / (high - low))
