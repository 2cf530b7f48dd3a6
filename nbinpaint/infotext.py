"""The recipe in AUTOMATIC1111's infotext form, which many tools show: `a red apple ... Steps: 20, Sampler: DDIM, ...`.

One table says how each parameter is called there. What AUTOMATIC1111 has no name for is written under the parameter's
own label, so that a recipe comes back whole.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from .errors import InvalidParams
from .params import Params

__all__ = ["infotext", "parse_infotext"]

SAMPLER_NAMES = {
    "DDIM": "DDIM",
    "K_EULER": "Euler",
    "DPMSolverMultistep": "DPM++ 2M",
    "K_EULER_ANCESTRAL": "Euler a",
    "PNDM": "PLMS",
    "KLMS": "LMS",
    "Heun": "Heun",
    "UniPC": "UniPC",
    "DPM++ 2M SDE": "DPM++ 2M SDE",
    "DPM++ SDE": "DPM++ SDE",
    "DPM2": "DPM2",
    "DPM2 a": "DPM2 a",
    "LCM": "LCM",
}
"""Our names and AUTOMATIC1111's; a scheduler that it does not have keeps ours."""

_SCHEDULE_TYPES = {"default": "Automatic", "karras": "Karras", "exponential": "Exponential", "beta": "Beta"}
_RESIZE = {"stretch": "Just resize", "crop": "Crop and resize", "fill": "Resize and fill"}
_SOFT = {
    "schedule_bias": "Soft inpainting schedule bias",
    "preservation": "Soft inpainting preservation strength",
    "transition_contrast": "Soft inpainting transition contrast boost",
    "mask_influence": "Soft inpainting mask influence",
    "difference_threshold": "Soft inpainting difference threshold",
    "difference_contrast": "Soft inpainting difference contrast",
}
_SOFT_ON = "Soft inpainting enabled"
_PADDING = 32
"""AUTOMATIC1111's own padding, where a text does not say."""
_PAIR = re.compile(r'\s*([\w /-]+):\s*("(?:\\.|[^"\\])*"|[^,]*)(?:,|$)')

Fields = Mapping[str, str]


def infotext(params: Params, model: str = "") -> str:
    """Write a recipe in AUTOMATIC1111's infotext form: prompt, negative prompt, `Steps: 20, Sampler: DDIM, ...`."""
    fields: dict[str, Any] = {}
    for entry in _TABLE:
        fields |= entry.write(params)
        if entry.name == "Size" and model:
            fields["Model"] = model
    lines = [params.prompt]
    if params.negative_prompt:
        lines.append(f"Negative prompt: {params.negative_prompt}")
    lines.append(", ".join(f"{name}: {_quoted(value)}" for name, value in fields.items()))
    return "\n".join(lines)


def parse_infotext(text: str) -> Params:
    """Read a recipe from AUTOMATIC1111's infotext form, as far as it goes; what it does not say has the default.

    Raises:
        InvalidParams: There is no line of settings, or a value is not allowed here.
    """
    *lines, last = text.strip().split("\n")
    fields = {name.strip(): _unquoted(value) for name, value in _PAIR.findall(last)}
    if "Steps" not in fields:
        raise InvalidParams(f"infotext {last[:60]!r} holds no settings; allowed: 'Steps: 20, Sampler: DDIM, ...'")
    prompt, _, negative = "\n".join(lines).partition("Negative prompt:")
    values: dict[str, Any] = {"prompt": prompt.strip(), "negative_prompt": negative.strip()}
    for entry in _TABLE:
        if entry.name in fields:
            try:
                values |= entry.read(fields)
            except (ValueError, KeyError) as error:
                raise InvalidParams(f"infotext: {entry.name}={fields[entry.name]!r} cannot be read here") from error
    return Params(**values)


def _quoted(value: Any) -> str:
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if re.search(r'[,:\n"]', text) else text


def _unquoted(value: str) -> str:
    value = value.strip()
    return str(json.loads(value)) if value.startswith('"') else value


# --- the table ---


class _Entry(NamedTuple):
    """One name of the infotext.

    Attributes:
        name: The name that stands for it; others may come with it.
        write: From a recipe to names and values; nothing where the recipe needs no word of it.
        read: From all names and their texts to values of `Params`; called where `name` is among them.
    """

    name: str
    write: Callable[[Params], dict[str, Any]]
    read: Callable[[Fields], dict[str, Any]]


def _plain(
    name: str,
    field: str,
    read: Callable[[str], Any],
    write: Callable[[Any], Any] = str,
    always: bool = False,
) -> _Entry:
    """A parameter with one name; where it has its default it is written only if `always`."""
    default = Params.specs()[field].default

    def to_text(params: Params) -> dict[str, Any]:
        value = getattr(params, field)
        return {name: write(value)} if always or value != default else {}

    return _Entry(name, to_text, lambda fields: {field: read(fields[name])})


