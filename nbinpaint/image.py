"""Pictures from wherever people have them, as RGB at their own resolution; masks likewise."""

from __future__ import annotations

import base64
import binascii
import io
import re
import urllib.error
import urllib.parse
import urllib.request
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from .errors import InvalidImage, InvalidMask, NbInpaintError

__all__ = ["load_image", "load_mask"]

MOST_PIXELS = 100_000_000
MOST_BYTES = 64 * 2**20
TIMEOUT = 20.0
_ALLOWED = "a path, an http(s) or data URL, bytes, a numpy array or a PIL image"
_DATA_URL = re.compile(r"data:(?P<type>[\w/+.-]*)(?:;[\w=.-]+)*?(?P<base64>;base64)?,(?P<data>.*)", re.DOTALL)


def load_image(source: Any) -> Image.Image:
    """Load a picture as RGB at its own resolution.

    EXIF orientation is applied. Transparent pixels are laid over white. 16-bit greyscale is scaled to 8 bits,
    floating-point arrays are taken as 0 to 1, palettes and CMYK are converted, and of an animation the first frame
    is taken.

    Args:
        source: A path, an http(s) URL, a data URL, bytes or a file object, a numpy array (H, W), (H, W, 1), (H, W,
            3) or (H, W, 4) of uint8, uint16, bool or float 0 to 1, a PIL image, or the value of an ipywidgets
            `FileUpload`.

    Raises:
        InvalidImage: Not a picture, damaged, or larger than 100 megapixels (64 MB over http).
    """
    return _rgb(_open(source))


def load_mask(
    source: Any,
    size: tuple[int, int] | None = None,
    channel: Literal["auto", "alpha", "luminance"] = "auto",
    *,
    grey: bool = False,
) -> NDArray[np.uint8]:
    """Load a mask as uint8 (H, W): 255 = repaint, 0 = keep.

    Luminance of 128 and above is repainted: white on black. A picture with transparent parts is read by its alpha
    channel instead, as image editors and hosted editing services have it: what was erased (alpha under 128) is
    repainted. `channel` overrides the choice.

    Args:
        source: Whatever `load_image` takes.
        size: (width, height) that the mask must have.
        channel: "auto", "alpha" or "luminance".
        grey: Keep the values between: each pixel's own strength, as differential inpainting takes it.

    Raises:
        InvalidMask: Not readable, of another size, or without an alpha channel where one was asked for.
    """
    try:
        picture = _open(source)
    except NbInpaintError as error:
        raise InvalidMask(str(error).replace("image", "mask", 1)) from error
    if size is not None and picture.size != tuple(size):
        raise InvalidMask(
            f"mask is {picture.width} x {picture.height}; allowed: the image's own size, {size[0]} x {size[1]}"
        )
    alpha = _alpha(picture)
    if channel == "alpha" and alpha is None:
        raise InvalidMask(f"mask has no alpha channel (mode {picture.mode}); allowed: channel='luminance'")
    if alpha is not None and (channel == "alpha" or (channel == "auto" and int(alpha.min()) < 128)):
        values = 255 - alpha.astype(np.uint8)
    else:
        values = np.array(_rgb(picture).convert("L"))
    return values if grey else np.where(values >= 128, np.uint8(255), np.uint8(0))


def _open(source: Any) -> Image.Image:
    """Return a decoded PIL image of whatever mode, upright."""
    if isinstance(source, Image.Image):
        return _finish(source, "a PIL image")
    if isinstance(source, np.ndarray):
        return _from_array(source)
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _decode(bytes(source), f"{len(source)} bytes")
    if isinstance(source, Path):
        return _from_path(source)
    if isinstance(source, str):
        return _from_text(source)
    if hasattr(source, "read"):
        return _from_file(source)
    if isinstance(source, (tuple, list)) and len(source) == 1:
        return _open(source[0])
    if isinstance(source, Mapping) and "content" in source:
        return _decode(bytes(source["content"]), source.get("name", "an upload"))
    raise InvalidImage(f"image of type {type(source).__name__} cannot be read; allowed: {_ALLOWED}")


def _from_text(text: str) -> Image.Image:
    scheme = text[:6].casefold()
    if scheme.startswith(("http:/", "https:")):
        return _decode(_download(text), text)
    if scheme.startswith("data:"):
        return _decode(_data_url(text), text[:40] + "...")
    try:
        return _from_path(Path(text).expanduser())
    except RuntimeError as error:  # ~somebody who is not known here
        raise InvalidImage(f"image {text!r} cannot be read: {error}") from error


def _from_file(file: Any) -> Image.Image:
    name = getattr(file, "name", "a file object")
    try:
        content = file.read()
    except (OSError, ValueError) as error:
        raise InvalidImage(f"image {name!r} cannot be read: {error}") from error
    return _decode(content, name)


