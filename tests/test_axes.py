"""What a person writes for an axis, and what it means."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nbinpaint as nb
from nbinpaint.axes import axis_values

SPECS = nb.Params.specs()


@pytest.mark.parametrize(
    ("field", "given_", "values"),
    [
        ("denoise", "0.3-0.9 [5]", (0.3, 0.45, 0.6, 0.75, 0.9)),
        ("denoise", "0.3-0.9 (+0.2)", (0.3, 0.5, 0.7, 0.9)),
        ("denoise", "0.5-1.0 (+0.15)", (0.5, 0.65, 0.8, 0.95)),
        ("denoise", "0.9-0.3 [3]", (0.9, 0.6, 0.3)),
        ("denoise", "0.9-0.5 (0.2)", (0.9, 0.7, 0.5)),
        ("denoise", "0.2, 0.4, .., 1.0", (0.2, 0.4, 0.6, 0.8, 1.0)),
        ("denoise", " 0.2,0.5 ", (0.2, 0.5)),
        ("denoise", "0.7", (0.7,)),
        ("steps", "1, 2, .., 10", tuple(range(1, 11))),
        ("steps", "4, 5, 10, .., 21", (4, 5, 10, 15, 20)),
        ("steps", "2-5", (2, 3, 4, 5)),
        ("steps", "10-20 [3]", (10, 15, 20)),
        ("steps", range(4, 13, 4), (4, 8, 12)),
        ("denoise", np.linspace(0.5, 1, 3), (0.5, 0.75, 1.0)),
        ("seed", np.array([1, 2]), (1, 2)),
        ("size", [96, (128, 96)], ((96, 96), (128, 96))),
        ("size", "96, 128x96", ((96, 96), (128, 96))),
        ("scheduler", "DDIM, K_EULER", ("DDIM", "K_EULER")),
        ("scheduler", nb.SCHEDULERS, nb.SCHEDULERS),
        ("prompt", 'a cat, "a red, round apple"', ("a cat", "a red, round apple")),
        ("prompt", '"", a cat', ("", "a cat")),
        ("prompt", ("a", "b"), ("a", "b")),
    ],
)
def test_an_axis_is_read(field: str, given_: Any, values: tuple[Any, ...]) -> None:
    assert axis_values(SPECS[field], given_) == values


@pytest.mark.parametrize(
    ("field", "given_", "words"),
    [
        ("denoise", "0.5-1.5 [3]", ["denoise=1.5", "0 to 1"]),
        ("denoise", [0.5, -0.1], ["denoise=-0.1", "0 to 1"]),
        ("denoise", "low, high", ["'low'", "no number", "0.3-0.9 [5]"]),
        ("denoise", "0.3-0.9", ["how many", "[5]"]),
        ("denoise", "0.3-0.9 [0]", ["[0]", "1 to"]),
        ("denoise", "0.3-0.9 (+0)", ["steps of 0"]),
        ("denoise", "1, .., 3", ["two values before"]),
        ("denoise", [], ["no value"]),
        ("denoise", "", ["no value"]),
        ("denoise", 0.5, ["denoise=0.5", "no axis", "a list"]),
        ("denoise", [0.5, 0.5], ["0.5 twice"]),
        ("steps", "1-3 [5]", ["twice"]),
        ("steps", "1, 2.5", ["2.5", "whole number"]),
        ("size", "big", ["'big'", "no size"]),
        ("size", [100], ["size=100", "multiple of 8"]),
        ("scheduler", "DDIM, Eular", ["'Eular'", "unknown"]),
    ],
)
def test_a_bad_axis_is_refused_in_words(field: str, given_: Any, words: list[str]) -> None:
    with pytest.raises(nb.InvalidParams) as error:
        axis_values(SPECS[field], given_)
    for word in words:
        assert word in str(error.value)


@given(
    first=st.integers(0, 100),
    span=st.integers(0, 100),
    step=st.integers(1, 50),
)
def test_a_stepped_range_never_passes_its_end(first: int, span: int, step: int) -> None:
    low, last = first / 100, min(first + span, 100) / 100
    low = min(low, last)
    values = axis_values(SPECS["denoise"], f"{low}-{last} (+{step / 100})")
    assert values[0] == low
    assert values[-1] <= last
    assert values[-1] + step / 100 > last - 1e-9
    assert all(round(b - a, 9) == step / 100 for a, b in itertools.pairwise(values))


@given(first=st.integers(0, 99), last=st.integers(0, 100), count=st.integers(2, 40))
def test_a_counted_range_holds_both_ends(first: int, last: int, count: int) -> None:
    if first == last:
        last += 1
    values = axis_values(SPECS["denoise"], f"{first / 100}-{last / 100} [{count}]")
    assert len(values) == count
    assert (values[0], values[-1]) == (first / 100, last / 100)
    assert list(values) == sorted(values, reverse=first > last)
