"""The schedulers on offer: one table from public name to diffusers class.

A new scheduler is one entry here. The table imports nothing, so that a sweep can be planned where diffusers is not
installed.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

__all__ = ["ALL_SCHEDULERS", "FLOW_SCHEDULERS", "SCHEDULERS", "SCHEDULER_TABLE", "TAKES_ETA", "SchedulerInfo"]


@dataclass(frozen=True)
class SchedulerInfo:
    """One scheduler.

    Attributes:
        cls: Name of the class in diffusers.
        summary: What it is good for, in a few words.
        overrides: Configuration values that differ from the model's own.
        max_steps: The most steps its schedule can hold, where there is a limit.
        requires: A module outside the dependencies that it needs.
        seed_field: A configuration field that takes the grid cell's seed, for classes that draw from no generator.
        flow: Whether it is for models trained by flow matching, such as Flux and SD 3; all others are for models that
            predict noise or velocity.
    """

    cls: str
    summary: str
    overrides: Mapping[str, Any] = field(default_factory=dict)
    max_steps: int | None = None
    requires: str | None = None
    seed_field: str | None = None
    flow: bool = False

    def missing(self) -> str | None:
        """Return the required module if it is not installed, otherwise None."""
        if self.requires and importlib.util.find_spec(self.requires) is None:
            return self.requires
        return None


SCHEDULER_TABLE: Mapping[str, SchedulerInfo] = MappingProxyType(
    {
        "DDIM": SchedulerInfo("DDIMScheduler", "deterministic classic, a safe reference"),
        "K_EULER": SchedulerInfo("EulerDiscreteScheduler", "simple and quick, good from 15 steps"),
        "DPMSolverMultistep": SchedulerInfo("DPMSolverMultistepScheduler", "balanced, good in few steps"),
        "K_EULER_ANCESTRAL": SchedulerInfo("EulerAncestralDiscreteScheduler", "adds noise each step: lively, varied"),
        "PNDM": SchedulerInfo("PNDMScheduler", "pseudo linear multistep, wants 20 steps or more"),
        "KLMS": SchedulerInfo("LMSDiscreteScheduler", "linear multistep, smooth, wants 20 steps or more"),
        "Heun": SchedulerInfo("HeunDiscreteScheduler", "second order: two evaluations a step, precise"),
        "UniPC": SchedulerInfo("UniPCMultistepScheduler", "predictor-corrector, good from 8 steps"),
        "DEIS": SchedulerInfo("DEISMultistepScheduler", "exponential integrator, good in few steps"),
        "DPMSolverSinglestep": SchedulerInfo("DPMSolverSinglestepScheduler", "DPM-Solver++ without multistep history"),
        "DPM++ 2M SDE": SchedulerInfo(
            "DPMSolverMultistepScheduler", "DPM-Solver++ with noise each step", {"algorithm_type": "sde-dpmsolver++"}
        ),
        "DPM++ SDE": SchedulerInfo(
            "DPMSolverSDEScheduler",
            "stochastic, two evaluations a step, fine detail",
            requires="torchsde",
            seed_field="noise_sampler_seed",
        ),
        "DPM2": SchedulerInfo("KDPM2DiscreteScheduler", "second order: two evaluations a step"),
        "DPM2 a": SchedulerInfo("KDPM2AncestralDiscreteScheduler", "DPM2 with noise each step"),
        "SASolver": SchedulerInfo("SASolverScheduler", "stochastic Adams, good in few steps"),
        "DDPM": SchedulerInfo("DDPMScheduler", "the original sampler, wants many steps"),
        "LCM": SchedulerInfo("LCMScheduler", "for latent consistency models, 4 to 8 steps", max_steps=50),
        "TCD": SchedulerInfo("TCDScheduler", "for trajectory consistency models, 4 to 8 steps", max_steps=50),
        "FlowMatchEuler": SchedulerInfo("FlowMatchEulerDiscreteScheduler", "what flow models are made for", flow=True),
        "FlowMatchHeun": SchedulerInfo(
            "FlowMatchHeunDiscreteScheduler", "second order: two evaluations a step, precise", flow=True
        ),
        "FlowMatchLCM": SchedulerInfo(
            "FlowMatchLCMScheduler", "for flow models distilled to consistency, 4 to 8 steps", flow=True
        ),
    }
)

SCHEDULERS: tuple[str, ...] = ("DDIM", "K_EULER", "DPMSolverMultistep", "K_EULER_ANCESTRAL", "PNDM", "KLMS")
ALL_SCHEDULERS: tuple[str, ...] = tuple(name for name, info in SCHEDULER_TABLE.items() if not info.flow)
FLOW_SCHEDULERS: tuple[str, ...] = tuple(name for name, info in SCHEDULER_TABLE.items() if info.flow)
TAKES_ETA = frozenset({"DDIM", "TCD"})
"""Schedulers whose `step` takes an eta."""
