"""nbinpaint: inpainting experiments in Jupyter.

The public names below are loaded when they are first used, so that `import nbinpaint` needs neither torch nor widgets.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api import inpaint, load_engine, run, start
    from .engine.fake import FakeEngine
    from .engine.pipelines import PipelineEngine
    from .errors import InvalidImage, InvalidMask, InvalidParams, ModelError, NbInpaintError
    from .image import load_image, load_mask
    from .job import Job
    from .metadata import read_params
    from .params import Params
    from .pictures import sample, samples
    from .prompts import PromptOrder, SearchReplace
    from .result import Failure, Result
    from .schedulers import ALL_SCHEDULERS, FLOW_SCHEDULERS, SCHEDULERS
    from .soft import SoftInpainting
    from .study import Study, open_study
    from .sweep import GridCell, Sweep
    from .widgets import ComparisonGrid, MaskCanvas, ParameterPanel, Studio

__version__ = "0.1.0"

_HOMES = {
    "ALL_SCHEDULERS": "schedulers",
    "FLOW_SCHEDULERS": "schedulers",
    "FakeEngine": "engine.fake",
    "Failure": "result",
    "GridCell": "sweep",
    "InvalidImage": "errors",
    "InvalidMask": "errors",
    "InvalidParams": "errors",
    "Job": "job",
    "ComparisonGrid": "widgets",
    "MaskCanvas": "widgets",
    "ParameterPanel": "widgets",
    "Studio": "widgets",
    "ModelError": "errors",
    "NbInpaintError": "errors",
    "Params": "params",
    "PipelineEngine": "engine.pipelines",
    "PromptOrder": "prompts",
    "Result": "result",
    "SCHEDULERS": "schedulers",
    "SearchReplace": "prompts",
    "SoftInpainting": "soft",
    "Study": "study",
    "Sweep": "sweep",
    "inpaint": "api",
    "load_engine": "api",
    "load_image": "image",
    "load_mask": "image",
    "open_study": "study",
    "read_params": "metadata",
    "run": "api",
    "sample": "pictures",
    "samples": "pictures",
    "start": "api",
}

__all__ = [  # noqa: RUF022 - in the order a reader meets them
    "Params",
    "SoftInpainting",
    "Sweep",
    "SearchReplace",
    "PromptOrder",
    "GridCell",
    "SCHEDULERS",
    "ALL_SCHEDULERS",
    "FLOW_SCHEDULERS",
    "load_image",
    "load_mask",
    "sample",
    "samples",
    "load_engine",
    "PipelineEngine",
    "FakeEngine",
    "inpaint",
    "run",
    "start",
    "Job",
    "Result",
    "Failure",
    "Study",
    "open_study",
    "read_params",
    "Studio",
    "MaskCanvas",
    "ParameterPanel",
    "ComparisonGrid",
    "NbInpaintError",
    "InvalidParams",
    "InvalidImage",
    "InvalidMask",
    "ModelError",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
