"""Muon, an optimiser that orthogonalises each weight matrix's step: far faster than AdamW on models this small."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from training.team import Team


def orthogonal(matrices: Tensor, steps: int = 5) -> Tensor:
    """Newton-Schulz iteration that drives the singular values of a batch of matrices towards one."""
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        square = x @ x.mT
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    return x.mT if tall else x


class Muon:
    """Muon on `matrices`, AdamW on the `rest`, one learning rate for both."""

    def __init__(
        self, matrices: Iterable[Tensor], rest: Iterable[Tensor], momentum: float = 0.95, decay: float = 0.01
    ) -> None:
        self.groups: dict[tuple[int, int], list[Tensor]] = {}
        for parameter in matrices:
            self.groups.setdefault((parameter.shape[0], parameter[0].numel()), []).append(parameter)
        self.velocity = {k: torch.zeros(len(v), *k) for k, v in self.groups.items()}
        self.momentum, self.decay = momentum, decay
        self.adam = torch.optim.AdamW(rest, lr=1.0, betas=(0.9, 0.99), weight_decay=decay)

    def zero_grad(self) -> None:
        for parameters in self.groups.values():
            for parameter in parameters:
                parameter.grad = None
        self.adam.zero_grad()

    @torch.no_grad()
    def step(self, rate: float, team: Team | None = None) -> None:
        """One update; a `team` shares out the orthogonalising, which is a third of a step's time."""
        rank, size = (team.rank, team.size) if team else (0, 1)
        count, offset, found = 0, 0, []
        for shape, parameters in self.groups.items():
            gradient = torch.stack([p.grad.reshape(shape) for p in parameters])
            velocity = self.velocity[shape].lerp_(gradient, 1 - self.momentum)
            update = gradient.lerp(velocity, self.momentum).bfloat16()
            if size == 1:
                found.append(orthogonal(update))
                continue
            assert team is not None
            place = team.updates[offset : offset + update.numel()].view_as(update)
            mine = slice((rank - count) % size, None, size)
            if len(update[mine]):
                place[mine] = orthogonal(update[mine])
            found.append(place)
            count, offset = count + len(parameters), offset + update.numel()
        if team and size > 1:
            team.wait()
        for (shape, parameters), updates in zip(self.groups.items(), found, strict=True):
            # This factor gives the update the size that AdamW's would have at the same rate.
            scale = 0.2 * max(shape) ** 0.5
            for parameter, change in zip(parameters, updates.float(), strict=True):
                parameter.mul_(1 - rate * self.decay).add_(change.reshape(parameter.shape), alpha=-rate * scale)
        for group in self.adam.param_groups:
            group["lr"] = rate
        self.adam.step()

    def state_dict(self) -> dict:
        return {"velocity": self.velocity, "adam": self.adam.state_dict()}

    def load_state_dict(self, state: dict) -> None:
        for shape, velocity in state["velocity"].items():
            self.velocity[shape].copy_(velocity)
        self.adam.load_state_dict(state["adam"])
