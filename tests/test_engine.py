"""The batched engine: who joins, who leaves, who fails, and that nobody notices the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import box_mask, smooth_image
from PIL import Image

import nbinpaint as nb
from nbinpaint.engine import models, samplers
from nbinpaint.engine.base import Cancel, Engine, Failed, Finished, Started, Stepped
from nbinpaint.engine.batch import Waiting
from nbinpaint.engine.decode import Decoder
from nbinpaint.engine.diffusion import DiffusionEngine
from nbinpaint.engine.network import Inputs, Network
from nbinpaint.engine.trajectory import Trajectory

IMAGE, MASK = smooth_image(32, 32), box_mask(32, 32, (8, 8, 24, 24))
BASE = nb.Params(prompt="a cat", steps=6, size=32, guidance_scale=3)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def engine(random_model: Path) -> DiffusionEngine:
    """A fresh engine, so that tests may break it."""
    return DiffusionEngine(models.load_model(random_model, device="cpu", dtype="float64"), rows=6)


def mixed() -> nb.Sweep:
    return nb.Sweep(
        IMAGE,
        MASK,
        BASE,
        scheduler=["DDIM", "PNDM", "K_EULER_ANCESTRAL", "Heun"],
        denoise=[0.0, 0.5, 1.0],
        guidance_scale=[1, 4],
    )


def test_it_is_an_engine(engine: DiffusionEngine) -> None:
    assert isinstance(engine, Engine)


def test_the_batch_changes_nothing(engine: DiffusionEngine) -> None:
    sweep = mixed()
    together = nb.run(sweep, engine=engine, progress=False)
    assert not together.failures
    for cell in reversed(sweep.cells):
        alone = nb.inpaint(IMAGE, MASK, cell.params, engine=engine)
        assert alone.raw.tobytes() == together[cell.index].raw.tobytes()


def test_every_cell_starts_steps_and_ends_once(engine: DiffusionEngine) -> None:
    sweep = mixed()
    events = list(engine.run(sweep.cells))
    for cell in sweep.cells:
        own = [e for e in events if e.cell is cell]
        assert isinstance(own[0], Started)
        assert isinstance(own[-1], Finished)
        steps = [e for e in own if isinstance(e, Stepped)]
        assert [s.done for s in steps] == list(range(1, engine.plan(cell.params).evaluations + 1))
        assert own[-1].result.evaluations == len(steps)


def test_each_prompt_and_picture_is_encoded_once(engine: DiffusionEngine) -> None:
    sweep = nb.Sweep(IMAGE, MASK, BASE, prompt=["a cat", "a dog"], seed=[1, 2, 3], denoise=[0.5, 1.0], size=[32, 16])
    nb.run(sweep, engine=engine, progress=False)
    assert engine.conditioning.encodes == {
        "prompt": 3,
        "image": 4,
    }  # two and the empty one; image and masked, two sizes


def test_evaluations_are_counted_as_the_schedulers_need_them(engine: DiffusionEngine) -> None:
    def count(scheduler: str, denoise: float = 1.0) -> int:
        return engine.plan(BASE.replace(scheduler=scheduler, denoise=denoise)).evaluations

    assert count("DDIM") == 6
    assert count("DDIM", 0.5) == 3
    assert count("PNDM") == 7
    assert count("Heun") == 11
    assert count("DDIM", 0.1) == 0


def test_the_noise_at_the_start_is_known_and_differs(engine: DiffusionEngine) -> None:
    def start(scheduler: str, denoise: float) -> float:
        return engine.plan(BASE.replace(scheduler=scheduler, steps=20, denoise=denoise)).sigma_start

    assert start("DDIM", 0.6) == pytest.approx(1.91, abs=0.02)  # timesteps lead: 551
    assert start("DPMSolverMultistep", 0.6) == pytest.approx(2.07, abs=0.15)  # evenly from end to end
    assert start("DDIM", 1.0) == pytest.approx(11.0, abs=1.0)
    assert start("DDIM", 0.0) == 0


def test_zero_steps_give_the_source_back(engine: DiffusionEngine) -> None:
    result = nb.inpaint(IMAGE, MASK, BASE.replace(denoise=0.1), engine=engine)
    assert (result.steps_run, result.evaluations, result.sigma_start) == (0, 0, 0)
    assert result.full.tobytes() == result.image.tobytes() == IMAGE.tobytes()


def test_one_that_leaves_the_number_range_fails_alone(engine: DiffusionEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    advance = Trajectory.advance

    def spoil(self: Trajectory, prediction: torch.Tensor, watched: bool) -> None:
        bad = self.params.seed == 2 and self.done == 1
        advance(self, prediction * float("nan") if bad else prediction, watched)

    sweep = nb.Sweep(IMAGE, MASK, BASE, seed=[1, 2, 3])
    whole = nb.run(sweep, engine=engine, progress=False)
    monkeypatch.setattr(Trajectory, "advance", spoil)
    study = nb.run(sweep, engine=engine, progress=False)
    assert sorted(study.failures) == [1]
    assert "not finite" in study.failures[1].message
    assert study[0].raw.tobytes() == whole[0].raw.tobytes()
    assert study[2].raw.tobytes() == whole[2].raw.tobytes()


def test_a_step_that_raises_fails_alone(engine: DiffusionEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    step = samplers.Sampler.step

    def stumble(self: samplers.Sampler, prediction: torch.Tensor, i: int, latents: torch.Tensor) -> torch.Tensor:
        if type(self.scheduler).__name__ == "PNDMScheduler" and i == 3:
            raise RuntimeError("the sampler stumbled")
        return step(self, prediction, i, latents)

    monkeypatch.setattr(samplers.Sampler, "step", stumble)
    study = nb.run(mixed(), engine=engine, progress=False)
    assert {study.cells[i].params.scheduler for i in study.failures} == {"PNDM"}
    assert {f.message for f in study.failures.values()} == {"the sampler stumbled"}
    assert all(r.params.scheduler != "PNDM" or r.evaluations <= 3 for r in study)


def test_out_of_memory_halves_the_batch_and_loses_nothing(
    engine: DiffusionEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = nb.Sweep(IMAGE, MASK, BASE, seed=[1, 2, 3, 4])
    whole = nb.run(sweep, engine=engine, progress=False)
    unet = engine.model.pipeline.unet
    forward, sizes = unet.forward, []

    def small(latents: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        if len(latents) > 2:
            raise torch.OutOfMemoryError("out of memory")
        sizes.append(len(latents))
        return forward(latents, *args, **kwargs)

    monkeypatch.setattr(unet, "forward", small)
    study = nb.run(sweep, engine=engine, progress=False)
    assert not study.failures
    assert set(sizes) == {2}
    assert [r.raw.tobytes() for r in study] == [r.raw.tobytes() for r in whole]


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


def test_cancelling_stops_between_steps(engine: DiffusionEngine) -> None:
    cancel = Cancel()
    seen = []
    for event in engine.run(mixed().cells, cancel):
        seen.append(event)
        if isinstance(event, Finished) and event.result.steps_run:
            cancel.set()
    ended = [e for e in seen if isinstance(e, Finished)]
    assert 0 < len(ended) < len(mixed())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"scheduler": "LCM", "steps": 60}, ["steps=60", "LCM", "1 to 50"]),
        ({"size": (24, 26 * 8 // 8 * 8)}, None),
        ({"scheduler": "DPM++ SDE"}, ["DPM++ SDE", "pip install torchsde"]),
    ],
)
def test_what_a_model_cannot_use_is_refused_before_it_runs(
    engine: DiffusionEngine, changes: dict[str, Any], words: list[str] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    if words is None:
        assert engine.plan(BASE.replace(**changes)).params.size == (24, 208)
        return
    with pytest.raises(nb.InvalidParams) as error:
        nb.run(nb.Sweep(IMAGE, MASK, BASE.replace(**changes)), engine=engine, progress=False)
    for word in words:
        assert word in str(error.value)


def test_a_size_that_the_network_cannot_halve_is_refused(
    engine: DiffusionEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models.Model, "size_multiple", 64)
    with pytest.raises(nb.InvalidParams, match=r"size=\(32, 32\).*multiples of 64"):
        engine.plan(BASE)


def test_withheld_pictures_are_marked_and_not_black(engine: DiffusionEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = engine.model.pipeline

    def check(image: torch.Tensor, device: Any, dtype: Any) -> tuple[torch.Tensor, list[bool]]:
        return image, [True] * len(image)

    monkeypatch.setattr(pipeline, "safety_checker", object())
    monkeypatch.setattr(pipeline, "run_safety_checker", check)
    study = nb.run(nb.Sweep(IMAGE, MASK, BASE), engine=engine, progress=False)
    assert study[0].flagged
    assert study.state(0) == "withheld"
    assert "withheld" in repr(study[0])
    assert set(np.unique(study[0].raw)) == {128}


def test_the_fingerprint_follows_the_weights(
    random_model: Path, random_base_model: Path, engine: DiffusionEngine
) -> None:
    again = DiffusionEngine(models.load_model(random_model, device="cpu", dtype="float64"))
    assert again.fingerprint == engine.fingerprint
    assert models.load_model(random_model, device="cpu").fingerprint != engine.fingerprint
    assert models.load_model(random_base_model, device="cpu", dtype="float64").fingerprint != engine.fingerprint


def test_previews_come_to_look_like_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the embedded model: the last preview is a small, slightly rough version of the picture."""
    monkeypatch.setattr("nbinpaint.engine.batch.PREVIEW_EVERY", 0.0)
    scene = nb.sample("meadow")
    recipe = nb.Params(prompt=scene.prompt, steps=4, guidance_scale=1)
    sweep = nb.Sweep(scene.image, scene.mask, recipe, scheduler=["DDIM", "K_EULER"])
    previews, results = {}, {}
    for event in nb.load_engine("embedded").run(sweep.cells):
        if isinstance(event, Stepped):
            previews[event.cell.index] = event.preview()
        elif isinstance(event, Finished):
            results[event.cell.index] = event.result.raw
    for index, result in results.items():
        small = np.asarray(result.resize(previews[index].size, Image.Resampling.BOX), float)
        assert np.abs(np.asarray(previews[index], float) - small).mean() < 40
        assert np.corrcoef(np.asarray(previews[index]).ravel(), small.ravel())[0, 1] > 0.6


def test_a_result_with_a_safety_checker_is_not_one_without(random_model: Path) -> None:
    """Turning the checker off computes anew what it had withheld."""
    checked = models.load_model(random_model, device="cpu")
    free = models.load_model(random_model, device="cpu")
    checked.pipeline.register_modules(safety_checker=torch.nn.Linear(1, 1))
    assert checked.fingerprint != free.fingerprint
