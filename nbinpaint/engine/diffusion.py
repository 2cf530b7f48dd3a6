"""The engine for diffusers models: grid cells join and leave one running batch.

Cells of one size share a batch, the longest first; whoever ends makes room for the next.
"""

from __future__ import annotations

import os
import threading
import time
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from functools import lru_cache, partial
from typing import NamedTuple

import torch

from ..errors import NbInpaintError
from ..params import Params
from ..region import region_of
from ..result import Failure, Result
from ..schedulers import ALL_SCHEDULERS, SCHEDULER_TABLE
from ..sweep import GridCell
from ..vocabulary import Vocabulary
from .base import Cancel, Event, Failed, Finished, Plan, Started, Stepped
from .conditioning import Conditioning
from .decode import decode
from .denoiser import Denoiser
from .models import Model
from .preview import Preview
from .prompting import check_prompting, cut_hint
from .samplers import Sampler, refuse_unusable
from .trajectory import Trajectory

__all__ = ["DiffusionEngine"]

PREVIEW_EVERY = 0.4
"""Seconds between two estimates of what the grid cells are becoming."""
_ROWS = {"cpu": 16}
_ROWS_ELSEWHERE = 32


class _Waiting(NamedTuple):
    """A grid cell that is planned and has not joined the batch yet."""

    cell: GridCell
    plan: Plan

    @property
    def row_count(self) -> int:
        return 2 if self.plan.params.guided else 1


