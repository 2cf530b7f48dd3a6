"""A picture, a mask and recipes that the tests of the batched engine share."""

from __future__ import annotations

from pictures import box_mask, smooth_image

import nbinpaint as nb

IMAGE, MASK = smooth_image(32, 32), box_mask(32, 32, (8, 8, 24, 24))
BASE = nb.Params(prompt="a cat", steps=6, size=32, guidance_scale=3)


def mixed() -> nb.Sweep:
    return nb.Sweep(
        IMAGE,
        MASK,
        BASE,
        scheduler=["DDIM", "PNDM", "K_EULER_ANCESTRAL", "Heun"],
        denoise=[0.0, 0.5, 1.0],
        guidance_scale=[1, 4],
    )
