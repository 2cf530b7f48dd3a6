"""What becomes of a prompt before the denoising network sees it: layers left out, words cut, words weighted.

What cannot be done for a model or without a package is refused here when a recipe is planned.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable
from functools import lru_cache
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch

from ..errors import InvalidParams
from ..params import Params
from .models import Model

__all__ = ["Encoded", "Layers", "check_prompting", "cut_hint", "encode"]

_PARTS = ("tokenizer", "text_encoder")
NAMED = 12
"""Words that a hint names at most."""


class Layers:
    """A CLIP text encoder whose last layers are left out.

    Args:
        encoder: The text encoder.
        back: Which of its hidden states counts as its output, from the last: 1 is the last layer's.
        normed: Whether the final layer norm is applied, as SD 1 and 2 expect and SDXL does not.
    """

    def __init__(self, encoder: Any, back: int = 1, normed: bool = True) -> None:
        self._encoder = encoder
        self._back = back
        # Older transformers keep the norm one level deeper.
        self._norm = getattr(encoder, "text_model", encoder).final_layer_norm if normed else None

    @property
    def device(self) -> torch.device:
        """Where the encoder is."""
        return torch.device(self._encoder.device)

    @property
    def dtype(self) -> torch.dtype:
        """The encoder's number format."""
        dtype: torch.dtype = self._encoder.dtype
        return dtype

    def __call__(self, tokens: torch.Tensor, mask: torch.Tensor | None = None, **_: Any) -> SimpleNamespace:
        """Encode tokens (rows, length); `last_hidden_state` of what comes back is (rows, length, channels)."""
        states = self._encoder(tokens, attention_mask=mask, output_hidden_states=True, return_dict=True).hidden_states
        state = states[-self._back]
        return SimpleNamespace(last_hidden_state=state if self._norm is None else self._norm(state))


class Encoded(NamedTuple):
    """One encoded prompt.

    Attributes:
        tokens: (1, tokens, channels).
        pooled: (1, channels), a summary of the prompt; None for models that take none.
    """

    tokens: torch.Tensor
    pooled: torch.Tensor | None


@torch.inference_mode()
def encode(model: Model, text: str, clip_skip: int = 0, weighting: str = "none") -> Encoded:
    """Encode a prompt as diffusers' pipelines do; what does not fit is cut.

    Args:
        model: SD 1, SD 2 or SDXL.
        text: The prompt.
        clip_skip: Last layers of the text encoder that are left out.
        weighting: "compel" reads weights such as `a (red)1.4 apple++`; they change the tokens, not the summary.
    """
    two = _two(model)
    if weighting == "none" and (two or not clip_skip):
        return _theirs(model, text, clip_skip)
    way = _plain if weighting == "none" else _weighted
    # SDXL leaves out the last layer of both and takes what comes before the norm.
    rows = [
        way(tokenizer, Layers(encoder, clip_skip + (2 if two else 1), normed=not two), text)
        for tokenizer, encoder in _pairs(model)
    ]
    return Encoded(torch.cat(rows, dim=-1), _theirs(model, _words(text), clip_skip).pooled if two else None)


def _theirs(model: Model, text: str, clip_skip: int) -> Encoded:
    """What the pipeline itself makes of a prompt."""
    made = model.pipeline.encode_prompt(
        text,
        device=model.device,
        num_images_per_prompt=1,
        do_classifier_free_guidance=False,
        clip_skip=clip_skip or None,
    )
    return Encoded(made[0], made[2] if _two(model) else None)


def _two(model: Model) -> bool:
    """Whether it is SDXL, which has a second text encoder, and in a refiner only that."""
    return getattr(model.pipeline, "text_encoder_2", None) is not None


def _pairs(model: Model) -> list[tuple[Any, Any]]:
    """The tokenizers and text encoders that are there."""
    parts = [tuple(getattr(model.pipeline, f"{part}{n}", None) for part in _PARTS) for n in ("", "_2")]
    return [(tokenizer, encoder) for tokenizer, encoder in parts if encoder is not None]


