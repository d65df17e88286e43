"""Edges in a device's time, from what a host sees of its queue."""

from __future__ import annotations

import sys
import threading

import pytest
from devices import Cuda, CudaEvent
from hypothesis import given
from hypothesis import strategies as st
from worlds import OwnedClock

from joulegram.clocks import DRIFT, MOST_WAITING, CudaQueue, DeviceClock, Edge, queue_of
from joulegram.units import NS_PER_S

MS = NS_PER_S // 1000


class World:
    """A loop, its device, and what is said of its edges."""

    def __init__(self, drift: float = 0.0) -> None:
        self.host = OwnedClock()
        self.cuda = Cuda(self.host, drift)
        self.clock = DeviceClock(CudaQueue(self.cuda, "cuda:0"), self.host.monotonic_ns)
        self.edges: list[tuple[Edge, int]] = []

    def edge(self) -> Edge | None:
        edge = self.clock.edge(self.host.monotonic_ns())
        if edge is not None:
            self.edges.append((edge, self.cuda.end_ns()))
        return edge

    def errors_ns(self) -> list[int]:
        """How far off the edges are that are known."""
        return [edge.reached_ns - truth_ns for edge, truth_ns in self.edges if edge.reached_ns is not None]


@pytest.fixture
def world() -> World:
    return World()


def test_an_edge_is_where_the_device_comes_to_it_not_where_the_loop_asks_for_it(world: World) -> None:
    first = world.edge()
    world.cuda.work(0.2)
    second = world.edge()
    assert first is not None
    assert second is not None
    world.clock.poll()
    assert second.reached_ns is None
    world.cuda.synchronize()
    world.clock.poll()
    assert second.asked_ns == first.reached_ns
    assert second.reached_ns == pytest.approx(second.asked_ns + 200 * MS, abs=DRIFT * 200 * MS)


@given(
    drift=st.floats(-0.9 * DRIFT, 0.9 * DRIFT),
    steps=st.lists(st.tuples(st.floats(0, 0.02), st.floats(0, 0.03), st.booleans()), min_size=1, max_size=60),
)
def test_edges_keep_their_order_and_lie_between_being_asked_for_and_being_seen(
    drift: float, steps: list[tuple[float, float, bool]]
) -> None:
    world = World(drift)
    for asks_s, works_s, waits in steps:
        world.host.advance(asks_s)
        world.edge()
        world.cuda.work(works_s)
        if waits:
            world.cuda.synchronize()
    world.cuda.synchronize()
    world.clock.poll()
    told = [edge.reached_ns for edge, _ in world.edges if edge.reached_ns is not None]
    assert len(told) == len(steps)
    assert told == sorted(told)
    assert all(edge.asked_ns <= told_ns for (edge, _), told_ns in zip(world.edges, told, strict=True))
    assert told[-1] <= world.host.monotonic_ns()


@pytest.mark.parametrize("drift", [-50e-6, 0.0, 50e-6])
def test_a_clock_that_drifts_is_followed_for_an_hour_with_a_loop_that_waits_once_in_a_minute(drift: float) -> None:
    world = World(drift)
    for _ in range(60):
        for _ in range(200):
            world.edge()
            world.cuda.work(0.3)
            world.host.advance(0.299)  # the loop runs ahead, a little further with every step
        world.cuda.synchronize()
    world.clock.poll()
    errors_ns = world.errors_ns()
    assert len(errors_ns) == 60 * 200
    assert max(map(abs, errors_ns)) < 15 * MS


def test_a_queue_that_runs_empty_tells_the_offset_to_the_microsecond(world: World) -> None:
    for _ in range(100):
        for works_s in (0.003, 0.007, 0.002):
            world.edge()
            world.cuda.work(works_s)
            world.host.advance(0.0001)
        world.cuda.synchronize()
        world.clock.poll()
    assert max(map(abs, world.errors_ns())) < 10_000


def test_a_suspend_voids_what_was_known_of_the_offset(world: World) -> None:
    for _ in range(10):
        world.edge()
        world.cuda.work(0.01)
        world.cuda.synchronize()
    world.clock.poll()
    world.cuda.drift = 0.5  # the device's clock ran on
    world.edge()
    world.cuda.work(1.0)
    world.cuda.synchronize()
    world.edge()
    world.clock.poll()
    edge, truth_ns = world.edges[-1]
    assert edge.reached_ns == pytest.approx(truth_ns, abs=1000)


def test_events_are_used_again(world: World) -> None:
    for _ in range(1000):
        world.edge()
        world.cuda.work(0.01)
        world.cuda.synchronize()
    assert world.cuda.made < 10


def test_edges_that_the_device_does_not_come_to_do_not_fill_the_memory(world: World) -> None:
    world.cuda.work(1000.0)
    assert [world.edge() is None for _ in range(MOST_WAITING + 2)] == [*[False] * MOST_WAITING, True, True]
    assert world.cuda.made == MOST_WAITING


def test_one_edge_asks_about_no_more_than_one_event_that_was_not_reached(world: World) -> None:
    world.cuda.work(1000.0)
    world.edge()
    for _ in range(100):
        world.edge()
    assert world.cuda.asked == 100


def test_a_graph_that_is_captured_gets_no_event_and_is_not_disturbed(world: World) -> None:
    world.edge()
    world.cuda.capturing = True
    assert world.edge() is None
    world.clock.poll()
    world.cuda.capturing = False
    assert world.edge() is not None


def test_another_thread_does_nothing_to_the_queue(world: World) -> None:
    world.edge()
    found: list[Edge | None] = []
    thread = threading.Thread(target=lambda: (found.append(world.edge()), world.clock.poll()))
    thread.start()
    thread.join()
    assert found == [None]
    assert (world.cuda.made, world.cuda.asked) == (1, 0)


def test_only_a_device_with_a_queue_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", Cuda(OwnedClock()))
    assert queue_of("cpu") is None
    assert queue_of("mps:0") is None
    queue = queue_of("cuda:1")
    assert queue is not None
    assert isinstance(queue.record(None), CudaEvent)
    monkeypatch.delitem(sys.modules, "torch")
    assert queue_of("cuda:1") is None
