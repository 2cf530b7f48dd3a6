"""The one seam between planning and showing: `Engine.run` takes grid cells and yields what happens to them.

Nothing here needs torch; an engine of one's own is a class with these members.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from ..params import Params
from ..result import Failure, Result
from ..schedulers import ALL_SCHEDULERS
from ..sweep import GridCell

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["Cancel", "Engine", "Event", "Failed", "Finished", "Plan", "Started", "Stepped", "schedulers_of"]


@dataclass(frozen=True)
class Plan:
    """What a recipe means for one engine, known before anything runs.

    Attributes:
        params: The recipe with the engine's own size where it named none.
        steps_run: Denoising steps that will be run.
        evaluations: Calls of the denoising network.
        sigma_start: Noise level at the start; 0 where no step is run.
    """

    params: Params
    steps_run: int
    evaluations: int
    sigma_start: float


@dataclass(frozen=True, eq=False)
class Started:
    """A grid cell joined the batch."""

    cell: GridCell


@dataclass(frozen=True, eq=False)
class Stepped:
    """A grid cell finished evaluation `done` of `total`.

    Attributes:
        preview: Makes a small RGB picture of what it is becoming; None in most steps, which keeps it cheap.
    """

    cell: GridCell
    done: int
    total: int
    preview: Callable[[], Image.Image] | None = None


@dataclass(frozen=True, eq=False)
class Finished:
    """A grid cell has its result."""

    cell: GridCell
    result: Result


@dataclass(frozen=True, eq=False)
class Failed:
    """A grid cell ended without a picture; the others go on."""

    cell: GridCell
    failure: Failure


Event = Started | Stepped | Finished | Failed


class Cancel:
    """The one signal that flows against the data: set by whoever shows, read by the engine between steps."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        """Ask the engine to stop after the present step."""
        self._event.set()

    def __bool__(self) -> bool:
        return self._event.is_set()


@runtime_checkable
class Engine(Protocol):
    """What computes grid cells."""

    @property
    def name(self) -> str:
        """What people call the model."""
        ...

    @property
    def fingerprint(self) -> str:
        """Names the weights and the number format: the same fingerprint and recipe give the same picture."""
        ...

    @property
    def native_size(self) -> tuple[int, int]:
        """Width and height that the model was made for."""
        ...

    def plan(self, params: Params) -> Plan:
        """Say what a recipe means here.

        Raises:
            InvalidParams: This engine cannot use the recipe; the message says why.
        """
        ...

    def run(self, cells: Sequence[GridCell], cancel: Cancel | None = None) -> Iterator[Event]:
        """Compute the cells in an order of the engine's own choice and yield events as they come.

        Every cell ends in one `Finished` or `Failed`, except those still open when `cancel` is set.
        """
        ...


def schedulers_of(engine: Engine | None) -> tuple[str, ...]:
    """Return the schedulers that an engine says it can run; where it says nothing, all but those for flow matching."""
    told: tuple[str, ...] = getattr(engine, "schedulers", ALL_SCHEDULERS)
    return told
