"""What a person asks for when loading a model, with every name looked up: the same request is the same model."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path
from typing import Any

import torch

from ..errors import ModelError
from .devices import find_device, find_dtype, name_of
from .places import Place, locate

__all__ = ["LoraNames", "Request"]

LoraNames = str | Path | Sequence[str | Path] | Mapping[str, float] | None
"""One name, several, or names with weights; a weight of 1 where none is given."""


@dataclass(frozen=True)
class Request:
    """A model with all that was chosen for it; `load_model` says what each means.

    Attributes:
        model: Where it is.
        device: Where it is to run.
        dtype: By name; None for what suits model and device.
        safety_checker: Whether to keep the checker.
        variant: Variant of the weights, None for the one that suits.
        vae: Where another VAE is.
        loras: Where LoRAs are, with their weights.
        config: Where a single file's configuration is.
    """

    model: Place
    device: torch.device
    dtype: str | None
    safety_checker: bool
    variant: str | None
    vae: Place | None
    loras: tuple[tuple[Place, float], ...]
    config: Place | None

    @classmethod
    def of(
        cls,
        name: str | Path,
        *,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype | None = None,
        safety_checker: bool = True,
        variant: str | None = None,
        vae: str | Path | None = None,
        lora: LoraNames = None,
        config: str | Path | None = None,
    ) -> Request:
        """Look the names up; nothing is loaded and nothing asked of the network.

        Raises:
            ModelError: A name leads nowhere, arguments do not go together, or device or dtype are unknown.
        """
        model = locate(name)
        where = find_device(device)
        if model.single and variant is not None:
            raise ModelError(f"variant={variant!r} is for folders and hub ids: a single file has one set of weights")
        if config is not None and not model.single:
            raise ModelError(f"config={str(config)!r} is for single files: {model.name!r} has a configuration")
        known = dtype is not None or where.type == "cpu"
        return cls(
            model=model,
            device=where,
            dtype=name_of(find_dtype(dtype, where)) if known else None,
            safety_checker=bool(safety_checker),
            variant=variant,
            vae=None if vae is None else locate(vae, "vae"),
            loras=_lora_names(lora),
            config=None if config is None else locate(config, "config"),
        )

    def with_dtype(self, dtype: torch.dtype) -> Request:
        """Return the same request with the number format that it came to."""
        return replace(self, dtype=name_of(dtype))

    @property
    def identity(self) -> Hashable:
        """Equal for requests of the same model, however they are spelt; another after its files have changed."""
        index = self.device.index if self.device.type != "cuda" or self.device.index is not None else 0
        return (
            self.model.label,
            self.model.identity,
            (self.device.type, index),
            self.dtype,
            self.safety_checker,
            self.variant,
            self.vae and self.vae.identity,
            tuple((place.identity, weight) for place, weight in self.loras),
            self.config and self.config.identity,
        )


def _lora_names(lora: LoraNames) -> tuple[tuple[Place, float], ...]:
    """Read what a person gave as LoRAs.

    Raises:
        ModelError: A name leads nowhere, or a weight is not a number.
    """
    if lora is None:
        return ()
    if isinstance(lora, str | Path):
        lora = [lora]
    pairs: Iterable[tuple[Any, Any]] = lora.items() if isinstance(lora, Mapping) else ((name, 1.0) for name in lora)
    found = []
    for name, weight in pairs:
        number = isinstance(weight, int | float) and not isinstance(weight, bool) and isfinite(weight)
        if not number:
            raise ModelError(f"lora={{{str(name)!r}: {weight!r}}} has no usable weight; allowed: a number such as 0.8")
        found.append((locate(name, "lora"), float(weight)))
    return tuple(found)
