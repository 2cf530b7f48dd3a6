"""The sweep engine against diffusers: throughput as ratios from one interleaved run.

Each round times, one after the other: a plain loop over diffusers' own pipeline (fresh scheduler and generator for each
grid cell), diffusers' pipeline in batches of cells that share a scheduler and a denoise value, this engine with and
without previews, and the ceiling: as many rows through the bare network as the sweep needs, in calls of the same size,
with one encode per distinct input and the decodes together. All use the same weights, device and number format; with
`--compile` or `--graphs` this engine and the ceiling do, diffusers' pipeline does not.

    python -m benchmarks.sweep --model embedded --device cpu --threads 2
    python -m benchmarks.sweep --model sd15-random --device cuda --dtype float16 --size 512 --compile
"""

from __future__ import annotations

import argparse
import shlex
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any
from unittest import mock

import diffusers
import torch
from PIL import Image

import nbinpaint as nb
from benchmarks.machine import describe, write_results
from benchmarks.random_models import sd15_random
from nbinpaint.engine import batch
from nbinpaint.engine.base import Failed, Stepped
from nbinpaint.engine.batch import Waiting
from nbinpaint.engine.conditioning import Conditioning
from nbinpaint.engine.decode import Decoder, decode
from nbinpaint.engine.denoiser import Denoiser
from nbinpaint.engine.diffusion import DiffusionEngine
from nbinpaint.engine.models import load_model
from nbinpaint.engine.network import Inputs, Network
from nbinpaint.engine.preview import Preview
from nbinpaint.engine.samplers import Sampler
from nbinpaint.engine.trajectory import Trajectory
from nbinpaint.region import region_of
from nbinpaint.schedulers import SCHEDULER_TABLE
from nbinpaint.sweep import GridCell

TARGETS = {
    "throughput over the naive loop": (">=", {"cpu": 1.6, "cuda": 2.5}),
    "denoising over the bare network": (">=", {"cpu": 0.95, "cuda": 0.95}),
    "end to end over the whole ceiling": (">=", {"cpu": 0.9, "cuda": 0.9}),
    "row occupancy": (">=", {"cpu": 0.95, "cuda": 0.95}),
    "scheduler and bookkeeping share": ("<", {"cpu": 0.03, "cuda": 0.03}),
    "preview cost": ("<", {"cpu": 0.02, "cuda": 0.02}),
    "encodes over unique inputs": ("=", {"cpu": 1.0, "cuda": 1.0}),
}
COMPILED_THROUGHPUT = 4.0


