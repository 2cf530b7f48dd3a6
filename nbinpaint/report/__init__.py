"""Show, on paper: pictures made from a finished study."""

from .sheets import contact_sheet
from .studies import study_sheet

__all__ = ["contact_sheet", "study_sheet"]
