"""The comparison grid without a browser: a study and events in, messages and traits out."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

import nbinpaint as nb
from nbinpaint.sweep import GridCell


class Page:
    """Stands for the browser: keeps what the kernel says, sends what the page would."""

    def __init__(self, grid: nb.ComparisonGrid, monkeypatch: pytest.MonkeyPatch) -> None:
        self.grid = grid
        self.heard: list[tuple[dict[str, Any], list[bytes]]] = []
        monkeypatch.setattr(grid, "send", lambda m, b=None: self.heard.append((m, list(b or []))))

    def send(self, **content: Any) -> None:
        self.grid._handle_custom_msg(content, [])

    def of(self, kind: str) -> list[tuple[dict[str, Any], list[bytes]]]:
        return [(m, b) for m, b in self.heard if m["type"] == kind]

    def cells(self) -> dict[int, dict[str, Any]]:
        """What the page knows of each grid cell by now."""
        known: dict[int, dict[str, Any]] = {}
        for message, _ in self.heard:
            for cell in message.get("cells", []):
                known.setdefault(cell["key"], {}).update(cell)
        return known


@pytest.fixture
def sweep(photo: Image.Image, mask: Any) -> nb.Sweep:
    return nb.Sweep(photo, mask, nb.Params(prompt="a cat"), scheduler=["DDIM", "PNDM"], denoise=[0.5, 1.0], seed=[1, 2])


def failing(cell: GridCell) -> str | None:
    return "the sampler stumbled" if cell.index == 3 else None


@pytest.fixture
def study(sweep: nb.Sweep) -> nb.Study:
    return nb.run(sweep, engine=nb.FakeEngine(fail=failing, flag=lambda cell: cell.index == 5), progress=False)


@pytest.fixture
def page(study: nb.Study, monkeypatch: pytest.MonkeyPatch) -> Page:
    return Page(nb.ComparisonGrid(study), monkeypatch)


def test_a_page_that_comes_is_told_everything(page: Page) -> None:
    page.send(type="ready")
    ((message, pictures),) = page.of("study")
    assert [axis["label"] for axis in message["axes"]] == ["Scheduler", "Denoise", "Seed"]
    assert message["axes"][0]["values"] == ["DDIM", "PNDM"]
    assert [cell["status"] for cell in message["cells"]].count("done") == 6
    assert message["cells"][3] | {"at": 0} == {
        "key": 3, "status": "failed", "message": "the sampler stumbled", "at": 0,
    }  # fmt: skip
    assert message["cells"][5]["status"] == "withheld"
    assert message["cells"][6]["at"] == {"scheduler": 1, "denoise": 1, "seed": 0}
    assert Image.open(io.BytesIO(pictures[0])).size == (96, 64)
    assert page.heard[0][0]["type"] == "alive"


def test_rows_and_columns_are_the_axes_with_several_values(study: nb.Study) -> None:
    grid = nb.ComparisonGrid(study)
    assert (grid.rows, grid.columns, grid.fixed) == ("scheduler", "denoise", {"scheduler": 0, "denoise": 0, "seed": 0})
    grid = nb.ComparisonGrid(study, rows="seed", columns="scheduler")
    assert (grid.rows, grid.columns) == ("seed", "scheduler")
    with pytest.raises(Exception, match="rows='steps' is no axis"):
        grid.rows = "steps"
    with pytest.raises(Exception, match="allowed: a Study"):
        grid.study = 3


def test_pictures_come_at_the_size_they_are_shown_and_withheld_ones_never(page: Page) -> None:
    page.send(type="want", keys=[0, 3, 5, 6, 99], side=64)
    ((message, pictures),) = page.of("cells")
    assert [cell["key"] for cell in message["cells"]] == [0, 6]
    assert max(Image.open(io.BytesIO(pictures[0])).size) == 64


def test_opening_gives_the_full_picture_its_source_and_its_recipe(page: Page) -> None:
    page.send(type="open", key=6)
    ((message, pictures),) = page.of("opened")
    assert [Image.open(io.BytesIO(p)).size for p in pictures] == [(96, 64), (96, 64)]
    facts = dict(message["facts"])
    assert (facts["Scheduler"], facts["Seed"], facts["Steps run"]) == ("PNDM", "1", "20 of 20")
    page.send(type="open", key=5)
    assert page.of("opened")[1][1] == []


def test_the_inspector_tells_every_setting_that_is_not_the_default(photo: Image.Image, mask: Any) -> None:
    params = nb.Params(soft=nb.SoftInpainting(preservation=0.8), padding=4, mask_blur=0, differential=True, eta=0.5)
    grid = nb.ComparisonGrid(nb.run(nb.Sweep(photo, mask, params), engine=nb.FakeEngine(), progress=False))
    facts = dict(grid._facts(0))
    told = {name: facts[name] for name in ("Soft inpainting", "Preservation strength", "Differential", "Eta")}
    assert told == {"Soft inpainting": "on", "Preservation strength": "0.8", "Differential": "on", "Eta": "0.5"}
    assert facts["Crop"] == "40 x 40 px at 28, 12"
    assert not {"Transition contrast", "Masked content", "Clip skip"} & set(facts)
    grid.study = nb.run(nb.Sweep(photo, mask, soft="off, on"), engine=nb.FakeEngine(), progress=False)
    assert [dict(grid._facts(i))["Soft inpainting"] for i in (0, 1)] == ["off", "on"]
    assert "Crop" not in dict(grid._facts(0))


def test_the_crop_shows_what_the_model_saw_and_what_it_made(
    photo: Image.Image, mask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = nb.Sweep(photo, mask, nb.Params(padding=0, mask_blur=0, size=(64, 64)), seed=[1, 2])
    study = nb.run(sweep, engine=nb.FakeEngine(flag=lambda cell: cell.index == 1), progress=False)
    page = Page(nb.ComparisonGrid(study), monkeypatch)
    page.send(type="crop", key=0)
    page.send(type="crop", key=1)  # withheld
    ((message, pictures),) = page.of("cropped")
    assert message["key"] == 0
    seen, made = (np.asarray(Image.open(io.BytesIO(p))).astype(int) for p in pictures)
    assert np.abs(seen - np.asarray(study[0].placed)).mean() < 3
    assert np.abs(made - np.asarray(study[0].generated)).mean() < 3


def test_a_job_fills_the_grid_with_progress_previews_and_pictures(
    sweep: nb.Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = nb.ComparisonGrid()
    page = Page(grid, monkeypatch)
    monkeypatch.setattr("nbinpaint.widgets.grid.BREATH", 0.0)
    job = nb.start(sweep, engine=nb.FakeEngine(seconds_per_step=0.002, fail=failing))
    grid.watch(job)
    job.result(20)
    states = [c["status"] for m, _ in page.of("cells") for c in m["cells"] if c["key"] == 7]
    assert states[0] == "running"
    assert states[-1] == "done"
    known = page.cells()
    assert known[3]["message"] == "the sampler stumbled"
    assert sum("picture" in cell for cell in known.values()) == 7


def test_a_cancelled_job_leaves_nothing_running(sweep: nb.Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    grid = nb.ComparisonGrid()
    page = Page(grid, monkeypatch)
    job = nb.start(sweep, engine=nb.FakeEngine(seconds_per_step=0.01))
    grid.watch(job)
    job.cancel()
    job.result(20)
    assert all(cell["status"] != "running" for cell in page.cells().values())


def test_events_of_another_study_are_not_shown(
    study: nb.Study, sweep: nb.Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = nb.ComparisonGrid(study)
    page = Page(grid, monkeypatch)
    other = nb.Sweep(sweep.source.image, sweep.source.mask, seed=[5, 6])
    nb.start(other, engine=nb.FakeEngine(), listen=grid.hear).result(20)
    assert page.heard == []


def test_ratings_go_into_the_study_and_its_table(page: Page, study: nb.Study) -> None:
    page.send(type="rate", key=2, stars=4)
    page.send(type="rate", key=0, stars=5)
    page.send(type="rate", key=0, stars=0)
    assert study.ratings == {2: 4}
    assert study.to_pandas()["rating"][2] == 4
    with pytest.raises(nb.NbInpaintError, match="stars=9"):
        study.rate(1, 9)


def test_settings_and_pngs_are_handed_out(page: Page) -> None:
    taken: list[nb.Params] = []
    page.grid.on_use(taken.append)
    assert page.grid.usable
    page.send(type="use", key=6)
    page.send(type="save", key=6)
    assert taken[0].scheduler == "PNDM"
    ((_, (png,)),) = page.of("download")
    assert nb.read_params(png) == taken[0]


def test_a_study_of_one_cell_and_none_at_all_are_shown(photo: Image.Image, mask: Any) -> None:
    grid = nb.ComparisonGrid()
    assert grid._still_pictures() == []
    grid.study = nb.run(nb.Sweep(photo, mask), engine=nb.FakeEngine(), progress=False)
    assert (grid.rows, grid.columns) == ("", "")
    assert "data:image/jpeg" in grid._still()._repr_html_()


def test_the_static_picture_of_thirty_results_stays_small() -> None:
    picture, mask = nb.sample("astronaut").image, nb.sample("astronaut").mask
    sweep = nb.Sweep(picture, mask, scheduler=nb.SCHEDULERS, denoise="0.2-1.0 [5]", size=[512])
    grid = nb.ComparisonGrid(nb.run(sweep, engine=nb.FakeEngine(), progress=False))
    still = grid._still()
    assert len(still._repr_html_()) + len(still._repr_png_()) * 4 / 3 < 1_500_000
