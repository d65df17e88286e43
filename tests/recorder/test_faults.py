"""Whatever befalls a meter, from its readings to the footprint: training goes on, the channel is missing for exactly
that time, coverage and bounds say so, and no total counts it as zero.

Every world has a channel of 100 W that gets into trouble 12 s after the start of a run, for 10 s where it gets over it,
and beside it a GPU of 50 W that is well. Spans end at 10, 30 and 40 s, and one lies within the trouble.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from math import nan
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds import Counter, Kept, OwnedClock, Sticking, StillRecorder, price, recorder

from joulegram.curves.trace import together
from joulegram.meters import Meter
from joulegram.meters.nvml import NvmlMeter
from joulegram.meters.rapl import RaplMeter
from joulegram.pricing import Footprint, Pricer
from joulegram.records import Note
from joulegram.testing.nvml import FakeNvml, Gpu, can_build, pascal
from joulegram.testing.powercap import PowercapTree
from joulegram.units import NS_PER_S

S = NS_PER_S
STARTS_S, TROUBLE_S, OVER_S = 100.0, 12.0, 22.0
BEFORE, DURING, INSIDE, AFTER, RUN = (0.0, 10.0), (10.0, 30.0), (13.0, 21.0), (30.0, 40.0), (0.0, 40.0)
POWER_W, GOOD_W = 100.0, 50.0
GOOD = "gpu:good"


class Troubled(Counter):
    """A counter that can be told to fail, to begin again, or to be one that wraps around."""

    def __init__(self, clock: OwnedClock, name: str = "gpu:A", power_w: float = POWER_W, **more: Any) -> None:
        super().__init__(clock, power_w, (name,), **more)
        self.failing = False
        self._wraps_at_j = self.channels[0].wraps_at_j

    def begin_again(self) -> None:
        """It forgets what it had counted."""
        self._counted_j, self._since_ns = 0.0, self._clock.monotonic_ns()

    def read(self) -> Iterable[float]:
        (joules,) = super().read()
        return [nan if self.failing else joules % self._wraps_at_j if self._wraps_at_j else joules]


@dataclass
class Trouble:
    """A meter, and what happens to it.

    Args:
        meter: its one channel draws 100 W.
        begin: the trouble begins.
        end: it is over, where that is not by itself.
        within_s: how well the moments of its readings are known (s).
    """

    meter: Meter
    begin: Callable[[StillRecorder], object] = lambda made: None
    end: Callable[[StillRecorder], object] = lambda made: None
    within_s: float = 1e-6


@pytest.fixture
def clock() -> OwnedClock:
    return OwnedClock(mono_s=STARTS_S)


@pytest.fixture
def world(clock: OwnedClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(clock, tmp_path, monkeypatch)


class World:
    """Where meters get into trouble."""

    def __init__(self, clock: OwnedClock, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock, self._folder, self._monkeypatch = clock, folder, monkeypatch

    def fails(self) -> Trouble:
        """A meter says that its reading failed."""
        meter = Troubled(self.clock)
        return Trouble(
            meter, lambda made: setattr(meter, "failing", True), lambda made: setattr(meter, "failing", False)
        )

    def raises(self) -> Trouble:
        """A meter that fails in its own way."""
        meter = Troubled(self.clock)

        def fail() -> None:
            raise RuntimeError("a bug of the driver's")

        return Trouble(meter, lambda made: setattr(meter, "before_read", fail))

    def blocks(self) -> Trouble:
        """A meter that does not come back."""
        meter = Troubled(self.clock)
        held: list[Sticking] = []

        def begin(made: StillRecorder) -> None:
            held.append(Sticking(made.sampler, meter))
            held[0].begin()
            self.clock.advance(0.5)
            assert made.sampler.overdue(S // 2)

        return Trouble(meter, begin, lambda made: held[0].release())

    def loses_permission(self) -> Trouble:
        """RAPL's counter may not be read any more."""
        return self._rapl(PermissionError(13, "Permission denied"))

    def vanishes(self) -> Trouble:
        """The file of RAPL's counter goes away, as when the last CPU of a package is taken offline."""
        return self._rapl(OSError(19, "No such device"))

    def drops_off(self) -> Trouble:
        """A GPU falls off the bus, and comes back."""
        return self._nvml(Gpu(power=((1.0, POWER_W),)).lost(STARTS_S + TROUBLE_S, STARTS_S + OVER_S), 0.1)

    def drops_off_for_good(self) -> Trouble:
        """A GPU falls off the bus."""
        return self._nvml(Gpu(power=((1.0, POWER_W),)).lost(STARTS_S + TROUBLE_S), 0.1)

    def drops_off_without_a_counter(self) -> Trouble:
        """A GPU that has no counter falls off the bus, and comes back: nobody counted meanwhile."""
        return self._nvml(pascal(power=((1.0, POWER_W),)).lost(STARTS_S + TROUBLE_S, STARTS_S + OVER_S), 0.1)

    def _rapl(self, error: OSError) -> Trouble:
        tree, clock = PowercapTree(self._folder, "server_no_dram", POWER_W), self.clock

        class OnTree(RaplMeter):
            def read(self) -> Iterable[float]:
                tree.update(clock.monotonic_ns() / S)
                return super().read()

        true_pread = os.pread

        def pread(descriptor: int, *arguments: int) -> bytes:
            if os.readlink(f"/proc/self/fd/{descriptor}").endswith("energy_uj"):
                raise error
            return true_pread(descriptor, *arguments)

        meter = OnTree(tree.root)
        return Trouble(
            meter,
            lambda made: self._monkeypatch.setattr(os, "pread", pread),
            lambda made: self._monkeypatch.setattr(os, "pread", true_pread),
            0.001,
        )

    def _nvml(self, gpu: Gpu, within_s: float) -> Trouble:
        pynvml = pytest.importorskip("pynvml", reason="nvidia-ml-py is not installed")
        if not can_build():
            pytest.skip("there is no C compiler, cc")
        fake, clock = FakeNvml(self._folder, [gpu]), self.clock
        fake.load()
        fake.set_time(STARTS_S)

        class OnFake(NvmlMeter):
            def read(self) -> Iterable[float]:
                fake.set_time(clock.monotonic_ns() / S)
                return super().read()

        return Trouble(OnFake(pynvml, {}, clock.monotonic_ns, sees_all_pids=False), within_s=within_s)


