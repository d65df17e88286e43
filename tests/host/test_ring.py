"""A ring between two processes: whole records in order, nothing waits, nothing is lost without being counted."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joulegram.host import ring as rings_module
from joulegram.host.ring import (
    BEGIN,
    CAPACITY,
    END,
    HOLE_NS,
    MARGIN,
    MOST_ROUTES,
    MOST_TEXT,
    OTHER,
    WEIGH,
    Event,
    Ring,
    RingReader,
    rings,
)

NEVER = 1 << 62


@pytest.fixture
def ring(tmp_path: Path) -> Ring:
    return Ring(tmp_path, "captions")


@pytest.fixture
def reader(ring: Ring) -> RingReader:
    return RingReader(ring.path)


def all_of(reader: RingReader, until_ns: int, now_ns: int) -> list[Event]:
    return [event for some in reader.read(until_ns, now_ns) for event in some]


def test_what_is_written_is_read_once_and_in_order(ring: Ring, reader: RingReader) -> None:
    number = ring.begin(10, 2.5)
    ring.weigh(number, 20, 7.0)
    ring.end(number, 30, 87.0, 1e12, 3.0, "/caption", 200)
    begun, weighed, ended = all_of(reader, NEVER, 0)
    assert (begun.kind, begun.time_ns, begun.request, begun.weight) == (BEGIN, 10, number, 2.5)
    assert (weighed.kind, weighed.request, weighed.weight) == (WEIGH, number, 7.0)
    assert (ended.kind, ended.tokens, ended.flops, ended.items, ended.status) == (END, 87.0, 1e12, 3.0, 200)
    assert reader.route(ended.route) == "/caption"
    assert (reader.service, reader.pid, reader.over) == ("captions", os.getpid(), False)
    assert all_of(reader, NEVER, 0) == []


def test_what_is_younger_than_asked_for_waits(ring: Ring, reader: RingReader) -> None:
    ring.begin(10, 1.0)
    ring.begin(20, 1.0)
    assert [event.time_ns for event in all_of(reader, 15, 0)] == [10]
    assert [event.time_ns for event in all_of(reader, NEVER, 0)] == [20]


@given(st.lists(st.sampled_from(["write", "read", "release"]), max_size=60), st.integers(1, 900))
def test_every_beginning_is_read_or_counted_as_lost(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str], by: int
) -> None:
    ring = Ring(tmp_path_factory.mktemp("ring"), "s")
    reader = RingReader(ring.path)
    taken: list[int] = []
    read: list[int] = []
    tried = 0
    for step in steps:
        if step == "write":
            for _ in range(by):
                tried += 1
                number = ring.begin(tried, 1.0)
                taken += [number] if number else []
        elif step == "read":
            read += [event.request for event in all_of(reader, NEVER, 0)]
        else:
            reader.release()
    read += [event.request for event in all_of(reader, NEVER, 0)]
    assert read == taken
    assert len(taken) + ring.lost[0] == tried
    reader.close()
    ring.path.unlink()


def test_an_end_that_found_no_room_is_said_again(ring: Ring, reader: RingReader) -> None:
    first = ring.begin(1, 1.0)
    while ring.begin(2, 1.0):
        pass
    ring.end(first, 3, 0.0, 0.0, 0.0, OTHER, 200)
    ring.weigh(first, 3, 2.0)
    assert END not in {event.kind for event in all_of(reader, NEVER, 0)}
    ring.say_again()
    assert all_of(reader, NEVER, 0) == []
    reader.release()
    ring.say_again()
    (ended,) = all_of(reader, NEVER, 0)
    assert (ended.kind, ended.request, ended.time_ns) == (END, first, 3)
    assert reader.lost == (1, 1)


def test_a_record_that_never_came_is_given_up_after_a_while(ring: Ring, reader: RingReader) -> None:
    ring.begin(1, 1.0)
    next(ring._count)  # a thread that was stopped between taking its number and writing
    ring.begin(3, 1.0)
    assert [event.time_ns for event in all_of(reader, NEVER, 5)] == [1]
    assert all_of(reader, NEVER, 5 + HOLE_NS - 1) == []
    assert [event.time_ns for event in all_of(reader, NEVER, 5 + HOLE_NS)] == [3]
    assert reader.lost == (0, 1)


def test_threads_write_at_once_and_no_record_is_torn_or_lost(ring: Ring, reader: RingReader) -> None:
    def write(thread: int) -> None:
        for number in range(2_000):
            ring.begin(thread, float(number))

    threads = [threading.Thread(target=write, args=(thread,)) for thread in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    events = all_of(reader, NEVER, 0)
    assert [event.number for event in events] == list(range(1, 8_001))
    for thread_number in range(4):
        mine = [event for event in events if event.time_ns == thread_number]
        assert [event.weight for event in mine] == [float(number) for number in range(2_000)]


def test_the_ring_goes_around(ring: Ring, reader: RingReader) -> None:
    count = 0
    for _ in range(5):
        for _ in range(CAPACITY - MARGIN - 1):
            count += 1
            assert ring.begin(count, 1.0) == count
        assert [event.number for event in all_of(reader, NEVER, 0)][-1] == count
        reader.release()


def test_routes_are_bounded_and_hostile_names_are_cut(ring: Ring, reader: RingReader) -> None:
    hostile = ["/\x00\x1b[31m", "\ud800", "é" * 200, '"}\n# HELP']
    numbers = [ring.route(name) for name in hostile]
    assert [reader.route(number) for number in numbers] == ["/\x00\x1b[31m", "?", "é" * (MOST_TEXT // 2), '"}\n# HELP']
    for number in range(10_000):
        ring.route(f"/{number}")
    assert len(ring._routes) == MOST_ROUTES
    assert reader.route(ring.route("/9999")) == OTHER
    assert reader.route(12_345) == OTHER
    assert ring.route("/1") == ring.route("/1") > 0


def test_what_was_said_before_closing_is_read_and_then_it_is_over(ring: Ring, reader: RingReader) -> None:
    ring.begin(1, 1.0)
    ring.close()
    assert ring.begin(2, 1.0) == 0
    assert reader.closed
    assert reader.over
    assert len(all_of(reader, NEVER, 0)) == 1
    reader.remove()
    assert rings(ring.path.parent) == []


def test_the_ring_of_a_killed_process_is_over_and_all_that_it_said_is_read(tmp_path: Path) -> None:
    text = f"""
