"""Every error that nbinpaint raises on purpose.

    NbInpaintError
    ├── InvalidParams   (also ValueError)   a recipe or an axis that cannot be used
    ├── InvalidImage    (also ValueError)   a picture that cannot be read
    ├── InvalidMask     (also ValueError)   a mask that is empty, unreadable or of the wrong size
    └── ModelError                          a model that cannot be found, loaded or used

Messages name the field, the value and what is allowed.
"""

from __future__ import annotations

__all__ = ["InvalidImage", "InvalidMask", "InvalidParams", "ModelError", "NbInpaintError"]


class NbInpaintError(Exception):
    """The base of all errors below."""


class InvalidParams(NbInpaintError, ValueError):
    """A recipe or an axis holds a value that is not allowed."""


class InvalidImage(NbInpaintError, ValueError):
    """A picture cannot be read or is not allowed."""


class InvalidMask(NbInpaintError, ValueError):
    """A mask is empty, unreadable or of another size than its image."""


class ModelError(NbInpaintError):
    """A model cannot be found, loaded or used."""
