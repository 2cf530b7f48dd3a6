"""Finding and loading models: folders, single files and hub ids, VAEs and LoRAs, and what is said when it fails."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from checkpoints import (
    cache_repo,
    edit_json,
    random_lora,
    random_sd3_pipeline,
    random_xl_pipeline,
    single_file,
    vae_state,
)
from hub import Hub, running_hub
from huggingface_hub import constants
from models import random_pipeline
from pictures import box_mask, smooth_image
from safetensors.torch import load_file, save_file

import nbinpaint as nb
from nbinpaint.engine import calm, devices, models
from nbinpaint.engine.classes import half_precision, pipeline_class
from nbinpaint.engine.devices import find_dtype
from nbinpaint.engine.places import locate
from nbinpaint.engine.weights import choose, wanted

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


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty hub cache, and a hub at a port of this machine where nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    use_hub(monkeypatch, address)
    return tmp_path / "hub"


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def use_hub(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with running_hub() as running:
        use_hub(monkeypatch, running.address)
        yield running


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with plain weights."""
    folder = tmp_path_factory.mktemp("plain") / "small-1.5"
    random_pipeline().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with fp16 weights alone."""
    folder = tmp_path_factory.mktemp("half") / "small"
    random_pipeline().to(torch.float16).save_pretrained(folder, variant="fp16")
    return folder


@pytest.fixture(scope="module")
def both(plain: Path, half: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with plain and fp16 weights."""
    folder = tmp_path_factory.mktemp("both") / "small"
    shutil.copytree(half, folder)
    shutil.copytree(plain, folder, dirs_exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def xl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of SDXL's kind."""
    folder = tmp_path_factory.mktemp("xl") / "small-xl"
    random_xl_pipeline().save_pretrained(folder)
    return folder


@pytest.fixture
def copy(plain: Path, tmp_path: Path) -> Path:
    """A folder that a test may spoil."""
    return Path(shutil.copytree(plain, tmp_path / "copy"))


# Names


def test_a_folder_keeps_the_dots_of_its_name(plain: Path) -> None:
    assert load(plain).name == "small-1.5"
    assert load("embedded").name == "embedded"


def test_the_folder_one_is_in_has_its_name_too(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(plain)
    assert locate(".").label == "small-1.5"


@pytest.mark.parametrize(
    ("name", "repo", "inside"),
    [
        ("owner/name", "owner/name", None),
        ("owner/some.model-1.5/unet/file.safetensors", "owner/some.model-1.5", "unet/file.safetensors"),
        ("https://huggingface.co/owner/name", "owner/name", None),
        ("https://huggingface.co/owner/name/blob/main/a.safetensors", "owner/name", "a.safetensors"),
        ("https://huggingface.co/owner/name/resolve/main/a.safetensors?download=true", "owner/name", "a.safetensors"),
    ],
)
def test_hub_names_are_read_in_every_spelling(name: str, repo: str, inside: str | None) -> None:
    place = locate(name)
    assert (place.repo, place.inside) == (repo, inside)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("embeded", ["did you mean 'embedded'", "hub id", "diffusers folder", ".safetensors"]),
        ("/nowhere/model.safetensors", ["/nowhere/model.safetensors", "is not there"]),
        ("./here", ["'./here' is not there"]),
        (Path("owner/name"), ["is not there"]),
        ("", ["is not there"]),
        (3, ["model=3 is not a name"]),
    ],
)
def test_a_name_that_leads_nowhere_is_refused_at_once(name: Any, words: list[str]) -> None:
    refused(*words, model=name)


@pytest.mark.parametrize("field", ["vae", "lora", "config"])
def test_names_beside_the_model_are_looked_up_before_it_is_loaded(field: str, plain: Path, tmp_path: Path) -> None:
    file = single_file(random_pipeline(), tmp_path / "small.safetensors")
    model = file if field == "config" else plain
    refused(f"{field}='/nowhere' is not there; allowed", model=model, **{field: "/nowhere"})


# Devices and number formats


