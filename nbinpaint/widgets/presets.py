"""Starting points for common tasks: a few settings that go together, none of which touches prompt or seed.

Every preset for a task sets the same fields, so that nothing of the one before is left over.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

__all__ = ["PRESETS", "Preset"]


class Preset(NamedTuple):
    """A named set of changes.

    Attributes:
        summary: What it is for, in one sentence.
        changes: Values of `Params`, by field name.
    """

    summary: str
    changes: Mapping[str, Any]


def _preset(
    summary: str,
    *,
    scheduler: str,
    steps: int,
    denoise: float,
    guidance_scale: float,
    mask_blur: float,
    mask_grow: int = 0,
    masked_content: str = "original",
    size: tuple[int, int] | None = None,
) -> Preset:
    changes = {
        "scheduler": scheduler,
        "steps": steps,
        "denoise": denoise,
        "guidance_scale": guidance_scale,
        "mask_blur": mask_blur,
        "mask_grow": mask_grow,
        "masked_content": masked_content,
        "size": size,
    }
    return Preset(summary, MappingProxyType(changes))


PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        "Object removal": _preset(
            "Forget what was there and a little around it: starts from pure noise; describe the surroundings.",
            scheduler="DPMSolverMultistep",
            steps=30,
            denoise=1.0,
            guidance_scale=7.5,
            mask_blur=6.0,
            mask_grow=4,
        ),
        "Background replacement": _preset(
            "Paint a new background with a tight edge around what stays.",
            scheduler="DPMSolverMultistep",
            steps=30,
            denoise=1.0,
            guidance_scale=9.0,
            mask_blur=2.0,
        ),
        "Retouch": _preset(
            "Change little: form and colour stay, flaws go, the edge is soft.",
            scheduler="DDIM",
            steps=30,
            denoise=0.4,
            guidance_scale=5.0,
            mask_blur=8.0,
        ),
        "Restoration": _preset(
            "Close scratches and holes in keeping with the picture around them.",
            scheduler="DDIM",
            steps=40,
            denoise=0.75,
            guidance_scale=4.0,
            mask_blur=3.0,
            masked_content="fill",
        ),
        "Creative variations": _preset(
            "A lively sampler and a free hand: each seed gives another picture.",
            scheduler="K_EULER_ANCESTRAL",
            steps=25,
            denoise=0.9,
            guidance_scale=8.0,
            mask_blur=4.0,
        ),
        "Size test": _preset(
            "A quick look at a size other than the model's own.",
            scheduler="DDIM",
            steps=12,
            denoise=1.0,
            guidance_scale=7.5,
            mask_blur=4.0,
            size=(256, 256),
        ),
    }
)
