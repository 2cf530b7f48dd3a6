"""Which engine runs a loaded model: one batch for the families it knows, the model's own pipeline for all others."""

from __future__ import annotations

from typing import NamedTuple

from ..errors import ModelError
from .classes import BATCHED
from .diffusion import DiffusionEngine
from .models import Model
from .pipelines import PipelineEngine

__all__ = ["Speed", "engine_for"]


class Speed(NamedTuple):
    """How the batched engine is to run; `load_engine` says what each means."""

    rows: int | None = None
    compile: bool = False
    graphs: bool = False
    offload: bool = False


def engine_for(model: Model, speed: Speed) -> DiffusionEngine | PipelineEngine:
    """Return an engine for a model.

    Raises:
        ModelError: Something is asked for that its engine does not have.
    """
    kind = type(model.pipeline).__name__
    # A network distilled together with its guidance is told the guidance scale, which the batch does not do.
    if kind in BATCHED and model.pipeline.unet.config.time_cond_proj_dim is None:
        return DiffusionEngine(model, speed.rows, compile=speed.compile, graphs=speed.graphs, offload=speed.offload)
    if asked := [name for name, value in speed._asdict().items() if value]:
        raise ModelError(
            f"{asked[0]}={getattr(speed, asked[0])!r} is for models that run in one batch (Stable Diffusion 1, 2, XL); "
            f"{model.name!r} is a {kind}, which runs one grid cell after the other"
        )
    return PipelineEngine(model.pipeline, model.name)
