"""The parameter panel without a browser: values and messages in, recipes, notes and problems out."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterator
from typing import Any

import pytest
import traitlets
from PIL import Image

import nbinpaint as nb
from nbinpaint.engine.base import Plan
from nbinpaint.metadata import png_bytes
from nbinpaint.widgets.panel import ParameterPanel
from nbinpaint.widgets.presets import PRESETS


class Page:
    """Stands for the browser: edits `values` as panel.js does, and counts what becomes of the recipe."""

    def __init__(self, panel: ParameterPanel) -> None:
        self.panel = panel
        self.recipes: list[nb.Params] = []
        panel.observe(lambda change: self.recipes.append(change.new), names="params")

    def edit(self, **changes: Any) -> None:
        self.panel.set_state({"values": json.loads(json.dumps(self.panel.values | changes))})

    def drop(self, content: bytes) -> None:
        self.panel._handle_custom_msg({"type": "recipe"}, [memoryview(content)])


@pytest.fixture
def panel() -> Iterator[ParameterPanel]:
    made = ParameterPanel(nb.Params(prompt="a red apple", steps=20, denoise=0.6))
    yield made
    made.close()


@pytest.fixture
def page(panel: ParameterPanel) -> Page:
    return Page(panel)


class Picky(nb.FakeEngine):
    """An engine that refuses some recipes."""

    def plan(self, params: nb.Params) -> Plan:
        if params.size == (72, 72):
            raise nb.InvalidParams("size=(72, 72) is not possible; allowed: multiples of 64")
        if params.scheduler == "TCD":
            raise nb.InvalidParams("models of this kind cannot be sampled with TCD")
        return super().plan(params)

    @staticmethod
    def prompt_hint(prompt: str) -> str | None:
        return "does not know: zebra" if "zebra" in prompt else None


def flat(params: nb.Params) -> dict[str, Any]:
    """What the page shows of a recipe: its fields as JSON has them, and the settings of soft inpainting one by one."""
    soft = params.soft or nb.SoftInpainting()
    settings = {f"soft_{name}": value for name, value in vars(soft).items()}
    return params.to_dict() | {"soft": params.soft is not None} | settings


def test_it_starts_with_a_recipe() -> None:
    panel = ParameterPanel()
    assert panel.params == nb.Params()
    assert panel.values == flat(nb.Params())
    assert list(panel.values) == list(nb.Params.specs())
    assert panel.problems == {}
    assert ParameterPanel(nb.Params(seed=3), seed_locked=False).params.seed == 3


def test_an_edit_in_the_page_becomes_the_recipe_once(panel: ParameterPanel, page: Page) -> None:
    page.edit(steps=30, size=[96, 128])
    assert page.recipes == [nb.Params(prompt="a red apple", steps=30, denoise=0.6, size=(96, 128))]
    assert panel.params == page.recipes[0]


def test_a_recipe_set_in_python_shows_in_the_page(panel: ParameterPanel, page: Page) -> None:
    panel.params = panel.params.replace(scheduler="DDIM")
    assert panel.values == flat(panel.params)
    assert len(page.recipes) == 1
    with pytest.raises(traitlets.TraitError, match="no recipe"):
        panel.params = {"steps": 3}
    assert panel.params.scheduler == "DDIM"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("steps", 501, "steps=501 is out of bounds"),
        ("steps", None, "steps=None"),
        ("size", [500, 512], "multiple of 8"),
        ("scheduler", "Eular", "is unknown"),
        ("padding", 300, "padding=300 is out of bounds"),
        ("mask_invert", "perhaps", "True or False"),
        ("soft", 7, "SoftInpainting(...)"),
        ("nonsense", 1, "no parameter"),
    ],
)
def test_a_value_that_is_not_allowed_changes_nothing_and_says_why(
    panel: ParameterPanel, page: Page, name: str, value: Any, words: str
) -> None:
    page.edit(**{name: value})
    assert page.recipes == []
    assert list(panel.problems) == [name]
    assert words in panel.problems[name]
    assert panel.values[name] == value  # what was typed stays to be mended


def test_one_bad_value_blocks_no_other_and_goes_when_it_is_mended(panel: ParameterPanel, page: Page) -> None:
    page.edit(steps=900)
    page.edit(denoise=0.5)
    assert panel.params.denoise == 0.5
    assert panel.values["steps"] == 900
    assert list(panel.problems) == ["steps"]
    page.edit(steps=20)
    assert panel.problems == {}
    page.edit(steps=900)
    panel.params = panel.params.replace(seed=4)
    assert panel.problems == {}
    assert panel.values["steps"] == 20


def test_settings_within_a_field_count_where_the_field_is_on(panel: ParameterPanel, page: Page) -> None:
    page.edit(soft_preservation=0.8)  # as it would be left behind; the page does not offer it while the field is off
    assert page.recipes == []
    page.edit(soft=True)
    assert panel.params.soft == nb.SoftInpainting(preservation=0.8)
    page.edit(soft_mask_influence=0.25)
    assert panel.params.soft == nb.SoftInpainting(preservation=0.8, mask_influence=0.25)
    page.edit(soft=False, steps=7)
    assert (panel.params.soft, panel.params.steps) == (None, 7)
    assert panel.values["soft_preservation"] == 0.8  # waits
    page.edit(soft=True)
    assert panel.params.soft == nb.SoftInpainting(preservation=0.8, mask_influence=0.25)
    panel.params = nb.Params()
    assert panel.values == flat(nb.Params())


def test_a_refused_setting_leaves_the_others_as_they_are(panel: ParameterPanel, page: Page) -> None:
    panel.params = panel.params.replace(soft_preservation=0.8, soft_mask_influence=0.25)
    page.edit(soft_preservation=9, steps=7)
    assert panel.params.soft == nb.SoftInpainting(preservation=0.8, mask_influence=0.25)
    assert panel.params.steps == 7
    assert list(panel.problems) == ["soft_preservation"]
    assert panel.values["soft_preservation"] == 9
    page.edit(soft_preservation=1)
    assert panel.params.soft == nb.SoftInpainting(preservation=1, mask_influence=0.25)
    assert panel.problems == {}


def test_every_parameter_has_plain_specs(panel: ParameterPanel) -> None:
    specs = {spec["name"]: spec for spec in json.loads(json.dumps(panel.specs))}
    assert list(specs) == list(nb.Params.specs())
    for name, spec in nb.Params.specs().items():
        for about in ("label", "help", "kind", "group", "low", "high", "step", "optional", "within"):
            assert specs[name][about] == getattr(spec, about)
    groups = dict(specs["scheduler"]["groups"])
    assert [tuple(names) for names in groups.values()] == [nb.SCHEDULERS, nb.ALL_SCHEDULERS[6:]]
    assert specs["sigmas"]["groups"] == [["", ["default", "karras", "exponential", "beta"]]]
    assert specs["soft_preservation"]["within"] == "soft"


def test_notes_say_what_values_mean(panel: ParameterPanel, page: Page) -> None:
    assert panel.notes == {
        "scheduler": "balanced, good in few steps",
        "denoise": "12 of 20 steps",
        "eta": "no effect: DPMSolverMultistep takes none",
        "clip_skip": "AUTOMATIC1111 calls this 1",
    }
    page.edit(guidance_scale=1, denoise=1.0)
    assert panel.notes["negative_prompt"] == "no effect: guidance is off"
    assert panel.notes["masked_content"] == "no effect at denoise 1"
    page.edit(denoise=0.01)
    assert panel.notes["denoise"] == "0 steps: the source comes back untouched"
    assert "masked_content" not in panel.notes
    page.edit(scheduler="DDIM", padding=0, clip_skip=1, image_index=2, seed=40, denoise_by="noise")
    assert "eta" not in panel.notes
    assert panel.notes["resize_mode"] == "no effect: only the masked part is worked on"
    assert panel.notes["clip_skip"] == "AUTOMATIC1111 calls this 2"
    assert panel.notes["image_index"] == "the noise of seed 42"
    assert panel.notes["denoise_by"] == "every scheduler starts from equal noise"


def test_the_schedulers_that_take_an_eta_are_those_whose_step_does() -> None:
    import inspect

    import diffusers

    from nbinpaint.schedulers import SCHEDULER_TABLE, TAKES_ETA

    steps = {name: inspect.signature(getattr(diffusers, info.cls).step) for name, info in SCHEDULER_TABLE.items()}
    assert {name for name, step in steps.items() if "eta" in step.parameters} == TAKES_ETA


@pytest.mark.parametrize(("channels", "told"), [(4, "no effect: this model is shown no mask"), (9, None)])
def test_a_model_without_mask_channels_is_shown_no_mask(panel: ParameterPanel, channels: int, told: str | None) -> None:
    engine = nb.FakeEngine()
    engine.model = type("Model", (), {"unet_channels": channels})()  # type: ignore[attr-defined]
    panel.engine = engine
    assert panel.notes.get("conditioning_mask_strength") == told


def test_an_engine_adds_what_it_knows(panel: ParameterPanel, page: Page) -> None:
    assert panel.native_size is None
    panel.engine = nb.FakeEngine()
    assert panel.notes["denoise"] == f"12 of 20 steps, starts at sigma {math.tan(0.3 * math.pi):.1f}"
    assert panel.notes["size"] == "the model's own: 64 x 64"
    assert panel.native_size == [64, 64]
    page.edit(denoise=0.1)
    assert panel.notes["denoise"] == "2 of 20 steps, starts at sigma 0.16"
    panel.engine = None
    assert panel.notes["denoise"] == "2 of 20 steps"
    assert ParameterPanel(engine=nb.FakeEngine()).notes["denoise"] == "20 of 20 steps, starts at sigma 63.7"


def test_a_refusal_of_the_engine_stands_under_its_field(panel: ParameterPanel, page: Page) -> None:
    panel.engine = Picky()
    page.edit(size=[72, 72])
    assert panel.params.size == (72, 72)  # a recipe all the same, only not for this engine
    assert list(panel.problems) == ["size"]
    assert panel.notes["denoise"] == "12 of 20 steps"
    page.edit(size=None, scheduler="TCD")
    assert panel.problems == {"scheduler": "models of this kind cannot be sampled with TCD"}
    page.edit(scheduler="DDIM", prompt="a zebra")
    assert panel.problems == {}
    assert panel.notes["prompt"] == "does not know: zebra"


def test_presets_are_recipes_of_their_own(panel: ParameterPanel) -> None:
    assert list(PRESETS) == [
        "Object removal",
        "Background replacement",
        "Retouch",
        "Restoration",
        "Creative variations",
        "Size test",
    ]
    before = panel.params.replace(seed=7)
    for name, preset in PRESETS.items():
        panel.params = before
        panel.apply_preset(name)
        assert panel.preset == name
        assert panel.params == before.replace(**preset.changes)
        assert (panel.params.prompt, panel.params.seed) == ("a red apple", 7)
        assert preset.summary.endswith(".")
    assert len({tuple(sorted(p.changes)) for p in PRESETS.values()}) == 1
    panel.params = before
    assert panel.preset == ""
    with pytest.raises(nb.InvalidParams, match="did you mean 'Retouch'"):
        panel.apply_preset("retuch")


def test_the_page_knows_what_presets_change(panel: ParameterPanel, page: Page) -> None:
    chosen = next(p for p in panel.presets if p["name"] == "Size test")
    page.edit(**chosen["changes"])
    assert panel.params.size == (256, 256)
    assert panel.preset == "Size test"


def test_a_preset_clears_what_was_refused_even_if_nothing_else_changes(panel: ParameterPanel, page: Page) -> None:
    panel.apply_preset("Retouch")
    page.edit(steps=900)
    panel.apply_preset("Retouch")
    assert panel.problems == {}
    assert panel.values == flat(panel.params)


@pytest.mark.parametrize(
    "params",
    [
        nb.Params(),
        nb.Params(prompt='say "hi"\n\\ ünï', scheduler="DDIM", denoise=0.35, size=(96, 128), seed=2**40),
        nb.Params(negative_prompt="blurry", mask_blur=0, resize_mode="fill", differential=True, padding=0),
        nb.Params(soft=nb.SoftInpainting()),
        nb.Params(soft=nb.SoftInpainting(preservation=0.8, transition_contrast=2), mask_grow=-3),
    ],
)
def test_the_code_makes_the_same_recipe(panel: ParameterPanel, params: nb.Params) -> None:
    panel.params = params
    assert eval(panel.code, {"nb": nb}) == params
    with pytest.raises(traitlets.TraitError):
        panel.code = "nb.Params()"


def test_the_code_holds_only_what_differs(panel: ParameterPanel) -> None:
    assert panel.code == 'nb.Params(prompt="a red apple", denoise=0.6)'
    panel.params = nb.Params(soft=True)
    assert panel.code == "nb.Params(soft=True)"
    panel.params = nb.Params().replace(soft_preservation=0.8)
    assert panel.code == "nb.Params(soft=nb.SoftInpainting(preservation=0.8))"


def test_a_dropped_picture_brings_its_recipe(panel: ParameterPanel, page: Page) -> None:
    params = nb.Params(prompt="a barn", scheduler="KLMS", seed=9)
    page.drop(png_bytes(Image.new("RGB", (8, 8)), params, {}))
    assert page.recipes == [params]
    assert panel.values == flat(params)


def test_a_picture_without_a_recipe_is_answered(panel: ParameterPanel, page: Page) -> None:
    plain = io.BytesIO()
    Image.new("RGB", (8, 8)).save(plain, "PNG")
    page.drop(plain.getvalue())
    assert "carries no recipe" in panel.problems["recipe"]
    page.drop(b"nothing of the kind")
    assert "cannot be read" in panel.problems["recipe"]
    assert page.recipes == []
    page.edit(steps=5)
    assert panel.problems == {}


def test_a_picture_with_a_broken_recipe_is_answered(panel: ParameterPanel, page: Page) -> None:
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_itxt("nbinpaint", '{"facts": {}}')
    picture = io.BytesIO()
    Image.new("RGB", (8, 8)).save(picture, "PNG", pnginfo=info)
    page.drop(picture.getvalue())
    assert "recipe cannot be read" in panel.problems["recipe"]


def test_a_message_of_another_kind_is_let_pass(panel: ParameterPanel, page: Page) -> None:
    panel._handle_custom_msg({"type": "something newer"}, [])
    panel._handle_custom_msg({"type": "recipe"}, [])
    assert panel.problems == {}
