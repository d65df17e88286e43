"""What a run learns of its CPUs' power, and when it had better learn nothing."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from worlds import NOTHING, Counter, Kept, OwnedClock

from joulegram.config import learned_file, profiles_file
from joulegram.host.cohort import Cohort
from joulegram.host.cpu import cpus_of
from joulegram.host.processes import NodeTimes, cpu_count
from joulegram.host.profile import Profile, keep, own, profiles
from joulegram.recorder.channel import ALL, ChannelLog
from joulegram.recorder.learning import CpuPower, Line, keep_learned
from joulegram.recorder.opening import Opened
from joulegram.recorder.recorder import Recorder
from joulegram.recorder.sampler import Sampler
from joulegram.records import Anchor, Channel, Header
from joulegram.units import NS_PER_S

THREADS = 8
HEADER = Header("run-1", "net", None, "train", None, "alpha", "first-boot", 1, "1", 0, 0, Anchor(0, 0, 0))
Stretch = tuple[float, float]
"""Seconds, load."""


def line_w(load: float) -> float:
    return 20 + 60 * load


class Node:
    """A node of known power whose counters and load are looked at every second."""

    def __init__(self, power_w: Callable[[float], float] = line_w, packages: int = 2) -> None:
        self.learned = CpuPower(THREADS)
        self._power_w = power_w
        self._packages = [ChannelLog(Channel(f"cpu:package-{n}", "cpu", "measured", "RAPL"), 0, 10 * NS_PER_S)
                          for n in range(packages)]  # fmt: skip
        self._time_ns, self._busy_s, self._joules = 0, 0.0, 0.0
        self._look()

    def live(self, *stretches: Stretch) -> "Node":
        for seconds, load in stretches:
            for _ in range(round(seconds)):
                self._time_ns += NS_PER_S
                self._busy_s += load * THREADS
                self._joules += self._power_w(load)
                self._look()
        return self

    def fail(self) -> None:
        """For five seconds one of the counters cannot be read, and begins again."""
        self._time_ns += 5 * NS_PER_S
        self._packages[0].fail("failed")
        self._joules = 0.0
        self._look()

    def _look(self) -> None:
        for package in self._packages:
            package.sample(self._time_ns, self._joules / len(self._packages))
            package.share(ALL)
            package.settle(self._time_ns, phases_used=False)
        self.learned.look(self._time_ns, self._busy_s, self._packages)


def test_a_run_that_idled_and_worked_learns_the_line_between() -> None:
    line = Node().live((60, 0.02), (60, 0.9)).learned.line()
    assert line is not None
    assert (line.idle_w, line.full_w) == (pytest.approx(20), pytest.approx(80))
    assert line.loads == (pytest.approx(0.02), pytest.approx(0.9))


@pytest.mark.parametrize(
    "lived",
    [
        [(600, 0.0)],
        [(600, 1.0)],
        [(600, 0.15), (600, 1.0)],  # never idle
        [(600, 0.0), (600, 0.45)],  # never at work
        [(20, 0.0), (600, 1.0)],  # not for long enough
        [(600, 0.0), (20, 1.0)],
        [(3, 0.0), (3, 1.0)] * 100,  # ten seconds of both are neither
    ],
)
def test_of_too_little_a_run_learns_nothing(lived: Sequence[Stretch]) -> None:
    assert Node().live(*lived).learned.line() is None


def test_it_says_how_far_the_loads_in_between_lie_from_its_line() -> None:
    def bent_w(load: float) -> float:
        return 60.0 if load == 0.5 else line_w(load)

    line = Node(bent_w).live((60, 0.0), (60, 0.5), (60, 1.0)).learned.line()
    assert line is not None
    assert line.residual == pytest.approx(0.2)


@pytest.mark.parametrize("power_w", [lambda load: 50.0, lambda load: 80 - 60 * load, lambda load: 300 * (load == 0.5)])
def test_power_that_does_not_follow_the_load_is_no_line(power_w: Callable[[float], float]) -> None:
    assert Node(power_w).live((60, 0.0), (60, 0.5), (60, 1.0)).learned.line() is None


def test_what_a_counter_missed_is_in_no_line() -> None:
    node = Node().live((65, 0.0))
    node.fail()
    line = node.live((60, 1.0)).learned.line()
    assert line is not None
    assert (line.idle_w, line.full_w) == (pytest.approx(20), pytest.approx(80))


def test_where_no_package_is_counted_nothing_is_learned() -> None:
    assert Node(packages=0).live((60, 0.0), (60, 1.0)).learned.line() is None


def test_a_sampler_that_reads_the_packages_learns_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, load = OwnedClock(), 0.0
    busy_s = [0.0]
    monkeypatch.setattr(NodeTimes, "busy_s", lambda _: busy_s[0])
    sampler = Sampler(NOTHING, clock, Cohort("run-1"), clock.monotonic_ns())
    package = Counter(clock, line_w(0.0), ["cpu:package-0"], share="cpu")
    sampler.take(Opened("rapl", package))
    sampler.take(Opened("other", Counter(clock, 1000.0, ["cpu:of-something-else"])))
    for load in (0.0, 1.0):
        package.draw(line_w(load))
        for _ in range(600):
            clock.advance(0.1)
            busy_s[0] += 0.1 * load * cpu_count()
            sampler.tick()
    line = sampler.cpu_power.line()
    assert line is not None
    assert (line.idle_w, line.full_w) == (pytest.approx(20, rel=0.02), pytest.approx(80, rel=0.02))


# -- keeping it -----------------------------------------------------------------------------------------------------


class Learned(CpuPower):
    """A run that has learned this line."""

    def __init__(self, line: Line | None) -> None:
        self._line = line

    def line(self) -> Line | None:
        return self._line


def mine() -> Profile | None:
    return own("alpha", cpus_of(), profiles())


def test_what_was_learned_is_this_machines_profile_from_then_on() -> None:
    keep_learned(Learned(Line(10, 50, (0.0, 0.6))), "alpha")
    profile = mine()
    assert profile is not None
    assert (profile.idle_w, profile.max_w, list(profile.loads or ())) == (10, 50, [0.0, 0.6])
    assert "learned" in profile.source


def test_a_wider_range_of_loads_takes_the_place_of_a_narrower_one_and_not_the_other_way_round() -> None:
    for full_w, most in ((50, 0.6), (70, 1.0), (60, 0.8)):
        keep_learned(Learned(Line(10, full_w, (0.0, most))), "alpha")
    profile = mine()
    assert profile is not None
    assert profile.max_w == 70


def test_what_somebody_calibrated_is_never_replaced_by_what_a_run_learned() -> None:
    cpus = cpus_of()
    keep(Profile("alpha", cpus.name, cpus.threads, 12, 55, "calibrated against rapl"))
    keep_learned(Learned(Line(10, 50, (0.0, 1.0))), "alpha")
    profile = mine()
    assert profile is not None
    assert profile.max_w == 55
    assert not learned_file().exists()


def test_a_run_that_learned_something_leaves_the_calibrations_file_alone() -> None:
    keep(Profile("beta", "another", 4, 12, 55, "calibrated against rapl"))
    before = profiles_file().read_bytes()
    keep_learned(Learned(Line(10, 50, (0.0, 1.0))), "alpha")
    assert profiles_file().read_bytes() == before
    assert len(profiles()) == 2


def test_a_recorder_keeps_it_when_it_is_closed() -> None:
    clock, sink = OwnedClock(), Kept()
    recorder = Recorder(HEADER, NOTHING, sink, clock)
    recorder._sampler.cpu_power = Learned(Line(10, 50, (0.0, 0.6)))
    recorder.settle("finished", clock.monotonic_ns())
    recorder.close(None, None, {})
    assert mine() is not None


def test_a_run_that_learned_nothing_writes_nothing(tmp_path: Path) -> None:
    keep_learned(Learned(None), "alpha")
    assert not (tmp_path / "data").exists()
