"""The engine for diffusers models: grid cells join and leave one running batch.

Cells of one size share a batch; who sits in which network call, and how many rows a call holds, is worked out from what
each cell needs and from how long calls take on this machine.
"""

from __future__ import annotations

import os
import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import lru_cache

import torch

from ..errors import NbInpaintError
from ..params import Params
from ..remembered import Remembered
from ..result import Failure
from ..schedulers import ALL_SCHEDULERS, SCHEDULER_TABLE
from ..sweep import GridCell
from ..vocabulary import Vocabulary
from .base import Cancel, Event, Failed, Plan
from .batch import Batch, Waiting
from .conditioning import Conditioning
from .decode import Decoder
from .denoiser import Denoiser
from .encoders import Encoders
from .models import Model
from .network import Network
from .preview import Preview
from .prompting import check_prompting, cut_hint
from .rows import CallTimes, choose_rows
from .samplers import Sampler, refuse_unusable
from .tempo import COUNTS, WORTH, measure
from .trajectory import Trajectory

__all__ = ["DiffusionEngine"]

_ROWS = {"cpu": 16}
_ROWS_ELSEWHERE = 32


class DiffusionEngine:
    """Runs grid cells on one loaded model.

    Args:
        model: What `load_model` returned.
        rows: Rows of one network call at most (a grid cell with guidance needs two); found by measuring where None.
        compile: Compile the blocks of the denoising network; the first calls take a minute or more.
        graphs: Replay network calls as CUDA graphs; without effect on other devices.
        offload: Let text encoders and the VAE's encoder leave the device while nothing is encoded.

    Attributes:
        model: The loaded model.
        conditioning: Encodings of prompts and pictures, kept between runs.
    """

    def __init__(
        self,
        model: Model,
        rows: int | None = None,
        *,
        compile: bool = False,
        graphs: bool = False,
        offload: bool = False,
    ) -> None:
        self.model = model
        self.conditioning = Conditioning(model)
        self.network = Network(model, compile=compile, graphs=graphs)
        self._given = rows
        self._fitting: dict[tuple[int, int], int] = {}
        self._encoders = Encoders(model) if offload else None
        self._preview = Preview(model)
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
        buckets: dict[tuple[int, int], list[Waiting]] = defaultdict(list)
        for cell in cells:
            try:
                plan = self.plan(cell.params)
            except NbInpaintError as error:
                yield Failed(cell, Failure.of(error))
                continue
            assert plan.params.size is not None
            buckets[plan.params.size].append(Waiting(cell, plan))
        for size, waiting in buckets.items():
            if cancel:
                return
            yield from self._run_bucket(size, waiting, cancel)

    def _leave_room(self) -> None:
        """In the background, leave a processor to whoever draws and types; PyTorch counts threads by caller.

        Threads of one operation wait for each other, so that one of them kept from its processor stops them all.
        """
        background = threading.current_thread() is not threading.main_thread()
        if background and self.model.device.type == "cpu":
            torch.set_num_threads(max(1, min(torch.get_num_threads(), (os.cpu_count() or 2) - 1)))

    def _run_bucket(self, size: tuple[int, int], waiting: Sequence[Waiting], cancel: Cancel | None) -> Iterator[Event]:
        denoiser = Denoiser(self.model, self.rows(size, waiting), self.network)
        before = denoiser.most_rows
        batch = Batch(
            waiting,
            denoiser,
            Decoder(self.model),
            self._preview,
            lambda cell, plan: Trajectory(cell, plan.params, self.model, self.conditioning),
            self._settle,
            self.name,
        )
        try:
            yield from batch.run(cancel)
        finally:
            if denoiser.most_rows < before:
                self._fitting[size] = denoiser.most_rows

    def _settle(self) -> None:
        if self._encoders is not None:
            self._preview.fit()
            self._encoders.rest()

    def rows(self, size: tuple[int, int], waiting: Sequence[Waiting]) -> int:
        """Return the rows that a network call should hold for these grid cells of one size.

        What was given to the engine stands. Otherwise calls are timed where the run is long enough for that to pay,
        and the row count with the shortest predicted run is taken. Never more than what has fitted into memory.
        """
        fitting = self._fitting.get(size)
        if self._given is not None:
            return min(self._given, fitting or self._given)
        works = [one.work for one in waiting if one.plan.evaluations]
        rows = _ROWS.get(self.model.device.type, _ROWS_ELSEWHERE)
        total = sum(work.evaluations * work.rows for work in works)
        worth = len(works) > 1 and total >= WORTH
        if worth and (times := self._times(size, waiting[0].plan.params, total, sum(work.rows for work in works))):
            rows = choose_rows(works, times)
        return min(rows, fitting or rows)

    def _times(self, size: tuple[int, int], params: Params, total: int, most: int) -> CallTimes | None:
        """Return the seconds of a call by its rows, from the cache folder or from a measurement here and now.

        Args:
            size: Width and height in pixels.
            params: Any recipe of the run.
            total: Rows of the run, over all its calls.
            most: Rows of a call that holds all its grid cells.
        """
        try:
            text = self.conditioning.text(params)
        except Exception:
            return None  # whatever is wrong with a prompt is said when its grid cell joins
        key = f"{self.network.key}, {size[0]} x {size[1]}, {text.tokens.shape[1]} tokens"
        kept = Remembered("rows.json")
        known = {int(rows): float(seconds) for rows, seconds in dict(kept.read().get(key, {})).items()}
        # Up to the first that holds all grid cells, and not beyond what has fitted into memory.
        counts = self.network.row_counts or COUNTS
        useful = [count for i, count in enumerate(counts) if not i or counts[i - 1] < most]
        useful = [count for count in useful if count <= self._fitting.get(size, count)]

        def call(rows: int) -> None:
            try:
                self.network.probe(rows, size, text)
            except torch.OutOfMemoryError:
                torch.cuda.empty_cache()
                self._fitting[size] = max([count for count in counts if count < rows], default=1)
                raise

        if not known and self.network.compiled and useful:
            call(useful[0])
        found = measure(call, total, useful, known)
        if found != known:
            kept.keep(key, found)
        return CallTimes(found, fixed=self.network.row_counts is not None) if found else None
