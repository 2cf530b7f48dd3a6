"""Batches of any order and size: always the same pictures, few calls, rows as many as pay and fit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from recipes import BASE, IMAGE, MASK, mixed

import nbinpaint as nb
from nbinpaint.engine import models
from nbinpaint.engine.base import Cancel, Failed, Finished
from nbinpaint.engine.batch import Waiting
from nbinpaint.engine.decode import Decoder
from nbinpaint.engine.diffusion import DiffusionEngine
from nbinpaint.engine.network import Inputs, Network
from nbinpaint.engine.trajectory import Trajectory

pytestmark = pytest.mark.usefixtures("one_thread")


def finals(engine: DiffusionEngine, cells: Sequence[nb.GridCell]) -> dict[int, torch.Tensor]:
    """The latents that each grid cell ended with."""
    found: dict[int, torch.Tensor] = {}

    def keep(self: Decoder[Trajectory], trajectory: Trajectory, latents: torch.Tensor) -> None:
        found[trajectory.cell.index] = latents

    with mock.patch.object(Decoder, "add", keep):
        assert not [e for e in engine.run(cells) if isinstance(e, Failed)]
    return found


@pytest.fixture(scope="module")
def alone(random_model: Path) -> tuple[models.Model, nb.Sweep, dict[int, torch.Tensor]]:
    """A model, a sweep of many kinds, and the latents of each grid cell run for itself."""
    model = models.load_model(random_model, device="cpu", dtype="float64")
    base = BASE.replace(steps=4)
    schedulers = ["DDIM", "PNDM", "K_EULER_ANCESTRAL", "DPMSolverMultistep", "KLMS"]
    sweep = nb.Sweep(IMAGE, MASK, base, scheduler=schedulers, denoise=[0.5, 1.0], guidance_scale=[1, 4])
    engine = DiffusionEngine(model, rows=2)
    found: dict[int, torch.Tensor] = {}
    for cell in sweep.cells:
        found |= finals(engine, [cell])
    return model, sweep, found


@given(data=st.data(), rows=st.integers(1, 24))
@settings(max_examples=12, deadline=None)
def test_any_order_and_any_batch_size_give_the_same(
    alone: tuple[models.Model, nb.Sweep, dict[int, torch.Tensor]], data: st.DataObject, rows: int
) -> None:
    model, sweep, expected = alone
    cells = data.draw(st.lists(st.sampled_from(sweep.cells), min_size=1, max_size=10, unique_by=lambda c: c.index))
    together = finals(DiffusionEngine(model, rows=rows), cells)
    assert sorted(together) == sorted(c.index for c in cells)
    for index, latents in together.items():
        assert torch.allclose(latents, expected[index], rtol=0, atol=1e-9)


def test_mixed_denoise_keeps_the_batch_full(engine: DiffusionEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three grid cells and more for every slot; one that fails on the way changes nothing about it."""
    used: list[int] = []

    def instant(self: Network, inputs: Inputs) -> torch.Tensor:
        used.append(len(inputs.latents))
        return inputs.latents[:, :4]

    monkeypatch.setattr(Network, "__call__", instant)
    sweep = nb.Sweep(
        IMAGE,
        MASK,
        BASE.replace(steps=20),
        denoise=[0.2, 0.4, 0.6, 0.8, 1.0],
        scheduler=["DDIM", "PNDM"],
        seed=[1, 2, 3],
    )
    study = nb.run(sweep, engine=DiffusionEngine(engine.model, rows=20), progress=False)
    assert len(study.results) == 30
    assert sum(used) == 2 * sum(r.evaluations for r in study)
    assert sum(used) / (20 * len(used)) >= 0.95


def test_short_ones_end_first(engine: DiffusionEngine) -> None:
    sweep = nb.Sweep(IMAGE, MASK, BASE, denoise=[1.0, 0.5, 0.8, 0.2], seed=[1, 2])
    ended = [e.result.steps_run for e in engine.run(sweep.cells) if isinstance(e, Finished)]
    assert ended == [1, 1, 3, 3, 4, 4, 6, 6]


