"""What a name means: the embedded model, a folder or file of this machine, or a place on the model hub.

Models, VAEs, LoRAs and configurations are named alike, so the rules stand here once.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from pathlib import Path

from ..errors import ModelError

__all__ = ["EMBEDDED", "Place", "locate"]

EMBEDDED = Path(__file__).parent.parent / "models" / "tiny"

_URL = re.compile(r"https?://(?:www\.)?(?:huggingface\.co|hf\.co)/")
_BRANCH = re.compile(r"/(?:blob|resolve|tree)/main(?=/|$)")
_REPO = re.compile(r"[\w-][\w.-]*/[\w.-]*[\w-](?:/.+)?")
_FILES = (".safetensors", ".ckpt", ".bin", ".pt", ".pth")
_ALLOWED = {
    "model": "'embedded', a hub id (owner/name), a diffusers folder, or a .safetensors file",
    "vae": "a hub id (owner/name), a folder with a VAE or a whole model, or a .safetensors file",
    "lora": "a .safetensors file, a folder with one, a hub id (owner/name), or owner/name/file.safetensors",
    "config": "a diffusers folder or a hub id (owner/name) of a model of the same kind",
}


@dataclass(frozen=True)
class Place:
    """Where a name leads.

    Attributes:
        field: The argument that held the name.
        name: As it was given.
        path: A folder or file that exists, None on the hub.
        repo: Hub id, None on this machine.
        inside: A file in the hub's repository, None for the whole of it.
    """

    field: str
    name: str
    path: Path | None = None
    repo: str | None = None
    inside: str | None = None

    @property
    def single(self) -> bool:
        """Whether it is one file."""
        return self.inside is not None or (self.path is not None and self.path.is_file())

    @property
    def label(self) -> str:
        """What people call it: the last part of the name, without the ending of a file."""
        if self.path == EMBEDDED:
            return "embedded"
        path = self.path.absolute() if self.path else Path(self.inside or self.repo or self.name)
        return path.stem if path.suffix in _FILES else path.name

    @property
    def identity(self) -> tuple[str, int]:
        """The same for every spelling of one place, another after its files have changed."""
        if self.path is None:
            return f"{self.repo}/{self.inside or ''}", 0
        files = [self.path, *self.path.glob("*"), *self.path.glob("*/*")]
        return str(self.path.resolve()), max(file.stat().st_mtime_ns for file in files)

    def error(self, problem: str) -> ModelError:
        """Return an error about what is there."""
        return ModelError(f"{self.field}={self.name!r} {problem}")


def locate(name: str | Path, field: str = "model") -> Place:
    """Find out what a name means; nothing is asked of the network.

    Args:
        name: A path, a hub id, a file in a hub repository as owner/name/file, or a hub address.
        field: The argument that held it, for errors.

    Raises:
        ModelError: It is none of these.
    """
    if not isinstance(name, str | Path):
        raise ModelError(f"{field}={name!r} is not a name; allowed: {_ALLOWED[field]}")
    text = str(name)
    if field == "model" and text == "embedded":
        return Place(field, text, path=EMBEDDED)
    path = Path(text).expanduser()
    if text.strip() and path.exists():
        return Place(field, text, path=path)
    address = _BRANCH.sub("", _URL.sub("", text)).partition("?")[0]
    local = isinstance(name, Path) or path.is_absolute() or text.startswith((".", "~")) or "\\" in text
    if local or not _REPO.fullmatch(address):
        near = difflib.get_close_matches(text, ["embedded"]) if field == "model" else []
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ModelError(f"{field}={text!r} is not there{hint}; allowed: {_ALLOWED[field]}")
    owner, repo, *inside = address.strip("/").split("/", 2)
    return Place(field, text, repo=f"{owner}/{repo}", inside=inside[0] if inside else None)
