"""What a person does to a mask, as data: each act can be saved as JSON, replayed at any size, and drawn into a raster.

Coordinates are pixels of the image, continuous: pixel (0, 0) covers 0 to 1, so that its centre is (0.5, 0.5).
"""

from __future__ import annotations

import base64
import dataclasses
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .errors import InvalidMask
from .mask import grow, invert

__all__ = [
    "Act",
    "Change",
    "Drawing",
    "Imported",
    "Region",
    "Stroke",
    "acts_from_json",
    "acts_to_json",
    "draw",
    "level",
]

Mask = NDArray[np.uint8]
_SHIFT = 4
"""OpenCV draws with this many binary digits behind the point."""
SHAPES = ("brush", "line", "rectangle", "ellipse", "lasso")


@dataclass(frozen=True)
class Stroke:
    """A pen stroke or a shape.

    Attributes:
        points: (x, y) of each point; for a line, rectangle or ellipse its two ends or corners.
        radius: Of the brush, in pixels.
        shape: "brush", "line", "rectangle", "ellipse" or "lasso".
        erase: Whether it takes away instead of adding.
        pressure: 0 to 1 for each point of a brush stroke; full everywhere where empty.
        strength: What it paints, 0.01 to 1, whatever was there before.
    """

    kind: ClassVar[str] = "stroke"
    covers_all: ClassVar[bool] = False
    points: tuple[tuple[float, float], ...]
    radius: float = 12.0
    shape: str = "brush"
    erase: bool = False
    pressure: tuple[float, ...] = ()
    strength: float = 1.0

    def __post_init__(self) -> None:
        _check_strength(self.strength)
        points = np.asarray(self.points, np.float64)
        if points.ndim != 2 or points.shape[1] != 2 or not len(points) or not np.isfinite(points).all():
            raise InvalidMask(f"points={self.points!r} are no points; allowed: one (x, y) or more, finite")
        if self.shape not in SHAPES:
            raise InvalidMask(f"shape={self.shape!r} is unknown; allowed: {', '.join(SHAPES)}")
        if not 0 < self.radius <= 4096:
            raise InvalidMask(f"radius={self.radius!r} is out of bounds; allowed: above 0, at most 4096")
        if self.pressure and len(self.pressure) != len(points):
            raise InvalidMask(f"pressure has {len(self.pressure)} values for {len(points)} points; allowed: one each")
        object.__setattr__(self, "points", tuple((float(x), float(y)) for x, y in points))
        object.__setattr__(self, "pressure", tuple(float(p) for p in self.pressure))

    def apply(self, mask: Mask, image: Image.Image, scale: tuple[float, float]) -> Mask:
        """Draw into a copy of the mask."""
        out = mask.copy()
        _DRAW[self.shape](out, self, np.asarray(self.points) * scale, float(np.sqrt(scale[0] * scale[1])))
        return out

    def bounds(self) -> tuple[float, float, float, float]:
        """Return (x0, y0, x1, y1) around all that it can touch, in image pixels."""
        points = np.asarray(self.points)
        reach = self.radius + 1 if self.shape in ("brush", "line") else 1
        return (*(points.min(0) - reach).tolist(), *(points.max(0) + reach).tolist())


@dataclass(frozen=True)
class Region:
    """Everything that is connected to a point: of the mask ("fill"), or of like colours in the image ("wand").

    Attributes:
        point: (x, y) in image pixels.
        tool: "fill" or "wand".
        tolerance: For the wand, how far each of R, G and B may be from the point's colour, 0 to 255.
        erase: Whether it takes away instead of adding.
        strength: What it paints, 0.01 to 1.
    """

    kind: ClassVar[str] = "region"
    covers_all: ClassVar[bool] = False
    point: tuple[float, float]
    tool: str = "fill"
    tolerance: float = 32.0
    erase: bool = False
    strength: float = 1.0

    def __post_init__(self) -> None:
        _check_strength(self.strength)
        if self.tool not in ("fill", "wand"):
            raise InvalidMask(f"tool={self.tool!r} is unknown; allowed: fill, wand")
        if not 0 <= self.tolerance <= 255:
            raise InvalidMask(f"tolerance={self.tolerance!r} is out of bounds; allowed: 0 to 255")
        object.__setattr__(self, "point", (float(self.point[0]), float(self.point[1])))

    def apply(self, mask: Mask, image: Image.Image, scale: tuple[float, float]) -> Mask:
        """Fill a copy of the mask; a point outside the picture changes nothing."""
        height, width = mask.shape
        x, y = int(np.floor(self.point[0] * scale[0])), int(np.floor(self.point[1] * scale[1]))
        out = mask.copy()
        if not (0 <= x < width and 0 <= y < height):
            return out
        area = np.zeros((height + 2, width + 2), np.uint8)
        if self.tool == "fill":
            cv2.floodFill(out.copy(), area, (x, y), 0, 0, 0, 4 | cv2.FLOODFILL_MASK_ONLY | (255 << 8))
        else:
            pixels = np.asarray(image if image.size == (width, height) else image.resize((width, height))).copy()
            reach = (self.tolerance,) * 3
            flags = 4 | cv2.FLOODFILL_MASK_ONLY | cv2.FLOODFILL_FIXED_RANGE | (255 << 8)
            cv2.floodFill(pixels, area, (x, y), (0, 0, 0), reach, reach, flags)
        out[area[1:-1, 1:-1] > 0] = _paint_of(self)
        return out


