"""What a script can do to a mask: each tool of the canvas as a method that paints the same pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..strokes import Act, Change, Region, Stroke
from .ink import Settings

__all__ = ["Acts"]


class Acts(Settings):
    """The methods that paint; mixed into the canvas, whose settings are taken for what is not said."""

    def _do(self, act: Act) -> None:
        """Carry an act out and show it."""
        raise NotImplementedError

    def _strength(self, strength: float | None) -> float:
        return float(self.strength if strength is None else strength)

    def stroke(
        self,
        points: Sequence[Sequence[float]],
        radius: float | None = None,
        *,
        erase: bool = False,
        shape: str = "brush",
        pressure: Sequence[float] = (),
        strength: float | None = None,
    ) -> None:
        """Paint a stroke.

        Args:
            points: (x, y) in image pixels; pixel (0, 0) covers 0 to 1.
            radius: In image pixels; the canvas's own where None.
            erase: Take away instead of adding.
            shape: "brush", "line", "rectangle", "ellipse" (two opposite corners) or "lasso".
            pressure: 0 to 1 for each point; full where empty.
            strength: 0.01 to 1, painted whatever was there before; the canvas's own where None.

        Raises:
            InvalidMask: A value is not allowed; the message says which.
        """
        size = self.radius if radius is None else radius
        xy: Any = tuple(map(tuple, points))
        self._do(Stroke(xy, size, shape, erase, tuple(pressure), self._strength(strength)))

    def line(
        self,
        start: Sequence[float],
        end: Sequence[float],
        radius: float | None = None,
        *,
        strength: float | None = None,
    ) -> None:
        """Paint a straight line with round ends."""
        self.stroke([start, end], radius, shape="line", strength=strength)

    def rectangle(
        self, x0: float, y0: float, x1: float, y1: float, *, erase: bool = False, strength: float | None = None
    ) -> None:
        """Paint a rectangle, corners in image pixels."""
        self.stroke([(x0, y0), (x1, y1)], erase=erase, shape="rectangle", strength=strength)

    def ellipse(
        self, x0: float, y0: float, x1: float, y1: float, *, erase: bool = False, strength: float | None = None
    ) -> None:
        """Paint the ellipse that fills a box, corners in image pixels."""
        self.stroke([(x0, y0), (x1, y1)], erase=erase, shape="ellipse", strength=strength)

    def lasso(self, points: Sequence[Sequence[float]], *, erase: bool = False, strength: float | None = None) -> None:
        """Paint everything inside a closed outline."""
        self.stroke(points, erase=erase, shape="lasso", strength=strength)

    def bucket(self, x: float, y: float, *, erase: bool = False, strength: float | None = None) -> None:
        """Fill the part of the mask's plane that is connected to a point: the inside of a painted ring."""
        self._do(Region((x, y), "fill", self.tolerance, erase, self._strength(strength)))

    def wand(
        self,
        x: float,
        y: float,
        tolerance: float | None = None,
        *,
        erase: bool = False,
        strength: float | None = None,
    ) -> None:
        """Paint all connected pixels of like colour.

        Args:
            x: In image pixels.
            y: In image pixels.
            tolerance: How far R, G and B may each be from the point's, 0 to 255; the canvas's own where None.
            erase: Take away instead of adding.
            strength: 0.01 to 1; the canvas's own where None.
        """
        reach = self.tolerance if tolerance is None else tolerance
        self._do(Region((x, y), "wand", reach, erase, self._strength(strength)))

    def grow(self, pixels: int | None = None) -> None:
        """Grow the mask all around, in image pixels."""
        self._do(Change("grow", self.pixels if pixels is None else pixels))

    def shrink(self, pixels: int | None = None) -> None:
        """Shrink the mask all around, in image pixels."""
        self._do(Change("shrink", self.pixels if pixels is None else pixels))

    def invert(self) -> None:
        """Swap what is repainted and what is kept."""
        self._do(Change("invert"))

    def clear(self) -> None:
        """Paint nothing; undo brings it back."""
        self._do(Change("clear"))

    def fill(self, strength: float | None = None) -> None:
        """Paint everything, at the canvas's own strength where None."""
        self._do(Change("fill", strength=self._strength(strength)))
