"""Load a model by name, folder or file, with a device and number format that suit the machine.

The embedded model takes the same path as every other: it is a diffusers folder that the package carries.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers import StableDiffusionInpaintPipeline

from ..errors import ModelError
from ..vocabulary import Vocabulary
from .families import Family, family_of, widened
from .fingerprint import fingerprint

__all__ = ["EMBEDDED", "Model", "load_model"]

EMBEDDED = Path(__file__).parent.parent / "models" / "tiny"
_DTYPES = {"float64": torch.float64, "float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


@dataclass(frozen=True, eq=False)
class Model:
    """A loaded model: diffusers' own pipeline object, used for its parts.

    Attributes:
        name: What people call it.
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
        """Names the weights and the number format, by shapes and a sample of each tensor's values."""
        settings = {name: self.pipeline.config.get(name) for name in self.family.settings}
        return fingerprint(self.pipeline, self.family.networks, str(self.dtype), settings)


def load_model(
    name: str | Path = "embedded",
    *,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    safety_checker: bool = True,
    variant: str | None = None,
) -> Model:
    """Load the parts of an inpainting model.

    Args:
        name: "embedded", a hub id, a diffusers folder, or a `.safetensors` file.
        device: "cuda", "mps", "cpu", ...; the best one there where None.
        dtype: "float16", "bfloat16", "float32" or "float64"; half precision on accelerators, float32 on CPUs where
            None.
        safety_checker: False leaves out the checker of a model that has one.
        variant: A hub variant such as "fp16".

    Raises:
        ModelError: The model is not there, is of a family that is not supported, or device or dtype are unknown.
    """
    place = _device(device)
    numbers = _dtype(dtype, place)
    source = EMBEDDED if name == "embedded" else Path(name)
    options: dict[str, Any] = {"dtype": numbers}
    if not safety_checker:
        options |= {"safety_checker": None, "requires_safety_checker": False}
    logging = diffusers.utils.logging
    quiet = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        if source.is_file():
            pipeline = StableDiffusionInpaintPipeline.from_single_file(str(source), torch_dtype=numbers)
        elif source.is_dir():
            pipeline = StableDiffusionInpaintPipeline.from_pretrained(
                str(source), local_files_only=True, variant=variant, **options
            )
        else:
            pipeline = StableDiffusionInpaintPipeline.from_pretrained(str(name), variant=variant, **options)
    except Exception as error:
        raise ModelError(
            f"model {str(name)!r} cannot be loaded: {error}\n"
            "allowed: 'embedded', a hub id with inpainting weights, a diffusers folder, or a .safetensors file"
        ) from error
    finally:
        logging.set_verbosity(quiet)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.to(place)
    channels = pipeline.unet.config.in_channels
    if channels not in (4, 9):
        raise ModelError(f"model {str(name)!r} takes {channels} input channels; allowed: 4 (base) or 9 (inpainting)")
    if place.type != "mps":
        pipeline.unet.to(memory_format=torch.channels_last)
        pipeline.vae.to(memory_format=torch.channels_last)
    return Model("embedded" if name == "embedded" else source.stem, pipeline, place, numbers)


def _device(device: str | torch.device | None) -> torch.device:
    if device is None:
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        return torch.device(device)
    except RuntimeError as error:
        raise ModelError(f"device={device!r} is unknown; allowed: 'cpu', 'cuda', 'cuda:0', 'mps', ...") from error


def _dtype(dtype: str | torch.dtype | None, device: torch.device) -> torch.dtype:
    if dtype is None:
        return torch.float32 if device.type == "cpu" else torch.float16
    found = _DTYPES.get(str(dtype).removeprefix("torch."))
    if found is None:
        raise ModelError(f"dtype={dtype!r} is unknown; allowed: {', '.join(_DTYPES)}")
    return found
