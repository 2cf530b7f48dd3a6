"""A study as a page and as a figure."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import nbinpaint as nb


@pytest.fixture
def study(photo: Image.Image, mask: Any) -> nb.Study:
    sweep = nb.Sweep(photo, mask, nb.Params(prompt="a <b>cat</b>"), scheduler=["DDIM", "PNDM"], denoise=[0.5, 0.7, 1.0])
    engine = nb.FakeEngine(fail=lambda cell: "stumbled & fell" if cell.index == 4 else None)
    return nb.run(sweep, engine=engine, progress=False)


def test_a_page_holds_every_picture_and_says_what_failed(study: nb.Study, tmp_path: Path) -> None:
    study.save_html(tmp_path / "study.html")
    page = (tmp_path / "study.html").read_text("utf-8")
    assert page.count("data:image/jpeg") == 2 + 5
    assert re.findall(r"<tr><th>(\w+)</th>", page) == ["DDIM", "PNDM"]
    assert re.findall(r"<th>([\d.]+)</th>", page) == ["0.5", "0.7", "1"]
    assert "stumbled &amp; fell" in page
    assert "<b>cat" not in page
    assert "http" not in page


def test_a_page_can_be_turned(study: nb.Study, tmp_path: Path) -> None:
    study.save_html(tmp_path / "study.html", rows="denoise", columns="scheduler")
    assert "<th>DDIM</th><th>PNDM</th>" in (tmp_path / "study.html").read_text("utf-8")
    with pytest.raises(nb.InvalidParams, match="seed"):
        study.save_html(tmp_path / "study.html", rows="seed")


def test_a_figure_shows_pictures_where_their_headers_say(study: nb.Study) -> None:
    figure = study.figure()
    axes = np.array(figure.axes).reshape(2, 3)
    assert [one.get_title() for one in axes[0]] == ["0.5", "0.7", "1"]
    assert [one.get_ylabel() for one in axes[:, 0]] == ["DDIM", "PNDM"]
    assert np.array_equal(axes[1, 2].images[0].get_array(), np.asarray(study["PNDM", 1.0].image))
    assert axes[1, 1].texts[0].get_text() == "stumbled & fell"
    figure.canvas.draw()


def test_one_picture_alone_is_a_page_and_a_figure(photo: Image.Image, mask: Any, tmp_path: Path) -> None:
    study = nb.run(nb.Sweep(photo, mask), engine=nb.FakeEngine(), progress=False)
    study.save_html(tmp_path / "one.html")
    assert len(study.figure().axes) == 1
