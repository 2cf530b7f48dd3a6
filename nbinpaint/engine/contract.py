"""What a diffusers pipeline can be asked for, read from its signature, its source and its scheduler.

Nothing here knows a pipeline by name, so that one published tomorrow is read in the same way.
"""

from __future__ import annotations

import ast
import inspect
import math
import textwrap
from collections.abc import Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Any

import diffusers

from ..errors import ModelError
from ..params import Params
from ..schedulers import ALL_SCHEDULERS, FLOW_SCHEDULERS, SCHEDULER_TABLE
from .samplers import refuse_unusable

__all__ = ["Contract"]

_NEEDED = ("prompt", "image", "mask_image")
_ARGUMENTS: Mapping[str, str] = MappingProxyType(
    {
        "prompt": "prompt",
        "negative_prompt": "negative_prompt",
        "steps": "num_inference_steps",
        "denoise": "strength",
        "clip_skip": "clip_skip",
        "eta": "eta",
    }
)
"""Parameter of a recipe to the pipeline's own argument."""
_OWN = frozenset(
    {
        "scheduler",
        "seed",
        "image_index",
        "size",
        "resize_mode",
        "padding",
        "mask_blur",
        "mask_grow",
        "mask_invert",
        "color_correction",
    }
)
"""Parameters that nbinpaint sees to itself, before or after the pipeline."""
_SUPPLIED = frozenset((*_NEEDED, *_ARGUMENTS.values(), "height", "width", "generator", "output_type", "return_dict"))
_SIDE = 1024
"""What a pipeline that names no size of its own was made for, in pixels."""


