"""What a recipe works on: its mask, the part of the source that is worked on, and what stays untouched."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pictures import box_mask, smooth_image
from PIL import Image
from skimage.color import rgb2lab

import nbinpaint as nb
from nbinpaint.mask import blend_weight, bounding_box, grow
from nbinpaint.placement import place, place_part
from nbinpaint.region import region_of
from nbinpaint.result import Result
from nbinpaint.sweep import Source

SIDES = st.integers(8, 90)
CANVASES = st.tuples(st.integers(1, 10), st.integers(1, 10)).map(lambda s: (8 * s[0], 8 * s[1]))


def made(source: Source, params: nb.Params, colour: tuple[int, int, int] = (1, 2, 3)) -> Result:
    """A result whose generated picture is of one colour."""
    raw = Image.new("RGB", params.size, colour)
    return Result(params, raw, source, steps_run=1, evaluations=1, sigma_start=1.0, seconds=0.0)


@st.composite
def sources(draw: st.DrawFn) -> Source:
    width, height = draw(SIDES), draw(SIDES)
    x0, y0 = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
    x1, y1 = draw(st.integers(x0 + 1, width)), draw(st.integers(y0 + 1, height))
    return Source(smooth_image(width, height, seed=1), box_mask(width, height, (x0, y0, x1, y1)))


@settings(max_examples=300, deadline=None)
@given(
    source=sources(),
    size=CANVASES,
    resize_mode=st.sampled_from(["stretch", "crop", "fill"]),
    padding=st.sampled_from([None, 0, 3, 16, 256]),
    mask_blur=st.sampled_from([0.0, 0.4, 1.0, 4.0, 20.0]),
    mask_grow=st.sampled_from([-1, 0, 2]),
    mask_invert=st.booleans(),
)
def test_outside_the_feathered_mask_every_byte_is_the_sources(source: Source, **recipe: object) -> None:
    params = nb.Params(**recipe)  # type: ignore[arg-type]
    try:
        region = region_of(source, params)
    except nb.InvalidMask:
        assume(False)
    result = made(source, params)
    full, before = np.asarray(result.full), np.asarray(source.image)
    along, down = region.placement.scale
    weight = blend_weight(region.mask, (params.mask_blur / along, params.mask_blur / down))
    assert full.shape == before.shape
    assert np.array_equal(full[weight == 0], before[weight == 0])
    image, placed = np.asarray(result.image), np.asarray(result.placed)
    canvas = region.placement.mask(region.mask)
    assert image.shape == placed.shape == (*params.size[::-1], 3)
    assert set(np.unique(canvas)) <= {0, 255}
    untouched = blend_weight(canvas, params.mask_blur) == 0
    assert np.array_equal(image[untouched], placed[untouched])
    if params.padding is not None or params.resize_mode != "crop":
        assert (full[region.mask == 255] == (1, 2, 3)).all(), "all that is painted is repainted"
        assert canvas.any(), "a thin stroke has vanished"


@settings(max_examples=200, deadline=None)
@given(source=sources(), size=CANVASES, padding=st.integers(0, 40), blur=st.sampled_from([0.0, 2.0]))
def test_only_masked_takes_in_mask_and_margin_at_the_canvas_aspect(
    source: Source, size: tuple[int, int], padding: int, blur: float
) -> None:
    width, height = source.image.size
    params = nb.Params(size=size, padding=padding, mask_blur=blur)
    x0, y0, x1, y1 = region_of(source, params).placement.box
    box = bounding_box(source.mask)
    assert box is not None
    assert x0 <= max(0, box[0] - padding)
    assert y0 <= max(0, box[1] - padding)
    assert x1 >= min(width, box[2] + padding)
    assert y1 >= min(height, box[3] + padding)
    # One side is exact, the other is rounded to whole source pixels.
    assert abs((x1 - x0) * size[1] / size[0] - (y1 - y0)) <= max(1, size[1] / size[0])
    if x1 - x0 <= width:
        assert x0 >= 0
        assert x1 <= width
    if y1 - y0 <= height:
        assert y0 >= 0
        assert y1 <= height


def test_only_masked_windows_are_known() -> None:
    assert place_part((200, 100), (64, 64), (90, 40, 110, 60)).box == (90, 40, 110, 60)
    assert place_part((200, 100), (64, 32), (90, 40, 110, 60)).box == (80, 40, 120, 60)  # grown along
    assert place_part((200, 100), (64, 32), (0, 40, 20, 60)).box == (0, 40, 40, 60)  # shifted inside
    assert place_part((200, 100), (64, 64), (0, 0, 200, 100)).box == (0, -50, 200, 150)  # longer than the source
    assert place_part((200, 100), (64, 64), (-9, -9, 20, 20)).box == (0, 0, 20, 20)  # a margin beyond the edge is cut


def test_only_masked_keeps_the_feather_whole() -> None:
    """A margin of 0 would cut the fade off at the window's edge."""
    source = Source(smooth_image(200, 200), box_mask(200, 200, (90, 90, 110, 110)))
    params = nb.Params(size=32, padding=0, mask_blur=4)
    region = region_of(source, params)
    x0, y0, x1, y1 = region.placement.box
    weight = region.full_weight(4)
    outside = weight.copy()
    outside[y0:y1, x0:x1] = 0
    assert outside.max() < 0.01
    assert (x1 - x0) < 200


