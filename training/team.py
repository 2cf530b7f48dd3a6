"""Processes that train one model together: they average gradients and share out the optimiser's work in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass
class Team:
    """One process's view of the memory that `size` processes share."""

    rank: int
    size: int
    gradients: Tensor
    updates: Tensor
    barrier: Any

    @classmethod
    def shared(cls, size: int, length: int, context: Any) -> Team:
        """A team for models of up to `length` numbers, to be handed to each process with its own rank."""
        gradients = torch.zeros(size, length + 1).share_memory_()
        updates = torch.zeros(length, dtype=torch.bfloat16).share_memory_()
        return cls(0, size, gradients, updates, context.Barrier(size))

    def wait(self) -> None:
        self.barrier.wait()

    def average(self, parameters: list[Tensor], progress: float) -> float:
        """Replaces each gradient by the team's mean, and agrees on how far the run is."""
        if self.size == 1:
            return progress
        mine, offset = self.gradients[self.rank], 0
        for parameter in parameters:
            mine[offset : offset + parameter.numel()].copy_(parameter.grad.flatten())
            offset += parameter.numel()
        mine[-1] = progress
        self.wait()
        mean = self.gradients.mean(0)
        self.wait()
        offset = 0
        for parameter in parameters:
            parameter.grad.copy_(mean[offset : offset + parameter.numel()].view_as(parameter))
            offset += parameter.numel()
        return float(mean[-1])
