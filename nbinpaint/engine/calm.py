"""Quiet loading: the libraries below have their own bars and log lines, and a person needs one bar."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import diffusers.utils.logging as diffusers_logging
import huggingface_hub.utils.logging as hub_logging
import transformers.utils.logging as transformers_logging
from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
from tqdm.auto import tqdm

__all__ = ["LoadingBar", "calm"]

BAR_AFTER = 0.5
"""Seconds before a bar shows: what is quicker needs none."""

_LOGS: tuple[Any, ...] = (diffusers_logging, transformers_logging, hub_logging)
_BARS: tuple[Any, ...] = (diffusers_logging, transformers_logging)
# Above errors: what goes wrong is raised, in words that say what to do.
_SILENT = 50


class _Calm:
    """The switches, which are those of whole libraries: the first who loads turns them, the last turns them back."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._undo: list[Callable[[], object]] = []

    def enter(self, progress: bool) -> None:
        with self._lock:
            self._users += 1
            if self._users > 1:
                return
            self._undo = [partial(log.set_verbosity, log.get_verbosity()) for log in _LOGS]
            self._undo += [log.enable_progress_bar for log in _BARS if log.is_progress_bar_enabled()]
            for log in _LOGS:
                log.set_verbosity(_SILENT)
            for log in _BARS:
                log.disable_progress_bar()
            if not progress and not are_progress_bars_disabled():
                self._undo.append(enable_progress_bars)
                disable_progress_bars()

    def leave(self) -> None:
        with self._lock:
            self._users -= 1
            while not self._users and self._undo:
                self._undo.pop()()


_calm = _Calm()


@contextmanager
def calm(progress: bool) -> Iterator[None]:
    """Silence diffusers, transformers and the hub's client while a model is loaded.

    Args:
        progress: True leaves the bars of downloads as they are.
    """
    _calm.enter(progress)
    try:
        yield
    finally:
        _calm.leave()


class LoadingBar:
    """One bar over the parts of a model; it goes when the model is there.

    Args:
        name: What people call the model.
        parts: How many parts there are to load.
        progress: False shows nothing.
    """

    def __init__(self, name: str, parts: int, progress: bool) -> None:
        self._bar = tqdm(
            total=parts, desc=f"loading {name}", unit="part", leave=False, delay=BAR_AFTER, disable=not progress
        )

    def __enter__(self) -> LoadingBar:
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.close()

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Name the part that is loaded inside, and count it afterwards."""
        self._bar.set_postfix_str(name)
        yield
        self._bar.update()