def test_device_and_number_format_suit_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu, cuda, mps = torch.device("cpu"), torch.device("cuda"), torch.device("mps")
    modern = [True]
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **options: modern[0])
    flux = half_precision(diffusers.FluxFillPipeline)
    assert find_dtype(None, cpu) == find_dtype(None, cpu, flux) == torch.float32
    assert find_dtype(None, cuda) == find_dtype(None, mps) == torch.float16
    assert find_dtype(None, cuda, flux) == torch.bfloat16
    modern[0] = False
    assert find_dtype(None, cuda, flux) == torch.float16
    assert half_precision(diffusers.StableDiffusionXLInpaintPipeline) == torch.float16


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"device": "gpu"}, ["device='gpu' is unknown", "'cuda'"]),
        ({"device": "cuda:99"}, ["device='cuda:99' is not there", "leave device out"]),
        ({"dtype": "int8"}, ["dtype='int8' is unknown", "bfloat16"]),
        ({"config": "owner/name"}, ["config='owner/name' is for single files"]),
    ],
)
def test_what_the_machine_does_not_have_is_refused(options: dict[str, str], words: list[str]) -> None:
    refused(*words, model="embedded", **options)


def test_float16_on_the_cpu_is_warned_of_and_bfloat16_is_not(plain: Path) -> None:
    with pytest.warns(UserWarning, match="float16.* on the CPU is slow.*use 'float32', or 'bfloat16'"):
        load(plain, dtype="float16")
    assert load(plain, dtype="bfloat16").pipeline.unet.dtype == torch.bfloat16


# Pipeline classes


@pytest.mark.parametrize(
    ("named", "used"),
    [
        ("StableDiffusionPipeline", "StableDiffusionInpaintPipeline"),
        ("StableDiffusionXLPipeline", "StableDiffusionXLInpaintPipeline"),
        ("StableDiffusion3Pipeline", "StableDiffusion3InpaintPipeline"),
        ("FluxPipeline", "FluxInpaintPipeline"),
        ("FluxFillPipeline", "FluxFillPipeline"),
        ("QwenImagePipeline", "QwenImageInpaintPipeline"),
        ("ZImagePipeline", "ZImageInpaintPipeline"),
    ],
)
def test_each_model_is_inpainted_with_by_the_class_made_for_it(named: str, used: str) -> None:
    assert pipeline_class(named).__name__ == used


@pytest.mark.parametrize("model", ["plain", "xl"])
def test_a_base_model_is_loaded_as_one_that_inpaints(model: str, copy: Path, xl: Path, tmp_path: Path) -> None:
    folder = copy if model == "plain" else Path(shutil.copytree(xl, tmp_path / "base"))
    name = "StableDiffusionPipeline" if model == "plain" else "StableDiffusionXLPipeline"
    edit_json(folder / "model_index.json", _class_name=name)
    assert type(load(folder).pipeline).__name__ == name.replace("Pipeline", "InpaintPipeline")


def test_a_model_with_a_transformer_loads_too(tmp_path: Path) -> None:
    random_sd3_pipeline().save_pretrained(tmp_path / "small-3")
    model = load(tmp_path / "small-3")
    assert type(model.pipeline) is diffusers.StableDiffusion3InpaintPipeline
    assert (model.name, model.dtype, model.vae_dtype) == ("small-3", torch.float32, torch.float32)
    assert load(tmp_path / "small-3").fingerprint == model.fingerprint
    with torch.no_grad():
        model.pipeline.transformer.pos_embed.proj.bias += 1
    assert models.Model(model.name, model.pipeline, model.device, model.dtype).fingerprint != model.fingerprint


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("StableVideoDiffusionPipeline", ["is a StableVideoDiffusionPipeline, which cannot inpaint", "choose a model"]),
        ("StableDiffusionControlNetInpaintPipeline", ["cannot inpaint from an image and a mask alone"]),
        ("TomorrowsPipeline", ["'TomorrowsPipeline' is not part of diffusers", "pip install -U diffusers"]),
        (["pipeline", "Own"], ["code of its own, which is not run"]),
    ],
)
def test_what_does_not_inpaint_is_refused_before_it_is_loaded(kind: Any, words: list[str], copy: Path) -> None:
    edit_json(copy / "model_index.json", _class_name=kind)
    shutil.rmtree(copy / "unet")
    refused(*words, model=copy)


