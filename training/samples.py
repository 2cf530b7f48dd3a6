"""Draws the scenes that the package ships for demos and tests, at twice the size that the model is trained on."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from training import backdrops, scenes, sprites

SIDE = 256


@dataclass(frozen=True)
class Sample:
    """A backdrop with one other thing in it, and the place where the prompt's thing belongs."""

    title: str
    background: str
    other: tuple[str, str, int, tuple[int, int]]
    box: tuple[int, int, int, int]
    prompt: str
    ellipse: bool = False
    seed: int = 1


SAMPLES: dict[str, Sample] = {
    "meadow": Sample("A house in a meadow", "meadow", ("house", "", 84, (14, 84)), (120, 88, 240, 208),
                     "a red apple on the grass"),
    "table": Sample("A mushroom on a wooden table", "wood", ("mushroom", "red", 72, (166, 20)), (24, 88, 152, 216),
                    "a blue car on the table"),
    "beach": Sample("A tent on the beach", "sand", ("tent", "", 80, (160, 24)), (32, 88, 160, 216),
                    "a purple star on the sand", ellipse=True),
    "night": Sample("A moon in the night sky", "night", ("moon", "", 72, (172, 12)), (32, 96, 160, 224),
                    "a yellow balloon at night"),
    "bricks": Sample("A bell on a brick wall", "bricks", ("bell", "", 68, (20, 16)), (104, 96, 232, 224),
                     "a green heart on the wall"),
    "sky": Sample("A balloon in the sky", "sky", ("balloon", "red", 84, (20, 20)), (104, 80, 232, 208),
                  "an orange butterfly in the sky", ellipse=True),
}  # fmt: skip


def draw(sample: Sample) -> tuple[Image.Image, Image.Image]:
    """The picture and its mask, white where it is to be repainted."""
    rng = np.random.default_rng(sample.seed)
    grey = (128.0, 128.0, 128.0)
    canvas = backdrops.paint(sample.background, rng, SIDE * 3, grey, grey).clip(0, 255).round().astype(np.uint8)
    image = Image.fromarray(canvas)
    name, colour, side, (x, y) = sample.other
    other = sprites.sprite(name, 0, colour or None).resize((side * 3, side * 3), Image.Resampling.LANCZOS)
    image.paste(other, (x * 3, y * 3), other)
    mask = Image.new("L", (SIDE, SIDE))
    pen = ImageDraw.Draw(mask)
    x0, y0, x1, y1 = sample.box
    (pen.ellipse if sample.ellipse else pen.rectangle)((x0, y0, x1 - 1, y1 - 1), fill=255)
    return image.resize((SIDE, SIDE), Image.Resampling.BOX), mask


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("nbinpaint/pictures"))
    parser.add_argument("--work", type=Path, default=scenes.WORK)
    args = parser.parse_args()
    sprites.use(args.work)
    args.out.mkdir(parents=True, exist_ok=True)
    table = []
    for name, sample in SAMPLES.items():
        image, mask = draw(sample)
        image.save(args.out / f"scene-{name}.png", optimize=True)
        mask.convert("1").convert("L").save(args.out / f"scene-{name}-mask.png", optimize=True)
        files = {"image": f"scene-{name}.png", "mask": f"scene-{name}-mask.png"}
        table.append({"name": name, "title": sample.title, **files, "prompt": sample.prompt})
    (args.out / "samples.json").write_text(json.dumps(table, indent=2) + "\n")


if __name__ == "__main__":
    main()
