"""Measures the finished pipeline on scenes it has never seen, and lays the pictures out for a person to judge."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderTiny, StableDiffusionInpaintPipeline
from diffusers.utils import logging
from PIL import Image

from training import captions, judge, scenes
from training.domain import BACKGROUNDS, COLOURS, NOUNS, SHAPES
from training.scenes import Facts

STEPS, GUIDANCE = 20, 3.5
SIZES = (96, 160, 192, 256)


@dataclass
class Case:
    """One picture to repaint and what must then be in the mask."""

    image: Image.Image
    mask: Image.Image
    facts: Facts
    prompt: str


@dataclass
class Block:
    """Cases of one kind with the pipeline's pictures and the judge's verdicts."""

    cases: list[Case]
    pictures: np.ndarray
    names: np.ndarray
    colours: np.ndarray
    seconds: float
    truth: np.ndarray = field(init=False)
    masks: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.truth = np.array([captions.label(case.facts) for case in self.cases])
        self.masks = np.stack([np.asarray(case.mask) > 127 for case in self.cases])

    def right(self, shift: int = 0) -> np.ndarray:
        """Whether class and, where one was asked, colour are right; `shift` asks for another case's."""
        truth = np.roll(self.truth, shift, axis=0)
        coloured = (truth[:, 1] < 0) | (self.colours == truth[:, 1])
        return (self.names == truth[:, 0]) & coloured

    def psnr(self, inside: bool) -> np.ndarray:
        """Each picture's dB against its source, in the mask or outside it."""
        source = np.stack([np.asarray(case.image) for case in self.cases]).astype(float)
        error = ((self.pictures - source) ** 2).mean(-1)
        where = self.masks if inside else ~self.masks
        mean = np.array([e[w].mean() for e, w in zip(error, where, strict=True)])
        return 10 * np.log10(255**2 / np.maximum(mean, 1e-3))


