"""Turns two open icon collections into square sprites, and dresses a sprite in another colour."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from training.domain import COLOURS, NOUNS

# Both may be redistributed: Noto Emoji under Apache-2.0, Fluent Emoji under MIT.
COLLECTIONS = ("@iconify-json/noto@1.2.9", "@iconify-json/fluent-emoji-flat@1.2.6")
SIDE = 256

# Hue, saturation and value (0-1) that the main colour of a recoloured sprite gets.
TARGETS: dict[str, tuple[float, float, float]] = {
    "red": (0.995, 0.84, 0.88),
    "orange": (0.085, 0.90, 0.97),
    "yellow": (0.138, 0.82, 0.98),
    "green": (0.360, 0.72, 0.66),
    "blue": (0.618, 0.80, 0.86),
    "purple": (0.765, 0.70, 0.75),
    "pink": (0.925, 0.47, 0.97),
    "white": (0.0, 0.02, 0.97),
    "black": (0.0, 0.05, 0.14),
    "brown": (0.070, 0.67, 0.51),
}
_store = Path.home() / ".cache" / "nbinpaint-training"


def use(work: Path) -> None:
    """Keep downloaded icons under `work`."""
    global _store
    _store = work


@cache
def _collection(package: str) -> dict:
    folder = _store / "icons"
    name = package.lstrip("@").replace("/", "-").rsplit("@", 1)
    archive = folder / f"{name[0]}-{name[1]}.tgz"
    if not archive.exists():
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["npm", "pack", package], cwd=folder, check=True, capture_output=True)
    with tarfile.open(archive) as packed:
        member = packed.extractfile("package/icons.json")
        assert member is not None
        return json.load(member)


@cache
def _drawn(package: str, icon: str) -> Image.Image:
    import resvg_py

    data = _collection(package)
    entry = data["icons"][icon]
    width = entry.get("width", data.get("width", data.get("height", 16)))
    height = entry.get("height", data.get("height", 16))
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="0 0 {width} {height}" width="{SIDE}" height="{SIDE}">{entry["body"]}</svg>'
    )
    png = bytes(resvg_py.svg_to_bytes(svg_string=svg, width=SIDE, height=SIDE))
    image = Image.open(io.BytesIO(png)).convert("RGBA")
    image = image.crop(image.getchannel("A").getbbox())
    side = max(image.size)
    square = Image.new("RGBA", (side, side))
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return square.resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def sprite(noun: str, variant: int, colour: str | None = None) -> Image.Image:
    """The `noun` as an RGBA square, trimmed to its outline; `variant` picks the collection."""
    image = _drawn(COLLECTIONS[variant % len(COLLECTIONS)], NOUNS[noun].icon)
    return recoloured(image, colour) if colour else image


@cache
def cached_sprite(noun: str, variant: int, colour: str | None) -> Image.Image:
    """`sprite`, remembered: rendering asks for the same few hundred again and again."""
    return sprite(noun, variant, colour)


def recoloured(image: Image.Image, colour: str) -> Image.Image:
    """Moves the sprite's dominant hue to `colour`, keeping its shading and its other hues."""
    if colour not in COLOURS:
        raise ValueError(f"unknown colour: {colour}")
    hsv = np.asarray(image.convert("RGB").convert("HSV"), np.float32) / 255
    alpha = np.asarray(image.getchannel("A"))
    hue, saturation, value = hsv[..., 0], hsv[..., 1], hsv[..., 2]
    vivid = (saturation > 0.3) & (value > 0.25) & (alpha > 128)
    counts = np.bincount((hue[vivid] * 36).astype(int) % 36, minlength=36)
    smooth = counts + 0.5 * (np.roll(counts, 1) + np.roll(counts, -1))
    main = (smooth.argmax() + 0.5) / 36
    off = (hue - main + 0.5) % 1 - 0.5
    chosen = (np.abs(off) < 0.10) & (saturation > 0.25)
    core = chosen & (alpha > 128)
    h, s, v = TARGETS[colour]
    hsv[..., 0] = np.where(chosen, (h + 0.3 * off) % 1, hue)
    hsv[..., 1] = np.where(chosen, np.clip(saturation / saturation[core].mean() * s, 0, 1), saturation)
    hsv[..., 2] = np.where(chosen, np.clip(v + (value - value[core].mean()) * 0.6, 0, 1), value)
    out = Image.fromarray((hsv * 255).round().astype(np.uint8), "HSV").convert("RGBA")
    out.putalpha(image.getchannel("A"))
    return out