def test_rows_that_did_not_fit_are_not_tried_again(engine: DiffusionEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    call = Network._call

    def small(self: Network, inputs: Inputs) -> torch.Tensor:
        sizes.append(len(inputs.latents))
        if len(inputs.latents) > 2:
            raise torch.OutOfMemoryError("out of memory")
        return call(self, inputs)

    monkeypatch.setattr(Network, "_call", small)
    sweep = nb.Sweep(IMAGE, MASK, BASE, seed=[1, 2, 3, 4])
    assert not nb.run(sweep, engine=engine, progress=False).failures
    assert max(sizes) == 6
    sizes.clear()
    assert not nb.run(sweep, engine=engine, progress=False).failures
    assert max(sizes) == 2


def test_the_row_count_is_measured_once_and_remembered(
    random_model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    probed = []
    monkeypatch.setattr(Network, "probe", lambda self, rows, size, text: probed.append((rows, size)))
    model = models.load_model(random_model, device="cpu", dtype="float64")
    long = nb.Sweep(IMAGE, MASK, BASE.replace(steps=20), seed=range(8))

    def waiting(engine: DiffusionEngine, sweep: nb.Sweep) -> list[Waiting]:
        return [Waiting(cell, engine.plan(cell.params)) for cell in sweep.cells]

    def rows(sweep: nb.Sweep, given: int | None = None) -> int:
        engine = DiffusionEngine(model, given)
        return engine.rows((32, 32), waiting(engine, sweep))

    assert rows(nb.Sweep(IMAGE, MASK, BASE)) == 16  # a single picture: nothing to choose
    assert rows(long, given=6) == 6
    assert not probed
    assert 2 <= rows(long) <= 16
    assert {size for _, size in probed} == {(32, 32)}
    assert max(count for count, _ in probed) <= 16  # sixteen hold all eight of them
    probed.clear()
    first = rows(long)
    assert rows(long) == first
    assert not [count for count, _ in probed if count <= 2]
    assert list(tmp_path.rglob("rows.json"))


def test_measuring_that_runs_out_of_memory_is_heeded(random_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def probe(self: Network, rows: int, size: Any, text: Any) -> None:
        if rows > 4:
            raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(Network, "probe", probe)
    engine = DiffusionEngine(models.load_model(random_model, device="cpu", dtype="float64"))
    sweep = nb.Sweep(IMAGE, MASK, BASE.replace(steps=20), seed=range(9))
    assert engine.rows((32, 32), [Waiting(cell, engine.plan(cell.params)) for cell in sweep.cells]) <= 4


def test_cancelling_keeps_what_is_done_and_as_it_would_have_been(engine: DiffusionEngine) -> None:
    sweep = mixed()
    whole = nb.run(sweep, engine=engine, progress=False)
    cancel = Cancel()
    kept = {}
    for count, event in enumerate(engine.run(sweep.cells, cancel)):
        if count == 60:
            cancel.set()
        if isinstance(event, Finished):
            kept[event.cell.index] = event.result
    assert 0 < len(kept) < len(sweep)
    assert all(result.raw.tobytes() == whole[index].raw.tobytes() for index, result in kept.items())


def test_a_half_precision_run_on_a_cpu_looks_like_a_full_one() -> None:
    scene = nb.sample("meadow")
    recipe = nb.Params(prompt=scene.prompt, steps=6, seed=1, guidance_scale=4)
    full, half = (
        np.asarray(nb.inpaint(scene.image, scene.mask, recipe, engine=nb.load_engine(dtype=dtype)).raw, float)
        for dtype in ("float32", "bfloat16")
    )
    assert np.abs(full - half).mean() < 4
    assert np.abs(full - half).max() > 0


def test_attention_runs_through_the_fused_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    attention = torch.nn.functional.scaled_dot_product_attention
    monkeypatch.setattr(
        torch.nn.functional,
        "scaled_dot_product_attention",
        lambda *args, **kwargs: (calls.append(1), attention(*args, **kwargs))[1],
    )
    engine = nb.load_engine("embedded")
    engine.network.probe(2, (64, 64), engine.conditioning.text(nb.Params(prompt="a red apple")))
    layers = [m for m in engine.model.pipeline.unet.modules() if type(m).__name__ == "Attention"]
    assert len(calls) >= len(layers) > 0
    weights = [p for p in engine.model.pipeline.unet.parameters() if p.ndim == 4]
    assert all(w.is_contiguous(memory_format=torch.channels_last) for w in weights)
