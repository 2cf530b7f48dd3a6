"""An engine without a model: instant, deterministic pictures for tests, layouts and documentation."""

from __future__ import annotations

import colorsys
import hashlib
import math
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from PIL import Image

from ..errors import NbInpaintError
from ..params import Params
from ..result import Failure, Result
from ..sweep import GridCell
from .base import Cancel, Event, Failed, Finished, Plan, Started, Stepped

__all__ = ["FakeEngine"]


class FakeEngine:
    """Paints the mask with a colour that follows from the recipe, so that equal recipes give equal bytes.

    Args:
        native_size: (width, height) for recipes that name no size.
        seconds_per_step: Time to wait in each step, for showing progress.
        fail: Called with each grid cell; a text makes the cell fail with it.
        flag: Called with each grid cell; True marks the result as withheld.
    """

    name = "fake"
    fingerprint = "fake-1"

    def __init__(
        self,
        native_size: tuple[int, int] = (64, 64),
        seconds_per_step: float = 0.0,
        fail: Callable[[GridCell], str | None] | None = None,
        flag: Callable[[GridCell], bool] | None = None,
    ) -> None:
        self.native_size = native_size
        self._wait = seconds_per_step
        self._fail = fail or (lambda cell: None)
        self._flag = flag or (lambda cell: False)

    def plan(self, params: Params) -> Plan:
        """Say what a recipe means: one evaluation a step, noise growing with denoise as a cosine schedule's does."""
        steps = params.steps_run
        sigma = math.tan(min(params.denoise, 0.99) * math.pi / 2) if steps else 0.0
        return Plan(params.replace(size=params.size or self.native_size), steps, steps, sigma)

    def run(self, cells: Sequence[GridCell], cancel: Cancel | None = None) -> Iterator[Event]:
        """Yield the same events as a real engine, one cell after the other."""
        for cell in cells:
            if cancel:
                return
            started = time.perf_counter()
            yield Started(cell)
            message = self._fail(cell)
            if message is not None:
                yield Failed(cell, Failure.of(NbInpaintError(message)))
                continue
            plan = self.plan(cell.params)
            for step in range(plan.steps_run):
                if cancel:
                    return
                time.sleep(self._wait)
                yield Stepped(cell, step + 1, plan.steps_run)
            assert plan.params.size is not None
            yield Finished(
                cell,
                Result(
                    params=plan.params,
                    raw=self._paint(plan.params),
                    source=cell.source,
                    steps_run=plan.steps_run,
                    evaluations=plan.evaluations,
                    sigma_start=plan.sigma_start,
                    seconds=time.perf_counter() - started,
                    flagged=self._flag(cell),
                    model=self.name,
                ),
            )

    @staticmethod
    def _paint(params: Params) -> Image.Image:
        """A two-colour gradient: hue from the whole recipe, contrast from denoise."""
        assert params.size is not None
        width, height = params.size
        digest = hashlib.sha256(repr(sorted(params.to_dict().items())).encode()).digest()
        ends = [colorsys.hsv_to_rgb(byte / 256, 0.3 + 0.6 * params.denoise, 0.9) for byte in digest[:2]]
        ramp = np.linspace(0, 1, width)[None, :, None] * np.ones((height, 1, 1))
        pixels = np.asarray(ends[0]) * (1 - ramp) + np.asarray(ends[1]) * ramp
        return Image.fromarray((pixels * 255).round().astype(np.uint8))