def case(name: str, colour: str, seed: int) -> Case:
    """A fresh backdrop with a box in it; the thing is never of the backdrop's colour."""
    rng = np.random.default_rng((91, seed))
    names = [b for b in BACKGROUNDS if not colour or colour not in BACKGROUNDS[b].hides]
    large, facts = scenes.backdrop(rng, scenes.SIDE * 2, names[int(rng.integers(len(names)))], colour)
    image = large.resize((scenes.SIDE, scenes.SIDE), Image.Resampling.BOX)
    side = int(rng.integers(14, 24)) * 4
    x, y = (int(v) * 4 for v in rng.integers(0, (scenes.SIDE - side) // 4 + 1, 2))
    mask = Image.new("L", image.size)
    mask.paste(255, (x, y, x + side, y + side))
    asked = Facts(facts.background, facts.a, facts.b, name, colour)
    return Case(image, mask, asked, captions.plain(asked) or captions.background_words(asked, rng, place=False))


def blocks(repeats: int) -> dict[str, list[Case]]:
    """The four questions: shapes in colours, nouns, nouns in colours, and nothing at all."""
    shapes = [(s, c) for s in SHAPES for c in COLOURS]
    nouns = [(n, "") for n in NOUNS for _ in range(repeats)]
    dressed = [(n, c) for n, noun in NOUNS.items() if noun.recolours for c in COLOURS]
    nothing = [("", "")] * (16 * repeats)
    asked = {"shapes": shapes, "nouns": nouns, "recoloured": dressed, "removal": nothing}
    return {
        kind: [case(name, colour, 1000 * row + i) for i, (name, colour) in enumerate(pairs)]
        for row, (kind, pairs) in enumerate(asked.items())
    }


Painter = Callable[[list[Case], int], np.ndarray]


def painter(folder: Path, steps: int, guidance: float, batch: int, side: int = scenes.SIDE) -> Painter:
    """The pipeline at some size as a function from cases to pictures; each picture has a seed of its own."""
    logging.set_verbosity_error()
    pipe = StableDiffusionInpaintPipeline.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    pipe.set_progress_bar_config(disable=True)
    pipe.unet.to(memory_format=torch.channels_last)
    pipe.vae.to(memory_format=torch.channels_last)

    def paint(cases: list[Case], seed: int) -> np.ndarray:
        pictures = []
        for start in range(0, len(cases), batch):
            part = cases[start : start + batch]
            with torch.autocast("cpu", torch.bfloat16):
                out = pipe(
                    [c.prompt for c in part],
                    image=[c.image for c in part],
                    mask_image=[c.mask for c in part],
                    height=side,
                    width=side,
                    num_inference_steps=steps,
                    guidance_scale=guidance,
                    generator=[torch.Generator().manual_seed(seed + start + i) for i in range(len(part))],
                    output_type="np",
                )
            pictures.append(out.images)
        return (np.concatenate(pictures) * 255).round().astype(np.uint8)

    return paint


def edges(picture: np.ndarray, mask: np.ndarray) -> float:
    """How strong the strongest edges inside a mask are: the 95th percentile of the brightness gradient."""
    dy, dx = np.gradient(picture.astype(float).mean(-1))
    return float(np.percentile(np.hypot(dx, dy)[mask], 95))


def sharpness(things: tuple[Block, ...]) -> float:
    """Edges of the painted things as a share of the edges that the real sprites have in the same masks."""
    painted, real = [], []
    for block in things:
        for i, (case, mask) in enumerate(zip(block.cases, block.masks, strict=True)):
            box = case.mask.getbbox()
            assert box is not None
            rng = np.random.default_rng((92, i))
            sprite = scenes.thing(case.facts.name, case.facts.colour, rng, box[2] - box[0], 0)
            scene = case.image.copy()
            scene.paste(sprite, box[:2], sprite)
            painted.append(edges(block.pictures[i], mask))
            real.append(edges(np.asarray(scene), mask))
    return float(np.mean(painted) / np.mean(real))


@torch.no_grad()
def autoencoder(folder: Path, work: Path, count: int = 500) -> dict[str, float]:
    """Mean and 5th percentile dB of held-out scenes that go through the autoencoder and back."""
    images = scenes.load(scenes.shard_path(work, "held-out", 0))[0][:count]
    vae = AutoencoderTiny.from_pretrained(folder, subfolder="vae").eval().to(memory_format=torch.channels_last)
    each = []
    for start in range(0, len(images), 25):
        x = torch.from_numpy(images[start : start + 25]).permute(0, 3, 1, 2).float() / 127.5 - 1
        back = vae.decode(vae.encode(x).latents).sample.clamp(-1, 1)
        each.append(10 * torch.log10(4 / (back - x).square().mean((1, 2, 3))))
    db = torch.cat(each).numpy()
    return {"vae_psnr_mean": float(db.mean()), "vae_psnr_p5": float(np.percentile(db, 5))}


def by_size(folder: Path, critic: judge.Judge, cases: list[Case], steps: int, guidance: float) -> dict[str, float]:
    """The share that is right at other sizes than the native one; the judge sees them brought back to it."""
    masks = np.stack([np.asarray(case.mask) > 127 for case in cases])
    right = {}
    for side in SIZES:
        large = painter(folder, steps, guidance, 8, side)(cases, 6)
        native = (scenes.SIDE, scenes.SIDE)
        pictures = np.stack([np.asarray(Image.fromarray(p).resize(native, Image.Resampling.BOX)) for p in large])
        right[str(side)] = float(Block(cases, pictures, *judge.verdicts(critic, pictures, masks), 0.0).right().mean())
    return right


def alone(folder: Path, case: Case, steps: int, guidance: float, times: int = 5) -> float:
    """Median seconds of one picture by itself in float32."""
    pipe = StableDiffusionInpaintPipeline.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    pipe.set_progress_bar_config(disable=True)
    spent = []
    for _ in range(times):
        start = time.perf_counter()
        side = scenes.SIDE
        pipe(
            case.prompt,
            image=case.image,
            mask_image=case.mask,
            height=side,
            width=side,
            num_inference_steps=steps,
            guidance_scale=guidance,
        )
        spent.append(time.perf_counter() - start)
    return float(np.median(spent))


def measure(found: dict[str, Block]) -> dict[str, float]:
    """The figures of the model card."""
    shapes, nouns, dressed, removal = (found[k] for k in ("shapes", "nouns", "recoloured", "removal"))
    both = np.concatenate([shapes.truth[:, 1] == shapes.colours, dressed.truth[:, 1] == dressed.colours])
    things = (shapes, nouns, dressed)
    outside = np.concatenate([block.psnr(inside=False) for block in found.values()])
    return {
        "colour": float(both.mean()),
        "colour_of_shapes": float((shapes.truth[:, 1] == shapes.colours).mean()),
        "colour_of_recoloured": float((dressed.truth[:, 1] == dressed.colours).mean()),
        "shape": float((shapes.truth[:, 0] == shapes.names).mean()),
        "noun": float((nouns.truth[:, 0] == nouns.names).mean()),
        "recoloured_both": float(dressed.right().mean()),
        "removal": float(removal.right().mean()),
        "removal_psnr_median": float(np.median(removal.psnr(inside=True))),
        # A shift by more than one name's run: every case is held to a prompt that it was not given.
        "shuffled": float(np.concatenate([b.right(len(b.cases) // 2 + 1) for b in things]).mean()),
        "psnr_outside_median": float(np.median(outside)),
        "psnr_outside_p5": float(np.percentile(outside, 5)),
        "sharpness": sharpness(things),
        "seconds_in_batch": float(np.mean([block.seconds for block in found.values()])),
    }


def sheet(found: dict[str, Block], columns: int = 12) -> Image.Image:
    """Evenly spaced cases of each block, source above result: nobody chose them."""
    rows = []
    for block in found.values():
        picked = np.linspace(0, len(block.cases) - 1, columns).round().astype(int)
        sources = np.stack([np.asarray(block.cases[i].image) for i in picked])
        masks = block.masks[picked][..., None]
        rows.append(np.where(masks, sources // 3 + 85, sources))
        rows.append(block.pictures[picked])
    picture = Image.fromarray(np.concatenate([np.concatenate(list(row), 1) for row in rows], 0))
    return picture.quantize(192, dither=Image.Dither.NONE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=scenes.WORK)
    parser.add_argument("--model", type=Path, default=Path("nbinpaint/models/tiny"))
    parser.add_argument("--out", type=Path, default=Path("training/results/evaluation.json"))
    parser.add_argument("--sheet", type=Path, default=Path("nbinpaint/models/tiny/sheet.png"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=8, help="scenes per noun")
    parser.add_argument("--every", type=int, default=1, help="take only every n-th case, for a quick look")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--guidance", type=float, default=GUIDANCE)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    critic = judge.load()
    paint = painter(args.model, args.steps, args.guidance, args.batch)
    found = {}
    for kind, cases in blocks(args.repeats).items():
        cases, start = cases[:: args.every], time.time()
        pictures = paint(cases, 5)
        masks = np.stack([np.asarray(c.mask) > 127 for c in cases])
        seconds = (time.time() - start) / len(cases)
        found[kind] = Block(cases, pictures, *judge.verdicts(critic, pictures, masks), seconds)
        block = found[kind]
        named = (block.names == block.truth[:, 0]).mean()
        print(f"{kind}: {len(cases)} cases, right {block.right().mean():.3f}, class {named:.3f}", flush=True)
    classes = captions.classes()
    per_name: dict[str, list[bool]] = {}
    for block in found.values():
        for truth, name in zip(block.truth[:, 0], block.names, strict=True):
            per_name.setdefault(classes[truth], []).append(bool(truth == name))
    figures = measure(found) | autoencoder(args.model, args.work)
    figures["seconds_alone"] = alone(args.model, found["shapes"].cases[0], args.steps, args.guidance)
    spread = [case for kind in ("shapes", "nouns", "recoloured") for case in found[kind].cases[::4]]
    sizes = by_size(args.model, critic, spread, args.steps, args.guidance)
    print(f"{len(spread)} cases right by size: {sizes}", flush=True)
    report = {
        "right_by_size": {side: round(value, 4) for side, value in sizes.items()},
        "settings": {"steps": args.steps, "guidance": args.guidance, "size": scenes.SIDE, "seed": 5},
        "cases": {kind: len(block.cases) for kind, block in found.items()},
        "figures": {key: round(value, 4) for key, value in figures.items()},
        "judge_on_real_scenes": json.loads((judge.KEPT / "judge.json").read_text()),
        "per_name": {name: round(float(np.mean(hits)), 3) for name, hits in per_name.items()},
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(report, indent=2) + "\n")
    sheet(found).save(args.sheet, optimize=True)
    print(json.dumps(report["figures"], indent=2))


if __name__ == "__main__":
    main()
