"""What all processes of a host know together of the grid, and whose turn it is to ask."""

import functools
import os
import sqlite3
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joulegram.feeds.cache import LONGEST_REST_S, Cache, cache_path
from joulegram.records import IntensityPoint

HOUR_S = 3600.0
POINT = IntensityPoint(
    266.0, 200.0, 300.0, "GB", "a feed", "forecast", "average", "direct", scope="consumption",
    start_s=7200.0, length_s=1800.0, fetched_s=9000.0, settled=False, note="Zürich",
)  # fmt: skip


@pytest.fixture(params=["a file", "memory"])
def cache(request: pytest.FixtureRequest, tmp_path: Path) -> Cache:
    return Cache(tmp_path / "intensity.sqlite" if request.param == "a file" else None)


def test_points_come_back_as_they_went_in(cache: Cache) -> None:
    cache.keep("neso-1", "GB", [POINT])
    assert cache.points("neso-1", "GB", 0, 10_000) == [POINT]


def test_points_are_those_of_one_source_zone_and_time(cache: Cache) -> None:
    cache.keep("neso-1", "GB", [POINT, replace(POINT, start_s=9000.0)])
    assert cache.points("neso-2", "GB", 0, 10_000) == []
    assert cache.points("neso-1", "DE", 0, 10_000) == []
    assert [p.start_s for p in cache.points("neso-1", "GB", 8000, 9000)] == [7200.0]
    assert [p.start_s for p in cache.points("neso-1", "GB", 9000, 9001)] == [9000.0]


def test_a_correction_takes_the_place_of_what_was_said_before(cache: Cache) -> None:
    cache.keep("neso-1", "GB", [POINT])
    cache.keep("neso-1", "GB", [replace(POINT, g_per_kwh=263.0, kind="measured", settled=True)])
    (point,) = cache.points("neso-1", "GB", 0, 10_000)
    assert (point.g_per_kwh, point.kind, point.settled) == (263.0, "measured", True)


def test_who_asks_first_has_the_turn_and_others_wait_for_theirs(cache: Cache) -> None:
    assert cache.turn("api.example", 1000.0, 60.0) == 0
    assert cache.turn("api.example", 1010.0, 60.0) == 50
    assert cache.turn("other.example", 1010.0, 60.0) == 0
    assert cache.turn("api.example", 1060.0, 60.0) == 0


def test_a_host_that_wants_to_be_left_alone_is(cache: Cache) -> None:
    cache.turn("api.example", 1000.0, 1.0)
    cache.rest("api.example", 1197.0)
    assert cache.turn("api.example", 1100.0, 1.0) == 97


def test_a_clock_that_was_set_back_does_not_silence_a_host_for_ever(cache: Cache) -> None:
    cache.turn("api.example", 10 * LONGEST_REST_S, 60.0)
    assert cache.turn("api.example", 1000.0, 60.0) == 0


def test_another_process_knows_the_same(tmp_path: Path) -> None:
    path = tmp_path / "intensity.sqlite"
    told = (
        "from joulegram.feeds.cache import Cache; from pathlib import Path; "
        f"cache = Cache(Path({str(path)!r})); "
        "print(cache.turn('api.example', 1000.0, 60.0), cache.turn('api.example', 1030.0, 60.0))"
    )
    assert (
        subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True).stdout == "0.0 30.0\n"
    )
    cache = Cache(path)
    assert cache.turn("api.example", 1045.0, 60.0) == 15
    cache.asks("neso-1", "GB", "latest", 1045.0)
    assert Cache(path).asked_s("neso-1", "GB", "latest") == 1045
    assert Cache(path).asked_s("neso-1", "GB", "history") == 0


def test_a_damaged_cache_is_begun_anew() -> None:
    path = cache_path()
    path.parent.mkdir(parents=True)
    path.write_bytes(b"this is no database at all" * 100)
    cache = Cache.of_user()
    cache.keep("neso-1", "GB", [POINT])
    assert Cache.of_user().points("neso-1", "GB", 0, 10_000) == [POINT]


