"""Linear multistep coefficients, integrated once: diffusers integrates them anew in every step of every grid cell.

That takes some 5 ms a step, as long as everything else around the network takes for twenty grid cells, and depends on
nothing but the noise levels.
"""

from __future__ import annotations

from typing import Any

__all__ = ["keep_coefficients"]

_kept: dict[tuple[tuple[float, ...], int], float] = {}


def keep_coefficients(scheduler: Any) -> None:
    """Let a scheduler that has its timesteps look up what another with the same noise levels has integrated.

    The numbers are those that the scheduler computes itself. Schedulers without such coefficients stay as they are.
    """
    compute = getattr(scheduler, "get_lms_coefficient", None)
    if compute is None:
        return
    sigmas = scheduler.sigmas.tolist()

    def coefficient(order: int, t: int, current_order: int) -> float:
        key = tuple(sigmas[t + 1 - order : t + 2]), current_order
        if key not in _kept:
            _kept[key] = compute(order, t, current_order)
        return _kept[key]

    scheduler.get_lms_coefficient = coefficient