class DiffusionEngine:
    """Runs grid cells on one loaded model.

    Args:
        model: What `load_model` returned.
        rows: Rows of one network call at most (a grid cell with guidance needs two).

    Attributes:
        model: The loaded model.
        conditioning: Encodings of prompts and pictures, kept between runs.
    """

    def __init__(self, model: Model, rows: int | None = None) -> None:
        self.model = model
        self.conditioning = Conditioning(model)
        self._rows = rows or _ROWS.get(model.device.type, _ROWS_ELSEWHERE)
        self._preview = Preview(model)
        self._previewed = 0.0
        self._figures = lru_cache(maxsize=512)(self._measure)

    @property
    def name(self) -> str:
        """What people call the model."""
        return self.model.name

    @property
    def fingerprint(self) -> str:
        """Names the weights and the number format."""
        return self.model.fingerprint

    @property
    def native_size(self) -> tuple[int, int]:
        """Width and height that the model was made for."""
        return self.model.native_size

    @property
    def vocabulary(self) -> Vocabulary | None:
        """The words that the model was trained on, where it says so; None for models that know about everything."""
        return self.model.vocabulary

    def vocabulary_hint(self, prompt: str) -> str | None:
        """Return a sentence about words that the model has never seen, None where it knows them all."""
        return self.vocabulary.hint(prompt) if self.vocabulary else None

    def cut_hint(self, prompt: str) -> str | None:
        """Return a sentence that names the words for which the text encoder has no room, None where all fit."""
        return cut_hint(self.model.pipeline.tokenizer, prompt)

    def prompt_hint(self, prompt: str) -> str | None:
        """Return what a person should know of a prompt before it is run, None where there is nothing."""
        return " ".join(filter(None, (self.vocabulary_hint(prompt), self.cut_hint(prompt)))) or None

    def __repr__(self) -> str:
        dtype = str(self.model.dtype).removeprefix("torch.")
        return f"<DiffusionEngine {self.name!r}, {self.model.device}, {dtype}, native size {self.native_size}>"

    @property
    def schedulers(self) -> tuple[str, ...]:
        """The schedulers that it can run, those left out whose package is not installed."""
        return tuple(name for name in ALL_SCHEDULERS if not SCHEDULER_TABLE[name].missing())

    def plan(self, params: Params) -> Plan:
        """Say what a recipe means for this model.

        Raises:
            InvalidParams: The scheduler cannot be used with this model or recipe, or the size does not fit its network.
        """
        if SCHEDULER_TABLE[params.scheduler].flow:
            problem = f"is for models trained by flow matching, which {self.name!r} is not"
            raise Params.specs()["scheduler"].refuse(params.scheduler, ", ".join(self.schedulers), problem)
        refuse_unusable(params, self.model.pipeline.scheduler.config.get("prediction_type", "epsilon"))
        check_prompting(params, self.model)
        size = params.size or self.native_size
        multiple = self.model.size_multiple
        if any(side % multiple for side in size):
            raise Params.specs()["size"].refuse(size, f"multiples of {multiple} for the model {self.name!r}")
        steps = params.steps_run
        evaluations, sigma = (
            self._figures(params.replace(seed=0, image_index=0, prompt="", negative_prompt="")) if steps else (0, 0.0)
        )
        return Plan(params.replace(size=size), steps, evaluations, sigma)

    def _measure(self, params: Params) -> tuple[int, float]:
        sampler = Sampler(params, self.model.pipeline.scheduler.config)
        return sampler.evaluations, sampler.sigma_start

    def run(self, cells: Sequence[GridCell], cancel: Cancel | None = None) -> Iterator[Event]:
        """Compute grid cells and yield events as they come; cells of one size are computed together."""
        self._leave_room()
        buckets: dict[tuple[int, int], list[_Waiting]] = defaultdict(list)
        for cell in cells:
            try:
                plan = self.plan(cell.params)
            except NbInpaintError as error:
                yield Failed(cell, Failure.of(error))
                continue
            assert plan.params.size is not None
            buckets[plan.params.size].append(_Waiting(cell, plan))
        for waiting in buckets.values():
            waiting.sort(key=lambda w: -w.plan.evaluations)
            # The shortest goes first, so that whoever looks on sees a picture soon.
            yield from self._run_bucket(deque([waiting[-1], *waiting[:-1]]), cancel)

    def _leave_room(self) -> None:
        """In the background, leave a processor to whoever draws and types; PyTorch counts threads by caller.

        Threads of one operation wait for each other, so that one of them kept from its processor stops them all.
        """
        background = threading.current_thread() is not threading.main_thread()
        if background and self.model.device.type == "cpu":
            torch.set_num_threads(max(1, min(torch.get_num_threads(), (os.cpu_count() or 2) - 1)))

    def _run_bucket(self, waiting: deque[_Waiting], cancel: Cancel | None) -> Iterator[Event]:
        denoiser = Denoiser(self.model, self._rows)
        active: list[Trajectory] = []
        while (waiting or active) and not cancel:
            while waiting and (not active or waiting[0].row_count <= denoiser.room(active)):
                yield from self._join(waiting.popleft(), active)
            if not active:
                continue
            yield from self._advance(denoiser, active)
            yield from self._finish(active)

    def _join(self, waiting: _Waiting, active: list[Trajectory]) -> Iterator[Event]:
        cell, plan = waiting
        yield Started(cell)
        started = time.perf_counter()
        if plan.steps_run == 0:
            yield Finished(cell, self._untouched(cell, plan))
            return
        try:
            trajectory = Trajectory(cell, plan.params, self.model, self.conditioning)
        except Exception as error:
            yield Failed(cell, Failure.of(error))
            return
        trajectory.seconds = time.perf_counter() - started
        active.append(trajectory)

    def _advance(self, denoiser: Denoiser, active: list[Trajectory]) -> Iterator[Event]:
        """One evaluation for all that are active; whoever fails leaves the batch."""
        watched = time.perf_counter() - self._previewed > PREVIEW_EVERY
        if watched:
            self._previewed = time.perf_counter()
        try:
            failed = denoiser.advance(active, watched)
        except Exception as error:
            failed = dict.fromkeys(active, error)
        for trajectory in list(active):
            if trajectory in failed:
                active.remove(trajectory)
                yield Failed(trajectory.cell, Failure.of(failed[trajectory]))
            else:
                estimate = trajectory.estimate
                preview = None if estimate is None else partial(self._preview.picture, estimate)
                yield Stepped(trajectory.cell, trajectory.done, trajectory.evaluations, preview)

    def _finish(self, active: list[Trajectory]) -> Iterator[Event]:
        """Decode together all that came to their end."""
        ready = [t for t in active if not t.left]
        active[:] = [t for t in active if t.left]
        broken = [t for t in ready if not bool(torch.isfinite(t.latents).all())]
        for trajectory in broken:
            message = "the latents are not finite: the sampler left the range of its number format"
            yield Failed(trajectory.cell, Failure(message, "FloatingPointError"))
        ready = [t for t in ready if t not in broken]
        if not ready:
            return
        started = time.perf_counter()
        try:
            decoded = decode(self.model, [t.latents for t in ready])
        except Exception as error:
            yield from (Failed(t.cell, Failure.of(error)) for t in ready)
            return
        share = (time.perf_counter() - started) / len(ready)
        for trajectory, picture in zip(ready, decoded, strict=True):
            result = Result(
                params=trajectory.params,
                raw=picture.image,
                source=trajectory.cell.source,
                steps_run=trajectory.params.steps_run,
                evaluations=trajectory.evaluations,
                sigma_start=trajectory.sigma_start,
                seconds=trajectory.seconds + share,
                flagged=picture.flagged,
                model=self.name,
                blend=trajectory.blend(),
            )
            yield Finished(trajectory.cell, result)

    def _untouched(self, cell: GridCell, plan: Plan) -> Result:
        assert plan.params.size is not None
        placed = region_of(cell.source, plan.params).placement.image(cell.source.image)
        return Result(
            params=plan.params,
            raw=placed,
            source=cell.source,
            steps_run=0,
            evaluations=0,
            sigma_start=0.0,
            seconds=0.0,
            model=self.name,
        )
