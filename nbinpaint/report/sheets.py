"""A contact sheet: pictures in a grid whose headers never clip and never overlap, whatever they say.

Layout and drawing are apart: `lay_out` measures every text and returns boxes, `contact_sheet` draws what stands in
them.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ..mask import blend_weight

__all__ = ["Layout", "TextBox", "contact_sheet", "lay_out"]

PAPER, INK, SOFT, LINE, EMPTY = "#ffffff", "#1f2328", "#6a737d", "#d8dee4", "#f3f5f7"
MASK_COLOUR = (235, 64, 52)
MARGIN, GAP, PAD = 28, 8, 12
TITLE, HEADER, SMALL = 19, 16, 13
ROW_HEADER_WIDTH = 190
SIDE_MOST = 320

Box = tuple[int, int, int, int]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@lru_cache(maxsize=16)
def _font(size: int) -> Font:
    """DejaVu Sans where matplotlib brought it, for Greek, Cyrillic and symbols; Pillow's own otherwise."""
    spec = importlib.util.find_spec("matplotlib")
    if spec is not None and spec.origin is not None:
        file = Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"
        if file.exists():
            return ImageFont.truetype(str(file), size)
    return ImageFont.load_default(size)


@dataclass(frozen=True)
class TextBox:
    """Lines of text and where they stand.

    Attributes:
        lines: Already wrapped.
        box: (x0, y0, x1, y1) around all of the text's ink and line spacing.
        size: Height of the letters in pixels.
        colour: Of the letters.
        anchor: "left", "centre" or "right", within the box.
    """

    lines: tuple[str, ...]
    box: Box
    size: int
    colour: str = INK
    anchor: str = "left"


@dataclass(frozen=True)
class Layout:
    """Where everything stands on a sheet.

    Attributes:
        size: (width, height) of the sheet.
        cells: Box of each picture, by row and column.
        texts: Every text.
        sides: Boxes of the source and mask pictures.
    """

    size: tuple[int, int]
    cells: tuple[tuple[Box, ...], ...]
    texts: tuple[TextBox, ...]
    sides: tuple[Box, ...]


def _wrap(text: str, size: int, width: int) -> tuple[str, ...]:
    """Break text into lines of at most `width` pixels, between words where possible, within them where not."""
    font = _font(size)
    lines: list[str] = []
    for paragraph in text.split("\n"):
        line = ""
        for word in paragraph.split():
            candidate = f"{line} {word}" if line else word
            if font.getlength(candidate) <= width:
                line = candidate
                continue
            if line:
                lines.append(line)
            line = word
            while font.getlength(line) > width and len(line) > 1:
                cut = _longest(line, font, width)
                lines.append(line[:cut])
                line = line[cut:]
        lines.append(line)
    return tuple(lines)


def _longest(word: str, font: Font, width: int) -> int:
    """Return how many letters of a word fit; at least one."""
    low, high = 1, len(word)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if font.getlength(word[:middle]) <= width else (low, middle - 1)
    return low


def _line_height(size: int) -> int:
    return round(size * 1.4)


def _extent(lines: Sequence[str], size: int) -> tuple[int, int]:
    """Width and height that these lines need."""
    font = _font(size)
    return max((int(np.ceil(font.getlength(line))) for line in lines), default=0), len(lines) * _line_height(size)


