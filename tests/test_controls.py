"""What the inpainting controls do inside the engine: known answers and properties, on small random models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from models import SCHEDULER
from pictures import box_mask, smooth_image
from PIL import Image

import nbinpaint as nb
from nbinpaint.blend import weight_of_change
from nbinpaint.engine import models
from nbinpaint.engine.diffusion import DiffusionEngine
from nbinpaint.engine.samplers import Sampler
from nbinpaint.engine.softness import mix, share
from nbinpaint.engine.trajectory import Trajectory

IMAGE, MASK = smooth_image(32, 32), box_mask(32, 32, (8, 8, 24, 24))
BASE = nb.Params(prompt="a cat", steps=6, size=32, guidance_scale=1, denoise=0.7, scheduler="DDIM")
STOCHASTIC = {"K_EULER_ANCESTRAL", "DPM2 a", "DPM++ SDE", "DPM++ 2M SDE", "SASolver", "DDPM", "LCM", "TCD"}


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def engine(random_model: Path) -> DiffusionEngine:
    return DiffusionEngine(models.load_model(random_model, device="cpu", dtype="float64"), rows=4)


@pytest.fixture(scope="module")
def base_engine(random_base_model: Path) -> DiffusionEngine:
    return DiffusionEngine(models.load_model(random_base_model, device="cpu", dtype="float64"), rows=4)


def start(engine: DiffusionEngine, params: nb.Params, mask: np.ndarray = MASK) -> Trajectory:
    cell = nb.Sweep(IMAGE, mask, params).cells[0]
    return Trajectory(cell, engine.plan(params).params, engine.model, engine.conditioning)


@torch.inference_mode()
def finish(engine: DiffusionEngine, trajectory: Trajectory) -> Trajectory:
    while trajectory.left:
        rows = trajectory.rows()
        trajectory.advance(engine.model.pipeline.unet(rows.latents, rows.timesteps, rows.text, return_dict=False)[0])
    return trajectory


# --- noise levels ---


def sampler(config: dict[str, Any], **recipe: Any) -> Sampler:
    return Sampler(BASE.replace(**recipe), config)


@pytest.fixture(scope="module")
def config(engine: DiffusionEngine) -> Any:
    return engine.model.pipeline.scheduler.config


@pytest.mark.parametrize("denoise", [0.1, 0.6, 1.0])
def test_equal_noise_is_equal_for_every_scheduler(config: Any, denoise: float) -> None:
    recipes = [{"scheduler": name} for name in nb.ALL_SCHEDULERS]
    recipes += [{"scheduler": "K_EULER", "sigmas": sigmas} for sigmas in ("karras", "exponential", "beta")]
    starts = [
        sampler(config, denoise=denoise, steps=20, denoise_by="noise", **recipe).sigma_start for recipe in recipes
    ]
    betas = torch.linspace(SCHEDULER["beta_start"] ** 0.5, SCHEDULER["beta_end"] ** 0.5, 1000).double() ** 2
    alpha = (1 - betas).cumprod(0)[round(denoise * 1000) - 1]
    assert starts == pytest.approx([float(((1 - alpha) / alpha) ** 0.5)] * len(starts), rel=0.01)


def test_equal_noise_runs_as_many_steps_as_equal_share(config: Any) -> None:
    for name in nb.ALL_SCHEDULERS:
        by_steps, by_noise = (
            sampler(config, scheduler=name, denoise=0.5, steps=8, denoise_by=by) for by in ("steps", "noise")
        )
        assert abs(by_steps.evaluations - by_noise.evaluations) <= 1, name


@pytest.mark.parametrize("by", ["steps", "noise"])
@pytest.mark.parametrize("name", [n for n in nb.ALL_SCHEDULERS if n not in STOCHASTIC])
def test_a_network_that_knows_the_picture_is_led_to_it(config: Any, name: str, by: str) -> None:
    """The prediction that `shift` makes stands for just these clean latents, in the scheduler's own arithmetic."""
    kinds = ["default"]
    if "use_karras_sigmas" in Sampler(BASE.replace(scheduler=name), config).scheduler.config:
        kinds.append("karras")
    generator = torch.Generator().manual_seed(0)
    wanted, noise = (torch.randn(1, 4, 4, 4, generator=generator, dtype=torch.float64) for _ in range(2))
    for kind in kinds:
        one = sampler(config, scheduler=name, denoise_by=by, sigmas=kind, steps=8, denoise=0.7)
        latents = one.add_noise(wanted, noise, 0)
        for step in range(one.evaluations):
            blank = torch.zeros_like(wanted)
            answer = one.shift(blank, step, wanted - one.clean(blank, step, latents))
            assert torch.allclose(one.clean(answer, step, latents), wanted, atol=1e-9)
            latents = one.step(answer, step, latents)
        # Some end at the schedule's smallest noise, sigma 0.03, instead of at none.
        assert (latents - wanted).abs().max() < 0.15, kind


