"""A study: every grid cell of a sweep with its plan and what it came to."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..engine.base import Engine, Plan
from ..errors import NbInpaintError
from ..params import Params
from ..result import Failure, Result
from ..sweep import GridCell, Sweep, result_key
from . import tables
from .store import Store

if TYPE_CHECKING:
    import pandas
    import xarray
    from matplotlib.figure import Figure
    from PIL import Image

__all__ = ["Study", "open_study"]


class Study:
    """The ordered results and failures of a sweep; it grows while the sweep runs.

    Args:
        sweep: The plan.
        engine: Whoever computes it; every grid cell is planned at once.
        store: A folder to keep results in as they come; what it holds already is taken from there.

    Raises:
        InvalidParams: A grid cell's recipe cannot be used with this engine.
        NbInpaintError: The folder cannot be used.

    Attributes:
        sweep: The plan.
        model: Name of the model.
        fingerprint: Names the model's weights and number format.
        plans: What each grid cell's recipe means for the engine, in the order of `cells`.
        results: Index of a grid cell to its result.
        failures: Index of a grid cell to its failure.
        ratings: Index of a grid cell to the stars it was given, 1 to 5.
    """

    def __init__(self, sweep: Sweep, engine: Engine, store: str | Path | None = None) -> None:
        plans = tuple(engine.plan(cell.params) for cell in sweep.cells)
        self._begin(sweep, engine.name, engine.fingerprint, plans, Store(store) if store is not None else None)
        if self._store is not None:
            self._store.write_source(sweep.source)
            self._write_index()

    def _begin(self, sweep: Sweep, model: str, fingerprint: str, plans: tuple[Plan, ...], store: Store | None) -> None:
        self.sweep = sweep
        self.model = model
        self.fingerprint = fingerprint
        self.plans = plans
        self.results: dict[int, Result] = {}
        self.failures: dict[int, Failure] = {}
        self.ratings: dict[int, int] = {}
        self._store = store
        self._keys = tuple(
            result_key(plan.params, cell.source, fingerprint) for cell, plan in zip(sweep.cells, plans, strict=True)
        )
        if store is not None:
            found = store.read_results({key: cell.source for key, cell in zip(self._keys, sweep.cells, strict=True)})
            self.results = {i: found[key] for i, key in enumerate(self._keys) if key in found}

    @property
    def cells(self) -> tuple[GridCell, ...]:
        """Every grid cell, in the sweep's order."""
        return self.sweep.cells

    @property
    def axes(self) -> Mapping[str, tuple[Any, ...]]:
        """Axis name to values."""
        return self.sweep.axes

    @property
    def missing(self) -> tuple[GridCell, ...]:
        """Grid cells that have no result; those that failed are among them."""
        return tuple(cell for cell in self.cells if cell.index not in self.results)

    @property
    def withheld(self) -> tuple[int, ...]:
        """Index of each grid cell whose picture the model's safety checker withholds."""
        return tuple(index for index, result in sorted(self.results.items()) if result.flagged)

    def add(self, cell: GridCell, outcome: Result | Failure) -> None:
        """Keep what a grid cell came to, on disk first."""
        if isinstance(outcome, Failure):
            self.failures[cell.index] = outcome
        else:
            if self._store is not None:
                self._store.write_result(self._keys[cell.index], cell, outcome)
            self.results[cell.index] = outcome
            self.failures.pop(cell.index, None)
        if self._store is not None:
            self._write_index()

    def save(self, path: str | Path) -> None:
        """Write the study into a folder, from which `open_study` reads it.

        Raises:
            NbInpaintError: The path is a file, or the folder holds something else than a study.
        """
        store = Store(path)
        store.write_source(self.sweep.source)
        for index, result in self.results.items():
            store.write_result(self._keys[index], self.cells[index], result)
        store.write_index(self._index())

    def _write_index(self) -> None:
        assert self._store is not None
        self._store.write_index(self._index())

    def _index(self) -> dict[str, Any]:
        specs = Params.specs()
        return {
            "model": self.model,
            "fingerprint": self.fingerprint,
            "params": self.sweep.params.to_dict(),
            "axes": {name: [specs[name].plain(v) for v in values] for name, values in self.axes.items()},
            "cells": [self._entry(cell) for cell in self.cells],
        }

    def _entry(self, cell: GridCell) -> dict[str, Any]:
        entry: dict[str, Any] = {
            "key": self._keys[cell.index],
            "coordinates": {name: Params.specs()[name].plain(v) for name, v in cell.coordinates.items()},
            "state": self.state(cell.index),
            "plan": dataclasses.asdict(self.plans[cell.index]),
        }
        if cell.index in self.results:
            entry["facts"] = self.results[cell.index].facts
        if cell.index in self.ratings:
            entry["rating"] = self.ratings[cell.index]
        if cell.index in self.failures:
            entry["failure"] = dataclasses.asdict(self.failures[cell.index])
        return entry

    def state(self, index: int) -> str:
        """Return "done", "withheld", "failed" or "waiting" for the grid cell with this index."""
        if index in self.results:
            return "withheld" if self.results[index].flagged else "done"
        return "failed" if index in self.failures else "waiting"

    def __getitem__(self, where: int | tuple[Any, ...]) -> Result:
        """Return a result by its index, or by its value on each axis: `study["DDIM", 0.6]`.

        Raises:
            KeyError: There is no such grid cell, or it has no result; the message says which and why.
        """
        index = where if isinstance(where, int) else self._find(where)
        if isinstance(where, int) and index < 0:
            index += len(self.cells)
        if index in self.results:
            return self.results[index]
        if index in self.failures:
            raise KeyError(f"grid cell {where!r} failed: {self.failures[index].message}")
        raise KeyError(
            f"grid cell {where!r} has no result yet" if index < len(self.cells) else f"no grid cell {where!r}"
        )

    def _find(self, values: tuple[Any, ...]) -> int:
        for cell in self.cells:
            if tuple(cell.coordinates.values()) == values:
                return cell.index
        raise KeyError(f"no grid cell {values!r}; the axes are {dict(self.axes)}")

    def __iter__(self) -> Iterator[Result]:
        return iter(self.results[index] for index in sorted(self.results))

    def __len__(self) -> int:
        return len(self.cells)

    def rate(self, where: int | tuple[Any, ...], stars: int) -> None:
        """Give a grid cell 1 to 5 stars, or take them back with 0; kept with the study.

        Args:
            where: Its index, or its value on each axis.
            stars: 0 to 5.

        Raises:
            KeyError: There is no such grid cell.
            NbInpaintError: `stars` is not a whole number from 0 to 5.
        """
        if stars not in range(6):
            raise NbInpaintError(f"stars={stars!r} is not possible; allowed: a whole number from 0 to 5")
        index = where if isinstance(where, int) else self._find(where)
        if index not in range(len(self.cells)):
            raise KeyError(f"no grid cell {where!r}")
        if stars:
            self.ratings[index] = stars
        else:
            self.ratings.pop(index, None)
        if self._store is not None:
            self._write_index()

    def to_pandas(self) -> pandas.DataFrame:
        """Return one row a grid cell: coordinates, state, figures and error, ready to group and plot."""
        return tables.to_pandas(self)

    def to_xarray(self) -> xarray.DataArray:
        """Return the pictures as uint8 with one dimension an axis, then y, x and channel; missing ones are zeros.

        Raises:
            NbInpaintError: The pictures are of different sizes.
        """
        return tables.to_xarray(self)

    def sheet(self, **options: Any) -> Image.Image:
        """Return a contact sheet: rows and columns with headers, the source, the mask and the shared recipe.

        Args:
            **options: `rows` and `columns` name the axes that run down and across; the first and second where not
                given.
                Others go to `nbinpaint.report.contact_sheet`.
        """
        from ..report import study_sheet

        return study_sheet(self, **options)

    def figure(self, **options: Any) -> Figure:
        """Return a matplotlib figure of the pictures; `rows` and `columns` as for `sheet`, `side` in inches."""
        from ..report import study_figure

        return study_figure(self, **options)

    def save_html(self, path: str | Path, **options: Any) -> None:
        """Write a page that holds everything and needs nothing else; `rows` and `columns` as for `sheet`."""
        from ..report import study_html

        Path(path).write_text(study_html(self, **options), "utf-8")

    def _repr_png_(self) -> bytes | None:
        if not self.results:
            return None
        from io import BytesIO

        buffer = BytesIO()
        self.sheet().save(buffer, "PNG")
        return buffer.getvalue()

    def __repr__(self) -> str:
        axes = " x ".join(f"{len(values)} {name}" for name, values in self.axes.items()) or "one grid cell"
        failed = f", {len(self.failures)} failed" if self.failures else ""
        withheld = f", {len(self.withheld)} withheld" if self.withheld else ""
        done = f"{len(self.results)} of {len(self.cells)} done"
        return f"<Study {axes}: {done}{withheld}{failed}, model {self.model!r}>"


def open_study(path: str | Path) -> Study:
    """Open a study's folder for looking at and comparing; no model is needed.

    Raises:
        NbInpaintError: The folder holds no study, or one of a later format.
    """
    folder = Store(path)
    index = folder.read_index()
    source = folder.read_source()
    try:
        sweep = Sweep(source.image, source.mask, Params.from_dict(index["params"]), **index["axes"])
        plans = tuple(
            Plan(**(entry["plan"] | {"params": Params.from_dict(entry["plan"]["params"])})) for entry in index["cells"]
        )
        study = Study.__new__(Study)
        study._begin(sweep, index["model"], index["fingerprint"], plans, folder)
        study.ratings = {i: entry["rating"] for i, entry in enumerate(index["cells"]) if "rating" in entry}
        study.failures = {
            i: Failure.from_dict(entry["failure"]) for i, entry in enumerate(index["cells"]) if "failure" in entry
        }
    except (KeyError, TypeError, ValueError) as error:
        raise NbInpaintError(f"{str(path)!r} is a damaged study: {error!r}") from error
    return study
