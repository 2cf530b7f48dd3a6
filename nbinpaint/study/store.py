"""A study's folder: plain PNG files that anybody can look at, and one JSON file that says what they are.

    study.json      axes, base recipe, and for every grid cell its key, state and figures
    source.png      the image, at its own resolution
    mask.png        the mask, white = repaint
    images/         the blended pictures; the recipe stands in each file
    raw/            the model's own output before blending
    blend/          how much of it went into the result, where that does not follow from the mask alone

A file's name ends in the key of its recipe, image, mask and model. A result is found by that key whatever sweep asks
for it, so that a stopped sweep resumes and grids share what they have in common. Files are written whole or not at all.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..errors import NbInpaintError
from ..metadata import read_chunk
from ..params import Params
from ..result import FACTS, Result
from ..sweep import GridCell, Source

__all__ = ["FORMAT", "Store"]

FORMAT = 1


class Store:
    """Reads and writes one folder.

    Args:
        path: The folder; made where it does not exist.

    Raises:
        NbInpaintError: The path is a file, or the folder holds something else than a study.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if self.path.is_file():
            raise NbInpaintError(f"store={str(path)!r} is a file; allowed: a folder, new or of an earlier study")
        if self.path.is_dir() and any(self.path.iterdir()) and not self._index.exists():
            raise NbInpaintError(
                f"store={str(path)!r} holds other things; allowed: a new, an empty, or a study's folder"
            )

    @property
    def _index(self) -> Path:
        return self.path / "study.json"

    def write_index(self, index: Mapping[str, Any]) -> None:
        """Write study.json."""
        self._write(self._index, json.dumps({"format": FORMAT, **index}, indent=1, ensure_ascii=False).encode())

    def read_index(self) -> dict[str, Any]:
        """Read study.json.

        Raises:
            NbInpaintError: There is none, or it is of a later format.
        """
        try:
            index: dict[str, Any] = json.loads(self._index.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise NbInpaintError(f"{str(self.path)!r} is no study: {error}") from error
        if index.get("format") != FORMAT:
            raise NbInpaintError(f"{str(self.path)!r} has format {index.get('format')!r}; allowed: {FORMAT}")
        return index

    def write_source(self, source: Source) -> None:
        """Write the image and the mask."""
        self._write_png(self.path / "source.png", source.image)
        self._write_png(self.path / "mask.png", Image.fromarray(source.mask))

    def read_source(self) -> Source:
        """Read the image and the mask."""
        image = Image.open(self.path / "source.png").convert("RGB")
        return Source(image, np.array(Image.open(self.path / "mask.png").convert("L")))

    def write_result(self, key: str, cell: GridCell, result: Result) -> None:
        """Write both pictures of a result, the raw one last: it is the sign that all is there."""
        name = f"{_slug(cell)}-{key}.png"
        self._write(self.path / "images" / name, result.png())
        if result.blend is not None:
            self._write(self.path / "blend" / name, result.encode(result.blend))
        self._write(self.path / "raw" / name, result.encode(result.raw))

    def read_results(self, wanted: Mapping[str, Source]) -> dict[str, Result]:
        """Read the results with these keys; a damaged file counts as missing.

        Args:
            wanted: Key to the source that the result was made from.
        """
        found: dict[str, Result] = {}
        for file in self.path.glob("raw/*.png"):
            key = file.stem.rpartition("-")[2]
            if key in wanted:
                try:
                    found[key] = _read_result(file, wanted[key])
                except (OSError, ValueError, KeyError, TypeError):
                    continue
        return found

    def _write_png(self, file: Path, image: Image.Image) -> None:
        if not file.exists() or Image.open(file).tobytes() != image.tobytes():
            self.path.mkdir(parents=True, exist_ok=True)
            part = file.with_suffix(".part")
            image.save(part, "PNG")
            os.replace(part, file)

    @staticmethod
    def _write(file: Path, content: bytes) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(".part")
        part.write_bytes(content)
        os.replace(part, file)


def _slug(cell: GridCell) -> str:
    """A grid cell's coordinates as the readable part of a file name."""
    words = "_".join(f"{name}-{value}" for name, value in cell.coordinates.items()) or "result"
    return re.sub(r"[^A-Za-z0-9._-]+", "-", words)[:80].strip("-.")


def _read_result(file: Path, source: Source) -> Result:
    with Image.open(file) as picture:
        raw = picture.convert("RGB")
        chunk = read_chunk(picture) or {}
    facts = {name: chunk["facts"][name] for name in FACTS}
    blend = None
    if (beside := file.parent.with_name("blend") / file.name).exists():
        with Image.open(beside) as picture:
            blend = picture.convert("L")
    return Result(params=Params.from_dict(chunk["params"]), raw=raw, source=source, blend=blend, **facts)
