"""The comparison grid: a study's pictures by two of its axes, filling while it runs, and one of them large beside it.

The page holds small pictures of what is in view and asks for more as it is scrolled; a large one comes when it is
opened.
"""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import anywidget
import ipywidgets
import traitlets
from PIL import Image

from ..engine.base import Event, Failed, Finished, Started, Stepped
from ..job import Job, Progress
from ..params import Params
from ..region import region_of
from ..report.studies import shared_recipe
from ..result import Result
from ..study import Study
from .page import script, style
from .still import LONGEST, Still

__all__ = ["ComparisonGrid"]

BREATH = 0.12
"""Seconds between two reports of progress to the page; finished grid cells do not wait."""
PORTION = 12
"""Pictures of one message."""
LARGEST = 2048
"""Pixels along the longer side of the large picture; a PNG download has them all."""


class ComparisonGrid(Still, anywidget.AnyWidget):
    """Look at a study: pictures by two axes, one large beside them, wipes, differences, ratings.

    Args:
        study: A study, or a running job, whose grid then fills.
        rows: The axis that runs down; the first with several values where None.
        columns: The axis that runs across; the second where None.

    Attributes:
        study: The study that is shown; setting another shows that one.
        rows, columns: Names of the axes that run down and across; empty for none.
        fixed: Index of the value of each other axis.
        selected: Index of the grid cell that is open; -1 for none.
    """

    _esm = script("grid")
    _css = style("grid")

    study = traitlets.Any(None, allow_none=True)
    rows = traitlets.Unicode("").tag(sync=True)
    columns = traitlets.Unicode("").tag(sync=True)
    fixed = traitlets.Dict(key_trait=traitlets.Unicode(), value_trait=traitlets.Int()).tag(sync=True)
    selected = traitlets.Int(-1).tag(sync=True)
    usable = traitlets.Bool(False, help="Whether somebody takes settings: shows the button.").tag(sync=True)

    def __init__(self, study: Study | Job | None = None, *, rows: str = "", columns: str = "", **traits: Any) -> None:
        job = study if isinstance(study, Job) else None
        self._lock = threading.RLock()
        self._steps: dict[int, tuple[int, int]] = {}
        self._fresh: dict[int, bytes | None] = {}
        self._sent = 0.0
        self._side = 192
        self._use = ipywidgets.CallbackDispatcher()
        super().__init__(study=job.study if job else study, **traits)
        self.add_class("nb-grid-root")
        if rows or columns:
            self.rows, self.columns = rows, columns
        self.on_msg(self._hear)
        if job is not None:
            self.watch(job)

    # --- what is shown ---

    @traitlets.validate("study")
    def _check_study(self, proposal: Any) -> Study | None:
        if proposal.value is not None and not isinstance(proposal.value, Study):
            kind = type(proposal.value).__name__
            raise traitlets.TraitError(f"study is a {kind}; allowed: a Study, a Job or None")
        study: Study | None = proposal.value
        return study

    @traitlets.observe("study")
    def _new_study(self, change: Any) -> None:
        study: Study | None = change.new
        with self._lock, self.hold_sync():
            self._steps.clear()
            self._fresh.clear()
            self.selected = -1
            wide = [name for name, values in study.axes.items() if len(values) > 1] if study else []
            kept = {self.rows, self.columns} <= {*wide, ""} and bool({self.rows, self.columns} & {*wide})
            if not kept:
                # A single axis runs across, as a strip.
                self.rows, self.columns = (wide[0], wide[1]) if len(wide) > 1 else ("", wide[0] if wide else "")
            self.fixed = dict.fromkeys(wide, 0)
        self._send_study()
        self._still_changed()

    @traitlets.validate("rows", "columns")
    def _check_axis(self, proposal: Any) -> str:
        name: str = proposal.value
        if name and self.study is not None and name not in self.study.axes:
            raise traitlets.TraitError(
                f"{proposal.trait.name}={name!r} is no axis of the study; allowed: {', '.join(self.study.axes)}"
            )
        return name

    def watch(self, job: Job) -> None:
        """Show a job's study and fill it as the job goes on."""
        if self.study is not job.study:
            self.study = job.study
        job.listen(self.hear)
        job.on_end(self.finish)

    def hear(self, event: Event, progress: Progress) -> None:
        """Take an event of a running sweep, on whichever thread it comes."""
        index = event.cell.index
        with self._lock:
            if self.study is None or index >= len(self.study.cells) or self.study.cells[index] is not event.cell:
                return  # another study is shown by now
            if isinstance(event, Stepped):
                self._steps[index] = (event.done, event.total)
                picture = _jpeg(event.preview(), 160) if event.preview is not None else None
                self._fresh[index] = picture or self._fresh.get(index)
            elif isinstance(event, Started):
                self._steps[index] = (0, self.study.plans[index].evaluations)
                self._fresh.setdefault(index, None)
            elif isinstance(event, (Finished, Failed)):
                self._steps.pop(index, None)
                self._fresh[index] = self._thumbnail(index)
            if isinstance(event, (Finished, Failed)) or time.monotonic() - self._sent > BREATH:
                self._flush()
            if isinstance(event, Finished):
                self._still_changed()

    def finish(self) -> None:
        """A job is over: what it had begun and not finished is waiting again."""
        with self._lock:
            self._fresh.update(dict.fromkeys(self._steps))
            self._steps.clear()
            self._flush()
            self._still_changed()

    def on_use(self, callback: Callable[[Params], None], remove: bool = False) -> None:
        """Call someone with the recipe of a grid cell when "Use these settings" is pressed; shows the button."""
        self._use.register_callback(callback, remove=remove)
        self.usable = bool(self._use.callbacks)

    # --- the page ---

    def _send_study(self) -> None:
        study: Study | None = self.study
        if study is None:
            self.send({"type": "study", "axes": [], "cells": [], "title": ""})
            return
        specs = Params.specs()
        wide = {name: values for name, values in study.axes.items() if len(values) > 1}
        axes = [{"name": name, "label": specs[name].label, "values": list(study.sweep.labels[name])} for name in wide]
        sizes = [plan.params.size or (1, 1) for plan in study.plans]
        places = {name: {_key(value): i for i, value in enumerate(values)} for name, values in wide.items()}
        cells = [
            self._cell(cell.index) | {"at": {name: places[name][_key(cell.coordinates[name])] for name in wide}}
            for cell in study.cells
        ]
        width, height = sizes[0]
        self.send(
            {"type": "study", "axes": axes, "cells": cells, "title": shared_recipe(study), "aspect": width / height},
            [_jpeg(study.sweep.source.image, 320)],
        )

    def _cell(self, index: int) -> dict[str, Any]:
        """What the page knows of one grid cell."""
        study: Study = self.study
        state = "running" if index in self._steps else study.state(index)
        cell: dict[str, Any] = {"key": index, "status": state}
        if state == "running":
            cell["done"], cell["total"] = self._steps[index]
        if state == "failed":
            cell["message"] = study.failures[index].message
        if index in study.ratings:
            cell["stars"] = study.ratings[index]
        return cell

    def _flush(self) -> None:
        """Tell the page what has changed since it was told last."""
        if not self._fresh or self.study is None:
            return
        cells: list[dict[str, Any]] = []
        buffers: list[bytes] = []
        for index, picture in self._fresh.items():
            cell = self._cell(index)
            if picture is not None:
                cell["picture"] = len(buffers)
                buffers.append(picture)
            cells.append(cell)
        self._fresh.clear()
        self._sent = time.monotonic()
        self.send({"type": "cells", "cells": cells}, buffers)

    def _thumbnail(self, index: int, side: int | None = None) -> bytes | None:
        result = self.study.results.get(index)
        return None if result is None or result.flagged else _jpeg(result.image, side or self._side)

    def _hear(self, _: Any, content: Mapping[str, Any], buffers: Sequence[Any]) -> None:
        handle = _MESSAGES.get(content.get("type", ""))
        if handle is not None and (self.study is not None or content["type"] == "ready"):
            with self._lock:
                handle(self, content)

    def _hear_ready(self, content: Mapping[str, Any]) -> None:
        self.send({"type": "alive"})
        self._send_study()

    def _hear_want(self, content: Mapping[str, Any]) -> None:
        """Pictures that have come into view, at the size they are shown."""
        self._side = min(1024, max(64, int(content["side"])))
        keys = self._known(content["keys"])
        # In small portions, so that the first are on the screen while the last are made.
        for start in range(0, len(keys), PORTION):
            made = [(index, self._thumbnail(index)) for index in keys[start : start + PORTION]]
            there = [(index, picture) for index, picture in made if picture is not None]
            cells = [self._cell(index) | {"picture": i} for i, (index, _) in enumerate(there)]
            if cells:
                self.send({"type": "cells", "cells": cells}, [picture for _, picture in there])

    def _hear_open(self, content: Mapping[str, Any]) -> None:
        """One grid cell, large, with all that is known of it."""
        for index in self._known([content["key"]]):
            result = self.study.results.get(index)
            pictures: list[bytes] = []
            if result is not None and not result.flagged:
                pictures = [_jpeg(result.full, LARGEST, 93), _jpeg(result.source.image, LARGEST, 93)]
            self.send({"type": "opened", **self._cell(index), "facts": self._facts(index)}, pictures)

    def _facts(self, index: int) -> list[list[str]]:
        study: Study = self.study
        plan, result = study.plans[index], study.results.get(index)
        told = [[spec.label, text] for name, spec in Params.specs().items() if (text := _fact(study, index, name))]
        if plan.params.padding is not None:
            x0, y0, x1, y1 = region_of(study.cells[index].source, plan.params).placement.box
            told.append(["Crop", f"{x1 - x0} x {y1 - y0} px at {x0}, {y0}"])
        told.append(["Steps run", f"{plan.steps_run} of {plan.params.steps}"])
        told.append(["Evaluations", str(plan.evaluations)])
        told.append(["Starting sigma", f"{plan.sigma_start:.3g}"])
        if result is not None:
            told.append(["Seconds", f"{result.seconds:.2f}"])
        return told

    def _hear_crop(self, content: Mapping[str, Any]) -> None:
        """What the model saw of one grid cell, and what it made of it."""
        for index in self._known([content["key"]]):
            result: Result | None = self.study.results.get(index)
            if result is not None and not result.flagged:
                pictures = [_jpeg(picture, LARGEST, 93) for picture in (result.placed, result.generated)]
                self.send({"type": "cropped", "key": index}, pictures)

    def _hear_use(self, content: Mapping[str, Any]) -> None:
        for index in self._known([content["key"]]):
            self._use(self.study.plans[index].params)

    def _hear_save(self, content: Mapping[str, Any]) -> None:
        for index in self._known([content["key"]]):
            result: Result | None = self.study.results.get(index)
            if result is not None and not result.flagged:
                self.send({"type": "download", "name": f"inpainted-{index}.png"}, [result.encode(result.full)])

    def _hear_rate(self, content: Mapping[str, Any]) -> None:
        for index in self._known([content["key"]]):
            self.study.rate(index, int(content["stars"]))
            self.send({"type": "cells", "cells": [self._cell(index) | {"stars": int(content["stars"])}]})

    def _known(self, keys: Iterable[Any]) -> list[int]:
        return [key for key in keys if isinstance(key, int) and 0 <= key < len(self.study.cells)]

    def _still_pictures(self) -> list[tuple[Image.Image, str]]:
        study: Study | None = self.study
        if study is None or not study.results:
            return []
        # Not larger than a static picture needs it.
        longest = max((len(values) for values in study.axes.values()), default=1)
        sheet = study.sheet(cell=min(256, max(64, LONGEST // (longest + 1))))
        return [(sheet, shared_recipe(study))]

    def __repr__(self) -> str:
        return f"<ComparisonGrid of {self.study!r}>"


_ALWAYS = ("prompt", "scheduler", "denoise", "guidance_scale", "seed", "size")
_MESSAGES: Mapping[str, Callable[[ComparisonGrid, Mapping[str, Any]], None]] = {
    "ready": ComparisonGrid._hear_ready,
    "want": ComparisonGrid._hear_want,
    "open": ComparisonGrid._hear_open,
    "crop": ComparisonGrid._hear_crop,
    "use": ComparisonGrid._hear_use,
    "save": ComparisonGrid._hear_save,
    "rate": ComparisonGrid._hear_rate,
}


def _fact(study: Study, index: int, name: str) -> str:
    """Write a parameter as the inspector shows it; empty where it says nothing.

    Settings within a field follow it line by line.
    """
    spec = Params.specs()[name]
    params = study.plans[index].params
    value = params.get(name)
    if name not in study.axes and name not in _ALWAYS and value == spec.default:
        return ""
    if spec.within and params.get(spec.within) is None:
        return ""
    return "on" if spec.settings and value is not None else spec.format(value)


def _key(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _jpeg(picture: Image.Image, side: int, quality: int = 85) -> bytes:
    """A picture as JPEG, at most `side` pixels wide or high."""
    if max(picture.size) > side:
        picture = picture.copy()
        picture.thumbnail((side, side), Image.Resampling.BICUBIC, reducing_gap=2.0)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()