def lay_out(
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    cell: tuple[int, int],
    row_title: str = "",
    column_title: str = "",
    title: str = "",
    sides: Sequence[tuple[str, tuple[int, int]]] = (),
) -> Layout:
    """Measure every text and say where it and every picture stands.

    Args:
        rows: A header for each row.
        columns: A header for each column.
        cell: (width, height) of a picture.
        row_title: What the rows are.
        column_title: What the columns are.
        title: Above everything.
        sides: (caption, (width, height)) of the pictures left of the grid, from top to bottom.
    """
    texts: list[TextBox] = []
    row_lines = [_wrap(row, HEADER, ROW_HEADER_WIDTH) for row in rows]
    row_title_lines = _wrap(row_title, SMALL, ROW_HEADER_WIDTH) if row_title else ()
    header_width = max([_extent(lines, HEADER)[0] for lines in row_lines] + [_extent(row_title_lines, SMALL)[0]])
    column_lines = [_wrap(column, HEADER, cell[0]) for column in columns]
    header_height = max(_extent(lines, HEADER)[1] for lines in column_lines)
    heights = [max(cell[1], _extent(lines, HEADER)[1]) for lines in row_lines]

    side_width = max([size[0] for _, size in sides], default=0)
    grid_x = MARGIN + (side_width + 2 * PAD + GAP if sides else 0) + (header_width + PAD if header_width else 0)
    grid_width = len(columns) * cell[0] + (len(columns) - 1) * GAP
    width = grid_x + grid_width + MARGIN

    y = MARGIN
    if title:
        lines = _wrap(title, TITLE, width - 2 * MARGIN)
        texts.append(TextBox(lines, (MARGIN, y, width - MARGIN, y + _extent(lines, TITLE)[1]), TITLE))
        y = texts[-1].box[3] + PAD
    top = y
    if column_title:
        lines = _wrap(column_title, SMALL, grid_width)
        texts.append(
            TextBox(lines, (grid_x, y, grid_x + grid_width, y + _extent(lines, SMALL)[1]), SMALL, SOFT, "centre")
        )
        y = texts[-1].box[3]
    grid_y = max(y + header_height, top + _extent(row_title_lines, SMALL)[1]) + GAP
    if row_title_lines:
        x1 = grid_x - PAD
        box = (x1 - header_width, grid_y - GAP - _extent(row_title_lines, SMALL)[1], x1, grid_y - GAP)
        texts.append(TextBox(row_title_lines, box, SMALL, SOFT, "right"))
    for i, lines in enumerate(column_lines):
        x = grid_x + i * (cell[0] + GAP)
        box = (x, grid_y - GAP - _extent(lines, HEADER)[1], x + cell[0], grid_y - GAP)
        texts.append(TextBox(lines, box, HEADER, INK, "centre"))

    cells, y = [], grid_y
    for lines, height in zip(row_lines, heights, strict=True):
        extent = _extent(lines, HEADER)[1]
        middle = y + (height - extent) // 2
        if header_width:
            box = (grid_x - PAD - header_width, middle, grid_x - PAD, middle + extent)
            texts.append(TextBox(lines, box, HEADER, INK, "right"))
        picture = y + (height - cell[1]) // 2
        xs = [grid_x + i * (cell[0] + GAP) for i in range(len(columns))]
        cells.append(tuple((x, picture, x + cell[0], picture + cell[1]) for x in xs))
        y += height + GAP
    bottom = y - GAP

    side_boxes, y = [], grid_y
    for caption, size in sides:
        side_boxes.append((MARGIN, y, MARGIN + size[0], y + size[1]))
        lines = _wrap(caption, SMALL, side_width)
        box = (MARGIN, y + size[1] + 2, MARGIN + side_width, y + size[1] + 2 + _extent(lines, SMALL)[1])
        texts.append(TextBox(lines, box, SMALL, SOFT))
        y = box[3] + PAD
    height = max(bottom, y - PAD) + MARGIN
    return Layout((width, height), tuple(cells), tuple(texts), tuple(side_boxes))