def test_the_mask_grows_shrinks_and_turns_inside_out() -> None:
    source = Source(smooth_image(60, 60), box_mask(60, 60, (20, 20, 40, 40)))

    def mask(**recipe: object) -> np.ndarray:
        return region_of(source, nb.Params(size=64, **recipe)).mask  # type: ignore[arg-type]

    assert np.array_equal(mask(), source.mask)
    assert np.array_equal(mask(mask_grow=5), grow(source.mask, 5))
    assert bounding_box(mask(mask_grow=-5)) == (25, 25, 35, 35)
    assert np.array_equal(mask(mask_invert=True), 255 - source.mask)
    assert np.array_equal(mask(mask_invert=True, mask_grow=3), grow(255 - source.mask, 3))


@pytest.mark.parametrize(
    ("axes", "words"),
    [
        ({"mask_grow": [0, -20]}, ["mask_grow=-20", "leave"]),
        ({"mask_invert": True}, None),
    ],
)
def test_a_recipe_that_leaves_no_mask_is_refused_before_it_runs(
    axes: dict[str, object], words: list[str] | None
) -> None:
    photo, mask = smooth_image(60, 60), box_mask(60, 60, (20, 20, 40, 40))
    if words is None:
        with pytest.raises(nb.InvalidMask, match="mask_invert=True"):
            nb.Sweep(photo, np.full((60, 60), 255, np.uint8), nb.Params(**axes))  # type: ignore[arg-type]
        return
    with pytest.raises(nb.InvalidMask) as error:
        nb.Sweep(photo, mask, **axes)
    for word in words:
        assert word in str(error.value)


def test_grey_counts_from_half_on_or_as_strength() -> None:
    photo, grey = smooth_image(64, 64), np.zeros((64, 64), np.uint8)
    grey[8:16, 8:16], grey[24:32, 24:32], grey[40:48, 40:48] = 60, 128, 255
    source = nb.Sweep(photo, grey).source
    hard = region_of(source, nb.Params(size=64))
    assert np.array_equal(hard.mask, np.where(grey >= 128, 255, 0))
    assert hard.strength is None
    soft = region_of(source, nb.Params(size=64, differential=True))
    assert np.array_equal(soft.mask, np.where(grey > 0, 255, 0))
    assert np.array_equal(soft.strength, grey)
    assert np.array_equal(soft.placement.mask(soft.strength), grey)


