"""The running batch of grid cells of one size: who joins, steps, ends and fails, and the events that say so."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from PIL import Image

from ..region import region_of
from ..result import Failure, Result
from ..sweep import GridCell
from .base import Cancel, Event, Failed, Finished, Plan, Started, Stepped
from .decode import Decoded, Decoder
from .denoiser import Denoiser
from .preview import Preview, Previews
from .rows import Seats, Work
from .trajectory import Trajectory

__all__ = ["PREVIEW_EVERY", "Batch", "Waiting"]

PREVIEW_EVERY = 0.4
"""Seconds between two estimates of what the grid cells are becoming."""


class Waiting(NamedTuple):
    """A grid cell that is planned and has not joined the batch yet."""

    cell: GridCell
    plan: Plan

    @property
    def work(self) -> Work:
        """What it asks of the network."""
        return Work(self.plan.evaluations, 2 if self.plan.params.guided else 1)


class Batch:
    """Runs grid cells of one size.

    Args:
        waiting: The grid cells.
        denoiser: Moves trajectories on.
        decoder: Makes pictures of those that have ended.
        preview: Makes small pictures of those that have not.
        join: Makes a grid cell's trajectory.
        settled: Called when all that were to join a call have joined.
        model: Name of the model.
    """

    def __init__(
        self,
        waiting: Sequence[Waiting],
        denoiser: Denoiser,
        decoder: Decoder[Trajectory],
        preview: Preview,
        join: Callable[[GridCell, Plan], Trajectory],
        settled: Callable[[], None],
        model: str,
    ) -> None:
        self._waiting = waiting
        self._denoiser = denoiser
        self._decoder = decoder
        self._preview = preview
        self._make = join
        self._settled = settled
        self._model = model
        self._open: dict[int, Trajectory] = {}
        self._seats: Seats[int] = Seats({i: w.work for i, w in enumerate(waiting) if w.plan.evaluations})
        self._estimates: Previews[Trajectory] | None = None
        self._estimated = 0.0

    def run(self, cancel: Cancel | None) -> Iterator[Event]:
        """Yield events until all have ended, or `cancel` is set; what has been denoised by then is decoded."""
        try:
            for cell, plan in self._waiting:
                if not plan.evaluations and not cancel:
                    yield Started(cell)
                    yield Finished(cell, self._untouched(cell, plan))
            while self._seats and not cancel:
                seated: list[Trajectory] = []
                for place in self._seats.seat(self._denoiser.most_rows):
                    yield from self._join(place, seated)
                self._settled()
                if seated:
                    yield from self._advance(seated)
                yield from self._finish(last=not self._seats)
            yield from self._finish(last=True)
        finally:
            self._decoder.close()

    def _join(self, place: int, seated: list[Trajectory]) -> Iterator[Event]:
        """Seat a grid cell; one that is new joins, or fails and leaves its seat empty for this call."""
        if place not in self._open:
            cell, plan = self._waiting[place]
            yield Started(cell)
            started = time.perf_counter()
            try:
                trajectory = self._make(cell, plan)
            except Exception as error:
                self._seats.drop(place)
                yield Failed(cell, Failure.of(error))
                return
            trajectory.seconds = time.perf_counter() - started
            self._open[place] = trajectory
        seated.append(self._open[place])

    def _advance(self, seated: list[Trajectory]) -> Iterator[Event]:
        """One evaluation for all that are seated; whoever fails leaves."""
        watched = self._estimates is None and time.perf_counter() - self._estimated > PREVIEW_EVERY
        try:
            failed = self._denoiser.advance(seated, watched)
        except Exception as error:
            failed = dict.fromkeys(seated, error)
        previews = self._look(seated, watched)
        places = {trajectory: place for place, trajectory in self._open.items()}
        for trajectory in seated:
            if trajectory in failed:
                place = places[trajectory]
                self._seats.drop(place)
                del self._open[place]
                yield Failed(trajectory.cell, Failure.of(failed[trajectory]))
            else:
                preview = previews.get(trajectory)
                yield Stepped(trajectory.cell, trajectory.done, trajectory.evaluations, preview)

    def _look(self, seated: Sequence[Trajectory], watched: bool) -> Mapping[Trajectory, Callable[[], Image.Image]]:
        """Return the previews that have arrived: at once on a CPU, some calls later where copies take their time."""
        if watched:
            self._estimated = time.perf_counter()
            estimates = {t: t.estimate for t in seated if t.estimate is not None}
            self._estimates = self._preview.start(estimates) if estimates else None
        if self._estimates is None or not self._estimates.ready:
            return {}
        previews, self._estimates = self._estimates.pictures(), None
        return previews

    def _finish(self, last: bool) -> Iterator[Event]:
        """Hand those that came to their end to the decoder, and out whatever it has made."""
        for place, trajectory in list(self._open.items()):
            if not trajectory.left:
                self._seats.drop(place)
                self._decoder.add(trajectory, trajectory.latents)
                del self._open[place]
        for trajectory, made, seconds in self._decoder.pictures(last):
            if isinstance(made, Exception):
                yield Failed(trajectory.cell, Failure.of(made))
            elif made.problem:
                yield Failed(trajectory.cell, Failure(made.problem, "FloatingPointError"))
            else:
                yield Finished(trajectory.cell, self._result(trajectory, made, seconds))

    def _result(self, trajectory: Trajectory, made: Decoded, seconds: float) -> Result:
        return Result(
            params=trajectory.params,
            raw=made.image,
            source=trajectory.cell.source,
            steps_run=trajectory.params.steps_run,
            evaluations=trajectory.evaluations,
            sigma_start=trajectory.sigma_start,
            seconds=trajectory.seconds + seconds,
            flagged=made.flagged,
            model=self._model,
            blend=trajectory.blend(),
        )

    def _untouched(self, cell: GridCell, plan: Plan) -> Result:
        return Result(
            params=plan.params,
            raw=region_of(cell.source, plan.params).placement.image(cell.source.image),
            source=cell.source,
            steps_run=0,
            evaluations=0,
            sigma_start=0.0,
            seconds=0.0,
            model=self._model,
        )
