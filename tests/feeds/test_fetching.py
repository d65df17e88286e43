"""Asking feeds: by turns, again after failures, never for nothing; what is missing is held on to, and said."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from feed_faults import FAULTS, NOW_S, SECRET, source
from hosts import Host
from hypothesis import given
from hypothesis import strategies as st

from joulegram.feeds import Feed, NotAllowed, NotServed, Reach, Unavailable
from joulegram.feeds.cache import Cache
from joulegram.feeds.fetching import (
    BACK_S,
    CARRIED_HIGH,
    CARRIED_LOW,
    FIRST_REST_S,
    MOST_REST_S,
    STALE_S,
    TRIES,
    Fetcher,
    Watch,
    covers,
    held_on,
    holes,
    laid,
    pieces,
)
from joulegram.feeds.neso import NesoFeed
from joulegram.records import IntensityPoint

HOUR_S = 3600.0


class Grid(Feed):
    """A source that knows every hour, or fails as the test says; an hour's value is its number."""

    name, title, base_url = "grid", "the grid", "http://grid.invalid"
    basis = "direct"
    reach = Reach(history_s=24 * HOUR_S, spacing_s=1.0, step_s=HOUR_S, settles_s=0.0)

    def __init__(self, now_s: Callable[[], float]) -> None:
        super().__init__({}, None, now_s)
        self.asked: list[tuple[str, float, float]] = []
        self.failing: Exception | None = None
        self.known_until_s = float("inf")
        self.extra = 0.0

    def serves(self, zone: str) -> bool:
        return True

    def latest(self, zone: str) -> IntensityPoint:
        return self._answer("latest", self.now_s() // HOUR_S * HOUR_S, self.now_s() + 1)[-1]

    def history(self, zone: str, start_s: float, end_s: float) -> list[IntensityPoint]:
        return self._answer("history", start_s, end_s)

    def _answer(self, what: str, start_s: float, end_s: float) -> list[IntensityPoint]:
        self.asked.append((what, start_s, end_s))
        if self.failing:
            raise self.failing
        starts = range(int(start_s // HOUR_S), int(-(-min(end_s, self.known_until_s) // HOUR_S)))
        points = [self.point("GB", n * HOUR_S, HOUR_S, n % 1000 + self.extra, "measured") for n in starts]
        if not points:
            raise Unavailable("nothing yet")
        return [point for point in points if point]


class Clock:
    def __init__(self, now_s: float = NOW_S) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def grid(clock: Clock) -> Grid:
    return Grid(clock)


@pytest.fixture
def fetcher(grid: Grid, clock: Clock) -> Fetcher:
    return Fetcher(grid, "GB", Cache(None), clock)


def at_once(clock: Clock) -> Callable[[float], bool]:
    """Waits by setting the clock."""

    def wait(seconds: float) -> bool:
        clock.now_s += seconds
        return True

    return wait


# -- while a run lasts ------------------------------------------------------------------------------------------------


def test_what_is_known_is_not_asked_for_again(fetcher: Fetcher, grid: Grid, clock: Clock) -> None:
    fetcher.look(NOW_S)
    assert [what for what, *_ in grid.asked] == ["latest"]
    for _ in range(10):
        clock.now_s += 60
        fetcher.look(NOW_S)
    assert [what for what, *_ in grid.asked] == ["latest"]
    clock.now_s = NOW_S + HOUR_S
    fetcher.look(NOW_S)
    assert [what for what, *_ in grid.asked] == ["latest", "latest"]


def test_another_process_of_this_host_asks_nothing_that_one_has_asked(grid: Grid, clock: Clock) -> None:
    cache = Cache(None)
    Fetcher(grid, "GB", cache, clock).look(NOW_S)
    other = Grid(clock)
    late = Fetcher(other, "GB", cache, clock)
    late.look(NOW_S)
    assert not other.asked
    assert covers(late.points(NOW_S, NOW_S + 1), NOW_S)


def test_after_an_outage_what_was_missed_is_asked_for(fetcher: Fetcher, grid: Grid, clock: Clock) -> None:
    grid.failing = Unavailable("HTTP 500")
    for _ in range(5 * 60):
        clock.now_s += 60
        fetcher.look(NOW_S)
    asked = len(grid.asked)
    assert asked < 60
    grid.failing = None
    for _ in range(30):
        clock.now_s += 60
        fetcher.look(NOW_S)
    assert not holes(fetcher.points(NOW_S, clock.now_s), NOW_S, clock.now_s)
    (outage,) = fetcher.outages
    assert (outage.start_s, outage.final) == (NOW_S + 60, False)
    assert NOW_S + 5 * HOUR_S < (outage.end_s or 0) < NOW_S + 5.5 * HOUR_S
    assert "HTTP 500, from 2026-06-24 10:01 UTC to 2026-06-24 15:" in outage.describe()


def test_failures_in_a_row_are_ever_longer_apart_but_not_for_ever(fetcher: Fetcher, grid: Grid, clock: Clock) -> None:
    grid.failing = Unavailable("HTTP 500")
    times = []
    for _ in range(3 * 3600):
        clock.now_s += 1
        before = len(grid.asked)
        fetcher.look(NOW_S)
        times += [clock.now_s] * (len(grid.asked) > before)
    apart = [b - a for a, b in pairwise(times)]
    assert min(apart) >= FIRST_REST_S
    assert max(apart) <= 2 * MOST_REST_S
    assert apart[-1] >= MOST_REST_S


def test_a_host_that_names_a_time_is_left_alone_until_then(fetcher: Fetcher, grid: Grid, clock: Clock) -> None:
    grid.failing = Unavailable("HTTP 429", retry_s=1970)
    fetcher.look(NOW_S)
    for _ in range(32):
        clock.now_s += 60
        fetcher.look(NOW_S)
    assert len(grid.asked) == 1
    clock.now_s = NOW_S + 1971
    fetcher.look(NOW_S)
    assert len(grid.asked) == 2


@pytest.mark.parametrize("refusal", [NotAllowed("a key is wanted"), NotServed("no such zone")])
def test_where_asking_is_of_no_use_nobody_asks_again(
    fetcher: Fetcher, grid: Grid, clock: Clock, refusal: Exception
) -> None:
    grid.failing = refusal
    for _ in range(100):
        clock.now_s += 600
        fetcher.look(NOW_S)
    assert sorted(what for what, *_ in grid.asked) == ["history", "latest"]
    assert {outage.describe() for outage in fetcher.outages} == {f"the grid: {refusal}"}


def test_what_a_feed_of_somebody_elses_raises_stays_here_and_its_text_is_not_shown(
    fetcher: Fetcher, grid: Grid
) -> None:
    grid.failing = KeyError(SECRET)
    fetcher.look(NOW_S)
    assert [outage.why for outage in fetcher.outages] == ["the grid failed (KeyError)"]


def test_a_correction_is_found_and_takes_the_place_of_what_was(grid: Grid, clock: Clock) -> None:
    grid.reach = Reach(history_s=24 * HOUR_S, step_s=HOUR_S, settles_s=6 * HOUR_S)
    fetcher = Fetcher(grid, "GB", Cache(None), clock)
    watch = Watch([fetcher], NOW_S, clock)
    watch.look()
    (first,) = (p for p in watch.news() if p.kind == "measured")
    grid.extra, clock.now_s = 0.5, NOW_S + 2 * HOUR_S
    for _ in range(2):  # one question at a time
        watch.look()
        clock.now_s += 60
    again = {p.start_s: p.g_per_kwh for p in watch.news() if p.kind == "measured"}
    assert again[first.start_s] == first.g_per_kwh + 0.5
    assert watch.news() == ()


def test_values_that_no_grid_has_and_a_clock_that_is_off_are_told_once(
    fetcher: Fetcher, grid: Grid, clock: Clock
) -> None:
    grid.extra, grid.skew_s = 9_000, 7200.0
    for _ in range(3):
        fetcher.look(NOW_S)
        clock.now_s += HOUR_S
    told = [outage.describe() for outage in fetcher.outages]
    assert sum("that no grid has were left out" in text for text in told) == 1
    assert sum("clocks are" in text or "are 2 h 00 min apart" in text for text in told) == 1


def test_the_second_feed_is_asked_where_the_first_knows_nothing_of_now_and_only_then(clock: Clock) -> None:
    first, second, cache = Grid(clock), Grid(clock), Cache(None)
    second.url = "http://second.invalid"
    watch = Watch([Fetcher(feed, "GB", cache, clock) for feed in (first, second)], NOW_S, clock)
    watch.look()
    assert (len(first.asked), len(second.asked)) == (1, 0)
    first.failing = Unavailable("HTTP 500")
    clock.now_s += 2 * HOUR_S
    watch.look()
    assert not second.asked
    clock.now_s += 3 * HOUR_S
    watch.look()
    assert second.asked


def test_what_the_second_feed_says_of_hours_that_the_first_knows_does_not_count(clock: Clock) -> None:
    first, second, cache = Grid(clock), Grid(clock), Cache(None)
    second.url, second.title, second.extra = "http://second.invalid", "the second", 0.5
    watch = Watch([Fetcher(feed, "GB", cache, clock) for feed in (first, second)], NOW_S, clock)
    told: list[IntensityPoint] = []

    def run_for(hours: int) -> None:
        for _ in range(hours * 60):
            watch.look()
            told.extend(watch.news())
            clock.now_s += 60

    run_for(5)
    first.failing = Unavailable("HTTP 500")
    run_for(7)
    by_hour = [next(p for p in reversed(told) if covers([p], NOW_S + (n + 0.5) * HOUR_S)) for n in range(12)]
    assert [p.source for p in by_hour] == ["the grid"] * 5 + ["the second"] * 7
    first.failing = None
    run_for(2)
    assert next(p for p in reversed(told) if covers([p], clock.now_s - 60)).source == "the grid"


def test_a_value_that_is_held_on_to_gives_way_to_one_that_another_feed_knows() -> None:
    first = [point(0), point(2 * HOUR_S)]
    second = [point(n * HOUR_S, value=200.0) for n in range(3)]
    by_hour = [
        next(p for p in reversed(laid([first, second], 0, 3 * HOUR_S)) if covers([p], n * HOUR_S)) for n in range(3)
    ]
    assert [p.g_per_kwh for p in by_hour] == [100, 200, 100]


def test_a_gap_that_was_held_over_is_told_once_and_not_at_every_look_two_days_later(grid: Grid, clock: Clock) -> None:
    watch = Watch([Fetcher(grid, "GB", Cache(None), clock)], NOW_S, clock)
    watch.look()
    watch.news()
    grid.failing = Unavailable("HTTP 500")
    clock.now_s += 2 * HOUR_S
    watch.look()
    clock.now_s += BACK_S
    grid.failing = None
    told = 0
    for _ in range(60):
        told += len(watch.news())
        clock.now_s += 60
    assert told <= 2


def test_a_source_that_is_down_for_weeks_ends_no_run(fetcher: Fetcher, grid: Grid, clock: Clock) -> None:
    grid.failing = Unavailable("HTTP 500")
    for _ in range(1100):
        clock.now_s += 2 * MOST_REST_S
        fetcher.look(NOW_S)
    assert len(grid.asked) >= 1100
    grid.failing = None
    clock.now_s += 2 * MOST_REST_S
    fetcher.look(NOW_S)
    assert fetcher.outages[-1].end_s == clock.now_s


def test_who_wants_to_be_left_alone_for_longer_than_a_day_is_for_a_day(
    fetcher: Fetcher, grid: Grid, clock: Clock
) -> None:
    grid.failing = Unavailable("HTTP 429", retry_s=1e12)
    for _ in range(23):
        fetcher.look(NOW_S)
        clock.now_s += HOUR_S
    assert len(grid.asked) == 1
    clock.now_s += HOUR_S + 1
    fetcher.look(NOW_S)
    assert len(grid.asked) == 2


def test_a_clock_that_once_showed_a_later_year_keeps_no_feed_from_being_asked(grid: Grid, clock: Clock) -> None:
    cache = Cache(None)
    clock.now_s += 1000 * 86400
    Fetcher(grid, "GB", cache, clock).look(NOW_S)
    clock.now_s = NOW_S
    grid.asked.clear()
    fetcher = Fetcher(grid, "GB", cache, clock)
    fetcher.look(NOW_S)
    assert grid.asked
    assert covers(fetcher.points(NOW_S, NOW_S + 1), NOW_S)


def test_points_of_somebody_elses_feed_that_lack_a_time_or_a_figure_are_left_out(
    fetcher: Fetcher, grid: Grid, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, nan = point(NOW_S), float("nan")
    odd = [replace(good, start_s=None), replace(good, length_s=nan), replace(good, g_per_kwh=nan, start_s=1.0)]
    monkeypatch.setattr(grid, "latest", lambda zone: None)
    fetcher.look(NOW_S)
    assert [outage.why for outage in fetcher.outages] == ["the grid failed (AttributeError)"]
    monkeypatch.setattr(grid, "history", lambda *_: [*odd, good])
    fetcher.complete(NOW_S - HOUR_S, NOW_S, at_once(clock))
    assert [p.start_s for p in fetcher.points(0, NOW_S + 1)] == [NOW_S]


# -- afterwards -------------------------------------------------------------------------------------------------------


def test_all_of_a_past_time_is_fetched_in_as_many_questions_as_it_takes(
    fetcher: Fetcher, grid: Grid, clock: Clock
) -> None:
    start_s = NOW_S - 100 * HOUR_S
    fetcher.complete(start_s, NOW_S - HOUR_S, at_once(clock))
    assert not holes(fetcher.points(start_s, NOW_S - HOUR_S), start_s, NOW_S - HOUR_S)
    assert len(grid.asked) == 5
    fetcher.complete(start_s, NOW_S - HOUR_S, at_once(clock))
    assert len(grid.asked) == 5


def test_who_waits_for_an_answer_gives_up_after_a_few_and_says_why(fetcher: Fetcher, grid: Grid, clock: Clock) -> None:
    grid.failing = Unavailable("HTTP 500")
    fetcher.complete(NOW_S - 100 * HOUR_S, NOW_S - HOUR_S, at_once(clock))
    assert len(grid.asked) == TRIES
    assert [outage.why for outage in fetcher.outages] == ["HTTP 500"]


def test_who_does_not_want_to_wait_is_told_for_how_long_it_would_be(fetcher: Fetcher, grid: Grid) -> None:
    grid.failing = Unavailable("HTTP 429", retry_s=197)
    fetcher.complete(NOW_S - 100 * HOUR_S, NOW_S - HOUR_S, lambda _: False)
    assert len(grid.asked) == 1
    assert "HTTP 429" in fetcher.outages[0].why


def test_a_forecast_where_there_is_none_is_said(fetcher: Fetcher, clock: Clock) -> None:
    fetcher.foresee(NOW_S, NOW_S + 24 * HOUR_S, at_once(clock))
    assert [outage.describe() for outage in fetcher.outages] == ["the grid: the grid makes no forecasts"]


@pytest.fixture
def neso() -> Iterator[Host]:
    with source() as made:
        slot = {"from": "2026-06-24T10:00Z", "to": "2026-06-24T10:30Z", "intensity": {"forecast": 240, "actual": None}}
        made.body = {"data": [slot]}
        yield made


@pytest.mark.parametrize("fault", FAULTS)
def test_with_every_fault_of_a_source_a_run_is_priced_and_the_outage_is_recorded(neso: Host, fault: str) -> None:
    clock = Clock()
    neso.now_s = clock
    feed = NesoFeed({"neso": {"base_url": neso.url}}, None, clock)
    watch = Watch([Fetcher(feed, "GB", Cache(None), clock)], NOW_S, clock)
    watch.look()
    assert watch.news()[-1].g_per_kwh == 240
    before = neso.body, dict(neso.paths)
    FAULTS[fault](neso)
    clock.now_s += HOUR_S
    watch.look()
    (held,) = watch.fetchers[0].outages[:1]
    assert held.why
    assert "\n" not in held.describe()
    if fault != "nobody there" and not held.final:
        neso.status, neso.headers, neso.cut, (neso.body, neso.paths) = 200, {}, 0, before
        clock.now_s += HOUR_S
        watch.look()
        assert held.end_s == clock.now_s


# -- times ------------------------------------------------------------------------------------------------------------


def point(start_s: float, length_s: float = HOUR_S, value: float = 100.0, **changes: Any) -> IntensityPoint:
    return IntensityPoint(
        value, value, value, "GB", "a feed", "measured", start_s=start_s, length_s=length_s, **changes
    )


STRETCHES = st.lists(st.tuples(st.integers(0, 50), st.integers(1, 10)), max_size=12)


@given(STRETCHES, st.integers(0, 60), st.integers(0, 60))
def test_holes_and_points_together_are_all_of_a_time_and_never_both(
    stretches: list[tuple[int, int]], start: int, end: int
) -> None:
    points = sorted((point(s, n) for s, n in stretches), key=lambda p: p.start_s or 0.0)
    found = holes(points, start, end)
    for moment in (n + 0.5 for n in range(start, end)):
        in_hole = any(s <= moment < e for s, e in found)
        assert in_hole != covers(points, moment)


@given(STRETCHES, st.integers(1, 30))
def test_pieces_hold_all_stretches_and_none_is_too_long(stretches: list[tuple[int, int]], most: int) -> None:
    disjoint = holes([], 0, 0)
    reached = 0
    for gap, length in stretches:
        disjoint.append((reached + gap, reached + gap + length))
        reached += gap + length + 1
    found = pieces(disjoint, most)
    assert all(0 < e - s <= most for s, e in found)
    for s, e in disjoint:
        for moment in (n + 0.5 for n in range(int(s), int(e))):
            assert any(a <= moment < b for a, b in found)


def test_where_a_question_may_span_any_time_one_holds_all() -> None:
    assert pieces([(5.0, 8.0), (20.0, 31.0)], float("inf")) == [(5.0, 31.0)]


def test_a_value_is_held_on_to_for_three_hours_with_wider_bounds_and_then_no_longer() -> None:
    (held,) = held_on([point(0)], 0, 100 * HOUR_S)
    assert (held.start_s, held.length_s, held.kind, held.settled) == (HOUR_S, STALE_S, "estimated", False)
    assert (held.low, held.g_per_kwh, held.high) == (100 * CARRIED_LOW, 100, 100 * CARRIED_HIGH)
    assert held.note == "held on to, as no newer value was known"


def test_nothing_is_held_on_to_before_the_first_value_nor_over_a_later_one() -> None:
    points = [point(2 * HOUR_S), point(4 * HOUR_S, value=200.0)]
    held = held_on(points, 0, 5 * HOUR_S)
    assert [(p.start_s, p.length_s, p.g_per_kwh) for p in held] == [(3 * HOUR_S, HOUR_S, 100.0)]


def test_what_is_known_comes_after_what_is_held_on_to() -> None:
    laid_out = laid([[point(0), point(2 * HOUR_S, value=200.0)]], 0, 3 * HOUR_S)
    assert [(p.start_s, p.kind) for p in laid_out] == [(HOUR_S, "estimated"), (0, "measured"), (2 * HOUR_S, "measured")]


def test_a_run_of_weeks_looks_back_no_further_than_two_days(fetcher: Fetcher, grid: Grid, clock: Clock) -> None:
    clock.now_s = NOW_S + 30 * 86400
    fetcher.look(NOW_S)
    assert all(start_s >= clock.now_s - BACK_S for _, start_s, _ in grid.asked)
