"""One evaluation for many trajectories: rows of different timesteps, schedulers and prompts in one network call."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence

import torch

from .models import Model
from .network import Inputs, Network
from .trajectory import Rows, Trajectory

__all__ = ["Denoiser"]

_AHEAD = 2
"""Calls that may wait in a device's queue: enough to keep it busy, so few that progress and cancelling stay honest."""


class Denoiser:
    """Runs the denoising network over whatever trajectories are given.

    Args:
        model: The model.
        most_rows: Rows of one network call at most; halved for good when memory runs out.
        network: How the network is called; as it is where None.

    Attributes:
        calls: Network calls made.
        rows: Rows computed, over all calls.
    """

    def __init__(self, model: Model, most_rows: int, network: Network | None = None) -> None:
        self.most_rows = most_rows
        self.calls = 0
        self.rows = 0
        self._model = model
        self._network = network or Network(model)
        self._queued: deque[torch.cuda.Event] = deque()

    def room(self, active: Sequence[Trajectory]) -> int:
        """Rows still free beside these trajectories."""
        return self.most_rows - sum(t.row_count for t in active)

    @torch.inference_mode()
    def advance(self, active: Sequence[Trajectory], watched: bool = False) -> dict[Trajectory, Exception]:
        """Move every trajectory one evaluation on; all must have latents of one size.

        Args:
            active: The trajectories.
            watched: Let each keep an estimate of its clean latents.

        Returns:
            The errors of those that could not move; they leave the others untouched.
        """
        started = time.perf_counter()
        failed: dict[Trajectory, Exception] = {}
        predictions = self._predict([t.rows() for t in active])
        for trajectory, prediction in zip(active, predictions, strict=True):
            try:
                trajectory.advance(prediction, watched)
            except Exception as error:
                failed[trajectory] = error
        self._keep_pace()
        share = (time.perf_counter() - started) / sum(t.row_count for t in active)
        for trajectory in active:
            trajectory.seconds += share * trajectory.row_count
        return failed

    def _keep_pace(self) -> None:
        """Wait until the device is at most some calls behind."""
        if self._model.device.type == "cuda":
            self._queued.append(torch.cuda.current_stream(self._model.device).record_event())
            if len(self._queued) > _AHEAD:
                self._queued.popleft().synchronize()

    def _predict(self, rows: Sequence[Rows]) -> list[torch.Tensor]:
        """Call the network once, or on halves of the batch where it does not fit into memory."""
        counts = [len(r.text) for r in rows]
        if sum(counts) > self.most_rows and len(rows) > 1:
            return self._halves(rows)
        try:
            out = self._network(self._together(rows))
        except torch.OutOfMemoryError:
            if len(rows) == 1:
                raise
            torch.cuda.empty_cache()
            self.most_rows = max(1, sum(counts) // 2)
            return self._halves(rows)
        self.calls += 1
        self.rows += sum(counts)
        return list(torch.split(out, counts))

    def _halves(self, rows: Sequence[Rows]) -> list[torch.Tensor]:
        middle = len(rows) // 2
        return self._predict(rows[:middle]) + self._predict(rows[middle:])

    def _together(self, rows: Sequence[Rows]) -> Inputs:
        latents, timesteps, text = (torch.cat(parts) for parts in zip(*(r[:3] for r in rows), strict=True))
        added = {name: torch.cat([r.added[name] for r in rows]) for name in rows[0].added}
        if self._model.device.type == "cuda":
            # Only from pinned memory does a copy not wait for all that the device has still to do.
            timesteps = timesteps.pin_memory()
        return Inputs(latents, timesteps.to(self._model.device, non_blocking=True), text, added)
