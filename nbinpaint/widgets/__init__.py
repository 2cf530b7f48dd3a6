"""What people see and touch in a notebook; nothing here computes a picture."""

from .canvas import MaskCanvas
from .grid import ComparisonGrid
from .panel import ParameterPanel
from .studio import Studio

__all__ = ["ComparisonGrid", "MaskCanvas", "ParameterPanel", "Studio"]