def test_the_safety_checker_is_there_unless_left_out(copy: Path) -> None:
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
    from transformers import CLIPConfig, CLIPImageProcessor

    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    checker = StableDiffusionSafetyChecker(
        CLIPConfig(text_config=small, vision_config={**small, "image_size": 28, "patch_size": 14}, projection_dim=16)
    )
    checker.save_pretrained(copy / "safety_checker")
    CLIPImageProcessor().save_pretrained(copy / "feature_extractor")
    edit_json(
        copy / "model_index.json",
        safety_checker=["stable_diffusion", "StableDiffusionSafetyChecker"],
        feature_extractor=["transformers", "CLIPImageProcessor"],
        requires_safety_checker=True,
    )
    assert type(load(copy).pipeline.safety_checker) is StableDiffusionSafetyChecker
    shutil.rmtree(copy / "safety_checker")
    refused("lacks files of safety_checker", model=copy)
    assert load(copy, safety_checker=False).pipeline.safety_checker is None


# The hub


def test_a_cached_model_loads_without_a_network(cache: Path, plain: Path) -> None:
    cache_repo(cache, REPO, plain)
    model = load(REPO)
    assert model.name == "small-inpainting"
    assert model.fingerprint == load(plain).fingerprint


@pytest.mark.parametrize("offline", ["1", None])
def test_without_a_network_it_is_said_what_to_do(
    offline: str | None, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if offline:
        monkeypatch.setenv("HF_HUB_OFFLINE", offline)
    advice = "unset HF_HUB_OFFLINE" if offline else "connect to the network"
    refused(REPO, str(cache), "not complete in the local hub cache", advice, "or give the path")


def test_a_cached_model_that_lacks_a_file_is_not_taken_for_whole(cache: Path, plain: Path) -> None:
    snapshot = cache_repo(cache, REPO, plain)
    (snapshot / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    refused("not complete in the local hub cache", "connect")


def test_half_precision_takes_the_half_download(hub: Hub, both: Path) -> None:
    hub.repos[REPO] = both
    model = load(REPO, dtype="bfloat16")
    weights = [name for name in hub.sent if name.endswith(".safetensors")]
    assert len(weights) == 3
    assert all(".fp16." in name for name in weights)
    asked = hub.asked
    assert load(REPO, dtype="bfloat16").fingerprint == model.fingerprint
    assert hub.asked == asked


def test_full_precision_takes_the_plain_weights(hub: Hub, both: Path, plain: Path) -> None:
    hub.repos[REPO] = both
    assert load(REPO).fingerprint == load(plain).fingerprint
    assert not any(".fp16." in name for name in hub.sent)


def test_a_repository_without_variants_serves_half_precision_too(hub: Hub, plain: Path) -> None:
    hub.repos[REPO] = plain
    assert load(REPO, dtype="bfloat16").dtype == torch.bfloat16
    assert sum(name.endswith(".safetensors") for name in hub.sent) == 3


def test_only_half_weights_serve_full_precision_with_a_word(cache: Path, half: Path) -> None:
    cache_repo(cache, REPO, half)
    with pytest.warns(UserWarning, match="only fp16 weights here: float32 holds rounded ones"):
        model = load(REPO)
    assert model.pipeline.unet.dtype == torch.float32


def test_a_variant_that_was_asked_for_is_used(cache: Path, both: Path, half: Path) -> None:
    cache_repo(cache, REPO, both)
    assert load(REPO, variant="fp16").fingerprint == load(half, variant="fp16").fingerprint
    assert load(REPO, variant="fp16").fingerprint != load(REPO).fingerprint


def test_a_missing_variant_is_named_with_those_there_are(hub: Hub, both: Path, plain: Path) -> None:
    refused("no variant 'bf16'", "variant='fp16'", "plain weights (leave variant out)", model=both, variant="bf16")
    hub.repos[REPO] = plain
    refused("no variant 'fp16'", "plain weights (leave variant out)", variant="fp16")
    assert not any(name.endswith(".safetensors") for name in hub.sent)


def test_a_variant_that_is_not_cached_and_cannot_be_asked_for_is_said(cache: Path, plain: Path) -> None:
    cache_repo(cache, REPO, plain)
    refused("variant='fp16' is not cached, only the plain weights", "connect to the network", variant="fp16")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((401, "RepoNotFound"), ["is not on the model hub", "check the spelling", "hf auth login"]),
        ((404, "RepoNotFound"), ["is not on the model hub"]),
        ((403, "GatedRepo"), ["is gated: accept its terms", REPO, "hf auth login"]),
        ((503, ""), ["status 503", "try again later"]),
    ],
)
def test_what_the_hub_refuses_is_explained(hub: Hub, answer: tuple[int, str], words: list[str]) -> None:
    hub.refused[REPO] = answer
    refused(REPO, *words)


