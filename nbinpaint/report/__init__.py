"""Show, on paper: pictures made from a finished study."""

from .contact_sheet import contact_sheet
from .study_sheet import study_sheet

__all__ = ["contact_sheet", "study_sheet"]
