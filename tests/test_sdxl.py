"""SDXL in the batched engine against diffusers' own pipeline, cell by cell, in float64 on the CPU."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from families import sdxl
from pictures import box_mask, smooth_image
from PIL import Image

import nbinpaint as nb
from nbinpaint.engine import decode
from nbinpaint.engine.denoiser import Denoiser
from nbinpaint.engine.diffusion import DiffusionEngine
from nbinpaint.engine.models import Model
from nbinpaint.engine.preview import Preview
from nbinpaint.engine.trajectory import Trajectory
from nbinpaint.schedulers import SCHEDULER_TABLE

SOURCE = nb.Sweep(smooth_image(48, 40), box_mask(48, 40, (8, 8, 32, 32))).source
BASE = nb.Params(prompt="a red apple", negative_prompt="blur", steps=4, resize_mode="stretch", size=(48, 40))
SCHEDULERS = (*nb.SCHEDULERS, "Heun", "UniPC", "DPM2 a", "SASolver")
EXACT = functools.partial(torch.allclose, rtol=0, atol=1e-9)


pytestmark = pytest.mark.usefixtures("one_thread")


def engine_of(pipeline: Any, dtype: torch.dtype = torch.float64, rows: int = 7) -> DiffusionEngine:
    pipeline.set_progress_bar_config(disable=True)
    return DiffusionEngine(Model("sdxl", pipeline.to(dtype), torch.device("cpu"), dtype), rows)


def cells(*recipes: nb.Params) -> tuple[nb.GridCell, ...]:
    return tuple(nb.GridCell(i, {}, params, SOURCE) for i, params in enumerate(recipes))


def finished(engine: DiffusionEngine, planned: tuple[nb.GridCell, ...]) -> Iterator[Trajectory]:
    """Run grid cells through the batched loop, new ones joining as others leave."""
    denoiser, waiting, active = Denoiser(engine.model, 7), list(planned), []
    while waiting or active:
        while waiting and (not active or denoiser.room(active) >= 2):
            cell = waiting.pop()
            active.append(Trajectory(cell, engine.plan(cell.params).params, engine.model, engine.conditioning))
        assert not denoiser.advance(active)
        yield from (t for t in active if not t.left)
        active = [t for t in active if t.left]


def oracle(pipeline: Any, params: nb.Params, output: str = "pt") -> tuple[torch.Tensor, Any]:
    """Latents and decoded picture of one call of diffusers' pipeline."""
    info = SCHEDULER_TABLE[params.scheduler]
    own, latents = pipeline.scheduler, {}

    def keep(pipe: Any, i: int, t: Any, values: dict[str, Any]) -> dict[str, Any]:
        latents["last"] = values["latents"]
        return values

    try:
        pipeline.scheduler = getattr(diffusers, info.cls).from_config(own.config, **info.overrides)
        (decoded,) = pipeline(
            prompt=params.prompt,
            negative_prompt=params.negative_prompt or None,
            image=SOURCE.image,
            mask_image=Image.fromarray(SOURCE.mask),
            width=params.size[0],
            height=params.size[1],
            num_inference_steps=params.steps,
            strength=params.denoise,
            guidance_scale=params.guidance_scale,
            clip_skip=params.clip_skip or None,
            generator=torch.Generator("cpu").manual_seed(params.seed),
            output_type=output,
            callback_on_step_end=keep,
        ).images
    finally:
        pipeline.scheduler = own
    return latents["last"], decoded


def assert_equal(engine: DiffusionEngine, trajectory: Trajectory) -> None:
    latents, decoded = oracle(engine.model.pipeline, trajectory.params)
    assert torch.allclose(trajectory.latents, latents, rtol=0, atol=1e-9 * max(float(latents.abs().max()), 1))
    assert EXACT((decode.pixels(engine.model, trajectory.latents)[0] / 2 + 0.5).clamp(0, 1), decoded)


