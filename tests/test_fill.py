"""Filling a hole from its surroundings: what is known stays, and the fill is smooth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import box_mask, smooth_image
from PIL import Image

from nbinpaint.fill import fill_masked


@settings(max_examples=80, deadline=None)
@given(width=st.integers(1, 70), height=st.integers(1, 70), seed=st.integers(0, 99))
def test_known_pixels_keep_their_bytes_and_no_colour_is_made_up(width: int, height: int, seed: int) -> None:
    mask = np.random.default_rng(seed).choice(np.array([0, 255], np.uint8), (height, width))
    photo = smooth_image(width, height, seed)
    before, filled = np.asarray(photo), np.asarray(fill_masked(photo, mask))
    assert np.array_equal(filled[mask == 0], before[mask == 0])
    if (mask == 0).any():
        known = before[mask == 0].astype(int)
        assert (filled >= known.min(0) - 1).all()
        assert (filled <= known.max(0) + 1).all()


def test_a_flat_surrounding_fills_flat() -> None:
    photo = Image.new("RGB", (80, 60), (10, 120, 200))
    assert set(map(tuple, np.asarray(fill_masked(photo, box_mask(80, 60, (5, 5, 75, 55)))).reshape(-1, 3))) == {
        (10, 120, 200)
    }


def test_a_gradient_goes_on_through_the_hole() -> None:
    """A plane is its own membrane."""
    ramp = np.broadcast_to(np.linspace(20, 220, 128)[None, :, None], (128, 128, 3))
    photo = Image.fromarray(ramp.round().astype(np.uint8))
    filled = np.asarray(fill_masked(photo, box_mask(128, 128, (40, 40, 88, 88)))).astype(int)
    assert np.abs(filled - ramp)[40:88, 40:88].max() < 8


@pytest.mark.parametrize("box", [(30, 30, 98, 98), (60, 20, 70, 110)])
def test_the_fill_is_smooth_inside_and_at_its_edge(box: tuple[int, int, int, int]) -> None:
    photo = smooth_image(128, 128, 3)
    filled = np.asarray(fill_masked(photo, box_mask(128, 128, box))).astype(int)
    steps = [np.abs(np.diff(filled, axis=axis)).max() for axis in (0, 1)]
    around = [np.abs(np.diff(np.asarray(photo).astype(int), axis=axis)).max() for axis in (0, 1)]
    assert max(steps) <= 2.5 * max(around)


def test_without_a_known_pixel_it_is_grey() -> None:
    filled = np.asarray(fill_masked(smooth_image(16, 16), np.full((16, 16), 255, np.uint8)))
    assert np.abs(filled.astype(int) - 128).max() <= 1
