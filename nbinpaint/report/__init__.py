"""Show, on paper: sheets, figures and pages made from a finished study."""

from .pages import study_figure, study_html
from .sheets import contact_sheet
from .studies import study_sheet

__all__ = ["contact_sheet", "study_figure", "study_html", "study_sheet"]
