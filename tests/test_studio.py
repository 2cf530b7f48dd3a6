"""The Studio without a browser: buttons in, jobs, estimates and sentences out."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pictures import smooth_image
from PIL import Image

import nbinpaint as nb
from nbinpaint.pace import Pace


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def studio(photo: Image.Image, mask: Any) -> nb.Studio:
    return nb.Studio(photo, mask, nb.Params(prompt="a cat"), engine=nb.FakeEngine(seconds_per_step=0.001))


def press(studio: nb.Studio, what: str, **more: Any) -> None:
    studio.desk._handle_custom_msg({"type": "press", "what": what} | more, [])


def test_inpaint_runs_the_recipe_and_opens_its_result(studio: nb.Studio) -> None:
    studio.panel.params = studio.params.replace(steps=7, seed=3)
    press(studio, "inpaint")
    study = studio.wait(20)
    assert study[0].params == nb.Params(prompt="a cat", steps=7, seed=3, size=(64, 64))
    assert (studio.grid.study, studio.grid.selected) == (study, 0)
    assert studio.desk.progress == {}
    assert studio.desk.message.startswith("1 of 1 grid cells in ")


def test_a_press_brings_the_settings_that_it_was_made_with(studio: nb.Studio) -> None:
    """While the kernel is busy, the page's settings wait longer than a press does."""
    values = studio.panel.values | {"steps": 3, "prompt": "typed just before"}
    press(studio, "compare", values=values, axes=[{"name": "seed", "text": "7, 8"}])
    study = studio.wait(20)
    assert [(r.params.steps, r.params.prompt, r.params.seed) for r in study] == [
        (3, "typed just before", 7),
        (3, "typed just before", 8),
    ]


def test_compare_runs_the_axes_of_the_page(studio: nb.Studio) -> None:
    studio.desk.axes = [{"name": "denoise", "text": "0.5-1.0 [2]"}, {"name": "seed", "text": "1, 2, 3"}]
    assert studio.desk.notes["compare"] == "6 grid cells"
    press(studio, "compare")
    study = studio.wait(20)
    assert dict(study.axes) == {"denoise": (0.5, 1.0), "seed": (1, 2, 3)}
    assert len(studio.desk.history) == 1
    assert "2 denoise x 3 seed" in studio.desk.history[0]


def test_a_problem_with_an_axis_is_said_before_anything_runs(studio: nb.Studio) -> None:
    studio.desk.axes = [{"name": "denoise", "text": "0.5-1.7 [2]"}]
    assert "denoise=1.7 is out of bounds" in studio.desk.notes["problem"]
    press(studio, "compare")
    assert studio.desk.trouble
    assert "denoise=1.7" in studio.desk.message
    assert studio.job is None


def test_the_expected_time_and_price_are_learned(photo: Image.Image, mask: Any) -> None:
    engine = nb.FakeEngine(seconds_per_step=0.005)
    studio = nb.Studio(photo, mask, engine=engine, price_per_hour=3600.0)
    assert studio.desk.notes["inpaint"] == "1 picture"
    studio.inpaint()
    studio.wait(20)
    again = nb.Studio(photo, mask, engine=engine, price_per_hour=3600.0)
    assert again.desk.notes["inpaint"].startswith("1 picture, about 0.")
    assert "$0." in again.desk.notes["inpaint"]
    one = Pace().seconds("fake-1", [engine.plan(nb.Params(steps=10))])
    ten = Pace().seconds("fake-1", [engine.plan(nb.Params(steps=100))])
    assert ten == pytest.approx(10 * one)


def test_a_second_press_is_refused_with_a_word_and_cancel_keeps_what_is_done(photo: Image.Image, mask: Any) -> None:
    gate, entered = threading.Event(), threading.Event()

    def wait(cell: Any) -> None:
        if cell.index == 1:
            entered.set()
            gate.wait(20)

    studio = nb.Studio(photo, mask, engine=nb.FakeEngine(fail=wait))
    studio.compare(seed=[1, 2, 3])
    entered.wait(20)
    press(studio, "inpaint")
    assert "A run is going on" in studio.desk.message
    press(studio, "cancel")
    gate.set()
    study = studio.wait(20)
    assert len(study.results) == 1
    assert studio.desk.message == "Cancelled: 1 of 3 grid cells are done."


