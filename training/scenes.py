"""Draws seeded scenes: a backdrop, perhaps a distractor, a mask, and the thing that belongs in the mask."""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from training import backdrops, sprites
from training.domain import BACKGROUNDS, COLOURED_BACKGROUNDS, COLOURS, NOUNS, SHAPES

SIDE = 128
SHARD = 500
SPLITS = {"train": 1, "held-out": 2, "judge": 3, "sizes": 4}
OTHER_SIDES = (96, 160, 192, 224, 256)
"""Sides of the split "sizes", one for each shard in turn."""
WORK = Path.home() / ".cache" / "nbinpaint-training"


@dataclass(frozen=True)
class Facts:
    """What a scene shows, from which any number of captions can be made."""

    background: str
    a: str = ""
    b: str = ""
    name: str = ""
    colour: str = ""


@dataclass(frozen=True)
class Mix:
    """How often each kind of scene is drawn."""

    shapes: float = 0.34
    removal: float = 0.18
    distractor: float = 0.4
    second_sprite: float = 0.3
    recoloured: float = 0.65


@dataclass
class Scene:
    """A finished picture, its mask (white is repainted) and what they show."""

    image: Image.Image
    mask: Image.Image
    facts: Facts


def generator(split: str, index: int) -> np.random.Generator:
    """Every scene has its own seed, so shards can be drawn in any order and extended later."""
    return np.random.default_rng((SPLITS[split], index))


def _pick(rng: np.random.Generator, items) -> str:
    return items[int(rng.integers(len(items)))]


def _shade(rng: np.random.Generator, colour: str, spread: float) -> tuple[float, float, float]:
    r, g, b = (float(np.clip(v + rng.uniform(-spread, spread), 0, 255)) for v in COLOURS[colour])
    return r, g, b


def backdrop(rng: np.random.Generator, size: int, name: str = "", avoid: str = "") -> tuple[Image.Image, Facts]:
    """A backdrop whose own colours leave `avoid` visible."""
    names = [n for n in ("plain", *BACKGROUNDS) if avoid not in BACKGROUNDS[n].hides]
    name = name or _pick(rng, names)
    a = _pick(rng, [c for c in COLOURS if c != avoid])
    b = _pick(rng, [c for c in COLOURS if c not in (a, avoid)])
    canvas = backdrops.paint(name, rng, size, _shade(rng, a, 14), _shade(rng, b, 14))
    image = Image.fromarray(canvas.clip(0, 255).round().astype(np.uint8))
    coloured = name in COLOURED_BACKGROUNDS
    return image, Facts(name, a if coloured else "", b if coloured and name != "plain" else "")


def hidden(facts: Facts) -> set[str]:
    """The colours that would not stand out on this backdrop."""
    return {facts.a, facts.b, *BACKGROUNDS[facts.background].hides} - {""}


def _outline(name: str, rng: np.random.Generator) -> np.ndarray:
    turn = rng.uniform(-0.12, 0.12)

    def ngon(corners: int, phase: float = 0.0, inner: float = 1.0) -> np.ndarray:
        steps = corners * (1 if inner == 1.0 else 2)
        angle = phase + turn + 2 * math.pi * np.arange(steps) / steps
        radius = np.where(np.arange(steps) % 2 == 1, inner, 1.0) if inner != 1.0 else 1.0
        return np.stack([radius * np.sin(angle), -radius * np.cos(angle)], 1)

    if name == "square":
        return ngon(4, math.pi / 4)
    if name == "triangle":
        return ngon(3)
    if name == "hexagon":
        return ngon(6)
    if name == "star":
        return ngon(5, inner=0.42)
    if name == "diamond":
        return np.array([(0, -1), (0.66, 0), (0, 1), (-0.66, 0)], float)
    if name == "heart":
        t = np.linspace(0, 2 * math.pi, 90)
        return np.stack(
            [16 * np.sin(t) ** 3, -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t))], 1
        )
    return ngon(120)


def shape(name: str, colour: str, rng: np.random.Generator, side: int) -> Image.Image:
    """A flat shape, drawn at twice its size and reduced, so its edge is smooth."""
    points = _outline(name, rng)
    low, high = points.min(0), points.max(0)
    points = (points - (low + high) / 2) / (high - low).max() * 2
    big = side * 2
    alpha = Image.new("L", (big, big))
    draw = ImageDraw.Draw(alpha)
    draw.polygon([((x + 1) * big / 2, (y + 1) * big / 2) for x, y in points], fill=255)
    if name == "ring":
        draw.polygon([((x * 0.52 + 1) * big / 2, (y * 0.52 + 1) * big / 2) for x, y in points], fill=0)
    light = np.linspace(1.07, 0.93, side, dtype=np.float32)[:, None, None]
    rgb = np.asarray(_shade(rng, colour, 10), np.float32) * np.broadcast_to(light, (side, side, 1))
    out = Image.fromarray(rgb.clip(0, 255).astype(np.uint8)).convert("RGBA")
    out.putalpha(alpha.resize((side, side), Image.Resampling.BOX))
    return out


def thing(name: str, colour: str, rng: np.random.Generator, side: int, variant: int) -> Image.Image:
    """A shape or noun as an RGBA square of `side` pixels, filling it."""
    if name in SHAPES:
        return shape(name, colour or "red", rng, side)
    image = sprites.cached_sprite(name, variant, colour or None)
    if rng.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    image = image.rotate(rng.uniform(-8, 8), Image.Resampling.BICUBIC)
    return image.resize((side, side), Image.Resampling.LANCZOS)


