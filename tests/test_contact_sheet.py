"""Contact sheets: headers never clip and never overlap, and every picture stands in its place."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import nbinpaint as nb
from nbinpaint.report.sheets import Layout, _extent, contact_sheet, lay_out

LABEL = st.text(st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp")), max_size=70)


def boxes(layout: Layout) -> list[tuple[int, int, int, int]]:
    return [*(t.box for t in layout.texts if t.lines), *itertools.chain(*layout.cells), *layout.sides]


def overlap(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(LABEL, min_size=1, max_size=4),
    columns=st.lists(LABEL, min_size=1, max_size=4),
    titles=st.tuples(LABEL, LABEL, LABEL),
    cell=st.sampled_from([(40, 40), (168, 90), (128, 256)]),
    sides=st.sampled_from([(), (("source", (100, 60)), ("mask", (100, 60)))]),
)
def test_nothing_clips_and_nothing_overlaps(
    rows: list[str], columns: list[str], titles: tuple[str, str, str], cell: tuple[int, int], sides: tuple
) -> None:
    layout = lay_out(
        rows=rows,
        columns=columns,
        cell=cell,
        title=titles[0],
        row_title=titles[1],
        column_title=titles[2],
        sides=sides,
    )
    for box in boxes(layout):
        assert 0 <= box[0] <= box[2] <= layout.size[0]
        assert 0 <= box[1] <= box[3] <= layout.size[1]
    for a, b in itertools.combinations(boxes(layout), 2):
        assert not overlap(a, b)
    for text in layout.texts:
        width, height = _extent(text.lines, text.size)
        one_letter = all(len(line) <= 1 for line in text.lines)
        assert width <= text.box[2] - text.box[0] or one_letter
        assert height <= text.box[3] - text.box[1]
    shown = "".join("".join(t.lines) for t in layout.texts)
    for label in (*rows, *columns, *titles):
        assert all(word in shown or len(word) > 5 for word in label.split())


def test_pictures_stand_in_their_row_and_column() -> None:
    colours = [["red", "green"], ["blue", "yellow"]]
    images = [[Image.new("RGB", (64, 64), c) for c in row] for row in colours]
    sheet = contact_sheet(images=images, row_labels=["a", "b"], column_labels=["c", "d"], cell=64)
    layout = lay_out(rows=["a", "b"], columns=["c", "d"], cell=(64, 64))
    assert sheet.size == layout.size
    for row, places in zip(colours, layout.cells, strict=True):
        for colour, place in zip(row, places, strict=True):
            assert sheet.crop(place).getcolors() == [(64 * 64, Image.new("RGB", (1, 1), colour).getpixel((0, 0)))]


@pytest.fixture
def study(photo: Image.Image, mask: np.ndarray) -> nb.Study:
    sweep = nb.Sweep(
        photo,
        mask,
        nb.Params(prompt="a red apple", steps=2),
        scheduler=["DDIM", "PNDM"],
        denoise=[0.5, 1.0],
        seed=[1, 2],
        guidance_scale=[4],
    )
    engine = nb.FakeEngine(fail=lambda c: "out of paint" if c.index == 1 else None, flag=lambda c: c.index == 2)
    return nb.run(sweep, engine=engine, progress=False)


def test_a_study_shows_every_cell_once(study: nb.Study, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = {}
    monkeypatch.setattr("nbinpaint.report.studies.contact_sheet", lambda **given: seen.update(given))
    study.sheet()
    assert seen["column_labels"] == ["0.5", "1"]
    assert seen["row_labels"] == [f"Scheduler {s} · Seed {n}" for s in ("DDIM", "PNDM") for n in (1, 2)]
    assert "“a red apple”" in seen["title"]
    assert "Guidance 4" in seen["title"]
    assert "Scheduler" not in seen["title"]
    assert seen["images"][1] == ["out of paint", study["DDIM", 1.0, 2, 4.0].image]
    assert seen["images"][0][1] == "withheld by the safety checker"
    study.sheet(rows="seed", columns=("denoise", "scheduler"))
    assert seen["row_labels"] == ["1", "2"]
    assert seen["images"][0][3] is study["PNDM", 1.0, 1, 4.0].image


def test_axes_that_do_not_fit_are_refused(study: nb.Study) -> None:
    with pytest.raises(nb.InvalidParams, match="allowed: each of"):
        study.sheet(rows="seed", columns="steps")
    with pytest.raises(nb.InvalidParams, match="do not divide"):
        study.sheet(rows="seed", columns="denoise")


def test_one_axis_and_none_make_a_sheet_too(photo: Image.Image, mask: np.ndarray) -> None:
    for axes in ({}, {"denoise": [0.5, 1.0]}):
        study = nb.run(nb.Sweep(photo, mask, **axes), engine=nb.FakeEngine(), progress=False)
        assert study.sheet().width > 64
