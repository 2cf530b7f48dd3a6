"""Attempts at loading, short enough to be read in a row."""

from __future__ import annotations

from typing import Any

import pytest
from pictures import box_mask, smooth_image

import nbinpaint as nb
from nbinpaint.engine import models

REPO = "somebody/small-inpainting"
IMAGE, MASK = smooth_image(32, 32), box_mask(32, 32, (8, 8, 24, 24))
RECIPE = nb.Params(prompt="a cat", steps=2, size=32, guidance_scale=3)


def picture(**options: Any) -> bytes:
    engine = nb.load_engine(options.pop("model"), device="cpu", progress=False, **options)
    return nb.inpaint(IMAGE, MASK, RECIPE, engine=engine).raw.tobytes()


def load(name: Any, **options: Any) -> models.Model:
    return models.load_model(name, **{"device": "cpu", **options})


def refused(*words: str, model: Any = REPO, **options: Any) -> str:
    """Load what cannot be loaded: the error says all of the words, in a few lines, and nothing of what lies below."""
    with pytest.raises(nb.ModelError) as error:
        load(model, **options)
    message = str(error.value)
    for word in words:
        assert word in message
    assert error.value.__cause__ is None
    assert error.value.__context__ is None or error.value.__suppress_context__
    assert "Traceback" not in message
    return message
