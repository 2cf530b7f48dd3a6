"""Name the weights of a pipeline, so that a picture computed once is known again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

import torch

__all__ = ["fingerprint"]


def fingerprint(pipeline: Any, networks: Iterable[str], numbers: str, settings: Mapping[str, Any]) -> str:
    """Return 16 hexadecimal digits that follow from weights, number format and configuration.

    Args:
        pipeline: Its scheduler's configuration counts, too.
        networks: The names of its networks, of which it may lack some; each tensor's shape and a sample of its values
            count.
        numbers: The number format.
        settings: What else a picture follows from.
    """
    sha = hashlib.sha256(numbers.encode())
    for part in networks:
        network = getattr(pipeline, part, None)
        for name, tensor in sorted(network.state_dict().items() if network is not None else ()):
            flat = tensor.detach().reshape(-1)
            # Weights that are streamed in layer by layer have no values here.
            sample = torch.empty(0) if flat.is_meta else flat[:: max(1, flat.numel() // 16)].to("cpu", torch.float64)
            sha.update(f"{part}.{name}{tuple(tensor.shape)}".encode() + sample.numpy().tobytes())
    config = {k: v for k, v in pipeline.scheduler.config.items() if not k.startswith("_")} | dict(settings)
    sha.update(json.dumps(config, sort_keys=True, default=str).encode())
    return sha.hexdigest()[:16]