class Contract:
    """What one pipeline can be asked for.

    Args:
        pipeline: A diffusers pipeline.
        options: Further arguments of each of its calls.

    Attributes:
        takes: The arguments of its call.

    Raises:
        ModelError: It is no inpainting pipeline, or an option is none of its arguments.
    """

    def __init__(self, pipeline: Any, options: Mapping[str, Any]) -> None:
        self._pipeline = pipeline
        self._options = options
        self.takes: Mapping[str, inspect.Parameter] = inspect.signature(type(pipeline).__call__).parameters
        kind = type(pipeline).__name__
        for name in _NEEDED:
            if name not in self.takes:
                raise ModelError(f"{kind} takes no {name}; allowed: diffusers pipelines that take {', '.join(_NEEDED)}")
        free = [name for name in self.takes if name not in {"self", self.guidance, *_SUPPLIED}]
        for name in options:
            if name not in free:
                raise ModelError(f"{name}={options[name]!r} is no option of {kind}; allowed: {', '.join(free)}")

    @cached_property
    def guidance(self) -> str | None:
        """The argument for guidance; a `guidance_scale` without a default is for models that were distilled."""
        known = [name for name in ("guidance_scale", "true_cfg_scale") if name in self.takes]
        return next((name for name in known if self.takes[name].default is not None), known[0] if known else None)

    @cached_property
    def _arguments(self) -> Mapping[str, str]:
        """Parameter to argument, of those arguments that the pipeline takes and heeds."""
        names = dict(_ARGUMENTS) | ({"guidance_scale": self.guidance} if self.guidance else {})
        distilled = self.guidance == "guidance_scale" and "true_cfg_scale" in self.takes
        if distilled and self._options.get("true_cfg_scale", 1) <= 1:
            # Its guidance is a number that the network is told; a negative prompt would be left out without a word.
            del names["negative_prompt"]
        return {name: argument for name, argument in names.items() if argument in self.takes}

    def refuse_unusable(self, params: Params) -> None:
        """Refuse a recipe that the pipeline cannot run.

        Raises:
            InvalidParams: Names the parameter, its value, what is allowed and why.
        """
        kind = type(self._pipeline).__name__
        specs = Params.specs()
        for name, spec in specs.items():
            value = params.get(name)
            if not spec.within and value != spec.default and name not in _OWN and name not in self._arguments:
                raise spec.refuse(value, repr(spec.default), f"cannot be used with {kind}")
        if params.scheduler not in self._fitting:
            raise specs["scheduler"].refuse(
                params.scheduler,
                f"one of {', '.join(map(repr, self.schedulers))} (`engine.default_params()` has the pipeline's own)",
                f"cannot run {'the flow-matching model of ' if self.flow else ''}{kind}",
            )
        if not self.flow:
            refuse_unusable(params, self._pipeline.scheduler.config.get("prediction_type", "epsilon"))
        if params.size is not None and any(side % self.size_multiple for side in params.size):
            raise specs["size"].refuse(params.size, f"multiples of {self.size_multiple} for {kind}")

    def arguments(self, params: Params) -> dict[str, Any]:
        """Return the call's arguments that follow from a recipe with its size resolved."""
        assert params.size is not None
        values = {argument: params.get(name) for name, argument in self._arguments.items()}
        offered = {"width": params.size[0], "height": params.size[1], "output_type": "np"}
        values |= {name: value for name, value in offered.items() if name in self.takes}
        if "clip_skip" in values:
            values["clip_skip"] = params.clip_skip or None
        if "negative_prompt" in values and not params.negative_prompt:
            # With a true guidance of its own a pipeline asks for a text, or leaves the guidance out.
            guided = self.guidance == "true_cfg_scale" and params.guided
            values["negative_prompt"] = "" if guided else None
        return values | dict(self._options)

    def default_params(self, **changes: Any) -> Params:
        """Return the recipe whose scheduler, steps and guidance are the pipeline's own."""
        own: dict[str, Any] = {"scheduler": self._own_scheduler}
        for name in ("steps", "guidance_scale"):
            default = self.takes[self._arguments[name]].default if name in self._arguments else None
            if isinstance(default, (int, float)):
                own[name] = default
        return Params(**(own | changes))

    @property
    def flow(self) -> bool:
        """Whether the model was trained by flow matching."""
        config = self._pipeline.scheduler.config
        named = type(self._pipeline.scheduler).__name__.startswith("FlowMatch")
        return bool(named or config.get("use_flow_sigmas") or config.get("prediction_type") == "flow_prediction")

    @property
    def schedulers(self) -> tuple[str, ...]:
        """The schedulers that can run the pipeline, those left out whose package is not installed."""
        return tuple(name for name in self._fitting if not SCHEDULER_TABLE[name].missing())

    @cached_property
    def _fitting(self) -> tuple[str, ...]:
        if self.flow:
            return tuple(name for name in FLOW_SCHEDULERS if self._fits(getattr(diffusers, SCHEDULER_TABLE[name].cls)))
        own = type(self._pipeline.scheduler)
        known = {own.__name__, *own._compatibles}
        classes = {name: getattr(diffusers, SCHEDULER_TABLE[name].cls) for name in ALL_SCHEDULERS}
        # Those for consistency models name no companions, and run wherever the others do.
        return tuple(
            name
            for name, made in classes.items()
            if made.__name__ in known or own.__name__ in made._compatibles or not made._compatibles
        )

    def _fits(self, scheduler: Any) -> bool:
        """Whether a flow-matching scheduler has what the pipeline asks of it."""
        known = inspect.signature(scheduler.set_timesteps).parameters
        asked = {"sigmas": self.own_sigmas, "mu": self.shifts}
        return not any(wanted and name not in known for name, wanted in asked.items())

    @property
    def shifts(self) -> bool:
        """Whether the noise levels of a flow-matching model depend on the picture's size."""
        return bool(self._pipeline.scheduler.config.get("use_dynamic_shifting"))

    @cached_property
    def own_sigmas(self) -> bool:
        """Whether the pipeline hands its scheduler sigmas of its own making: its call sets its argument `sigmas`."""
        try:
            source = textwrap.dedent(inspect.getsource(inspect.unwrap(type(self._pipeline).__call__)))
        except (OSError, TypeError):
            return False
        names = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name))
        return any(node.id == "sigmas" and isinstance(node.ctx, ast.Store) for node in names)

    @property
    def _own_scheduler(self) -> str:
        """The name that comes closest to the pipeline's own scheduler."""
        config, kind = self._pipeline.scheduler.config, type(self._pipeline.scheduler).__name__

        def likeness(name: str) -> int:
            info = SCHEDULER_TABLE[name]
            same = all(config.get(field) == value for field, value in info.overrides.items())
            return 1 + len(info.overrides) if info.cls == kind and same else 0

        if not self.schedulers:
            raise ModelError(f"{kind} is no scheduler that nbinpaint knows; allowed: {', '.join(SCHEDULER_TABLE)}")
        return max(self.schedulers, key=likeness)

    @property
    def _network(self) -> Mapping[str, Any]:
        """The denoising network's configuration."""
        found = (getattr(self._pipeline, name, None) for name in ("transformer", "unet"))
        return next((network.config for network in found if network is not None), {})

    @property
    def factor(self) -> int:
        """Pixels per latent pixel, along one side."""
        return int(getattr(self._pipeline, "vae_scale_factor", 8))

    @cached_property
    def size_multiple(self) -> int:
        """Both sides of a picture must be multiples of this."""
        patch = self._network.get("patch_size")
        processor = getattr(self._pipeline, "image_processor", None)
        asked = processor.config.vae_scale_factor if processor is not None else 1
        return math.lcm(self.factor * (patch if isinstance(patch, int) else 1), asked)

    @cached_property
    def native_size(self) -> tuple[int, int]:
        """Width and height that the pipeline was made for."""
        sample = getattr(self._pipeline, "default_sample_size", None) or self._network.get("sample_size")
        height, width = sample if isinstance(sample, (tuple, list)) else (sample, sample)
        return (int(width) * self.factor, int(height) * self.factor) if width and height else (_SIDE, _SIDE)
