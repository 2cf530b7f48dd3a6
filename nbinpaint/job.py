"""Carry a plan out: results go into a study as they come, in the foreground or in a thread, and can be cancelled.

This is the only place where plan, engine and study meet.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from .engine.base import Cancel, Engine, Event, Failed, Finished, Stepped
from .study import Study
from .sweep import Sweep

_log = logging.getLogger(__name__)

__all__ = ["Job", "Progress", "execute"]


@dataclass(frozen=True)
class Progress:
    """How far a sweep is.

    Attributes:
        cells_done: Grid cells that have a result or a failure, those found on disk included.
        cells: Grid cells in all.
        failed: Grid cells that failed.
        withheld: Grid cells whose picture the model's safety checker withholds; they are done too.
        steps_done: Network evaluations done, of those that had to be computed.
        steps: Network evaluations to do in all.
        seconds: Time since the start.
        eta: Expected seconds left; None before the first evaluation.
    """

    cells_done: int
    cells: int
    failed: int
    withheld: int
    steps_done: int
    steps: int
    seconds: float
    eta: float | None

    @property
    def counted(self) -> str:
        """How many grid cells are done, and how many of them have no picture to show."""
        counted = (("withheld by the safety checker", self.withheld), ("failed", self.failed))
        told = "".join(f", {number} {what}" for what, number in counted if number)
        return f"{self.cells_done} of {self.cells} grid cells{told}"

    def __str__(self) -> str:
        left = "" if self.eta is None or self.cells_done == self.cells else f", {self.eta:.0f} s left"
        return self.counted + left


Listener = Callable[[Event, Progress], None]


class _Counter:
    """Adds events up to `Progress`."""

    def __init__(self, study: Study) -> None:
        self._study = study
        self._open = {cell.index: study.plans[cell.index].evaluations for cell in study.missing}
        self._total = sum(self._open.values())
        self._left = dict(self._open)
        self._withheld = len(study.withheld)
        self._started = time.perf_counter()

    def count(self, event: Event) -> Progress:
        if isinstance(event, Stepped):
            self._left[event.cell.index] = event.total - event.done
        elif isinstance(event, (Finished, Failed)):
            self._left[event.cell.index] = 0
            self._withheld += isinstance(event, Finished) and event.result.flagged
        return self.progress

    @property
    def progress(self) -> Progress:
        left = sum(self._left.values())
        done = self._total - left
        seconds = time.perf_counter() - self._started
        study = self._study
        return Progress(
            cells_done=len(study.results) + len(study.failures),
            cells=len(study.cells),
            failed=len(study.failures),
            withheld=self._withheld,
            steps_done=done,
            steps=self._total,
            seconds=seconds,
            eta=seconds * left / done if done else None,
        )


def execute(study: Study, engine: Engine, cancel: Cancel, listen: Listener | None = None) -> Study:
    """Compute what a study still misses.

    Args:
        study: Where results go; what it already holds is not computed again.
        engine: Computes the grid cells.
        cancel: Stops between steps; what is done stays.
        listen: Called with every event and the progress after it.

    Returns:
        The same study.
    """
    counter = _Counter(study)
    events = engine.run(study.missing, cancel)
    for event in events:
        if isinstance(event, Finished):
            study.add(event.cell, event.result)
        elif isinstance(event, Failed):
            study.add(event.cell, event.failure)
        progress = counter.count(event)
        if listen is not None:
            listen(event, progress)
    return study


class Job:
    """A sweep that runs in a thread of its own.

    Args:
        sweep: The plan.
        engine: Computes the grid cells.
        study: Where results go, as they come.
        listen: Called in the job's thread with every event and the progress after it.
    """

    def __init__(self, sweep: Sweep, engine: Engine, study: Study, listen: Listener | None = None) -> None:
        self.sweep = sweep
        self.study = study
        self._listeners = [listen] if listen is not None else []
        self._cancel = Cancel()
        self._ending = threading.Lock()
        self._ended = False
        self._callbacks: list[Callable[[], None]] = []
        self._error: BaseException | None = None
        self._progress = _Counter(study).progress
        self._thread = threading.Thread(target=self._work, args=(engine,), name="nbinpaint-job", daemon=True)
        # A thread that is still in the network when Python shuts down aborts the whole process.
        atexit.register(self._stop)
        self._thread.start()

    def listen(self, listener: Listener) -> None:
        """Call someone else, too, in the job's thread with every event and the progress after it."""
        self._listeners.append(listener)

    def on_end(self, callback: Callable[[], None]) -> None:
        """Call someone in the job's thread when it has ended, however it did; at once if it has already."""
        with self._ending:
            if not self._ended:
                self._callbacks.append(callback)
                return
        callback()

    def _work(self, engine: Engine) -> None:
        # Whoever draws or types meanwhile goes first; the network's own threads inherit this. Linux counts by thread.
        if sys.platform == "linux":
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
        try:
            execute(self.study, engine, self._cancel, self._hear)
        except BaseException as error:
            self._error = error
        finally:
            atexit.unregister(self._stop)
            with self._ending:
                self._ended = True
            for callback in self._callbacks:
                callback()

    def _stop(self) -> None:
        self._cancel.set()
        self._thread.join(30)

    def _hear(self, event: Event, progress: Progress) -> None:
        self._progress = progress
        for listener in tuple(self._listeners):
            try:
                listener(event, progress)
            except Exception:
                # Whoever shows a run must not be able to end it.
                _log.exception("a listener of a job failed")

    @property
    def progress(self) -> Progress:
        """How far it is."""
        return self._progress

    @property
    def done(self) -> bool:
        """Whether it has ended, in whatever way."""
        return self._ended

    @property
    def error(self) -> BaseException | None:
        """What stopped the whole run, if anything did; a grid cell that fails is no such thing."""
        return self._error

    @property
    def cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return bool(self._cancel)

    def cancel(self) -> None:
        """Stop after the present step; results that are done stay in the study."""
        self._cancel.set()

    def result(self, timeout: float | None = None) -> Study:
        """Wait for the end and return the study; after `cancel`, what is done.

        Args:
            timeout: Seconds to wait at most.

        Raises:
            TimeoutError: It is still running.
            Exception: Whatever stopped the whole run; a grid cell that fails is no such thing.
        """
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout)
        if not self._ended:
            raise TimeoutError(f"still running: {self.progress}")
        if self._error is not None:
            raise self._error
        return self.study

    def __repr__(self) -> str:
        state = "cancelled" if self.cancelled else "done" if self.done else "running"
        return f"<Job {state}: {self.progress}>"
