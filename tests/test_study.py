"""Runs, jobs and studies, on the engine without a model."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import nbinpaint as nb
from nbinpaint.engine.base import Engine, Event, Stepped


@pytest.fixture
def sweep(photo: Image.Image, mask: np.ndarray) -> nb.Sweep:
    return nb.Sweep(
        photo, mask, nb.Params(prompt="a red apple", steps=4), scheduler=["DDIM", "PNDM"], denoise=[0.5, 0.75, 1.0]
    )


class Counting(nb.FakeEngine):
    """Remembers which grid cells it was asked for."""

    def __init__(self, **options: object) -> None:
        super().__init__(**options)  # type: ignore[arg-type]
        self.asked: list[int] = []

    def run(self, cells, cancel=None):  # type: ignore[no-untyped-def]
        self.asked += [cell.index for cell in cells]
        return super().run(cells, cancel)


def test_the_fake_engine_is_an_engine() -> None:
    assert isinstance(nb.FakeEngine(), Engine)


def test_results_come_in_the_sweeps_order(sweep: nb.Sweep) -> None:
    study = nb.run(sweep, engine=nb.FakeEngine(), progress=False)
    assert len(study) == 6
    assert [r.params.denoise for r in study] == [0.5, 0.75, 1.0] * 2
    assert study["PNDM", 0.75] is study[4] is study[-2]
    assert study[0].image.size == (64, 64)
    assert study[0].full.size == sweep.source.image.size


def test_a_missing_cell_says_why(sweep: nb.Sweep) -> None:
    study = nb.run(sweep, engine=nb.FakeEngine(fail=lambda c: "out of paint" if c.index == 1 else None), progress=False)
    with pytest.raises(KeyError, match="out of paint"):
        study[1]
    with pytest.raises(KeyError, match="no grid cell"):
        study["DDIM", 0.1]


def test_a_failing_cell_keeps_its_error_and_the_others_go_on(sweep: nb.Sweep) -> None:
    study = nb.run(sweep, engine=nb.FakeEngine(fail=lambda c: "out of paint" if c.index == 2 else None), progress=False)
    assert sorted(study.results) == [0, 1, 3, 4, 5]
    assert study.failures[2].message == "out of paint"
    frame = study.to_pandas()
    assert frame.loc[2, "state"] == "failed"
    assert frame.loc[2, "error"] == "out of paint"
    assert list(frame.columns[:2]) == ["scheduler", "denoise"]


def test_one_inpainting_raises_what_went_wrong(photo: Image.Image, mask: np.ndarray) -> None:
    with pytest.raises(nb.NbInpaintError, match="out of paint"):
        nb.inpaint(photo, mask, engine=nb.FakeEngine(fail=lambda c: "out of paint"))


def test_zero_steps_give_the_source_back(photo: Image.Image, mask: np.ndarray) -> None:
    result = nb.inpaint(photo, mask, nb.Params(denoise=0.0), engine=nb.FakeEngine())
    assert result.steps_run == result.evaluations == 0
    assert result.full.tobytes() == photo.tobytes()


def test_a_stored_study_resumes_where_it_stopped(sweep: nb.Sweep, tmp_path: Path) -> None:
    first = Counting(fail=lambda c: "out of paint" if c.index > 3 else None)
    nb.run(sweep, engine=first, store=tmp_path / "study", progress=False)
    second = Counting()
    study = nb.run(sweep, engine=second, store=tmp_path / "study", progress=False)
    assert second.asked == [4, 5]
    assert len(study.results) == 6
    assert not study.failures
    whole = nb.run(sweep, engine=nb.FakeEngine(), progress=False)
    assert [r.image.tobytes() for r in study] == [r.image.tobytes() for r in whole]
    assert [r.params for r in study] == [r.params for r in whole]


def test_another_sweep_reuses_what_both_have_in_common(sweep: nb.Sweep, tmp_path: Path) -> None:
    nb.run(sweep, engine=nb.FakeEngine(), store=tmp_path, progress=False)
    engine = Counting()
    wider = nb.Sweep(
        sweep.source.image,
        sweep.source.mask,
        sweep.params,
        scheduler=["DDIM", "KLMS"],
        denoise=[1.0, 0.5],
        size=[64, 32],
    )
    nb.run(wider, engine=engine, store=tmp_path, progress=False)
    done_before = {c.index for c in wider.cells if c.params.scheduler == "DDIM" and c.params.size == (64, 64)}
    assert set(engine.asked) == {c.index for c in wider.cells} - done_before


def test_a_damaged_file_is_computed_again(sweep: nb.Sweep, tmp_path: Path) -> None:
    nb.run(sweep, engine=nb.FakeEngine(), store=tmp_path, progress=False)
    victim = sorted((tmp_path / "raw").glob("*.png"))[0]
    victim.write_bytes(victim.read_bytes()[:100])
    engine = Counting()
    nb.run(sweep, engine=engine, store=tmp_path, progress=False)
    assert len(engine.asked) == 1


def test_a_study_opens_without_an_engine(sweep: nb.Sweep, tmp_path: Path) -> None:
    engine = nb.FakeEngine(fail=lambda c: "out of paint" if c.index == 0 else None, flag=lambda c: c.index == 1)
    before = nb.run(sweep, engine=engine, progress=False)
    before.save(tmp_path / "study")
    after = nb.open_study(tmp_path / "study")
    assert [after.state(i) for i in range(6)] == ["failed", "withheld", "done", "done", "done", "done"]
    assert after.failures == before.failures
    assert [r.full.tobytes() for r in after] == [r.full.tobytes() for r in before]
    assert after.to_pandas().drop(columns="seconds").equals(before.to_pandas().drop(columns="seconds"))
    json.loads((tmp_path / "study" / "study.json").read_text("utf-8"))


def test_a_folder_of_something_else_is_refused(sweep: nb.Sweep, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(nb.NbInpaintError, match="other things"):
        nb.run(sweep, engine=nb.FakeEngine(), store=tmp_path, progress=False)
    with pytest.raises(nb.NbInpaintError, match="other things"):
        nb.open_study(tmp_path)
    with pytest.raises(nb.NbInpaintError, match="no study"):
        nb.open_study(tmp_path / "nowhere")


def test_a_picture_carries_its_recipe(sweep: nb.Sweep) -> None:
    result = nb.run(sweep, engine=nb.FakeEngine(), progress=False)[3]
    assert nb.read_params(result.png()) == result.params


def test_pixels_come_as_an_array(sweep: nb.Sweep) -> None:
    study = nb.run(sweep, engine=nb.FakeEngine(), progress=False)
    array = study.to_xarray()
    assert dict(array.sizes) == {"scheduler": 2, "denoise": 3, "y": 64, "x": 64, "channel": 3}
    assert np.array_equal(array.sel(scheduler="PNDM", denoise=0.75).values, np.asarray(study["PNDM", 0.75].image))


def test_a_job_runs_beside_and_tells_how_far_it_is(sweep: nb.Sweep) -> None:
    heard: list[tuple[Event, str]] = []
    job = nb.start(sweep, engine=nb.FakeEngine(), listen=lambda event, progress: heard.append((event, str(progress))))
    study = job.result(timeout=30)
    assert job.done
    assert not job.cancelled
    assert len(study.results) == 6
    assert (job.progress.cells_done, job.progress.cells) == (6, 6)
    assert job.progress.steps_done == job.progress.steps == 2 * (2 + 3 + 4)
    assert sum(isinstance(event, Stepped) for event, _ in heard) == job.progress.steps
    assert heard[-1][1] == "6 of 6 grid cells"


def test_cancelling_keeps_what_is_done(sweep: nb.Sweep) -> None:
    reached, go_on = threading.Event(), threading.Event()

    def hold(event: Event, progress: object) -> None:
        if isinstance(event, Stepped) and event.cell.index == 2:
            reached.set()
            assert go_on.wait(30)

    job = nb.start(sweep, engine=nb.FakeEngine(), listen=hold)
    assert reached.wait(30)
    with pytest.raises(TimeoutError, match="2 of 6"):
        job.result(timeout=0)
    job.cancel()
    go_on.set()
    study = job.result(timeout=30)
    assert job.cancelled
    assert sorted(study.results) == [0, 1]
    assert [c.index for c in study.missing] == [2, 3, 4, 5]


def test_a_recipe_that_the_engine_refuses_stops_the_plan(sweep: nb.Sweep) -> None:
    class Picky(Counting):
        def plan(self, params: nb.Params):  # type: ignore[no-untyped-def]
            if params.scheduler == "PNDM":
                raise nb.InvalidParams("scheduler='PNDM' cannot be used here")
            return super().plan(params)

    engine = Picky()
    with pytest.raises(nb.InvalidParams, match="PNDM"):
        nb.run(sweep, engine=engine, progress=False)
    assert engine.asked == []


def test_a_bar_with_the_time_left_is_shown(sweep: nb.Sweep, capsys: pytest.CaptureFixture[str]) -> None:
    nb.run(sweep, engine=nb.FakeEngine())
    shown = capsys.readouterr().err
    assert "6 of 6 grid cells" in shown
    assert "18/18" in shown


def test_withheld_pictures_are_counted_and_said(sweep: nb.Sweep, tmp_path: Path) -> None:
    heard: list[str] = []
    engine = nb.FakeEngine(flag=lambda c: c.index in (1, 4), fail=lambda c: "out of paint" if c.index == 5 else None)
    job = nb.start(
        sweep, engine=engine, store=tmp_path / "study", listen=lambda event, progress: heard.append(str(progress))
    )
    study = job.result(timeout=30)
    assert study.withheld == (1, 4)
    assert job.progress.withheld == 2
    assert heard[-1] == "6 of 6 grid cells, 2 withheld by the safety checker, 1 failed"
    assert repr(study) == "<Study 2 scheduler x 3 denoise: 5 of 6 done, 2 withheld, 1 failed, model 'fake'>"
    assert list(study.to_pandas()["state"]).count("withheld") == 2
    study.save_html(tmp_path / "page.html")
    assert "2 withheld by the safety checker" in (tmp_path / "page.html").read_text("utf-8")
    assert nb.open_study(tmp_path / "study").withheld == (1, 4)
    again = nb.start(sweep, engine=nb.FakeEngine(), store=tmp_path / "study")
    again.result(timeout=30)
    assert str(again.progress) == "6 of 6 grid cells, 2 withheld by the safety checker"


def test_nothing_is_said_of_withheld_pictures_where_there_are_none(sweep: nb.Sweep) -> None:
    study = nb.run(sweep, engine=nb.FakeEngine(), progress=False)
    assert study.withheld == ()
    assert "withheld" not in repr(study)
