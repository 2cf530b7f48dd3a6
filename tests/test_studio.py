"""The Studio without a browser: buttons in, jobs, estimates and sentences out."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import smooth_image
from PIL import Image

import nbinpaint as nb
from nbinpaint.pace import Pace
from nbinpaint.prompts import PROMPT_AXES
from nbinpaint.region import region_of, window_of
from nbinpaint.sweep import Source


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
    assert studio.desk.message == "1 of 2 grid cells failed; the first: the sampler stumbled."
    studio.desk._handle_custom_msg({"type": "open", "url": "/no/such/file.png"}, [])
    assert "does not exist" in studio.desk.message


def test_a_model_is_loaded_in_the_background_or_says_why_not(photo: Image.Image, mask: Any, tmp_path: Path) -> None:
    studio = nb.Studio(photo, mask, engine=str(tmp_path))
    studio._loading.join(120)
    assert studio.engine is None
    assert studio.desk.trouble
    assert "not loaded" in studio.desk.model
    press(studio, "inpaint")
    assert "still being loaded" in studio.desk.message


def test_another_model_can_be_chosen(studio: nb.Studio) -> None:
    studio.desk._handle_custom_msg({"type": "model", "name": "embedded"}, [])
    studio._loading.join(120)
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


def test_several_images_of_a_seed_are_a_strip(studio: nb.Studio) -> None:
    press(studio, "inpaint", images=3)
    study = studio.wait(20)
    assert dict(study.axes) == {"image_index": (0, 1, 2)}
    assert len({result.raw.tobytes() for result in study}) == 3
    assert (studio.grid.rows, studio.grid.columns, studio.grid.selected) == ("", "image_index", -1)
    assert studio.desk.notes["inpaint"].startswith("3 pictures")
    with pytest.raises(Exception, match="images"):
        studio.desk.images = 17


class Flowing(nb.FakeEngine):
    """An engine of another family."""

    schedulers = ("FlowMatchEuler", "FlowMatchHeun")

    @staticmethod
    def default_params() -> nb.Params:
        return nb.Params(scheduler="FlowMatchEuler", steps=28, guidance_scale=5)


def test_another_family_brings_its_own_schedulers(studio: nb.Studio) -> None:
    studio.params = studio.params.replace(scheduler="DDIM", prompt="a red apple", seed=3)
    studio.engine = Flowing()
    assert studio.params == studio.params.replace(
        scheduler="FlowMatchEuler", steps=28, guidance_scale=5, prompt="a red apple", seed=3
    )
    offered = next(spec for spec in studio.panel.specs if spec["name"] == "scheduler")["groups"]
    assert [names for _, names in offered] == [["FlowMatchEuler", "FlowMatchHeun"]]
    assert next(f for f in studio.desk.fields if f["name"] == "scheduler")["choices"] == list(Flowing.schedulers)
    studio.engine = nb.FakeEngine()
    offered = next(spec for spec in studio.panel.specs if spec["name"] == "scheduler")["groups"]
    assert [name for _, names in offered for name in names] == list(nb.ALL_SCHEDULERS)
    assert studio.params.scheduler == "DPMSolverMultistep"


def test_prompt_tools_are_axes_whose_headers_say_what_differs(studio: nb.Studio) -> None:
    studio.params = studio.params.replace(prompt="a red apple on the grass, in the evening sun")
    studio.desk.axes = [{"name": "prompt_replace", "text": "red, green, yellow"}]
    assert studio.desk.notes["compare"].startswith("3 grid cells")
    studio.compare()
    study = studio.wait(60)
    assert [r.params.prompt.split()[1] for r in study] == ["red", "green", "yellow"]
    sent: list[Any] = []
    studio.grid.send = lambda content, buffers=None: sent.append(content)  # type: ignore[method-assign]
    studio.grid._send_study()
    assert sent[0]["axes"][0]["values"] == ["red", "green", "yellow"]
    studio.desk.axes = [{"name": "prompt_replace", "text": "pear, plum"}]
    assert "'pear'" in studio.desk.notes["problem"]


def test_every_parameter_can_be_an_axis_and_says_how_it_is_written(studio: nb.Studio) -> None:
    from nbinpaint.axes import axis_values

    fields = {field["name"]: field for field in studio.desk.fields}
    assert list(fields) == [*nb.Params.specs(), *PROMPT_AXES]
    for name, spec in nb.Params.specs().items():
        field = fields[name]
        assert field["group"] == spec.group
        text = ", ".join(field["choices"]) or field["example"]
        assert len(axis_values(spec, text)) > 1, name
    studio.desk.axes = [
        {"name": "mask_invert", "text": "off, on"},
        {"name": "soft", "text": "off, on"},
        {"name": "soft_preservation", "text": "0.2, 0.8"},
    ]
    assert studio.desk.notes["compare"] == "8 grid cells"
    press(studio, "compare", axes=studio.desk.axes[::2])
    assert [r.params.soft.preservation for r in studio.wait(20)] == [0.2, 0.8, 0.2, 0.8]


def test_the_crop_follows_mask_and_recipe_and_is_what_is_worked_on(studio: nb.Studio) -> None:
    assert studio.canvas.crop == []
    studio.params = studio.params.replace(padding=4, mask_blur=0)
    assert studio.canvas.crop == [28, 12, 68, 52]
    studio.canvas.clear()
    assert studio.canvas.crop == []
    studio.canvas.rectangle(10, 20, 30, 30)
    assert studio.canvas.crop == [6, 11, 34, 39]  # on the canvas's aspect
    assert "Worked on: 28 x 28 px." in studio.canvas.remark
    studio.panel.params = studio.params.replace(size=(64, 32))
    assert studio.canvas.crop == [2, 16, 38, 34]
    studio.inpaint()
    assert list(studio.wait(20)[0].placement.box) == studio.canvas.crop
    studio.params = studio.params.replace(padding=None)
    assert studio.canvas.crop == []
    assert studio.canvas.remark == ""
    assert not studio.canvas.mask[:11].any()  # never part of the mask


boxes = st.lists(
    st.tuples(st.integers(0, 59), st.integers(0, 39), st.integers(1, 20), st.sampled_from([60, 128, 255])), max_size=3
)


@given(
    boxes=boxes,
    mask_grow=st.integers(-9, 12),
    mask_invert=st.booleans(),
    differential=st.booleans(),
    padding=st.integers(0, 20),
    size=st.sampled_from([(64, 64), (96, 64), (32, 128)]),
    mask_blur=st.floats(0, 8),
)
@settings(max_examples=60, deadline=None)
def test_the_quick_window_is_the_regions_own(boxes: list[tuple[int, ...]], **values: Any) -> None:
    mask = np.zeros((40, 60), np.uint8)
    for x, y, side, grey in boxes:
        mask[y : y + side, x : x + side] = grey
    params = nb.Params(**values)
    try:
        wanted = region_of(Source(Image.new("RGB", (60, 40)), mask), params).placement
    except nb.InvalidMask:
        wanted = None
    assert window_of(mask, params) == wanted


def test_what_the_recipe_makes_of_the_mask_is_said(studio: nb.Studio) -> None:
    assert studio.canvas.remark == ""
    studio.params = studio.params.replace(mask_invert=True, mask_grow=-3)
    assert studio.canvas.remark == "The recipe inverts the mask and shrinks it by 3 px."
    studio.params = studio.params.replace(mask_invert=False)
    assert studio.canvas.remark == "The recipe shrinks the mask by 3 px."
    studio.params = studio.params.replace(mask_grow=0)
    studio.canvas.rectangle(0, 0, 5, 5, strength=0.4)
    assert (
        studio.canvas.remark
        == "Without Differential or Soft inpainting, grey from 50 % on is repainted whole, and less is kept."
    )
    studio.params = studio.params.replace(differential=True)
    assert studio.canvas.remark == "Each pixel has its own share of the denoise."
    studio.canvas.undo()
    assert studio.canvas.remark == "Differential: all that is painted has full strength."


def test_withheld_results_are_counted(photo: Image.Image, mask: Any) -> None:
    studio = nb.Studio(photo, mask, engine=nb.FakeEngine(flag=lambda cell: cell.index != 1))
    told: list[str] = []
    studio.desk.observe(lambda change: told.append(change.new.get("text", "")), "progress")
    studio.compare(seed=[1, 2, 3])
    studio.wait(20)
    assert studio.desk.message.endswith("s. 2 withheld by the safety checker.")
    assert any(text.endswith("3 of 3 grid cells, 2 withheld by the safety checker") for text in told)


def test_the_safety_checker_is_turned_off_only_when_asked(
    photo: Image.Image, mask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []

    def load(model: str, **options: Any) -> nb.FakeEngine:
        asked.append(options)
        return nb.FakeEngine()

    monkeypatch.setattr("nbinpaint.api.load_engine", load)
    for options in ({}, {"safety_checker": False}):
        nb.Studio(photo, mask, **options)._loading.join(20)
    assert asked == [{"safety_checker": True}, {"safety_checker": False}]