def contact_sheet(
    *,
    images: Sequence[Sequence[Image.Image | str | None]],
    row_labels: Sequence[str],
    column_labels: Sequence[str],
    row_title: str = "",
    column_title: str = "",
    title: str = "",
    source: Image.Image | None = None,
    mask: NDArray[np.uint8] | None = None,
    cell: int | None = None,
) -> Image.Image:
    """Draw a grid of pictures with headers.

    Args:
        images: Rows of pictures; a text stands for a picture that could not be made and is shown, None for one still
            to come.
        row_labels: A header for each row.
        column_labels: A header for each column.
        row_title: What the rows are.
        column_title: What the columns are.
        title: Above everything; the recipe that all pictures share.
        source: The picture that was inpainted, shown at the side.
        mask: uint8 (H, W), shown over the source.
        cell: Longest side of a picture on the sheet in pixels; their own, and at least 168, where None.

    Returns:
        RGB picture, as large as its texts need.
    """
    pictures = [p for row in images for p in row if isinstance(p, Image.Image)]
    box = _cell_size(pictures, cell)
    sides = _side_pictures(source, mask, min(SIDE_MOST, max(box)))
    layout = lay_out(
        rows=row_labels,
        columns=column_labels,
        cell=box,
        row_title=row_title,
        column_title=column_title,
        title=title,
        sides=[(caption, picture.size) for caption, picture in sides],
    )
    sheet = Image.new("RGB", layout.size, PAPER)
    draw = ImageDraw.Draw(sheet)
    for text in layout.texts:
        _write(draw, text)
    for row, boxes in zip(images, layout.cells, strict=True):
        for picture, place in zip(row, boxes, strict=True):
            _show(sheet, draw, picture, place)
    for (_, picture), place in zip(sides, layout.sides, strict=True):
        sheet.paste(picture, place[:2])
    return sheet


def _cell_size(pictures: Sequence[Image.Image], longest: int | None) -> tuple[int, int]:
    """The box that every picture fits into, from the largest of them."""
    width = max((p.width for p in pictures), default=168)
    height = max((p.height for p in pictures), default=168)
    scale = (longest or max(168, width, height)) / max(width, height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _side_pictures(
    source: Image.Image | None, mask: NDArray[np.uint8] | None, longest: int
) -> list[tuple[str, Image.Image]]:
    sides: list[tuple[str, Image.Image]] = []
    if source is not None:
        sides.append(("source", _fit(source, (longest, longest))))
        if mask is not None:
            sides.append(("mask", _fit(_overlay(source, mask), (longest, longest))))
    return sides


def _overlay(source: Image.Image, mask: NDArray[np.uint8]) -> Image.Image:
    weight = 0.6 * blend_weight(mask, 0.0)[..., None]
    return Image.fromarray((np.asarray(source) * (1 - weight) + np.asarray(MASK_COLOUR) * weight).astype(np.uint8))


def _fit(picture: Image.Image, box: tuple[int, int]) -> Image.Image:
    scale = min(box[0] / picture.width, box[1] / picture.height)
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    return picture if size == picture.size else picture.resize(size, Image.Resampling.LANCZOS)


def _show(sheet: Image.Image, draw: ImageDraw.ImageDraw, picture: Image.Image | str | None, box: Box) -> None:
    width, height = box[2] - box[0], box[3] - box[1]
    if isinstance(picture, Image.Image):
        fitted = _fit(picture, (width, height))
        sheet.paste(fitted, (box[0] + (width - fitted.width) // 2, box[1] + (height - fitted.height) // 2))
        return
    draw.rectangle((box[0], box[1], box[2] - 1, box[3] - 1), fill=EMPTY, outline=LINE)
    if picture:
        lines = _wrap(picture, SMALL, width - 2 * GAP)
        room = max(1, (height - 2 * GAP) // _line_height(SMALL))
        if len(lines) > room:
            lines = (*lines[: room - 1], "…")
        extent = _extent(lines, SMALL)[1]
        y = box[1] + (height - extent) // 2
        _write(draw, TextBox(lines, (box[0] + GAP, y, box[2] - GAP, y + extent), SMALL, SOFT, "centre"))


def _write(draw: ImageDraw.ImageDraw, text: TextBox) -> None:
    font: Any = _font(text.size)
    x0, y, x1, _ = text.box
    for line in text.lines:
        x = {"left": x0, "centre": (x0 + x1) / 2, "right": x1}[text.anchor]
        anchor = {"left": "lm", "centre": "mm", "right": "rm"}[text.anchor]
        draw.text((x, y + _line_height(text.size) / 2), line, fill=text.colour, font=font, anchor=anchor)
        y += _line_height(text.size)