def _mask(rng: np.random.Generator, box: tuple[int, int, int, int]) -> Image.Image:
    x0, y0, x1, y1 = np.array(box) + np.array([-1, -1, 1, 1]) * rng.integers(1, 8, 4)
    x0, y0, x1, y1 = max(0, x0), max(0, y0), min(SIDE, x1), min(SIDE, y1)
    mask = Image.new("L", (SIDE, SIDE))
    draw = ImageDraw.Draw(mask)
    cx, cy, w, h = (x0 + x1) / 2, (y0 + y1) / 2, (x1 - x0) / 2, (y1 - y0) / 2
    kind = rng.random()
    if kind < 0.5:
        draw.rectangle((x0, y0, x1 - 1, y1 - 1), fill=255)
    elif kind < 0.75:
        draw.ellipse((cx - w * 1.32, cy - h * 1.32, cx + w * 1.32, cy + h * 1.32), fill=255)
    else:
        angles = np.linspace(0, 2 * math.pi, 14, endpoint=False)
        reach = rng.uniform(1.1, 1.55, (14, 2))
        draw.polygon(
            [(cx + w * math.cos(t) * u, cy + h * math.sin(t) * v) for t, (u, v) in zip(angles, reach, strict=True)],
            fill=255,
        )
    return mask


def _choose(rng: np.random.Generator, mix: Mix, banned: set[str]) -> tuple[str, str]:
    free = [c for c in COLOURS if c not in banned]
    if rng.random() < mix.shapes / (1 - mix.removal):
        return _pick(rng, SHAPES), _pick(rng, free)
    name = _pick(rng, list(NOUNS))
    dressed = NOUNS[name].recolours and rng.random() < mix.recoloured
    return name, _pick(rng, free) if dressed else ""


def side_of(split: str, shard: int) -> int:
    """Pixels along one side of a shard's scenes."""
    return OTHER_SIDES[shard % len(OTHER_SIDES)] if split == "sizes" else SIDE


def draw(rng: np.random.Generator, mix: Mix, pixels: int = SIDE) -> Scene:
    """One scene of `pixels`, at most twice `SIDE`, composed at that and reduced."""
    canvas, facts = backdrop(rng, SIDE * 2)
    side = int(rng.integers(44, 92))
    x, y = (int(v) for v in rng.integers(2, SIDE - side - 1, 2))

    def put(name: str, colour: str, at: tuple[int, int], length: int) -> None:
        variant = int(rng.random() < mix.second_sprite)
        image = thing(name, colour, rng, length * 2, variant)
        canvas.paste(image, (at[0] * 2, at[1] * 2), image)

    if rng.random() < mix.distractor:
        for _ in range(6):
            small = int(rng.integers(28, 48))
            u, v = (int(n) for n in rng.integers(0, SIDE - small, 2))
            if u + small < x - 8 or u > x + side + 8 or v + small < y - 8 or v > y + side + 8:
                put(*_choose(rng, mix, hidden(facts)), (u, v), small)
                break
    mask = _mask(rng, (x, y, x + side, y + side))
    if rng.random() >= mix.removal:
        name, colour = _choose(rng, mix, hidden(facts))
        put(name, colour, (x, y), side)
        facts = Facts(facts.background, facts.a, facts.b, name, colour)
    size = (pixels, pixels)
    return Scene(canvas.resize(size, Image.Resampling.BOX), mask.resize(size, Image.Resampling.NEAREST), facts)


def shard_path(work: Path, split: str, number: int) -> Path:
    return work / "scenes" / f"{split}-{number:04d}.npz"


def _render(work: Path, split: str, number: int, mix: Mix) -> None:
    path = shard_path(work, split, number)
    if path.exists():
        return
    sprites.use(work)
    pixels = side_of(split, number)
    scenes = [draw(generator(split, number * SHARD + i), mix, pixels) for i in range(SHARD)]
    images = np.stack([np.asarray(s.image) for s in scenes])
    masks = np.stack([np.asarray(s.mask) > 127 for s in scenes])
    facts = json.dumps([asdict(s.facts) for s in scenes])
    part = path.with_suffix(f".{os.getpid()}.part")
    with part.open("wb") as file:
        np.savez(file, images=images, masks=np.packbits(masks), facts=np.array(facts))
    part.replace(path)


def load(path: Path) -> tuple[np.ndarray, np.ndarray, list[Facts]]:
    """Images (n, side, side, 3), masks (n, side, side) as bool, and facts of one shard."""
    with np.load(path) as data:
        images = data["images"]
        masks = np.unpackbits(data["masks"]).reshape(images.shape[:3]).astype(bool)
        return images, masks, [Facts(**f) for f in json.loads(str(data["facts"]))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=WORK)
    parser.add_argument("--split", choices=SPLITS, default="train")
    parser.add_argument("--count", type=int, default=12_000)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--second-sprite", type=float, default=Mix.second_sprite)
    args = parser.parse_args()
    (args.work / "scenes").mkdir(parents=True, exist_ok=True)
    start, shards = time.time(), math.ceil(args.count / SHARD)
    mix = Mix(second_sprite=args.second_sprite)
    with ProcessPoolExecutor(args.processes) as pool:
        jobs = [pool.submit(_render, args.work, args.split, n, mix) for n in range(shards)]
        for number, job in enumerate(jobs):
            job.result()
            print(f"{args.split} shard {number + 1}/{shards} {time.time() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