def test_a_repository_of_single_files_says_which(hub: Hub, tmp_path: Path) -> None:
    single_file(random_pipeline(), tmp_path / "only" / "small.safetensors")
    hub.repos[REPO] = tmp_path / "only"
    refused("no model_index.json", f"'{REPO}/small.safetensors'")


# Single files


def test_a_single_file_gives_the_picture_of_its_folder(plain: Path, tmp_path: Path) -> None:
    file = single_file(random_pipeline(), tmp_path / "small.safetensors")
    assert picture(model=file, config=plain) == picture(model=plain)


@pytest.mark.parametrize(("channels", "ending"), [(4, "safetensors"), (9, "ckpt")])
def test_a_single_file_is_the_model_of_its_folder(channels: int, ending: str, tmp_path: Path) -> None:
    pipeline = random_pipeline(channels)
    pipeline.save_pretrained(tmp_path / "folder")
    file = single_file(pipeline, tmp_path / f"small.{ending}")
    assert load(file, config=tmp_path / "folder").fingerprint == load(tmp_path / "folder").fingerprint


@pytest.mark.parametrize("channels", [9, 4])
def test_a_single_file_of_sdxl_is_the_model_of_its_folder(channels: int, tmp_path: Path) -> None:
    pipeline = random_xl_pipeline(channels)
    pipeline.save_pretrained(tmp_path / "folder")
    file = single_file(pipeline, tmp_path / "small.safetensors")
    model = load(file, config=tmp_path / "folder")
    assert type(model.pipeline) is diffusers.StableDiffusionXLInpaintPipeline
    assert model.fingerprint == load(tmp_path / "folder").fingerprint


def test_a_single_file_takes_the_configuration_that_is_cached(cache: Path, plain: Path, tmp_path: Path) -> None:
    small = [f.relative_to(plain).as_posix() for f in plain.rglob("*") if f.suffix in {".json", ".txt"}]
    cache_repo(cache, "Lykon/dreamshaper-8-inpainting", plain, small)
    file = single_file(random_pipeline(), tmp_path / "small.safetensors")
    assert load(file).fingerprint == load(plain).fingerprint


def test_a_single_file_fetches_small_files_only(hub: Hub, plain: Path, tmp_path: Path) -> None:
    hub.repos["stable-diffusion-v1-5/stable-diffusion-inpainting"] = plain
    load(single_file(random_pipeline(), tmp_path / "small.safetensors"))
    assert "tokenizer/tokenizer.json" in hub.sent
    assert not any(name.endswith(".safetensors") for name in hub.sent)


def test_a_file_of_the_hub_loads(hub: Hub, plain: Path, tmp_path: Path) -> None:
    single_file(random_pipeline(), tmp_path / "repo" / "small.safetensors")
    hub.repos[REPO] = tmp_path / "repo"
    model = load(f"{REPO}/small.safetensors", config=plain)
    assert (model.name, model.fingerprint) == ("small", load(plain).fingerprint)
    refused("no file 'other.safetensors'; it has small.safetensors", model=f"{REPO}/other.safetensors")


def test_a_single_file_without_a_configuration_says_how_to_give_one(tmp_path: Path) -> None:
    file = single_file(random_pipeline(), tmp_path / "small.safetensors")
    message = refused("single file of Stable Diffusion 1", "Or give config=", "connect to the network", model=file)
    assert "stable-diffusion-v1-5/stable-diffusion-inpainting" in message


def test_a_configuration_of_another_kind_is_refused(plain: Path, xl: Path, tmp_path: Path) -> None:
    file = single_file(random_pipeline(4), tmp_path / "base.safetensors")
    refused("describes a model with 9 input channels", "has 4", "config of a base model", model=file, config=plain)
    refused("config=", "no model_index.json", model=file, config=tmp_path)
    inpainting = single_file(random_pipeline(), tmp_path / "small.safetensors")
    refused("is of a StableDiffusionXLInpaintPipeline", "Stable Diffusion 1", model=inpainting, config=xl)
    refused("variant='fp16' is for folders and hub ids", model=file, variant="fp16")


def test_a_file_that_is_no_model_says_what_it_is(plain: Path, tmp_path: Path) -> None:
    pipeline = random_pipeline()
    lora = random_lora(tmp_path / "lora.safetensors", pipeline.unet)
    refused("is a LoRA: give it as lora=", "Stable Diffusion XL", model=lora)
    vae = tmp_path / "vae.safetensors"
    save_file({key: value.contiguous() for key, value in vae_state(pipeline.vae).items()}, vae)
    refused("give a VAE as vae=", model=vae)
    refused("is only a part of a model (a AutoencoderKL)", "model_index.json", model=plain / "vae")
    refused("is not a diffusers folder", repr(str(lora)), model=tmp_path)


