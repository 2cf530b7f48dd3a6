"""Soft inpainting while denoising: each latent goes as far from the source as it is painted, later more than sooner."""

from __future__ import annotations

import torch

from ..soft import SoftInpainting

__all__ = ["mix", "share"]


def share(painted: torch.Tensor, sigma: float, soft: SoftInpainting) -> torch.Tensor:
    """Return how much of the result each latent takes at this noise: `painted ** (sigma ** bias * preservation)`.

    What is fully painted takes all of it, what is not painted nothing, and what lies between takes little at high noise
    and more as noise falls (AUTOMATIC1111's soft inpainting).

    Args:
        painted: (1, 1, h, w), 0 to 1.
        sigma: Noise level.
        soft: The settings.
    """
    taken: torch.Tensor = painted ** (sigma**soft.schedule_bias * soft.preservation)
    return torch.where(painted > 0, taken, torch.zeros_like(taken))


def mix(source: torch.Tensor, result: torch.Tensor, taken: torch.Tensor, contrast: float) -> torch.Tensor:
    """Go from the source's latents to the result's without losing detail on the way.

    The direction is interpolated linearly; the length over the channels is the power mean of both lengths with the
    exponent `contrast`, since a plain average of two unlike vectors is short and looks washed out.

    Args:
        source: (1, channels, h, w).
        result: The same.
        taken: (1, 1, h, w), 0 for the source, 1 for the result.
        contrast: 1 or more.
    """
    between = source + taken * (result - source)
    lengths = [latents.norm(dim=1, keepdim=True) for latents in (source, result)]
    longest = torch.maximum(*lengths).clamp_min(1e-12)
    of_source, of_result = (length / longest for length in lengths)
    mean = ((1 - taken) * of_source**contrast + taken * of_result**contrast) ** (1 / contrast)
    scaled = between * (longest * mean / between.norm(dim=1, keepdim=True).clamp_min(1e-12))
    # Exact at both ends, whatever the rounding.
    return torch.where(taken >= 1, result, torch.where(taken <= 0, source, scaled))
