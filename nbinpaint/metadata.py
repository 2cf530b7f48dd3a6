"""The recipe inside the picture: PNG text chunks that nbinpaint and other tools read back.

`nbinpaint` holds the exact recipe and figures as JSON; `parameters` says the same in AUTOMATIC1111's infotext form,
which many tools show.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from .errors import InvalidImage, InvalidParams

if TYPE_CHECKING:
    from .params import Params

__all__ = ["infotext", "parse_infotext", "png_bytes", "read_chunk", "read_params"]

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

_RESIZE = {"stretch": "Just resize", "crop": "Crop and resize", "fill": "Resize and fill"}
_PAIR = re.compile(r'\s*([\w /-]+):\s*("(?:\\.|[^"\\])*"|[^,]*)(?:,|$)')


def infotext(params: Params, model: str = "") -> str:
    """Write a recipe in AUTOMATIC1111's infotext form: prompt, negative prompt, `Steps: 20, Sampler: DDIM, ...`."""
    fields: dict[str, Any] = {
        "Steps": params.steps,
        "Sampler": SAMPLER_NAMES.get(params.scheduler, params.scheduler),
        "CFG scale": f"{params.guidance_scale:g}",
        "Seed": params.seed,
        "Size": f"{params.size[0]}x{params.size[1]}" if params.size else None,
        "Model": model or None,
        "Denoising strength": f"{params.denoise:g}",
        "Mask blur": f"{params.mask_blur:g}",
        "Resize mode": _RESIZE[params.resize_mode],
    }
    lines = [params.prompt]
    if params.negative_prompt:
        lines.append(f"Negative prompt: {params.negative_prompt}")
    lines.append(", ".join(f"{name}: {_quoted(value)}" for name, value in fields.items() if value is not None))
    return "\n".join(lines)


def _quoted(value: Any) -> str:
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if re.search(r'[,:\n"]', text) else text


def parse_infotext(text: str) -> Params:
    """Read a recipe from AUTOMATIC1111's infotext form, as far as it goes; what it does not say has the default.

    Raises:
        InvalidParams: There is no line of settings, or a value is not allowed here.
    """
    from .params import Params

    *lines, last = text.strip().split("\n")
    fields = {name.strip(): _unquoted(value) for name, value in _PAIR.findall(last)}
    if "Steps" not in fields:
        raise InvalidParams(f"infotext {last[:60]!r} holds no settings; allowed: 'Steps: 20, Sampler: DDIM, ...'")
    prompt, _, negative = "\n".join(lines).partition("Negative prompt:")
    values: dict[str, Any] = {"prompt": prompt.strip(), "negative_prompt": negative.strip()}
    try:
        for name, (field, read) in _READERS.items():
            if name in fields:
                values[field] = read(fields[name])
    except (ValueError, KeyError) as error:
        raise InvalidParams(f"infotext: {name}={fields[name]!r} cannot be read here") from error
    return Params(**values)


def _unquoted(value: str) -> str:
    value = value.strip()
    return str(json.loads(value)) if value.startswith('"') else value


def _sampler(name: str) -> str:
    ours = {theirs: ours for ours, theirs in SAMPLER_NAMES.items()}
    return ours.get(name.removesuffix(" Karras"), name)


def _size(text: str) -> tuple[int, int]:
    width, height = text.split("x")
    return int(width), int(height)


_READERS: dict[str, tuple[str, Any]] = {
    "Steps": ("steps", int),
    "Sampler": ("scheduler", _sampler),
    "CFG scale": ("guidance_scale", float),
    "Seed": ("seed", int),
    "Size": ("size", _size),
    "Denoising strength": ("denoise", float),
    "Mask blur": ("mask_blur", float),
    "Resize mode": ("resize_mode", {theirs: ours for ours, theirs in _RESIZE.items()}.__getitem__),
}


def png_bytes(image: Image.Image, params: Params, facts: Mapping[str, Any]) -> bytes:
    """Encode a picture as PNG with its recipe and figures.

    Args:
        image: RGB picture.
        params: The recipe.
        facts: JSON values that go into the `nbinpaint` chunk beside it; `model` also goes into the infotext.
    """
    info = PngInfo()
    info.add_itxt("parameters", infotext(params, str(facts.get("model", ""))))
    info.add_itxt("nbinpaint", json.dumps({"params": params.to_dict(), "facts": dict(facts)}, ensure_ascii=False))
    buffer = io.BytesIO()
    image.save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def read_chunk(picture: Image.Image) -> dict[str, Any] | None:
    """Return the `nbinpaint` chunk of an opened picture, or None where there is none."""
    picture.load()
    text = getattr(picture, "text", {}).get("nbinpaint")
    return json.loads(text) if text else None


def read_params(png: str | Path | bytes | Any) -> Params:
    """Read the recipe that a picture was made with.

    The `nbinpaint` chunk gives it exactly; a picture of another tool is read from its infotext, as far as that goes.

    Args:
        png: A path, bytes, or a file object.

    Raises:
        InvalidImage: No picture, or one that carries no recipe.
        InvalidParams: The recipe holds a value that is not allowed here.
    """
    from .params import Params

    name = str(png) if isinstance(png, (str, Path)) else "the picture"
    try:
        with Image.open(io.BytesIO(png) if isinstance(png, (bytes, bytearray)) else png) as picture:
            chunk = read_chunk(picture)
            text = getattr(picture, "text", {}).get("parameters")
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError) as error:
        raise InvalidImage(f"image {name!r} cannot be read: {error}; allowed: a PNG file or its bytes") from error
    if chunk is not None:
        return Params.from_dict(chunk["params"])
    if text:
        return parse_infotext(text)
    raise InvalidImage(f"image {name!r} carries no recipe; allowed: a PNG saved by nbinpaint or AUTOMATIC1111")
