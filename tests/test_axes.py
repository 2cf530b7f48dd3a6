"""What a person writes for an axis, and what it means."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
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
        ("prompt", "a cat\na dog, a bird", ("a cat", "a dog", "a bird")),
        ("steps", "1-3, 10, 20-30 [2]", (1, 2, 3, 10, 20, 30)),
        ("steps", "10-2 (-4)", (10, 6, 2)),
        ("steps", "+3-5", (3, 4, 5)),
        ("mask_grow", "-8, 0, 8", (-8, 0, 8)),
        ("mask_grow", "-8", (-8,)),
        ("mask_grow", "-8-8 [3]", (-8, 0, 8)),
        ("mask_grow", "-8 - -4", (-8, -7, -6, -5, -4)),
        ("mask_grow", "4--4 (+4)", (4, 0, -4)),
        ("mask_grow", "-8, -4, .., 4", (-8, -4, 0, 4)),
        ("mask_invert", "off, on", (False, True)),
        ("mask_invert", [True, False], (True, False)),
        ("differential", "No, yes", (False, True)),
        ("padding", "off, 0, 32", (None, 0, 32)),
        ("padding", "none, 0-64 [3]", (None, 0, 32, 64)),
        ("padding", [None, 16], (None, 16)),
        ("soft", "off, on", (None, nb.SoftInpainting())),
        ("soft", [None, nb.SoftInpainting(preservation=2)], (None, nb.SoftInpainting(preservation=2))),
        ("soft_preservation", "0-4 [3]", (0.0, 2.0, 4.0)),
        ("size", "default, 64, 96 x 64", (None, (64, 64), (96, 64))),
        ("masked_content", "original, latent noise", ("original", "latent noise")),
        ("sigmas", "default, karras", ("default", "karras")),
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
        ("mask_invert", "maybe", ["mask_invert='maybe'", "True or False"]),
        ("mask_grow", "-300, 0", ["mask_grow=-300", "-256 to 256"]),
        ("steps", "1-10 (-2)", ["steps of -2"]),
        ("denoise", "0.1, 0.3-0.9", ["how many", "0.3-0.9 [5]"]),
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


def values_of(name: str) -> st.SearchStrategy:
    """Values of a parameter and how a person writes them."""
    spec = SPECS[name]
    side = st.integers(1, 99).map(lambda n: 8 * n)
    written: dict[str, Callable[[], st.SearchStrategy]] = {
        "text": lambda: st.text("ab c,x", min_size=1, max_size=9).map(lambda v: (v.strip(), f'"{v.strip()}"')),
        "choice": lambda: st.sampled_from(spec.choices).map(lambda v: (v, v)),
        "flag": lambda: st.booleans().map(lambda v: (v, "on" if v else "off")),
        "size": lambda: st.tuples(side, side).map(lambda s: (s, f"{s[0]}x{s[1]}")),
        "int": lambda: st.integers(int(spec.low), int(spec.high)).map(lambda v: (v, str(v))),
        "float": lambda: st.floats(spec.low, spec.high).map(lambda v: (v, repr(v))),
        "settings": lambda: st.just((spec.check(True), "on")),
    }
    one = written[spec.kind]()
    one = st.just((None, "off")) | one if spec.optional else one
    return st.lists(one, min_size=1, max_size=5, unique_by=lambda pair: pair[0])


@settings(max_examples=25, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("name", SPECS)
def test_what_is_written_is_what_is_read(name: str, data: st.DataObject) -> None:
    pairs = data.draw(values_of(name))
    assert axis_values(SPECS[name], ", ".join(text for _, text in pairs)) == tuple(value for value, _ in pairs)
