"""Painting without the ink layer: plain ipycanvas events, for pages in which anywidget does not load.

Slower, since each movement is a message, but no mask is lost: the points of a stroke are joined by lines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ipywidgets
import traitlets

from .overlay import Overlay, drawing

if TYPE_CHECKING:
    from .canvas import MaskCanvas

__all__ = ["PlainPen"]


class PlainPen:
    """Turns an overlay's mouse and touch events into strokes, and offers the plainest tools.

    Args:
        canvas: Whose mask is painted.
        why: The sentence that says why drawing is plain.

    Attributes:
        tools: A row of controls.
        line: The sentence.
    """

    def __init__(self, canvas: MaskCanvas, why: str) -> None:
        self._canvas = canvas
        self._points: list[tuple[float, float]] = []
        self._overlay: Overlay | None = None
        tool = ipywidgets.ToggleButtons(
            options=["brush", "eraser", "line", "rectangle", "ellipse", "lasso"], value="brush"
        )
        tool.style.button_width = "auto"
        radius = ipywidgets.FloatSlider(canvas.radius, min=0.5, max=128, step=0.5, description="Radius")
        traitlets.link((canvas, "radius"), (radius, "value"))
        strength = ipywidgets.FloatSlider(canvas.strength, min=0.01, max=1, step=0.01, description="Strength")
        traitlets.link((canvas, "strength"), (strength, "value"))
        buttons = [self._button(name) for name in ("undo", "redo", "invert", "clear")]
        self._tool = tool
        self.tools = ipywidgets.HBox([tool, radius, strength, *buttons], layout={"flex_flow": "row wrap"})
        self.tools.add_class("nb-plain-tools")
        self.line = ipywidgets.Label(why)
        self.line.add_class("nb-plain-line")

    def _button(self, name: str) -> ipywidgets.Button:
        button = ipywidgets.Button(description=name.capitalize(), layout={"width": "auto"})
        button.add_class(f"nb-{name}")
        button.on_click(lambda _: getattr(self._canvas, name)())
        return button

    def watch(self, overlay: Overlay) -> None:
        """Take the events of this overlay."""
        self._overlay = overlay
        overlay.canvas.add_class("nb-ink")
        overlay.canvas.on_mouse_down(self._down)
        overlay.canvas.on_mouse_move(self._move)
        overlay.canvas.on_mouse_up(self._up)
        overlay.canvas.on_mouse_out(self._up)
        overlay.canvas.on_touch_start(lambda touches: self._down(*touches[0]))
        overlay.canvas.on_touch_move(lambda touches: self._move(*touches[0]))
        overlay.canvas.on_touch_end(lambda touches: self._up())

    def _at(self, x: float, y: float) -> tuple[float, float]:
        assert self._overlay is not None
        return x / self._overlay.scale, y / self._overlay.scale

    def _down(self, x: float, y: float) -> None:
        self._points = [self._at(x, y)]

    def _move(self, x: float, y: float) -> None:
        if not self._points or self._overlay is None:
            return
        self._points.append(self._at(x, y))
        shape = self._tool.value
        if shape in ("brush", "eraser"):
            overlay = self._overlay
            (x0, y0), (x1, y1) = ([v * overlay.scale for v in point] for point in self._points[-2:])
            with drawing():
                overlay.canvas.stroke_style = overlay.colour if shape == "brush" else "#ffffff"
                overlay.canvas.line_cap = "round"
                overlay.canvas.line_width = 2 * self._canvas.radius * overlay.scale
                overlay.canvas.stroke_line(x0, y0, x1, y1)

    def _up(self, *_: Any) -> None:
        points, self._points = self._points, []
        if points:
            shape = self._tool.value
            erase = shape == "eraser"
            self._canvas.stroke(points, erase=erase, shape="brush" if erase else shape)
