"""Let the encoders leave the accelerator: they are needed for moments, their memory by the network all the time."""

from __future__ import annotations

from typing import Any

import torch

from .models import Model

__all__ = ["Encoders"]

_TEXT = ("text_encoder", "text_encoder_2", "text_encoder_3")
_PICTURE = ("encoder", "quant_conv")


class Encoders:
    """A model's text encoders and the encoding half of its VAE, away while nobody calls them.

    Whoever calls one finds it back on the model's device; nobody has to ask for it.

    Args:
        model: The model.
        away: Where they rest.
    """

    def __init__(self, model: Model, away: torch.device | None = None) -> None:
        self._device = model.device
        self._away = away or torch.device("cpu")
        vae = model.pipeline.vae
        parts = [getattr(model.pipeline, name, None) for name in _TEXT] + [getattr(vae, n, None) for n in _PICTURE]
        self._parts: list[Any] = [part for part in parts if isinstance(part, torch.nn.Module)]
        self._resting: set[Any] = set()
        self._hooks = [part.register_forward_pre_hook(self._fetch) for part in self._parts]

    def rest(self) -> None:
        """Send all of them away that are not."""
        for part in self._parts:
            if part not in self._resting:
                part.to(self._away)
                self._resting.add(part)

    def _fetch(self, part: Any, inputs: Any) -> None:
        if part in self._resting:
            part.to(self._device)
            self._resting.discard(part)
