"""The page about the controls leaves none out, and shows what each does."""

from __future__ import annotations

import re
from pathlib import Path

from PIL import Image

import nbinpaint as nb
from benchmarks.controls import STRIPS

DOCS = Path(__file__).parent.parent / "docs"
PAGE = (DOCS / "controls.md").read_text("utf-8")


def test_every_parameter_has_a_line_and_a_strip() -> None:
    lines = re.findall(r"^\| \[?`(\w+)`", PAGE, re.MULTILINE)
    shown = re.findall(r"\(images/controls/(\w+)\.png\)", PAGE)
    assert set(nb.Params.specs()) <= set(lines)
    assert set(nb.Params.specs()) <= set(shown)
    assert sorted(shown) == sorted(STRIPS)


def test_ranges_and_defaults_are_those_of_the_recipe() -> None:
    rows = dict(re.findall(r"^\| \[?`(\w+)`[^|]*\| ([^|]*) \|", PAGE, re.MULTILINE))
    for name, spec in nb.Params.specs().items():
        if spec.kind in ("int", "float") and name not in ("seed", "padding"):
            low, high, default = (f"{value:g}" for value in (spec.low, spec.high, spec.default))
            assert re.search(rf"(^| ){re.escape(low)}(-| to ){high}\b", rows[name]), name
            assert f"[{default}]" in rows[name], name
        for choice in spec.choices if name != "scheduler" else ():
            assert choice in rows[name], name


def test_links_lead_somewhere() -> None:
    heads = {
        re.sub(r"[^\w -]", "", head).strip().lower().replace(" ", "-") for head in re.findall(r"^#+ (.*)", PAGE, re.M)
    }
    assert set(re.findall(r"\(#([\w-]+)\)", PAGE)) <= heads


def test_the_strips_are_small() -> None:
    files = sorted((DOCS / "images" / "controls").glob("*.png"))
    assert [file.stem for file in files] == sorted(STRIPS)
    assert sum(file.stat().st_size for file in files) < 2_000_000
    for file in files:
        with Image.open(file) as picture:
            assert picture.width <= 900, file.name
