"""A sweep is a plan: one image, one mask, a base recipe and named axes give an ordered set of grid cells.

Nothing here computes a picture; whatever is wrong with a plan is said before anything runs.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from .axes import axis_labels, axis_values
from .errors import InvalidParams
from .image import load_image, load_mask
from .mask import check_mask, has_grey
from .params import Params, check_names
from .prompts import PROMPT_AXES, PromptTool
from .region import MASK_FIELDS, check_left

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

__all__ = ["GridCell", "Source", "Sweep", "resolve_axes", "result_key"]


@dataclass(frozen=True, eq=False)
class Source:
    """A photograph and the mask painted on it, at their own resolution.

    Attributes:
        image: RGB picture.
        mask: uint8 (H, W), 255 = repaint, 0 = keep; what lies between is a strength where a recipe is differential or
            soft, and otherwise painted from 128 on.
    """

    image: Image.Image
    mask: np.ndarray

    @classmethod
    def load(cls, image: Any, mask: Any) -> Source:
        """Load both from whatever `load_image` and `load_mask` take.

        Raises:
            InvalidImage: The image cannot be read.
            InvalidMask: The mask cannot be read, is empty, or is of another size than the image.
        """
        picture = load_image(image)
        array = load_mask(mask, size=picture.size, grey=True)
        check_mask(array, picture.size, least=1)
        return cls(picture, array)

    @cached_property
    def image_digest(self) -> str:
        """SHA-256 over the image's size and pixels, as hexadecimal text."""
        return hashlib.sha256(repr(self.image.size).encode() + self.image.tobytes()).hexdigest()

    @cached_property
    def has_grey(self) -> bool:
        """Whether the mask holds anything between kept and painted."""
        return has_grey(self.mask)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over both pictures, as hexadecimal text."""
        return hashlib.sha256(self.image_digest.encode() + self.mask.tobytes()).hexdigest()


@dataclass(frozen=True, eq=False)
class GridCell:
    """One picture to make: where it stands in the sweep and its whole recipe.

    Attributes:
        index: Place in the sweep's order, from 0.
        coordinates: Axis name to this cell's value, in the order of the axes.
        params: The whole recipe.
        source: The image and mask.
    """

    index: int
    coordinates: Mapping[str, Any]
    params: Params
    source: Source


def result_key(params: Params, source: Source, fingerprint: str) -> str:
    """Name what is computed, whichever sweep asks for it: the same key means the same picture.

    Args:
        params: The recipe with its size resolved.
        source: Image and mask.
        fingerprint: The engine's.
    """
    # Only what differs from the defaults: a parameter that is added one day changes no key.
    recipe = json.dumps([params.changes(), source.digest, fingerprint], sort_keys=True)
    return hashlib.sha256(recipe.encode()).hexdigest()[:20]


def resolve_axes(params: Params, axes: Mapping[str, Any]) -> Mapping[str, tuple[Any, ...]]:
    """Turn axes as a person gives them into values by field of `Params`.

    Args:
        params: The base recipe; prompt tools work on its prompts.
        axes: Field of `Params` = values, as a list or as text (see `nbinpaint.axes.axis_values`); a field that holds a
            text may be given a prompt tool, and the names of `nbinpaint.prompts.PROMPT_AXES` stand for one.

    Returns:
        The axes in the order given, each value as the recipe holds it.

    Raises:
        InvalidParams: An axis is no field, runs over the same field as another, or a value is out of bounds.
    """
    check_names({name: value for name, value in axes.items() if name not in PROMPT_AXES})
    specs = Params.specs()
    resolved: dict[str, tuple[Any, ...]] = {}
    for name, given in axes.items():
        field, read = PROMPT_AXES.get(name, (name, None))
        if field in resolved:
            raise InvalidParams(f"{name}={given!r}: {field} is an axis already; allowed: one axis over each parameter")
        values = read(given) if read is not None and isinstance(given, str) else given
        if isinstance(values, PromptTool):
            if specs[field].kind != "text":
                raise InvalidParams(f"{name}={given!r} is for texts; allowed for {field}: {specs[field].allowed()}")
            values = values.prompts(params.get(field), field)
        elif read is not None:
            raise InvalidParams(f"{name}={given!r} is no prompt tool; allowed: a text such as 'apple, pear, plum'")
        resolved[field] = axis_values(specs[field], values)
    return resolved


class Sweep:
    """An image, a mask, a base recipe and axes by field name.

    The first axis is the slowest and gives the rows, the second the columns of a grid.

    Args:
        image: Whatever `load_image` takes.
        mask: Whatever `load_mask` takes; as large as the image, white (255) = repaint.
        params: The base recipe; its own defaults where None.
        **axes: Field of `Params` = values, as a list or as text; see `nbinpaint.axes.axis_values`. Prompts may be made
            by `SearchReplace` and `PromptOrder`, or in text by `prompt_replace` and `prompt_order`.

    Raises:
        InvalidParams: An axis is no field of `Params`, or a value is out of bounds.
        InvalidImage: The image cannot be read.
        InvalidMask: The mask is empty, unreadable, or of another size.

    Example:
        >>> sweep = Sweep("photo.jpg", "mask.png", scheduler=["DDIM", "PNDM"], denoise="0.4-1.0 [4]")  # doctest: +SKIP
        >>> sweep.shape  # doctest: +SKIP
        (2, 4)

    Attributes:
        params: The base recipe.
        axes: Field of `Params` to its values, in the order of the axes.
        source: The image and mask.
    """

    def __init__(self, image: Any, mask: Any, params: Params | None = None, /, **axes: Any) -> None:
        if params is not None and not isinstance(params, Params):
            raise InvalidParams(f"params={params!r} is no recipe; allowed: nbinpaint.Params(...) or None")
        self.params = params or Params()
        self.axes: Mapping[str, tuple[Any, ...]] = resolve_axes(self.params, axes)
        self.source = Source.load(image, mask)
        self._check_masks()

    def _check_masks(self) -> None:
        """Refuse a recipe that leaves nothing of the mask."""
        chosen = [self.axes.get(name, (self.params.get(name),)) for name in MASK_FIELDS]
        for values in itertools.product(*chosen):
            check_left(self.source, self.params.replace(**dict(zip(MASK_FIELDS, values, strict=True))))

    @cached_property
    def labels(self) -> Mapping[str, tuple[str, ...]]:
        """A header for each value of each axis; where prompts differ in some words only, those words."""
        specs = Params.specs()
        return {name: axis_labels(specs[name], values) for name, values in self.axes.items()}

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis, in order."""
        return tuple(len(values) for values in self.axes.values())

    def __len__(self) -> int:
        return math.prod(self.shape)

    def __repr__(self) -> str:
        axes = ", ".join(f"{name}: {len(values)}" for name, values in self.axes.items()) or "no axes"
        width, height = self.source.image.size
        return f"<Sweep of {len(self)} grid cells ({axes}) over a {width} x {height} image>"

    @cached_property
    def cells(self) -> tuple[GridCell, ...]:
        """Every grid cell, the last axis running fastest."""
        names = tuple(self.axes)
        points = (dict(zip(names, values, strict=True)) for values in itertools.product(*self.axes.values()))
        return tuple(
            GridCell(index, point, self.params.replace(**point), self.source) for index, point in enumerate(points)
        )
