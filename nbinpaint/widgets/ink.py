"""The ink layer: takes the pointer and the keys, draws at once in the page, and tells the kernel what was done.

What it looks like and does stands in static/ink.js; here is what both sides know.
"""

from __future__ import annotations

import re
from typing import Any

import anywidget
import traitlets

from .overlay import SHADES
from .page import script

__all__ = ["TOOLS", "InkLayer", "Settings"]

TOOLS = ("brush", "eraser", "line", "rectangle", "ellipse", "lasso", "fill", "wand")
MOST_RADIUS = 512.0


class Settings(traitlets.HasTraits):
    """What a person sets while painting; traits to `observe` and `link`.

    Attributes:
        tool: "brush", "eraser", "line", "rectangle", "ellipse", "lasso", "fill" or "wand".
        radius: Of brush, eraser and line, in image pixels.
        strength: What tools paint, 0.01 to 1, whatever was there before: grey in the mask.
        tolerance: Of the wand: how far R, G and B may each be from the colour clicked, 0 to 255.
        pixels: How far one press of grow or shrink goes, in image pixels.
        use_pressure: Whether a pen's pressure makes the brush smaller.
        colour: Of the overlay, #rrggbb.
        opacity: Of the overlay, 0.1 to 1: a mask that is active cannot be made invisible, only hidden while H is held.
        outline: Show only the mask's edge.
        feather: Show the true blend weight, which `mask_blur` makes.
        mask_blur: Sigma of the feathered edge in image pixels.
        mask_hidden: Hide the mask for the moment.
    """

    tool = traitlets.Enum(TOOLS, "brush").tag(sync=True)
    radius = traitlets.Float(12.0, min=0.5, max=MOST_RADIUS).tag(sync=True)
    strength = traitlets.Float(1.0, min=0.01, max=1).tag(sync=True)
    tolerance = traitlets.Float(32.0, min=0, max=255).tag(sync=True)
    pixels = traitlets.Int(4, min=1, max=256).tag(sync=True)
    use_pressure = traitlets.Bool(True).tag(sync=True)
    colour = traitlets.Unicode("#ff2d78").tag(sync=True)
    opacity = traitlets.Float(0.55, min=0.1, max=1).tag(sync=True)
    outline = traitlets.Bool(False).tag(sync=True)
    feather = traitlets.Bool(False).tag(sync=True)
    mask_blur = traitlets.Float(4.0, min=0, max=64).tag(sync=True)
    mask_hidden = traitlets.Bool(False).tag(sync=True)

    @traitlets.validate("colour")
    def _check_colour(self, proposal: Any) -> str:
        value: str = proposal.value
        if not re.fullmatch(r"#([0-9a-fA-F]{3}|[0-9a-fA-F]{6})", value):
            raise traitlets.TraitError(f"colour={value!r} is no colour; allowed: #rgb or #rrggbb")
        return value


SETTINGS = tuple(Settings.class_own_traits())


class InkLayer(Settings, anywidget.AnyWidget):
    """The layer that takes the pointer.

    Attributes:
        image_size: [width, height] of the picture.
        share: Painted part of the picture, 0 to 1.
        strengths: The least and the greatest strength that is painted, 0 to 1; empty where the mask has no grey.
        shades: How opaque each level of strength is shown, the same number of levels between 0 and 1.
        crop: [x0, y0, x1, y1] of a dashed frame, in image pixels; empty for none.
        remark: A calm sentence about the mask, empty for none.
        can_undo: Whether undo would do something.
        can_redo: Whether redo would do something.
        message: A sentence for the person who paints, empty for none.
        zoom: Screen pixels per image pixel, as the page last told.
        description: What a screen reader calls the canvas.
    """

    _esm = script("tools", "ink")

    image_size = traitlets.List(traitlets.Int(), [1, 1]).tag(sync=True)
    share = traitlets.Float(0.0).tag(sync=True)
    strengths = traitlets.List(traitlets.Float()).tag(sync=True)
    shades = traitlets.List(traitlets.Float(), list(SHADES)).tag(sync=True)
    crop = traitlets.List(traitlets.Int()).tag(sync=True)
    remark = traitlets.Unicode("").tag(sync=True)
    can_undo = traitlets.Bool(False).tag(sync=True)
    can_redo = traitlets.Bool(False).tag(sync=True)
    message = traitlets.Unicode("").tag(sync=True)
    zoom = traitlets.Float(1.0).tag(sync=True)
    description = traitlets.Unicode("").tag(sync=True)
