"""What is known of one parameter besides its value: bounds, step, help, and how a value is checked and written.

Recipes declare each of their parameters once, with `declare`; whatever shows, reads or checks a parameter asks its
`ParamSpec`.
"""

from __future__ import annotations

import dataclasses
import difflib
import numbers
from collections.abc import Mapping
from typing import Any, Literal

from .errors import InvalidParams

__all__ = ["ParamSpec", "declare", "specs_of"]

Kind = Literal["text", "choice", "int", "float", "flag", "size", "settings"]


@dataclasses.dataclass(frozen=True)
class ParamSpec:
    """What is known of one parameter besides its value.

    Attributes:
        name: What recipes, axes and messages call it.
        label: What an interface or a table header calls it.
        help: One sentence for a tooltip.
        kind: How values are read, shown and checked.
        group: The heading it stands under in an interface; empty for what is always in view.
        low: Smallest value allowed, inclusive; None where there is no order.
        high: Largest value allowed, inclusive.
        step: A slider's step.
        choices: Every value of a "choice".
        optional: Whether None is a value (and what it means stands in `help`).
        default: The value of a recipe that does not say.
        settings: Of kind "settings", the class that holds them.
        within: The parameter whose settings this is one of; empty for a field of the recipe itself.
        field: Its field's name in the class that declares it.
    """

    name: str
    label: str
    help: str
    kind: Kind
    group: str = ""
    low: float | None = None
    high: float | None = None
    step: float | None = None
    choices: tuple[str, ...] = ()
    optional: bool = False
    default: Any = None
    settings: type | None = None
    within: str = ""
    field: str = ""

    def check(self, value: Any) -> Any:
        """Return `value` as this parameter's own type.

        Raises:
            InvalidParams: Names the field, the value and what is allowed.
        """
        if value is None and self.optional:
            return None
        return _CHECKS[self.kind](self, value)

    def allowed(self) -> str:
        """Say in words what values are allowed: `a number from 0 to 1`."""
        words = {
            "text": "a text",
            "choice": "one of " + ", ".join(repr(c) for c in self.choices),
            "int": "a whole number",
            "float": "a number",
            "flag": "True or False",
            "size": "a multiple of 8, as (width, height) or one number for a square,",
            "settings": f"True, {self.settings.__name__ if self.settings else 'settings'}(...)",
        }[self.kind]
        if self.low is not None and self.high is not None:
            words += f" from {_number(self.low)} to {_number(self.high)}"
        return words + (" or None" if self.optional else "")

    def refuse(self, value: Any, allowed: str | None = None, problem: str = "is not possible") -> InvalidParams:
        """Make the error that names this field, `value` and what is allowed."""
        return InvalidParams(f"{self.name}={value!r} {problem}; allowed: {allowed or self.allowed()}")

    def format(self, value: Any) -> str:
        """Write `value` as headers and tables show it: `0.6`, `128 x 96`, `Euler`, `on`."""
        if value is None:
            return "default" if self.kind == "size" else "off"
        return str(_FORMATS.get(self.kind, str)(value))

    def plain(self, value: Any) -> Any:
        """Return `value` as JSON has it."""
        if self.kind == "settings" and value is not None:
            return dataclasses.asdict(value)
        return list(value) if isinstance(value, tuple) else value


def declare(default: Any, **about: Any) -> Any:
    """Declare a parameter as a field of a dataclass; `about` goes into its `ParamSpec`."""
    return dataclasses.field(default=default, metadata=about)


def specs_of(cls: type, prefix: str = "") -> dict[str, ParamSpec]:
    """Return the specs of a dataclass's parameters by name, in their order; of settings within one, each as well.

    Args:
        cls: The dataclass.
        prefix: The parameter that holds it; its fields are then named `prefix_field`.
    """
    specs: dict[str, ParamSpec] = {}
    for field in dataclasses.fields(cls):
        name = f"{prefix}_{field.name}" if prefix else field.name
        specs[name] = ParamSpec(name=name, default=field.default, within=prefix, field=field.name, **field.metadata)
        settings = specs[name].settings
        if settings is not None:
            specs |= specs_of(settings, name)
    return specs


def _number(value: float) -> str:
    return f"{value:.6g}"


def _settings(value: Any) -> str:
    """`on`, and what differs from the defaults."""
    own = {field.name: field.default for field in dataclasses.fields(value)}
    told = [f"{n.replace('_', ' ')} {_number(getattr(value, n))}" for n, d in own.items() if getattr(value, n) != d]
    return ", ".join(["on", *told])


_FORMATS: Mapping[str, Any] = {
    "size": lambda value: f"{value[0]} x {value[1]}",
    "float": _number,
    "flag": lambda value: "on" if value else "off",
    "settings": _settings,
}


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


def _check_flag(spec: ParamSpec, value: Any) -> bool:
    # numpy's own truth values and 0 and 1 are no texts, lists or other numbers
    if isinstance(value, (str, bytes)) or value not in (False, True):
        raise spec.refuse(value)
    return bool(value)


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


def _check_settings(spec: ParamSpec, value: Any) -> Any:
    """True for all defaults, False for None, a mapping as JSON has it, or the settings themselves."""
    assert spec.settings is not None
    if value is False:
        return None
    if value is True:
        return spec.settings()
    if isinstance(value, Mapping):
        known = [field.name for field in dataclasses.fields(spec.settings)]
        for name in value:
            if name not in known:
                raise InvalidParams(f"{spec.name}: {name!r} is no setting; allowed: {', '.join(known)}")
        return spec.settings(**value)
    if not isinstance(value, spec.settings):
        raise spec.refuse(value)
    return value


_CHECKS = {
    "text": _check_text,
    "choice": _check_choice,
    "int": _check_int,
    "float": _check_float,
    "flag": _check_flag,
    "size": _check_size,
    "settings": _check_settings,
}