class Runs:
    """The ways through one sweep."""

    def __init__(self, engine: DiffusionEngine, sweep: nb.Sweep, cells: Sequence[GridCell]) -> None:
        self.engine, self.sweep, self.cells = engine, sweep, cells
        self.model = engine.model
        self.pipeline = self.model.pipeline
        self.pipeline.set_progress_bar_config(disable=True)
        self.config = self.pipeline.scheduler.config
        self.plans = [engine.plan(cell.params) for cell in cells]
        self.region = region_of(sweep.source, self.plans[0].params)
        self.placed = self.region.placement
        self.image = self.placed.image(sweep.source.image)
        self.mask = Image.fromarray(self.placed.mask(self.region.mask))
        self.start_is_noise = all(cell.params.denoise == 1 for cell in cells)

    @property
    def rows(self) -> int:
        """Rows of a call, as the engine chooses them: measured in the first run, known in the others."""
        return self.engine.rows(self.placed.size, [Waiting(c, p) for c, p in zip(self.cells, self.plans, strict=True)])

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
        for cell in self.cells:
            self._diffusers([cell])

    def homogeneous(self) -> None:
        def kind(cell: GridCell) -> tuple[str, float]:
            return cell.params.scheduler, cell.params.denoise

        most = max(1, self.rows // 2)
        for _, group in groupby(sorted(self.cells, key=kind), kind):
            cells = list(group)
            for start in range(0, len(cells), most):
                self._diffusers(cells[start : start + most])

    def ours(self) -> None:
        self.engine.conditioning = Conditioning(self.model)  # nothing is known from the round before
        for event in self.engine.run(self.cells):
            assert not isinstance(event, Failed), event
            if isinstance(event, Stepped) and event.preview is not None:
                event.preview()

    def unwatched(self) -> None:
        with mock.patch.object(batch, "PREVIEW_EVERY", float("inf")):
            self.ours()

    @torch.inference_mode()
    def bare(self) -> None:
        """The rows alone."""
        rows = sum(p.evaluations * (2 if p.params.guided else 1) for p in self.plans)
        most, model = self.rows, self.model
        height, width = self.placed.size[1] // model.factor, self.placed.size[0] // model.factor
        text = self.engine.conditioning.text(self.cells[0].params)
        while rows > 0:
            count = min(rows, most)
            latents = torch.zeros(count, model.unet_channels, height, width, device=model.device, dtype=model.dtype)
            steps = torch.full((count,), 500.0, device=model.device)
            added = {name: value[:1].repeat(count, *[1] * (value.ndim - 1)) for name, value in text.added.items()}
            self.engine.network(Inputs(latents, steps, text.tokens[:1].repeat(count, 1, 1), added))
            rows -= count

    @torch.inference_mode()
    def ceiling(self) -> None:
        """The rows, one encode per distinct input, and the decodes together."""
        model, fresh = self.model, Conditioning(self.model)
        for cell in self.cells:
            fresh.text(cell.params)
        if not self.start_is_noise:
            fresh.image(self.sweep.source, self.region)
        fresh.masked_image(self.sweep.source, self.region)
        self.bare()
        shape = (1, model.latent_channels, self.placed.size[1] // model.factor, self.placed.size[0] // model.factor)
        latents = [torch.zeros(shape, device=model.device, dtype=model.dtype) for _ in self.cells]
        for start in range(0, len(latents), 8):
            decode(model, latents[start : start + 8])

    def wait(self) -> None:
        if self.model.device.type == "cuda":
            torch.cuda.synchronize()

    def seconds(self, run: Callable[[], None]) -> float:
        self.wait()
        begun = time.perf_counter()
        run()
        self.wait()
        return time.perf_counter() - begun

    def inside(self) -> dict[str, float]:
        """Where the time of one run of this engine goes; on CUDA with a wait after each part, so nothing overlaps."""
        parts = {
            "denoising": (Denoiser, "advance"),
            "network": (Network, "__call__"),
            "joining": (Trajectory, "__init__"),
            "decoding": (Decoder, "_decode"),
            "fitting the preview": (Preview, "_fit"),
            "previews": (Preview, "start"),
            "estimates": (Sampler, "clean"),
        }
        spent = dict.fromkeys(parts, 0.0)
        found: dict[str, float] = {}
        with ExitStack() as stack:
            for name, (owner, method) in parts.items():
                stack.enter_context(self._timed(spent, name, owner, method))
            denoisers: list[Denoiser] = []
            begin = Denoiser.__init__
            stack.enter_context(
                mock.patch.object(
                    Denoiser, "__init__", lambda one, *args: (denoisers.append(one), begin(one, *args))[1]
                )
            )
            found["whole"] = self.seconds(self.ours)
        (denoiser,) = denoisers
        found["occupancy"] = denoiser.rows / (denoiser.calls * self.rows)
        return found | spent

    @contextmanager
    def _timed(self, spent: dict[str, float], name: str, owner: Any, method: str) -> Iterator[None]:
        original = getattr(owner, method)

        def timed(*args: Any, **kwargs: Any) -> Any:
            begun = time.perf_counter()
            try:
                return original(*args, **kwargs)
            finally:
                self.wait()
                spent[name] += time.perf_counter() - begun

        with mock.patch.object(owner, method, timed):
            yield

    @property
    def encodes(self) -> float:
        """Encodes of the last run over those that are needed."""
        prompts = {
            text for c in self.cells for text in (c.params.prompt, c.params.negative_prompt)[: 1 + c.params.guided]
        }
        pictures = 1 if self.start_is_noise else 2
        return sum(self.engine.conditioning.encodes.values()) / (len(prompts) + pictures)


def ratios(median: dict[str, float], inside: dict[str, float], encodes: float) -> dict[str, float]:
    """The figures of the table, from medians and from the run that was looked into."""
    around = inside["whole"] - inside["network"] - inside["joining"] - inside["decoding"]
    previews = inside["previews"] + inside["estimates"] - inside["fitting the preview"]
    return {
        "throughput over the naive loop": median["naive loop"] / median["this engine"],
        "throughput over batches of a kind": median["batches of a kind"] / median["this engine"],
        "denoising over the bare network": median["bare network"] / inside["denoising"],
        "end to end over the whole ceiling": median["ceiling"] / median["this engine"],
        "row occupancy": inside["occupancy"],
        "scheduler and bookkeeping share": (around - previews - inside["fitting the preview"]) / inside["whole"],
        "preview cost": previews / inside["whole"],
        "with previews over without": median["this engine"] / median["without previews"],
        "encodes over unique inputs": encodes,
    }


def table(found: dict[str, float], device: str, compiled: bool) -> Iterator[str]:
    """Lines of ratios beside what they must reach."""
    for name, value in found.items():
        sign, targets = TARGETS.get(name, ("", {}))
        target = targets.get(device)
        if compiled and name == "throughput over the naive loop":
            target = COMPILED_THROUGHPUT if device == "cuda" else None
        wanted = "" if target is None else f"   must be {sign} {target:g}"
        yield f"{name:38}{value:8.3f}{wanted}"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="embedded", help="embedded, sd15-random, or whatever load_engine takes")
    parser.add_argument("--device")
    parser.add_argument("--dtype")
    parser.add_argument("--size", type=int)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--cells", type=int, default=30, help="grid cells at most")
    parser.add_argument("--rows", type=int, help="rows of a network call; found by measuring where not given")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--mixed", action="store_true", help="five denoise values in place of five seeds")
    parser.add_argument("--compile", action="store_true", help="compile the blocks of the network")
    parser.add_argument("--graphs", action="store_true", help="replay network calls as CUDA graphs")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    if args.threads:
        torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as folder:
        name = str(sd15_random(Path(folder) / "sd15-random")) if args.model == "sd15-random" else args.model
        model = load_model(name, device=args.device, dtype=args.dtype)
    engine = DiffusionEngine(model, args.rows, compile=args.compile, graphs=args.graphs)
    scene = nb.sample("meadow")
    recipe = nb.Params(prompt="a red apple", steps=args.steps, size=args.size, resize_mode="stretch", mask_blur=0)
    axes: dict[str, Any] = {"scheduler": nb.SCHEDULERS}
    axes |= {"denoise": [0.2, 0.4, 0.6, 0.8, 1.0]} if args.mixed else {"seed": range(5)}
    sweep = nb.Sweep(scene.image, scene.mask, recipe, **axes)
    runs = Runs(engine, sweep, sweep.cells[: args.cells])
    ways = {
        "naive loop": runs.naive,
        "batches of a kind": runs.homogeneous,
        "this engine": runs.ours,
        "without previews": runs.unwatched,
        "ceiling": runs.ceiling,
        "bare network": runs.bare,
    }
    for run in ways.values():
        run()
    found: dict[str, list[float]] = {way: [] for way in ways}
    looks: list[dict[str, float]] = []
    for _ in range(args.repeats):
        for way, run in ways.items():
            found[way].append(runs.seconds(run))
        looks.append(runs.inside())
    median = {way: statistics.median(values) for way, values in found.items()}
    inside = {part: statistics.median(look[part] for look in looks) for part in looks[0]}
    cells, device = len(runs.cells), engine.model.device.type
    print(f"\n{cells} grid cells, {args.steps} steps, {engine!r}, {runs.rows} rows a call, median of {args.repeats}\n")
    for way, seconds in median.items():
        print(f"{way:20}{seconds:8.2f} s {cells / seconds:8.2f} cells/s {median['naive loop'] / seconds:8.2f} x naive")
    reached = ratios(median, inside, runs.encodes)
    print(f"\n{'':38}{'reached':>8}")
    print("\n".join(table(reached, device, args.compile)))
    kind = "mixed" if args.mixed else "seeds"
    mode = "".join(f"-{option}" for option in ("compile", "graphs") if getattr(args, option))
    path = write_results(
        f"sweep-{Path(args.model).name}-{device}-{kind}{mode}",
        {
            "ratios": reached,
            "seconds": median,
            "inside": inside,
            "rows": runs.rows,
            "all": found,
            "machine": describe() | {"device": _device_name(device), "threads": torch.get_num_threads()},
            "command": shlex.join(["python", "-m", "benchmarks.sweep", *sys.argv[1:]]),
        },
    )
    print(f"\nwritten to {path}")


def _device_name(device: str) -> str:
    return torch.cuda.get_device_name() if device == "cuda" else device


if __name__ == "__main__":
    main()
