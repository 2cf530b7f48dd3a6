"""Who sits in which network call: nobody is lost, no call is wasted, and the row count follows from measured times."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbinpaint.engine.rows import CallTimes, Seats, Work, calls, choose_rows, duration
from nbinpaint.engine.tempo import BUDGET, COUNTS, measure
from nbinpaint.remembered import Remembered

works = st.lists(st.builds(Work, st.integers(1, 30), st.integers(1, 2)), min_size=1, max_size=40)
alike = st.lists(st.builds(Work, st.integers(1, 30), st.just(2)), min_size=1, max_size=40)
FLAT = CallTimes({2: 1.0, 64: 1.0})
PROPORTIONAL = CallTimes({2: 2.0, 64: 64.0})


def run(given_works: list[Work], room: int) -> list[list[int]]:
    """Who took part in each call."""
    seats = Seats(dict(enumerate(given_works)))
    seated = []
    while seats:
        seated.append(seats.seat(room))
    return seated


@given(works, st.integers(1, 33))
def test_every_cell_gets_its_evaluations_and_no_call_is_too_wide(cells: list[Work], room: int) -> None:
    seated = run(cells, room)
    assert Counter(key for call in seated for key in call) == {i: w.evaluations for i, w in enumerate(cells)}
    for call in seated:
        assert len(set(call)) == len(call)
        assert len(call) == 1 or sum(cells[key].rows for key in call) <= room


@given(alike, st.integers(1, 16))
def test_no_run_is_longer_than_it_must_be(cells: list[Work], slots: int) -> None:
    shortest = max(max(w.evaluations for w in cells), math.ceil(sum(w.evaluations for w in cells) / slots))
    assert len(run(cells, 2 * slots)) == shortest


@given(works, st.integers(2, 33))
def test_rows_of_two_kinds_waste_little(cells: list[Work], room: int) -> None:
    total = sum(w.evaluations * w.rows for w in cells)
    # A single seat can stay empty beside wide ones; what is left over at the end is less than the longest.
    assert len(run(cells, room)) <= total / (room - 1) + max(w.evaluations for w in cells)


@pytest.mark.parametrize("guided", [True, False])
@pytest.mark.parametrize("slots", [4, 8, 10, 16])
@given(data=st.data())
@settings(max_examples=30)
def test_mixed_denoise_keeps_the_batch_full(slots: int, guided: bool, data: st.DataObject) -> None:
    """Grid cells of five denoise values at 20 steps, at least three for every slot, in any order."""
    count = data.draw(st.integers(3 * slots, 5 * slots))
    cells = [Work((4, 8, 12, 16, 20)[i % 5], 1 + guided) for i in range(count)]
    cells = data.draw(st.permutations(cells))
    room = slots * (1 + guided)
    used = list(calls(cells, room))
    assert sum(used) / (len(used) * room) >= 0.95


def test_the_shortest_ends_first_and_equals_go_in_order() -> None:
    cells = [Work(n, 2) for n in (20, 20, 12, 4, 4, 12, 20, 20, 8, 8)]
    ended = []
    left = [w.evaluations for w in cells]
    for call in run(cells, 4):
        for key in call:
            left[key] -= 1
            if not left[key]:
                ended.append(key)
    assert ended[:6] == [3, 4, 8, 9, 2, 5]
    assert [key for key in ended if cells[key].evaluations == 20] == [0, 1, 6, 7]


def test_who_fails_leaves_the_others_their_calls() -> None:
    cells = {i: Work(10, 2) for i in range(6)}
    seats = Seats(cells)
    counted: Counter[int] = Counter()
    while seats:
        seated = seats.seat(8)
        counted.update(seated)
        if counted[2] == 3:
            seats.drop(2)
    assert counted == {0: 10, 1: 10, 2: 3, 3: 10, 4: 10, 5: 10}


def test_a_cell_wider_than_the_room_is_seated_alone() -> None:
    assert run([Work(2, 2), Work(1, 2)], 1) == [[1], [0], [0]]


@given(works, st.sampled_from([2, 4, 8, 16, 30]))
def test_the_prediction_is_the_simulation(cells: list[Work], room: int) -> None:
    times = CallTimes({2: 3.0, 8: 4.0, 32: 10.0})
    assert duration(cells, room, times) == pytest.approx(sum(times.seconds(rows) for rows in calls(cells, room)))


def test_times_lie_on_a_line_between_measurements() -> None:
    times = CallTimes({2: 1.0, 4: 1.0, 8: 3.0})
    assert [times.seconds(rows) for rows in (1, 2, 3, 4, 6, 8, 16)] == [1, 1, 1, 1, 2, 3, 6]
    padded = CallTimes({2: 1.0, 4: 1.5, 8: 3.0}, fixed=True)
    assert [padded.seconds(rows) for rows in (1, 2, 3, 5, 8)] == [1, 1, 1.5, 3, 3]
    assert padded.candidates(2, 5) == [2, 4, 8]


def test_the_row_count_follows_from_the_times() -> None:
    thirty = [Work(20, 2)] * 30
    assert choose_rows(thirty, FLAT) == 60  # rows cost nothing: all at once
    assert choose_rows(thirty, PROPORTIONAL) == 2  # batching gains nothing: the first picture comes soonest
    # Cheap up to twenty rows: ten slots three times, where eight slots would go four times and more.
    assert choose_rows(thirty, CallTimes({2: 1.0, 20: 1.5, 40: 3.2})) == 20
    # Padded to few row counts: forty rows are computed as forty-eight, which here is still the quickest.
    assert choose_rows([Work(20, 2)] * 20, CallTimes({32: 1.0, 48: 1.2}, fixed=True)) == 48


@given(alike, st.lists(st.floats(0.1, 10), min_size=3, max_size=3))
def test_no_other_row_count_would_have_been_quicker(cells: list[Work], seconds: list[float]) -> None:
    times = CallTimes(dict(zip((2, 8, 16), sorted(seconds), strict=True)))
    chosen = duration(cells, choose_rows(cells, times), times)
    for room in (2, 4, 6, 8, 12, 16):
        assert chosen <= 1.011 * duration(cells, room, times)


class Machine:
    """A clock and a network whose calls take a known time."""

    def __init__(self, first: float, row: float, fits: int = 1000) -> None:
        self.now, self.first, self.row, self.fits = 0.0, first, row, fits
        self.made: list[int] = []

    def call(self, rows: int) -> None:
        if rows > self.fits:
            raise MemoryError
        self.made.append(rows)
        self.now += self.first + self.row * rows

    def clock(self) -> float:
        return self.now


def test_measuring_ends_within_its_budget() -> None:
    machine = Machine(first=0.01, row=0.005)
    found = measure(machine.call, 10000, clock=machine.clock)
    assert machine.now <= BUDGET
    assert list(found) == list(COUNTS[: len(found)])
    assert len(found) >= 4
    assert found == {rows: pytest.approx(0.01 + 0.005 * rows) for rows in found}


def test_a_slow_machine_is_measured_by_a_single_call() -> None:
    machine = Machine(first=0, row=10)
    assert measure(machine.call, 1200, clock=machine.clock) == {2: 20}
    assert machine.made == [2]


def test_a_short_run_is_not_held_up_by_measuring() -> None:
    machine = Machine(first=0, row=0.05)
    measure(machine.call, 240, clock=machine.clock)
    assert machine.now < 0.1 * 240 * 0.05


def test_what_does_not_fit_ends_the_measuring() -> None:
    machine = Machine(first=0.001, row=0, fits=8)
    assert list(measure(machine.call, 10000, clock=machine.clock)) == [2, 4, 8]
    assert measure(Machine(0, 1, fits=0).call, 100) == {}


def test_what_is_known_is_not_measured_again() -> None:
    machine = Machine(first=0.001, row=0)
    measure(machine.call, 10000, (2, 4, 8), {2: 0.001, 4: 0.001}, machine.clock)
    assert set(machine.made) == {8}


def test_what_is_remembered_survives_and_a_damaged_file_does_not_matter(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "rows.json"
    Remembered("rows.json", file).keep("a", {"2": 0.5})
    Remembered("rows.json", file).keep("b", 1)
    assert Remembered("rows.json", file).read() == {"a": {"2": 0.5}, "b": 1}
    assert json.loads(file.read_text()) == {"a": {"2": 0.5}, "b": 1}
    assert [p.name for p in file.parent.iterdir()] == ["rows.json"]
    file.write_text("{ broken")
    assert Remembered("rows.json", file).read() == {}


def test_a_home_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    Remembered("rows.json", blocked / "rows.json").keep("a", 1)
    assert Remembered("rows.json", blocked / "rows.json").read() == {}
