"""What one grid cell came to: a `Result` with its pictures and figures, or a `Failure` that keeps its message."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from .color import match_colors
from .mask import composite
from .metadata import png_bytes
from .placement import Placement
from .region import Region, region_of

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

    from .params import Params
    from .sweep import Source

__all__ = ["Failure", "Result"]


@dataclass(frozen=True, eq=False)
class Result:
    """One finished inpainting.

    Attributes:
        params: The recipe, with the size that was used.
        raw: The model's own output at `params.size`, RGB, before blending. A neutral grey where `flagged`.
        source: The image and mask it was made from.
        steps_run: Denoising steps that were run: `int(denoise * steps)`.
        evaluations: Calls of the denoising network; higher-order schedulers need more than one a step.
        sigma_start: Noise level at the start, as sigma = sqrt((1 - alpha_bar) / alpha_bar); 0 where no step was run.
        seconds: Computing time of this grid cell; of what it shared with others in a batch, its share by rows.
        flagged: Whether the model's safety checker withheld the picture.
        model: Name of the model.
        blend: How much of the generated picture goes into the result, greyscale at `params.size`, white for all of it;
            None where that follows from the mask alone.
    """

    params: Params
    raw: Image.Image
    source: Source
    steps_run: int
    evaluations: int
    sigma_start: float
    seconds: float
    flagged: bool = False
    model: str = ""
    blend: Image.Image | None = None

    @property
    def region(self) -> Region:
        """What of the source was repainted, and where on the model's canvas it lay."""
        return region_of(self.source, self.params)

    @property
    def placement(self) -> Placement:
        """How the source maps onto the model's canvas."""
        return self.region.placement

    @property
    def placed(self) -> Image.Image:
        """The source, or the part of it that was worked on, as it lay on the model's canvas: RGB at `params.size`."""
        return _placed(self.source, self.placement)

    @cached_property
    def generated(self) -> Image.Image:
        """What is blended into the source: `raw`, with its colours corrected where the recipe asks for it."""
        return match_colors(self.raw, self.placed) if self.params.color_correction else self.raw

    @cached_property
    def image(self) -> Image.Image:
        """The generated pixels blended into the resized source, RGB at `params.size`."""
        weight = _weight(self.region, self.params.mask_blur) if self.blend is None else _unit(self.blend)
        return composite(self.generated, self.placed, weight)

    @property
    def full(self) -> Image.Image:
        """The result at the source's own resolution, RGB: outside the feathered mask every byte is the source's.

        Made anew at each access, so that a large study does not hold hundreds of large pictures.
        """
        if self.steps_run == 0:
            return self.source.image.copy()
        region = self.region
        weight = region.full_weight(self.params.mask_blur)
        if self.blend is not None:
            # Brought back from a coarser canvas it would reach a little beyond the feather.
            weight = np.where(weight > 0, region.placement.weight_back(_unit(self.blend)), np.float32(0))
        return region.placement.restore(self.generated, self.source.image, weight)

    @property
    def facts(self) -> dict[str, Any]:
        """The measured figures as plain JSON values."""
        return {name: getattr(self, name) for name in FACTS}

    def png(self) -> bytes:
        """Return `image` as PNG with the recipe in its text chunks; `nbinpaint.read_params` reads it back."""
        return self.encode(self.image)

    def encode(self, image: Image.Image) -> bytes:
        """Return any of this result's pictures as PNG with the recipe and figures in its text chunks."""
        return png_bytes(image, self.params, self.facts)

    def _repr_png_(self) -> bytes:
        return self.png()

    def __repr__(self) -> str:
        p = self.params
        state = "withheld by the safety checker, " if self.flagged else ""
        return (
            f"<Result {p.scheduler}, denoise {p.denoise:g}, {self.steps_run} of {p.steps} steps, "
            f"{p.size[0]} x {p.size[1]}, {state}{self.seconds:.2f} s>"
            if p.size
            else f"<Result {p.scheduler}>"
        )


@lru_cache(maxsize=8)
def _placed(source: Source, placement: Placement) -> Image.Image:
    """The resized source, which all grid cells of one size share."""
    return placement.image(source.image)


@lru_cache(maxsize=8)
def _weight(region: Region, blur: float) -> NDArray[np.float32]:
    return region.weight(blur)


def _unit(blend: Image.Image) -> NDArray[np.float32]:
    return np.asarray(np.asarray(blend) / 255, np.float32)


FACTS = tuple(f.name for f in dataclasses.fields(Result) if f.name not in ("params", "raw", "source", "blend"))


@dataclass(frozen=True)
class Failure:
    """Why a grid cell has no picture.

    Attributes:
        message: What went wrong, in a sentence.
        kind: The error's class name.
    """

    message: str
    kind: str = "Error"

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """Keep an exception's message; one without a message is named by its class."""
        return cls(str(error) or type(error).__name__, type(error).__name__)

    @classmethod
    def from_dict(cls, values: Mapping[str, str]) -> Failure:
        """Make one from plain JSON values."""
        return cls(**values)
