"""Coefficients that are kept are those that diffusers computes, and they are computed once."""

from __future__ import annotations

import pytest
import torch
from diffusers import DDIMScheduler, LMSDiscreteScheduler

from nbinpaint.engine import lms


def run(keep: bool, steps: int = 12, skipped: int = 0) -> torch.Tensor:
    scheduler = LMSDiscreteScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    scheduler.set_timesteps(steps)
    scheduler.set_begin_index(skipped)
    if keep:
        lms.keep_coefficients(scheduler)
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(1, 4, 8, 8, generator=generator, dtype=torch.float64)
    for t in scheduler.timesteps[skipped:]:
        scaled = scheduler.scale_model_input(latents, t)
        latents = scheduler.step(torch.sin(scaled), t, latents).prev_sample
    return latents


def test_kept_coefficients_are_diffusers_own_and_integrated_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lms, "_kept", {})
    expected = {(steps, skipped): run(False, steps, skipped) for steps in (8, 12) for skipped in (0, 5)}
    integrated = []
    own = LMSDiscreteScheduler.get_lms_coefficient

    def count(self: LMSDiscreteScheduler, order: int, t: int, current_order: int) -> float:
        integrated.append((order, t, current_order))
        return own(self, order, t, current_order)

    monkeypatch.setattr(LMSDiscreteScheduler, "get_lms_coefficient", count)
    for _ in range(2):
        for (steps, skipped), latents in expected.items():
            assert torch.equal(run(True, steps, skipped), latents)
    assert len(integrated) == sum(min(t + 1, 4) for steps in (8, 12) for t in range(steps))


def test_other_schedulers_stay_as_they_are() -> None:
    scheduler = DDIMScheduler()
    before = set(vars(scheduler))
    lms.keep_coefficients(scheduler)
    assert set(vars(scheduler)) == before
