"""The recipe in a picture's text chunks."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

import nbinpaint as nb
from nbinpaint.metadata import infotext, parse_infotext, png_bytes

GREY = Image.new("RGB", (8, 8), "grey")
TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=40)


@settings(deadline=None)
@given(
    prompt=TEXT,
    negative=TEXT,
    scheduler=st.sampled_from(nb.ALL_SCHEDULERS),
    denoise=st.floats(0, 1),
    seed=st.integers(0, 2**53 - 1),
    size=st.sampled_from([None, (64, 96)]),
)
def test_the_exact_recipe_is_read_back(
    prompt: str, negative: str, scheduler: str, denoise: float, seed: int, size: tuple[int, int] | None
) -> None:
    params = nb.Params(
        prompt=prompt, negative_prompt=negative, scheduler=scheduler, denoise=denoise, seed=seed, size=size
    )
    assert nb.read_params(png_bytes(GREY, params, {})) == params


def test_the_infotext_is_what_other_tools_show() -> None:
    params = nb.Params(
        prompt="a red apple", negative_prompt="blur", scheduler="K_EULER_ANCESTRAL", denoise=0.6, seed=7, size=128
    )
    assert infotext(params, "my: model") == (
        "a red apple\nNegative prompt: blur\n"
        "Steps: 20, Sampler: Euler a, CFG scale: 7.5, Seed: 7, Size: 128x128, "
        'Model: "my: model", Denoising strength: 0.6, Mask blur: 4, Resize mode: Crop and resize'
    )


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


@pytest.mark.parametrize("scheduler", nb.ALL_SCHEDULERS)
def test_infotext_alone_gives_the_scheduler_back(scheduler: str) -> None:
    params = nb.Params(prompt="x", scheduler=scheduler, denoise=0.5, size=64, resize_mode="fill")
    assert parse_infotext(infotext(params)) == params


def test_what_carries_no_recipe_is_refused_in_words() -> None:
    plain = io.BytesIO()
    GREY.save(plain, "PNG")
    with pytest.raises(nb.InvalidImage, match="carries no recipe"):
        nb.read_params(plain.getvalue())
    with pytest.raises(nb.InvalidImage, match="cannot be read"):
        nb.read_params(b"nothing")
    with pytest.raises(nb.InvalidParams, match="scheduler='Restart'"):
        parse_infotext("x\nSteps: 20, Sampler: Restart")
    with pytest.raises(nb.InvalidParams, match="no settings"):
        parse_infotext("just words")
    with pytest.raises(nb.InvalidParams, match="Size='big'"):
        parse_infotext("x\nSteps: 20, Size: big")
