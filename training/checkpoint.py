"""Checkpoints that survive an interruption, and the learning rate of a run whose end is set late."""

from __future__ import annotations

import os
from pathlib import Path

import torch


def save(path: Path, state: dict) -> None:
    """Writes beside the target and renames, so a reader never meets half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}.part")
    torch.save(state, part)
    part.replace(path)


def load(path: Path) -> dict | None:
    """The state at `path`, or None where a run has yet to begin."""
    return torch.load(path, weights_only=False) if path.exists() else None


def trapezoid(step: int, progress: float, peak: float, decay_from: float, warmup: int = 40) -> float:
    """A constant rate that falls linearly once `progress` (0-1, of the time given) passes `decay_from`."""
    fall = 1.0 if progress < decay_from else max(0.02, (1 - progress) / (1 - decay_from))
    return peak * min(1.0, (step + 1) / warmup) * fall
