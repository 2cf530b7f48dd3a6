"""Prompt tools as axes, and headers that say what differs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import nbinpaint as nb
from nbinpaint.prompts import differing, in_common
from nbinpaint.sweep import resolve_axes

LONG = "a red apple on the grass in the evening sun"


def test_one_text_is_replaced_by_each_of_the_others(photo: Image.Image, mask: np.ndarray) -> None:
    sweep = nb.Sweep(photo, mask, nb.Params(prompt=LONG), prompt=nb.SearchReplace("apple", "pear", "two plums"))
    assert [cell.params.prompt for cell in sweep.cells] == [
        LONG,
        *(LONG.replace("apple", t) for t in ("pear", "two plums")),
    ]
    assert sweep.labels == {"prompt": ("apple", "pear", "two plums")}


def test_the_comma_list_of_other_tools_is_understood() -> None:
    assert nb.SearchReplace.parse('apple, pear, "red, round plum"') == nb.SearchReplace(
        "apple", "pear", "red, round plum"
    )
    params = nb.Params(prompt=LONG, negative_prompt="blurry")
    assert resolve_axes(params, {"prompt_replace": "red, green", "steps": "1-2"}) == {
        "prompt": (LONG, LONG.replace("red", "green")),
        "steps": (1, 2),
    }
    assert resolve_axes(params, {"negative_prompt_replace": "blurry, dark"}) == {"negative_prompt": ("blurry", "dark")}
    assert resolve_axes(params, {"negative_prompt": nb.SearchReplace("blurry", "dark")}) == {
        "negative_prompt": ("blurry", "dark")
    }


def test_parts_stand_in_every_order() -> None:
    params = nb.Params(prompt="a red, shiny and round apple on the grass")
    (prompts,) = resolve_axes(params, {"prompt_order": "round, red, shiny"}).values()
    assert prompts[0] == params.prompt
    assert "a round, shiny and red apple on the grass" in prompts
    assert len(set(prompts)) == 6
    assert nb.PromptOrder("red", "red apple").prompts("a red apple, red") == ("a red apple, red", "a red, red apple")


@given(st.permutations(["ant", "bee", "cat", "dog"]))
def test_an_order_loses_nothing(words: list[str]) -> None:
    prompt = ", ".join(words)
    found = nb.PromptOrder("ant", "bee", "cat", "dog").prompts(prompt)
    assert len(set(found)) == 24
    assert all(sorted(one.split(", ")) == sorted(words) for one in found)


@pytest.mark.parametrize(
    ("axes", "words"),
    [
        ({"prompt": nb.SearchReplace("pear", "plum")}, ["'pear'", "prompt=", "stands in it"]),
        ({"prompt_replace": "pear, plum"}, ["'pear'"]),
        ({"prompt_order": "red, blue"}, ["'blue'"]),
        ({"prompt_order": "red"}, ["2 to 6"]),
        ({"prompt_replace": ["apple", "pear"]}, ["prompt_replace=", "'apple, pear, plum'"]),
        ({"prompt": ["a", "b"], "prompt_replace": "red, blue"}, ["prompt is an axis already"]),
        ({"steps": nb.SearchReplace("a", "b")}, ["for texts", "whole number"]),
        ({"prompt_replac": "a, b"}, ["'prompt_replac'"]),
        ({"prompt_replace": "apple, apple"}, ["each once"]),
        ({"prompt_replace": ""}, ["each once"]),
    ],
)
def test_what_cannot_be_done_is_said_in_words(axes: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(nb.InvalidParams) as error:
        resolve_axes(nb.Params(prompt=LONG), axes)
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("prompts", "labels", "shared"),
    [
        (["a cat", "a dog"], ("a cat", "a dog"), "a …"),
        ([LONG, LONG.replace("red", "blue")], ("red", "blue"), "a … apple on the grass in the evening sun"),
        ([LONG, LONG.replace("red ", "")], ("red", "nothing"), "a … apple on the grass in the evening sun"),
        ([LONG, LONG + ", a house"], ("sun", "sun, a house"), "a red apple on the grass in the evening …"),
        (
            ["an apple tree that bears an apple", "a pear tree that bears a pear"],
            ("an apple", "a pear"),
            "… tree that bears …",
        ),
        (
            ["a red, shiny apple on the grass", "a shiny, red apple on the grass"],
            ("red, shiny", "shiny, red"),
            "a … apple on the grass",
        ),
        (
            ["something quite different", "nothing that is shared"],
            ("something quite different", "nothing that is shared"),
            "",
        ),
        ([LONG], (LONG,), LONG),
        ([LONG, LONG.replace(" on", "  on")], (LONG, LONG.replace(" on", "  on")), LONG),
    ],
)
def test_headers_say_what_differs(prompts: list[str], labels: tuple[str, ...], shared: str) -> None:
    assert differing(prompts) == labels
    assert in_common(prompts) == shared


def test_a_sheet_and_a_page_name_the_word_and_not_the_sentence(
    photo: Image.Image, mask: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = nb.Sweep(photo, mask, nb.Params(prompt=LONG), prompt_replace="red, green, blue", denoise=[0.5, 1.0])
    study = nb.run(sweep, engine=nb.FakeEngine(), store=tmp_path / "study", progress=False)
    study.save_html(tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text("utf-8")
    assert [f"<th>{word}</th>" in page for word in ("red", "green", "blue")] == [True] * 3
    assert "“a … apple on the grass in the evening sun”" in page
    seen: dict[str, Any] = {}
    monkeypatch.setattr("nbinpaint.report.studies.contact_sheet", lambda **given: seen.update(given))
    nb.open_study(tmp_path / "study").sheet(rows=("denoise", "prompt"), columns=())
    assert seen["row_labels"][:2] == ["Denoise 0.5 · Prompt red", "Denoise 0.5 · Prompt green"]
