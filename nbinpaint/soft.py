"""The settings of soft inpainting, as values; what they do stands in `engine/softness.py` and `blend.py`."""

from __future__ import annotations

import dataclasses

from .spec import declare, specs_of

__all__ = ["SoftInpainting"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class SoftInpainting:
    """How source and result are blended while the result is made.

    The meaning, bounds and defaults are those of AUTOMATIC1111's soft inpainting.

    Raises:
        InvalidParams: A value is out of bounds; the message names the setting as `soft_...`.
    """

    schedule_bias: float = declare(
        1.0,
        label="Schedule bias",
        help="When the source is preserved: above 1 more in the first steps, below 1 more in the last.",
        kind="float",
        group="Soft inpainting",
        low=0,
        high=8,
        step=0.1,
    )
    preservation: float = declare(
        0.5,
        label="Preservation strength",
        help="How strongly parts of the mask that are not fully painted keep the source.",
        kind="float",
        group="Soft inpainting",
        low=0,
        high=8,
        step=0.05,
    )
    transition_contrast: float = declare(
        4.0,
        label="Transition contrast",
        help="How much detail survives where source and result overlap; 1 averages them.",
        kind="float",
        group="Soft inpainting",
        low=1,
        high=32,
        step=0.5,
    )
    mask_influence: float = declare(
        0.0,
        label="Mask influence",
        help="How much of the final blend follows the painted mask instead of where the picture changed.",
        kind="float",
        group="Soft inpainting",
        low=0,
        high=1,
        step=0.05,
    )
    difference_threshold: float = declare(
        0.5,
        label="Difference threshold",
        help="How far latents must have moved for the blend to show half of the result.",
        kind="float",
        group="Soft inpainting",
        low=0,
        high=8,
        step=0.25,
    )
    difference_contrast: float = declare(
        2.0,
        label="Difference contrast",
        help="How sharply the blend goes over from source to result around that threshold.",
        kind="float",
        group="Soft inpainting",
        low=0,
        high=8,
        step=0.25,
    )

    def __post_init__(self) -> None:
        for spec in _SPECS.values():
            object.__setattr__(self, spec.field, spec.check(getattr(self, spec.field)))


_SPECS = specs_of(SoftInpainting, "soft")
