"""The engine against diffusers' own pipeline, cell by cell, in float64 on the CPU."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from pictures import box_mask, smooth_image

import nbinpaint as nb
from nbinpaint.engine.decode import pixels
from nbinpaint.engine.denoiser import Denoiser
from nbinpaint.engine.diffusion import DiffusionEngine
from nbinpaint.engine.trajectory import Trajectory
from nbinpaint.schedulers import SCHEDULER_TABLE

DENOISE = (0.15, 0.3, 0.5, 0.75, 0.99, 1.0)
STEPS = 10
# These compute parts of a step in float32 themselves, whatever the latents are.
SINGLE_PRECISION = {"DPM++ SDE": 1e-6}


pytestmark = pytest.mark.usefixtures("one_thread")


def cells_for(scheduler: str) -> tuple[nb.GridCell, ...]:
    """Every denoise value with both kinds of guidance; sizes and seeds alternate."""
    image = smooth_image(48, 40)
    mask = box_mask(48, 40, (8, 8, 32, 32))
    base = nb.Params(
        prompt="a red apple", negative_prompt="blur", scheduler=scheduler, steps=STEPS, resize_mode="stretch"
    )
    grid = itertools.product(DENOISE, (1.0, 7.5))
    variants = [
        base.replace(denoise=d, guidance_scale=g, seed=3 * i, size=((48, 40), (24, 40))[i // 2 % 2])
        for i, (d, g) in enumerate(grid)
    ]
    source = nb.Sweep(image, mask, base).source
    return tuple(nb.GridCell(i, {}, p, source) for i, p in enumerate(variants))


def oracle(pipeline: Any, cell: nb.GridCell, output: str = "pt") -> tuple[torch.Tensor, Any]:
    """Latents and decoded pictures of one call of diffusers' pipeline."""
    p = cell.params
    info = SCHEDULER_TABLE[p.scheduler]
    overrides = dict(info.overrides) | ({info.seed_field: p.seed} if info.seed_field else {})
    if p.sigmas != "default":
        overrides[f"use_{p.sigmas}_sigmas"] = True
    own = pipeline.scheduler
    latents = {}

    def keep(pipe: Any, i: int, t: Any, values: dict[str, Any]) -> dict[str, Any]:
        latents["last"] = values["latents"]
        return values

    try:
        pipeline.scheduler = getattr(diffusers, info.cls).from_config(own.config, **overrides)
        decoded = pipeline(
            prompt=p.prompt,
            negative_prompt=p.negative_prompt,
            image=cell.source.image,
            mask_image=nb.load_image(cell.source.mask).convert("L"),
            width=p.size[0],
            height=p.size[1],
            num_inference_steps=p.steps,
            strength=p.denoise,
            guidance_scale=p.guidance_scale,
            eta=p.eta,
            generator=torch.Generator("cpu").manual_seed(p.seed),
            output_type=output,
            callback_on_step_end=keep,
        ).images
    finally:
        pipeline.scheduler = own
    return latents["last"], decoded


def trajectories(engine: DiffusionEngine, cells: tuple[nb.GridCell, ...], most_rows: int) -> Iterator[Trajectory]:
    """Run cells of mixed sizes through the batched loop and yield them finished."""
    for _, group in itertools.groupby(sorted(cells, key=lambda c: c.params.size), key=lambda c: c.params.size):
        denoiser = Denoiser(engine.model, most_rows)
        waiting = list(group)
        active: list[Trajectory] = []
        while waiting or active:
            while waiting and (not active or denoiser.room(active) >= 2):
                cell = waiting.pop()
                active.append(Trajectory(cell, engine.plan(cell.params).params, engine.model, engine.conditioning))
            failed = denoiser.advance(active)
            assert not failed
            yield from (t for t in active if not t.left)
            active = [t for t in active if t.left]


