"""Small figures about this machine that outlive a session, in a JSON file in the user's cache folder."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

__all__ = ["Remembered", "cache_folder"]


def cache_folder() -> Path:
    """Return the folder that holds them: `nbinpaint` in the user's cache folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nbinpaint"


class Remembered:
    """A dictionary of JSON values on disk.

    Args:
        name: The file's name.
        file: The file itself, in place of that name in the cache folder.
    """

    def __init__(self, name: str, file: Path | None = None) -> None:
        self._file = file or cache_folder() / name

    def read(self) -> dict[str, Any]:
        """Return all that is kept; nothing where the file is missing or damaged."""
        try:
            kept = json.loads(self._file.read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return kept if isinstance(kept, dict) else {}

    def keep(self, key: str, value: Any) -> None:
        """Keep a value; a reader sees the file before or after, never between."""
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            part = self._file.with_suffix(f".{os.getpid()}.part")
            part.write_text(json.dumps(self.read() | {key: value}, indent=1), "utf-8")
            part.replace(self._file)
        except OSError:
            pass  # a read-only home: the next session learns anew
