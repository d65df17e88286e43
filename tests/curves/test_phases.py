from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joulegram.curves import phases
from joulegram.curves.phases import OTHER, Cursor, Mark

marks = st.lists(
    st.tuples(st.integers(-50, 1000), st.sampled_from(["data", "forward", "backward", OTHER, None])), max_size=30
).map(lambda rows: sorted(rows, key=lambda row: row[0]))
cuts = st.lists(st.integers(0, 1100), min_size=2, max_size=12, unique=True).map(sorted)


def walked(taken: list[Mark], edges: list[int]) -> list[tuple[int, str, int, bool]]:
    cursor = Cursor()
    for mark in taken:
        cursor.add(mark)
    return [piece for start, end in pairwise(edges) for piece in cursor.walk(start, end)]


@given(marks, cuts)
def test_the_pieces_of_an_interval_sum_to_it_whatever_marks_lie_where(taken: list[Mark], edges: list[int]) -> None:
    pieces = walked(taken, edges)
    assert sum(spent for spent, _, _, _ in pieces) == edges[-1] - edges[0]
    assert all(spent >= 0 for spent, _, _, _ in pieces)


@given(marks, cuts)
def test_each_nanosecond_is_in_the_phase_that_was_entered_last_before_it(taken: list[Mark], edges: list[int]) -> None:
    spent: dict[str, int] = {}
    for length, phase, _, _ in walked(taken, edges):
        spent[phase] = spent.get(phase, 0) + length
    expected: dict[str, int] = {}
    entered = [(time, phase) for time, phase in taken if phase is not None]
    for moment in range(edges[0], edges[-1]):
        phase = next((p for t, p in reversed(entered) if t <= moment), OTHER)
        expected[phase] = expected.get(phase, 0) + 1
    assert {phase: length for phase, length in spent.items() if length} == expected


@given(marks, cuts)
def test_every_edge_of_a_span_shows_once_at_its_time(taken: list[Mark], edges: list[int]) -> None:
    shown = [end for _, _, end, is_edge in walked(taken, edges) if is_edge]
    stamped = [max(time, edges[0]) for time, phase in taken if phase is None and time < edges[-1]]
    assert shown == stamped


def test_a_mark_at_the_end_of_an_interval_waits_for_the_next() -> None:
    pieces = [(10, OTHER, 10, False), (0, OTHER, 10, False), (10, "data", 20, False)]
    assert walked([(10, "data")], [0, 10, 20]) == pieces


def test_a_mark_that_came_too_late_for_its_interval_takes_effect_at_the_start_of_the_next() -> None:
    cursor = Cursor()
    assert list(cursor.walk(0, 10)) == [(10, OTHER, 10, False)]
    cursor.add((7, "data"))
    assert list(cursor.walk(10, 20)) == [(0, OTHER, 10, False), (10, "data", 20, False)]


def test_a_follower_starts_where_the_other_stands_and_goes_its_own_way() -> None:
    first, second = Cursor(), Cursor()
    first.add((3, "data"))
    list(first.walk(0, 5))
    first.add((8, "forward"))
    second.follow(first)
    assert second.phase == "data"
    assert [piece[1] for piece in second.walk(5, 10)] == ["data", "forward"]
    assert first.phase == "data"


def test_marks_that_nobody_reads_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phases, "MOST_MARKS", 100)
    cursor = Cursor()
    for time in range(1000):
        cursor.add((time, f"phase {time % 3}"))
    pieces = list(cursor.walk(0, 1000))
    assert sum(piece[0] for piece in pieces) == 1000
    assert len(pieces) == 101
