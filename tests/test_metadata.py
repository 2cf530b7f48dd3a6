"""The recipe in a picture's text chunks."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

import nbinpaint as nb
from nbinpaint.infotext import infotext, parse_infotext
from nbinpaint.metadata import png_bytes

GREY = Image.new("RGB", (8, 8), "grey")
TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=40)


def value_of(name: str) -> st.SearchStrategy:
    """Any value of a field of `Params`, by what its spec says is allowed."""
    spec = nb.Params.specs()[name]
    kinds: dict[str, Callable[[], st.SearchStrategy]] = {
        "text": lambda: TEXT,
        "choice": lambda: st.sampled_from(spec.choices),
        "flag": st.booleans,
        "size": lambda: st.tuples(*[st.integers(1, 64).map(lambda n: 8 * n)] * 2),
        "int": lambda: st.integers(int(spec.low), int(spec.high)),
        "float": lambda: st.floats(spec.low, spec.high),
        "settings": lambda: st.builds(
            spec.settings, **{f.name: value_of(f"{name}_{f.name}") for f in dataclasses.fields(spec.settings)}
        ),
    }
    values = kinds[spec.kind]()
    return st.none() | values if spec.optional else values


RECIPES = st.builds(nb.Params, **{f.name: value_of(f.name) for f in dataclasses.fields(nb.Params)})


@settings(deadline=None)
@given(params=RECIPES)
def test_the_exact_recipe_is_read_back(params: nb.Params) -> None:
    assert nb.read_params(png_bytes(GREY, params, {})) == params


@settings(deadline=None)
@given(params=RECIPES, model=TEXT)
def test_infotext_alone_gives_the_whole_recipe_back(params: nb.Params, model: str) -> None:
    own = params.replace(prompt=params.prompt.strip(), negative_prompt=params.negative_prompt.strip())
    assume("Negative prompt:" not in own.prompt)
    assert parse_infotext(infotext(own, model)) == own


def test_the_infotext_is_what_other_tools_show() -> None:
    params = nb.Params(
        prompt="a red apple", negative_prompt="blur", scheduler="K_EULER_ANCESTRAL", denoise=0.6, seed=7, size=128
    )
    assert infotext(params, "my: model") == (
        "a red apple\nNegative prompt: blur\n"
        "Steps: 20, Sampler: Euler a, Schedule type: Automatic, CFG scale: 7.5, Seed: 7, Size: 128x128, "
        'Model: "my: model", Denoising strength: 0.6, Mask blur: 4, Resize mode: Crop and resize'
    )


def test_every_control_has_the_name_that_other_tools_know() -> None:
    params = nb.Params(
        prompt="x",
        sigmas="karras",
        seed=5,
        image_index=2,
        conditioning_mask_strength=0.5,
        clip_skip=1,
        eta=0.3,
        soft=nb.SoftInpainting(preservation=1.5),
        mask_invert=True,
        padding=24,
        masked_content="latent noise",
    )
    told = infotext(params)
    for words in (
        "Sampler: DPM++ 2M, Schedule type: Karras",
        "Seed: 7, Batch pos: 2",
        "Conditional mask weight: 0.5",
        "Clip skip: 2",
        "Eta DDIM: 0.3",
        "Soft inpainting enabled: True, Soft inpainting schedule bias: 1, Soft inpainting preservation strength: 1.5",
        "Mask mode: Inpaint not masked",
        "Inpaint area: Only masked, Masked area padding: 24",
        "Masked content: latent noise",
    ):
        assert words in told


@pytest.mark.parametrize(
    ("settings_", "values"),
    [
        ("Sampler: DPM++ 2M Karras", {"scheduler": "DPMSolverMultistep", "sigmas": "karras"}),
        ("Sampler: DPM++ 2M SDE Exponential", {"scheduler": "DPM++ 2M SDE", "sigmas": "exponential"}),
        ("Sampler: Euler, Schedule type: karras", {"scheduler": "K_EULER", "sigmas": "karras"}),
        ("Sampler: Euler, Schedule type: Uniform", {"scheduler": "K_EULER", "sigmas": "default"}),
        ("Clip skip: 1", {"clip_skip": 0}),
        ("Inpaint area: Only masked", {"padding": 32}),
        ("Inpaint area: Whole picture, Masked area padding: 32", {"padding": None}),
        ("Soft inpainting enabled: True", {"soft": nb.SoftInpainting()}),
        ("Seed: 3, Batch pos: 1", {"seed": 2, "image_index": 1}),
        ("Mask mode: Inpaint masked", {"mask_invert": False}),
    ],
)
def test_what_other_tools_write_is_understood(settings_: str, values: dict[str, object]) -> None:
    params = parse_infotext(f"x\nSteps: 20, {settings_}")
    assert params == nb.Params(prompt="x", **values)  # type: ignore[arg-type]


def test_a_file_of_another_tool_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    info = PngInfo()
    info.add_text(
        "parameters",
        "a red apple,\non the grass\nNegative prompt: ugly, blurry\n"
        "Steps: 25, Sampler: DPM++ 2M, CFG scale: 6, Seed: 123, Size: 512x768, Model hash: abc, "
        'Denoising strength: 0.45, Lora hashes: "x: 1, y: 2", Version: v1.9.3',
    )
    file = tmp_path / "theirs.png"
    GREY.save(file, pnginfo=info)
    params = nb.read_params(file)
    assert params == nb.Params(
        prompt="a red apple,\non the grass",
        negative_prompt="ugly, blurry",
        steps=25,
        scheduler="DPMSolverMultistep",
        guidance_scale=6,
        seed=123,
        size=(512, 768),
        denoise=0.45,
    )


def test_what_carries_no_recipe_is_refused_in_words() -> None:
    plain = io.BytesIO()
    GREY.save(plain, "PNG")
    with pytest.raises(nb.InvalidImage, match="carries no recipe"):
        nb.read_params(plain.getvalue())
    with pytest.raises(nb.InvalidImage, match="cannot be read"):
        nb.read_params(b"nothing")
    with pytest.raises(nb.InvalidParams, match="scheduler='Restart'"):
        parse_infotext("x\nSteps: 20, Sampler: Restart")
    with pytest.raises(nb.InvalidParams, match="sigmas='Polyexponential'"):
        parse_infotext("x\nSteps: 20, Sampler: Euler, Schedule type: Polyexponential")
    with pytest.raises(nb.InvalidParams, match="no settings"):
        parse_infotext("just words")
    with pytest.raises(nb.InvalidParams, match="Size='big'"):
        parse_infotext("x\nSteps: 20, Size: big")