# Damage


def test_a_file_cut_short_is_named(copy: Path) -> None:
    file = copy / "unet" / "diffusion_pytorch_model.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[:-100])
    refused(str(file), f"damaged: it is {len(whole) - 100} bytes long instead of {len(whole)}", "again", model=copy)
    file.write_bytes(b"<html>not found</html>")
    refused(str(file), "damaged", model=copy)


def test_a_damaged_configuration_is_named(copy: Path) -> None:
    (copy / "model_index.json").write_text("{")
    refused("model_index.json is damaged: it is not JSON", model=copy)


def test_a_ckpt_that_holds_more_than_weights_is_not_run(tmp_path: Path) -> None:
    torch.save({"state_dict": {}, "hook": calm.LoadingBar}, tmp_path / "odd.ckpt")
    refused("holds Python objects", "convert it to .safetensors", model=tmp_path / "odd.ckpt")
    (tmp_path / "cut.ckpt").write_bytes(b"PK\x03\x04")
    refused("is damaged", model=tmp_path / "cut.ckpt")


def test_a_part_that_is_missing_is_named(copy: Path) -> None:
    shutil.rmtree(copy / "text_encoder")
    refused("lacks files of text_encoder", "download or save it again", model=copy)


def test_a_tokenizer_without_its_words_is_missed(copy: Path) -> None:
    for file in (copy / "tokenizer").iterdir():
        file.unlink()
    (copy / "tokenizer" / "tokenizer_config.json").write_text("{}")
    refused("lacks files of tokenizer", "download or save it again", model=copy)


def test_weights_of_another_shape_are_refused(copy: Path) -> None:
    edit_json(copy / "unet" / "config.json", block_out_channels=[16, 64])
    refused("cannot be loaded: its weights do not fit its configuration", model=copy)


def test_other_input_channels_are_refused(tmp_path: Path) -> None:
    random_pipeline(5).save_pretrained(tmp_path / "odd")
    refused("takes 5 input channels; allowed: 4 (base) or 9 (inpainting)", model=tmp_path / "odd")


