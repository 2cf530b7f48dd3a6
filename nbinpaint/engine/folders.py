"""From a diffusers folder or hub id to the files to load, and from the files to a pipeline."""

from __future__ import annotations

import inspect
import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers

from ..errors import ModelError
from . import hub
from .calm import LoadingBar
from .classes import half_precision, keeps_vae_exact, pipeline_class
from .devices import check_memory, find_dtype, name_of
from .places import Place
from .request import Request
from .weights import Choice, Wanted, choose, components, listing, variants, wanted, weight_bytes

__all__ = ["INDEX", "FolderModel", "Found", "find_folder", "read_json", "without_checker"]

INDEX = "model_index.json"
_SMALL = (".json", ".txt", ".model", ".jinja")


@dataclass(frozen=True)
class Found:
    """A model's files, all of them on this machine.

    Attributes:
        folder: A diffusers folder: the model itself, or the configuration of a single file.
        pipeline: The class that inpaints with it.
        dtype: The number format to load it in.
    """

    folder: Path
    pipeline: Any
    dtype: torch.dtype

    def config(self, part: str) -> dict[str, Any]:
        """Return one part's configuration, empty where it has none."""
        return read_json(self.folder / part / "config.json") or {}


@dataclass(frozen=True)
class FolderModel(Found):
    """A model in a diffusers folder.

    Attributes:
        index: Its model_index.json.
        choice: The weights to load.
    """

    index: Mapping[str, Any]
    choice: Choice

    @property
    def parts(self) -> int:
        """How many parts it is loaded in."""
        return len(self.choice.parts)

    def read(self, given: Mapping[str, Any], bar: LoadingBar) -> Any:
        """Load the parts one by one and put them together.

        Args:
            given: Parts that are there already, None for those left out; other arguments of the pipeline's class.
            bar: Told about each part.
        """
        # Parts that a model was saved without; diffusers wants that said again for those it calls required.
        takes = inspect.signature(self.pipeline.__init__).parameters.keys()
        absent = [part for part, value in self.index.items() if value == [None, None] and part in takes]
        loaded = dict.fromkeys(absent) | dict(given)
        for part, (variant, _) in self.choice.parts.items():
            library, name = self.index[part]
            exact = part == "vae" and keeps_vae_exact(self.pipeline, self.config(part), self.dtype)
            options: dict[str, Any] = {"variant": variant} if variant else {}
            with bar.part(part):
                loaded[part] = _class(library, name).from_pretrained(
                    str(self.folder),
                    subfolder=part,
                    local_files_only=True,
                    dtype=torch.float32 if exact else self.dtype,
                    **options,
                )
        return self.pipeline.from_pretrained(str(self.folder), local_files_only=True, dtype=self.dtype, **loaded)


def find_folder(request: Request) -> FolderModel:
    """Find a model's files; those of a hub id are downloaded unless the cache has them.

    Raises:
        ModelError: It is not there, cannot inpaint, lacks weights, or is too large.
    """
    place = request.model
    folder = place.path or hub.cached_folder(place.repo or "", [INDEX])
    index = read_json(folder / INDEX) if folder else None
    if index is None:
        if place.path:
            raise place.error(_not_a_model(place.path))
        index = _remote_index(place)
    kind = index.get("_class_name")
    if not isinstance(kind, str):
        raise place.error("brings code of its own, which is not run; choose a model of diffusers' own pipelines")
    try:
        pipeline = pipeline_class(kind)
    except ModelError as error:
        raise place.error(f"cannot be used: {error}") from None
    dtype = find_dtype(request.dtype, request.device, half_precision(pipeline))
    skipped = {"safety_checker": not request.safety_checker, "vae": request.vae is not None}
    parts = {part: kind for part, kind in components(index).items() if not skipped.get(part)}
    order = wanted(request.variant, dtype)
    folder, choice = _choose(request, folder, parts, order, dtype)
    if choice.variant in order.otherwise:
        warnings.warn(
            f"{place.field}={place.name!r} has only {choice.variant} weights here: {name_of(dtype)} holds rounded ones",
            stacklevel=2,
        )
    check_memory(place.label, _bytes(choice, listing(folder), dtype, folder), dtype, request.device)
    return FolderModel(folder, pipeline, dtype, index, choice)