def test_a_faint_mask_wants_differential() -> None:
    photo, faint = smooth_image(64, 64), box_mask(64, 64, (8, 8, 16, 16)) // 4
    with pytest.raises(nb.InvalidMask, match="differential=True"):
        nb.Sweep(photo, faint)
    assert nb.Sweep(photo, faint, nb.Params(differential=True)).source.mask.max() == 63


@settings(max_examples=100, deadline=None)
@given(source=sources(), size=CANVASES, mode=st.sampled_from(["stretch", "fill"]))
def test_grey_is_carried_to_the_canvas_by_its_largest_value(source: Source, size: tuple[int, int], mode: str) -> None:
    ramp = (np.arange(source.mask.size, dtype=np.int64).reshape(source.mask.shape) % 200 + 1).astype(np.uint8)
    grey = np.where(source.mask > 0, ramp, np.uint8(0))
    placed = place(source.image.size, size, mode).mask(grey)
    assert placed.max() == grey.max()
    assert set(np.unique(placed)) <= {0, *np.unique(grey)}


def test_the_colours_are_brought_towards_the_sources() -> None:
    grey = Image.new("RGB", (64, 64), (128, 128, 128))
    green = Image.fromarray(np.dstack([np.full((64, 64), v, np.uint8) for v in (60, 160, 60)]))
    source = Source(green, box_mask(64, 64, (16, 16, 48, 48)))
    params = nb.Params(size=64, mask_blur=0)
    result = Result(params, grey, source, 1, 1, 1.0, 0.0)
    corrected = Result(params.replace(color_correction=True), grey, source, 1, 1, 1.0, 0.0)
    assert np.asarray(result.image)[32, 32].tolist() == [128, 128, 128]
    r, g, b = np.asarray(corrected.image)[32, 32].astype(int)
    assert g - r > 60
    assert g - b > 60
    lightness = [rgb2lab(np.asarray(one.image))[32, 32, 0] for one in (result, corrected)]
    assert lightness[1] == pytest.approx(lightness[0], abs=2), "lightness is its own"
    assert corrected.raw is grey


@settings(max_examples=100, deadline=None)
@given(source=sources(), size=CANVASES, padding=st.sampled_from([None, 3]), mask_blur=st.sampled_from([0.0, 1.0, 4.0]))
def test_a_blend_of_its_own_leaves_every_byte_outside_the_feather(
    source: Source, size: tuple[int, int], padding: int | None, mask_blur: float
) -> None:
    params = nb.Params(size=size, padding=padding, mask_blur=mask_blur, soft=True, resize_mode="stretch")
    region = region_of(source, params)
    blend = Image.fromarray(np.where(region.weight(mask_blur) > 0, np.uint8(255), np.uint8(0)))
    result = Result(params, Image.new("RGB", size, (1, 2, 3)), source, 1, 1, 1.0, 0.0, blend=blend)
    untouched = region.full_weight(mask_blur) == 0
    assert np.array_equal(np.asarray(result.full)[untouched], np.asarray(source.image)[untouched])


def test_a_blend_of_its_own_decides_at_both_resolutions() -> None:
    source = Source(smooth_image(128, 128), box_mask(128, 128, (32, 32, 96, 96)))
    half = np.zeros((64, 64), np.uint8)
    half[16:32, 16:48] = 255
    params = nb.Params(size=64, mask_blur=0, soft=True)
    result = Result(params, Image.new("RGB", (64, 64), (1, 2, 3)), source, 1, 1, 1.0, 0.0, blend=Image.fromarray(half))
    assert (np.asarray(result.image)[20, 20] == (1, 2, 3)).all()
    assert np.array_equal(np.asarray(result.image)[40:], np.asarray(result.placed)[40:])
    assert (np.asarray(result.full)[40, 40] == (1, 2, 3)).all()
    assert np.array_equal(np.asarray(result.full)[80:], np.asarray(source.image)[80:])
