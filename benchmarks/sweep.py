"""The sweep engine against diffusers: throughput as ratios from one interleaved run.

Each round times, one after the other: a plain loop over diffusers' own pipeline (fresh scheduler and generator for each
grid cell), diffusers' pipeline in batches of cells that share a scheduler and a denoise value, this engine, and the
ceiling: as many rows through the bare network as the sweep needs, in batches of the same size, with one encode per
distinct input and the decodes together.

    python -m benchmarks.sweep --model embedded --device cpu --threads 2
    python -m benchmarks.sweep --model sd15-random --device cuda --dtype float16 --size 512
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers import StableDiffusionInpaintPipeline
from PIL import Image

import nbinpaint as nb
from benchmarks.machine import describe, write_results
from nbinpaint.engine.decode import decode
from nbinpaint.engine.denoiser import Denoiser
from nbinpaint.engine.diffusion import DiffusionEngine
from nbinpaint.engine.models import EMBEDDED
from nbinpaint.region import region_of
from nbinpaint.schedulers import SCHEDULER_TABLE
from nbinpaint.sweep import GridCell


def sd15_random(folder: Path) -> Path:
    """SD 1.5 inpainting's architecture with random weights, for timing alone; written once, in half precision."""
    from diffusers import AutoencoderKL, PNDMScheduler, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=64,
        in_channels=9,
        out_channels=4,
        block_out_channels=(320, 640, 1280, 1280),
        cross_attention_dim=768,
        attention_head_dim=8,
    )
    vae = AutoencoderKL(
        block_out_channels=(128, 256, 512, 512),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
        latent_channels=4,
        sample_size=512,
    )
    tokenizer = CLIPTokenizer.from_pretrained(EMBEDDED / "tokenizer", model_max_length=77)
    text = CLIPTextModel(
        CLIPTextConfig(vocab_size=49408, hidden_size=768, intermediate_size=3072, num_hidden_layers=12,
                       num_attention_heads=12, max_position_embeddings=77)
    )  # fmt: skip
    config = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1,
              "skip_prk_steps": True, "set_alpha_to_one": False, "clip_sample": False}  # fmt: skip
    pipeline = StableDiffusionInpaintPipeline(
        vae=vae, text_encoder=text, tokenizer=tokenizer, unet=unet, scheduler=PNDMScheduler.from_config(config),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    pipeline.to(torch.float16).save_pretrained(folder)
    return folder


class Runs:
    """The four ways through one sweep."""

    def __init__(self, engine: DiffusionEngine, sweep: nb.Sweep) -> None:
        self.engine, self.sweep = engine, sweep
        self.pipeline = engine.model.pipeline
        self.pipeline.set_progress_bar_config(disable=True)
        self.config = self.pipeline.scheduler.config
        self.region = region_of(sweep.source, engine.plan(sweep.params).params)
        self.placed = self.region.placement
        self.image = self.placed.image(sweep.source.image)
        self.mask = Image.fromarray(self.placed.mask(self.region.mask))

    def _diffusers(self, cells: list[GridCell]) -> None:
        first = cells[0].params
        info = SCHEDULER_TABLE[first.scheduler]
        kept = self.pipeline.scheduler
        self.pipeline.scheduler = getattr(diffusers, info.cls).from_config(self.config, **info.overrides)
        width, height = self.placed.size
        try:
            self.pipeline(
                [cell.params.prompt for cell in cells],
                image=[self.image] * len(cells),
                mask_image=[self.mask] * len(cells),
                negative_prompt=[cell.params.negative_prompt for cell in cells],
                width=width,
                height=height,
                strength=first.denoise,
                num_inference_steps=first.steps,
                guidance_scale=first.guidance_scale,
                generator=[torch.Generator().manual_seed(cell.params.seed) for cell in cells],
            )
        finally:
            self.pipeline.scheduler = kept

    def naive(self) -> None:
        for cell in self.sweep.cells:
            self._diffusers([cell])

    def homogeneous(self) -> None:
        def kind(cell: GridCell) -> tuple[str, float]:
            return cell.params.scheduler, cell.params.denoise

        most = max(1, self.engine._rows // 2)
        for _, group in groupby(sorted(self.sweep.cells, key=kind), kind):
            cells = list(group)
            for start in range(0, len(cells), most):
                self._diffusers(cells[start : start + most])

    def ours(self) -> None:
        for event in DiffusionEngine(self.engine.model, self.engine._rows).run(self.sweep.cells):
            assert type(event).__name__ != "Failed", event

    @torch.inference_mode()
    def bare(self) -> None:
        """The rows alone."""
        rows = sum(self.engine.plan(c.params).evaluations * (2 if c.params.guided else 1) for c in self.sweep.cells)
        model = self.engine.model
        height, width = self.placed.size[1] // model.factor, self.placed.size[0] // model.factor
        text = self.engine.conditioning.text(self.sweep.params).tokens[:1]
        while rows > 0:
            count = min(rows, self.engine._rows)
            latents = torch.zeros(count, model.unet_channels, height, width, device=model.device, dtype=model.dtype)
            latents = latents.contiguous(memory_format=torch.channels_last)
            steps = torch.full((count,), 500.0, device=model.device)
            model.pipeline.unet(latents, steps, encoder_hidden_states=text.expand(count, -1, -1), return_dict=False)
            rows -= count

    @torch.inference_mode()
    def ceiling(self) -> None:
        """The rows, one encode per distinct input, and the decodes together."""
        model, fresh = self.engine.model, type(self.engine.conditioning)(self.engine.model)
        for cell in self.sweep.cells:
            fresh.text(cell.params)
        fresh.image(self.sweep.source, self.region)
        fresh.masked_image(self.sweep.source, self.region)
        self.bare()
        shape = (1, model.latent_channels, self.placed.size[1] // model.factor, self.placed.size[0] // model.factor)
        latents = [torch.zeros(shape, device=model.device, dtype=model.dtype) for _ in self.sweep.cells]
        for start in range(0, len(latents), 8):
            decode(model, latents[start : start + 8])

    def denoising(self) -> tuple[float, float]:
        """Seconds inside this engine's network calls with all that surrounds a step, and the share of full batches."""
        spent, rows, calls = 0.0, 0, 0
        advance = Denoiser.advance

        def timed(denoiser: Denoiser, *args: Any) -> Any:
            nonlocal spent, rows, calls
            begun, before, called = time.perf_counter(), denoiser.rows, denoiser.calls
            out = advance(denoiser, *args)
            self.wait()
            spent += time.perf_counter() - begun
            rows, calls = rows + denoiser.rows - before, calls + denoiser.calls - called
            return out

        Denoiser.advance = timed  # type: ignore[method-assign]
        try:
            self.ours()
        finally:
            Denoiser.advance = advance  # type: ignore[method-assign]
        return spent, rows / (calls * self.engine._rows)

    def wait(self) -> None:
        if self.engine.model.device.type == "cuda":
            torch.cuda.synchronize()

    def seconds(self, run: Callable[[], None]) -> float:
        begun = time.perf_counter()
        run()
        self.wait()
        return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="embedded", help="embedded, sd15-random, or whatever load_engine takes")
    parser.add_argument("--device")
    parser.add_argument("--dtype")
    parser.add_argument("--size", type=int)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rows", type=int)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--mixed", action="store_true", help="five denoise values in place of five seeds")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as folder:
        model = str(sd15_random(Path(folder))) if args.model == "sd15-random" else args.model
        engine = nb.load_engine(model, device=args.device, dtype=args.dtype, rows=args.rows)
        scene = nb.sample("meadow")
        recipe = nb.Params(prompt="a red apple", steps=args.steps, size=args.size, resize_mode="stretch", mask_blur=0)
        axes: dict[str, Any] = {"scheduler": nb.SCHEDULERS}
        axes |= {"denoise": [0.2, 0.4, 0.6, 0.8, 1.0]} if args.mixed else {"seed": range(5)}
        runs = Runs(engine, nb.Sweep(scene.image, scene.mask, recipe, **axes))
        ways = {"naive loop": runs.naive, "batches of a kind": runs.homogeneous, "this engine": runs.ours,
                "ceiling": runs.ceiling, "bare network": runs.bare}  # fmt: skip
        for run in ways.values():
            run()
        found: dict[str, list[float]] = {name: [] for name in ways}
        denoising, occupancy = [], 0.0
        for _ in range(args.repeats):
            for name, run in ways.items():
                found[name].append(runs.seconds(run))
            spent, occupancy = runs.denoising()
            denoising.append(spent)
    median = {name: statistics.median(values) for name, values in found.items()}
    cells = len(runs.sweep)
    print(f"\n{cells} grid cells, {args.steps} steps, {engine!r}, {engine._rows} rows a batch\n")
    for name, seconds in median.items():
        print(f"{name:20}{seconds:8.2f} s {cells / seconds:8.2f} cells/s {median['naive loop'] / seconds:8.2f} x naive")
    ratios = {
        "throughput over the naive loop": median["naive loop"] / median["this engine"],
        "throughput over batches of a kind": median["batches of a kind"] / median["this engine"],
        "denoising over the bare network": median["bare network"] / statistics.median(denoising),
        "end to end over the whole ceiling": median["ceiling"] / median["this engine"],
        "row occupancy": occupancy,
    }
    print()
    for name, ratio in ratios.items():
        print(f"{name:40}{ratio:6.2f}")
    kind = "mixed" if args.mixed else "seeds"
    command = "python -m benchmarks.sweep " + " ".join(
        f"--{k} {v}" if v is not True else f"--{k}" for k, v in vars(args).items() if v not in (None, False)
    )
    path = write_results(
        f"sweep-{Path(args.model).name}-{engine.model.device.type}-{kind}",
        {"seconds": median, "ratios": ratios, "all": found, "machine": describe(), "command": command},
    )
    print(f"written to {path}")


if __name__ == "__main__":
    main()