def _choose(
    request: Request, folder: Path | None, parts: Mapping[str, str], order: Wanted, dtype: torch.dtype
) -> tuple[Path, Choice]:
    """Choose the weights, and download them where only the hub has them."""
    place = request.model
    here = listing(folder) if folder else {}
    every = (*order.first, *order.otherwise)
    if folder and (choice := choose(here, parts, every if place.path else order.first)):
        return folder, choice
    if place.path:
        raise place.error(_incomplete(here, parts, order))
    try:
        files = hub.offered(place)
        choice = choose(files, parts, every)
        if choice is None:
            raise place.error(_incomplete(files, parts, order))
        check_memory(place.label, _bytes(choice, files, dtype), dtype, request.device)
        small = [f for f in files if f.endswith(_SMALL) and f.rpartition("/")[0] in {"", "vae", *parts}]
        return hub.download(place, [*choice.files, *small]), choice
    except hub.HubUnreachable as error:
        if folder and (choice := choose(here, parts, order.otherwise)):
            return folder, choice
        if request.variant and (there := variants(here, parts) or choose(here, parts, (None,))):
            held = ", ".join(map(repr, there)) if isinstance(there, list) else "the plain weights"
            raise hub.HubUnreachable(f"variant={request.variant!r} is not cached, only {held}; {error}") from None
        raise


def _bytes(choice: Choice, sizes: Mapping[str, int], dtype: torch.dtype, folder: Path | None = None) -> int:
    return sum(weight_bytes(file, sizes[file], dtype, folder) for file in choice.files)


def _incomplete(files: Mapping[str, int], parts: Mapping[str, str], order: Wanted) -> str:
    """Say why no weights could be chosen, and what to do."""
    there = variants(files, parts)
    offers = [f"variant={v!r}" for v in there if choose(files, parts, (v,))]
    if choose(files, parts, (None,)):
        offers.append("the plain weights (leave variant out)")
    if offers:
        return f"has no variant {order.first[0]!r}; it has {' and '.join(offers)}"
    lacking = [part for part, kind in parts.items() if choose(files, {part: kind}, (None, *there)) is None]
    return f"lacks files of {', '.join(lacking) or 'some parts'}: download or save it again"


def _remote_index(place: Place) -> dict[str, Any]:
    """Return the hub's model_index.json of a repository that is not in the cache."""
    files = hub.offered(place)
    if INDEX in files:
        return read_json(hub.fetch(place, INDEX)) or {}
    single = [f"'{place.repo}/{file}'" for file in files if file.endswith((".safetensors", ".ckpt"))][:5]
    hint = f"; one of its files may be: {', '.join(single)}" if single else ""
    raise place.error(f"is not a diffusers model: it has no {INDEX}{hint}")


def _not_a_model(folder: Path) -> str:
    kind = (read_json(folder / "config.json") or {}).get("_class_name")
    if kind:
        return f"is only a part of a model (a {kind}): give the folder that has {INDEX}"
    files = sorted(str(file) for file in folder.glob("*.safetensors"))[:3]
    hint = f"; for a single file give its own path, such as {files[0]!r}" if files else ""
    return f"is not a diffusers folder: it has no {INDEX}{hint}"


def read_json(file: Path) -> dict[str, Any] | None:
    """Return a JSON file's values, None where there is no such file.

    Raises:
        ModelError: The file is damaged.
    """
    if not file.is_file():
        return None
    try:
        values: dict[str, Any] = json.loads(file.read_text("utf-8"))
    except ValueError:
        raise ModelError(f"{file} is damaged: it is not JSON; download or save it again") from None
    return values


def without_checker(pipeline: Any) -> dict[str, Any]:
    """Return the arguments that leave the safety checker out, none for classes that have no such thing."""
    takes = inspect.signature(pipeline.__init__).parameters
    return {k: v for k, v in {"safety_checker": None, "requires_safety_checker": False}.items() if k in takes}


def _class(library: str, name: str) -> Any:
    homes = {"diffusers": diffusers, "transformers": transformers}
    return getattr(homes.get(library) or getattr(diffusers.pipelines, library), name)
