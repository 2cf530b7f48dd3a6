"""Quiet loading: the libraries below have their own bars and log lines, and a person needs one bar."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import diffusers.utils.logging as diffusers_logging
import huggingface_hub.utils.logging as hub_logging
import transformers.utils.logging as transformers_logging
from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
from tqdm.auto import tqdm

__all__ = ["LoadingBar", "calm"]

BAR_AFTER = 0.5
"""Seconds before a bar shows: what is quicker needs none."""

# What follows switches settings of whole libraries, so one thread at a time.
_lock = threading.RLock()
_LOGS: tuple[Any, ...] = (diffusers_logging, transformers_logging, hub_logging)
_BARS: tuple[Any, ...] = (diffusers_logging, transformers_logging)


@contextmanager
def calm(progress: bool) -> Iterator[None]:
    """Silence diffusers, transformers and the hub's client while a model is loaded.

    Args:
        progress: True leaves the bars of downloads as they are.
    """
    with _lock:
        levels = [log.get_verbosity() for log in _LOGS]
        bars = [log.is_progress_bar_enabled() for log in _BARS]
        downloads = not are_progress_bars_disabled()
        try:
            for log in _LOGS:
                # Above errors: what goes wrong is raised, in words that say what to do.
                log.set_verbosity(50)
            for log in _BARS:
                log.disable_progress_bar()
            if downloads and not progress:
                disable_progress_bars()
            yield
        finally:
            for log, level in zip(_LOGS, levels, strict=True):
                log.set_verbosity(level)
            for log, shown in zip(_BARS, bars, strict=True):
                if shown:
                    log.enable_progress_bar()
            if downloads and not progress:
                enable_progress_bars()


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