def recorded(clock: OwnedClock, trouble: Trouble, sink: Kept | None = None) -> StillRecorder:
    """A run of 40 s with the trouble in it."""
    made = recorder(clock, sink or Kept(), trouble.meter, Counter(clock, GOOD_W, (GOOD,)))
    span = made.begin("before")
    go_to(made, clock, BEFORE[1])
    made.finish(span)
    span = made.begin("during")
    go_to(made, clock, TROUBLE_S)
    trouble.begin(made)
    go_to(made, clock, INSIDE[0])
    inside = made.begin("inside")
    go_to(made, clock, INSIDE[1])
    made.finish(inside)
    go_to(made, clock, OVER_S)
    trouble.end(made)
    go_to(made, clock, DURING[1])
    made.finish(span)
    span = made.begin("after")
    go_to(made, clock, AFTER[1])
    made.finish(span)
    made.stop()
    return made


def go_to(made: StillRecorder, clock: OwnedClock, seconds: float) -> None:
    made.run_for(seconds + STARTS_S - clock.monotonic_ns() / S)


def cost(made: StillRecorder, span: tuple[float, float]) -> Footprint:
    pricer = Pricer(together([made.trace(made.clock.monotonic_ns())]), price())
    return pricer.footprint(*(round((STARTS_S + edge_s) * S) for edge_s in span))


def gaps(made: StillRecorder, channel: str) -> list[tuple[str, float, float, bool]]:
    found = next(log for log in made.sampler.channels() if log.channel.id == channel).gaps
    return [(gap.why, gap.start_ns / S - STARTS_S, gap.end_ns / S - STARTS_S, gap.energy_known) for gap in found]


def assert_well(found: Footprint, span: tuple[float, float], within_j: float) -> None:
    """Both channels are measured, wholly, and the bounds hold the truth."""
    truth_j = (POWER_W + GOOD_W) * (span[1] - span[0])
    energy = found.node_energy_j
    assert energy.value == pytest.approx(truth_j, abs=within_j)
    assert energy.missing == found.energy_j.missing == ()
    assert energy.low is not None
    assert energy.high is not None
    assert energy.low - 1e-6 <= truth_j <= energy.high + 1e-6
    assert found.coverage == pytest.approx(1, abs=0.02)


