"""The page's side of the widgets: plain JavaScript and CSS files that are put together as they are read, not built."""

from __future__ import annotations

from pathlib import Path

__all__ = ["script", "style"]

_STATIC = Path(__file__).parent / "static"


def script(*names: str) -> str:
    """Return a widget's module, put together from its files, with what all of them are made with before it."""
    return "".join(_read(f"{name}.js") for name in ("dom", *names))


def style(name: str) -> str:
    """Return a widget's style sheet, with what all of them look like before it."""
    return _read("theme.css") + _read(f"{name}.css")


def _read(name: str) -> str:
    return (_STATIC / name).read_text("utf-8")
