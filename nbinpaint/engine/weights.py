"""Which files of a diffusers folder or hub repository hold the weights of which part, in which variant.

A variant is a second set of weights beside the plain one, marked in the file names: `model.fp16.safetensors`.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import torch

from ..errors import ModelError

__all__ = [
    "Choice",
    "Wanted",
    "choose",
    "components",
    "described",
    "header",
    "listing",
    "shapes",
    "variants",
    "wanted",
    "weight_bytes",
]

_WEIGHTS = re.compile(
    r"(?:diffusion_pytorch_model|pytorch_model|model)(?:\.(?P<variant>\w+))?"
    r"(?:-\d{5}-of-(?P<parts>\d{5}))?(?:\.(?P<old_variant>\w+))?\.(?P<kind>safetensors|bin)"
)
_WEIGHTLESS = ("Tokenizer", "Scheduler", "Processor", "FeatureExtractor")
_WORDS = {"tokenizer.json", "vocab.json", "vocab.txt"}
_HALF = ("fp16", "bf16")


class Wanted(NamedTuple):
    """Variants by preference; None stands for the plain weights.

    Attributes:
        first: The good ones, the best first.
        otherwise: Those to take where no other can be had.
    """

    first: tuple[str | None, ...]
    otherwise: tuple[str | None, ...]


@dataclass(frozen=True)
class Choice:
    """The weights to load.

    Attributes:
        variant: The variant, None for plain weights.
        parts: Per part of the model its own variant (parts without the chosen one come plain) and its files.
    """

    variant: str | None
    parts: Mapping[str, tuple[str | None, tuple[str, ...]]]

    @property
    def files(self) -> list[str]:
        """All files, relative to the folder."""
        return [file for _, files in self.parts.values() for file in files]


def wanted(variant: str | None, dtype: torch.dtype) -> Wanted:
    """Say which variants suit a number format: half the download where half precision is enough."""
    if variant is not None:
        return Wanted((variant,), ())
    return {
        torch.float16: Wanted(("fp16", None), ("bf16",)),
        torch.bfloat16: Wanted(("bf16", "fp16", None), ()),
    }.get(dtype, Wanted((None,), _HALF))


def components(index: Mapping[str, Any]) -> dict[str, str]:
    """Return the parts that a model_index.json names, with their class names."""
    return {
        part: value[1]
        for part, value in index.items()
        if not part.startswith("_") and isinstance(value, list) and len(value) == 2 and value[1]
    }


def listing(folder: Path) -> dict[str, int]:
    """Return a folder's files, relative to it, with their sizes in bytes."""
    return {f.relative_to(folder).as_posix(): f.stat().st_size for f in folder.rglob("*") if f.is_file()}


def _by_variant(files: Iterable[str], part: str) -> dict[str | None, tuple[str, ...]]:
    """Return the complete sets of one part's weights; .safetensors before .bin."""
    sets: dict[tuple[str | None, str], list[str]] = defaultdict(list)
    parts: dict[tuple[str | None, str], int] = {}
    for file in sorted(files):
        folder, _, name = file.rpartition("/")
        match = _WEIGHTS.fullmatch(name) if folder == part else None
        if match:
            key = match["variant"] or match["old_variant"], match["kind"]
            sets[key].append(file)
            parts[key] = int(match["parts"] or 1)
    complete = {key: tuple(found) for key, found in sets.items() if len(found) >= parts[key]}
    kinds = ("bin", "safetensors")
    return {variant: found for kind in kinds for (variant, k), found in complete.items() if k == kind}


def variants(files: Iterable[str], parts: Mapping[str, str]) -> list[str]:
    """Return the names of the variants that any part has."""
    files = list(files)
    return sorted({v for part in parts for v in _by_variant(files, part) if v})


def choose(files: Iterable[str], parts: Mapping[str, str], order: Sequence[str | None]) -> Choice | None:
    """Choose the first variant in an order that is there for the whole model, None where none is.

    Args:
        files: All files, relative to the folder.
        parts: Names and classes of the model's parts.
        order: Variants, the best first.
    """
    files = list(files)
    if any(_weightless(kind) and not described(files, part, kind) for part, kind in parts.items()):
        return None
    sets = {part: _by_variant(files, part) for part, kind in parts.items() if not _weightless(kind)}
    for variant in order:
        if variant is not None and not any(variant in found for found in sets.values()):
            continue
        used = {part: variant if variant in found else None for part, found in sets.items()}
        if all(used[part] in found for part, found in sets.items()):
            return Choice(variant, {part: (used[part], found[used[part]]) for part, found in sets.items()})
    return None


def described(files: Iterable[str], part: str, kind: str) -> bool:
    """Say whether a part is complete but for its weights: a tokenizer's words are there, anything else's settings."""
    inside = [name for folder, _, name in (file.rpartition("/") for file in files) if folder == part]
    if "Tokenizer" in kind:
        return any(name in _WORDS or name.endswith((".model", ".tiktoken")) for name in inside)
    return any(name.endswith("config.json") for name in inside)


def _weightless(kind: str) -> bool:
    return any(word in kind for word in _WEIGHTLESS)


def header(file: Path) -> dict[str, Any]:
    """Return a .safetensors file's table of tensors: name to dtype, shape and data_offsets.

    Raises:
        ModelError: The file is damaged.
    """
    size = file.stat().st_size
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        try:
            table: dict[str, Any] = json.loads(stream.read(length)) if 0 < length < size else {}
        except ValueError:
            table = {}
    table.pop("__metadata__", None)
    due = 8 + length + max((entry["data_offsets"][1] for entry in table.values()), default=0)
    if not table or size < due:
        shown = f"{size} bytes long instead of {due}" if table else "not a .safetensors file inside"
        raise ModelError(f"{file} is damaged: it is {shown}; delete it and download or save it again")
    return table


def shapes(file: Path) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a file's tensors by their keys.

    Raises:
        ModelError: The file is damaged, or holds more than weights.
    """
    if file.suffix == ".safetensors":
        return {key: tuple(entry["shape"]) for key, entry in header(file).items()}
    try:
        held = torch.load(file, map_location="meta", weights_only=True)
    except Exception as error:
        reason = "code" if "weights_only" in str(error) else "damage"
        advice = {
            "code": "holds Python objects beside its weights, which are not run: convert it to .safetensors",
            "damage": "is damaged: delete it and download or save it again",
        }
        raise ModelError(f"{file} {advice[reason]}") from None
    while isinstance(held, dict) and "state_dict" in held:
        held = held["state_dict"]
    return {key: tuple(value.shape) for key, value in held.items() if isinstance(value, torch.Tensor)}


def weight_bytes(file: str, size: int, dtype: torch.dtype, folder: Path | None = None) -> int:
    """Return about how many bytes a file's weights take once loaded.

    Args:
        file: Its name, relative to `folder`.
        size: Its length in bytes.
        dtype: The number format to load it in.
        folder: Where it is; None for a file that is not here yet, whose numbers are then guessed from its variant.

    Raises:
        ModelError: The file is damaged.
    """
    if folder is not None and file.endswith(".safetensors"):
        return sum(
            prod(entry["shape"]) * dtype.itemsize
            if entry["dtype"].startswith(("F", "BF"))
            else entry["data_offsets"][1] - entry["data_offsets"][0]
            for entry in header(folder / file).values()
        )
    stored = 2 if any(f".{half}" in file for half in _HALF) else 4
    return size * dtype.itemsize // stored
