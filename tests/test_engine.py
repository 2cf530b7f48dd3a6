"""The batched engine: who joins, who leaves, who fails, and that nobody notices the others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from recipes import BASE, IMAGE, MASK, mixed

import nbinpaint as nb
from nbinpaint.engine import models, samplers
from nbinpaint.engine.base import Cancel, Engine, Finished, Started, Stepped
from nbinpaint.engine.diffusion import DiffusionEngine
from nbinpaint.engine.trajectory import Trajectory

pytestmark = pytest.mark.usefixtures("one_thread")


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
