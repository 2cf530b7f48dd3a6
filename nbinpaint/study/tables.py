"""A study as the tables that people analyse: pandas for figures, xarray for pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import NbInpaintError

if TYPE_CHECKING:
    import pandas
    import xarray

    from .study import Study

__all__ = ["to_pandas", "to_xarray"]


def to_pandas(study: Study) -> pandas.DataFrame:
    """One row a grid cell: its coordinates, state, plan, figures and error."""
    import pandas

    rows = []
    for cell, plan in zip(study.cells, study.plans, strict=True):
        result = study.results.get(cell.index)
        failure = study.failures.get(cell.index)
        size = plan.params.size or (0, 0)
        rows.append(
            plan.params.to_dict()
            | {"size": f"{size[0]}x{size[1]}"}
            | {
                "state": study.state(cell.index),
                "steps_run": plan.steps_run,
                "evaluations": plan.evaluations,
                "sigma_start": plan.sigma_start,
                "rating": study.ratings.get(cell.index),
                "seconds": result.seconds if result else float("nan"),
                "error": failure.message if failure else None,
            }
        )
    frame = pandas.DataFrame(rows, index=pandas.RangeIndex(len(rows), name="cell"))
    first = [name for name in study.axes if name in frame]
    return frame[first + [name for name in frame if name not in first]]


def to_xarray(study: Study) -> xarray.DataArray:
    """The blended pictures, uint8, dimensions: the axes, then y, x, channel."""
    import xarray

    sizes = {plan.params.size for plan in study.plans}
    if len(sizes) > 1 or None in sizes:
        raise NbInpaintError(f"pictures of {len(sizes)} sizes fit into no one array; allowed: a study of one size")
    (size,) = sizes
    assert size is not None
    pixels = np.zeros((len(study.cells), size[1], size[0], 3), np.uint8)
    for index, result in study.results.items():
        pixels[index] = np.asarray(result.image)
    coordinates: dict[str, Any] = {
        name: [str(value) if isinstance(value, tuple) or value is None else value for value in values]
        for name, values in study.axes.items()
    }
    return xarray.DataArray(
        pixels.reshape(*study.sweep.shape, size[1], size[0], 3),
        dims=[*study.axes, "y", "x", "channel"],
        coords=coordinates | {"channel": ["r", "g", "b"]},
        name="image",
        attrs={"model": study.model},
    )
