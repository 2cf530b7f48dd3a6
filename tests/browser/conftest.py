"""One JupyterLab and one Chromium for all browser tests; a fresh page, watched for errors, for each."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.jupyterlab import Notebook, Server, browse, browser_path, serve


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    if browser_path() is None:
        if os.environ.get("CI"):
            pytest.fail("no Chromium found, and CI has to run the browser tests")
        pytest.skip("no Chromium found")
    with browse() as page:
        yield page.context.browser


# `make test` puts an older ipykernel there, which handles messages on the main thread.
OLD_KERNEL = Path(sys.prefix) / "ipykernel6"


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, chromium: Any) -> Iterator[Server]:
    with serve(tmp_path_factory.mktemp("lab"), {"ipykernel6": OLD_KERNEL}) as made:
        yield made


@pytest.fixture(params=["python3", "ipykernel6"])
def kernel(request: pytest.FixtureRequest) -> str:
    """Each generation of ipykernel in turn."""
    name: str = request.param
    if name == "ipykernel6" and not OLD_KERNEL.exists():
        if os.environ.get("CI"):
            pytest.fail(f"no ipykernel 6 in {OLD_KERNEL}; `make test` puts it there")
        pytest.skip("no ipykernel 6; `make test` installs one")
    return name


@pytest.fixture
def page(chromium: Any) -> Iterator[Any]:
    """A fresh page; any JavaScript error in it fails the test, since one can stop every canvas on a page."""
    context = chromium.new_context(viewport={"width": 1400, "height": 1000}, has_touch=True)
    made = context.new_page()
    made.set_default_timeout(int(os.environ.get("NBINPAINT_PATIENCE", "30")) * 1000)
    errors: list[str] = []
    made.on("pageerror", lambda error: errors.append(str(error)))
    made.errors = errors
    yield made
    context.close()
    assert not errors


@pytest.fixture
def notebook(server: Server, page: Any, request: pytest.FixtureRequest) -> Iterator[Callable[..., Notebook]]:
    """Opens a notebook with these code cells and runs it."""

    def start(*cells: str, kernel: str = "python3") -> Notebook:
        made = Notebook(server, page, f"{request.node.name}.ipynb".replace("[", "-").replace("]", ""), [*cells], kernel)
        made.run()
        return made

    yield start
    server.stop_kernels()


@pytest.fixture
def shots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where screenshots go: $NBINPAINT_SHOTS, to look at them, or a temporary folder."""
    folder = Path(os.environ.get("NBINPAINT_SHOTS") or tmp_path_factory.mktemp("shots"))
    folder.mkdir(exist_ok=True)
    return folder