@dataclass(frozen=True)
class Change:
    """A change of the whole mask: "grow" and "shrink" by some pixels, "invert", "clear", or "fill" at a strength."""

    kind: ClassVar[str] = "change"
    what: str
    pixels: float = 0.0
    strength: float = 1.0

    def __post_init__(self) -> None:
        _check_strength(self.strength)
        if self.what not in _CHANGES:
            raise InvalidMask(f"what={self.what!r} is unknown; allowed: {', '.join(_CHANGES)}")
        if not 0 <= self.pixels <= 1024:
            raise InvalidMask(f"pixels={self.pixels!r} is out of bounds; allowed: 0 to 1024")

    @property
    def covers_all(self) -> bool:
        """Whether nothing of the mask before it remains."""
        return self.what in ("clear", "fill")

    def apply(self, mask: Mask, image: Image.Image, scale: tuple[float, float]) -> Mask:
        """Change a copy of the mask."""
        pixels = round(self.pixels * float(np.sqrt(scale[0] * scale[1])))
        return np.asarray(_CHANGES[self.what](mask, pixels, level(self.strength)), np.uint8)


_CHANGES: Mapping[str, Any] = {
    "grow": lambda mask, pixels, value: grow(mask, pixels),
    "shrink": lambda mask, pixels, value: grow(mask, -pixels),
    "invert": lambda mask, pixels, value: invert(mask),
    "clear": lambda mask, pixels, value: np.zeros_like(mask),
    "fill": lambda mask, pixels, value: np.full_like(mask, value),
}


@dataclass(frozen=True)
class Imported:
    """A mask from elsewhere that replaces what was there, kept as a PNG: of one bit, or of eight where it has grey."""

    kind: ClassVar[str] = "imported"
    covers_all: ClassVar[bool] = True
    png: str

    def __post_init__(self) -> None:
        try:
            self._open()
        except (OSError, ValueError, TypeError) as error:
            raise InvalidMask(f"imported mask is damaged: {error}; allowed: a PNG in base64") from error

    def _open(self) -> Image.Image:
        return Image.open(io.BytesIO(base64.b64decode(self.png, validate=True)))

    @classmethod
    def of(cls, mask: Mask) -> Imported:
        """Keep a raster."""
        grey = bool(((mask > 0) & (mask < 255)).any())
        buffer = io.BytesIO()
        Image.fromarray(mask).convert("L" if grey else "1").save(buffer, "PNG")
        return cls(base64.b64encode(buffer.getvalue()).decode())

    def apply(self, mask: Mask, image: Image.Image, scale: tuple[float, float]) -> Mask:
        """Return the raster at the mask's size."""
        kept = self._open()
        size = (mask.shape[1], mask.shape[0])
        picture = kept.convert("L")
        if picture.size == size:
            return np.array(picture, np.uint8)
        values = np.array(picture.resize(size, Image.Resampling.BILINEAR), np.uint8)
        # Black and white stay so at every size.
        return np.where(values >= 128, np.uint8(255), np.uint8(0)) if kept.mode == "1" else values


@dataclass(frozen=True)
class Drawing:
    """A mask that replaces what was there, kept as the acts that draw it."""

    kind: ClassVar[str] = "drawing"
    covers_all: ClassVar[bool] = True
    acts: tuple[Act, ...]

    def apply(self, mask: Mask, image: Image.Image, scale: tuple[float, float]) -> Mask:
        """Draw the acts into an empty mask of the same size."""
        return draw(self.acts, image, (mask.shape[1], mask.shape[0]))


Act = Stroke | Region | Change | Imported | Drawing
_KINDS: Mapping[str, type[Stroke | Region | Change | Imported]] = {
    cls.kind: cls for cls in (Stroke, Region, Change, Imported)
}


def draw(acts: Iterable[Act], image: Image.Image, size: tuple[int, int] | None = None) -> Mask:
    """Draw acts, in their order, into an empty mask.

    Args:
        acts: What was done.
        image: The picture that it was done on.
        size: (width, height) of the mask; the image's own where None.

    Returns:
        uint8 (H, W), 255 = repaint, 0 = keep, between them the strength that was painted.
    """
    width, height = size or image.size
    scale = (width / image.width, height / image.height)
    mask = np.zeros((height, width), np.uint8)
    for act in acts:
        mask = act.apply(mask, image, scale)
    return mask


def acts_to_json(acts: Sequence[Act]) -> list[dict[str, Any]]:
    """Return acts as plain JSON values; full strength is left out."""
    return [{"kind": act.kind, **_lists(_told(act))} for act in acts]


