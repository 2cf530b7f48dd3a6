"""Load a model by name, folder or file, with a device and number format that suit the machine.

The embedded model takes the same path as every other: it is a diffusers folder that the package carries.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from ..errors import ModelError
from ..vocabulary import Vocabulary
from .adapters import VaeFiles, find_loras, find_vae, fuse, read_vae
from .calm import LoadingBar, calm
from .checkpoints import FileModel, find_file
from .classes import BATCHED, keeps_vae_exact
from .devices import find_dtype, is_out_of_memory, out_of_memory, warn_slow
from .families import SETTINGS, Family, family_of, widened
from .fingerprint import fingerprint
from .folders import find_folder, without_checker
from .places import EMBEDDED, Place
from .reasons import explain
from .request import Request

__all__ = ["EMBEDDED", "Model", "load", "load_model"]

# The libraries below build networks in ways that a second thread would disturb; downloads go on side by side.
_reading = threading.Lock()


@dataclass(frozen=True, eq=False)
class Model:
    """A loaded model: diffusers' own pipeline object, used for its parts.

    The properties about latents, channels and sizes are those of Stable Diffusion 1, 2 and XL.

    Attributes:
        name: What people call it, with its VAE and LoRAs where they were chosen: "model + vae + lora:0.8".
        pipeline: Its networks, tokenizer and scheduler configuration.
        device: Where the networks are.
        dtype: Number format of weights and latents.
    """

    name: str
    pipeline: Any
    device: torch.device
    dtype: torch.dtype

    @cached_property
    def vocabulary(self) -> Vocabulary | None:
        """What the model's folder says it was trained on; None where it says nothing."""
        return Vocabulary.read(Path(str(self.pipeline.config.get("_name_or_path", ""))) / "vocabulary.json")

    @cached_property
    def family(self) -> Family:
        """What kind of model it is."""
        return family_of(self.pipeline)

    @cached_property
    def wide_vae(self) -> Any:
        """The VAE in float32, for models that overflow in half precision; a copy, so that nobody's numbers change."""
        return widened(self.pipeline.vae, self.device)

    @property
    def vae_dtype(self) -> torch.dtype:
        """Number format of the VAE: float32 where it overflows in half precision (SDXL's), else `dtype`."""
        found: torch.dtype = self.pipeline.vae.dtype
        return found

    @property
    def latent_channels(self) -> int:
        """Channels of the latents: 4 for this family."""
        return int(self.pipeline.vae.config.latent_channels)

    @property
    def unet_channels(self) -> int:
        """Input channels of the denoising network: 9 for inpainting models, 4 for base models."""
        return int(self.pipeline.unet.config.in_channels)

    @property
    def factor(self) -> int:
        """Pixels per latent pixel, along one side."""
        return int(self.pipeline.vae_scale_factor)

    @property
    def size_multiple(self) -> int:
        """Both sides of a picture must be multiples of this: the latent grid halves once per level of the network."""
        levels = len(self.pipeline.unet.config.block_out_channels)
        return self.factor << (levels - 1)

    @property
    def native_size(self) -> tuple[int, int]:
        """Width and height that the model was trained at."""
        side = self.pipeline.unet.config.sample_size
        height, width = side if isinstance(side, (tuple, list)) else (side, side)
        return int(width) * self.factor, int(height) * self.factor

    @cached_property
    def fingerprint(self) -> str:
        """Names the weights and the number format, by shapes and a sample of each tensor's values.

        Whether a safety checker is there counts too: what it withholds is another result than what is there without it.
        """
        parts = self.pipeline.components
        networks = sorted(name for name, part in parts.items() if isinstance(part, torch.nn.Module))
        settings = {name: self.pipeline.config.get(name) for name in SETTINGS}
        settings["checked"] = parts.get("safety_checker") is not None
        return fingerprint(self.pipeline, [n for n in networks if n != "safety_checker"], str(self.dtype), settings)


def load_model(name: str | Path = "embedded", *, progress: bool = False, **options: Any) -> Model:
    """Load an inpainting model.

    Args:
        name: "embedded", a hub id, a diffusers folder, or a single file.
        progress: Show bars.
        **options: `device`, `dtype`, `safety_checker`, `variant`, `vae`, `lora`, `config`, as `nbinpaint.load_engine`
            takes them.

    Raises:
        ModelError: The model is not there, cannot be used, or does not fit; the message says what to do.
    """
    return load(Request.of(name, **options), progress)


def load(request: Request, progress: bool = False) -> Model:
    """Load what a request names, as `load_model` does.

    Raises:
        ModelError: The model cannot be used, or does not fit; the message says what to do.
    """
    with calm(progress):
        try:
            return _load(request, progress)
        except ModelError:
            raise
        except Exception as error:
            if is_out_of_memory(error):
                raise out_of_memory(request.model.label, request.device) from None
            raise request.model.error(f"cannot be loaded: {explain(error)}") from None


def _load(request: Request, progress: bool) -> Model:
    place, device = request.model, request.device
    loras = find_loras(request.loras)
    vae = request.vae and find_vae(request.vae, find_dtype(request.dtype, device))
    found = find_file(request) if place.single else find_folder(request)
    warn_slow(found.dtype, device)
    if (
        vae is None
        and isinstance(found, FileModel)
        and keeps_vae_exact(found.pipeline, found.config("vae"), found.dtype)
    ):
        vae = VaeFiles(place, "AutoencoderKL", found.file)
    given: dict[str, Any] = {} if request.safety_checker else without_checker(found.pipeline)
    with _reading, LoadingBar(place.label, found.parts + bool(vae) + bool(loras) + 1, progress) as bar:
        if vae:
            with bar.part("vae"):
                given["vae"] = read_vae(vae, found)
        pipeline = found.read(given, bar)
        _refuse_channels(place, pipeline)
        with bar.part(str(device)):
            pipeline.set_progress_bar_config(disable=True)
            pipeline.to(device)
        if loras:
            with bar.part("lora"):
                fuse(pipeline, loras)
    if type(pipeline).__name__ in BATCHED and device.type != "mps":
        pipeline.unet.to(memory_format=torch.channels_last)
        pipeline.vae.to(memory_format=torch.channels_last)
    labels = [place.label, *([request.vae.label] if request.vae else []), *(f"{x.label}:{x.weight:g}" for x in loras)]
    return Model(" + ".join(labels), pipeline, device, found.dtype)


def _refuse_channels(place: Place, pipeline: Any) -> None:
    if type(pipeline).__name__ not in BATCHED:
        return
    channels = pipeline.unet.config.in_channels
    if channels not in (4, 9):
        raise place.error(f"takes {channels} input channels; allowed: 4 (base) or 9 (inpainting)")