import sys, time
from pathlib import Path
from joulegram.host.ring import Ring
ring = Ring(Path({str(tmp_path)!r}), "s")
for number in range(100):
    ring.begin(number, 1.0)
print("ready", flush=True)
sys.stdin.read()
"""
    process = subprocess.Popen([sys.executable, "-c", text], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    (path,) = rings(tmp_path)
    reader = RingReader(path)
    assert not reader.over
    process.kill()
    process.communicate()
    assert reader.over
    assert len(all_of(reader, NEVER, 0)) == 100


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")
def test_a_forks_child_writes_nothing_into_its_parents_ring(ring: Ring, reader: RingReader) -> None:
    number = ring.begin(1, 1.0)
    pid = os.fork()
    if pid == 0:
        ring.leave()
        ring.end(number, 2, 0.0, 0.0, 0.0, "/child", 0)
        os._exit(ring.begin(2, 1.0))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert len(all_of(reader, NEVER, 0)) == 1
    assert reader.route(1) == ""


def test_a_file_that_is_no_ring_is_refused(tmp_path: Path) -> None:
    short, strange = tmp_path / "short.ring", tmp_path / "strange.ring"
    short.write_bytes(b"x")
    strange.write_bytes(bytes(rings_module._SIZE))
    for path in (short, strange):
        with pytest.raises(ValueError, match="no ring of this version"):
            RingReader(path)
