"""Pictures to start with: scenes from the embedded model's own domain, and photographs that scikit-image ships."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from ..errors import InvalidImage

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Sample", "sample", "samples"]

_FOLDER = Path(__file__).parent


@dataclass(frozen=True, eq=False)
class Sample:
    """A picture with a mask and a prompt that fit it.

    Attributes:
        name: What `sample` takes.
        title: What it shows.
        image: RGB picture.
        mask: uint8 (H, W), 255 = repaint.
        prompt: Something to paint into the mask.
    """

    name: str
    title: str
    image: Image.Image
    mask: NDArray[np.uint8]
    prompt: str


@dataclass(frozen=True)
class _Photo:
    """A photograph of scikit-image's and the ellipse (x0, y0, x1, y1) that masks its subject."""

    file: str
    title: str
    ellipse: tuple[int, int, int, int]
    prompt: str


_PHOTOS = {
    "astronaut": _Photo("astronaut.png", "Eileen Collins, NASA (public domain)", (150, 0, 300, 215), "a cat"),
    "cat": _Photo("chelsea.png", "Chelsea the cat, Stéfan van der Walt (CC0)", (110, 40, 330, 270), "a dog"),
    "coffee": _Photo("coffee.png", "A cup of coffee, Rachel Michetti (CC0)", (150, 60, 460, 340), "an orange"),
}


def _scenes() -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for entry in json.loads((_FOLDER / "samples.json").read_text("utf-8")):
        found[entry["name"]] = entry
    return found


def samples() -> tuple[str, ...]:
    """Return the names that `sample` takes: scenes the embedded model knows first, then photographs."""
    return (*_scenes(), *_PHOTOS)


def sample(name: str = "meadow") -> Sample:
    """Return a picture with a mask and a prompt that fit it.

    Raises:
        InvalidImage: There is no sample of that name; the message lists them.
    """
    if name in _PHOTOS:
        return _photo(name, _PHOTOS[name])
    scene = _scenes().get(name)
    if scene is None:
        raise InvalidImage(f"sample {name!r} is unknown; allowed: {', '.join(samples())}")
    image = Image.open(_FOLDER / scene["image"]).convert("RGB")
    mask = np.array(Image.open(_FOLDER / scene["mask"]).convert("L"))
    return Sample(name, scene["title"], image, mask, scene["prompt"])


def _photo(name: str, photo: _Photo) -> Sample:
    import skimage

    image = Image.open(Path(skimage.__file__).parent / "data" / photo.file).convert("RGB")
    mask = Image.new("L", image.size)
    ImageDraw.Draw(mask).ellipse(photo.ellipse, fill=255)
    return Sample(name, photo.title, image, np.array(mask), photo.prompt)