@pytest.mark.parametrize("channels", [9, 4])
def test_mixed_batches_equal_diffusers(channels: int) -> None:
    engine = engine_of(sdxl(channels))
    grid = itertools.product(SCHEDULERS, (0.3, 1.0) if channels == 9 else (0.75,))
    planned = cells(
        *(
            BASE.replace(scheduler=s, denoise=d, guidance_scale=(1, 7.5)[i // 2 % 2], seed=i)
            for i, (s, d) in enumerate(grid)
        )
    )
    done = list(finished(engine, planned))
    assert len(done) == len(planned)
    for trajectory in done:
        assert_equal(engine, trajectory)


@pytest.mark.parametrize("guidance", [1, 7.5])
@pytest.mark.parametrize(
    ("options", "changes"),
    [
        ({}, {"negative_prompt": ""}),
        ({"zeros": False}, {"negative_prompt": ""}),
        ({}, {"clip_skip": 1}),
        ({}, {"size": (24, 40)}),
        ({"scored": True}, {}),
        ({"force_upcast": False}, {"denoise": 0.5}),
        ({"latents_mean": [0.1, -0.2, 0.3, 0.0], "latents_std": [0.5, 1.5, 1.0, 2.0]}, {"denoise": 0.5}),
    ],
)
def test_what_makes_sdxl_its_own_equals_diffusers(
    options: dict[str, Any], changes: dict[str, Any], guidance: float
) -> None:
    engine = engine_of(sdxl(**options))
    (trajectory,) = finished(engine, cells(BASE.replace(scheduler="K_EULER", guidance_scale=guidance, **changes)))
    assert_equal(engine, trajectory)


def test_an_empty_negative_prompt_is_zeros_only_where_the_model_says_so() -> None:
    empty = BASE.replace(negative_prompt="", guidance_scale=5)
    zeros, words = (engine_of(sdxl(zeros=z)).conditioning.text(empty) for z in (True, False))
    assert not zeros.tokens[0].any()
    assert not zeros.added["text_embeds"][0].any()
    assert words.tokens[0].any()


def test_raw_is_the_pipelines_picture_and_there_is_no_safety_checker() -> None:
    engine = engine_of(sdxl())
    result = nb.inpaint(SOURCE.image, SOURCE.mask, BASE, engine=engine)
    _, expected = oracle(engine.model.pipeline, BASE, "pil")
    assert np.array_equal(np.asarray(result.raw), np.asarray(expected))
    assert not result.flagged


def test_a_watermark_that_the_pipeline_adds_is_in_the_picture() -> None:
    class Flip:
        def apply_watermark(self, values: torch.Tensor) -> torch.Tensor:
            return -values

    engine = engine_of(sdxl())
    plain = nb.inpaint(SOURCE.image, SOURCE.mask, BASE, engine=engine)
    engine.model.pipeline.watermark = Flip()
    marked = nb.inpaint(SOURCE.image, SOURCE.mask, BASE, engine=engine)
    assert np.abs(np.asarray(marked.raw, int) + np.asarray(plain.raw) - 255).max() <= 1


@pytest.mark.filterwarnings("ignore:.upcast_vae. is deprecated:FutureWarning")  # what the pipeline itself calls
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_vae_that_overflows_in_half_precision_runs_in_single(dtype: torch.dtype) -> None:
    engine = engine_of(sdxl(), dtype)
    params = BASE.replace(scheduler="K_EULER", denoise=0.6, guidance_scale=1)
    (trajectory,) = finished(engine, cells(params))
    latents, decoded = oracle(engine.model.pipeline, params)
    assert torch.allclose(trajectory.latents, latents, atol=0.1)
    assert torch.equal((decode.pixels(engine.model, latents)[0] / 2 + 0.5).clamp(0, 1), decoded)
    assert engine.model.pipeline.vae.dtype == dtype
    assert decode.pixels(engine.model, latents).dtype == (torch.float32 if dtype == torch.float16 else dtype)


def test_what_is_known_of_an_sdxl_model() -> None:
    nine, four = engine_of(sdxl()), engine_of(sdxl(4))
    assert (nine.model.latent_channels, nine.model.unet_channels, nine.model.factor) == (4, 9, 2)
    assert (nine.model.size_multiple, nine.native_size, four.model.unet_channels) == (4, (32, 32), 4)
    assert nine.fingerprint == engine_of(sdxl()).fingerprint != four.fingerprint
    other = sdxl()
    torch.nn.init.ones_(other.text_encoder_2.text_projection.weight)
    assert len({nine.fingerprint, engine_of(other).fingerprint, engine_of(sdxl(zeros=False)).fingerprint}) == 3


def test_previews_undo_what_the_vae_makes_of_latents() -> None:
    """A preview of an encoded picture does not depend on the numbers in which a VAE keeps its latents."""
    plain = engine_of(sdxl()).model
    scaled = engine_of(sdxl(latents_mean=[0.1, -0.2, 0.3, 0.0], latents_std=[0.5, 1.5, 1.0, 2.0])).model
    latents = torch.linspace(-2, 2, 4 * 64, dtype=torch.float64).view(1, 4, 8, 8)
    mean, std = (torch.tensor(v).view(1, 4, 1, 1) for v in ([0.1, -0.2, 0.3, 0.0], [0.5, 1.5, 1.0, 2.0]))
    factor = plain.pipeline.vae.config.scaling_factor
    same = (latents / factor - mean) * factor / std
    pictures = [
        np.asarray(Preview(m).start({0: z}).pictures()[0](), int) for m, z in ((plain, latents), (scaled, same))
    ]
    assert np.abs(pictures[0] - pictures[1]).max() <= 1


def test_a_pipeline_of_no_known_family_is_refused_with_what_runs_it() -> None:
    pipeline = sdxl()
    pipeline.unet.register_to_config(addition_embed_type="image")
    with pytest.raises(nb.ModelError, match=r"SD 1\.x.*SDXL.*PipelineEngine"):
        engine_of(pipeline).model.family  # noqa: B018