def test_what_goes_wrong_is_said_in_the_studio(photo: Image.Image, mask: Any) -> None:
    studio = nb.Studio(photo, engine=nb.FakeEngine(fail=lambda cell: "the sampler stumbled" if cell.index else None))
    press(studio, "inpaint")
    assert studio.desk.message == "The mask is empty: paint what is to be repainted first."
    studio.canvas.mask = mask
    studio.compare(seed=[1, 2])
    studio.wait(20)
    assert studio.desk.message == "1 of 2 grid cells failed; the first: the sampler stumbled"
    studio.desk._handle_custom_msg({"type": "open", "url": "/no/such/file.png"}, [])
    assert "does not exist" in studio.desk.message


def test_a_model_is_loaded_in_the_background_or_says_why_not(photo: Image.Image, mask: Any, tmp_path: Path) -> None:
    studio = nb.Studio(photo, mask, engine=str(tmp_path))
    studio._loading.join(60)
    assert studio.engine is None
    assert studio.desk.trouble
    assert "not loaded" in studio.desk.model
    press(studio, "inpaint")
    assert "still being loaded" in studio.desk.message


def test_another_model_can_be_chosen(studio: nb.Studio) -> None:
    studio.desk._handle_custom_msg({"type": "model", "name": "embedded"}, [])
    studio._loading.join(60)
    assert studio.engine.name == "embedded"
    assert studio.desk.model == "embedded"
    assert studio.panel.engine is studio.engine


def test_it_goes_on_from_a_result_and_uses_settings(studio: nb.Studio) -> None:
    press(studio, "continue")
    assert "No result is open" in studio.desk.message
    studio.compare(seed=[4, 5])
    study = studio.wait(20)
    studio.grid.selected = 1
    press(studio, "continue")
    assert studio.canvas.image.tobytes() == study[1].full.tobytes()
    assert studio.canvas.mask.any()
    studio.grid._handle_custom_msg({"type": "use", "key": 1}, [])
    assert studio.params.seed == 5
    assert studio.panel.params.seed == 5


def test_history_brings_earlier_runs_back(studio: nb.Studio) -> None:
    for seed in (1, 2):
        studio.compare(seed=[seed, 9])
        studio.wait(20)
    studio.desk._handle_custom_msg({"type": "show", "index": 0}, [])
    assert studio.grid.study is studio.studies[0]


def test_an_unlocked_seed_is_drawn_anew(studio: nb.Studio) -> None:
    studio.panel.seed_locked = False
    seeds = set()
    for _ in range(2):
        studio.inpaint()
        seeds.add(studio.wait(20)[0].params.seed)
    assert len(seeds | {0}) == 3


def test_samples_come_with_mask_and_prompt(studio: nb.Studio) -> None:
    studio.desk._handle_custom_msg({"type": "open", "sample": "beach"}, [])
    scene = nb.sample("beach")
    assert studio.params.prompt == scene.prompt
    assert np.array_equal(studio.canvas.mask, scene.mask)
    studio.canvas.image = smooth_image(50, 40)
    assert not studio.canvas.mask.any()


def test_results_are_kept_in_a_folder(photo: Image.Image, mask: Any, tmp_path: Path) -> None:
    studio = nb.Studio(photo, mask, engine=nb.FakeEngine(), store=tmp_path / "kept")
    studio.compare(seed=[1, 2])
    studio.wait(20)
    assert len(nb.open_study(tmp_path / "kept").results) == 2


def test_the_static_picture_shows_canvas_and_results(studio: nb.Studio) -> None:
    assert studio._still()._repr_html_().count("data:image/jpeg") == 1
    studio.inpaint()
    studio.wait(20)
    assert studio._still()._repr_html_().count("data:image/jpeg") == 2
