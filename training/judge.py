"""A small classifier that says what is in a mask: its class, its colour, or nothing."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from training import captions, scenes
from training.domain import COLOURS, SHAPES

SIDE = 48
KEPT = Path(__file__).parent / "results"


def crop(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The mask's surroundings as a square picture of fixed size, moved inwards at the scene's edge."""
    ys, xs = np.nonzero(mask)
    side = min(*mask.shape, max(np.ptp(ys), np.ptp(xs)) + 7)
    top, left = (
        int(np.clip((low + high - side) // 2 + 1, 0, length - side))
        for low, high, length in ((ys.min(), ys.max(), mask.shape[0]), (xs.min(), xs.max(), mask.shape[1]))
    )
    piece = Image.fromarray(image[top : top + side, left : left + side])
    return np.asarray(piece.resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def _layer(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU())


class Judge(nn.Module):
    """Five convolutions and two answers."""

    def __init__(self) -> None:
        super().__init__()
        pool = nn.MaxPool2d(2)
        self.body = nn.Sequential(
            *(_layer(3, 24), pool, _layer(24, 48), pool, _layer(48, 96), pool, _layer(96, 128), _layer(128, 128))
        )
        self.name = nn.Linear(256, len(captions.classes()))
        self.colour = nn.Linear(256, len(COLOURS))

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        seen = self.body(pictures)
        seen = torch.cat([seen.mean((2, 3)), seen.amax((2, 3))], 1)
        return self.name(seen), self.colour(seen)


def prepare(crops: np.ndarray) -> Tensor:
    return torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 127.5 - 1


def load(folder: Path = KEPT) -> Judge:
    """The judge that is kept with the code, so that anyone can measure without training one."""
    judge = Judge()
    weights = safetensors.torch.load_file(folder / "judge.safetensors")
    judge.load_state_dict(
        {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in weights.items()}
    )
    return judge.eval()


def keep(judge: Judge, figures: dict[str, float], folder: Path = KEPT) -> None:
    """Write the judge in half precision, and what it is worth."""
    weights = {n: t.half().contiguous() if t.is_floating_point() else t for n, t in judge.state_dict().items()}
    safetensors.torch.save_file(weights, folder / "judge.safetensors")
    (folder / "judge.json").write_text(json.dumps(figures) + "\n")


@torch.no_grad()
def verdicts(judge: Judge, images: np.ndarray, masks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Class and colour numbers for pictures (n, h, w, 3) and their bool masks."""
    crops = np.stack([crop(image, mask) for image, mask in zip(images, masks, strict=True)])
    name, colour = judge(prepare(crops))
    return name.argmax(1).numpy(), colour.argmax(1).numpy()


def _data(work: Path, split: str) -> tuple[Tensor, Tensor]:
    crops, labels = [], []
    for path in sorted((work / "scenes").glob(f"{split}-*.npz")):
        images, masks, facts = scenes.load(path)
        crops += [crop(image, mask) for image, mask in zip(images, masks, strict=True)]
        labels += [captions.label(f) for f in facts]
    return torch.from_numpy(np.stack(crops)), torch.tensor(labels)


def _augmented(batch: Tensor, generator: torch.Generator) -> Tensor:
    """Flips, shifts, blur and grain, so the judge looks past what an autoencoder does to a picture."""
    if torch.rand(1, generator=generator) < 0.5:
        batch = batch.flip(-1)
    batch = F.pad(batch, (2, 2, 2, 2), mode="replicate")
    y, x = torch.randint(0, 5, (2,), generator=generator).tolist()
    batch = batch[..., y : y + SIDE, x : x + SIDE]
    if torch.rand(1, generator=generator) < 0.3:
        batch = F.avg_pool2d(F.pad(batch, (1, 1, 1, 1), mode="replicate"), 3, 1)
    return batch + 0.08 * torch.rand(1, generator=generator) * torch.randn(batch.shape, generator=generator)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=scenes.WORK)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=12)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    generator, start = torch.Generator().manual_seed(0), time.time()
    crops, labels = _data(args.work, "train")
    judge, size = Judge(), 64
    judge = judge.to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(judge.parameters(), weight_decay=0.02)
    total = args.epochs * (len(crops) // size) + 1
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=total)
    held, truth = _data(args.work, "held-out")
    for epoch in range(args.epochs):
        judge.train()
        order = torch.randperm(len(crops), generator=generator)
        for i in range(0, len(order) - size + 1, size):
            picked = order[i : i + size]
            with torch.autocast("cpu", torch.bfloat16):
                name, colour = judge(_augmented(prepare(crops[picked].numpy()), generator))
            error = F.cross_entropy(name.float(), labels[picked, 0], label_smoothing=0.03)
            error = error + F.cross_entropy(colour.float(), labels[picked, 1])
            optimiser.zero_grad()
            error.backward()
            optimiser.step()
            schedule.step()
        judge.eval()
        with torch.no_grad():
            names, colours = zip(*(judge(prepare(part.numpy())) for part in held.split(250)), strict=True)
        right = torch.cat(names).argmax(1) == truth[:, 0]
        coloured = truth[:, 1] >= 0
        shapes = (truth[:, 0] > 0) & (truth[:, 0] <= len(SHAPES))
        nouns = truth[:, 0] > len(SHAPES)
        figures = {
            "class": right.float().mean().item(),
            "shape": right[shapes].float().mean().item(),
            "noun": right[nouns].float().mean().item(),
            "nothing": right[truth[:, 0] == 0].float().mean().item(),
            "colour": (torch.cat(colours).argmax(1) == truth[:, 1])[coloured].float().mean().item(),
        }
        figures = {key: round(value, 4) for key, value in figures.items()}
        print(f"epoch {epoch + 1} {time.time() - start:.0f} s {figures}", flush=True)
        keep(judge, figures)


if __name__ == "__main__":
    main()
