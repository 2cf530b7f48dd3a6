"""What the Studio says in words: what a run will mean, how it went, what the recipe makes of the mask."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from ..params import Params
from ..study import Study

__all__ = ["duration", "expects", "label", "outcome", "remarks"]


def expects(count: int, called: str, seconds: float | None, price_per_hour: float = 0.0) -> str:
    """Say what pressing a button means: `30 grid cells, about 14 s, $0.02`."""
    words = ["1 picture" if count == 1 else f"{count} {called}"]
    if seconds is not None:
        words.append(f"about {duration(seconds)}")
        if price_per_hour:
            words.append(f"${price_per_hour * seconds / 3600:.2f}")
    return ", ".join(words)


def outcome(study: Study, seconds: float, cancelled: bool) -> str:
    """Say how a run went."""
    whole = f"{len(study.cells)} grid cells"
    if study.failures:
        first = next(iter(study.failures.values())).message.rstrip(".")
        told = f"{len(study.failures)} of {whole} failed; the first: {first}."
    elif cancelled:
        told = f"Cancelled: {len(study.results)} of {whole} are done."
    else:
        told = f"{len(study.results)} of {whole} in {seconds:.1f} s."
    held = len(study.withheld)
    return f"{told} {held} withheld by the safety checker." if held else told


def remarks(params: Params, grey: bool, frame: Sequence[int]) -> Iterator[str]:
    """Say what the recipe makes of the mask, in sentences short enough for two lines under the canvas.

    Args:
        params: The recipe.
        grey: Whether the mask holds grey.
        frame: The only-masked window, [x0, y0, x1, y1] in image pixels; empty for none.
    """
    done = ["inverts the mask"] if params.mask_invert else []
    if params.mask_grow:
        verb, what = "grows" if params.mask_grow > 0 else "shrinks", "it" if done else "the mask"
        done.append(f"{verb} {what} by {abs(params.mask_grow)} px")
    if done:
        yield f"The recipe {' and '.join(done)}."
    if grey and params.soft:
        yield "Grey keeps more of the source."
    elif grey and not params.differential:
        yield "Without Differential or Soft inpainting, grey from 50 % on is repainted whole, and less is kept."
    if params.differential:
        yield (
            "Each pixel has its own share of the denoise."
            if grey
            else "Differential: all that is painted has full strength."
        )
    if frame:
        yield f"Worked on: {frame[2] - frame[0]} x {frame[3] - frame[1]} px."


def label(study: Study) -> str:
    """Name a run for the history."""
    axes = " x ".join(f"{len(v)} {Params.specs()[n].label.lower()}" for n, v in study.axes.items() if len(v) > 1)
    return f"{time.strftime('%H:%M')}  {axes or 'one picture'}: {study.sweep.params.prompt[:40]}"


def duration(seconds: float) -> str:
    """Write seconds as people read them: `0.3 s`, `14 s`, `4 min`, `1.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds >= 9.5 else f"{max(seconds, 0.1):.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
