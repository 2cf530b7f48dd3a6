"""The recipe of one grid cell, and the one place where each of its parameters is declared.

Sliders, validation, axis parsing, report headers and the metadata in saved pictures all read `Params.specs()`; a new
parameter is one field here.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import numbers
from collections.abc import Mapping
from typing import Any, Literal

from .errors import InvalidParams
from .schedulers import ALL_SCHEDULERS, SCHEDULERS

__all__ = ["ParamSpec", "Params"]

Kind = Literal["text", "choice", "int", "float", "size", "soft"]


@dataclasses.dataclass(frozen=True)
class ParamSpec:
    """What is known of one parameter besides its value.

    Attributes:
        name: The field's name in `Params`.
        label: What an interface or a table header calls it.
        help: One sentence for a tooltip.
        kind: How values are read, shown and checked.
        low: Smallest value allowed, inclusive; None where there is no order.
        high: Largest value allowed, inclusive.
        step: A slider's step.
        choices: Every value of a "choice".
        optional: Whether None is a value (and what it means stands in `help`).
        available: The values that this version can compute; None for all of them.
        default: The value of a recipe that does not say.
    """

    name: str
    label: str
    help: str
    kind: Kind
    low: float | None = None
    high: float | None = None
    step: float | None = None
    choices: tuple[str, ...] = ()
    optional: bool = False
    available: tuple[Any, ...] | None = None
    default: Any = None

    def check(self, value: Any) -> Any:
        """Return `value` as this parameter's own type.

        Raises:
            InvalidParams: Names the field, the value and what is allowed.
        """
        if value is None and self.optional:
            return None
        checked = _CHECKS[self.kind](self, value)
        if self.available is not None and checked not in self.available:
            raise self.refuse(
                value, f"this version computes only {_listed(self.available)}", "is known but not available yet"
            )
        return checked

    def allowed(self) -> str:
        """Say in words what values are allowed: `a number from 0 to 1`."""
        words = {
            "text": "a text",
            "choice": "one of " + _listed(self.choices),
            "int": "a whole number",
            "float": "a number",
            "size": "a multiple of 8, as (width, height) or one number for a square,",
            "soft": "None",
        }[self.kind]
        if self.low is not None and self.high is not None:
            words += f" from {_number(self.low)} to {_number(self.high)}"
        return words + (" or None" if self.optional else "")

    def refuse(self, value: Any, allowed: str | None = None, problem: str = "is not possible") -> InvalidParams:
        """Make the error that names this field, `value` and what is allowed."""
        return InvalidParams(f"{self.name}={value!r} {problem}; allowed: {allowed or self.allowed()}")

    def format(self, value: Any) -> str:
        """Write `value` as headers and tables show it: `0.6`, `128 x 96`, `Euler`."""
        if value is None:
            return "default" if self.kind == "size" else "off"
        if self.kind == "size":
            return f"{value[0]} x {value[1]}"
        if self.kind == "float":
            return _number(value)
        return str(value)


def _listed(values: tuple[Any, ...]) -> str:
    return ", ".join(repr(v) for v in values)


def _number(value: float) -> str:
    return f"{value:.6g}"


def _check_text(spec: ParamSpec, value: Any) -> str:
    if not isinstance(value, str):
        raise spec.refuse(value)
    return value


def _check_choice(spec: ParamSpec, value: Any) -> str:
    if not isinstance(value, str) or value not in spec.choices:
        folded = {choice.casefold(): choice for choice in spec.choices}
        close = difflib.get_close_matches(str(value).casefold(), folded, 1, 0.5)
        hint = f" (did you mean {folded[close[0]]!r}?)" if close else ""
        raise spec.refuse(value, spec.allowed() + hint, "is unknown")
    return value


def _check_bounds(spec: ParamSpec, value: Any, number: float) -> None:
    if not ((spec.low is None or number >= spec.low) and (spec.high is None or number <= spec.high)):
        raise spec.refuse(value, problem="is out of bounds")


def _check_int(spec: ParamSpec, value: Any) -> int:
    number = _check_float(spec, value)
    if number % 1:
        raise spec.refuse(value)
    return int(value)


def _check_float(spec: ParamSpec, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise spec.refuse(value)
    _check_bounds(spec, value, float(value))
    return float(value)


def _check_size(spec: ParamSpec, value: Any) -> tuple[int, int]:
    try:
        sides = tuple(value) if not isinstance(value, (numbers.Real, str)) else (value, value)
    except TypeError:
        raise spec.refuse(value) from None
    if len(sides) != 2:
        raise spec.refuse(value)
    for side in sides:
        if isinstance(side, bool) or not isinstance(side, numbers.Real) or side % 8:
            raise spec.refuse(value)
        _check_bounds(spec, value, float(side))
    return int(sides[0]), int(sides[1])


def _check_soft(spec: ParamSpec, value: Any) -> None:
    raise spec.refuse(value, "None", "(soft inpainting) is known but not available yet")


_CHECKS = {
    "text": _check_text,
    "choice": _check_choice,
    "int": _check_int,
    "float": _check_float,
    "size": _check_size,
    "soft": _check_soft,
}


def _param(default: Any, **about: Any) -> Any:
    return dataclasses.field(default=default, metadata=about)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Params:
    """The recipe of one inpainting: everything but the image, the mask and the model.

    Values are checked and normalised when the recipe is made; `Params.specs()` holds each field's bounds and help.

    Example:
        >>> Params(prompt="a red apple", scheduler="DDIM", denoise=0.6, size=128).size
        (128, 128)

    Raises:
        InvalidParams: A value is of the wrong type, out of bounds or unknown. The message names field, value and
            what is allowed.
    """

    prompt: str = _param("", label="Prompt", help="What to paint into the mask.", kind="text")
    negative_prompt: str = _param(
        "", label="Negative prompt", help="What to stay away from; without effect at guidance 1 or less.", kind="text"
    )
    scheduler: str = _param(
        "DPMSolverMultistep",
        label="Scheduler",
        help="The sampler that turns noise into a picture.",
        kind="choice",
        choices=tuple(ALL_SCHEDULERS),
    )
    steps: int = _param(
        20,
        label="Steps",
        help="Steps of the full schedule; denoise x steps of them are run.",
        kind="int",
        low=1,
        high=500,
        step=1,
    )
    denoise: float = _param(
        1.0,
        label="Denoise",
        help="How much of the schedule is run: 0 keeps the source, 1 starts from pure noise.",
        kind="float",
        low=0,
        high=1,
        step=0.01,
    )
    guidance_scale: float = _param(
        7.5,
        label="Guidance",
        help="How strongly the prompt pulls; 1 or less turns it off.",
        kind="float",
        low=0,
        high=30,
        step=0.1,
    )
    seed: int = _param(0, label="Seed", help="Where the noise comes from.", kind="int", low=0, high=2**53 - 1, step=1)
    size: tuple[int, int] | None = _param(
        None,
        label="Size",
        help="Width and height the model works at; None takes the model's own.",
        kind="size",
        low=8,
        high=4096,
        step=8,
        optional=True,
    )
    mask_blur: float = _param(
        4.0,
        label="Mask blur",
        help="Sigma of the feathered edge, in pixels at `size`.",
        kind="float",
        low=0,
        high=64,
        step=0.5,
    )
    masked_content: str = _param(
        "original",
        label="Masked content",
        help="What the masked region holds before noise is added; without effect at denoise 1.",
        kind="choice",
        choices=("original", "fill", "latent noise", "latent nothing"),
        available=("original",),
    )
    resize_mode: str = _param(
        "crop",
        label="Resize mode",
        help="How a source of another aspect is brought to `size`.",
        kind="choice",
        choices=("stretch", "crop", "fill"),
    )
    padding: int | None = _param(
        None,
        label="Only masked, padding",
        help="Inpaint only the masked region with this margin in pixels; None takes the whole picture.",
        kind="int",
        low=0,
        high=256,
        step=1,
        optional=True,
        available=(),
    )
    soft: None = _param(
        None, label="Soft inpainting", help="Blend source and result during denoising.", kind="soft", optional=True
    )
    sigmas: str = _param(
        "default",
        label="Sigmas",
        help="How noise levels are spaced over the steps.",
        kind="choice",
        choices=("default", "karras", "exponential", "beta"),
        available=("default",),
    )

    def __post_init__(self) -> None:
        for name, spec in _SPECS.items():
            object.__setattr__(self, name, spec.check(getattr(self, name)))

    @classmethod
    def specs(cls) -> Mapping[str, ParamSpec]:
        """Return what is known of each parameter, by field name, in the order of the fields."""
        return _SPECS

    @property
    def steps_run(self) -> int:
        """Steps of the schedule that are run: `int(denoise * steps)`, diffusers' rule with its float truncation."""
        return min(int(self.steps * self.denoise), self.steps)

    @property
    def guided(self) -> bool:
        """Whether classifier-free guidance is on, so that a step needs two rows of the network."""
        return self.guidance_scale > 1

    def replace(self, **changes: Any) -> Params:
        """Return a recipe with some fields changed.

        Raises:
            InvalidParams: A field is unknown or a value is not allowed.
        """
        check_names(changes)
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Return the recipe as plain JSON values."""
        fields: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))
        return fields

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Params:
        """Make a recipe from `to_dict`'s values.

        Raises:
            InvalidParams: A field is unknown or a value is not allowed.
        """
        check_names(values)
        return cls(**values)


_SPECS: Mapping[str, ParamSpec] = {
    field.name: ParamSpec(name=field.name, default=field.default, **field.metadata)
    for field in dataclasses.fields(Params)
}


def check_names(names: Mapping[str, Any]) -> None:
    """Refuse a name that is no field of `Params`.

    Raises:
        InvalidParams: With the nearest known name.
    """
    for name in names:
        if name not in _SPECS:
            close = difflib.get_close_matches(name, _SPECS, 1)
            hint = f" (did you mean {close[0]!r}?)" if close else ""
            raise InvalidParams(f"{name!r} is no parameter; allowed: {', '.join(_SPECS)}{hint}")


assert set(SCHEDULERS) <= set(ALL_SCHEDULERS)
