"""Acts on a mask: what they paint, that they can be taken back, and that they are the same at any size."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import smooth_image
from PIL import Image

from nbinpaint import InvalidMask
from nbinpaint.painting import Painting
from nbinpaint.strokes import Act, Change, Imported, Region, Stroke, acts_from_json, acts_to_json, draw

WIDTH, HEIGHT = 96, 64
PHOTO = smooth_image(WIDTH, HEIGHT)
EMPTY = np.zeros((HEIGHT, WIDTH), np.uint8)

# Pointers leave the picture, so points lie outside it as well.
coordinate = st.floats(-20, 120, width=32)
point = st.tuples(coordinate, coordinate)
strength = st.sampled_from([1.0, 0.5, 0.01]) | st.floats(0.01, 1)
strokes = st.builds(
    Stroke,
    points=st.lists(point, min_size=2, max_size=8).map(tuple),
    radius=st.floats(0.5, 30),
    shape=st.sampled_from(["brush", "line", "rectangle", "ellipse", "lasso"]),
    erase=st.booleans(),
    strength=strength,
)
regions = st.builds(
    Region,
    point=point,
    tool=st.sampled_from(["fill", "wand"]),
    tolerance=st.floats(0, 255),
    erase=st.booleans(),
    strength=strength,
)
changes = st.builds(
    Change,
    what=st.sampled_from(["grow", "shrink", "invert", "clear", "fill"]),
    pixels=st.integers(0, 9),
    strength=strength,
)
acts: st.SearchStrategy[Act] = st.one_of(strokes, regions, changes)


def paint(*todo: Act) -> np.ndarray:
    return draw(todo, PHOTO)


@given(st.lists(acts, max_size=8))
@settings(max_examples=60, deadline=None)
def test_undo_and_redo_walk_the_same_masks_back_and_forth(todo: list[Act]) -> None:
    painting = Painting(PHOTO)
    seen = [painting.mask]
    for act in todo:
        if painting.do(act) is not None:
            seen.append(painting.mask)
    for mask in reversed(seen[:-1]):
        painting.undo()
        assert np.array_equal(painting.mask, mask)
    assert painting.undo() is None
    for mask in seen[1:]:
        painting.redo()
        assert np.array_equal(painting.mask, mask)
    assert painting.redo() is None


@given(st.lists(acts, max_size=6), acts)
@settings(max_examples=60, deadline=None)
def test_the_box_holds_every_pixel_that_changed_and_is_tight(todo: list[Act], last: Act) -> None:
    painting = Painting(PHOTO)
    for act in todo:
        painting.do(act)
    before = painting.mask
    box = painting.do(last)
    changed = before != painting.mask
    if box is None:
        assert not changed.any()
    else:
        x0, y0, x1, y1 = box
        inside = changed[y0:y1, x0:x1]
        assert inside.sum() == changed.sum()
        assert inside[0].any()
        assert inside[-1].any()
        assert inside[:, 0].any()
        assert inside[:, -1].any()


@given(st.lists(acts, max_size=6))
@settings(max_examples=60, deadline=None)
def test_acts_survive_json_and_say_what_the_mask_is(todo: list[Act]) -> None:
    painting = Painting(PHOTO)
    for act in todo:
        painting.do(act)
    kept = acts_from_json(json.loads(json.dumps(painting.to_json())))
    assert np.array_equal(draw(kept, PHOTO), painting.mask)
    other = Painting(PHOTO)
    other.replace(json.loads(json.dumps(painting.to_json())))
    assert np.array_equal(other.mask, painting.mask)
    if painting.mask.any():
        assert other.to_json() == painting.to_json()


@given(strokes, st.sampled_from([2, 3, 4]))
@settings(max_examples=60, deadline=None)
def test_strokes_commute_with_zoom(stroke: Stroke, factor: int) -> None:
    """Drawn large and reduced, or drawn small: only pixels on the edge may differ."""
    if stroke.shape == "lasso" or stroke.erase:
        return
    small = paint(stroke) > 0
    large = draw([stroke], PHOTO, (WIDTH * factor, HEIGHT * factor)) > 0
    coverage = large.reshape(HEIGHT, factor, WIDTH, factor).mean((1, 3))
    assert not (small & (coverage == 0) & ~_near(large.reshape(HEIGHT, factor, WIDTH, factor).any((1, 3)))).any()
    assert not (~small & (coverage == 1) & ~_near(small)).any()


def _near(mask: np.ndarray) -> np.ndarray:
    import cv2

    return cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0


@pytest.mark.parametrize("erase", [False, True])
def test_a_brush_covers_what_lies_within_its_radius(erase: bool) -> None:
    points = [(20.0, 20.0), (60.0, 40.0), (70.0, 12.0)]
    mask = Painting(PHOTO, np.full_like(EMPTY, 255) if erase else None)
    mask.do(Stroke(tuple(points), 7.0, erase=erase))
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    distance = np.full(x.shape, np.inf)
    for (ax, ay), (bx, by) in itertools.pairwise(points):
        along = ((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / ((bx - ax) ** 2 + (by - ay) ** 2)
        along = along.clip(0, 1)
        distance = np.minimum(distance, np.hypot(x - ax - along * (bx - ax), y - ay - along * (by - ay)))
    touched = (mask.mask == 0) if erase else (mask.mask == 255)
    assert touched[distance < 6.3].all()
    assert not touched[distance > 7.9].any()


def test_a_stroke_paints_its_strength_whatever_was_there() -> None:
    under, over = Stroke(((20, 30), (70, 30)), 10, strength=0.5), Stroke(((45, 30),), 6, strength=0.2)
    mask = paint(under, over)
    assert sorted(set(mask.flat)) == [0, 51, 128]
    assert mask[30, 45] == 51
    assert paint(under, over, Stroke(((45, 30),), 3, erase=True))[30, 45] == 0
    assert paint(under, over, Stroke(((45, 30),), 3))[30, 45] == 255


def test_a_bucket_fills_what_has_one_strength() -> None:
    whole = Stroke(((0, 0), (40, 64)), shape="rectangle", strength=0.5)
    part = Stroke(((0, 0), (20, 64)), shape="rectangle", strength=0.3)
    mask = paint(whole, part, Region((30, 30), strength=0.9))
    assert (mask[30, 10], mask[30, 30], mask[30, 60]) == (76, 230, 0)


def test_full_strength_is_left_out_of_json_and_taken_where_it_is_not_said() -> None:
    values = acts_to_json([Stroke(((1, 2),), 3), Stroke(((1, 2),), 3, strength=0.25)])
    assert [act.get("strength") for act in values] == [None, 0.25]
    old = {"kind": "stroke", "points": [[1, 2]], "radius": 3, "shape": "brush", "erase": False, "pressure": []}
    assert acts_from_json([old]) == (Stroke(((1, 2),), 3),)


def test_an_imported_mask_keeps_its_grey_and_black_and_white_stay_so_at_every_size() -> None:
    grey = np.tile(np.arange(WIDTH, dtype=np.uint8), (HEIGHT, 1))
    assert np.array_equal(paint(Imported.of(grey)), grey)
    hard = paint(Stroke(((30, 30),), 11))
    assert Imported.of(hard)._open().mode == "1"
    large = draw([Imported.of(hard)], PHOTO, (WIDTH * 2 + 1, HEIGHT * 2 + 1))
    assert sorted(set(large.flat)) == [0, 255]
    assert len(set(draw([Imported.of(grey)], PHOTO, (WIDTH * 2, HEIGHT * 2)).flat)) > 90


def test_pressure_makes_the_brush_smaller() -> None:
    thick = paint(Stroke(((20, 30), (70, 30)), 10))
    thin = paint(Stroke(((20, 30), (70, 30)), 10, pressure=(0.3, 0.3)))
    taper = paint(Stroke(((20, 30), (70, 30)), 10, pressure=(0.2, 1.0)))
    assert thin.sum() < taper.sum() < thick.sum()
    assert (taper[:, 25] > 0).sum() < (taper[:, 65] > 0).sum()


@pytest.mark.parametrize("shape", ["rectangle", "ellipse"])
def test_shapes_fill_their_box_whichever_way_they_are_drawn(shape: str) -> None:
    a = paint(Stroke(((10, 8), (40, 30)), 5, shape))
    assert np.array_equal(a, paint(Stroke(((40, 30), (10, 8)), 5, shape)))
    ys, xs = np.nonzero(a)
    assert (xs.min(), xs.max(), ys.min(), ys.max()) == (10, 39, 8, 29)
    expected = 30 * 22 * (1 if shape == "rectangle" else np.pi / 4)
    assert (a > 0).sum() == pytest.approx(expected, rel=0.02)


def test_a_bucket_fills_the_inside_of_a_ring() -> None:
    ring = [Stroke(((20, 10), (70, 50)), 5, "rectangle"), Stroke(((25, 15), (65, 45)), 5, "rectangle", erase=True)]
    filled = paint(*ring, Region((40, 30)))
    assert np.array_equal(filled, paint(ring[0]))
    outside = paint(*ring, Region((2, 2)))
    assert outside[0, 0] == 255
    assert outside[30, 40] == 0


def test_a_wand_takes_connected_pixels_of_like_colour() -> None:
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    pixels[10:30, 10:30] = (200, 40, 40)
    pixels[10:30, 40:60] = (200, 40, 40)
    pixels[20:30, 10:30] = (210, 45, 40)
    picture = Image.fromarray(pixels)
    mask = draw([Region((12, 12), "wand", 20)], picture)
    assert mask[10:30, 10:30].all()
    assert (mask > 0).sum() == 400
    assert (draw([Region((12, 12), "wand", 3)], picture) > 0).sum() == 200
    assert (draw([Region((12, 12), "wand", 255)], picture) > 0).all()


def test_two_hundred_steps_on_a_large_picture_take_little_memory() -> None:
    rng = np.random.default_rng(0)
    painting = Painting(Image.new("RGB", (2048, 2048)))
    for i in range(230):
        line = np.cumsum(rng.normal(0, 30, (60, 2)), 0) + rng.uniform(200, 1800, 2)
        painting.do(Stroke(tuple(map(tuple, line.tolist())), 40, erase=i % 3 == 2))
    assert len(painting._done) == 200
    assert sum(len(step.flipped) for step in painting._done) < 50e6
    whole = painting.mask
    assert np.array_equal(draw(painting.acts, painting.image), whole)
    while painting.can_undo:
        painting.undo()
    assert (painting.mask > 0).any()  # what can no longer be undone stays painted


def test_what_was_wiped_out_is_not_kept() -> None:
    painting = Painting(PHOTO)
    painting.do(Stroke(((5, 5),), 4))
    painting.do(Change("clear"))
    painting.do(Stroke(((50, 30),), 4))
    assert [act["kind"] for act in painting.to_json()] == ["stroke"]
    painting.do(Imported.of(paint(Stroke(((9, 9),), 3))))
    assert [act["kind"] for act in painting.to_json()] == ["imported"]
    assert painting.draw((WIDTH * 2, HEIGHT * 2)).shape == (HEIGHT * 2, WIDTH * 2)


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: Stroke((), 3), "points"),
        (lambda: Stroke(((1, float("nan")),), 3), "points"),
        (lambda: Stroke(((1, 2),), 0), "radius=0"),
        (lambda: Stroke(((1, 2),), 3, "blob"), "shape='blob'"),
        (lambda: Stroke(((1, 2),), 3, pressure=(1, 1)), "pressure"),
        (lambda: Stroke(((1, 2),), 3, strength=0), "strength=0 is out of bounds"),
        (lambda: Change("fill", strength=1.2), "strength=1.2"),
        (lambda: Region((1, 2), "hose"), "tool='hose'"),
        (lambda: Region((1, 2), "wand", 300), "tolerance=300"),
        (lambda: Change("melt"), "what='melt'"),
        (lambda: acts_from_json([{"kind": "song"}]), "kind='song'"),
        (lambda: acts_from_json([{"kind": "stroke", "dots": []}]), "stroke cannot be read"),
        (lambda: acts_from_json([{"kind": "imported", "png": "no"}]), "imported"),
    ],
)
def test_what_cannot_be_drawn_is_refused(make, problem: str) -> None:
    with pytest.raises(InvalidMask, match=problem):
        make()


def test_a_mask_is_not_changed_behind_its_back() -> None:
    painting = Painting(PHOTO)
    with pytest.raises(ValueError):
        painting.mask[0, 0] = 255


def test_json_is_plain() -> None:
    values = acts_to_json([Stroke(((1, 2),), 3), Region((1, 2)), Change("grow", 2), Imported.of(EMPTY)])
    assert json.loads(json.dumps(values)) == values
