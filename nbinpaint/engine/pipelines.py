"""The engine for any other diffusers inpainting pipeline: it is called for one grid cell after the other.

Slower than one batch for all, but right for models that the batched engine does not know: Flux, SD 3, Qwen-Image,
Z-Image, and whatever comes next.
"""

from __future__ import annotations

import copy
import functools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from ..errors import ModelError, NbInpaintError
from ..params import Params
from ..region import region_of
from ..result import Failure, Result
from ..sweep import GridCell
from .base import Cancel, Event, Failed, Finished, Plan, Started, Stepped
from .cache import Kept
from .contract import Contract
from .decode import WITHHELD
from .fingerprint import fingerprint
from .reports import reports
from .schedule import Schedule, bound, make_scheduler, watched

__all__ = ["PipelineEngine"]


class _Cancelled(Exception):
    """The run was cancelled between two steps."""


class PipelineEngine:
    """Runs grid cells on a diffusers pipeline, one call each; every picture is the pipeline's own.

    Example:
        >>> engine = PipelineEngine(FluxFillPipeline.from_pretrained(...), max_sequence_length=256)  # doctest: +SKIP
        >>> params = engine.default_params(prompt="a red apple", steps=28)  # doctest: +SKIP
        >>> nbinpaint.inpaint(image, mask, params, engine=engine)  # doctest: +SKIP

    Args:
        pipeline: A diffusers pipeline that takes `prompt`, `image` and `mask_image`, where and in what number format it
            shall run; it is left as it is, and must not be changed afterwards.
        name: What people call the model; the folder or hub id it came from where None.
        **options: Further arguments of each of its calls.

    Raises:
        ModelError: It is no inpainting pipeline, or an option is none of its arguments.
    """

    def __init__(self, pipeline: Any, name: str | None = None, **options: Any) -> None:
        self.contract = Contract(pipeline, options)
        self.name = name or Path(str(pipeline.config.get("_name_or_path") or type(pipeline).__name__)).name
        self._pipeline = pipeline
        self._options = options
        self._prompts = Kept(64)
        self._figures = lru_cache(maxsize=512)(self._measure)

    @cached_property
    def fingerprint(self) -> str:
        """Names the weights, the number format and the options."""
        parts = self._pipeline.components
        networks = sorted(name for name, part in parts.items() if isinstance(part, torch.nn.Module))
        numbers = {name: str(getattr(parts[name], "dtype", "")) for name in networks}
        settings = {k: v for k, v in self._pipeline.config.items() if not k.startswith("_")}
        return fingerprint(self._pipeline, networks, str(numbers), settings | {"options": repr(self._options)})

    @property
    def native_size(self) -> tuple[int, int]:
        """Width and height that the pipeline was made for."""
        return self.contract.native_size

    @property
    def schedulers(self) -> tuple[str, ...]:
        """The schedulers that it can run, those left out whose package is not installed."""
        return self.contract.schedulers

    def default_params(self, **changes: Any) -> Params:
        """Return a recipe that runs here: scheduler, steps and guidance are the pipeline's own.

        Args:
            **changes: Parameters that differ.

        Raises:
            InvalidParams: A parameter is unknown or a value is not allowed.
        """
        return self.contract.default_params(**changes)

    def __repr__(self) -> str:
        return f"<PipelineEngine {self.name!r}, {type(self._pipeline).__name__}, native size {self.native_size}>"

    def plan(self, params: Params) -> Plan:
        """Say what a recipe means for this pipeline.

        Raises:
            InvalidParams: The pipeline cannot use one of the recipe's values.
        """
        params = params.replace(size=params.size or self.native_size)
        self.contract.refuse_unusable(params)
        own = Params(scheduler=params.scheduler, steps=params.steps, denoise=params.denoise, size=params.size)
        schedule = self._figures(own)
        return Plan(params, schedule.steps, schedule.evaluations, schedule.sigma_start)

    def _measure(self, params: Params) -> Schedule:
        return Schedule(self._pipeline, self.contract, params)

    def run(self, cells: Sequence[GridCell], cancel: Cancel | None = None) -> Iterator[Event]:
        """Compute grid cells one after the other and yield events as they come."""
        for cell in cells:
            if cancel:
                return
            try:
                plan = self.plan(cell.params)
            except NbInpaintError as error:
                yield Failed(cell, Failure.of(error))
                continue
            yield Started(cell)
            try:
                result = yield from reports(functools.partial(self._compute, cell, plan, cancel))
            except _Cancelled:
                return
            except Exception as error:
                yield Failed(cell, Failure.of(error))
                continue
            yield Finished(cell, result)

    @torch.no_grad()
    def _compute(self, cell: GridCell, plan: Plan, cancel: Cancel | None, report: Callable[[Stepped], None]) -> Result:
        """Call the pipeline for one grid cell."""
        params, source = plan.params, cell.source
        region = region_of(source, params)
        placed = region.placement.image(source.image)
        clock = _Clock()
        flagged = False
        picture = placed
        if plan.steps_run:

            def stepped(index: int, latents: torch.Tensor | None) -> None:
                clock.stop()
                report(Stepped(cell, index + 1, plan.evaluations))
                clock.start()
                if cancel:
                    raise _Cancelled
                if index + 1 == plan.evaluations and latents is not None and not bool(torch.isfinite(latents).all()):
                    raise FloatingPointError("the latents are not finite: the sampler left the range of its numbers")

            mask = Image.fromarray(region.placement.mask(region.mask))
            output = self._call(params, {"image": placed, "mask_image": mask}, stepped)
            flagged = bool((getattr(output, "nsfw_content_detected", None) or [False])[0])
            picture = _picture(output.images[0], params)
        return Result(
            params=params,
            raw=Image.new("RGB", picture.size, WITHHELD) if flagged else picture,
            source=source,
            steps_run=plan.steps_run,
            evaluations=plan.evaluations,
            sigma_start=plan.sigma_start,
            seconds=clock.stop(),
            flagged=flagged,
            model=self.name,
        )

    def _call(
        self, params: Params, pictures: Mapping[str, Any], stepped: Callable[[int, torch.Tensor | None], None]
    ) -> Any:
        """Call a copy of the pipeline that has a scheduler of its own; the networks are the same."""
        pipeline = copy.copy(self._pipeline)
        pipeline.scheduler = make_scheduler(params, self._pipeline.scheduler.config)
        pipeline.set_progress_bar_config(disable=True)
        if hasattr(pipeline, "encode_prompt"):
            pipeline.encode_prompt = self._remembered(pipeline.encode_prompt)
        generator = torch.Generator("cpu").manual_seed(params.noise_seed)
        bound(pipeline.scheduler, generator)
        arguments = self.contract.arguments(params) | dict(pictures) | {"generator": generator}

        def step_end(_: Any, index: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            stepped(index, tensors.get("latents"))
            return tensors

        if "callback_on_step_end" in self.contract.takes:
            arguments["callback_on_step_end"] = step_end
        else:
            watched(pipeline.scheduler, stepped)
        try:
            return pipeline(**arguments)
        except BaseException:
            # What the pipeline does at its own end where parts of it wait in main memory.
            pipeline.maybe_free_model_hooks()
            raise

    def _remembered(self, encode: Callable[..., Any]) -> Callable[..., Any]:
        """Let the pipeline encode each prompt once, whatever it asks its own `encode_prompt` for."""

        @functools.wraps(encode)
        def remembered(*args: Any, **kwargs: Any) -> Any:
            asked = [*args, *(part for item in sorted(kwargs.items()) for part in item)]
            if not all(isinstance(part, _PLAIN) for part in asked):
                return encode(*args, **kwargs)
            return _fresh(self._prompts.get(repr(asked), lambda: encode(*args, **kwargs)))

        return remembered


_PLAIN = (str, int, float, torch.device, torch.dtype, type(None))


def _fresh(value: Any) -> Any:
    """Copy the lists, which a pipeline may add to; tensors stay the same."""
    return type(value)(_fresh(part) for part in value) if isinstance(value, (list, tuple)) else value


def _picture(value: Any, params: Params) -> Image.Image:
    """Return a pipeline's output, values (H, W, 3) from 0 to 1 or a picture, as RGB at the recipe's size.

    Raises:
        FloatingPointError: A value is none.
        ModelError: It is of another size.
    """
    if isinstance(value, np.ndarray):
        if not np.isfinite(value).all():
            raise FloatingPointError("the picture's values are not finite: the decoder left the range of its numbers")
        value = Image.fromarray((value * 255).round().astype(np.uint8))
    picture: Image.Image = value.convert("RGB")
    if picture.size != params.size:
        raise ModelError(f"the pipeline gave a picture of {picture.size} for size={params.size}")
    return picture


class _Clock:
    """Adds up computing time, and leaves out what is spent on whoever listens."""

    def __init__(self) -> None:
        self._spent = 0.0
        self.start()

    def start(self) -> None:
        self._since: float = time.perf_counter()

    def stop(self) -> float:
        self._spent += time.perf_counter() - self._since
        return self._spent
