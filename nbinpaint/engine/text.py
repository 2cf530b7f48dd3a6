"""Prompts as the denoising network takes them, each distinct one encoded once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch

from ..params import Params
from .cache import Kept
from .models import Model
from .prompting import encode

__all__ = ["Text", "TextEncoder"]


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
        prompts = [self.prompt(params.prompt, params.clip_skip, params.prompt_weighting)]
        if params.guided:
            prompts.insert(0, self.prompt(params.negative_prompt, 0, params.prompt_weighting))
        return Text(torch.cat(prompts), {})

    @torch.inference_mode()
    def prompt(self, text: str, clip_skip: int = 0, weighting: str = "none") -> torch.Tensor:
        """Return the text encoder's output, shape (1, tokens, channels).

        Args:
            text: The prompt.
            clip_skip: Last layers that are left out.
            weighting: "compel" reads weights in the prompt.
        """

        def make() -> torch.Tensor:
            self.encodes += 1
            return encode(self._model, text, clip_skip, weighting).tokens

        kept: torch.Tensor = self._prompts.get((text, clip_skip, weighting), make)
        return kept
