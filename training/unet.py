"""Trains the denoiser on encoded scenes, in as many processes as there are cores; resumes where it stopped."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
import torch.multiprocessing as mp
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer

from training import captions, checkpoint, denoiser, latents, scenes, tokens
from training.muon import Muon
from training.team import Team

STATE, PLATEAU = "unet-state.pt", "unet-plateau.pt"
CAPACITY = 9_500_000


class Batches:
    """Shuffled scenes with freshly worded captions, whole or as latent crops that hold the mask."""

    def __init__(self, data: latents.Latents, tokenizer: CLIPTokenizer, seed: tuple[int, ...]) -> None:
        self.data, self.tokenizer = data, tokenizer
        self.rng = np.random.default_rng(seed)
        self.order: list[int] = []

    def _corner(self, mask: np.ndarray, side: int) -> tuple[int, int]:
        corner = []
        for axis in (1, 0):
            used = np.flatnonzero(mask.any(axis))
            low, high = (int(used[0]), int(used[-1]) + 1) if len(used) else (0, side)
            span = sorted((high - side, low))
            first, last = np.clip(span, 0, mask.shape[0] - side)
            corner.append(int(self.rng.integers(first, last + 1)))
        return corner[0], corner[1]

    def next(self, count: int, side: int) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor, Tensor]:
        """Latents, token ids and noise steps of `count` scenes, `side` latents wide."""
        if len(self.order) < count:
            self.order = self.rng.permutation(len(self.data.facts)).tolist()
        picked, self.order = self.order[:count], self.order[count:]
        rows = []
        for i in picked:
            mask = self.data.masks[i]
            y, x = self._corner(mask.numpy(), side)
            row = torch.cat([self.data.whole[i], self.data.blanked[i], mask[None].half()])
            rows.append(row[:, y : y + side, x : x + side])
        stack = torch.stack(rows).float()
        text = ["" if self.rng.random() < 0.1 else captions.caption(self.data.facts[i], self.rng) for i in picked]
        coded = self.tokenizer(
            text, padding="max_length", max_length=tokens.LENGTH, truncation=True, return_tensors="pt"
        )
        # One step from each of `count` equal ranges: less luck in the loss than independent draws.
        spread = (self.rng.permutation(count) + self.rng.random(count)) / count
        steps = torch.from_numpy((spread * 1000).astype(np.int64))
        return (stack[:, :4], stack[:, 4:8], stack[:, 8:]), coded.input_ids, steps


def train(rank: int, args: argparse.Namespace, team: Team) -> None:
    team.rank = rank
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    tokenizer = tokens.build(args.work / "tokenizer" if rank == 0 else args.work / f"tokenizer-{rank}")
    unet, text = denoiser.build_unet(), denoiser.build_text_encoder(tokenizer)
    unet.set_attn_processor(AttnProcessor())
    alphas = denoiser.build_scheduler().alphas_cumprod
    parameters = [*unet.parameters(), *text.parameters()]
    average = [p.detach().clone() for p in parameters]
    optimiser = Muon(*denoiser.split_parameters(unet, text))
    step, seen, spent = 0, 0, 0.0
    path = args.work / STATE
    state = checkpoint.load(args.work / PLATEAU if args.from_plateau else path)
    if state is None and args.from_folder:
        # Weights alone: the optimiser's momentum and the running average begin anew.
        unet.load_state_dict(UNet2DConditionModel.from_pretrained(args.from_folder, subfolder="unet").state_dict())
        told = CLIPTextModel.from_pretrained(args.from_folder, subfolder="text_encoder", dtype=torch.float32)
        text.load_state_dict(told.state_dict())
        average = [p.detach().clone() for p in parameters]
    if state:
        for key, module in (("unet", unet), ("text", text)):
            module.load_state_dict(state[key])
        average = state["average"]
        optimiser.load_state_dict(state["optimiser"])
        step, seen, spent = state["step"], state["seen"], state["spent"]
    # The seed names the step: a resumed run draws new batches, never the first ones again.
    torch.manual_seed(1 + step * 64 + rank)
    (data,) = latents.load(args.work, "train")
    batches = Batches(data, tokenizer, (7, rank, step))
    others = [Batches(d, tokenizer, (8, rank, step, i)) for i, d in enumerate(latents.load(args.work, "sizes"))]
    choice = np.random.default_rng((9, rank, step))
    forward = torch.compile(unet) if args.compile else unet
    if rank == 0:
        print(f"{len(batches.data.facts)} scenes, {sum(map(torch.numel, parameters)) / 1e6:.2f} M", flush=True)

    def keep(target: Path) -> None:
        modules = {"unet": unet.state_dict(), "text": text.state_dict(), "average": average}
        counts = {"step": step, "seen": seen, "spent": spent}
        checkpoint.save(target, modules | {"optimiser": optimiser.state_dict()} | counts)

    total, begun = args.minutes * 60, time.time() - spent
    saved = noted = time.time()
    before, progress, losses = seen, spent / total, []
    plateau_kept = progress > args.decay_from
    while progress < 1:
        whole = progress >= args.crops_until
        count, side, source = (args.batch * 2 // 3, 32, batches) if whole else (args.batch, 24, batches)
        if choice.random() < args.other_sizes:
            # As many latents as in a batch of whole scenes.
            source = others[int(choice.integers(len(others)))]
            side = source.data.whole.shape[-1]
            count = max(args.processes, args.batch * 2 // 3 * 32**2 // side**2)
        batch, ids, steps = source.next(count // args.processes, side)
        error = denoiser.loss(forward, text, alphas, batch, ids, steps)
        optimiser.zero_grad()
        error.backward()
        spent = time.time() - begun
        rate = checkpoint.trapezoid(step, progress, args.rate, args.decay_from)
        progress = team.average(parameters, spent / total)
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step(rate, team)
        step, seen = step + 1, seen + count
        weight = 1 - min(args.ema, (1 + step) / (10 + step))
        torch._foreach_lerp_(average, [p.detach() for p in parameters], weight)
        losses.append(error.item())
        if rank == 0:
            now = time.time()
            if not plateau_kept and progress > args.decay_from:
                plateau_kept = True
                keep(args.work / PLATEAU)
            if now - noted > 30:
                pace = (seen - before) / (now - noted)
                print(
                    f"step {step} {spent:.0f} s loss {np.mean(losses[-100:]):.4f} rate {rate:.1e} side {side} "
                    f"seen {seen} {pace:.0f}/s",
                    flush=True,
                )
                noted, before = now, seen
            if now - saved > args.save_every:
                saved = now
                keep(path)
    if rank == 0:
        keep(path)
        print(f"done: {step} steps, {seen} samples, loss {np.mean(losses[-200:]):.4f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=scenes.WORK)
    parser.add_argument("--minutes", type=float, default=28, help="time for the whole run, earlier parts included")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1, help="per process")
    parser.add_argument("--batch", type=int, default=48, help="over all processes")
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--decay-from", type=float, default=0.5, help="share of the time at the full rate")
    parser.add_argument("--crops-until", type=float, default=0.7, help="share of the time on latent crops")
    parser.add_argument("--other-sizes", type=float, default=0, help="share of batches from the split sizes")
    parser.add_argument("--ema", type=float, default=0.995)
    parser.add_argument("--save-every", type=float, default=150, help="seconds")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--from-plateau", action="store_true", help="go on from before the rate fell")
    parser.add_argument("--from-folder", type=Path, help="begin with the weights of an exported pipeline")
    args = parser.parse_args()
    team = Team.shared(args.processes, CAPACITY, mp.get_context("spawn"))
    if args.processes == 1:
        train(0, args, team)
    else:
        mp.spawn(train, (args, team), nprocs=args.processes)


if __name__ == "__main__":
    main()
