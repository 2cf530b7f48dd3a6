"""How long a network call takes on this machine, by its rows: measured once in about a second, and remembered.

Where batches pay and where they stop paying differs between machines by more than any rule of thumb allows for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

__all__ = ["BUDGET", "COUNTS", "SHARE", "WORTH", "measure"]

COUNTS = (2, 4, 8, 16, 32, 64)
"""Row counts that are tried."""
BUDGET = 1.5
"""Seconds that measuring may take in all, once the first call is done."""
SHARE = 0.05
"""Of the expected run, the part that measuring it may take."""
WORTH = 240
"""A run of fewer rows, over all its calls, is not worth measuring for."""
_GROWTH = 2.0
"""How much longer a call may take with twice the rows."""


def measure(
    call: Callable[[int], None],
    rows: int,
    counts: Sequence[int] = COUNTS,
    known: Mapping[int, float] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[int, float]:
    """Time calls of more and more rows until the budget is used up.

    On a slow machine with a large network that is after the very first call, which then serves as its own measurement.

    Args:
        call: Makes one call of this many rows and waits for its end; a `MemoryError` or a `RuntimeError` (as which
            torch reports both) means that so many do not fit.
        rows: Rows of the run that is to come, over all its calls.
        counts: What to try, ascending.
        known: Seconds by rows from before; these are not measured again.
        clock: Seconds of a clock that does not go back.

    Returns:
        Seconds of a call by its rows; empty if not even the first call fits.
    """
    found = dict(known or {})
    spent = 0.0
    for count in counts:
        if count in found:
            continue
        if found:
            last = max(found)
            allowed = min(BUDGET, SHARE * found[last] * rows / last)
            # The first call of a new shape warms up and is not counted, the second is.
            if spent + 2 * _GROWTH * found[last] * count / (2 * last) > allowed:
                break
        begun = clock()
        try:
            call(count)
            warm = clock()
            if not found and warm - begun > BUDGET:
                return {count: warm - begun}
            call(count)
        except (MemoryError, RuntimeError):
            break
        ended = clock()
        found[count] = min(ended - warm, warm - begun)
        spent += ended - begun
    return found