def _number(value: float) -> str:
    """The shortest text that reads back as the same number."""
    return repr(value).removesuffix(".0")


def _flag(text: str) -> bool:
    return {"true": True, "false": False}[text.casefold()]


def _size(text: str) -> tuple[int, int]:
    width, height = text.split("x")
    return int(width), int(height)


def _write_sampler(params: Params) -> dict[str, Any]:
    return {
        "Sampler": SAMPLER_NAMES.get(params.scheduler, params.scheduler),
        "Schedule type": _SCHEDULE_TYPES[params.sigmas],
    }


def _read_sampler(fields: Fields) -> dict[str, Any]:
    """Read both; up to version 1.8 the schedule stands behind the sampler's name, as in `DPM++ 2M Karras`."""
    name, schedule = fields["Sampler"], fields.get("Schedule type", "Automatic")
    for theirs in _SCHEDULE_TYPES.values():
        if name.endswith(f" {theirs}"):
            name, schedule = name.removesuffix(f" {theirs}"), theirs
    samplers = {theirs: ours for ours, theirs in SAMPLER_NAMES.items()}
    # Their "Uniform" spaces timesteps evenly, as schedulers do by default.
    sigmas = {theirs.casefold(): ours for ours, theirs in _SCHEDULE_TYPES.items()} | {"uniform": "default"}
    return {"scheduler": samplers.get(name, name), "sigmas": sigmas.get(schedule.casefold(), schedule)}


def _write_seed(params: Params) -> dict[str, Any]:
    """The number that makes the noise, as theirs; ours beside it tells how many it is from the recipe's seed."""
    return {"Seed": params.noise_seed} | ({"Batch pos": params.image_index} if params.image_index else {})


def _read_seed(fields: Fields) -> dict[str, Any]:
    seed, place = int(fields["Seed"]), int(fields.get("Batch pos", 0))
    return {"seed": seed - place, "image_index": place} if place <= seed else {"seed": seed}


def _write_area(params: Params) -> dict[str, Any]:
    return {} if params.padding is None else {"Inpaint area": "Only masked", "Masked area padding": params.padding}


def _read_area(fields: Fields) -> dict[str, Any]:
    only = {"Only masked": True, "Whole picture": False}[fields["Inpaint area"]]
    return {"padding": int(fields.get("Masked area padding", _PADDING)) if only else None}


def _write_soft(params: Params) -> dict[str, Any]:
    soft = params.soft
    if soft is None:
        return {}
    return {_SOFT_ON: True} | {name: _number(getattr(soft, setting)) for setting, name in _SOFT.items()}


def _read_soft(fields: Fields) -> dict[str, Any]:
    settings = {setting: float(fields[name]) for setting, name in _SOFT.items() if name in fields}
    return {"soft": settings if _flag(fields[_SOFT_ON]) else None}


_TABLE: tuple[_Entry, ...] = (
    _plain("Steps", "steps", int, always=True),
    _Entry("Sampler", _write_sampler, _read_sampler),
    _plain("CFG scale", "guidance_scale", float, _number, always=True),
    _Entry("Seed", _write_seed, _read_seed),
    _plain("Size", "size", _size, lambda size: f"{size[0]}x{size[1]}"),
    _plain("Denoising strength", "denoise", float, _number, always=True),
    _plain("Conditional mask weight", "conditioning_mask_strength", float, _number),
    _plain("Clip skip", "clip_skip", lambda text: max(int(text) - 1, 0), lambda skipped: skipped + 1),
    _plain("Eta DDIM", "eta", float, _number),
    _Entry(_SOFT_ON, _write_soft, _read_soft),
    _plain(
        "Mask mode",
        "mask_invert",
        {"Inpaint masked": False, "Inpaint not masked": True}.__getitem__,
        lambda _: "Inpaint not masked",
    ),
    _plain("Mask blur", "mask_blur", float, _number, always=True),
    _Entry("Inpaint area", _write_area, _read_area),
    _plain("Masked content", "masked_content", str),
    _plain(
        "Resize mode",
        "resize_mode",
        {theirs: ours for ours, theirs in _RESIZE.items()}.__getitem__,
        _RESIZE.__getitem__,
        always=True,
    ),
    # From here on names that AUTOMATIC1111 does not have.
    _plain("Color correction", "color_correction", _flag),
    _plain("Mask grow", "mask_grow", int),
    _plain("Differential", "differential", _flag),
    _plain("Denoise by", "denoise_by", str),
    _plain("Prompt weighting", "prompt_weighting", str),
)
