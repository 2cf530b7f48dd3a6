"""Writes the pipeline folder that the package ships, from whatever the checkpoint holds at the time."""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import torch
from diffusers import AutoencoderTiny, StableDiffusionInpaintPipeline

from training import checkpoint, denoiser, domain, scenes, tokens
from training.unet import STATE

LIMIT = 20_000_000


def pipeline(work: Path) -> StableDiffusionInpaintPipeline:
    """The averaged weights of the checkpoint as a pipeline."""
    state = checkpoint.load(work / STATE)
    if state is None:
        raise FileNotFoundError(f"no checkpoint at {work / STATE}")
    tokenizer = tokens.build(work / "tokenizer")
    unet, text = denoiser.build_unet(), denoiser.build_text_encoder(tokenizer)
    with torch.no_grad():
        for parameter, mean in zip([*unet.parameters(), *text.parameters()], state["average"], strict=True):
            parameter.copy_(mean)
    return StableDiffusionInpaintPipeline(
        vae=AutoencoderTiny.from_pretrained(work / "vae"),
        text_encoder=text,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=denoiser.build_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def write(work: Path, folder: Path) -> int:
    """Writes half-precision weights and the vocabulary, keeps the folder's other files, returns its size."""
    fresh = folder.with_name(folder.name + ".part")
    shutil.rmtree(fresh, ignore_errors=True)
    pipeline(work).to(torch.float16).save_pretrained(fresh)
    # transformers writes tokenizer.json alone; other readers of CLIP's format want these two.
    for name in ("vocab.json", "merges.txt"):
        shutil.copyfile(work / "tokenizer" / name, fresh / "tokenizer" / name)
    for config in fresh.glob("*/config.json"):
        values = json.loads(config.read_text())
        # The first names a folder of the machine that trained it; AutoencoderTiny sets the second itself, and
        # warns about it when it meets it in a file.
        for key in ("_name_or_path", "block_out_channels" if config.parent.name == "vae" else ""):
            values.pop(key, None)
        config.write_text(json.dumps(values, indent=2) + "\n")
    (fresh / "vocabulary.json").write_text(json.dumps(domain.vocabulary(), indent=1) + "\n")
    folder.mkdir(parents=True, exist_ok=True)
    for part in fresh.iterdir():
        target = folder / part.name
        if target.is_dir():
            shutil.rmtree(target)
        part.replace(target)
    fresh.rmdir()
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if size > LIMIT:
        raise ValueError(f"{folder} has {size} bytes, more than {LIMIT}")
    return size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=scenes.WORK)
    parser.add_argument("--out", type=Path, default=Path("nbinpaint/models/tiny"))
    args = parser.parse_args()
    print(f"{args.out}: {write(args.work, args.out) / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