def test_a_spacing_that_a_scheduler_lacks_is_refused_with_those_that_have_it(engine: DiffusionEngine) -> None:
    with pytest.raises(nb.InvalidParams) as error:
        engine.plan(BASE.replace(sigmas="karras"))
    for word in ("sigmas='karras'", "'DDIM'", "K_EULER", "DPMSolverMultistep"):
        assert word in str(error.value)
    assert "PNDM" not in str(error.value)


def test_several_images_of_a_seed_are_those_of_the_seeds_after_it(engine: DiffusionEngine) -> None:
    third = nb.inpaint(IMAGE, MASK, BASE.replace(seed=5, image_index=2), engine=engine)
    assert third.raw.tobytes() == nb.inpaint(IMAGE, MASK, BASE.replace(seed=7), engine=engine).raw.tobytes()
    assert third.raw.tobytes() != nb.inpaint(IMAGE, MASK, BASE.replace(seed=5), engine=engine).raw.tobytes()


# --- masked content ---


def test_latent_nothing_and_latent_noise_replace_the_masked_latents_alone(engine: DiffusionEngine) -> None:
    mask = box_mask(32, 32, (0, 0, 24, 32))
    clean = {c: start(engine, BASE.replace(masked_content=c), mask)._clean[0] for c in ("fill", "latent nothing")}
    inside = engine.conditioning.mask(start(engine, BASE, mask)._region)[0, 0] > 0
    assert (clean["latent nothing"][:, inside] == 0).all()
    assert torch.equal(clean["latent nothing"][:, ~inside], clean["fill"][:, ~inside])

    drawn = []
    for seed in range(8):
        one = start(engine, BASE.replace(masked_content="latent noise", seed=seed), mask)
        drawn.append((one._clean[0][:, inside], one._noise[0][:, inside]))
    content, noise = (torch.stack(part) for part in zip(*drawn, strict=True))
    assert float(content.mean()) == pytest.approx(0, abs=0.05)
    assert float(content.std()) == pytest.approx(1, abs=0.05)
    assert abs(np.corrcoef(content.flatten(), noise.flatten())[0, 1]) < 0.05, "independent of the start's noise"
    assert not torch.equal(content[0], content[1])


def test_fill_encodes_the_filled_picture(engine: DiffusionEngine) -> None:
    before = engine.conditioning.encodes["image"]
    filled = start(engine, BASE.replace(masked_content="fill", seed=11, mask_grow=1))
    assert engine.conditioning.encodes["image"] == before + 2  # it, and the masked picture
    original = start(engine, BASE.replace(seed=11, mask_grow=1))
    assert not torch.equal(filled._clean, original._clean)


@pytest.mark.parametrize("content", ["fill", "latent noise", "latent nothing"])
def test_at_denoise_one_masked_content_changes_nothing(engine: DiffusionEngine, content: str) -> None:
    whole = BASE.replace(denoise=1.0)
    results = [
        nb.inpaint(IMAGE, MASK, params, engine=engine).raw.tobytes()
        for params in (whole, whole.replace(masked_content=content))
    ]
    assert results[0] == results[1]


