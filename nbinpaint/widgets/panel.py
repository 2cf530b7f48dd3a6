"""The panel where a recipe is set: one control for each parameter, made from what `Params.specs()` says of it.

The page shows and edits `values`; only what `Params` accepts becomes `params`. Labels, bounds and choices are declared
in `nbinpaint.params` and nowhere here. What the panel looks like stands in static/panel.js.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import re
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import anywidget
import traitlets

from ..engine.base import Engine, Plan, schedulers_of
from ..errors import InvalidParams, NbInpaintError
from ..metadata import read_params
from ..params import Params, ParamSpec
from ..schedulers import SCHEDULER_TABLE, SCHEDULERS
from .notes import KEPT, notes
from .page import script, style
from .presets import PRESETS

__all__ = ["ParameterPanel", "spec_dicts"]


class ParameterPanel(anywidget.AnyWidget):
    """Sets a recipe.

    Args:
        params: The recipe to begin with; the defaults where None.
        engine: What will run it; may be set later.
        **traits: Other traits by name, such as `layout` or `seed_locked`.

    Attributes:
        params: The recipe. Set it and the page follows; observe it for what is done in the page.
        engine: Whose plan is explained beside the controls; None for what a recipe alone says.
        values: What the page shows: every name of `Params.specs()` with a plain JSON value, so that a field with
            settings is True or False and each of its settings stands beside it. A value that `Params` refuses stays
            here until it is mended, with a sentence in `problems`; `params` never holds it.
        problems: Sentences by field name; "recipe" for a picture without one.
        notes: What a value means, by field name.
        specs: What the page makes its controls from.
        presets: Names, summaries and changes for the page.
        preset: The preset that is in force, empty for none.
        native_size: The engine's own [width, height], None without an engine.
        seed_locked: Whether a run keeps the seed. Whoever runs recipes reads this; the panel only shows it.
        code: The recipe as Python, with what differs from the defaults.

    Example:
        >>> panel = ParameterPanel(Params(prompt="a red apple"))
        >>> panel.apply_preset("Retouch")
        >>> panel.params.denoise
        0.4
    """

    _esm = script("panel")
    _css = style("panel")

    params = traitlets.Any()
    engine = traitlets.Any(None, allow_none=True)
    values = traitlets.Dict().tag(sync=True)
    problems = traitlets.Dict().tag(sync=True)
    notes = traitlets.Dict().tag(sync=True)
    specs = traitlets.List(traitlets.Dict()).tag(sync=True)
    presets = traitlets.List(traitlets.Dict()).tag(sync=True)
    preset = traitlets.Unicode("", read_only=True).tag(sync=True)
    native_size = traitlets.List(traitlets.Int(), None, allow_none=True, read_only=True).tag(sync=True)
    seed_locked = traitlets.Bool(True).tag(sync=True)
    code = traitlets.Unicode("", read_only=True).tag(sync=True)

    def __init__(self, params: Params | None = None, engine: Engine | None = None, **traits: Any) -> None:
        # Messages from the page may come on another thread than the notebook's own.
        self._lock = threading.RLock()
        self._refused: dict[str, tuple[Any, str]] = {}
        self._resting: dict[str, Any] = {}
        self._recipe_problem = ""
        self._taking = False
        super().__init__(params=Params() if params is None else params, engine=engine, **traits)
        self.on_msg(self._hear)

    def apply_preset(self, name: str) -> None:
        """Change what a preset changes; prompt and seed stay.

        Raises:
            InvalidParams: There is no such preset.
        """
        if name not in PRESETS:
            close = difflib.get_close_matches(str(name), PRESETS, 1)
            hint = f" (did you mean {close[0]!r}?)" if close else ""
            raise InvalidParams(f"preset={name!r} is unknown; allowed: {', '.join(PRESETS)}{hint}")
        self._put(self.params.replace(**PRESETS[name].changes))

    # --- between the page and the recipe ---

    @traitlets.default("specs")
    def _all_specs(self) -> list[dict[str, Any]]:
        return spec_dicts(Params.specs())

    @traitlets.default("presets")
    def _all_presets(self) -> list[dict[str, Any]]:
        return [
            {"name": name, "summary": preset.summary, "changes": _plain(dict(preset.changes))}
            for name, preset in PRESETS.items()
        ]

    @traitlets.validate("params")
    def _check_params(self, proposal: Any) -> Params:
        if not isinstance(proposal.value, Params):
            raise traitlets.TraitError(f"params={proposal.value!r} is no recipe; allowed: an nbinpaint.Params")
        return proposal.value

    @traitlets.observe("params")
    def _params_changed(self, change: Any) -> None:
        with self._lock:
            if not self._taking:
                self._refused, self._resting = {}, {}
            self._recipe_problem = ""
            self._show()

    @traitlets.observe("engine")
    def _engine_changed(self, change: Any) -> None:
        self.specs = spec_dicts(Params.specs(), change.new)
        if isinstance(self.params, Params):  # while the panel is made, the recipe may come second
            self._show()

    @traitlets.observe("values")
    def _values_changed(self, change: Any) -> None:
        with self._lock:
            if change.new == self._shown():
                return
            values = self._shown() | change.new
            accepted, self._refused = _accept(self.params, values)
            # Settings of what is off count for nothing, and are there again when it is turned on.
            self._resting = {name: value for name, value in values.items() if _rests(name, values)}
            self._taking = True
            try:
                self.params = accepted
            finally:
                self._taking = False
            self._show()

    def _put(self, params: Params) -> None:
        """Take a recipe as a whole; unlike setting `params`, an equal one clears what the page holds against it too."""
        with self._lock:
            self._refused, self._resting = {}, {}
            self._recipe_problem = ""
            self.params = params
            self._show()

    def _hear(self, _: Any, content: dict[str, Any], buffers: Sequence[Any]) -> None:
        if content.get("type") == "recipe" and buffers:
            self._read_recipe(bytes(buffers[0]))

    def _read_recipe(self, png: bytes) -> None:
        try:
            params = read_params(png)
        except Exception as error:  # whatever is wrong with a stranger's file, the person who dropped it reads it
            known = isinstance(error, NbInpaintError)
            self._recipe_problem = str(error) if known else f"the picture's recipe cannot be read: {error!r}"
            self._show()
        else:
            self._put(params)

    # --- what the page shows ---

    def _shown(self) -> dict[str, Any]:
        return _flat(self.params) | self._resting | {name: value for name, (value, _) in self._refused.items()}

    def _show(self) -> None:
        """Bring everything that follows from the recipe up to date, in one message."""
        with self._lock, self.hold_sync():
            self.values = self._shown()
            plan, refusal = self._plan()
            problems = refusal | {name: sentence for name, (_, sentence) in self._refused.items()}
            if self._recipe_problem:
                problems["recipe"] = self._recipe_problem
            self.problems = problems
            self.notes = notes(self.params, plan, self.engine)
            self.set_trait("native_size", None if self.engine is None else list(self.engine.native_size))
            self.set_trait("code", _code(self.params))
            self.set_trait("preset", _preset_of(self.params))

    def _plan(self) -> tuple[Plan | None, dict[str, str]]:
        """Return the engine's plan, or its refusal under the field that it names."""
        if self.engine is None:
            return None, {}
        try:
            plan: Plan = self.engine.plan(self.params)
        except NbInpaintError as error:
            word = re.match(r"\w*", str(error))
            name = word.group() if word else ""
            return None, {name if name in Params.specs() else "scheduler": str(error)}
        return plan, {}


