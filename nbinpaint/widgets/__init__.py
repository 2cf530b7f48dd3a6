"""What people see and touch in a notebook; nothing here computes a picture."""

from .canvas import MaskCanvas

__all__ = ["MaskCanvas"]
