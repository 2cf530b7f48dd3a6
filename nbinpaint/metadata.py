"""The recipe inside the picture: PNG text chunks that nbinpaint and other tools read back.

`nbinpaint` holds the exact recipe and figures as JSON; `parameters` says the same in AUTOMATIC1111's infotext form,
which many tools show.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from .errors import InvalidImage
from .infotext import infotext, parse_infotext
from .params import Params

__all__ = ["png_bytes", "read_chunk", "read_params"]


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