def _plain(tokenizer: Any, layers: Layers, text: str) -> torch.Tensor:
    tokens = tokenizer(text, padding="max_length", truncation=True, return_tensors="pt", verbose=False).input_ids
    state: torch.Tensor = layers(tokens.to(layers.device)).last_hidden_state
    return state


def _weighted(tokenizer: Any, layers: Layers, text: str) -> torch.Tensor:
    """As many tokens as a plain prompt has."""
    from compel import Compel

    compel = Compel(tokenizer, layers, dtype_for_device_getter=lambda device: layers.dtype, device=str(layers.device))
    row: torch.Tensor = compel.build_conditioning_tensor(text)
    return row


def _words(text: str) -> str:
    """A prompt without its weights."""
    from compel import Compel

    parts = [
        part for prompt in Compel.parse_prompt_string(text).prompts for part in getattr(prompt, "prompts", [prompt])
    ]
    return " ".join(child.text for part in parts for child in part.children)


# --- before anything runs ---


def check_prompting(params: Params, model: Model) -> None:
    """Refuse what a recipe asks of its prompts and cannot be had with this model or installation.

    Raises:
        InvalidParams: Names the field, the value and what is allowed.
    """
    # Of SDXL's encoders the last layer is left out anyhow.
    least = min(encoder.config.num_hidden_layers for _, encoder in _pairs(model))
    most = least - (2 if _two(model) else 1)
    if params.clip_skip > most:
        raise Params.specs()["clip_skip"].refuse(
            params.clip_skip, f"0 to {most} for the model {model.name!r}", "leaves no layer of the text encoder"
        )
    if params.prompt_weighting == "none":
        return
    if importlib.util.find_spec("compel") is None:
        raise InvalidParams(
            f"prompt_weighting={params.prompt_weighting!r} needs the package compel, which is not installed; "
            "allowed: 'none', or after pip install 'nbinpaint[compel]'"
        )
    for name in ("prompt", "negative_prompt"):
        if problem := _unusable(params.get(name)):
            raise InvalidParams(f"{name}={params.get(name)!r} {problem}; allowed: weights such as (red)1.4 or red++")


@lru_cache(maxsize=512)
def _unusable(prompt: str) -> str | None:
    """Say what of compel's syntax in a prompt cannot be used here."""
    from compel import Compel

    try:
        parsed = Compel.parse_prompt_string(prompt)
    except Exception as error:  # its parser raises errors of several packages
        return f"cannot be read by compel: {error}"
    if len(parsed.prompts) > 1:
        return "is longer than one prompt: .and() cannot be used here"
    if parsed.lora_weights:
        return "asks for a LoRA: withLora() cannot be used here"
    if any(part.wants_cross_attention_control for part in parsed.prompts):
        return "swaps words while the picture is made: .swap() cannot be used here"
    return None


# --- what is cut ---


def cut_hint(tokenizer: Any, prompt: str) -> str | None:
    """Return a sentence that names the words for which the text encoder has no room; None where all fit.

    Args:
        tokenizer: The model's.
        prompt: The prompt.
    """
    cut = _cut(tokenizer, prompt)
    if not cut:
        return None
    words = cut.split()
    named = " ".join(words[:NAMED])
    more = f" and {len(words) - NAMED} more words" if len(words) > NAMED else ""
    # Two places are taken by the marks of the beginning and the end.
    room = int(tokenizer.model_max_length) - 2
    return f"The text encoder reads {room} tokens of a prompt; cut off: “{named}”{more}."


def _cut(tokenizer: Any, prompt: str) -> str:
    """The end of a prompt that the text encoder does not see, from the word on that is cut into."""
    room = int(tokenizer.model_max_length) - 2
    if len(prompt) <= room:
        return ""  # a token is at least a letter
    find: Callable[..., Any] = tokenizer
    if not tokenizer.is_fast:
        tokens = find(prompt, add_special_tokens=False, verbose=False).input_ids
        return str(tokenizer.decode(tokens[room:])).strip()
    offsets = find(prompt, add_special_tokens=False, return_offsets_mapping=True, verbose=False).offset_mapping
    if len(offsets) <= room:
        return ""
    start = offsets[room][0]
    kept = re.search(r"\S*$", prompt[:start])
    return prompt[kept.start() if kept else start :].strip()