def _accept(params: Params, values: Mapping[str, Any]) -> tuple[Params, dict[str, tuple[Any, str]]]:
    """Return the recipe with every value that it accepts, and the refused ones with the reason."""
    before = _flat(params)
    new = {n: v for n, v in values.items() if not _rests(n, values) and (n not in before or v != before[n])}
    try:
        return params.replace(**new), {}
    except InvalidParams:
        pass
    refused = {}
    for name, value in new.items():
        try:
            params = params.replace(**{name: value})
        except InvalidParams as error:
            refused[name] = value, str(error)
    return params, refused


def _flat(params: Params) -> dict[str, Any]:
    """Return every parameter by its name as a plain JSON value; a field with settings is True or False."""
    return {
        name: params.get(name) is not None if spec.settings else spec.plain(params.get(name))
        for name, spec in Params.specs().items()
    }


def _rests(name: str, values: Mapping[str, Any]) -> bool:
    """Whether a value is a setting of something that is off."""
    spec = Params.specs().get(name)
    return spec is not None and bool(spec.within) and not values.get(spec.within)


# --- plain values for the page ---

_CHOICE_HELP = {"scheduler": {name: info.summary for name, info in SCHEDULER_TABLE.items()}}


def spec_dicts(specs: Mapping[str, ParamSpec], engine: Engine | None = None) -> list[dict[str, Any]]:
    """Return specs as plain JSON values, each with what the page needs besides.

    `groups` holds the choices under headings, `choice_help` a tooltip for each, and `noted` says whether the line of
    its note is there before the note is.
    """
    groups = {"scheduler": _scheduler_groups(engine)}
    return [
        _plain({f.name: getattr(spec, f.name) for f in dataclasses.fields(spec) if f.name != "settings"})
        | {
            "groups": groups.get(name, [["", list(spec.choices)]]),
            "choice_help": _CHOICE_HELP.get(name, {}),
            "noted": name in KEPT,
        }
        for name, spec in specs.items()
    ]


def _scheduler_groups(engine: Engine | None) -> list[list[Any]]:
    """The schedulers that the engine can run, those that are compared by default first."""
    there = schedulers_of(engine)
    groups = [["Compared by default", [n for n in there if n in SCHEDULERS]]]
    groups.append(["More" if groups[0][1] else "", [n for n in there if n not in SCHEDULERS]])
    return [group for group in groups if group[1]]


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value))


def _code(params: Params) -> str:
    """Write a recipe as Python: `nb.Params(prompt="a red apple", steps=30)`."""
    specs = Params.specs()
    changed = params.changes()
    own = {name: _literal(params, spec) for name, spec in specs.items() if name in changed}
    return f"nb.Params({', '.join(f'{name}={text}' for name, text in own.items())})"


def _literal(params: Params, spec: ParamSpec) -> str:
    value = params.get(spec.name)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if spec.settings is None or value is None:
        return repr(value)
    settings = [inner for inner in Params.specs().values() if inner.within == spec.name]
    own = [f"{s.field}={params.get(s.name)!r}" for s in settings if params.get(s.name) != s.default]
    return f"nb.{spec.settings.__name__}({', '.join(own)})" if own else "True"


def _preset_of(params: Params) -> str:
    for name, preset in PRESETS.items():
        if all(params.get(field) == value for field, value in preset.changes.items()):
            return name
    return ""
