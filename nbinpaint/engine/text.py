"""Prompts as the denoising network takes them, each distinct one encoded once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch

from ..params import Params
from .cache import Kept
from .models import Model

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
        texts = (params.negative_prompt, params.prompt) if params.guided else (params.prompt,)
        return Text(torch.cat([self.prompt(text, params.clip_skip) for text in texts]), {})

    @torch.inference_mode()
    def prompt(self, text: str, clip_skip: int = 0) -> torch.Tensor:
        """Return the text encoder's output, shape (1, tokens, channels).

        Args:
            text: The prompt.
            clip_skip: Last layers that are left out.
        """

        def encode() -> torch.Tensor:
            self.encodes += 1
            encoded: torch.Tensor = self._model.pipeline.encode_prompt(
                text, self._model.device, 1, False, clip_skip=clip_skip or None
            )[0]
            return encoded

        kept: torch.Tensor = self._prompts.get((text, clip_skip), encode)
        return kept
