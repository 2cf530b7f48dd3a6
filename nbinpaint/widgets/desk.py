"""The Studio's own controls, and what can be an axis: a list that follows from the parameters' own specs."""

from __future__ import annotations

from typing import Any

import anywidget
import traitlets

from ..engine.base import Engine, schedulers_of
from ..params import Params
from ..prompts import PROMPT_AXES
from ..schedulers import SCHEDULERS
from ..spec import ParamSpec
from .page import script, style

__all__ = ["AXES", "MOST_IMAGES", "Desk", "axis_fields"]

MOST_IMAGES = 16
"""Pictures of one seed at most, from one press."""
AXES = ({"name": "scheduler", "text": ", ".join(SCHEDULERS)}, {"name": "denoise", "text": "0.4-1.0 [4]"})

# Inpainting models of the sizes that people run; any other can be typed.
MODELS = (
    "embedded",
    "stable-diffusion-v1-5/stable-diffusion-inpainting",
    "sd2-community/stable-diffusion-2-inpainting",
    "Lykon/dreamshaper-8-inpainting",
)


class Desk(anywidget.AnyWidget):
    """The Studio's own controls: what is open, what to run, how far it is, what was run before.

    Attributes:
        title: What is open.
        model: What computes.
        axes: [{name, text}] of the comparison.
        fields: What can be an axis, as `axis_fields` returns it.
        images: How many pictures of the seed "inpaint" makes, up to `most_images`.
        notes: What "inpaint" and "compare" will cost, by button.
        progress: {share, text} while something runs, otherwise empty.
        message: A sentence for the person; `trouble` says whether it is an error.
        history: Labels of the runs, the newest last; `shown` is the one in the grid.
        samples: Names of the pictures that come with the package.
        models: Names to offer for the model; any other that `load_engine` takes can be typed.
        panel: The panel's model id, so that a press can say what stood there when it was made.
    """

    _esm = script("studio")
    _css = style("studio")

    title = traitlets.Unicode("").tag(sync=True)
    model = traitlets.Unicode("").tag(sync=True)
    axes = traitlets.List(traitlets.Dict()).tag(sync=True)
    fields = traitlets.List(traitlets.Dict()).tag(sync=True)
    images = traitlets.Int(1, min=1, max=MOST_IMAGES).tag(sync=True)
    most_images = traitlets.Int(MOST_IMAGES).tag(sync=True)
    notes = traitlets.Dict().tag(sync=True)
    progress = traitlets.Dict().tag(sync=True)
    message = traitlets.Unicode("").tag(sync=True)
    trouble = traitlets.Bool(False).tag(sync=True)
    history = traitlets.List(traitlets.Unicode()).tag(sync=True)
    shown = traitlets.Int(-1).tag(sync=True)
    samples = traitlets.List(traitlets.Unicode()).tag(sync=True)
    models = traitlets.List(traitlets.Unicode(), list(MODELS)).tag(sync=True)
    panel = traitlets.Unicode("").tag(sync=True)


def axis_fields(engine: Engine | None = None) -> list[dict[str, Any]]:
    """Return what can be an axis: every parameter, and tools that make prompts of the one in the recipe.

    Each is {name, label, group, help, choices, example}. Choices are ticked; where there are none, values are written,
    and `example` shows how.
    """
    specs = Params.specs()
    choices = {name: list(spec.choices) or list(_SWITCHES.get(spec.kind, ())) for name, spec in specs.items()}
    choices["scheduler"] = list(schedulers_of(engine))
    fields = [
        {
            "name": name,
            "label": spec.label,
            "group": spec.group,
            "help": f"{spec.help} {_FORMS[spec.kind]}",
            "choices": choices[name],
            "example": _example(spec),
        }
        for name, spec in specs.items()
    ]
    tools = [
        {"name": name, "label": f"{specs[field].label}, {what}", "group": "Prompt tools", "help": help_, "choices": [],
         "example": example}
        for name, (field, _) in PROMPT_AXES.items()
        for what, help_, example in [_TOOLS[name.removeprefix(f"{field}_")]]
    ]  # fmt: skip
    return fields + tools


def _example(spec: ParamSpec) -> str:
    """Write values as a person would for this parameter."""
    written = _EXAMPLES.get(spec.kind, "")
    if spec.kind == "float" and spec.high == 1:
        written = "0.3-0.9 [5]"
    if spec.optional:
        # A range stands for itself and cannot be one of a list.
        written = f"{spec.format(None)}, {'16, 32' if spec.kind == 'int' else written}"
    return written


_TOOLS = {
    "replace": ("words replaced", "The first text stands in the prompt and is replaced by each.", "apple, pear, plum"),
    "order": ("order of parts", "Parts of the prompt, 2 to 6, put into every order.", "red, shiny, round"),
}
_EXAMPLES = {"text": "an apple, a pear", "int": "1-5", "float": "1-5 [5]", "size": "96, 128x96"}
_SWITCHES = {"flag": ("off", "on"), "settings": ("off", "on")}
_FORMS = {
    "text": 'Values with commas between them; quotes protect a comma: an apple, "a pear, ripe".',
    "int": "A list, 1-5, 10-50 (+10), or 1, 2, .., 10.",
    "float": "A list, 0.3-0.9 [5], 0.3-0.9 (+0.2), or 1, 2, .., 10.",
    "size": "Sides of squares, or width x height: 96, 128x96.",
    "choice": "Tick what to compare.",
    "flag": "Tick what to compare.",
    "settings": "Tick what to compare.",
}
