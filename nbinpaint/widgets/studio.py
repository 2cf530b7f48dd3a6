"""The Studio: canvas, parameters, comparison and history in one place, with everything heavy off the main thread."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import ipywidgets
import traitlets
from PIL import Image

from ..engine.base import Engine, Event, Finished, Plan, schedulers_of
from ..errors import InvalidMask, NbInpaintError
from ..image import load_image
from ..job import Job, Progress
from ..pace import Pace
from ..params import Params
from ..pictures import sample, samples
from ..region import window_of
from ..study import Study
from ..sweep import Sweep, resolve_axes
from .canvas import MaskCanvas
from .desk import AXES, Desk, axis_fields
from .grid import ComparisonGrid
from .panel import ParameterPanel
from .still import Still
from .words import expects, label, outcome, remarks

__all__ = ["Studio"]

BREATH = 0.2
"""Seconds between two reports of progress to the page."""


class Studio(Still, ipywidgets.GridBox):
    """Paint a mask, set a recipe, inpaint once or compare, look closely.

    Args:
        image: Whatever `load_image` takes; a sample scene with its mask and prompt where None.
        mask: Whatever `load_mask` takes; nothing is painted where None.
        params: The recipe to begin with.
        engine: An engine, or a model's name for `load_engine`, which is then loaded in the background.
        store: A folder to keep every result in.
        price_per_hour: What an hour of this machine costs, in dollars; shows the price of a run before it is started.
        safety_checker: False turns the checker off of models that have one, where the Studio loads them by name.

    Attributes:
        canvas: The `MaskCanvas`.
        panel: The `ParameterPanel`.
        grid: The `ComparisonGrid`.
        params: The recipe, linked to the panel's.
        engine: The engine; None until the model is loaded.
        studies: What has been run, in order.
        job: What runs, or ran last.

    Raises:
        InvalidImage: The picture cannot be read.
        InvalidMask: The mask cannot be read or is of another size.
    """

    params = traitlets.Any()
    engine = traitlets.Any(None, allow_none=True)
    job = traitlets.Any(None, allow_none=True)

    def __init__(
        self,
        image: Any = None,
        mask: Any = None,
        params: Params | None = None,
        *,
        engine: Engine | str | Path = "embedded",
        store: str | Path | None = None,
        price_per_hour: float = 0.0,
        safety_checker: bool = True,
        **traits: Any,
    ) -> None:
        title = Path(image).name if isinstance(image, (str, Path)) else "picture"
        if image is None:
            scene = sample()
            image, title = scene.image, scene.name
            mask = scene.mask if mask is None else mask
            params = params or Params(prompt=scene.prompt, guidance_scale=4)
        self.studies: list[Study] = []
        self._store = store
        self._price = price_per_hour
        self._safety_checker = safety_checker
        self._pace = Pace()
        self._lock = threading.RLock()
        self._explaining = threading.Lock()
        self._told = 0.0
        self._loading: threading.Thread | None = None
        self.canvas = MaskCanvas(image, mask)
        self.panel = ParameterPanel(params or Params())
        self.grid = ComparisonGrid()
        self.desk = Desk(axes=list(AXES), fields=axis_fields(), samples=list(samples()), title=title)
        self.desk.panel = self.panel.model_id or ""
        super().__init__(children=[self.desk, self.canvas, self.panel, self.grid], params=self.panel.params, **traits)
        self.add_class("nb-studio")
        traitlets.link((self, "params"), (self.panel, "params"))
        self.canvas.on_enter(lambda _: self._try(self.inpaint))
        self.grid.on_use(self._use)
        self.desk.on_msg(self._hear)
        self.desk.observe(lambda _: self._estimate(), ["axes", "images"])
        self.observe(lambda _: self._new_recipe(), ["params", "engine"])
        self.canvas.observe(self._new_picture, ["image", "mask"])
        if isinstance(engine, (str, Path)):
            self._load(str(engine))
        else:
            self.engine = engine
        self._new_recipe()

    # --- the engine ---

    @traitlets.observe("engine")
    def _new_engine(self, change: Any) -> None:
        self.panel.engine = change.new
        self.desk.fields = axis_fields(change.new)
        if change.new is not None and self.params.scheduler not in schedulers_of(change.new):
            self._suit(change.new)
        self.desk.model = change.new.name if change.new is not None else ""

    def _suit(self, engine: Engine) -> None:
        """Take what depends on the kind of model from the engine: its own scheduler, steps and guidance."""
        own = getattr(engine, "default_params", Params)()
        if own.scheduler in schedulers_of(engine):
            names = ("scheduler", "steps", "guidance_scale")
            self.params = self.params.replace(**{name: own.get(name) for name in names})

    def _load(self, model: str) -> None:
        """Load a model in the background; painting and setting go on meanwhile."""
        if self.job is not None and not self.job.done:
            raise NbInpaintError("A run is going on: wait for its end, or cancel it first.")

        def work() -> None:
            from ..api import load_engine

            try:
                self.engine = load_engine(model, safety_checker=self._safety_checker)
                self._say("")
            except Exception as error:
                self.desk.model = f"{model}: not loaded"
                self._say(str(error) or type(error).__name__, trouble=True)

        self.engine = None
        self.desk.model = f"{model}, loading"
        self._loading = threading.Thread(target=work, name="nbinpaint-load", daemon=True)
        self._loading.start()

    def wait(self, timeout: float | None = None) -> Study | None:
        """Wait until what is running has ended; returns its study, None where nothing was run.

        Args:
            timeout: Seconds to wait at most.

        Raises:
            TimeoutError: It still runs.
        """
        if self._loading is not None:
            self._loading.join(timeout)
        return None if self.job is None else self.job.result(timeout)

    # --- running ---

    def inpaint(self) -> None:
        """Run the recipe once, or for several images of its seed, in the background; a single result opens in the grid.

        Raises:
            NbInpaintError: Something runs already, the mask is empty, or the recipe cannot be used.
        """
        self._start({"image_index": range(self.desk.images)} if self.desk.images > 1 else {})

    def compare(self, **axes: Any) -> None:
        """Run a comparison in the background; it fills the grid.

        Args:
            **axes: Field of `Params` = values, as for `Sweep`; the Studio's own axes where none are given.

        Raises:
            NbInpaintError: Something runs already, the mask is empty, or an axis or recipe cannot be used.
        """
        self._start(axes or self._axes())

    def cancel(self) -> None:
        """Stop what runs after the present step; what is done stays."""
        if self.job is not None:
            self.job.cancel()

    def _axes(self) -> dict[str, str]:
        return {axis["name"]: axis["text"] for axis in self.desk.axes if axis.get("name") and axis.get("text")}

    def _start(self, axes: Mapping[str, Any]) -> None:
        with self._lock:
            if self.job is not None and not self.job.done:
                raise NbInpaintError("A run is going on: wait for its end, or cancel it first.")
            if not self.canvas.mask.any():
                raise InvalidMask("The mask is empty: paint what is to be repainted first.")
            if self.engine is None:
                raise NbInpaintError("The model is still being loaded: try again in a moment.")
            if not self.panel.seed_locked:
                self.params = self.params.replace(seed=random.randrange(2**31))
            sweep = Sweep(self.canvas.image, self.canvas.mask, self.params, **axes)
            study = Study(sweep, self.engine, self._store)
            missing = [study.plans[cell.index] for cell in study.missing]
            expected = self._pace.seconds(self.engine.fingerprint, missing)
            self._say("")
            self.desk.progress = {"share": 0, "text": expects(len(sweep), "grid cells", expected, self._price)}
            self.studies.append(study)
            self.desk.history = [*self.desk.history, label(study)]
            self.desk.shown = len(self.studies) - 1
            self.grid.study = study
            if not axes:
                self.grid.selected = 0
            begun = time.perf_counter()
            self.job = Job(sweep, self.engine, study, self._listen)
            self.job.on_end(lambda: self._ended(study, missing, time.perf_counter() - begun))

    def _listen(self, event: Event, progress: Progress) -> None:
        """Pass on what happens, on the job's thread."""
        self.grid.hear(event, progress)
        if isinstance(event, Finished) or time.monotonic() - self._told > BREATH:
            self._told = time.monotonic()
            share = progress.steps_done / progress.steps if progress.steps else 1.0
            self.desk.progress = {"share": share, "text": str(progress)}

    def _ended(self, study: Study, plans: Sequence[Plan], seconds: float) -> None:
        """Say how it went; on the job's thread."""
        job: Job = self.job
        self.grid.finish()
        self.desk.progress = {}
        if job.error is not None:
            self._say(str(job.error) or type(job.error).__name__, trouble=True)
        else:
            self._say(outcome(study, seconds, job.cancelled), trouble=bool(study.failures))
        whole = job.error is None and not study.failures and not job.cancelled
        if whole and self.engine is not None:
            self._pace.learn(self.engine.fingerprint, plans, seconds)
        self._estimate()
        self._still_changed()

    def _estimate(self) -> None:
        """Say before a button is pressed what pressing it will mean."""
        notes = {"inpaint": self._note([self.params] * self.desk.images, "pictures")}
        try:
            cells = [self.params]
            for name, values in resolve_axes(self.params, self._axes()).items():
                cells = [cell.replace(**{name: value}) for cell in cells for value in values]
            notes["compare"] = self._note(cells, "grid cells")
            notes["problem"] = ""
        except NbInpaintError as error:
            notes["compare"] = ""
            notes["problem"] = str(error)
        self.desk.notes = notes

    def _note(self, recipes: Sequence[Params], called: str) -> str:
        if self.engine is None:
            return expects(len(recipes), called, None)
        try:
            plans = [self.engine.plan(recipe) for recipe in recipes]
        except NbInpaintError as error:
            return str(error)
        return expects(len(recipes), called, self._pace.seconds(self.engine.fingerprint, plans), self._price)

    # --- what the page asks ---

    def _hear(self, _: Any, content: Mapping[str, Any], buffers: Sequence[Any]) -> None:
        handle = _MESSAGES.get(content.get("type", ""))
        if handle is not None:
            self._try(lambda: handle(self, content))

    def _try(self, act: Callable[[], None]) -> None:
        """Do what was asked for, or say in a sentence why not."""
        try:
            act()
        except NbInpaintError as error:
            self._say(str(error), trouble=True)
        except Exception as error:
            self._say(f"{type(error).__name__}: {error}", trouble=True)

    def _say(self, message: str, trouble: bool = False) -> None:
        with self.desk.hold_sync():
            self.desk.message, self.desk.trouble = message, trouble

    def _ready(self, content: Mapping[str, Any]) -> None:
        self.desk.send({"type": "alive"})

    def _press(self, content: Mapping[str, Any]) -> None:
        if content.get("values"):
            self.panel.values = content["values"]
        if content.get("axes") is not None:
            self.desk.axes = content["axes"]
        if content.get("images") is not None:
            self.desk.images = int(content["images"])
        {"inpaint": self.inpaint, "compare": self.compare, "cancel": self.cancel, "continue": self.go_on}[
            content["what"]
        ]()

    def _show(self, content: Mapping[str, Any]) -> None:
        self.desk.shown = int(content["index"])
        self.grid.study = self.studies[self.desk.shown]

    def _model(self, content: Mapping[str, Any]) -> None:
        self._load(str(content["name"]).strip() or "embedded")

    def _open(self, content: Mapping[str, Any]) -> None:
        """A sample by name, or a picture by its address."""
        if "sample" in content:
            scene = sample(content["sample"])
            self.canvas.image = scene.image
            self.canvas.mask = scene.mask
            self.params = self.params.replace(prompt=scene.prompt)
            self.desk.title = scene.name
        else:
            self.canvas.image = load_image(content["url"])
            self.desk.title = Path(content["url"]).name or content["url"]
        self._say("")

    def go_on(self) -> None:
        """Continue from here: the open result becomes the picture; the mask stays, to be painted anew or kept.

        Raises:
            NbInpaintError: No result is open.
        """
        study, index = self.grid.study, self.grid.selected
        if study is None or index not in study.results:
            raise NbInpaintError("No result is open: open one in the grid first.")
        self.canvas.image = study.results[index].full
        self._say("Continuing from the result; the mask is still there.")

    def _use(self, params: Params) -> None:
        """Take over a grid cell's recipe."""
        self.params = params

    def _new_recipe(self) -> None:
        self._estimate()
        self._explain()

    def _new_picture(self, change: Any) -> None:
        self._explain()
        self._still_changed()

    # --- what becomes of the mask ---

    def _explain(self) -> None:
        """Show on the canvas what the recipe makes of the mask: the part that is worked on, and a few words."""
        with self._explaining:
            frame = self._frame()
            self.canvas.crop = frame
            self.canvas.remark = " ".join(remarks(self.params, self.canvas.strengths is not None, frame))

    def _frame(self) -> list[int]:
        """The only-masked window in image pixels; empty where the whole picture is worked on, or nothing is painted."""
        params = self.params
        size = params.size or getattr(self.engine, "native_size", None)
        if params.padding is None or size is None:
            return []
        placement = window_of(self.canvas.mask, params.replace(size=size))
        return [] if placement is None else list(placement.box)

    def _still_pictures(self) -> list[tuple[Image.Image, str]]:
        return self.canvas._still_pictures() + self.grid._still_pictures()

    def close(self) -> None:
        """Stop what runs and free everything in the page."""
        self.cancel()
        for widget in (self.canvas, self.panel, self.grid, self.desk):
            widget.close()
        super().close()

    def __repr__(self) -> str:
        return f"<Studio: {self.desk.title}, {len(self.studies)} runs>"


_MESSAGES: Mapping[str, Callable[[Studio, Mapping[str, Any]], None]] = {
    "ready": Studio._ready,
    "press": Studio._press,
    "show": Studio._show,
    "open": Studio._open,
    "model": Studio._model,
}
