"""Recipes: what is allowed, what is refused, and what the message says."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nbinpaint as nb


def test_a_recipe_is_frozen_and_keyword_only() -> None:
    params = nb.Params(prompt="a red apple")
    with pytest.raises(dataclasses.FrozenInstanceError):
        params.steps = 3  # type: ignore[misc]
    with pytest.raises(TypeError):
        nb.Params("a red apple")  # type: ignore[misc]


def test_values_become_the_fields_own_type() -> None:
    params = nb.Params(steps=np.int64(12), denoise=1, size=96, seed=3.0)  # type: ignore[arg-type]
    assert (params.steps, params.denoise, params.size, params.seed) == (12, 1.0, (96, 96), 3)
    assert [type(v) for v in (params.steps, params.denoise, params.seed)] == [int, float, int]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"denoise": 1.5}, ["denoise=1.5", "0 to 1"]),
        ({"denoise": float("nan")}, ["denoise=nan", "0 to 1"]),
        ({"denoise": "high"}, ["denoise='high'", "a number"]),
        ({"steps": 0}, ["steps=0", "1 to 500"]),
        ({"steps": 2.5}, ["steps=2.5", "whole number"]),
        ({"steps": True}, ["steps=True", "whole number"]),
        ({"guidance_scale": 31}, ["guidance_scale=31", "0 to 30"]),
        ({"size": 100}, ["size=100", "multiple of 8"]),
        ({"size": (96, 97)}, ["size=(96, 97)", "multiple of 8"]),
        ({"size": (96, 96, 96)}, ["size=(96, 96, 96)", "(width, height)"]),
        ({"mask_blur": 65}, ["mask_blur=65", "0 to 64"]),
        ({"scheduler": "K_EULR"}, ["scheduler='K_EULR'", "did you mean 'K_EULER'", "'PNDM'"]),
        ({"resize_mode": "squash"}, ["resize_mode='squash'", "'stretch', 'crop', 'fill'"]),
        ({"prompt": 3}, ["prompt=3", "a text"]),
        ({"masked_content": "cheese"}, ["masked_content='cheese'", "unknown"]),
        ({"padding": 300}, ["padding=300", "0 to 256", "None"]),
        ({"soft": 3}, ["soft=3", "SoftInpainting(...)", "None"]),
        ({"soft": {"blur": 3}}, ["soft", "'blur'", "preservation"]),
        ({"soft": {"preservation": 9}}, ["soft_preservation=9", "0 to 8"]),
        ({"mask_invert": "no"}, ["mask_invert='no'", "True or False"]),
        ({"sigmas": "karas"}, ["sigmas='karas'", "did you mean 'karras'"]),
    ],
)
def test_a_bad_value_is_named_with_what_is_allowed(values: dict[str, object], words: list[str]) -> None:
    with pytest.raises(nb.InvalidParams) as error:
        nb.Params(**values)  # type: ignore[arg-type]
    for word in words:
        assert word in str(error.value)


def test_an_unknown_field_is_named_with_the_nearest() -> None:
    with pytest.raises(nb.InvalidParams, match="did you mean 'guidance_scale'"):
        nb.Params().replace(guidance=3)


def test_steps_run_follow_diffusers_rule() -> None:
    assert nb.Params(steps=20, denoise=0.6).steps_run == 12
    assert nb.Params(steps=100, denoise=0.29).steps_run == 28  # 0.29 * 100 is 28.999999999999996
    assert nb.Params(steps=3, denoise=0.3).steps_run == 0


@given(
    steps=st.integers(1, 500),
    denoise=st.floats(0, 1),
    size=st.none() | st.tuples(st.integers(1, 64), st.integers(1, 64)).map(lambda s: (8 * s[0], 8 * s[1])),
    prompt=st.text(),
    scheduler=st.sampled_from(nb.ALL_SCHEDULERS),
)
def test_a_recipe_survives_json(**values: object) -> None:
    params = nb.Params(**values)  # type: ignore[arg-type]
    assert nb.Params.from_dict(json.loads(json.dumps(params.to_dict()))) == params


def test_every_field_is_described() -> None:
    for name, spec in nb.Params.specs().items():
        assert spec.label, name
        assert spec.help, name
        assert spec.check(spec.default) == spec.default, name


def test_the_seed_set_comes_first_and_in_order() -> None:
    assert nb.SCHEDULERS == ("DDIM", "K_EULER", "DPMSolverMultistep", "K_EULER_ANCESTRAL", "PNDM", "KLMS")
    assert nb.ALL_SCHEDULERS[: len(nb.SCHEDULERS)] == nb.SCHEDULERS
