"""Which grid cells sit in the next network call, and how many rows a call should hold: arithmetic alone, no torch.

A grid cell needs the network some number of times, and each time one row or two. Any of them can sit out a call, which
makes this a textbook case of scheduling with preemption: a sweep never needs more calls than its longest grid cell or
than its rows divided by the room, whichever is more (McNaughton 1959), as long as those that have no call to spare are
always seated. All other seats are free to go to whoever can be finished soonest, so that somebody sees a picture soon.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

__all__ = ["CallTimes", "Seats", "Work", "calls", "choose_rows", "duration"]

Key = TypeVar("Key", bound=Hashable)
_GOOD_ENOUGH = 1.01
"""Of row counts whose predicted times lie this close together the smallest is taken: it answers sooner."""


class Work(NamedTuple):
    """What one grid cell asks of the network.

    Attributes:
        evaluations: Network calls it takes part in; at least one.
        rows: Rows it needs in each: two with guidance, one without.
    """

    evaluations: int
    rows: int


@dataclass
class _Open(Generic[Key]):
    key: Key
    left: int
    rows: int


class Seats(Generic[Key]):
    """Seats open grid cells call by call until all have had their evaluations.

    Args:
        works: What each asks of the network; where two are alike, the first comes first.
    """

    def __init__(self, works: Mapping[Key, Work]) -> None:
        self._total = sum(work.evaluations * work.rows for work in works.values())
        self._started: list[_Open[Key]] = []
        # By rows, so that a seat left over beside wide ones is found a narrow one without a search.
        self._waiting: dict[int, deque[_Open[Key]]] = {}
        for key, work in sorted(works.items(), key=lambda item: item[1].evaluations):
            self._waiting.setdefault(work.rows, deque()).append(_Open(key, work.evaluations, work.rows))

    def __bool__(self) -> bool:
        return bool(self._started) or any(self._waiting.values())

    @property
    def waiting(self) -> bool:
        """Whether some have not been seated yet."""
        return any(self._waiting.values())

    def drop(self, key: Key) -> None:
        """Forget one that was seated and failed; one that has ended is forgotten already."""
        for one in self._started:
            if one.key == key:
                self._total -= one.left * one.rows
                self._started.remove(one)
                return

    def seat(self, room: int) -> list[Key]:
        """Return who takes part in the next call, and count it as done for them.

        Args:
            room: Rows of the call; one that is wider than that is seated alone.
        """
        longest = max(one.left for one in (*self._started, *(queue[-1] for queue in self._waiting.values() if queue)))
        spare = max(longest, -(-self._total // room))
        seated: list[_Open[Key]] = []
        free = room

        def take(one: _Open[Key]) -> None:
            nonlocal free
            seated.append(one)
            free -= one.rows

        for one in self._started:
            if one.left == spare and one.rows <= free:
                take(one)
        for queue in self._waiting.values():
            while queue and queue[-1].left == spare and queue[-1].rows <= free:
                # The first of those with as much left, so that equals go in their order.
                take(_pop_first_like_last(queue))
        urgent = {id(one) for one in seated}
        for one in sorted(self._started, key=lambda one: one.left):
            if id(one) not in urgent and (one.rows <= free or not seated):
                take(one)
        while queues := [q for q in self._waiting.values() if q and (q[0].rows <= free or not seated)]:
            take(min(queues, key=lambda q: q[0].left).popleft())

        before = {id(one) for one in self._started}
        self._started += [one for one in seated if id(one) not in before]
        for one in seated:
            one.left -= 1
            self._total -= one.rows
        self._started = [one for one in self._started if one.left]
        return [one.key for one in seated]


def _pop_first_like_last(queue: deque[_Open[Key]]) -> _Open[Key]:
    place = len(queue) - 1
    while place and queue[place - 1].left == queue[-1].left:
        place -= 1
    one = queue[place]
    del queue[place]
    return one


def calls(works: Sequence[Work], room: int) -> Iterator[int]:
    """Yield the rows of each network call of a run."""
    seats = Seats(dict(enumerate(works)))
    while seats:
        yield sum(works[index].rows for index in seats.seat(room))


class CallTimes:
    """Seconds of one network call by its rows, from measurements.

    Args:
        measured: Seconds by rows; at least one.
        fixed: Whether calls are padded to the measured row counts, so that nothing lies between.
    """

    def __init__(self, measured: Mapping[int, float], fixed: bool = False) -> None:
        self._rows = sorted(measured)
        self._seconds = [measured[rows] for rows in self._rows]
        self._fixed = fixed

    @property
    def most(self) -> int:
        """The most rows that were measured."""
        return self._rows[-1]

    def candidates(self, multiple: int, most: int) -> list[int]:
        """Return the row counts worth a thought: multiples, up to the most that was measured or can be used."""
        if self._fixed:
            useful = bisect_left(self._rows, most) + 1
            return [rows for rows in self._rows[:useful] if rows >= multiple] or [multiple]
        return list(range(multiple, min(self.most, most) + 1, multiple)) or [multiple]

    def seconds(self, rows: int) -> float:
        """Return the seconds of a call: between two measurements on a line, beyond the last in proportion."""
        place = bisect_left(self._rows, rows)
        if place == len(self._rows):
            return self._seconds[-1] * rows / self._rows[-1]
        if place == 0 or self._fixed:
            return self._seconds[place]
        low, high = self._rows[place - 1], self._rows[place]
        part = (rows - low) / (high - low)
        return (1 - part) * self._seconds[place - 1] + part * self._seconds[place]


def duration(works: Sequence[Work], room: int, times: CallTimes) -> float:
    """Predict the seconds that the network needs for a run with this many rows a call."""
    total = sum(work.evaluations * work.rows for work in works)
    full, rest = divmod(total, room)
    longest = max((work.evaluations for work in works), default=0)
    if len({work.rows for work in works}) == 1 and room % works[0].rows == 0 and full >= longest:
        # Every call but the last is full: no need to go through thousands of them.
        return full * times.seconds(room) + (times.seconds(rest) if rest else 0.0)
    return sum(times.seconds(rows) for rows in calls(works, room))


def choose_rows(works: Sequence[Work], times: CallTimes) -> int:
    """Return the rows a call should hold for the shortest run; the fewest of those about as short."""
    widest = max(work.rows for work in works)
    predicted = {
        room: duration(works, room, times)
        for room in times.candidates(widest, sum(work.rows for work in works))
    }  # fmt: skip
    shortest = min(predicted.values())
    return min(room for room, seconds in predicted.items() if seconds <= _GOOD_ENOUGH * shortest)
