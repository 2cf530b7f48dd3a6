"""How long a sweep will take here: learned from the sweeps that have run, kept between sessions.

The unit of work is one row of the denoising network for one pixel; a machine and model do about the same number of them
each second.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from .engine.base import Plan
from .remembered import Remembered

__all__ = ["Pace", "work"]

_WEIGHT = 0.5
"""How much a new run counts against what was known."""


def work(plans: Iterable[Plan]) -> float:
    """Return the rows x pixels that these plans come to."""
    total = 0.0
    for plan in plans:
        width, height = plan.params.size or (1, 1)
        total += plan.evaluations * (2 if plan.params.guided else 1) * width * height
    return total


class Pace:
    """Remembers seconds per unit of work, by engine.

    Args:
        file: Where it is kept; `nbinpaint/pace.json` in the user's cache folder where None.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._kept = Remembered("pace.json", file)

    def _rate(self, engine: str) -> float | None:
        rate = self._kept.read().get(engine)
        return None if rate is None else float(rate)

    def seconds(self, engine: str, plans: Iterable[Plan]) -> float | None:
        """Say how long these plans will take on the engine with this fingerprint; None where it has never run."""
        rate = self._rate(engine)
        return None if rate is None else rate * work(plans)

    def learn(self, engine: str, plans: Iterable[Plan], seconds: float) -> None:
        """Take in how long these plans took."""
        done = work(plans)
        if not done:
            return
        known, rate = self._rate(engine), seconds / done
        self._kept.keep(engine, rate if known is None else (1 - _WEIGHT) * known + _WEIGHT * rate)
