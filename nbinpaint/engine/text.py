"""Prompts as the denoising network takes them, each distinct one encoded once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch

from ..params import Params
from .cache import Kept
from .models import Model
from .prompting import Encoded, encode

__all__ = ["Text", "TextEncoder"]

_SCORES = ((2.5,), (6.0,))
"""The scores of beauty that SDXL's pipeline tells a refiner: for the negative prompt and for the prompt."""


class Text(NamedTuple):
    """The text rows of one grid cell.

    Attributes:
        tokens: (rows, tokens, channels); with guidance two rows, the negative one first.
        added: Further conditions by the name that the network knows them by, each (rows, ...); empty for SD 1 and 2.
    """

    tokens: torch.Tensor
    added: Mapping[str, torch.Tensor]


class TextEncoder:
    """Encodes prompts for one model, once each.

    Attributes:
        encodes: How many prompts were encoded; for benchmarks and tests.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self._prompts = Kept(256)
        self.encodes = 0

    def rows(self, params: Params) -> Text:
        """Return the text rows of one grid cell."""
        # As in diffusers, layers are left out for the prompt only.
        encoded = [self.prompt(params.prompt, params.clip_skip, params.prompt_weighting)]
        if params.guided:
            encoded.insert(0, _zeros(encoded[0]) if self._zeroes(params) else self._negative(params))
        added = {}
        if self._model.family.pooled:
            pooled = torch.cat([row.pooled for row in encoded if row.pooled is not None])
            added = {"text_embeds": pooled, "time_ids": self._time_ids(params)}
        return Text(torch.cat([row.tokens for row in encoded]), added)

    def _negative(self, params: Params) -> Encoded:
        return self.prompt(params.negative_prompt, 0, params.prompt_weighting)

    def _zeroes(self, params: Params) -> bool:
        """Whether an empty negative prompt stands for zeros, as `negative_prompt=None` does for the pipeline."""
        return not params.negative_prompt and bool(self._model.pipeline.config.get("force_zeros_for_empty_prompt"))

    def _time_ids(self, params: Params) -> torch.Tensor:
        """Return what SDXL is told of the picture, (rows, numbers): its size before cropping, the crop, its size.

        Refiners are told a score of beauty instead of the last; all values are the pipeline's defaults.
        """
        assert params.size is not None
        size = (params.size[1], params.size[0])
        scored = self._model.pipeline.config.get("requires_aesthetics_score")
        ends = _SCORES if scored else (size, size)
        rows = [(*size, 0, 0, *end) for end in (ends if params.guided else ends[1:])]
        return torch.tensor(rows, dtype=self._model.dtype, device=self._model.device)

    @torch.inference_mode()
    def prompt(self, text: str, clip_skip: int = 0, weighting: str = "none") -> Encoded:
        """Return the text encoders' output.

        Args:
            text: The prompt.
            clip_skip: Last layers that are left out.
            weighting: "compel" reads weights in the prompt.
        """

        def make() -> Encoded:
            self.encodes += 1
            return encode(self._model, text, clip_skip, weighting)

        kept: Encoded = self._prompts.get((text, clip_skip, weighting), make)
        return kept


def _zeros(row: Encoded) -> Encoded:
    return Encoded(torch.zeros_like(row.tokens), None if row.pooled is None else torch.zeros_like(row.pooled))
