"""Any other diffusers inpainting pipeline: called per grid cell, its pictures are its own, its limits are said."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from diffusers import FluxInpaintPipeline
from families import flux, qwen_image, sd3, sdxl, z_image
from models import random_pipeline
from pictures import box_mask, smooth_image
from PIL import Image

import nbinpaint as nb
from nbinpaint.engine.base import Cancel, Engine, Failed, Finished, Started, Stepped
from nbinpaint.engine.diffusion import DiffusionEngine
from nbinpaint.engine.models import Model
from nbinpaint.schedulers import SCHEDULER_TABLE

IMAGE, MASK = smooth_image(40, 32), box_mask(40, 32, (8, 8, 24, 24))
SHORT = {"max_sequence_length": 16}


pytestmark = pytest.mark.usefixtures("one_thread")


MAKERS: dict[str, tuple[Callable[[], Any], dict[str, Any]]] = {
    "SD": (random_pipeline, {}),
    "SDXL": (sdxl, {}),
    "SD3": (sd3, SHORT),
    "SD3 shifting": (functools.partial(sd3, use_dynamic_shifting=True), SHORT),
    "Flux Fill": (flux, SHORT),
    "Flux": (functools.partial(flux, FluxInpaintPipeline, 16), SHORT),
    "Qwen-Image": (qwen_image, {}),
    "Z-Image": (z_image, SHORT),
}
GUIDANCE = {"Qwen-Image": "true_cfg_scale"}
EULER = "FlowMatchEuler"


@functools.cache
def engine_of(family: str) -> nb.PipelineEngine:
    make, options = MAKERS[family]
    return nb.PipelineEngine(make(), family, **options)


def recipe(family: str, **changes: Any) -> nb.Params:
    basis = {"prompt": "a red apple", "steps": 5, "size": 32, "resize_mode": "stretch", "seed": 3, "mask_blur": 1}
    return engine_of(family).default_params(**(basis | changes))


def direct(family: str, params: nb.Params, **arguments: Any) -> np.ndarray:
    """The picture of a plain call of the same pipeline, the scheduler changed as diffusers' guides say."""
    _, options = MAKERS[family]
    pipeline = copy.copy(engine_of(family)._pipeline)
    scheduler = getattr(diffusers, SCHEDULER_TABLE[params.scheduler].cls)
    pipeline.scheduler = scheduler.from_config(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    (picture,) = pipeline(
        prompt=params.prompt,
        image=IMAGE.resize((32, 32), Image.Resampling.LANCZOS),
        mask_image=Image.fromarray(nb.inpaint(IMAGE, MASK, params, engine=nb.FakeEngine()).placement.mask(MASK)),
        width=32,
        height=32,
        num_inference_steps=params.steps,
        strength=params.denoise,
        generator=torch.Generator("cpu").manual_seed(params.seed),
        **{GUIDANCE.get(family, "guidance_scale"): params.guidance_scale},
        **options,
        **arguments,
    ).images
    return np.asarray(picture)


@pytest.mark.parametrize(
    ("family", "denoise", "changes", "arguments"),
    [
        ("SD3", 0.5, {}, {}),
        ("SD3", 1.0, {"guidance_scale": 1}, {}),
        ("SD3", 0.6, {"negative_prompt": "blur", "clip_skip": 1}, {"negative_prompt": "blur", "clip_skip": 1}),
        ("SD3", 0.6, {"scheduler": "FlowMatchHeun"}, {}),
        ("SD3 shifting", 0.6, {}, {}),
        ("Flux Fill", 0.5, {}, {}),
        ("Flux Fill", 1.0, {}, {}),
        ("Flux", 0.7, {"guidance_scale": 2}, {}),
        ("Qwen-Image", 0.6, {"negative_prompt": "blur"}, {"negative_prompt": "blur"}),
        ("Qwen-Image", 1.0, {}, {"negative_prompt": ""}),
        ("Qwen-Image", 0.6, {"guidance_scale": 1}, {}),
        ("Z-Image", 0.6, {"negative_prompt": "blur"}, {"negative_prompt": "blur"}),
        ("SDXL", 0.6, {"scheduler": "DDIM"}, {}),
        ("SD", 0.6, {"scheduler": "PNDM", "negative_prompt": "blur"}, {"negative_prompt": "blur"}),
    ],
)
def test_each_picture_is_the_pipelines_own(
    family: str, denoise: float, changes: dict[str, Any], arguments: dict[str, Any]
) -> None:
    params = recipe(family, denoise=denoise, **changes)
    result = nb.inpaint(IMAGE, MASK, params, engine=engine_of(family))
    assert np.array_equal(np.asarray(result.raw), direct(family, params, **arguments))
    assert result.raw.size == (32, 32)
    assert result.full.size == IMAGE.size
    assert np.array_equal(np.asarray(result.full)[:2], np.asarray(IMAGE)[:2])


@pytest.mark.parametrize("family", MAKERS)
@pytest.mark.parametrize("denoise", [0.1, 0.55, 1.0])
def test_the_plan_says_what_will_be(family: str, denoise: float) -> None:
    """Evaluations are counted at the network, and the noise at the start is read from the scheduler that ran."""
    engine = engine_of(family)
    params = recipe(family, denoise=denoise, guidance_scale=1, steps=6)
    seen: list[Any] = []
    network = getattr(engine._pipeline, "transformer", None) or engine._pipeline.unet
    hook = network.register_forward_pre_hook(lambda *_: seen.append(1))
    events = list(engine.run(nb.Sweep(IMAGE, MASK, params).cells))
    hook.remove()
    plan, result = engine.plan(params), events[-1].result
    steps = [e.done for e in events if isinstance(e, Stepped)]
    assert steps == list(range(1, plan.evaluations + 1))
    assert len(seen) == plan.evaluations == result.evaluations
    assert plan.steps_run == result.steps_run == plan.evaluations
    assert (plan.sigma_start > 0) == (plan.steps_run > 0)
    if not plan.steps_run:
        assert result.full.tobytes() == IMAGE.tobytes()


@pytest.mark.parametrize("family", ["SD3", "SD3 shifting", "Flux Fill", "Qwen-Image", "Z-Image"])
def test_the_noise_at_the_start_is_the_schedulers(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, params = engine_of(family), recipe(family, denoise=0.6)
    first: list[float] = []
    step = diffusers.FlowMatchEulerDiscreteScheduler.step

    @functools.wraps(step)
    def noted(self: Any, *args: Any, **kwargs: Any) -> Any:
        out = step(self, *args, **kwargs)
        first.append(float(self.sigmas[self.step_index - 1]))
        return out

    monkeypatch.setattr(diffusers.FlowMatchEulerDiscreteScheduler, "step", noted)
    result = nb.inpaint(IMAGE, MASK, params, engine=engine)
    assert result.sigma_start == pytest.approx(first[0], abs=1e-6)
    assert 0 < result.sigma_start < 1


def test_sd_itself_gives_the_batched_engines_very_bytes() -> None:
    pipeline = random_pipeline().to(torch.float64)
    pipeline.set_progress_bar_config(disable=True)
    batched = DiffusionEngine(Model("same", pipeline, torch.device("cpu"), torch.float64))
    params = nb.Params(prompt="a cat", steps=4, size=32, resize_mode="stretch")
    sweep = nb.Sweep(
        IMAGE, MASK, params, scheduler=["DDIM", "K_EULER_ANCESTRAL", "Heun"], denoise=[0.5, 1.0], guidance_scale=[1, 5]
    )
    together = nb.run(sweep, engine=batched, progress=False)
    singly = nb.run(sweep, engine=nb.PipelineEngine(pipeline, "same"), progress=False)
    assert not together.failures
    assert not singly.failures
    for one, other in zip(together, singly, strict=True):
        assert one.raw.tobytes() == other.raw.tobytes()
        assert (one.steps_run, one.evaluations) == (other.steps_run, other.evaluations)
        assert one.sigma_start == pytest.approx(other.sigma_start)


def works(family: str, scheduler: str) -> bool:
    """Whether a plain call of the pipeline with this scheduler gives a picture."""
    try:
        return bool(direct(family, recipe(family, denoise=0.6).replace(scheduler=scheduler, steps=4)).any())
    except (AttributeError, TypeError, ValueError):
        return False


@pytest.mark.parametrize("family", ["SD3", "SD3 shifting", "Flux Fill", "Flux", "Qwen-Image", "Z-Image"])
def test_the_schedulers_on_offer_are_those_that_work(family: str) -> None:
    engine = engine_of(family)
    assert engine.schedulers == tuple(name for name in nb.FLOW_SCHEDULERS if works(family, name))
    assert engine.default_params().scheduler == EULER in engine.schedulers
    if family == "Z-Image":
        assert not any(works(family, name) for name in ("UniPC", "DEIS", "DPMSolverMultistep"))


def test_noise_and_velocity_models_take_what_their_scheduler_is_compatible_with() -> None:
    engine = engine_of("SD")
    batched = DiffusionEngine(Model("same", random_pipeline(), torch.device("cpu"), torch.float32))
    assert engine.schedulers == batched.schedulers == nb.ALL_SCHEDULERS
    assert engine.default_params().scheduler == "DDIM"
    assert engine_of("SDXL").default_params().scheduler == "K_EULER"
    assert not set(nb.ALL_SCHEDULERS) & set(nb.FLOW_SCHEDULERS)
    with pytest.raises(nb.InvalidParams, match=r"scheduler='FlowMatchEuler' is for models trained by flow"):
        batched.plan(nb.Params(scheduler=EULER))


@pytest.mark.parametrize(
    ("family", "changes", "words"),
    [
        ("Flux Fill", {"scheduler": "DPMSolverMultistep"}, ["'DPMSolverMultistep'", "'FlowMatchEuler'", "FluxFill"]),
        ("Flux Fill", {"negative_prompt": "blur"}, ["negative_prompt='blur'", "allowed: ''", "FluxFill"]),
        ("Flux", {"negative_prompt": "blur"}, ["negative_prompt='blur'"]),
        ("Flux", {"clip_skip": 2}, ["clip_skip=2", "allowed: 0"]),
        ("SD3", {"scheduler": "DDIM"}, ["flow-matching", "'FlowMatchHeun'"]),
        ("SD3", {"masked_content": "fill"}, ["masked_content='fill'", "'original'"]),
        ("SD3", {"soft": True}, ["soft=", "allowed: None"]),
        ("SD3", {"differential": True}, ["differential=True"]),
        ("SD3", {"sigmas": "karras"}, ["sigmas='karras'", "'default'"]),
        ("SD3", {"denoise_by": "noise"}, ["denoise_by='noise'", "'steps'"]),
        ("SD3", {"eta": 0.5}, ["eta=0.5", "allowed: 0.0"]),
        ("SD3", {"conditioning_mask_strength": 0.5}, ["conditioning_mask_strength=0.5"]),
        ("SD3", {"prompt_weighting": "compel"}, ["prompt_weighting='compel'"]),
        ("SD", {"scheduler": EULER}, ["'FlowMatchEuler'", "'DDIM'", "StableDiffusionInpaintPipeline"]),
        ("SD", {"scheduler": "LCM", "steps": 60}, ["steps=60"]),
    ],
)
def test_what_a_pipeline_cannot_use_is_refused_before_it_runs(
    family: str, changes: dict[str, Any], words: list[str]
) -> None:
    with pytest.raises(nb.InvalidParams) as error:
        nb.run(nb.Sweep(IMAGE, MASK, recipe(family).replace(**changes)), engine=engine_of(family), progress=False)
    for word in words:
        assert word in str(error.value)


def test_what_nbinpaint_does_itself_works_with_any_pipeline() -> None:
    engine = engine_of("Flux Fill")
    params = recipe("Flux Fill", mask_blur=1, mask_grow=2, padding=4, color_correction=True, image_index=1)
    result = nb.inpaint(IMAGE, MASK, params, engine=engine)
    again = nb.inpaint(IMAGE, MASK, params.replace(image_index=0, seed=4), engine=engine)
    assert result.raw.tobytes() == again.raw.tobytes()
    assert result.generated.tobytes() != result.raw.tobytes()
    assert result.full.getpixel((0, 0)) == IMAGE.getpixel((0, 0))
    inverted = nb.inpaint(IMAGE, MASK, recipe("Flux Fill", mask_invert=True, mask_blur=0), engine=engine)
    assert inverted.full.getpixel((16, 16)) == IMAGE.getpixel((16, 16))


def test_a_pipeline_without_strength_takes_the_whole_schedule_only() -> None:
    class Whole(type(z_image())):  # type: ignore[misc]
        def __call__(  # a pipeline of one's own: fewer arguments, no callback
            self, prompt=None, image=None, mask_image=None, num_inference_steps=50, guidance_scale=5.0, generator=None
        ):
            return super().__call__(
                prompt,
                image,
                mask_image,
                num_inference_steps=num_inference_steps,
                guidance_scale=guidance_scale,
                generator=generator,
                max_sequence_length=16,
            )

    pipeline = z_image()
    engine = nb.PipelineEngine(Whole(**pipeline.components))
    params = recipe("Z-Image")
    with pytest.raises(nb.InvalidParams, match=r"denoise=0\.5 cannot be used with Whole; allowed: 1\.0"):
        engine.plan(params.replace(denoise=0.5))
    events = list(engine.run(nb.Sweep(IMAGE, MASK, params).cells))
    assert [e.done for e in events if isinstance(e, Stepped)] == [1, 2, 3, 4, 5]
    expected = nb.inpaint(IMAGE, MASK, params, engine=engine_of("Z-Image"))
    assert events[-1].result.raw.tobytes() == expected.raw.tobytes()


def test_a_scheduler_that_adds_noise_draws_it_from_the_cells_own_generator() -> None:
    params = recipe("Flux Fill", scheduler="FlowMatchLCM")
    pictures = set()
    for seed in (1, 2):
        torch.manual_seed(seed)
        pictures.add(nb.inpaint(IMAGE, MASK, params, engine=engine_of("Flux Fill")).raw.tobytes())
    assert len(pictures) == 1


def test_each_prompt_is_encoded_once() -> None:
    engine = nb.PipelineEngine(sd3(), **SHORT)
    texts: list[Any] = []
    engine._pipeline.text_encoder.register_forward_pre_hook(lambda *_: texts.append(1))
    sweep = nb.Sweep(IMAGE, MASK, recipe("SD3", steps=1), prompt=["a cat", "a dog"], seed=[1, 2, 3])
    assert not nb.run(sweep, engine=engine, progress=False).failures
    assert len(texts) == 4  # two prompts, each with the empty negative one


def test_it_is_an_engine_and_leaves_the_pipeline_as_it_is() -> None:
    pipeline = flux()
    scheduler, encode = pipeline.scheduler, pipeline.encode_prompt
    engine = nb.PipelineEngine(pipeline, **SHORT)
    assert isinstance(engine, Engine)
    assert engine.native_size == (256, 256)  # 128 latent pixels of 2
    assert engine.plan(engine.default_params()).params.size == (256, 256)
    assert engine.default_params(prompt="x").guidance_scale == 30
    nb.inpaint(IMAGE, MASK, recipe("Flux Fill"), engine=engine)
    assert pipeline.scheduler is scheduler
    assert pipeline.encode_prompt == encode
    assert "FluxFillPipeline" in repr(engine)
    same, other = flux(), flux()
    torch.nn.init.zeros_(other.transformer.proj_out.weight)
    prints = [nb.PipelineEngine(p, **SHORT).fingerprint for p in (pipeline, same, other)]
    assert prints[0] == prints[1] != prints[2]
    assert nb.PipelineEngine(same, max_sequence_length=12).fingerprint != prints[0]


def test_a_size_that_the_pipeline_would_round_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = engine_of("Flux Fill")
    assert engine.contract.size_multiple == 4
    monkeypatch.setattr(engine.contract, "size_multiple", 16)
    with pytest.raises(nb.InvalidParams, match=r"size=\(24, 32\).*multiples of 16"):
        engine.plan(recipe("Flux Fill", size=(24, 32)))


@pytest.mark.parametrize(
    ("make", "options", "words"),
    [
        (lambda: object.__new__(diffusers.StableDiffusionPipeline), {}, ["StableDiffusionPipeline", "takes no image"]),
        (flux, {"nonsense": 1}, ["nonsense=1", "max_sequence_length"]),
        (flux, {"prompt": "a cat"}, ["prompt='a cat'", "allowed"]),
    ],
)
def test_a_pipeline_that_does_not_inpaint_is_refused(make: Any, options: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(nb.ModelError) as error:
        nb.PipelineEngine(make(), **options)
    for word in words:
        assert word in str(error.value)


def broken(monkeypatch: pytest.MonkeyPatch, engine: nb.PipelineEngine, spoil: Callable[[Any], Any]) -> nb.Study:
    """Run three seeds, the second one's scheduler spoiled."""
    step = diffusers.FlowMatchEulerDiscreteScheduler.step

    @functools.wraps(step)
    def spoiled(self: Any, *args: Any, generator: torch.Generator, **kwargs: Any) -> Any:
        out = step(self, *args, generator=generator, **kwargs)
        return (spoil(out[0]),) if generator.initial_seed() == 2 else out

    monkeypatch.setattr(diffusers.FlowMatchEulerDiscreteScheduler, "step", spoiled)
    sweep = nb.Sweep(IMAGE, MASK, recipe("Flux Fill", steps=2), seed=[1, 2, 3])
    return nb.run(sweep, engine=engine, progress=False)


def stumble(_: Any) -> Any:
    raise RuntimeError("the sampler stumbled")


@pytest.mark.parametrize(
    ("spoil", "message"), [(stumble, "the sampler stumbled"), (lambda x: x * float("nan"), "latents are not finite")]
)
def test_one_that_fails_does_not_end_the_run(spoil: Any, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    study = broken(monkeypatch, engine_of("Flux Fill"), spoil)
    assert sorted(study.failures) == [1]
    assert message in study.failures[1].message
    assert study[0].raw.tobytes() != study[2].raw.tobytes()


def test_a_decoder_that_overflows_fails_with_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = nb.PipelineEngine(flux(), **SHORT)
    vae = engine._pipeline.vae
    decode = vae.decode
    monkeypatch.setattr(vae, "decode", lambda *a, **k: tuple(x * float("nan") for x in decode(*a, **k)))
    (event,) = [e for e in engine.run(nb.Sweep(IMAGE, MASK, recipe("Flux Fill", steps=1)).cells) if type(e) is Failed]
    assert "decoder" in event.failure.message


def test_withheld_pictures_are_marked_and_not_black() -> None:
    pipeline = random_pipeline()
    pipeline.run_safety_checker = lambda image, device, dtype: (image, [True])
    result = nb.inpaint(IMAGE, MASK, recipe("SD"), engine=nb.PipelineEngine(pipeline))
    assert result.flagged
    assert set(np.unique(result.raw)) == {128}


def test_cancelling_stops_between_steps() -> None:
    cancel, seen = Cancel(), []
    for event in engine_of("Flux Fill").run(nb.Sweep(IMAGE, MASK, recipe("Flux Fill"), seed=[1, 2]).cells, cancel):
        seen.append(event)
        if isinstance(event, Stepped) and event.done == 2:
            cancel.set()
    assert [type(e) for e in seen] == [Started, Stepped, Stepped]


def test_who_stops_listening_stops_the_pipeline() -> None:
    engine = engine_of("Flux Fill")
    events = engine.run(nb.Sweep(IMAGE, MASK, recipe("Flux Fill")).cells)
    calls: list[Any] = []
    hook = engine._pipeline.transformer.register_forward_pre_hook(lambda *_: calls.append(1))
    assert [type(next(events)) for _ in range(3)] == [Started, Stepped, Stepped]
    events.close()
    hook.remove()
    assert len(calls) == 2


def test_a_sweep_over_schedulers_runs_as_with_any_engine() -> None:
    engine = engine_of("SD3")
    params = recipe("SD3", steps=3)
    job = nb.start(nb.Sweep(IMAGE, MASK, params, scheduler=engine.schedulers, denoise=[0.5, 1.0]), engine=engine)
    study = job.result(60)
    assert not study.failures
    assert len({r.raw.tobytes() for r in study}) == len(study) == 6
    heun = next(r for r in study if r.params.scheduler == "FlowMatchHeun" and r.params.denoise == 1)
    assert (heun.steps_run, heun.evaluations) == (3, 5)
    assert all(isinstance(e, Finished) for e in list(engine.run(study.cells[:1]))[-1:])
    assert inspect.isgenerator(engine.run(study.cells))
