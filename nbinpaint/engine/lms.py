"""Linear multistep coefficients, integrated once: diffusers integrates them anew in every step of every grid cell.

That takes some 5 ms a step, as long as everything else around the network takes for twenty grid cells, and depends on
nothing but the noise levels.
"""

from __future__ import annotations

from typing import Any

from .cache import Kept

__all__ = ["keep_coefficients"]

_kept = Kept(8192)


def keep_coefficients(scheduler: Any) -> None:
    """Let a scheduler that has its timesteps look up what another with the same noise levels has integrated.

    The numbers are those that the scheduler computes itself. Schedulers without such coefficients stay as they are.
    """
    compute = getattr(scheduler, "get_lms_coefficient", None)
    if compute is None:
        return
    sigmas = scheduler.sigmas.tolist()

    def coefficient(order: int, t: int, current_order: int) -> float:
        window = tuple(sigmas[t + 1 - order : t + 2])
        kept: float = _kept.get((window, current_order), lambda: compute(order, t, current_order))
        return kept

    scheduler.get_lms_coefficient = coefficient