def test_a_missing_package_is_named(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lacking(*args: Any, **options: Any) -> None:
        raise ImportError("this tokenizer requires the sentencepiece library")

    monkeypatch.setattr(diffusers.UNet2DConditionModel, "from_pretrained", lacking)
    refused("needs a package that is missing: pip install sentencepiece", model=copy)


# Memory


def test_a_model_larger_than_the_memory_is_not_even_downloaded(
    hub: Hub, plain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.repos[REPO] = plain
    size = sum(file.stat().st_size for file in plain.rglob("*.safetensors"))
    monkeypatch.setattr(devices, "free_memory", lambda device: size - 200_000)
    refused("needs about", "for its weights in float32", "cpu has", "free", "dtype='bfloat16'", "smaller model")
    assert not any(name.endswith(".safetensors") for name in hub.sent)
    refused("needs about", "for its weights in float32", model=plain)
    assert load(plain, dtype="bfloat16").dtype == torch.bfloat16


def test_a_single_file_larger_than_the_memory_is_refused(plain: Path, tmp_path: Path, monkeypatch: Any) -> None:
    file = single_file(random_pipeline(), tmp_path / "small.safetensors")
    monkeypatch.setattr(devices, "free_memory", lambda device: 1000)
    refused("needs about", "choose dtype='bfloat16' or a smaller model", model=file, config=plain)


def test_memory_that_runs_out_on_the_way_is_said(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any, **options: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(diffusers.UNet2DConditionModel, "from_pretrained", full)
    refused("needs more memory than there is", "smaller model", model=copy)


def test_the_memory_of_a_container_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"memory.max": "1000", "memory.current": "700", "memory.stat": "anon 1\ninactive_file 100\nactive_file 50"}
    for name, value in values.items():
        (tmp_path / name).write_text(value)
    monkeypatch.setattr(devices, "_CGROUP", tmp_path)
    assert devices.free_memory(torch.device("cpu")) == 450
    (tmp_path / "memory.max").write_text("max")
    assert (devices.free_memory(torch.device("cpu")) or 0) > 1000


# VAEs


@pytest.fixture(scope="module")
def other_vae(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of another VAE that goes with the small models."""
    torch.manual_seed(1234)
    folder = tmp_path_factory.mktemp("vae") / "better-vae"
    vae = random_pipeline().vae
    for weight in vae.parameters():
        weight.data += 0.01 * torch.randn_like(weight)
    vae.save_pretrained(folder)
    return folder


def test_a_vae_is_taken_from_a_folder_a_file_or_the_hub(
    plain: Path, other_vae: Path, cache: Path, hub: Hub, tmp_path: Path
) -> None:
    expected = load(plain, vae=other_vae)
    own = load(plain)
    assert expected.name == "small-1.5 + better-vae"
    assert expected.fingerprint != own.fingerprint
    vae = diffusers.AutoencoderKL.from_pretrained(other_vae)
    for key, value in expected.pipeline.vae.state_dict().items():
        assert torch.equal(value, vae.state_dict()[key])
    file = tmp_path / "better.safetensors"
    save_file({key: value.clone().contiguous() for key, value in vae_state(vae).items()}, file)
    hub.repos["somebody/better"] = other_vae
    shutil.copytree(plain, tmp_path / "whole")
    shutil.copytree(other_vae, tmp_path / "whole" / "vae", dirs_exist_ok=True)
    for other in (file, "somebody/better", tmp_path / "whole"):
        assert load(plain, vae=other).fingerprint == expected.fingerprint
    assert picture(model=plain, vae=file) != picture(model=plain)


def test_the_models_own_vae_is_not_downloaded_for_nothing(hub: Hub, plain: Path, other_vae: Path) -> None:
    hub.repos[REPO] = plain
    load(REPO, vae=other_vae)
    assert "vae/diffusion_pytorch_model.safetensors" not in hub.sent


def test_a_tiny_vae_is_taken_from_a_folder_or_a_file(copy: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    tiny = diffusers.AutoencoderTiny()
    tiny.save_pretrained(tmp_path / "taesd")
    edit_json(copy / "vae" / "config.json", block_out_channels=[8, 16, 16, 16])
    folder = load(copy, vae=tmp_path / "taesd")
    file = load(copy, vae=tmp_path / "taesd" / "diffusion_pytorch_model.safetensors")
    assert type(file.pipeline.vae) is diffusers.AutoencoderTiny
    assert folder.fingerprint == file.fingerprint


def test_a_vae_of_other_latents_is_refused(plain: Path, other_vae: Path, tmp_path: Path) -> None:
    wide = diffusers.AutoencoderKL(
        block_out_channels=(8, 16),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=16,
        norm_num_groups=4,
    )
    wide.save_pretrained(tmp_path / "wide")
    refused("vae=", "does not go with this model", "16 latent channels", "needs 4", model=plain, vae=tmp_path / "wide")
    refused("is not a VAE: it is a UNet2DConditionModel", model=plain, vae=plain / "unet")
    refused("has no VAE", model=plain, vae=plain / "tokenizer")
    lora = random_lora(tmp_path / "lora.safetensors", random_pipeline().unet)
    refused("is not a VAE", model=plain, vae=lora)
    refused("vae='somebody/none'", "connect to the network", model=plain, vae="somebody/none")


def test_the_vae_that_overflows_in_float16_stays_exact(xl: Path, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="float16"):
        model = load(xl, dtype="float16")
    assert (model.dtype, model.vae_dtype, model.pipeline.unet.dtype) == (torch.float16, torch.float32, torch.float16)
    whole = load(xl).pipeline.vae.state_dict()
    assert all(torch.equal(value, whole[key]) for key, value in model.pipeline.vae.state_dict().items())
    file = single_file(random_xl_pipeline(), tmp_path / "small.safetensors")
    with pytest.warns(UserWarning, match="float16"):
        assert load(file, config=xl, dtype="float16").fingerprint == model.fingerprint
    sound = Path(shutil.copytree(xl, tmp_path / "sound"))
    edit_json(sound / "vae" / "config.json", force_upcast=False)
    with pytest.warns(UserWarning, match="float16"):
        assert load(sound, dtype="float16").vae_dtype == torch.float16
    assert load(xl, dtype="bfloat16").vae_dtype == torch.bfloat16


# LoRAs


def test_a_lora_is_in_the_weights_and_costs_nothing(plain: Path, tmp_path: Path) -> None:
    own = load(plain)
    file = random_lora(tmp_path / "red.safetensors", own.pipeline.unet)
    model = load(plain, lora={file: 0.8})
    assert model.name == "small-1.5 + red:0.8"
    assert model.fingerprint != own.fingerprint
    lora, before = load_file(file), own.pipeline.unet.state_dict()
    after = model.pipeline.unet.state_dict()
    assert list(after) == list(before)
    for key, value in after.items():
        name = f"unet.{key.removesuffix('.weight')}"
        change = lora[f"{name}.lora_B.weight"] @ lora[f"{name}.lora_A.weight"] if f"{name}.lora_A.weight" in lora else 0
        assert torch.allclose(value, before[key] + 0.8 * change, atol=1e-5)
    assert picture(model=plain, lora=file) != picture(model=plain)


def test_several_loras_add_up(plain: Path, tmp_path: Path) -> None:
    unet = load(plain).pipeline.unet
    red = random_lora(tmp_path / "red.safetensors", unet)
    model = load(plain, lora={red: 0.5, random_lora(tmp_path / "in" / "a_folder.safetensors", unet).parent: 0.3})
    assert model.name == "small-1.5 + red:0.5 + in:0.3"
    whole = load(plain, lora={str(red): 0.8}).pipeline.unet.state_dict()
    for key, value in model.pipeline.unet.state_dict().items():
        assert torch.allclose(value, whole[key], atol=1e-5)


def test_a_lora_of_the_hub_is_found(hub: Hub, plain: Path, tmp_path: Path) -> None:
    unet = load(plain).pipeline.unet
    random_lora(tmp_path / "one" / "red.safetensors", unet)
    hub.repos["somebody/one"] = tmp_path / "one"
    expected = load(plain, lora=tmp_path / "one" / "red.safetensors").fingerprint
    assert load(plain, lora="somebody/one").fingerprint == expected
    asked = hub.asked
    assert load(plain, lora=["somebody/one/red.safetensors"]).fingerprint == expected
    assert hub.asked == asked
    random_lora(tmp_path / "two" / "a.safetensors", unet)
    random_lora(tmp_path / "two" / "b.safetensors", unet)
    hub.repos["somebody/two"] = tmp_path / "two"
    refused("several files", "a.safetensors, b.safetensors", model=plain, lora="somebody/two")
    assert load(plain, lora="somebody/two/b.safetensors").name == "small-1.5 + b:1"


def test_what_is_no_lora_for_this_model_is_refused(plain: Path, xl: Path, tmp_path: Path) -> None:
    refused("has no usable weight; allowed: a number", model=plain, lora={plain: "strong"})
    refused("is not a LoRA", model=plain, lora=plain / "unet" / "diffusion_pytorch_model.safetensors")
    refused("has no .safetensors file", model=plain, lora=tmp_path)
    refused("lora='somebody/none'", "connect to the network", model=plain, lora="somebody/none")
    other = random_lora(tmp_path / "xl.safetensors", random_xl_pipeline().unet)
    refused("does not fit this model", "another family", model=plain, lora=other)
    save_file({"transformer.block.lora_A.weight": torch.ones(2, 2)}, tmp_path / "flux.safetensors")
    refused("does not fit this model", model=plain, lora=tmp_path / "flux.safetensors")


def test_loras_need_a_package_and_name_it(plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = random_lora(tmp_path / "red.safetensors", random_pipeline().unet)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    refused("pip install 'nbinpaint[lora]'", model=plain, lora=file)


def test_the_fingerprint_covers_every_text_encoder(xl: Path) -> None:
    model = load(xl)
    before = model.fingerprint
    again = models.Model(model.name, model.pipeline, model.device, model.dtype)
    assert again.fingerprint == before
    with torch.no_grad():
        model.pipeline.text_encoder_2.text_projection.weight += 1
    assert models.Model(model.name, model.pipeline, model.device, model.dtype).fingerprint != before


# Progress, and loading again


def test_loading_shows_one_bar_and_no_noise(
    plain: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(calm, "BAR_AFTER", 0)
    load(plain, progress=True)
    out, err = capfd.readouterr()
    lines = [line for line in err.replace("\n", "\r").split("\r") if line.strip()]
    assert out == ""
    assert lines
    assert all(line.startswith("loading small-1.5:") for line in lines)
    assert any("unet" in line for line in lines)


def test_nothing_is_printed_without_progress(plain: Path, cache: Path, capfd: pytest.CaptureFixture[str]) -> None:
    cache_repo(cache, REPO, plain)
    load(REPO, progress=False)
    nb.load_engine(plain, device="cpu", progress=False)
    assert capfd.readouterr() == ("", "")


def test_a_download_shows_its_bars_only_with_progress(
    hub: Hub, plain: Path, cache: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    hub.repos[REPO] = plain
    load(REPO, progress=False)
    assert capfd.readouterr() == ("", "")
    shutil.rmtree(cache)
    load(REPO, progress=True)
    assert capfd.readouterr().err


def test_other_peoples_settings_are_put_back(plain: Path) -> None:
    from diffusers.utils import logging

    logging.set_verbosity_info()
    logging.enable_progress_bar()
    try:
        load(plain)
        refused("is not a VAE", model=plain, vae=plain / "unet")
        assert logging.get_verbosity() == logging.INFO
        assert logging.is_progress_bar_enabled()
    finally:
        logging.set_verbosity_warning()


def test_the_same_model_is_loaded_once_however_it_is_spelt(
    plain: Path, other_vae: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lora = random_lora(tmp_path / "red.safetensors", random_pipeline().unet)
    monkeypatch.chdir(plain.parent)
    options: dict[str, Any] = {"vae": str(other_vae), "lora": str(lora), "progress": False}
    engine = nb.load_engine(plain, device="cpu", **options)
    same: list[dict[str, Any]] = [
        {"model": str(plain)},
        {"model": plain.name, "device": torch.device("cpu")},
        {"model": Path("..") / plain.parent.name / plain.name, "dtype": "float32"},
        {"model": plain, "dtype": torch.float32, "lora": {lora: 1}, "vae": other_vae},
    ]
    with monkeypatch.context() as patch:
        patch.setattr(models, "_load", lambda *args: pytest.fail("it was loaded again"))
        for others in same:
            assert nb.load_engine(**{"device": "cpu", **options, **others}) is engine
    for others in ({"dtype": "float64"}, {"lora": {lora: 0.5}}, {"vae": None}, {"rows": 4}, {"safety_checker": False}):
        assert nb.load_engine(plain, device="cpu", **{**options, **others}) is not engine


def test_two_who_ask_at_once_get_one_engine(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load_once, loads = models._load, []

    def count(*args: Any) -> models.Model:
        loads.append(args)
        return load_once(*args)

    monkeypatch.setattr(models, "_load", count)
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(nb.load_engine, plain, device="cpu", dtype="bfloat16", progress=False) for _ in range(4)]
        engines = [future.result() for future in asked]
    assert len(loads) == 1
    assert len(set(map(id, engines))) == 1


def test_a_model_whose_files_have_changed_is_loaded_anew(copy: Path) -> None:
    engine = nb.load_engine(copy, device="cpu", progress=False)
    file = copy / "unet" / "diffusion_pytorch_model.safetensors"
    save_file({key: value + 1 for key, value in load_file(file).items()}, file)
    again = nb.load_engine(copy, device="cpu", progress=False)
    assert again is not engine
    assert again.fingerprint != engine.fingerprint


# Choosing files


def test_sharded_weights_count_only_when_all_are_there() -> None:
    index = {"unet": "UNet2DConditionModel"}
    shards = [f"unet/diffusion_pytorch_model.fp16-0000{i}-of-00002.safetensors" for i in (1, 2)]
    chosen = choose(["unet/config.json", *shards], index, ("fp16", None))
    assert chosen is not None
    assert chosen.files == shards
    assert choose(["unet/config.json", shards[0]], index, ("fp16", None)) is None


def test_a_variant_of_some_parts_is_filled_up_with_plain_ones() -> None:
    index = {"unet": "UNet2DConditionModel", "vae": "AutoencoderKL", "scheduler": "DDIMScheduler"}
    files = [
        "unet/diffusion_pytorch_model.fp16.safetensors",
        "unet/diffusion_pytorch_model.fp16.bin",
        "unet/diffusion_pytorch_model.non_ema.safetensors",
        "vae/diffusion_pytorch_model.bin",
        "scheduler/scheduler_config.json",
    ]
    chosen = choose(files, index, wanted(None, torch.float16).first)
    assert chosen is not None
    assert chosen.variant == "fp16"
    assert chosen.files == [files[0], files[3]]
    assert choose(files, index, (None,)) is None
