"""Show what each control does: a strip of pictures a control, on the embedded model, for docs/controls.md.

make controls                                     every strip, into docs/images/controls/
python -m benchmarks.controls mask_blur eta       only these
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import nbinpaint as nb
from nbinpaint.report.sheets import contact_sheet
from nbinpaint.report.studies import study_grid

IMAGES = Path(__file__).parent.parent / "docs" / "images" / "controls"
CELL = 128
WIDEST = 900
COLOURS = 256
RED = np.array([235, 64, 52])
BASE = nb.Params(guidance_scale=3.5, steps=10, scheduler="DDIM", seed=4)

Picture = tuple[Image.Image, np.ndarray]


@dataclass(frozen=True)
class Strip:
    """What one strip shows.

    Attributes:
        axes: What changes along it; of two, the first runs down.
        scene: A sample's name.
        recipe: What differs from `BASE`; the sample's prompt where it names none.
        change: Makes another image and mask of the sample's.
        view: What of a result is shown: "image", "full" or "raw".
        crop: Part of `full` that is shown, (x0, y0, x1, y1).
    """

    axes: Mapping[str, Any]
    scene: str = "meadow"
    recipe: Mapping[str, Any] = field(default_factory=dict)
    change: Callable[[Image.Image, np.ndarray], Picture] = lambda image, mask: (image, mask)
    view: str = "image"
    crop: tuple[int, int, int, int] | None = None

    def draw(self, engine: Any) -> Image.Image:
        sample = nb.sample(self.scene)
        image, mask = self.change(sample.image, sample.mask)
        params = BASE.replace(**({"prompt": sample.prompt} | dict(self.recipe)))
        study = nb.run(nb.Sweep(image, mask, params, **self.axes), engine=engine, progress=False)
        wide = [name for name, values in study.axes.items() if len(values) > 1]
        rows, columns = (wide[0], wide[1:]) if len(wide) > 1 else ((), wide)
        grid = study_grid(study, rows, tuple(columns))
        at = {id(result.image): result for result in study}
        pictures = [[self._shown(p, at) for p in line] for line in grid.pictures]
        first = self._cropped(overlay(image, mask))
        first.thumbnail((CELL, CELL))
        return contact_sheet(
            images=[[first if i == 0 else None, *line] for i, line in enumerate(pictures)],
            row_labels=grid.row_labels if rows else [""],
            column_labels=["source, mask", *grid.column_labels],
            column_title=grid.column_title,
            row_title=grid.row_title,
            cell=min(CELL, (WIDEST - 60) // (len(pictures[0]) + 1) - 8),
        )

    def _shown(self, picture: Any, at: Mapping[int, nb.Result]) -> Any:
        if not isinstance(picture, Image.Image):
            return picture
        return self._cropped(getattr(at[id(picture)], self.view))

    def _cropped(self, picture: Image.Image) -> Image.Image:
        return picture.crop(self.crop) if self.crop else picture


def overlay(image: Image.Image, mask: np.ndarray) -> Image.Image:
    weight = 0.6 * (mask / 255)[..., None]
    return Image.fromarray((np.asarray(image) * (1 - weight) + RED * weight).astype(np.uint8))


# --- other images and masks ---


def box(x0: int, y0: int, x1: int, y1: int) -> Callable[[Image.Image, np.ndarray], Picture]:
    """The same image with a box for a mask."""

    def change(image: Image.Image, mask: np.ndarray) -> Picture:
        drawn = np.zeros_like(mask)
        drawn[y0:y1, x0:x1] = 255
        return image, drawn

    return change


def fading(x0: int, y0: int, x1: int, y1: int) -> Callable[[Image.Image, np.ndarray], Picture]:
    """The same image with a box for a mask, from hardly painted on the left to fully on the right."""

    def change(image: Image.Image, mask: np.ndarray) -> Picture:
        drawn = np.zeros_like(mask)
        drawn[y0:y1, x0:x1] = np.linspace(8, 255, x1 - x0).round().astype(np.uint8)
        return image, drawn

    return change


def wide(image: Image.Image, mask: np.ndarray) -> Picture:
    """The middle half of the picture, twice as wide as high."""
    width, height = image.size
    part = (0, height // 4, width, 3 * height // 4)
    return image.crop(part), mask[part[1] : part[3]]


OVER_HOUSE: Mapping[str, Any] = {
    "recipe": {"prompt": "a blue square on the grass"},
    "change": fading(4, 68, 132, 184),
    "view": "full",
    "crop": (0, 56, 140, 196),
}

STRIPS: Mapping[str, Strip] = {
    "prompt": Strip({"prompt": ["a red apple", "a blue car", "a cat", "a yellow star", "a tree"]}),
    "prompt_replace": Strip({"prompt_replace": "red, green, yellow, purple, white"}),
    "prompt_order": Strip(
        {"prompt_order": "red, blue, white"}, recipe={"prompt": "a red blue white star on the grass"}
    ),
    "negative_prompt": Strip({"negative_prompt": ["", "red", "an apple", "grass"]}, recipe={"guidance_scale": 6}),
    "scheduler": Strip({"scheduler": ["DDIM", "K_EULER", "K_EULER_ANCESTRAL", "PNDM", "KLMS"]}, recipe={"steps": 4}),
    "steps": Strip({"steps": [1, 2, 4, 10, 20]}),
    "denoise": Strip({"denoise": [0.2, 0.3, 0.4, 0.6, 1.0]}),
    "guidance_scale": Strip({"guidance_scale": [1, 2, 4, 8, 20]}),
    "seed": Strip({"seed": [1, 2, 3, 4, 5]}),
    "image_index": Strip({"image_index": [0, 1, 2, 3]}),
    "mask_blur": Strip({"mask_blur": [0, 2, 4, 8, 16]}, recipe={"steps": 1}, view="full", crop=(90, 64, 256, 230)),
    "mask_grow": Strip({"mask_grow": [-12, -6, 0, 6, 12]}),
    "mask_invert": Strip({"mask_invert": [False, True]}),
    "masked_content": Strip(
        {"masked_content": ["original", "fill", "latent noise", "latent nothing"]}, recipe={"denoise": 0.5}
    ),
    "conditioning_mask_strength": Strip({"conditioning_mask_strength": [0, 0.25, 0.5, 0.75, 1]}),
    "differential": Strip({"differential": [False, True]}, **OVER_HOUSE),
    "color_correction": Strip({"color_correction": [False, True]}),
    "size": Strip({"size": [96, 128, 192, 256]}),
    "resize_mode": Strip({"resize_mode": ["stretch", "crop", "fill"]}, change=wide, recipe={"size": 128}),
    "padding": Strip(
        {"padding": [None, 0, 8, 32]},
        recipe={"prompt": "a red heart in the sky"},
        change=box(184, 24, 216, 56),
        view="full",
        crop=(160, 0, 240, 80),
    ),
    "soft": Strip({"soft": [None, True]}, **OVER_HOUSE),
    "soft_mask_influence": Strip(
        {"soft_mask_influence": [0, 0.5, 1]},
        **(OVER_HOUSE | {"recipe": {"prompt": OVER_HOUSE["recipe"]["prompt"], "soft": {"difference_threshold": 4}}}),
    ),
    "sigmas": Strip(
        {"sigmas": ["default", "karras", "exponential", "beta"]}, recipe={"steps": 3, "scheduler": "K_EULER"}
    ),
    "denoise_by": Strip(
        {"denoise_by": ["steps", "noise"], "scheduler": ["DDIM", "K_EULER", "DPMSolverMultistep", "UniPC"]},
        recipe={"denoise": 0.6},
    ),
    "eta": Strip({"eta": [0, 0.25, 0.5, 0.75, 1]}),
    "clip_skip": Strip({"clip_skip": [0, 1]}, recipe={"prompt": "a blue car"}),
    "prompt_weighting": Strip(
        {"prompt": ["a (red)0.1 apple", "a (red)0.4 apple", "a red apple", "a (red)1.4 apple", "a (red)2 apple"]},
        recipe={"prompt_weighting": "compel"},
    ),
} | {
    f"soft_{name}": Strip({f"soft_{name}": values}, **OVER_HOUSE)
    for name, values in {
        "schedule_bias": [0, 1, 4, 8],
        "preservation": [0, 0.5, 2, 8],
        "transition_contrast": [1, 4, 16, 32],
        "difference_threshold": [0, 0.5, 2, 8],
        "difference_contrast": [0, 2, 8],
    }.items()
}


def main() -> None:
    engine = nb.load_engine("embedded", device="cpu", dtype="float32")
    names = sys.argv[1:] or list(STRIPS)
    IMAGES.mkdir(parents=True, exist_ok=True)
    for name in names:
        sheet = STRIPS[name].draw(engine).quantize(COLOURS, dither=Image.Dither.NONE)
        sheet.save(IMAGES / f"{name}.png", optimize=True)
        print(
            f"{name}: {sheet.width} x {sheet.height}, {(IMAGES / f'{name}.png').stat().st_size // 1000} KB", flush=True
        )


if __name__ == "__main__":
    main()
