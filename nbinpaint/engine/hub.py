"""The model hub: what its local cache holds, what a repository offers, and downloads.

The cache is asked first, so that a model that is there loads without a network and without waiting for one.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from pathlib import Path

from huggingface_hub import HfApi, constants, hf_hub_download, snapshot_download, try_to_load_from_cache
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from ..errors import ModelError
from .places import Place

__all__ = ["HubUnreachable", "cached", "cached_folder", "download", "fetch", "offered"]

_PATIENCE = 10.0
"""Seconds to wait for the hub's answer."""
_LANDMARKS = ("model_index.json", "config.json", "README.md")


class HubUnreachable(ModelError):
    """The hub does not answer, and the cache does not hold what is needed."""


def _offline() -> bool:
    """Say whether the network is not to be used; the variable counts also when it was set after the import."""
    return constants.HF_HUB_OFFLINE or os.environ.get("HF_HUB_OFFLINE", "").lower() in {"1", "true", "yes", "on"}


def cached(repo: str, file: str) -> Path | None:
    """Return a repository's file from the local cache, None where it is not there."""
    found = try_to_load_from_cache(repo, file)
    return Path(found) if isinstance(found, str) else None


def cached_folder(repo: str, landmarks: Iterable[str] = _LANDMARKS) -> Path | None:
    """Return the folder of a repository's main revision in the local cache, which may hold only some of its files.

    Args:
        repo: Hub id.
        landmarks: Files of which one is in the folder.
    """
    for landmark in landmarks:
        if found := cached(repo, landmark):
            return Path(str(found).removesuffix(landmark))
    return None


def offered(place: Place) -> dict[str, int]:
    """Ask the hub for a repository's files and their sizes in bytes.

    Raises:
        HubUnreachable: There is no network, or it is not to be used.
        ModelError: There is no such repository, or it is not open to this person.
    """
    assert place.repo is not None
    if _offline():
        raise _unreachable(place, "HF_HUB_OFFLINE is set")
    try:
        info = HfApi().model_info(place.repo, files_metadata=True, timeout=_PATIENCE)
    except Exception as error:
        raise _explained(place, error) from None
    return {file.rfilename: file.size or 0 for file in info.siblings or []}


def download(place: Place, files: Iterable[str]) -> Path:
    """Bring files of a repository into the cache and return the folder that they are in.

    Raises:
        HubUnreachable: There is no network, or it is not to be used.
        ModelError: The download failed.
    """
    assert place.repo is not None
    try:
        return Path(snapshot_download(place.repo, allow_patterns=list(files)))
    except Exception as error:
        raise _explained(place, error) from None


def fetch(place: Place, file: str) -> Path:
    """Return one file of a repository, from the cache or else from the hub.

    Raises:
        HubUnreachable: It is not cached, and there is no network.
        ModelError: There is no such file, or the download failed.
    """
    assert place.repo is not None
    if found := cached(place.repo, file):
        return found
    # The client tries a single file again and again for half a minute; the listing answers at once.
    if file not in (files := offered(place)):
        like = [name for name in files if name.endswith(Path(file).suffix)][:5]
        raise place.error(f"has no file {file!r}; it has {', '.join(like) or 'none of that kind'}")
    try:
        return Path(hf_hub_download(place.repo, file, etag_timeout=_PATIENCE))
    except Exception as error:
        raise _explained(place, error) from None


def _unreachable(place: Place, reason: str) -> HubUnreachable:
    undo = "unset HF_HUB_OFFLINE" if reason.startswith("HF_HUB_OFFLINE") else "connect to the network"
    return HubUnreachable(
        f"{place.field}={place.name!r} is not complete in the local hub cache ({constants.HF_HUB_CACHE}), and the hub "
        f"cannot be asked: {reason}. To load it, {undo}, or give the path of a folder or file that has it"
    )


def _explained(place: Place, error: Exception) -> ModelError:
    """Say what a failure of the hub's client means for a person."""
    page = f"{constants.ENDPOINT}/{place.repo}"
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, GatedRepoError):
        return place.error(f"is gated: accept its terms at {page}, then log in with `hf auth login` and load it again")
    if isinstance(error, RepositoryNotFoundError):
        return place.error(
            "is not on the model hub: check the spelling of owner/name; if it is private, log in with `hf auth login`"
        )
    if isinstance(error, RevisionNotFoundError):
        return place.error(f"has no main revision on the model hub: see {page}")
    if isinstance(error, LocalEntryNotFoundError):
        return _unreachable(place, _first_line(error.__cause__ or error))
    if isinstance(error, HfHubHTTPError) and status is not None:
        return HubUnreachable(str(place.error(f"was not given out by the hub (status {status}): try again later")))
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return place.error(f"does not fit the disk of the hub cache ({constants.HF_HUB_CACHE}): free some space there")
    return _unreachable(place, _first_line(error))


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".split("\n")[0].rstrip(". ")
