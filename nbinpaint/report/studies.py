"""From a study to a contact sheet: which axes run down and across, what headers say, what all cells share."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import InvalidParams
from ..params import Params
from ..prompts import in_common
from .sheets import contact_sheet

if TYPE_CHECKING:
    from PIL import Image

    from ..study import Study

__all__ = ["StudyGrid", "shared_recipe", "study_grid", "study_sheet"]


def study_sheet(
    study: Study,
    *,
    rows: str | tuple[str, ...] | None = None,
    columns: str | tuple[str, ...] | None = None,
    **options: Any,
) -> Image.Image:
    """Draw a study as a grid of pictures.

    Args:
        study: The study; grid cells without a picture say why.
        rows: The axis, or axes, that run down; the first, and all beyond the second, where None.
        columns: The axis, or axes, that run across; the second, or an only one, where None.
        **options: Go to `contact_sheet`: `cell`, `title`, `captions`, ...

    Raises:
        InvalidParams: A name is no axis of the study, or an axis is named twice or left out.
    """
    grid = study_grid(study, rows, columns)
    chosen: dict[str, Any] = {
        "row_labels": grid.row_labels,
        "column_labels": grid.column_labels,
        "row_title": grid.row_title,
        "column_title": grid.column_title,
        "title": shared_recipe(study),
        "source": study.sweep.source.image,
        "mask": study.sweep.source.mask,
    }
    return contact_sheet(images=grid.pictures, **(chosen | options))


@dataclass(frozen=True)
class StudyGrid:
    """A study by two directions.

    Attributes:
        pictures: Row by row; a text says why there is no picture, None that it is still to come.
        row_labels: What each row is.
        column_labels: What each column is.
        row_title: What the rows run over.
        column_title: What the columns run over.
    """

    pictures: list[list[Image.Image | str | None]]
    row_labels: list[str]
    column_labels: list[str]
    row_title: str
    column_title: str


def study_grid(study: Study, rows: str | tuple[str, ...] | None, columns: str | tuple[str, ...] | None) -> StudyGrid:
    """Lay a study out; `rows` and `columns` as for `study_sheet`.

    Raises:
        InvalidParams: A name is no axis of the study, or an axis is named twice or left out.
    """
    down, across = _directions(study, rows, columns)
    row_points, column_points = _points(study.axes, down), _points(study.axes, across)
    still = {name: values[0] for name, values in study.axes.items() if name not in (*down, *across)}
    at = {frozenset(cell.coordinates.items()): cell.index for cell in study.cells}
    return StudyGrid(
        [[_picture(study, at[frozenset((still | r | c).items())]) for c in column_points] for r in row_points],
        [_label(point, len(down) > 1) for point in _points(study.sweep.labels, down)],
        [_label(point, len(across) > 1) for point in _points(study.sweep.labels, across)],
        _title(down),
        _title(across),
    )


def shared_recipe(study: Study) -> str:
    """Say in one line what all grid cells have in common: the prompt, then every field that tells something.

    Of prompts that differ, what they share; and how many pictures the safety checker withheld.
    """
    always = ("steps", "denoise", "guidance_scale", "seed", "size")
    specs = Params.specs()
    params = study.plans[0].params
    # Settings within a field are told by the field.
    fixed = {n: params.get(n) for n, spec in specs.items() if len(study.axes.get(n, ())) < 2 and not spec.within}
    words = [
        f"{specs[name].label} {specs[name].format(value)}"
        for name, value in fixed.items()
        if name not in ("prompt",) and (name in always or value != specs[name].default)
    ]
    shared = in_common(study.axes.get("prompt", (params.prompt,)))
    prompt = [f"“{shared}”"] if shared else []
    withheld = [f"{len(study.withheld)} withheld by the safety checker"] if study.withheld else []
    return " · ".join([*prompt, *words, f"model {study.model}", *withheld])


def _directions(
    study: Study, rows: str | tuple[str, ...] | None, columns: str | tuple[str, ...] | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Say which axes run down and which across; an axis of one value runs nowhere unless it is named."""
    down = (rows,) if isinstance(rows, str) else rows
    across = (columns,) if isinstance(columns, str) else columns
    named = (*(down or ()), *(across or ()))
    free = tuple(a for a, values in study.axes.items() if a not in named and len(values) > 1)
    if across is None:
        across, free = (
            (free, ()) if down is not None else (free[1:2] or free[:1], free[:1] * (len(free) > 1) + free[2:])
        )
    if down is None:
        down, free = free, ()
    directions = (*down, *across)
    if free or len(set(directions)) < len(directions) or not set(directions) <= set(study.axes):
        raise InvalidParams(
            f"rows={rows!r}, columns={columns!r} do not divide the axes; allowed: each of {tuple(study.axes)} once"
        )
    return down, across


def _points(values: Mapping[str, tuple[Any, ...]], axes: tuple[str, ...]) -> list[dict[str, Any]]:
    points = itertools.product(*(values[name] for name in axes))
    return [dict(zip(axes, point, strict=True)) for point in points]


def _label(point: dict[str, str], named: bool) -> str:
    specs = Params.specs()
    return " · ".join(f"{specs[name].label} {text}" if named else text for name, text in point.items())


def _title(axes: tuple[str, ...]) -> str:
    return " · ".join(Params.specs()[name].label for name in axes)


def _picture(study: Study, index: int) -> Image.Image | str | None:
    state = study.state(index)
    if state == "done":
        return study.results[index].image
    if state == "withheld":
        return "withheld by the safety checker"
    return study.failures[index].message if state == "failed" else None
