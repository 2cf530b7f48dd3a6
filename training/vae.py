"""Trains the autoencoder: 4 latent channels at a quarter of the picture's size, zero mean and unit variance."""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderTiny
from torch import Tensor, nn

from training import checkpoint, scenes
from training.muon import Muon

LAST = torch.channels_last


def build() -> AutoencoderTiny:
    """The architecture with a start from which it learns quickly: Kaiming, each block's last convolution small."""
    vae = AutoencoderTiny(
        encoder_block_out_channels=(32, 32, 32),
        decoder_block_out_channels=(32, 32, 32),
        num_encoder_blocks=(0, 2, 3),
        num_decoder_blocks=(3, 3, 1),
        upsampling_scaling_factor=2,
    )
    for module in vae.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for module in vae.modules():
        if type(module).__name__ == "AutoencoderTinyBlock":
            module.conv[4].weight.data.mul_(0.2)
    return vae.to(memory_format=LAST)


class Crops:
    """Random crops of rendered scenes, aligned to the latent grid."""

    def __init__(self, work: Path, split: str, shards: int, side: int) -> None:
        loaded = [scenes.load(p) for p in sorted((work / "scenes").glob(f"{split}-*.npz"))[:shards]]
        self.images = np.concatenate([images for images, _, _ in loaded])
        self.masks = np.concatenate([masks for _, masks, _ in loaded])
        self.side = side

    def batch(self, rng: np.random.Generator, count: int, hidden: float = 0.3) -> Tensor:
        side, out = self.side, np.empty((count, self.side, self.side, 3), np.float32)
        for row in range(count):
            i = int(rng.integers(len(self.images)))
            y, x = rng.integers(0, (scenes.SIDE - side) // 4 + 1, 2) * 4
            out[row] = self.images[i, y : y + side, x : x + side] / 127.5 - 1
            # Half of the UNet's conditioning is a picture with its mask blanked: the encoder must know such.
            if rng.random() < hidden:
                out[row][self.masks[i, y : y + side, x : x + side]] = 0
        return torch.from_numpy(out).permute(0, 3, 1, 2).contiguous(memory_format=LAST)


def loss(picture: Tensor, target: Tensor, latents: Tensor) -> Tensor:
    """Absolute and squared error, the same for edges, and a push against channels that say the same thing."""
    error = picture - target
    edges = error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
    flat = latents.permute(1, 0, 2, 3).flatten(1)
    shared = flat @ flat.T / flat.shape[1]
    shared = (shared - torch.diag(torch.diag(shared))).square().mean()
    return error.abs().mean() + 2 * error.square().mean() + 0.5 * edges + 0.01 * shared


@torch.no_grad()
def psnr(vae: AutoencoderTiny, norm: nn.BatchNorm2d, pictures: Tensor) -> tuple[float, float]:
    """Mean and median dB over whole held-out scenes."""
    vae.eval(), norm.eval()
    with torch.autocast("cpu", torch.bfloat16):
        back = vae.decoder(norm(vae.encoder(pictures).float()))
    vae.train(), norm.train()
    each = 10 * torch.log10(4 / (back.float().clamp(-1, 1) - pictures).square().mean((1, 2, 3)))
    return each.mean().item(), each.median().item()


def fold(vae: AutoencoderTiny, norm: nn.BatchNorm2d) -> AutoencoderTiny:
    """Moves the latents' normalisation into the last encoder convolution, which then gives it for free."""
    last = vae.encoder.layers[-1]
    scale = (norm.running_var + norm.eps).rsqrt()
    with torch.no_grad():
        last.weight.mul_(scale[:, None, None, None])
        last.bias.copy_((last.bias - norm.running_mean) * scale)
    return vae.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=scenes.WORK)
    parser.add_argument("--minutes", type=float, default=10, help="time for the whole run, earlier parts included")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--decay-from", type=float, default=0.4)
    parser.add_argument("--shards", type=int, default=20)
    parser.add_argument("--decoder-only", action="store_true", help="improve a finished decoder, latents unchanged")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    folder, state_path = args.work / "vae", args.work / "vae-state.pt"
    vae = build()
    norm = nn.BatchNorm2d(4, affine=False, momentum=0.02)
    if args.decoder_only:
        state_path = args.work / "decoder-state.pt"
        vae = AutoencoderTiny.from_pretrained(folder).to(memory_format=LAST).train()
        vae.encoder.requires_grad_(False)
        norm = nn.BatchNorm2d(4, affine=False, momentum=0.0, eps=0.0)
    parameters = [p for p in vae.parameters() if p.requires_grad]
    matrices = [p for p in parameters if p.ndim == 4 and min(p.shape[:2]) > 8]
    chosen = {id(p) for p in matrices}
    optimiser = Muon(matrices, [p for p in parameters if id(p) not in chosen], decay=0.0)
    step, spent = 0, 0.0
    if state := checkpoint.load(state_path):
        vae.load_state_dict(state["vae"])
        norm.load_state_dict(state["norm"])
        optimiser.load_state_dict(state["optimiser"])
        step, spent = state["step"], state["spent"]
        rng = np.random.default_rng(step)
        torch.manual_seed(step)
    data = Crops(args.work, "train", args.shards, args.side)
    held = torch.from_numpy(Crops(args.work, "held-out", 1, 128).images[:64].copy())
    held = (held.permute(0, 3, 1, 2).float() / 127.5 - 1).contiguous(memory_format=LAST)
    begun, last_note = time.time() - spent, time.time()
    while (spent := time.time() - begun) < args.minutes * 60:
        rate = checkpoint.trapezoid(step, spent / (args.minutes * 60), args.rate, args.decay_from, 30)
        target = data.batch(rng, args.batch)
        with torch.autocast("cpu", torch.bfloat16):
            latents = vae.encoder(target).float()
            latents = latents.detach() if args.decoder_only else norm(latents)
            picture = vae.decoder(latents + 0.05 * torch.randn_like(latents))
        error = loss(picture.float(), target, latents)
        optimiser.zero_grad()
        error.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step(rate)
        step += 1
        if time.time() - last_note > 45:
            last_note = time.time()
            identity = nn.Identity() if args.decoder_only else norm
            mean, median = psnr(vae, identity, held)
            print(f"step {step} {spent:.0f} s loss {error.item():.4f} held-out {mean:.2f} dB", flush=True)
            state = {"vae": vae.state_dict(), "norm": norm.state_dict(), "optimiser": optimiser.state_dict()}
            checkpoint.save(state_path, state | {"step": step, "spent": spent})
    identity = nn.Identity() if args.decoder_only else norm
    mean, median = psnr(vae, identity, held)
    finished = vae.eval() if args.decoder_only else fold(vae, norm)
    finished.save_pretrained(folder)
    if not math.isfinite(mean):
        raise FloatingPointError("the autoencoder diverged")
    print(f"done: {step} steps, held-out PSNR mean {mean:.2f} dB, median {median:.2f} dB")


if __name__ == "__main__":
    main()
