"""The page's side of the widgets: plain JavaScript and CSS files that are put together as they are read, not built."""

from __future__ import annotations

from pathlib import Path

__all__ = ["script", "style"]

_STATIC = Path(__file__).parent / "static"


def script(name: str) -> str:
    """Return a widget's module, with what all of them are made with before it."""
    return _read("dom.js") + _read(f"{name}.js")


def style(name: str) -> str:
    """Return a widget's style sheet, with what all of them look like before it."""
    return _read("theme.css") + _read(f"{name}.css")


def _read(name: str) -> str:
    return (_STATIC / name).read_text("utf-8")
