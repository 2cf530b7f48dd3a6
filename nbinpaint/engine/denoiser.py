"""One evaluation for many trajectories: rows of different timesteps, schedulers and prompts in one network call."""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch

from .models import Model
from .trajectory import Rows, Trajectory

__all__ = ["Denoiser"]


class Denoiser:
    """Runs the denoising network over whatever trajectories are given.

    Args:
        model: The model.
        most_rows: Rows of one network call at most; halved for good when memory runs out.

    Attributes:
        calls: Network calls made.
        rows: Rows computed, over all calls.
    """

    def __init__(self, model: Model, most_rows: int) -> None:
        self.most_rows = most_rows
        self.calls = 0
        self.rows = 0
        self._model = model

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
        rows = [t.rows() for t in active]
        predictions = self._predict(rows)
        for trajectory, prediction in zip(active, predictions, strict=True):
            try:
                trajectory.advance(prediction, watched)
            except Exception as error:
                failed[trajectory] = error
        share = (time.perf_counter() - started) / sum(t.row_count for t in active)
        for trajectory in active:
            trajectory.seconds += share * trajectory.row_count
        return failed

    def _predict(self, rows: Sequence[Rows]) -> list[torch.Tensor]:
        """Call the network once, or on halves of the batch where it does not fit into memory."""
        counts = [len(r.text) for r in rows]
        if sum(counts) > self.most_rows and len(rows) > 1:
            return self._halves(rows)
        try:
            out = self._network(rows)
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

    def _network(self, rows: Sequence[Rows]) -> torch.Tensor:
        latents, timesteps, text = (torch.cat(parts) for parts in zip(*(r[:3] for r in rows), strict=True))
        added = {name: torch.cat([r.added[name] for r in rows]) for name in rows[0].added}
        if self._model.device.type != "mps":
            latents = latents.contiguous(memory_format=torch.channels_last)
        out: torch.Tensor = self._model.pipeline.unet(
            latents,
            timesteps.to(self._model.device, non_blocking=True),
            encoder_hidden_states=text,
            added_cond_kwargs=added or None,
            return_dict=False,
        )[0]
        return out
