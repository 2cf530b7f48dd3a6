"""What only a CUDA device can show: half precision, graphs, compiled blocks, and a loop that never waits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from unittest import mock

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image

import nbinpaint as nb
from nbinpaint.engine.base import Failed, Finished
from nbinpaint.engine.decode import Decoder
from nbinpaint.engine.denoiser import Denoiser
from nbinpaint.engine.diffusion import DiffusionEngine
from nbinpaint.engine.models import Model, load_model
from nbinpaint.engine.trajectory import Trajectory
from nbinpaint.region import region_of
from nbinpaint.schedulers import SCHEDULER_TABLE

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

SCENE = nb.sample("meadow")
BASE = nb.Params(prompt="a red apple", steps=12, resize_mode="stretch", mask_blur=0, size=128)


@pytest.fixture(scope="module")
def half() -> Model:
    return load_model("embedded", device="cuda", dtype="float16")


@pytest.fixture(scope="module")
def single() -> Model:
    return load_model("embedded", device="cuda", dtype="float32")


def finals(engine: DiffusionEngine, cells: Sequence[nb.GridCell]) -> list[torch.Tensor]:
    """The latents that each grid cell ended with, float64 on the CPU, in the order of the cells."""
    found: dict[int, torch.Tensor] = {}

    def keep(self: Decoder[Trajectory], trajectory: Trajectory, latents: torch.Tensor) -> None:
        found[trajectory.cell.index] = latents.double().cpu()

    with mock.patch.object(Decoder, "add", keep):
        assert not [event for event in engine.run(cells) if isinstance(event, Failed)]
    return [found[cell.index] for cell in cells]


def pipeline_finals(model: Model, cells: Sequence[nb.GridCell], together: bool) -> list[torch.Tensor]:
    """The latents of diffusers' own pipeline, which batches cells of one scheduler with noise drawn per cell."""
    pipeline, first = model.pipeline, cells[0].params
    region = region_of(cells[0].source, first)
    image = region.placement.image(cells[0].source.image)
    mask = Image.fromarray(region.placement.mask(region.mask))
    info = SCHEDULER_TABLE[first.scheduler]
    own = pipeline.scheduler
    shape = (1, model.latent_channels, first.size[1] // model.factor, first.size[0] // model.factor)
    found: list[torch.Tensor] = []
    try:
        for group in [cells] if together else [[cell] for cell in cells]:
            pipeline.scheduler = getattr(diffusers, info.cls).from_config(own.config, **info.overrides)
            noise = [torch.randn(shape, generator=torch.Generator().manual_seed(c.params.seed)) for c in group]
            out = pipeline(
                [c.params.prompt for c in group],
                image=[image] * len(group),
                mask_image=[mask] * len(group),
                negative_prompt=[""] * len(group),
                width=first.size[0],
                height=first.size[1],
                strength=1.0,
                num_inference_steps=first.steps,
                guidance_scale=first.guidance_scale,
                latents=torch.cat(noise).to(model.device, model.dtype),
                # One generator for the masked image: the same for every row, batched or not.
                generator=torch.Generator().manual_seed(0),
                output_type="latent",
            ).images
            found += list(out.double().cpu().split(1))
    finally:
        pipeline.scheduler = own
    return found


def error(some: Sequence[torch.Tensor], others: Sequence[torch.Tensor]) -> float:
    """Root mean square of the difference over all cells."""
    return float(torch.cat([(a - b).flatten() for a, b in zip(some, others, strict=True)]).square().mean().sqrt())


@pytest.mark.parametrize("scheduler", ["DDIM", "K_EULER", "DPMSolverMultistep", "PNDM"])
def test_half_precision_differs_no_more_than_diffusers_own_batches_do(half: Model, scheduler: str) -> None:
    """Against itself at one cell a call, in batches: at most twice diffusers' batch-1 to batch-N error."""
    sweep = nb.Sweep(SCENE.image, SCENE.mask, BASE.replace(scheduler=scheduler), seed=range(8))
    own = error(pipeline_finals(half, sweep.cells, True), pipeline_finals(half, sweep.cells, False))
    ours = error(
        finals(DiffusionEngine(half, rows=16), sweep.cells), finals(DiffusionEngine(half, rows=2), sweep.cells)
    )
    assert ours <= 2 * own + 1e-6


@pytest.mark.parametrize("scheduler", ["DDIM", "K_EULER", "DPMSolverMultistep", "PNDM"])
def test_half_precision_stays_as_near_the_oracle(half: Model, scheduler: str) -> None:
    """Batched here against diffusers' single calls, same generator for everything."""
    sweep = nb.Sweep(SCENE.image, SCENE.mask, BASE.replace(scheduler=scheduler), seed=range(8))
    own = error(pipeline_finals(half, sweep.cells, True), pipeline_finals(half, sweep.cells, False))
    oracle = []
    kept = half.pipeline.scheduler
    info = SCHEDULER_TABLE[scheduler]
    for cell in sweep.cells:
        region = region_of(cell.source, cell.params)
        half.pipeline.scheduler = getattr(diffusers, info.cls).from_config(kept.config, **info.overrides)
        try:
            out = half.pipeline(
                cell.params.prompt,
                image=region.placement.image(cell.source.image),
                mask_image=Image.fromarray(region.placement.mask(region.mask)),
                negative_prompt="",
                width=128,
                height=128,
                strength=1.0,
                num_inference_steps=cell.params.steps,
                guidance_scale=cell.params.guidance_scale,
                generator=torch.Generator().manual_seed(cell.params.seed),
                output_type="latent",
            ).images
        finally:
            half.pipeline.scheduler = kept
        oracle.append(out.double().cpu())
    assert error(finals(DiffusionEngine(half, rows=16), sweep.cells), oracle) <= 2 * own + 1e-6


@pytest.fixture(scope="module")
def mixed() -> nb.Sweep:
    return nb.Sweep(
        SCENE.image, SCENE.mask, BASE, scheduler=["DDIM", "PNDM", "K_EULER"], denoise=[0.5, 1.0], guidance_scale=[1, 5]
    )


@pytest.mark.parametrize("options", [{"graphs": True}, {"compile": True}, {"compile": True, "graphs": True}])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_graphs_and_compiled_blocks_compute_the_same(single: Model, mixed: nb.Sweep, options: dict[str, bool]) -> None:
    eager = finals(DiffusionEngine(single, rows=7), mixed.cells)
    other = finals(DiffusionEngine(single, rows=7, **options), mixed.cells)
    scale = max(float(latents.abs().max()) for latents in eager)
    for ours, expected in zip(other, eager, strict=True):
        assert torch.allclose(ours, expected, rtol=0, atol=1e-2 * scale)


@pytest.fixture
def no_waiting() -> Iterator[None]:
    """Let every hidden wait for the device inside a step be an error."""
    advance = Denoiser.advance

    def strict(self: Denoiser, *args: object) -> object:
        torch.cuda.set_sync_debug_mode("error")
        try:
            return advance(self, *args)  # type: ignore[arg-type]
        finally:
            torch.cuda.set_sync_debug_mode("default")

    with mock.patch.object(Denoiser, "advance", strict):
        yield


@pytest.mark.usefixtures("no_waiting")
@pytest.mark.parametrize("graphs", [False, True])
@pytest.mark.parametrize("scheduler", [s for s in nb.SCHEDULERS if s != "K_EULER_ANCESTRAL"])
def test_no_step_waits_for_the_device(half: Model, scheduler: str, graphs: bool) -> None:
    """All but samplers whose noise is drawn on the CPU in each step, which has to be copied from there."""
    engine = DiffusionEngine(half, rows=8, graphs=graphs)
    warm = nb.Sweep(SCENE.image, SCENE.mask, BASE.replace(scheduler="DDIM", steps=2), seed=range(4))
    with mock.patch("torch.cuda.set_sync_debug_mode"):
        list(engine.run(warm.cells))  # loads kernels and captures graphs, which may wait
    sweep = nb.Sweep(SCENE.image, SCENE.mask, BASE.replace(scheduler=scheduler), denoise=[0.5, 1.0], seed=range(4))
    failures = [event.failure.message for event in engine.run(sweep.cells) if isinstance(event, Failed)]
    assert not failures


def test_pictures_decoded_beside_the_denoising_are_the_same(single: Model) -> None:
    """Cells end one after the other while others go on, in batches and alone."""
    sweep = nb.Sweep(SCENE.image, SCENE.mask, BASE, steps=[3, 5, 8, 12, 20], seed=[1, 2])
    together = {
        e.cell.index: e.result.raw
        for e in DiffusionEngine(single, rows=8).run(sweep.cells)
        if isinstance(e, Finished)
    }  # fmt: skip
    assert len(together) == len(sweep)
    for cell in sweep.cells:
        alone = nb.inpaint(SCENE.image, SCENE.mask, cell.params, engine=DiffusionEngine(single, rows=2)).raw
        assert np.abs(np.asarray(alone, int) - np.asarray(together[cell.index], int)).max() <= 3


def test_encoders_really_leave_the_device(tmp_path: Path) -> None:
    engine = DiffusionEngine(load_model("embedded", device="cuda", dtype="float16"), rows=4, offload=True)
    before = torch.cuda.memory_allocated()
    study = nb.run(nb.Sweep(SCENE.image, SCENE.mask, BASE, seed=[1, 2, 3]), engine=engine, progress=False)
    assert not study.failures
    assert next(engine.model.pipeline.text_encoder.parameters()).device.type == "cpu"
    assert next(engine.model.pipeline.vae.decoder.parameters()).device.type == "cuda"
    assert torch.cuda.memory_allocated() < before + 2**20
    again = nb.run(nb.Sweep(SCENE.image, SCENE.mask, BASE, prompt=["a blue ball"]), engine=engine, progress=False)
    assert not again.failures
