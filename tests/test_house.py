"""The directions of the house: plan, run, show. A short walk over every import of the package."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import nbinpaint as nb

ROOT = Path(nb.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))
HEAVY = {"torch", "diffusers", "transformers"}
WIDGETS = {"ipywidgets", "ipycanvas", "anywidget"}
SHOW = {"widgets", "report"}


def imports(file: Path) -> Iterator[str]:
    """Absolute names of everything a module imports, those under TYPE_CHECKING left out."""
    package = ("nbinpaint", *file.relative_to(ROOT).parent.parts)
    tree = ast.parse(file.read_text("utf-8"))
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else ()
            yield ".".join([*base, *([node.module] if node.module else [])])


def room(file: Path) -> str:
    return file.relative_to(ROOT).parts[0].removesuffix(".py")


@pytest.mark.parametrize("file", MODULES, ids=lambda f: str(f.relative_to(ROOT)))
def test_each_module_keeps_to_its_room(file: Path) -> None:
    for name in imports(file):
        top = name.split(".")[0]
        if top in HEAVY:
            assert room(file) == "engine", f"{file} imports {name}; only engine/ may"
        if top in WIDGETS:
            assert room(file) == "widgets", f"{file} imports {name}; only widgets/ may"
        inner = name.split(".")[1:2]
        if top == "nbinpaint" and inner and inner[0] in SHOW and room(file) not in {*SHOW, "study", "__init__"}:
            pytest.fail(f"{file} imports {name}: data flows from plan over run to show")


@pytest.mark.parametrize("file", MODULES, ids=lambda f: str(f.relative_to(ROOT)))
def test_each_module_says_why_it_exists(file: Path) -> None:
    assert ast.get_docstring(ast.parse(file.read_text("utf-8")))


def test_every_public_name_is_there_and_no_other() -> None:
    assert set(nb.__all__) == set(nb._HOMES)
    for name in nb.__all__:
        assert getattr(nb, name) is not None
    with pytest.raises(AttributeError, match="nonsense"):
        nb.nonsense  # noqa: B018


def test_no_module_stands_in_the_way_of_a_public_name() -> None:
    """Importing a module of that name would put it in the name's place."""
    rooms = {file.stem for file in ROOT.glob("*.py")} | {folder.name for folder in ROOT.iterdir() if folder.is_dir()}
    assert not rooms & set(nb.__all__)


def test_the_package_is_imported_quickly_because_it_imports_nothing() -> None:
    code = "import sys; before = set(sys.modules); import nbinpaint; print(sorted(set(sys.modules) - before))"
    added = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    outside = {name.split(".")[0] for name in ast.literal_eval(added)} - {"nbinpaint"}
    assert outside <= set(sys.stdlib_module_names)


def test_notebooks_are_kept_without_outputs() -> None:
    for file in (ROOT.parent / "notebooks").glob("*.ipynb"):
        cells = json.loads(file.read_text("utf-8"))["cells"]
        assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells), file


def test_the_readme_shows_the_commands_that_the_makefile_has() -> None:
    targets = re.findall(r"^([a-z]+):", (ROOT.parent / "Makefile").read_text(), re.MULTILINE)
    commands = re.findall(r"^make ([a-z]+)", (ROOT.parent / "README.md").read_text("utf-8"), re.MULTILINE)
    assert {"lab", "test"} <= set(commands) <= set(targets)
