"""Turn a call that reports through a callback into an iterator of its reports."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator
from typing import Any, TypeVar

import torch

__all__ = ["reports"]

_Report = TypeVar("_Report")
_Value = TypeVar("_Value")


class _Abandoned(BaseException):
    """Nobody listens any more; no pipeline may catch it."""


def reports(work: Callable[[Callable[[_Report], None]], _Value]) -> Generator[_Report, None, _Value]:
    """Yield what `work` reports as it comes, and return what it returns.

    It runs in a thread of its own, which waits at each report until the next one is asked for: whoever iterates is
    never run ahead of, and closing the iterator ends the work at its present report.

    Args:
        work: Called with a function that takes one report.

    Raises:
        Exception: Whatever `work` raises.
    """
    sent: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
    asked = threading.Semaphore(0)
    abandoned = threading.Event()
    threads = torch.get_num_threads()

    def report(what: _Report) -> None:
        sent.put(("report", what))
        asked.acquire()
        if abandoned.is_set():
            raise _Abandoned

    def body() -> None:
        torch.set_num_threads(threads)
        try:
            sent.put(("value", work(report)))
        except BaseException as error:
            sent.put(("error", error))

    worker = threading.Thread(target=body, name="nbinpaint-pipeline", daemon=True)
    worker.start()
    try:
        while True:
            kind, what = sent.get()
            if kind == "error":
                raise what
            if kind == "value":
                value: _Value = what
                return value
            yield what
            asked.release()
    finally:
        abandoned.set()
        asked.release()
        worker.join()
