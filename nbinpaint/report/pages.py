"""A study as a page of its own, to open anywhere, and as a figure for a paper."""

from __future__ import annotations

import base64
import html
import io
from typing import TYPE_CHECKING, Any

from PIL import Image

from .studies import StudyGrid, shared_recipe, study_grid

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..study import Study

__all__ = ["study_figure", "study_html"]

_STYLE = """
:root { color-scheme: light dark; font: 14px system-ui, sans-serif; }
body { margin: 24px; }
table { border-collapse: separate; border-spacing: 6px; }
thead th { position: sticky; top: 0; background: Canvas; vertical-align: bottom; }
tbody th { position: sticky; left: 0; background: Canvas; text-align: left; max-width: 16em; }
th { font-weight: normal; padding: 4px 8px; overflow-wrap: anywhere; }
td { padding: 0; text-align: center; max-width: 260px; overflow-wrap: anywhere; }
td img { display: block; width: 100%; min-width: 96px; max-width: 260px; }
p { max-width: 70em; }
"""


def study_html(study: Study, rows: Any = None, columns: Any = None) -> str:
    """Return a standalone page: the source, the mask, and the pictures by two axes, all inside the file.

    Args:
        study: The study; grid cells without a picture say why.
        rows: The axis, or axes, that run down, as for `study_sheet`.
        columns: The axis, or axes, that run across.
    """
    grid = study_grid(study, rows, columns)
    head = "".join(f"<th>{html.escape(label)}</th>" for label in grid.column_labels)
    body = "".join(
        f"<tr><th>{html.escape(label)}</th>{''.join(f'<td>{_shown(p)}</td>' for p in line)}</tr>"
        for label, line in zip(grid.row_labels or [""], grid.pictures, strict=True)
    )
    title = html.escape(shared_recipe(study))
    corner = html.escape(" \\ ".join(filter(None, (grid.row_title, grid.column_title))))
    mask = Image.fromarray(study.sweep.source.mask)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
        f"<h1>Comparison</h1><p>{title}</p>"
        f"<table><tr><td>{_shown(study.sweep.source.image)}source</td><td>{_shown(mask)}mask</td></tr></table>"
        f"<table><thead><tr><th>{corner}</th>{head}</tr></thead><tbody>{body}</tbody></table></html>\n"
    )


def _shown(picture: Image.Image | str | None) -> str:
    if not isinstance(picture, Image.Image):
        return html.escape(picture or "waiting")
    buffer = io.BytesIO()
    picture.convert("RGB").save(buffer, "JPEG", quality=92)
    return f'<img alt="" src="data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}">'


def study_figure(study: Study, rows: Any = None, columns: Any = None, side: float = 1.4) -> Figure:
    """Return a matplotlib figure of the pictures by two axes.

    Args:
        study: The study; grid cells without a picture say why.
        rows: The axis, or axes, that run down, as for `study_sheet`.
        columns: The axis, or axes, that run across.
        side: Width and height of one picture in inches.
    """
    from matplotlib.figure import Figure

    grid: StudyGrid = study_grid(study, rows, columns)
    down, across = len(grid.pictures), len(grid.pictures[0])
    figure = Figure(figsize=(side * across + 1.2, side * down + 0.6), layout="constrained")
    axes = figure.subplots(down, across, squeeze=False)
    for i, line in enumerate(grid.pictures):
        for j, picture in enumerate(line):
            place = axes[i][j]
            place.set_xticks([])
            place.set_yticks([])
            if isinstance(picture, Image.Image):
                place.imshow(picture)
            else:
                place.text(0.5, 0.5, picture or "", ha="center", va="center", fontsize=6, wrap=True)
            if i == 0 and grid.column_labels:
                place.set_title(grid.column_labels[j], fontsize=8)
            if j == 0 and grid.row_labels:
                place.set_ylabel(grid.row_labels[i], fontsize=8, rotation=0, ha="right", va="center")
    figure.supxlabel(grid.column_title, fontsize=8)
    return figure