def acts_from_json(values: Iterable[Mapping[str, Any]]) -> tuple[Act, ...]:
    """Read acts back.

    Raises:
        InvalidMask: An act is unknown or holds a value that is not allowed.
    """
    acts: list[Act] = []
    for value in values:
        fields = dict(value)
        kind = fields.pop("kind", None)
        if kind not in _KINDS:
            raise InvalidMask(f"kind={kind!r} is unknown; allowed: {', '.join(_KINDS)}")
        try:
            acts.append(_KINDS[kind](**{n: _tuples(v) for n, v in fields.items()}))
        except TypeError as error:
            raise InvalidMask(f"{kind} cannot be read: {error}") from error
    return tuple(acts)


def _told(act: Act) -> dict[str, Any]:
    return {name: value for name, value in dataclasses.asdict(act).items() if (name, value) != ("strength", 1.0)}


def _lists(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _lists(inner) for name, inner in value.items()}
    return [_lists(inner) for inner in value] if isinstance(value, tuple) else value


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, (list, tuple)) else value


def _fixed(points: NDArray[np.float64]) -> NDArray[np.int32]:
    """Continuous coordinates as OpenCV's fixed-point ones, in which a pixel's centre is a whole number."""
    return np.rint((points - 0.5) * (1 << _SHIFT)).astype(np.int32)


def level(strength: float) -> int:
    """Return the mask's value for a strength of 0 to 1: uint8, 255 for all of it."""
    return round(255 * strength)


def _check_strength(strength: float) -> None:
    if not 0.01 <= strength <= 1:
        raise InvalidMask(f"strength={strength!r} is out of bounds; allowed: 0.01 to 1")


def _paint_of(act: Stroke | Region) -> int:
    return 0 if act.erase else level(act.strength)


def _draw_brush(mask: Mask, stroke: Stroke, points: NDArray[np.float64], scale: float) -> None:
    """Discs at the points, and between two discs the hull that joins them."""
    radii = stroke.radius * scale * np.asarray(stroke.pressure or np.ones(len(points)))
    radii = np.maximum(radii, 0.5)
    colour = _paint_of(stroke)
    for (x, y), radius in zip(_fixed(points), radii, strict=True):
        cv2.circle(mask, (int(x), int(y)), round(radius * (1 << _SHIFT)), colour, cv2.FILLED, cv2.LINE_8, _SHIFT)
    for i in range(len(points) - 1):
        step = points[i + 1] - points[i]
        length = float(np.hypot(*step))
        if length:
            across = np.array([-step[1], step[0]]) / length
            a, b = across * radii[i], across * radii[i + 1]
            corners = np.array([points[i] + a, points[i + 1] + b, points[i + 1] - b, points[i] - a])
            cv2.fillConvexPoly(mask, _fixed(corners), colour, cv2.LINE_8, _SHIFT)


def _draw_line(mask: Mask, stroke: Stroke, points: NDArray[np.float64], scale: float) -> None:
    _draw_brush(mask, stroke, points[[0, -1]], scale)


def _draw_rectangle(mask: Mask, stroke: Stroke, points: NDArray[np.float64], scale: float) -> None:
    """Every pixel whose centre lies inside; at least one pixel wide."""
    low, high = np.floor(points.min(0) + 0.5).astype(int), np.floor(points.max(0) + 0.5).astype(int)
    high = np.maximum(high, low + 1)
    low = np.maximum(low, 0)
    mask[low[1] : max(high[1], 0), low[0] : max(high[0], 0)] = _paint_of(stroke)


def _draw_ellipse(mask: Mask, stroke: Stroke, points: NDArray[np.float64], scale: float) -> None:
    """Every pixel whose centre lies inside the ellipse of the box."""
    low, high = points.min(0), points.max(0)
    centre, half = (low + high) / 2, np.maximum((high - low) / 2, 0.5)
    y0, y1 = max(0, int(np.floor(low[1]))), min(mask.shape[0], int(np.ceil(high[1])))
    x0, x1 = max(0, int(np.floor(low[0]))), min(mask.shape[1], int(np.ceil(high[0])))
    if y0 >= y1 or x0 >= x1:
        return
    y, x = np.ogrid[y0:y1, x0:x1]
    inside = ((x + 0.5 - centre[0]) / half[0]) ** 2 + ((y + 0.5 - centre[1]) / half[1]) ** 2 <= 1
    mask[y0:y1, x0:x1][inside] = _paint_of(stroke)


def _draw_lasso(mask: Mask, stroke: Stroke, points: NDArray[np.float64], scale: float) -> None:
    cv2.fillPoly(mask, [_fixed(points)], _paint_of(stroke), cv2.LINE_8, _SHIFT)


_DRAW = {
    "brush": _draw_brush,
    "line": _draw_line,
    "rectangle": _draw_rectangle,
    "ellipse": _draw_ellipse,
    "lasso": _draw_lasso,
}
