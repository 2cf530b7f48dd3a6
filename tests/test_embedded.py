"""The model that ships paints what it is asked for: a quick check by the judge, with shuffled prompts as a control."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import nbinpaint as nb
from nbinpaint.engine.base import Finished
from nbinpaint.sweep import GridCell
from training import captions, evaluate, judge
from training.domain import COLOURS, NOUNS, SHAPES

FOLDER = Path(nb.__file__).parent / "models" / "tiny"


def cases() -> list[evaluate.Case]:
    """Ten shapes, ten things, eight recoloured things and two removals, spread over names and colours."""
    colours, dressed = list(COLOURS), [name for name, noun in NOUNS.items() if noun.recolours]
    asked = [(list(SHAPES)[i % 8], colours[i]) for i in range(10)]
    asked += [(list(NOUNS)[(7 * i) % len(NOUNS)], "") for i in range(10)]
    asked += [(dressed[i % len(dressed)], colours[(3 * i + 1) % 10]) for i in range(8)]
    asked += [("", "")] * 2
    return [evaluate.case(name, colour, 500_000 + i) for i, (name, colour) in enumerate(asked)]


@pytest.mark.slow
def test_it_paints_what_it_is_asked_for() -> None:
    todo = cases()
    recipe = nb.Params(steps=12, guidance_scale=3.5, scheduler="DDIM", mask_blur=0)
    cells = [
        GridCell(i, {}, recipe.replace(prompt=case.prompt, seed=i), nb.Sweep(case.image, np.asarray(case.mask)).source)
        for i, case in enumerate(todo)
    ]
    pictures = np.zeros((len(todo), 128, 128, 3), np.uint8)
    for event in nb.load_engine("embedded").run(cells):
        if isinstance(event, Finished):
            pictures[event.cell.index] = np.asarray(event.result.raw)
    masks = np.stack([np.asarray(case.mask) > 127 for case in todo])
    names, colours = judge.verdicts(judge.load(), pictures, masks)
    truth = np.array([captions.label(case.facts) for case in todo])
    right = (names == truth[:, 0]) & ((truth[:, 1] < 0) | (colours == truth[:, 1]))
    coloured = truth[:, 1] >= 0
    assert (colours == truth[:, 1])[coloured].mean() >= 0.9
    assert right.mean() >= 0.85
    # The same pictures held to prompts that they were not given.
    other = np.roll(truth, 11, axis=0)
    assert ((names == other[:, 0]) & ((other[:, 1] < 0) | (colours == other[:, 1]))).mean() <= 0.1


@pytest.mark.filterwarnings("ignore:dtype='float16' on the CPU:UserWarning")
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_it_loads_in_every_number_format_and_offline(dtype: str) -> None:
    engine = nb.load_engine("embedded", device="cpu", dtype=dtype)
    assert str(engine.model.dtype) == f"torch.{dtype}"
    assert all(p.dtype == engine.model.dtype for p in engine.model.pipeline.text_encoder.parameters())
    assert torch.isfinite(engine.conditioning.text(nb.Params(prompt="a red apple")).tokens).all()


def test_it_is_small_and_its_card_has_the_measured_figures() -> None:
    assert sum(file.stat().st_size for file in FOLDER.rglob("*") if file.is_file()) <= 20_500_000
    assert sum(file.stat().st_size for file in FOLDER.rglob("*.safetensors")) <= 20_000_000
    figures = json.loads((Path(judge.KEPT) / "evaluation.json").read_text())["figures"]
    assert f"{figures['colour']:.1%}" in (FOLDER / "README.md").read_text()


def test_unknown_words_get_a_hint_and_never_an_error() -> None:
    engine = nb.load_engine("embedded")
    assert engine.vocabulary is not None
    assert {"red", "apple", "star"} <= engine.vocabulary.words
    for known in ("some red apples on the grass", "A scarlet puppy", "", "remove the object"):
        assert engine.vocabulary_hint(known) is None
    hint = engine.vocabulary_hint("a red steam engine")
    assert hint is not None
    assert "“steam”, “engine”" in hint
    scene = nb.sample("meadow")
    with pytest.warns(UserWarning, match="never seen “locomotive”"):
        result = nb.inpaint(scene.image, scene.mask, prompt="a locomotive", steps=1, engine=engine)
    assert result.image.size == (128, 128)


def test_other_models_say_nothing_about_words(random_model: Path) -> None:
    assert nb.load_engine(str(random_model), device="cpu").vocabulary is None
