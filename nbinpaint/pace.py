"""How long a sweep will take here: learned from the sweeps that have run, kept between sessions.

The unit of work is one row of the denoising network for one pixel; a machine and model do about the same number of them
each second.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

from .engine.base import Plan

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
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        self._file = file or cache / "nbinpaint" / "pace.json"

    def _read(self) -> dict[str, float]:
        try:
            kept = json.loads(self._file.read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return {str(k): float(v) for k, v in kept.items()} if isinstance(kept, dict) else {}

    def seconds(self, engine: str, plans: Iterable[Plan]) -> float | None:
        """Say how long these plans will take on the engine with this fingerprint; None where it has never run."""
        rate = self._read().get(engine)
        return None if rate is None else rate * work(plans)

    def learn(self, engine: str, plans: Iterable[Plan], seconds: float) -> None:
        """Take in how long these plans took."""
        done = work(plans)
        if not done:
            return
        kept = self._read()
        rate = seconds / done
        kept[engine] = rate if engine not in kept else (1 - _WEIGHT) * kept[engine] + _WEIGHT * rate
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            part = self._file.with_suffix(f".{os.getpid()}.part")
            part.write_text(json.dumps(kept, indent=1))
            part.replace(self._file)
        except OSError:
            pass  # a read-only home: the next session learns anew