def test_conditioning_strength_shows_the_model_the_source(engine: DiffusionEngine) -> None:
    def masked(strength: float) -> torch.Tensor:
        trajectory = start(engine, BASE.replace(conditioning_mask_strength=strength))
        return engine.conditioning.masked_image(
            trajectory.cell.source, trajectory._region, strength
        )._encoded.latent_dist.mean

    region = start(engine, BASE)._region
    whole = engine.conditioning.image(nb.Sweep(IMAGE, MASK).source, region)._encoded.latent_dist.mean
    assert torch.equal(masked(0.0), whole)
    assert not torch.equal(masked(0.5), whole)
    assert not torch.equal(masked(0.5), masked(1.0))


# --- soft inpainting ---


@settings(deadline=None)
@given(painted=st.floats(0.01, 0.99), sigma=st.floats(0.05, 14), bias=st.floats(0, 4), preservation=st.floats(0.01, 4))
def test_more_paint_and_less_noise_take_more_of_the_result(
    painted: float, sigma: float, bias: float, preservation: float
) -> None:
    soft = nb.SoftInpainting(schedule_bias=bias, preservation=preservation)
    here = torch.tensor([[[[painted]]]], dtype=torch.float64)
    taken = float(share(here, sigma, soft))
    assert taken == pytest.approx(painted ** (sigma**bias * preservation))
    assert float(share(here, sigma / 2, soft)) >= taken
    assert float(share(torch.ones_like(here), sigma, soft)) == 1
    assert float(share(torch.zeros_like(here), sigma, soft)) == 0


