"""Encodes rendered scenes once, so that the denoiser's training never runs the autoencoder."""

from __future__ import annotations

import argparse
import hashlib
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderTiny
from torch import Tensor

from training import scenes
from training.scenes import Facts


def folder(work: Path) -> Path:
    """Where the latents of the present encoder lie: another encoder's are never mixed in."""
    vae = AutoencoderTiny.from_pretrained(work / "vae")
    digest = hashlib.sha256()
    for tensor in vae.encoder.state_dict().values():
        digest.update(tensor.numpy().tobytes())
    return work / f"latents-{digest.hexdigest()[:8]}"


@torch.no_grad()
def encode(vae: AutoencoderTiny, source: Path, target: Path) -> None:
    """One shard: latents of the scenes, of the scenes with the mask blanked, and the masks at latent size."""
    images, masks, _ = scenes.load(source)
    whole, blanked = [], []
    for i in range(0, len(images), 25):
        x = torch.from_numpy(images[i : i + 25]).permute(0, 3, 1, 2).float() / 127.5 - 1
        keep = torch.from_numpy(~masks[i : i + 25])[:, None].float()
        both = torch.cat([x, x * keep]).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            z = vae.encode(both).latents.half()
        whole.append(z[: len(x)])
        blanked.append(z[len(x) :])
    # Nearest-neighbour reduction, as the pipeline does it.
    small = torch.from_numpy(masks[:, ::4, ::4].copy())
    part = target.with_suffix(".part")
    torch.save((torch.cat(whole), torch.cat(blanked), small), part)
    part.replace(target)


@dataclass
class Latents:
    """All encoded scenes of a split, in memory."""

    whole: Tensor
    blanked: Tensor
    masks: Tensor
    facts: list[Facts]


def load(work: Path, split: str) -> list[Latents]:
    """Every shard of `split`; those of one size together."""
    by_side: dict[int, list[tuple[tuple[Tensor, Tensor, Tensor], list[Facts]]]] = {}
    for path in sorted(folder(work).glob(f"{split}-*.pt")):
        part = torch.load(path)
        facts = scenes.load(work / "scenes" / f"{path.stem}.npz")[2]
        by_side.setdefault(part[0].shape[-1], []).append((part, facts))
    return [
        Latents(
            *(torch.cat([part[i] for part, _ in parts]) for i in range(3)), [f for _, facts in parts for f in facts]
        )
        for parts in by_side.values()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=scenes.WORK)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--split", default="train")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    out, start = folder(args.work), time.time()
    out.mkdir(exist_ok=True)
    vae = AutoencoderTiny.from_pretrained(args.work / "vae").eval().to(memory_format=torch.channels_last)
    for source in sorted((args.work / "scenes").glob(f"{args.split}-*.npz")):
        target = out / f"{source.stem}.pt"
        if not target.exists():
            encode(vae, source, target)
            print(f"{target.stem} {time.time() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
