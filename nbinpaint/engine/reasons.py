"""What the errors of the libraries below mean for a person who loads a model."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from typing import Any

from safetensors import SafetensorError

__all__ = ["explain"]

_PACKAGE = re.compile(
    r"requires the (?:\w+ )?`?([\w-]+)`? library|No module named '([\w-]+)|(?:install|have) `?(\w+)`?"
)
_DAMAGE = (SafetensorError, pickle.UnpicklingError, EOFError, UnicodeDecodeError)


def _package(error: Exception) -> str:
    match = _PACKAGE.search(str(error))
    name = next((group for group in match.groups() if group), None) if match else None
    return f"it needs a package that is missing: pip install {name}" if name else f"a package is missing: {error}"


_REASONS: tuple[tuple[Callable[[Exception], Any], Callable[[Exception], str]], ...] = (
    (
        lambda error: isinstance(error, ImportError) or "sentencepiece" in str(error) or "tiktoken" in str(error),
        _package,
    ),
    (
        lambda error: isinstance(error, _DAMAGE) or "PytorchStreamReader" in str(error),
        lambda error: f"a file is damaged ({_short(error)}); delete it and download or save it again",
    ),
    (
        lambda error: "size mismatch" in str(error) or "shape" in str(error),
        lambda error: f"its weights do not fit its configuration ({_short(error)}); download or save it again",
    ),
    (
        lambda error: isinstance(error, OSError),
        lambda error: f"a file is missing or unreadable ({_short(error)}); download or save it again",
    ),
)


def explain(error: Exception) -> str:
    """Return what went wrong and what to do, in a sentence."""
    for fits, say in _REASONS:
        if fits(error):
            return say(error)
    return f"{type(error).__name__}: {_short(error)}"


def _short(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:300].rstrip(". ")