@settings(deadline=None)
@given(taken=st.floats(0, 1), contrast=st.sampled_from([1.0, 4.0, 32.0]), seed=st.integers(0, 999))
def test_mixing_keeps_both_ends_and_lengths_in_between(taken: float, contrast: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    source, result = (torch.randn(1, 4, 3, 3, generator=generator, dtype=torch.float64) for _ in range(2))
    mixed = mix(source, result, torch.full((1, 1, 3, 3), taken, dtype=torch.float64), contrast)
    lengths = [x.norm(dim=1) for x in (source, result)]
    mean = ((1 - taken) * lengths[0] ** contrast + taken * lengths[1] ** contrast) ** (1 / contrast)
    assert torch.allclose(mixed.norm(dim=1), mean, rtol=1e-6)
    if taken in (0, 1):
        assert torch.equal(mixed, (source, result)[int(taken)])


def test_soft_inpainting_of_all_is_hard_inpainting(engine: DiffusionEngine) -> None:
    """Where everything is fully painted there is nothing to preserve."""
    mask = np.full((32, 32), 255, np.uint8)
    for scheduler in ("DDIM", "K_EULER", "Heun"):
        hard = BASE.replace(scheduler=scheduler, mask_blur=0)
        latents = [finish(engine, start(engine, p, mask)).latents for p in (hard, hard.replace(soft=True))]
        assert torch.allclose(*latents, rtol=0, atol=1e-9)


def test_soft_inpainting_leaves_what_is_not_painted_where_it_was(engine: DiffusionEngine) -> None:
    mask = box_mask(32, 32, (16, 0, 32, 32))
    done = finish(engine, start(engine, BASE.replace(soft=True, mask_blur=2, scheduler="K_EULER"), mask))
    assert torch.allclose(done.latents[..., :4], done._clean[..., :4], atol=1e-6)
    assert (done.latents[..., 12:] - done._clean[..., 12:]).abs().max() > 0.1
    weight = np.asarray(done.blend())
    assert (weight[:, :6] == 0).all()
    assert weight[:, 24:].max() > 200


@pytest.mark.parametrize("model", ["engine", "base_engine"])
def test_a_soft_result_keeps_every_byte_outside_the_feather(
    model: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    params = BASE.replace(soft=True, mask_blur=1, denoise=1.0)
    study = nb.run(
        nb.Sweep(IMAGE, MASK, params), engine=request.getfixturevalue(model), store=tmp_path / "s", progress=False
    )
    result = study[0]
    untouched = result.region.weight(1) == 0
    assert untouched.any()
    assert np.array_equal(np.asarray(result.full)[untouched], np.asarray(IMAGE)[untouched])
    again = nb.open_study(tmp_path / "s")[0]
    assert again.image.tobytes() == result.image.tobytes()
    assert again.params == result.params


def test_the_blend_shows_the_result_where_the_latents_moved() -> None:
    ones = np.ones((8, 8), np.float32)
    soft = nb.SoftInpainting()

    def weight(distance: float, **settings_: float) -> float:
        chosen = nb.SoftInpainting(**settings_) if settings_ else soft
        return float(weight_of_change(distance * ones, ones, chosen, (8, 8))[4, 4])

    assert weight(0.0) == 0
    assert weight(0.5) == pytest.approx(0.5, abs=1e-3)
    assert weight(50.0) == pytest.approx(1, abs=1e-3)
    assert weight(0.5, difference_threshold=2.0) < 0.1
    assert weight(0.6, difference_contrast=8.0) > weight(0.6) > 0.5
    assert weight(0.1, difference_threshold=0.0) == pytest.approx(1)
    assert weight_of_change(ones, ones, soft, (24, 16)).shape == (16, 24)
    faint = weight_of_change(ones, 0.1 * ones, nb.SoftInpainting(mask_influence=1.0), (8, 8))
    assert faint.max() < weight(1.0, mask_influence=1.0), "little paint wants a larger change"


# --- differential inpainting ---


@pytest.mark.parametrize("model", ["engine", "base_engine"])
def test_full_strength_is_plain_inpainting(model: str, request: pytest.FixtureRequest) -> None:
    engine = request.getfixturevalue(model)
    mask = np.full((32, 32), 255, np.uint8)
    latents = [finish(engine, start(engine, BASE.replace(differential=d), mask)).latents for d in (False, True)]
    assert torch.allclose(*latents, atol=1e-12)


@pytest.mark.parametrize("model", ["engine", "base_engine"])
def test_each_pixel_is_set_free_when_its_strength_says_so(model: str, request: pytest.FixtureRequest) -> None:
    engine = request.getfixturevalue(model)
    mask = np.zeros((32, 32), np.uint8)
    for i, strength in enumerate((0, 64, 128, 255)):
        mask[:, 8 * i : 8 * i + 8] = strength
    trajectory = start(engine, BASE.replace(differential=True, steps=8, denoise=1.0), mask)
    free_from: dict[int, int] = {}
    with torch.inference_mode():
        while trajectory.left:
            held = trajectory._sampler.add_noise(trajectory._clean, trajectory._noise, trajectory.done)
            moved = (trajectory.latents - held).abs().amax((0, 1, 2)) > 1e-9
            for band in range(4):
                if moved[4 * band : 4 * band + 4].all():
                    free_from.setdefault(band, trajectory.done)
            rows = trajectory.rows()
            out = engine.model.pipeline.unet(rows.latents, rows.timesteps, rows.text, return_dict=False)[0]
            trajectory.advance(out)
    assert free_from == {3: 0, 2: 4, 1: 6}, "of 8 evaluations, after none, a half and three quarters"
    assert torch.allclose(trajectory.latents[..., :4], trajectory._clean[..., :4])


def test_a_study_of_grey_keeps_its_mask(engine: DiffusionEngine, tmp_path: Path) -> None:
    ramp = Image.fromarray(np.tile(np.arange(0, 256, 8, dtype=np.uint8), (32, 1)))
    sweep = nb.Sweep(IMAGE, ramp, BASE, differential=[False, True])
    study = nb.run(sweep, engine=engine, store=tmp_path / "grey", progress=False)
    assert study[0].raw.tobytes() != study[1].raw.tobytes()
    again = nb.open_study(tmp_path / "grey")
    assert np.array_equal(again.sweep.source.mask, np.asarray(ramp))
    assert [r.image.tobytes() for r in again] == [r.image.tobytes() for r in study]


def test_every_scheduler_runs_every_way(engine: DiffusionEngine) -> None:
    recipe = BASE.replace(denoise=0.6, steps=5, soft=True, masked_content="latent noise", denoise_by="noise")
    sweep = nb.Sweep(IMAGE, MASK, recipe.replace(differential=True), scheduler=nb.ALL_SCHEDULERS)
    study = nb.run(sweep, engine=engine, progress=False)
    assert not study.failures
