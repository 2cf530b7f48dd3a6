"""Plans: what a sweep holds, and what is refused before anything runs."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from pictures import box_mask, smooth_image
from PIL import Image

import nbinpaint as nb


def test_the_last_axis_runs_fastest(photo: Image.Image, mask: np.ndarray) -> None:
    sweep = nb.Sweep(photo, mask, nb.Params(prompt="x"), scheduler=["DDIM", "PNDM"], denoise="0.4-1.0 [3]")
    assert sweep.shape == (2, 3)
    assert len(sweep) == len(sweep.cells) == 6
    assert [(c.params.scheduler, c.params.denoise) for c in sweep.cells[:4]] == [
        ("DDIM", 0.4),
        ("DDIM", 0.7),
        ("DDIM", 1.0),
        ("PNDM", 0.4),
    ]
    assert all(c.params.prompt == "x" and c.index == i for i, c in enumerate(sweep.cells))


def test_without_axes_there_is_one_cell(photo: Image.Image, mask: np.ndarray) -> None:
    (cell,) = nb.Sweep(photo, mask).cells
    assert cell.params == nb.Params()


@pytest.mark.parametrize(
    ("arguments", "axes", "error", "words"),
    [
        ({"mask": np.zeros((64, 96), np.uint8)}, {}, nb.InvalidMask, ["empty"]),
        ({"mask": box_mask(96, 60, (0, 0, 9, 9))}, {}, nb.InvalidMask, ["96", "60", "64"]),
        ({"image": b"no picture"}, {}, nb.InvalidImage, ["image"]),
        ({}, {"scheduler": ["DDIM", "nope"]}, nb.InvalidParams, ["scheduler='nope'", "'DDIM'"]),
        ({}, {"denoise": [0.5, 2]}, nb.InvalidParams, ["denoise=2", "0 to 1"]),
        ({}, {"denois": [0.5]}, nb.InvalidParams, ["'denois'", "did you mean 'denoise'"]),
        ({"params": {"steps": 3}}, {}, nb.InvalidParams, ["params=", "nbinpaint.Params"]),
    ],
)
def test_a_bad_plan_is_refused_in_words(arguments: dict, axes: dict, error: type, words: list[str]) -> None:
    given = {"image": smooth_image(96, 64), "mask": box_mask(96, 64, (8, 8, 40, 40)), "params": None} | arguments
    with pytest.raises(error) as caught:
        nb.Sweep(given["image"], given["mask"], given["params"], **axes)
    for word in words:
        assert word in str(caught.value)


def test_importing_and_planning_need_no_heavy_library() -> None:
    code = (
        "import sys, nbinpaint as nb, numpy as np\n"
        "assert not {'torch', 'diffusers', 'transformers', 'ipywidgets', 'PIL', 'cv2'} & set(sys.modules)\n"
        "mask = np.zeros((64, 64), np.uint8); mask[9:30, 9:30] = 255\n"
        "sweep = nb.Sweep(np.zeros((64, 64, 3), np.uint8), mask, scheduler=nb.SCHEDULERS)\n"
        "nb.run(sweep, engine=nb.FakeEngine(), progress=False)\n"
        "assert not {'torch', 'diffusers', 'transformers', 'ipycanvas', 'anywidget'} & set(sys.modules)\n"
    )
    # numpy comes first so that its own import is not part of the check
    subprocess.run(
        [sys.executable, "-c", code.replace("import sys, nbinpaint", "import sys, nbinpaint", 1)], check=True
    )
