"""The recipe of one grid cell, and the one place where each of its parameters is declared.

Sliders, validation, axis parsing, report headers and the metadata in saved pictures all read `Params.specs()`; a new
parameter is one field here.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
from collections.abc import Mapping
from typing import Any

from .errors import InvalidParams
from .schedulers import SCHEDULER_TABLE
from .soft import SoftInpainting
from .spec import ParamSpec, declare, specs_of

__all__ = ["ParamSpec", "Params"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Params:
    """The recipe of one inpainting: everything but the image, the mask and the model.

    Values are checked and normalised when the recipe is made; `Params.specs()` holds each field's bounds and help.

    Example:
        >>> Params(prompt="a red apple", scheduler="DDIM", denoise=0.6, size=128).size
        (128, 128)

    Raises:
        InvalidParams: A value is of the wrong type, out of bounds or unknown. The message names field, value and
            what is allowed.
    """

    prompt: str = declare("", label="Prompt", help="What to paint into the mask.", kind="text")
    negative_prompt: str = declare(
        "", label="Negative prompt", help="What to stay away from; without effect at guidance 1 or less.", kind="text"
    )
    scheduler: str = declare(
        "DPMSolverMultistep",
        label="Scheduler",
        help="The sampler that turns noise into a picture.",
        kind="choice",
        choices=tuple(SCHEDULER_TABLE),
    )
    steps: int = declare(
        20,
        label="Steps",
        help="Steps of the full schedule; denoise x steps of them are run.",
        kind="int",
        low=1,
        high=500,
        step=1,
    )
    denoise: float = declare(
        1.0,
        label="Denoise",
        help="How much of the schedule is run: 0 keeps the source, 1 starts from pure noise.",
        kind="float",
        low=0,
        high=1,
        step=0.01,
    )
    guidance_scale: float = declare(
        7.5,
        label="Guidance",
        help="How strongly the prompt pulls; 1 or less turns it off.",
        kind="float",
        low=0,
        high=30,
        step=0.1,
    )
    seed: int = declare(0, label="Seed", help="Where the noise comes from.", kind="int", low=0, high=2**53 - 1, step=1)
    mask_blur: float = declare(
        4.0,
        label="Mask blur",
        help="Sigma of the feathered edge, in pixels at `size`.",
        kind="float",
        group="Mask and content",
        low=0,
        high=64,
        step=0.5,
    )
    mask_grow: int = declare(
        0,
        label="Mask grow",
        help="Grows what is painted all around, in pixels of the source; less than 0 shrinks it.",
        kind="int",
        group="Mask and content",
        low=-256,
        high=256,
        step=1,
    )
    mask_invert: bool = declare(
        False,
        label="Mask invert",
        help="Repaint what is not painted, and keep what is.",
        kind="flag",
        group="Mask and content",
    )
    masked_content: str = declare(
        "original",
        label="Masked content",
        help="What the masked region holds before noise is added; without effect at denoise 1.",
        kind="choice",
        group="Mask and content",
        choices=("original", "fill", "latent noise", "latent nothing"),
    )
    conditioning_mask_strength: float = declare(
        1.0,
        label="Conditioning mask strength",
        help="How much of the mask an inpainting model is shown: 1 hides what is masked, 0 shows it the whole source.",
        kind="float",
        group="Mask and content",
        low=0,
        high=1,
        step=0.05,
    )
    differential: bool = declare(
        False,
        label="Differential",
        help="Take the mask's grey as each pixel's own share of the denoise; else grey from half on is painted.",
        kind="flag",
        group="Mask and content",
    )
    color_correction: bool = declare(
        False,
        label="Color correction",
        help="Bring the result's colours towards the source's, by matching histograms in LAB.",
        kind="flag",
        group="Mask and content",
    )
    size: tuple[int, int] | None = declare(
        None,
        label="Size",
        help="Width and height the model works at; None takes the model's own.",
        kind="size",
        group="Size and resize",
        low=8,
        high=4096,
        step=8,
        optional=True,
    )
    resize_mode: str = declare(
        "crop",
        label="Resize mode",
        help="How a source of another aspect is brought to `size`.",
        kind="choice",
        group="Size and resize",
        choices=("stretch", "crop", "fill"),
    )
    padding: int | None = declare(
        None,
        label="Only masked, padding",
        help="Inpaint only the masked region with this margin in pixels of the source; None takes the whole picture.",
        kind="int",
        group="Size and resize",
        low=0,
        high=256,
        step=1,
        optional=True,
    )
    soft: SoftInpainting | None = declare(  # noqa: RUF009 - a dataclass field like the others
        None,
        label="Soft inpainting",
        help="Blend source and result during denoising, by how strongly each part is painted; blur softens it.",
        kind="settings",
        group="Soft inpainting",
        optional=True,
        settings=SoftInpainting,
    )
    sigmas: str = declare(
        "default",
        label="Sigmas",
        help="How noise levels are spaced over the steps.",
        kind="choice",
        group="Sampling",
        choices=("default", "karras", "exponential", "beta"),
    )
    denoise_by: str = declare(
        "steps",
        label="Denoise by",
        help="What equal denoise means for two schedulers: an equal share of the steps, or equal noise at the start.",
        kind="choice",
        group="Sampling",
        choices=("steps", "noise"),
    )
    eta: float = declare(
        0.0,
        label="Eta",
        help="Noise that DDIM and TCD add in each step: 0 is deterministic, 1 is as much as DDPM.",
        kind="float",
        group="Sampling",
        low=0,
        high=1,
        step=0.05,
    )
    image_index: int = declare(
        0,
        label="Image of the seed",
        help="Number of the picture among several of one seed: its noise is that of seed + number.",
        kind="int",
        group="Sampling",
        low=0,
        high=255,
        step=1,
    )
    clip_skip: int = declare(
        0,
        label="Clip skip",
        help="Last layers of the text encoder that are left out; 0 uses all.",
        kind="int",
        group="Sampling",
        low=0,
        high=11,
        step=1,
    )
    prompt_weighting: str = declare(
        "none",
        label="Prompt weighting",
        help="How (brackets)1.3 and plus+ signs in prompts are read: as they stand, or as weights by compel.",
        kind="choice",
        group="Sampling",
        choices=("none", "compel"),
    )

    def __post_init__(self) -> None:
        for name, spec in _SPECS.items():
            if not spec.within:
                object.__setattr__(self, name, spec.check(getattr(self, name)))

    @classmethod
    def specs(cls) -> Mapping[str, ParamSpec]:
        """Return what is known of each parameter, by name, in the order of the fields.

        Settings within a field stand behind it, as `soft_preservation`; `get`, `replace` and axes take those names too.
        """
        return _SPECS

    def get(self, name: str) -> Any:
        """Return a parameter's value by its name in `specs()`; a setting of what is off has its default."""
        spec = _SPECS[name]
        if not spec.within:
            return getattr(self, name)
        settings = getattr(self, spec.within)
        return spec.default if settings is None else getattr(settings, spec.field)

    @property
    def steps_run(self) -> int:
        """Steps of the schedule that are run: `int(denoise * steps)`, diffusers' rule with its float truncation."""
        return min(int(self.steps * self.denoise), self.steps)

    @property
    def guided(self) -> bool:
        """Whether classifier-free guidance is on, so that a step needs two rows of the network."""
        return self.guidance_scale > 1

    @property
    def noise_seed(self) -> int:
        """What the generator is seeded with: the seed, and one more for each further image of it."""
        return self.seed + self.image_index

    def replace(self, **changes: Any) -> Params:
        """Return a recipe with some parameters changed.

        A setting within a field, such as `soft_preservation`, turns the field on, unless the same call turns it off.

        Raises:
            InvalidParams: A name is unknown or a value is not allowed.
        """
        check_names(changes)
        own = {name: value for name, value in changes.items() if not _SPECS[name].within}
        for name, value in changes.items():
            if within := _SPECS[name].within:
                holder = _SPECS[within]
                assert holder.settings is not None
                settings = holder.check(own.get(within, getattr(self, within)))
                if settings is None and within in changes:
                    _SPECS[name].check(value)
                    continue
                own[within] = dataclasses.replace(settings or holder.settings(), **{_SPECS[name].field: value})
        return dataclasses.replace(self, **own)

    def to_dict(self) -> dict[str, Any]:
        """Return the recipe as plain JSON values."""
        fields: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))
        return fields

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Params:
        """Make a recipe from `to_dict`'s values; what they do not name has its default.

        Raises:
            InvalidParams: A field is unknown or a value is not allowed.
        """
        return cls().replace(**values)

    def changes(self) -> dict[str, Any]:
        """Return what differs from the defaults, as plain JSON values by field name."""
        return {name: value for name, value in self.to_dict().items() if value != _DEFAULTS[name]}


_SPECS: Mapping[str, ParamSpec] = specs_of(Params)
_DEFAULTS: Mapping[str, Any] = Params().to_dict()


def check_names(names: Mapping[str, Any]) -> None:
    """Refuse a name that is no parameter.

    Raises:
        InvalidParams: With the nearest known name.
    """
    for name in names:
        if name not in _SPECS:
            close = difflib.get_close_matches(name, _SPECS, 1)
            hint = f" (did you mean {close[0]!r}?)" if close else ""
            raise InvalidParams(f"{name!r} is no parameter; allowed: {', '.join(_SPECS)}{hint}")