def test_where_nothing_can_be_written_this_process_knows_it_alone() -> None:
    path = cache_path()
    path.parent.parent.mkdir(parents=True, exist_ok=True)
    path.parent.write_text("a file where the folder belongs")
    cache = Cache.of_user()
    cache.keep("neso-1", "GB", [POINT])
    assert cache.points("neso-1", "GB", 0, 10_000) == [POINT]
    assert Cache.of_user().points("neso-1", "GB", 0, 10_000) == []


def test_a_cache_that_another_process_holds_is_waited_for_no_longer_than_a_moment(tmp_path: Path) -> None:
    path = tmp_path / "intensity.sqlite"
    cache = Cache(path)
    cache.keep("neso-1", "GB", [POINT])
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    cache.keep("neso-1", "GB", [replace(POINT, g_per_kwh=1.0)])
    assert [p.g_per_kwh for p in cache.points("neso-1", "GB", 0, 10_000)] == [1.0]  # in this process alone
    other.close()
    assert Cache(path).points("neso-1", "GB", 0, 10_000) == [POINT]


def test_on_a_full_disk_a_process_asks_by_itself_and_no_error_comes_of_it(tmp_path: Path) -> None:
    path = tmp_path / "intensity.sqlite"
    Cache(path).keep("neso-1", "GB", [POINT])

    class Full(Cache):
        @staticmethod
        def _made(database: sqlite3.Connection) -> sqlite3.Connection:
            pages = database.execute("PRAGMA page_count").fetchone()[0]
            database.execute(f"PRAGMA max_page_count = {pages or 100}")  # no more than there are
            return Cache._made(database)

    cache = Full(path)
    points = [replace(POINT, start_s=n * 1800.0, length_s=1800.0) for n in range(1000)]
    cache.keep("neso-1", "GB", points)
    assert len(cache.points("neso-1", "GB", 0, 1e9)) == 1000
    assert cache.turn("api.example", 1000.0, 60.0) == 0
    assert Cache(path).points("neso-1", "GB", 0, 10_000) == [POINT]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")
def test_no_fork_comes_while_a_thread_is_within_sqlite(cache: Cache) -> None:
    within, done = threading.Event(), threading.Event()

    class Slow(float):
        """A number that takes until a fork has begun."""

        def __conform__(self, _: object) -> float:
            within.set()
            forking.wait(30)
            done.set()
            return 1.0

    forking = _forking()
    forking.clear()
    keeping = threading.Thread(target=lambda: cache.asks("neso-1", "GB", "latest", Slow()), daemon=True)
    keeping.start()
    assert within.wait(30)
    child = os.fork()
    if child == 0:
        os._exit(0 if done.is_set() else 1)
    assert os.waitpid(child, 0)[1] == 0
    keeping.join()


@functools.cache
def _forking() -> threading.Event:
    """Set when a fork of this process begins."""
    begun = threading.Event()
    os.register_at_fork(before=begun.set)
    return begun


def test_a_cache_that_is_damaged_while_it_is_used_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "intensity.sqlite"
    cache = Cache(path)
    cache.keep("neso-1", "GB", [POINT])
    path.write_bytes(b"this is no database at all" * 100)
    assert cache.turn("api.example", 1000.0, 60.0) == 0
    assert Cache(path).turn("api.example", 1010.0, 60.0) == 50


def test_a_cache_that_has_grown_too_large_is_begun_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    Cache.of_user().keep("neso-1", "GB", [POINT])
    assert Cache.of_user().points("neso-1", "GB", 0, 10_000) == [POINT]
    monkeypatch.setattr("joulegram.feeds.cache.MOST_BYTES", 1000)
    assert Cache.of_user().points("neso-1", "GB", 0, 10_000) == []


@given(st.lists(st.tuples(st.integers(0, 50), st.floats(0, 3000)), max_size=40))
def test_of_each_start_the_last_value_is_known(given_points: list[tuple[int, float]]) -> None:
    cache = Cache(None)
    for slot, value in given_points:
        cache.keep("a", "GB", [replace(POINT, start_s=slot * 1800.0, g_per_kwh=value)])
    known = cache.points("a", "GB", 0, 51 * 1800.0)
    assert {p.start_s: p.g_per_kwh for p in known} == {slot * 1800.0: value for slot, value in given_points}
    assert [p.start_s for p in known] == sorted(p.start_s for p in known)
