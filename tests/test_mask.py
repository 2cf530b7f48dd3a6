"""Masks as arrays: known answers and properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pictures import box_mask, smooth_image
from PIL import Image

import nbinpaint as nb
from nbinpaint import mask as masks

ANY_MASK = hnp.arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40)), elements=st.sampled_from([0, 255]))


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((4, 6), np.uint8), ["empty", "at least one"]),
        (np.zeros((6, 4), np.uint8), ["4 x 6", "6 x 4"]),
        (np.zeros((4, 6), np.float32), ["float32", "uint8"]),
        (np.zeros((4, 6, 3), np.uint8), ["(4, 6, 3)", "(height, width)"]),
        (None, ["NoneType"]),
    ],
)
def test_what_is_no_mask_is_refused_in_words(array: object, words: list[str]) -> None:
    with pytest.raises(nb.InvalidMask) as error:
        masks.check_mask(array, (6, 4))
    for word in words:
        assert word in str(error.value)


@settings(deadline=None)
@given(mask=ANY_MASK, blur=st.sampled_from([0.0, 0.5, 2.0, 8.0, 64.0]))
def test_all_that_is_painted_is_repainted_and_the_fade_lies_outside(mask: np.ndarray, blur: float) -> None:
    weight = masks.blend_weight(mask, blur)
    assert weight.dtype == np.float32
    assert weight.shape == mask.shape
    assert ((weight >= 0) & (weight <= 1)).all()
    assert (weight[mask == 255] == 1).all()
    if not mask.any():
        assert not weight.any()


def test_the_fade_is_a_gaussians_and_ends() -> None:
    mask = box_mask(101, 101, (0, 0, 50, 101))
    weight = masks.blend_weight(mask, 4.0)[50]
    assert (weight[:50] == 1).all()
    from scipy.stats import norm

    expected = 2 * norm.cdf(-(np.arange(50, 60) - 49.5) / 4.0)
    assert np.allclose(weight[50:60], expected, atol=0.02)
    assert (np.diff(weight) <= 0).all()
    assert (weight[50 + 16 :] == 0).all()
    assert np.array_equal(masks.blend_weight(mask, 0.0) > 0, mask > 0)


def test_compositing_keeps_bytes_at_both_ends() -> None:
    over, under = smooth_image(32, 16, 1), smooth_image(32, 16, 2)
    weight = np.zeros((16, 32), np.float32)
    weight[:, 8:16], weight[:, 16:] = 0.5, 1.0
    out = np.asarray(masks.composite(over, under, weight)).astype(int)
    a, b = np.asarray(over).astype(int), np.asarray(under).astype(int)
    assert np.array_equal(out[:, :8], b[:, :8])
    assert np.array_equal(out[:, 16:], a[:, 16:])
    assert np.abs(out[:, 8:16] - (a + b)[:, 8:16] / 2).max() <= 0.5


@given(height=st.integers(1, 6), width=st.integers(1, 6), factor=st.sampled_from([1, 2, 4, 8]), data=st.data())
def test_a_single_pixel_counts_on_the_latent_grid(height: int, width: int, factor: int, data: st.DataObject) -> None:
    mask = np.zeros((height * factor, width * factor), np.uint8)
    y = data.draw(st.integers(0, mask.shape[0] - 1))
    x = data.draw(st.integers(0, mask.shape[1] - 1))
    mask[y, x] = 255
    grid = masks.latent_mask(mask, factor)
    assert grid.shape == (height, width)
    assert (grid > 0).sum() == 1
    assert grid[y // factor, x // factor]


def test_growing_is_round_and_shrinking_undoes_it() -> None:
    mask = box_mask(60, 60, (20, 20, 40, 40))
    grown = masks.grow(mask, 5)
    assert masks.bounding_box(grown) == (15, 15, 45, 45)
    assert grown[15, 15] == 0, "corners are rounded"
    assert np.array_equal(masks.grow(grown, -5), mask)
    assert np.array_equal(masks.grow(mask, 0), mask)


def test_box_share_and_inverse() -> None:
    mask = box_mask(10, 20, (2, 3, 7, 11))
    assert masks.bounding_box(mask) == (2, 3, 7, 11)
    assert masks.bounding_box(np.zeros((3, 3), np.uint8)) is None
    assert masks.share(mask) == 0.2
    assert masks.share(masks.invert(mask)) == 0.8


def test_a_result_blends_at_both_resolutions(photo: Image.Image, mask: np.ndarray) -> None:
    result = nb.inpaint(
        photo, mask, nb.Params(mask_blur=2, resize_mode="stretch", size=(96, 64)), engine=nb.FakeEngine()
    )
    image, full, raw = (np.asarray(p) for p in (result.image, result.full, result.raw))
    assert np.array_equal(image, full), "at the source's own size both are the same picture"
    assert np.array_equal(image[mask == 255], raw[mask == 255])
    weight = masks.blend_weight(mask, 2)
    assert np.array_equal(image[weight == 0], np.asarray(photo)[weight == 0])