# -- it gets over it, and its counter went on meanwhile ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("befalls", "why"),
    [
        (World.fails, "failed"),
        (World.loses_permission, "failed"),
        (World.vanishes, "failed"),
        (World.drops_off, "failed"),
        (World.blocks, "stuck"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_what_a_counter_kept_while_it_could_not_be_read_is_counted_and_the_time_is_not_covered(
    world: World, clock: OwnedClock, befalls: Callable[[World], Trouble], why: str
) -> None:
    trouble = befalls(world)
    made = recorded(clock, trouble)
    within_s, within_j = 0.051 + 1.5 * trouble.within_s, 1e-6 + POWER_W * trouble.within_s
    ((found_why, start_s, end_s, known),) = gaps(made, trouble.meter.channels[0].id)
    assert (found_why, known) == (why, True)
    assert start_s == pytest.approx(TROUBLE_S, abs=within_s)
    assert end_s == pytest.approx(OVER_S, abs=within_s)
    assert gaps(made, GOOD) == []
    assert_well(cost(made, BEFORE), BEFORE, within_j)
    assert_well(cost(made, AFTER), AFTER, within_j)
    during = cost(made, DURING)
    truth_j = (POWER_W + GOOD_W) * 20
    assert during.node_energy_j.value == pytest.approx(truth_j, abs=within_j)
    assert during.node_energy_j.missing == ()
    assert during.coverage == pytest.approx(1 - (end_s - start_s) / 20, abs=1e-6)
    inside = cost(made, INSIDE)
    assert inside.coverage == pytest.approx(0, abs=1e-9)
    low, high = inside.node_energy_j.low, inside.node_energy_j.high
    assert low is not None
    assert high is not None
    assert low <= GOOD_W * 8 + within_j  # it may all have been before or after that
    assert high >= (POWER_W + GOOD_W) * 8


# -- it does not get over it ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("befalls", "why"),
    [
        (World.fails, "failed"),
        (World.raises, "failed"),
        (World.loses_permission, "failed"),
        (World.vanishes, "failed"),
        (World.drops_off_for_good, "failed"),
        (World.blocks, "stuck"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_a_channel_that_is_lost_is_missing_from_then_on_and_never_zero(
    world: World, clock: OwnedClock, befalls: Callable[[World], Trouble], why: str
) -> None:
    trouble, sink = befalls(world), Kept()
    release, trouble.end = trouble.end, lambda made: None
    made = recorded(clock, trouble, sink)
    name = f"alpha/{trouble.meter.channels[0].id}"
    within_s, within_j = 0.051 + 1.5 * trouble.within_s, 1e-6 + 2 * POWER_W * trouble.within_s
    ((found_why, start_s, end_s, known),) = gaps(made, trouble.meter.channels[0].id)
    assert (found_why, end_s, known) == (why, 40.0, False)
    assert start_s == pytest.approx(TROUBLE_S, abs=within_s)

    assert_well(cost(made, BEFORE), BEFORE, within_j)
    during, after = cost(made, DURING), cost(made, AFTER)
    for found, seconds in ((during, 30.0 - start_s), (after, 10.0), (cost(made, RUN), 40.0 - start_s)):
        for figure in (found.energy_j, found.node_energy_j, found.facility_energy_j, found.carbon_g):
            assert figure.high is None
            assert figure.missing == (f"{name}: {why} for {seconds:.3g} s",)
    assert during.node_energy_j.value == pytest.approx(POWER_W * 2 + GOOD_W * 20, abs=2 * within_j)
    assert during.coverage == pytest.approx((start_s - 10) / 20, abs=0.01)
    channel = next(figure for figure in after.channels if figure.id == name)
    assert (channel.energy_j.value, channel.node_energy_j.value) == (None, None)
    assert channel.energy_j.method == "missing"
    assert after.node_energy_j.value == pytest.approx(GOOD_W * 10)
    assert after.coverage == pytest.approx(0, abs=1e-9)
    release(made)


def test_where_all_meters_are_lost_a_span_has_no_figure_at_all(clock: OwnedClock) -> None:
    meters = [Troubled(clock, f"gpu:{name}") for name in "AB"]
    made = recorder(clock, Kept(), *meters)
    made.run_for(1)
    for meter in meters:
        meter.failing = True
    made.run_for(2)
    made.stop()
    lost = cost(made, (1.5, 3.0))
    for figure in (lost.energy_j, lost.node_energy_j, lost.facility_energy_j, lost.carbon_g):
        assert (figure.value, figure.method) == (None, "missing")
        assert figure.missing == ("alpha/gpu:A: failed for 1.5 s", "alpha/gpu:B: failed for 1.5 s")


# -- what it counted is gone ------------------------------------------------------------------------------------------


def test_a_counter_that_goes_backwards_is_missing_for_the_time_to_its_last_reading_alone(clock: OwnedClock) -> None:
    meter = Troubled(clock)
    made = recorded(clock, Trouble(meter, lambda made: meter.begin_again()))
    assert gaps(made, "gpu:A") == [("reset", pytest.approx(12.0), pytest.approx(12.05), False)]
    assert_well(cost(made, BEFORE), BEFORE, 1e-6)
    assert_well(cost(made, AFTER), AFTER, 1e-6)
    during = cost(made, DURING)
    assert during.node_energy_j.value == pytest.approx((POWER_W + GOOD_W) * 20 - POWER_W * 0.05)
    assert (during.node_energy_j.high, during.node_energy_j.missing) == (None, ("alpha/gpu:A: reset for 0.05 s",))
    assert during.coverage == pytest.approx(1 - 0.05 / 20)


def test_a_gpu_without_a_counter_that_drops_off_is_missing_for_just_that_time(world: World, clock: OwnedClock) -> None:
    trouble = world.drops_off_without_a_counter()
    made = recorded(clock, trouble)
    name = trouble.meter.channels[0].id
    ((why, start_s, end_s, known),) = gaps(made, name)
    assert (why, known) == ("reset", False)
    assert (start_s, end_s) == (pytest.approx(TROUBLE_S, abs=0.21), pytest.approx(OVER_S, abs=0.21))
    assert_well(cost(made, BEFORE), BEFORE, POWER_W * 0.1)
    assert_well(cost(made, AFTER), AFTER, POWER_W * 0.1)
    during = cost(made, DURING)
    assert during.node_energy_j.value == pytest.approx((POWER_W + GOOD_W) * 20 - POWER_W * 10, abs=POWER_W * 0.2)
    assert during.node_energy_j.missing == (f"alpha/{name}: reset for {end_s - start_s:.3g} s",)
    assert during.node_energy_j.high is None
    assert cost(made, INSIDE).node_energy_j.value == pytest.approx(GOOD_W * 8)


def test_two_wraps_between_two_readings_are_no_known_energy_and_one_is(clock: OwnedClock) -> None:
    # At no more than 200 W, 800 J take 4 s or more: after the 8 s it may have come around twice, after the 3 s once.
    meter = Troubled(clock, wraps_at_j=800.0, max_w=200.0)
    made = recorder(clock, Kept(), meter)
    made.run_for(1)
    clock.advance(3)
    made.run_for(1)
    clock.advance(8)
    made.run_for(1)
    made.stop()
    assert [(why, known) for why, _, _, known in gaps(made, "gpu:A")] == [("late", True), ("late", False)]
    one, two = cost(made, (0.0, 5.0)), cost(made, (5.0, 14.0))
    assert (one.energy_j.value, one.energy_j.missing) == (pytest.approx(500), ())
    assert two.energy_j.value is not None
    assert two.energy_j.value < 900
    assert (two.energy_j.high, two.energy_j.missing) == (None, ("alpha/gpu:A: late for 8.05 s",))


# -- clocks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by_s", [3600.0, -3600.0])
def test_a_clock_that_is_set_in_mid_run_moves_no_joule_and_hides_no_time(clock: OwnedClock, by_s: float) -> None:
    sink = Kept()
    made = recorded(clock, Trouble(Troubled(clock), lambda made: clock.set_wall(by_s)), sink)
    for span in (BEFORE, DURING, AFTER, RUN):
        found = cost(made, span)
        assert_well(found, span, 1e-6)
        assert found.duration_s == span[1] - span[0]
        assert found.coverage == 1
    assert [note.text for note in sink.of(Note)] == [f"the wall clock was set by {by_s:+.1f} s"]


def test_a_suspend_is_time_that_nothing_covered_and_moves_no_joule(clock: OwnedClock) -> None:
    made = recorded(clock, Trouble(Troubled(clock), lambda made: clock.suspend(60.0)))
    during = cost(made, DURING)
    assert during.duration_s == 20
    assert during.node_energy_j.value == pytest.approx((POWER_W + GOOD_W) * 20)
    assert during.coverage == pytest.approx(20 / 80, abs=0.02)
    for span in (BEFORE, AFTER):
        assert_well(cost(made, span), span, 1e-6)


# -- all at once ------------------------------------------------------------------------------------------------------


def test_of_forty_meters_each_that_fails_is_named_for_its_own_time_and_the_others_are_whole(
    clock: OwnedClock, caplog: pytest.LogCaptureFixture
) -> None:
    meters = [Troubled(clock, f"gpu:{number:02}", 10.0 + number) for number in range(40)]
    made = recorder(clock, Kept(), *meters)
    for number in range(0, 40, 4):
        made.run_for(0.5)
        meters[number].failing = True
    for number in range(0, 20, 4):
        made.run_for(0.5)
        meters[number].failing = False  # the first five get over it
    made.run_for(1)
    made.stop()
    seconds = clock.monotonic_ns() / S - STARTS_S
    found = cost(made, (0.0, seconds))
    lost_s = {number: seconds - 0.5 * (number / 4 + 1) for number in range(20, 40, 4)}
    assert found.energy_j.missing == tuple(f"alpha/gpu:{n:02}: failed for {s:.3g} s" for n, s in lost_s.items())
    assert found.energy_j.high is None
    truth_j = [meter.power_w * (seconds - lost_s.get(number, 0.0)) for number, meter in enumerate(meters)]
    assert [channel.energy_j.value for channel in found.channels] == pytest.approx(truth_j)
    assert found.energy_j.value == pytest.approx(sum(truth_j))
    assert found.coverage == pytest.approx(1 - max(lost_s.values()) / seconds)


EVENTS = st.tuples(
    st.integers(1, 30), st.integers(0, 2), st.sampled_from(["fail", "recover", "begin again", "pause", "suspend"])
)


@given(st.lists(EVENTS, max_size=25), st.lists(st.integers(0, 400), min_size=1, max_size=4))
def test_whatever_happens_the_truth_is_within_the_bounds_or_what_is_missing_is_named(
    events: Sequence[tuple[int, int, str]], edges: Sequence[int]
) -> None:
    clock = OwnedClock(mono_s=STARTS_S)
    meters = [Troubled(clock, f"gpu:{name}", 50.0 * (number + 1)) for number, name in enumerate("ABC")]
    made = recorder(clock, Kept(), *meters)
    with edges_at(made, clock, edges) as pass_time:
        for steps, number, what in events:
            pass_time(steps)
            if what == "fail":
                meters[number].failing = True
            elif what == "recover":
                meters[number].failing = False
            elif what == "begin again":
                meters[number].begin_again()
            elif what == "pause":
                clock.advance(steps / 10)
            else:
                clock.suspend(steps / 10)
        pass_time(3)
    made.stop()
    end_s = clock.monotonic_ns() / S - STARTS_S
    marked = sorted({0.0, end_s, *(edge / 20 for edge in edges if edge / 20 < end_s - 0.01)})
    for span in [(0.0, end_s), *pairwise(marked)]:
        found = cost(made, span)
        for channel, meter in zip(found.channels, meters, strict=True):
            truth_j = meter.power_w * (span[1] - span[0])
            holes_s = sum(
                max(0.0, min(e, span[1]) - max(s, span[0])) for _, s, e, k in gaps(made, channel.id[6:]) if not k
            )
            figure = channel.node_energy_j
            assert bool(figure.missing) == (figure.high is None) == (holes_s > 1e-6)
            if figure.value is None:
                assert holes_s == pytest.approx(span[1] - span[0], abs=1e-6)
                continue
            assert figure.low is not None
            assert figure.low <= truth_j + 1e-6
            assert figure.value > 0
            if figure.high is not None:
                assert truth_j <= figure.high + 1e-6
            assert figure.missing == () or figure.missing[0].startswith(channel.id)
        assert set(found.node_energy_j.missing) == {
            phrase for c in found.channels for phrase in c.node_energy_j.missing
        }
        assert 0 <= found.coverage <= 1


@contextmanager
def edges_at(made: StillRecorder, clock: OwnedClock, edges: Iterable[int]) -> Iterator[Callable[[int], None]]:
    """Lets time pass in steps of 0.05 s, and marks edges of spans (in such steps since the start) when they are due."""
    due = sorted(edges)

    def pass_time(steps: int) -> None:
        for _ in range(steps):
            made.run_for(0.05)
            while due and due[0] <= round((clock.monotonic_ns() / S - STARTS_S) * 20):
                made.edge(round((STARTS_S + due.pop(0) / 20) * S))

    yield pass_time
