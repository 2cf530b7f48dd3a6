"""What becomes of a prompt: layers that are left out, weights, and words that do not fit; diffusers is the oracle."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionXLPipeline
from models import random_pipeline, tokenizer
from pictures import box_mask, smooth_image
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

import nbinpaint as nb
from nbinpaint.engine.diffusion import DiffusionEngine
from nbinpaint.engine.models import Model
from nbinpaint.engine.prompting import check_prompting, encode

WEIGHTED = nb.Params(prompt_weighting="compel", prompt="red", negative_prompt="ab")


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def engine() -> DiffusionEngine:
    """A model with random weights and a text encoder of three layers, in float64."""
    pipeline = random_pipeline(text_layers=3).to(dtype=torch.float64)
    pipeline.set_progress_bar_config(disable=True)
    # diffusers looks for the norm where transformers had it before version 5.
    encoder = pipeline.text_encoder
    if not hasattr(encoder, "text_model"):
        object.__setattr__(encoder, "text_model", encoder)
    return DiffusionEngine(Model("three layers", pipeline, torch.device("cpu"), torch.float64))


@pytest.fixture(scope="module")
def embedded() -> DiffusionEngine:
    return nb.load_engine("embedded", device="cpu", dtype="float64")


def rows(engine: DiffusionEngine, params: nb.Params) -> torch.Tensor:
    return engine.conditioning.text(params).tokens


@pytest.mark.parametrize("guidance", [1.0, 7.5])
@pytest.mark.parametrize("clip_skip", [0, 1, 2])
def test_leaving_layers_out_equals_diffusers(engine: DiffusionEngine, clip_skip: int, guidance: float) -> None:
    image, mask = smooth_image(32, 32), box_mask(32, 32, (8, 8, 24, 24))
    params = nb.Params(
        prompt="red",
        negative_prompt="ab",
        steps=4,
        scheduler="DDIM",
        size=32,
        guidance_scale=guidance,
        clip_skip=clip_skip,
        resize_mode="stretch",
    )
    result = nb.inpaint(image, mask, params, engine=engine)
    (expected,) = engine.model.pipeline(
        prompt="red",
        negative_prompt="ab",
        image=image,
        mask_image=nb.load_image(mask).convert("L"),
        width=32,
        height=32,
        num_inference_steps=4,
        strength=1.0,
        guidance_scale=guidance,
        clip_skip=clip_skip or None,
        generator=torch.Generator("cpu").manual_seed(0),
    ).images
    assert np.array_equal(np.asarray(result.raw), np.asarray(expected))
    theirs = engine.model.pipeline.encode_prompt("red", "cpu", 1, guidance > 1, "ab", clip_skip=clip_skip or None)
    ours = rows(engine, params)
    assert torch.allclose(ours[-1:], theirs[0], rtol=0, atol=1e-12)
    if guidance > 1:
        assert torch.allclose(ours[:1], theirs[1], rtol=0, atol=1e-12)


def test_each_number_of_layers_gives_another_encoding(engine: DiffusionEngine) -> None:
    found = [rows(engine, nb.Params(prompt="red", guidance_scale=1, clip_skip=n)) for n in range(3)]
    assert (found[0] - found[1]).abs().max() > 0.01
    assert (found[1] - found[2]).abs().max() > 0.01


def test_more_layers_than_there_are_is_refused_when_planned(engine: DiffusionEngine, embedded: DiffusionEngine) -> None:
    engine.plan(nb.Params(clip_skip=2))
    with pytest.raises(nb.InvalidParams, match=r"clip_skip=3 leaves no layer.*0 to 2 for the model 'three layers'"):
        engine.plan(nb.Params(clip_skip=3))
    with pytest.raises(nb.InvalidParams, match="0 to 1 for the model 'embedded'"):
        embedded.plan(nb.Params(clip_skip=2))


# --- weights ---


@pytest.mark.parametrize("clip_skip", [0, 1])
@pytest.mark.parametrize("prompt", ["", "a red apple", "a red apple, on the grass", "red " * 40])
def test_a_plain_prompt_is_the_same_with_weights_read(embedded: DiffusionEngine, prompt: str, clip_skip: int) -> None:
    plain = nb.Params(prompt=prompt, negative_prompt="blue", clip_skip=clip_skip)
    weighted = plain.replace(prompt_weighting="compel")
    assert torch.allclose(rows(embedded, plain), rows(embedded, weighted), rtol=0, atol=1e-6)


def test_weights_pull_towards_the_word_and_away_from_it(embedded: DiffusionEngine) -> None:
    """Along the line from the prompt without the word to the prompt with it."""

    def encoded(prompt: str) -> torch.Tensor:
        return rows(embedded, WEIGHTED.replace(prompt=prompt, guidance_scale=1))

    plain, empty = encoded("a red apple"), encoded("")
    word = slice(2, 3)  # after the mark of the beginning and "a"
    axis = (plain - empty)[:, word]

    def along(prompt: str) -> float:
        return float(((encoded(prompt) - empty)[:, word] * axis).sum() / (axis * axis).sum())

    assert along("a red apple") == pytest.approx(1)
    assert along("a (red)1.4 apple") == pytest.approx(1.4)
    assert along("a red++ apple") == pytest.approx(1.21)
    less = encoded("a (red)0.5 apple") - plain
    assert float(less.abs().max()) > 0.01
    faded = encoded("a (red)0.01 apple") - plain
    assert float(faded.abs().max()) > float(less.abs().max())


def test_weighted_and_plain_rows_share_a_batch(engine: DiffusionEngine) -> None:
    base = nb.Params(prompt="(red)1.5 ab", negative_prompt="ab", steps=3, scheduler="DDIM", size=32)
    image, mask = smooth_image(32, 32), box_mask(32, 32, (8, 8, 24, 24))
    study = nb.run(nb.Sweep(image, mask, base, prompt_weighting=["none", "compel"]), engine=engine, progress=False)
    alone = [nb.inpaint(image, mask, result.params, engine=engine) for result in study]
    assert [r.raw.tobytes() for r in study] == [r.raw.tobytes() for r in alone]
    assert study[0].raw.tobytes() != study[1].raw.tobytes()
    assert len({rows(engine, r.params).shape for r in study}) == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"prompt": '("a", "b").and()'}, ["prompt=", ".and()"]),
        ({"prompt": "a cat.swap(dog)"}, ["prompt=", ".swap()"]),
        ({"prompt": "a withLora(b, 1.0)"}, ["prompt=", "withLora()"]),
        ({"negative_prompt": '("a", "b").and()'}, ["negative_prompt=", ".and()"]),
    ],
)
def test_what_weights_cannot_say_is_refused_when_planned(
    engine: DiffusionEngine, change: dict[str, Any], words: list[str]
) -> None:
    engine.plan(WEIGHTED)
    engine.plan(nb.Params(**change))
    with pytest.raises(nb.InvalidParams) as error:
        engine.plan(WEIGHTED.replace(**change))
    for word in words:
        assert word in str(error.value)


def test_without_the_package_weights_are_refused_with_what_to_install(
    engine: DiffusionEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(nb.InvalidParams, match=r"prompt_weighting='compel'.*pip install 'nbinpaint\[compel\]'"):
        engine.plan(WEIGHTED)


def sdxl_encoders() -> Model:
    """As SDXL encodes prompts: two text encoders of three layers; the other networks are left out."""
    torch.manual_seed(0)
    parts = random_pipeline(text_layers=3)
    config = parts.text_encoder.config.to_dict() | {"hidden_size": 24, "intermediate_size": 48, "projection_dim": 8}
    pipeline = StableDiffusionXLPipeline(
        vae=None,
        unet=None,
        scheduler=parts.scheduler,
        text_encoder=parts.text_encoder,
        text_encoder_2=CLIPTextModelWithProjection(CLIPTextConfig(**config)).eval(),
        tokenizer=parts.tokenizer,
        tokenizer_2=tokenizer(),
        add_watermarker=False,
    ).to(dtype=torch.float64)
    return Model("two encoders", pipeline, torch.device("cpu"), torch.float64)


@pytest.mark.parametrize("clip_skip", [0, 1])
def test_with_two_text_encoders_weights_act_on_both(clip_skip: int) -> None:
    model = sdxl_encoders()
    plain, summary = encode(model, "a red ab", clip_skip)
    theirs = model.pipeline.encode_prompt(
        "a red ab", device="cpu", do_classifier_free_guidance=False, clip_skip=clip_skip or None
    )
    assert torch.equal(plain, theirs[0])
    same, same_summary = encode(model, "a red ab", clip_skip, "compel")
    assert torch.allclose(same, plain, rtol=0, atol=1e-12)
    weighted, weighted_summary = encode(model, "a (red)1.4 ab", clip_skip, "compel")
    assert weighted.shape == plain.shape
    moved = (weighted - plain).abs().amax((0, 1))
    assert moved[:16].max() > 1e-3
    assert moved[16:].max() > 1e-3
    for told in (summary, same_summary, weighted_summary):
        assert told is not None
        assert torch.equal(told, theirs[2])
    check_prompting(WEIGHTED.replace(clip_skip=1), model)
    with pytest.raises(nb.InvalidParams, match=r"clip_skip=2 leaves no layer.*0 to 1"):
        check_prompting(nb.Params(clip_skip=2), model)


# --- what does not fit ---


@pytest.mark.parametrize(
    ("prompt", "cut"),
    [
        ("", None),
        ("abcde fghij", None),
        ("ab cd ef gh ij", None),
        ("ab cd ef gh ij kl mn", "“kl mn”"),
        ("abcdefgh ijkl mn", "“ijkl mn”"),
        ("a b c d e f g h i j k", "“k”"),
        (" ".join("abcdefghijklmnopqrstuvwxyz"), "“k l m n o p q r s t u v” and 4 more words"),
    ],
)
def test_the_words_for_which_there_is_no_room_are_named(engine: DiffusionEngine, prompt: str, cut: str | None) -> None:
    """The tokenizer spells: ten letters fit."""
    hint = engine.prompt_hint(prompt)
    assert hint == (cut and f"The text encoder reads 10 tokens of a prompt; cut off: {cut}.")


def test_whoever_runs_a_long_prompt_is_warned_once(engine: DiffusionEngine) -> None:
    image, mask = smooth_image(32, 32), box_mask(32, 32, (8, 8, 24, 24))
    base = nb.Params(prompt="ab cd ef gh ij kl mn", steps=1, size=32)
    with pytest.warns(UserWarning, match="cut off: “kl mn”") as caught:
        nb.run(nb.Sweep(image, mask, base, seed=[1, 2]), engine=engine, progress=False)
    assert len([warning for warning in caught if "cut off" in str(warning.message)]) == 1
    with pytest.warns(UserWarning, match="cut off: “kl mn”"):
        nb.inpaint(image, mask, prompt="a", negative_prompt=base.prompt, steps=1, size=32, engine=engine)
    nb.inpaint(image, mask, prompt="a", negative_prompt=base.prompt, guidance_scale=1, steps=1, size=32, engine=engine)


def test_unknown_words_and_cut_words_come_in_one_hint(embedded: DiffusionEngine) -> None:
    prompt = "a red apple " * 7 + "with a locomotive"
    hint = embedded.prompt_hint(prompt)
    assert hint is not None
    assert "never seen “locomotive”" in hint
    assert "22 tokens" in hint
    assert hint.endswith("cut off: “a locomotive”.")
    assert embedded.prompt_hint("a red apple") is None