def _from_path(path: Path) -> Image.Image:
    try:
        return _decode(path.read_bytes(), str(path))
    except FileNotFoundError:
        raise InvalidImage(f"image {str(path)!r} does not exist; allowed: {_ALLOWED}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InvalidImage(f"image {str(path)!r} cannot be read: {reason}") from error


def _data_url(text: str) -> bytes:
    match = _DATA_URL.fullmatch(text)
    if match is None:
        raise InvalidImage(f"image {text[:40]!r}... is no data URL; allowed: data:image/png;base64,...")
    try:
        return base64.b64decode(match["data"]) if match["base64"] else urllib.parse.unquote_to_bytes(match["data"])
    except (binascii.Error, ValueError) as error:
        raise InvalidImage(f"image {text[:40]!r}... is damaged: {error}") from error


def _download(url: str) -> bytes:
    try:
        request = urllib.request.Request(url, headers={"User-Agent": "nbinpaint", "Accept": "image/*"})
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            kind = answer.headers.get_content_type()
            if not (kind.startswith("image/") or kind in ("application/octet-stream", "binary/octet-stream")):
                raise InvalidImage(f"image {url!r} is {kind}; allowed: the address of a picture itself, not of a page")
            content: bytes = answer.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise InvalidImage(f"image {url!r} cannot be fetched: {reason}") from error
    if len(content) > MOST_BYTES:
        raise InvalidImage(f"image {url!r} is larger than {MOST_BYTES // 2**20} MB, the most that is fetched")
    return content


def _decode(content: bytes, name: str) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own limit warns at a different size than ours
            picture = Image.open(io.BytesIO(content))
    except Image.DecompressionBombError as error:
        raise InvalidImage(
            f"image {name!r} is too large: {error}; allowed: {MOST_PIXELS // 10**6} megapixels"
        ) from error
    except Exception as error:
        raise InvalidImage(
            f"image {name!r} is damaged or no picture: {error}; allowed: PNG, JPEG, WebP, ..."
        ) from error
    return _finish(picture, name)


def _finish(picture: Image.Image, name: str) -> Image.Image:
    """Check the size before anything is decoded, decode, and turn upright."""
    _check_pixels(picture.width, picture.height, name)
    try:
        picture.load()
        return ImageOps.exif_transpose(picture)
    except Exception as error:
        raise InvalidImage(f"image {name!r} is damaged: {error}; allowed: PNG, JPEG, WebP, ...") from error


def _check_pixels(width: int, height: int, name: str) -> None:
    if width * height > MOST_PIXELS:
        raise InvalidImage(
            f"image {name!r} is {width} x {height}, {width * height / 1e6:.0f} megapixels; "
            f"allowed: {MOST_PIXELS // 10**6} megapixels"
        )


def _from_array(array: NDArray[Any]) -> Image.Image:
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.size == 0 or array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        raise InvalidImage(
            f"image array of shape {array.shape}; allowed: (height, width), (height, width, 3) or (height, width, 4)"
        )
    _check_pixels(array.shape[1], array.shape[0], "array")
    if array.dtype == bool:
        array = array.astype(np.uint8) * 255
    elif array.dtype == np.uint16:
        array = np.rint(array / 257).astype(np.uint8)
    elif np.issubdtype(array.dtype, np.floating):
        if not (np.isfinite(array).all() and array.min() >= 0 and array.max() <= 1):
            raise InvalidImage(
                "image array of floating-point numbers leaves 0 to 1; allowed: 0 to 1, or uint8 0 to 255"
            )
        array = np.rint(array * 255).astype(np.uint8)
    elif array.dtype != np.uint8:
        raise InvalidImage(f"image array of {array.dtype}; allowed: uint8, uint16, bool, or float 0 to 1")
    return Image.fromarray(np.ascontiguousarray(array))


def _alpha(picture: Image.Image) -> NDArray[np.uint8] | None:
    """Return the alpha channel, uint8 (H, W), or None where there is none."""
    if picture.mode == "P" and "transparency" in picture.info:
        picture = picture.convert("RGBA")
    if picture.mode in ("RGBA", "LA", "PA", "La", "RGBa"):
        return np.asarray(picture.convert("RGBA").getchannel("A"))
    return None


def _rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I") or picture.mode == "F":
        return _from_deep(picture)
    if _alpha(picture) is not None or "transparency" in picture.info:
        over = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", over.size, "white"), over)
    return picture.convert("RGB")


def _from_deep(picture: Image.Image) -> Image.Image:
    """Scale 16-bit greyscale to 8 bits; Pillow's own conversion clips it."""
    values = np.asarray(picture).astype(np.float64)
    if not np.isfinite(values).all():
        raise InvalidImage("image holds values that are no numbers; allowed: finite ones")
    if picture.mode == "F" and values.max() <= 1:
        values *= 65535
    return Image.fromarray(np.rint(values.clip(0, 65535) / 257).astype(np.uint8)).convert("RGB")
