"""Axis values: what a person writes for an axis becomes a tuple of checked values.

Text is read with exact decimal arithmetic, so that `0.3-0.9 (+0.2)` gives 0.3, 0.5, 0.7, 0.9 and never a value past
the end.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

from .errors import InvalidParams
from .prompts import differing, split_list
from .spec import ParamSpec

__all__ = ["axis_labels", "axis_values"]

_NUMBER = r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)"
_RANGE = re.compile(
    rf"\s*(?P<first>{_NUMBER})\s*-\s*(?P<last>{_NUMBER})\s*"
    rf"(?:\[\s*(?P<count>\d+)\s*\]|\(\s*(?P<step>{_NUMBER})\s*\))?\s*"
)
_SIZE = re.compile(r"\s*(\d+)(?:\s*[x×]\s*(\d+))?\s*", re.IGNORECASE)
_FORMS = "a list, '0.3, 0.6', '0.3-0.9 [5]', '0.3-0.9 (+0.2)' or '1, 2, .., 10'"
_SWITCH = {"on": True, "off": False, "yes": True, "no": False, "true": True, "false": False}
_MOST = 10_000


def axis_values(spec: ParamSpec, values: Any) -> tuple[Any, ...]:
    """Turn what was given for an axis into checked values.

    Text may be a comma list (quotes protect commas), a range with a count `0.3-0.9 [5]` (both ends), a range with a
    step `0.3-0.9 (+0.2)` (never past the end), a plain range of whole numbers `1-5`, ranges and values in a list
    `off, 0-64 [3]`, or a list that goes on: `1, 2, .., 10`. Flags and settings are `on` and `off`.

    Args:
        spec: The parameter the axis runs over.
        values: Text, or any iterable of values (list, tuple, numpy array, range).

    Returns:
        The values in the order given, each as `spec.check` returns it.

    Raises:
        InvalidParams: Not readable, empty, twice the same value, or a value out of bounds.

    Example:
        >>> from nbinpaint import Params
        >>> axis_values(Params.specs()["denoise"], "0.3-0.9 [5]")
        (0.3, 0.45, 0.6, 0.75, 0.9)
    """
    if isinstance(values, str):
        found = _from_text(spec, values)
    elif isinstance(values, Iterable):
        found = [v.item() if hasattr(v, "item") and getattr(v, "ndim", 0) == 0 else v for v in values]
    else:
        raise InvalidParams(f"{spec.name}={values!r} is no axis; allowed: {_FORMS}")
    checked = tuple(spec.check(value) for value in found)
    if not checked:
        raise InvalidParams(f"{spec.name}={values!r} holds no value; allowed: {_FORMS}")
    for i, value in enumerate(checked):
        if value in checked[:i]:
            raise InvalidParams(
                f"{spec.name}={values!r} holds {spec.format(value)} twice; allowed: each value of an axis once"
            )
    return checked


def axis_labels(spec: ParamSpec, values: Sequence[Any]) -> tuple[str, ...]:
    """Return a header for each value of an axis; of long texts, what sets each apart from the others."""
    return differing(values) if spec.kind == "text" else tuple(spec.format(value) for value in values)


def _from_text(spec: ParamSpec, text: str) -> list[Any]:
    items = split_list(text)
    if spec.kind == "text":
        return list(items)
    if spec.kind not in ("int", "float"):
        return [_read(spec, text, item) for item in items if item]
    if ".." in items:
        return _going_on(spec, text, items)
    found: list[Any] = []
    for item in filter(None, items):
        range_ = _RANGE.fullmatch(item)
        found += _range(spec, text, item, range_) if range_ else [_read(spec, text, item)]
    return found


def _read(spec: ParamSpec, text: str, item: str) -> Any:
    if spec.optional and item.casefold() in ("none", "off", "default"):
        return None
    if spec.kind in ("flag", "settings") and item.casefold() in _SWITCH:
        return _SWITCH[item.casefold()]
    if spec.kind == "size":
        size = _SIZE.fullmatch(item)
        if not size:
            raise InvalidParams(f"{spec.name}={text!r}: {item!r} is no size; allowed: '96, 128' or '128x96, 96x128'")
        return int(size[1]), int(size[2] or size[1])
    if spec.kind in ("int", "float"):
        return _plain(spec, _decimal(spec, text, item))
    return item


def _decimal(spec: ParamSpec, text: str, item: str) -> Decimal:
    try:
        number = Decimal(item)
    except ArithmeticError:
        number = Decimal("nan")
    if not number.is_finite():
        raise InvalidParams(f"{spec.name}={text!r}: {item!r} is no number; allowed: {_FORMS}")
    return number


def _plain(spec: ParamSpec, number: Decimal | Fraction) -> int | float:
    """Return a whole number as int where the parameter counts, the nearest float otherwise."""
    return int(number) if spec.kind == "int" and number == int(number) else float(number)


def _range(spec: ParamSpec, text: str, item: str, match: re.Match[str]) -> list[Any]:
    first, last = Decimal(match["first"]), Decimal(match["last"])
    if match["count"]:
        count = int(match["count"])
        if not 1 <= count <= _MOST:
            raise InvalidParams(f"{spec.name}={text!r}: [{count}] is no count; allowed: 1 to {_MOST}")
        span = Fraction(last) - Fraction(first)
        numbers = [Fraction(first) + span * i / max(count - 1, 1) for i in range(count)]
        return [round(n) if spec.kind == "int" else float(n) for n in numbers]
    if not match["step"]:
        if spec.kind != "int":
            raise InvalidParams(f"{spec.name}={text!r} does not say how many; allowed: {item} [5] or {item} (+0.1)")
        return _steps(spec, text, first, last, Decimal(1 if last >= first else -1))
    step = Decimal(match["step"])
    return _steps(spec, text, first, last, step if last >= first or step < 0 else -step)


def _going_on(spec: ParamSpec, text: str, parts: list[str]) -> list[Any]:
    at = parts.index("..")
    if at < 2 or at != len(parts) - 2:
        raise InvalidParams(
            f"{spec.name}={text!r}: '..' wants two values before it and the last one after it, as in '1, 2, .., 10'"
        )
    numbers = [_decimal(spec, text, part) for part in [*parts[:at], parts[-1]]]
    head = [_plain(spec, number) for number in numbers[:-2]]
    step = numbers[-2] - numbers[-3]
    return head + _steps(spec, text, numbers[-2], numbers[-1], step)


def _steps(spec: ParamSpec, text: str, first: Decimal, last: Decimal, step: Decimal) -> list[Any]:
    count = (last - first) / step if step else Decimal(-1)
    if not 0 <= count <= _MOST:
        raise InvalidParams(
            f"{spec.name}={text!r}: steps of {step} do not lead from {first} to {last}; allowed: {_FORMS}"
        )
    return [_plain(spec, first + i * step) for i in range(int(count) + 1)]
