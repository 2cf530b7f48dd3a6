"""Whatever model is loaded, `load_engine` returns an engine that runs it."""

from __future__ import annotations

from pathlib import Path

import families
import numpy as np
import pytest
from diffusers import UNet2DConditionModel
from models import random_pipeline
from pictures import box_mask, smooth_image

import nbinpaint as nb
from nbinpaint.engine.diffusion import DiffusionEngine


@pytest.fixture(scope="module")
def sd3_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny-sd3"
    families.sd3().save_pretrained(folder)
    return folder


def test_stable_diffusion_runs_in_one_batch(random_model: Path) -> None:
    engine = nb.load_engine(random_model, device="cpu", progress=False)
    assert isinstance(engine, DiffusionEngine)
    assert nb.load_engine(random_model, device="cpu", progress=False) is engine
    quick = nb.load_engine(random_model, device="cpu", rows=4, graphs=True, offload=True, progress=False)
    assert quick is not engine
    assert quick.fingerprint == engine.fingerprint


def test_other_models_run_through_their_own_pipeline(sd3_folder: Path) -> None:
    engine = nb.load_engine(sd3_folder, device="cpu", progress=False)
    assert isinstance(engine, nb.PipelineEngine)
    assert engine.name == "tiny-sd3"
    image, mask = smooth_image(32, 32), box_mask(32, 32, (8, 8, 24, 24))
    result = nb.inpaint(image, mask, engine=engine, prompt="a cat", steps=2, size=32)
    assert result.params == engine.default_params(prompt="a cat", steps=2, size=32)
    assert result.steps_run == 2
    assert np.asarray(result.raw).std() > 0


def test_a_network_that_is_told_its_guidance_runs_through_its_own_pipeline(tmp_path: Path) -> None:
    """As latent consistency models are."""
    pipeline = random_pipeline()
    pipeline.unet = UNet2DConditionModel.from_config(pipeline.unet.config, time_cond_proj_dim=8)
    pipeline.save_pretrained(tmp_path / "distilled")
    engine = nb.load_engine(tmp_path / "distilled", device="cpu", progress=False)
    assert isinstance(engine, nb.PipelineEngine)
    image, mask = smooth_image(32, 32), box_mask(32, 32, (8, 8, 24, 24))
    pictures = [
        nb.inpaint(image, mask, nb.Params(scheduler="LCM", steps=2, guidance_scale=g), engine=engine).raw.tobytes()
        for g in (2, 9)
    ]
    assert pictures[0] != pictures[1]


def test_what_only_a_batch_has_is_refused_elsewhere(sd3_folder: Path) -> None:
    with pytest.raises(nb.ModelError, match=r"compile=True is for models that run in one batch.*StableDiffusion3"):
        nb.load_engine(sd3_folder, device="cpu", compile=True, progress=False)
