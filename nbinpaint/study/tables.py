"""A study as the tables that people analyse: pandas for figures, xarray for pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import NbInpaintError
from ..params import Params

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
            {name: spec.plain(plan.params.get(name)) for name, spec in Params.specs().items()}
            | {"size": f"{size[0]}x{size[1]}", "soft": plan.params.soft is not None}
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
    specs = Params.specs()
    coordinates: dict[str, Any] = {
        name: [v if isinstance(v, (str, int, float)) else specs[name].format(v) for v in values]
        for name, values in study.axes.items()
    }
    return xarray.DataArray(
        pixels.reshape(*study.sweep.shape, size[1], size[0], 3),
        dims=[*study.axes, "y", "x", "channel"],
        coords=coordinates | {"channel": ["r", "g", "b"]},
        name="image",
        attrs={"model": study.model},
    )
