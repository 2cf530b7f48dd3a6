"""What a value means in the present recipe and for the model at hand, in a few words beside its control."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..engine.base import Engine, Plan
from ..params import Params
from ..schedulers import SCHEDULER_TABLE, TAKES_ETA

__all__ = ["KEPT", "NOTES", "notes"]


def notes(params: Params, plan: Plan | None, engine: Engine | None) -> dict[str, str]:
    """Return what there is to say, by field name.

    Args:
        params: The recipe.
        plan: What it means for the engine; None where there is no engine or it refuses the recipe.
        engine: What will run it.
    """
    told = {name: note(params, plan, engine) for name, note in NOTES.items()}
    return {name: text for name, text in told.items() if text}


def _steps(params: Params, plan: Plan | None, engine: Engine | None) -> str:
    run = params.steps_run if plan is None else plan.steps_run
    if not run:
        return "0 steps: the source comes back untouched"
    sigma = "" if plan is None else f", starts at sigma {_sigma(plan.sigma_start)}"
    return f"{run} of {params.steps} steps{sigma}"


def _sigma(value: float) -> str:
    return f"{value:.1f}" if value >= 1 else f"{value:.2g}"


def _size(params: Params, plan: Plan | None, engine: Engine | None) -> str:
    return "" if engine is None or params.size else "the model's own: {} x {}".format(*engine.native_size)


def _prompt(params: Params, plan: Plan | None, engine: Engine | None) -> str:
    hint = getattr(engine, "prompt_hint", None)
    return (hint(params.prompt) or "") if hint else ""


def _negative(params: Params, plan: Plan | None, engine: Engine | None) -> str:
    if not params.guided:
        return "no effect: guidance is off"
    hint = getattr(engine, "cut_hint", None)
    return (hint(params.negative_prompt) or "") if hint else ""


def _conditioning(params: Params, plan: Plan | None, engine: Engine | None) -> str:
    channels = getattr(getattr(engine, "model", None), "unet_channels", None)
    return "no effect: this model is shown no mask" if channels == 4 else ""


def _eta(params: Params, plan: Plan | None, engine: Engine | None) -> str:
    return "" if params.scheduler in TAKES_ETA else f"no effect: {params.scheduler} takes none"


def _padding(params: Params, plan: Plan | None, engine: Engine | None) -> str:
    return "" if params.padding is None else "no effect: only the masked part is worked on"


def _denoise_by(params: Params, plan: Plan | None, engine: Engine | None) -> str:
    return "every scheduler starts from equal noise" if params.denoise_by == "noise" else ""


def _image(params: Params, plan: Plan | None, engine: Engine | None) -> str:
    return f"the noise of seed {params.noise_seed}" if params.image_index else ""


NOTES: Mapping[str, Callable[[Params, Plan | None, Engine | None], str]] = {
    "prompt": _prompt,
    "negative_prompt": _negative,
    "scheduler": lambda params, plan, engine: SCHEDULER_TABLE[params.scheduler].summary,
    "denoise": _steps,
    "masked_content": lambda params, plan, engine: "no effect at denoise 1" if params.denoise == 1 else "",
    "conditioning_mask_strength": _conditioning,
    "size": _size,
    "resize_mode": _padding,
    "denoise_by": _denoise_by,
    "eta": _eta,
    "image_index": _image,
    "clip_skip": lambda params, plan, engine: f"AUTOMATIC1111 calls this {params.clip_skip + 1}",
}

KEPT = frozenset(NOTES) - {"conditioning_mask_strength", "denoise_by", "image_index"}
"""Notes that a control further down can bring or take: their line is always there, so that nothing moves."""