@pytest.mark.parametrize("channels", [9, 4])
@pytest.mark.parametrize("scheduler", nb.ALL_SCHEDULERS)
def test_every_scheduler_equals_diffusers(scheduler: str, channels: int, request: pytest.FixtureRequest) -> None:
    folder: Path = request.getfixturevalue("random_model" if channels == 9 else "random_base_model")
    engine = nb.load_engine(folder, device="cpu", dtype="float64")
    pipeline = engine.model.pipeline
    tolerance = SINGLE_PRECISION.get(scheduler, 1e-9)
    cells = cells_for(scheduler)
    seen = 0
    for trajectory in trajectories(engine, cells, most_rows=7):
        latents, decoded = oracle(pipeline, trajectory.cell)
        scale = float(latents.abs().max())
        assert torch.allclose(trajectory.latents, latents, rtol=0, atol=tolerance * max(scale, 1))
        ours = (pixels(engine.model, trajectory.latents) / 2 + 0.5).clamp(0, 1)
        assert torch.allclose(ours, decoded, rtol=0, atol=tolerance)
        assert trajectory.evaluations == len(trajectory._sampler.timesteps)
        seen += 1
    assert seen == len(cells)


@pytest.mark.parametrize("sigmas", ["karras", "exponential", "beta"])
@pytest.mark.parametrize("scheduler", ["K_EULER", "DPMSolverMultistep", "KLMS", "Heun", "UniPC", "DPM++ 2M SDE"])
def test_sigma_spacings_equal_diffusers(scheduler: str, sigmas: str, random_model: Path) -> None:
    check_equal(random_model, [{"scheduler": scheduler, "sigmas": sigmas, "denoise": d} for d in (0.3, 1.0)])


@pytest.mark.parametrize("scheduler", ["DDIM", "TCD"])
def test_eta_equals_diffusers(scheduler: str, random_model: Path) -> None:
    check_equal(random_model, [{"scheduler": scheduler, "eta": eta} for eta in (0.0, 0.4, 1.0)])


def check_equal(folder: Path, changes: list[dict[str, Any]]) -> None:
    """Recipes that differ from a plain one, together in one batch, each against the pipeline."""
    engine = nb.load_engine(folder, device="cpu", dtype="float64")
    plain = cells_for("DDIM")[7]
    recipes = [plain.params.replace(**change) for change in changes]
    cells = tuple(nb.GridCell(i, {}, recipe, plain.source) for i, recipe in enumerate(recipes))
    for trajectory in trajectories(engine, cells, most_rows=6):
        latents, _ = oracle(engine.model.pipeline, trajectory.cell)
        assert torch.allclose(trajectory.latents, latents, rtol=0, atol=1e-9 * max(float(latents.abs().max()), 1))


@pytest.mark.parametrize("scheduler", ["DDIM", "K_EULER_ANCESTRAL", "PNDM"])
def test_raw_is_the_pipelines_picture(scheduler: str, random_model: Path) -> None:
    engine = nb.load_engine(random_model, device="cpu", dtype="float64")
    for cell in cells_for(scheduler)[::5]:
        result = nb.inpaint(cell.source.image, cell.source.mask, cell.params, engine=engine)
        _, (expected,) = oracle(engine.model.pipeline, cell, "pil")
        assert np.array_equal(np.asarray(result.raw), np.asarray(expected))


@pytest.mark.parametrize("scheduler", ["DPMSolverMultistep", "PNDM", "Heun"])
def test_the_embedded_model_equals_diffusers(scheduler: str) -> None:
    engine = nb.load_engine("embedded", device="cpu", dtype="float32")
    sample = nb.sample()
    base = nb.Params(prompt=sample.prompt, scheduler=scheduler, steps=6, resize_mode="stretch", size=128, seed=4)
    mask = np.asarray(nb.load_image(sample.mask).resize((128, 128)).convert("L"))
    aligned = np.kron(mask[::8, ::8] > 127, np.ones((8, 8), bool))
    image = sample.image.resize((128, 128))
    for denoise in (0.5, 1.0):
        cell = nb.Sweep(image, aligned, base.replace(denoise=denoise)).cells[0]
        result = nb.inpaint(image, aligned, cell.params, engine=engine)
        _, decoded = oracle(engine.model.pipeline, cell)
        difference = np.asarray(result.raw) / 255 - decoded[0].permute(1, 2, 0).numpy()
        assert np.abs(difference).max() < 0.5 / 255 + 1e-3
