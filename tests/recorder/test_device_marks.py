"""An accelerator's joules go to the phases that the accelerator was in, the host's to those that the loop was in."""

from __future__ import annotations

import sys
from collections.abc import Iterable

import pytest
from devices import Cuda
from hypothesis import given
from hypothesis import strategies as st
from worlds import Counter, Kept, OwnedClock, StillRecorder, recorder

from joulegram.clocks import Edge
from joulegram.curves.phases import MOST_MARKS, Cursor
from joulegram.recorder.device_marks import PATIENCE_NS, DeviceMarks
from joulegram.recorder.sampler import HOLD_NS
from joulegram.units import NS_PER_S

S = NS_PER_S


class Gpu(Counter):
    """A counter of the joules that a device's work takes; idle it takes none."""

    def __init__(self, clock: OwnedClock, cuda: Cuda) -> None:
        super().__init__(clock, 0.0)
        self.cuda, self.spent = cuda, [(0, 0, 0.0)]

    def work(self, seconds: float, power_w: float) -> None:
        start_ns = self.cuda.end_ns()
        self.cuda.work(seconds)
        self.spent.append((start_ns, self.cuda.end_ns(), power_w))

    def read(self) -> Iterable[float]:
        now_ns = self._clock.monotonic_ns()
        return [sum(w * max(0, min(end, now_ns) - start) / S for start, end, w in self.spent)]


class World:
    """A loop on a device, recorded."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = OwnedClock()
        self.cuda = Cuda(self.clock)
        monkeypatch.setitem(sys.modules, "torch", self.cuda)
        self.gpu, self.cpu = Gpu(self.clock, self.cuda), Counter(self.clock, 50.0, ("cpu:package-0",))
        self.kept = Kept()
        self.recorder: StillRecorder = recorder(self.clock, self.kept, self.gpu, self.cpu)
        self.recorder.follow_device("cuda:0")

    def phase(self, name: str) -> None:
        self.recorder.phase(self.clock.monotonic_ns(), name)

    def step(self) -> None:
        """The loop asks for a step in 10 ms, and waits for it at its end."""
        self.phase("forward")
        self.gpu.work(0.2, 100.0)
        self.clock.advance(0.005)
        self.phase("backward")
        self.gpu.work(0.5, 300.0)
        self.clock.advance(0.005)
        self.phase("data")
        self.run_until(self.cuda.end_ns())
        self.recorder.run_for(0.1, 0.01)

    def run_until(self, time_ns: int) -> None:
        self.recorder.run_for((time_ns - self.clock.monotonic_ns()) / S, 0.01)

    def split(self, channel: str) -> dict[str, float]:
        (log,) = [log for log in self.recorder.sampler.channels() if log.channel.id == channel]
        return {name: curve.tip[1] for name, curve in log.phases.items() if curve.tip}


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


def test_joules_of_a_gpu_go_to_the_phase_that_the_gpu_was_in_and_those_of_a_cpu_to_the_loops(world: World) -> None:
    for _ in range(20):
        world.step()
    world.recorder.stop()
    gpu, cpu = world.split("gpu:A"), world.split("cpu:package-0")
    assert gpu["forward"] == pytest.approx(20 * 0.2 * 100, rel=0.02)
    assert gpu["backward"] == pytest.approx(20 * 0.5 * 300, rel=0.02)
    assert gpu["data"] == pytest.approx(0.0, abs=20)
    assert cpu["data"] == pytest.approx(20 * 0.79 * 50, rel=0.01)
    assert cpu["backward"] == pytest.approx(20 * 0.005 * 50, rel=0.01)


def test_without_a_word_of_the_device_the_loops_own_time_splits_everything(world: World) -> None:
    world.recorder.follow_device("cpu")
    for _ in range(20):
        world.step()
    world.recorder.stop()
    assert world.split("gpu:A")["data"] > 0.9 * sum(world.split("gpu:A").values())
    assert world.cuda.made == 0


def test_the_curves_of_a_gpu_wait_for_the_device_for_some_seconds_and_no_longer(world: World) -> None:
    world.phase("forward")
    world.gpu.work(60.0, 100.0)
    world.clock.advance(0.005)
    world.phase("backward")
    asked_ns = world.clock.monotonic_ns()
    (log,) = [log for log in world.recorder.sampler.channels() if log.on_device]
    world.recorder.run_for(4.0)
    assert log.node.tip[0] <= asked_ns
    world.recorder.run_for(4.0)
    assert log.node.tip[0] == pytest.approx(world.clock.monotonic_ns() - HOLD_NS, abs=PATIENCE_NS / 50)


def test_a_device_that_fails_leaves_the_loop_alone_and_the_hosts_time_does(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.step()
    world.cuda.broken = RuntimeError("an illegal memory access was encountered")
    for _ in range(5):
        world.step()
    world.recorder.stop()
    assert caplog.text.count("timed on the host") == 1
    assert "illegal memory access" in caplog.text
    assert sum(world.split("gpu:A").values()) == pytest.approx(6 * 170)


def test_spans_of_a_loop_are_pinned_on_every_channel(world: World) -> None:
    world.step()
    span = world.recorder.begin("epoch")
    for _ in range(3):
        world.step()
    world.recorder.finish(span)
    world.step()
    world.recorder.stop()
    for log in world.recorder.sampler.channels():
        for curve in (log.node, log.run):
            for edge_ns in (span.start_ns, span.end_ns):
                assert any(abs(time_ns - edge_ns) <= S // 100 for time_ns in curve.times_ns)


edges = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 100), st.booleans()), max_size=30)


@given(edges, st.lists(st.integers(1, 400), max_size=10))
def test_marks_come_in_order_each_once_and_none_after_a_moment_that_was_said_to_be_known(
    steps: list[tuple[int, int, bool]], looks: list[int]
) -> None:
    marks, now_ns, reached_ns = DeviceMarks(Cursor()), 0, 0
    waiting: list[tuple[Edge, int]] = []
    for number, (later, lasts, on_device) in enumerate(steps):
        now_ns += later
        if on_device:
            reached_ns = max(reached_ns, now_ns) + lasts
            edge = Edge(now_ns, object())  # type: ignore[arg-type]
            waiting.append((edge, reached_ns))
            marks.add(edge, str(number))
        else:
            marks.add(now_ns, None)
    told: list[int] = []
    known_ns = 0
    for look_ns in sorted([*looks, 10_000]):
        for edge, truth_ns in waiting:
            if truth_ns <= look_ns:
                edge.reached_ns = truth_ns
        horizon_ns, found = marks.advance(look_ns, patience_ns=1000)
        assert all(known_ns <= time_ns <= horizon_ns for time_ns, _ in found)
        known_ns = max(known_ns, horizon_ns)
        told += [time_ns for time_ns, _ in found]
    assert told == sorted(told)
    assert len(told) == len(steps)


def test_marks_that_no_device_ever_reaches_do_not_fill_the_memory() -> None:
    marks = DeviceMarks(Cursor())
    for _ in range(MOST_MARKS + 10):
        marks.add(Edge(5, object()), "forward")  # type: ignore[arg-type]
    _, found = marks.advance(PATIENCE_NS + 6)
    assert len(found) == MOST_MARKS
