"""A day of ten channels at 20 Hz: how large its journal gets, and whether the recorder's memory stays flat.

The real recorder, sampler and journal writer, driven by hand on a clock that is moved on from sample to sample. By
default two hours are simulated and the journal's growth over the second one is taken for 23 hours more; `--full`
simulates the whole day.
"""

from __future__ import annotations

import gc
import random
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

from measure import Figure

from joulegram.config import Settings
from joulegram.host.clock import Clock
from joulegram.ledger.writer import JournalWriter
from joulegram.meters import Meter
from joulegram.recorder import sharing
from joulegram.recorder.opening import Opened
from joulegram.recorder.recorder import FLUSH_NS, Recorder
from joulegram.records import Anchor, Channel, Header, SpanRecord
from joulegram.units import NS_PER_S

CHANNELS = 10
HOUR_S, DAY_H = 3600, 24
PERIOD_NS = NS_PER_S // 20
IDLE_W, LOAD_W, NOISE_W = 60.0, 300.0, 15.0
STEP_S = 0.3

Power = Callable[[float], float]
"""Watts of a channel at a moment (s)."""


class MovedClock(Clock):
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        super().__init__("node-0123")
        self.now_ns = 5_000_000 * NS_PER_S

    def monotonic_ns(self) -> int:
        return self.now_ns

    def anchor(self) -> Anchor:
        return Anchor(self.now_ns, self.now_ns, self.now_ns + 1_700_000_000 * NS_PER_S)


class SteadyNode:
    """Stands in for /proc/stat: sixteen cores busy."""

    def __init__(self, clock: MovedClock) -> None:
        self._clock = clock

    def busy_s(self) -> float:
        return self._clock.now_ns / NS_PER_S * 16

    def close(self) -> None:
        pass


class SteadyTree:
    """Stands in for the look at processes: half of the node's busy time is this run's."""

    root = 1
    root_s = 0.0

    def __init__(self, clock: MovedClock) -> None:
        self._clock = clock

    @property
    def total_s(self) -> float:
        return self._clock.now_ns / NS_PER_S * 8

    def look(self, wanted: object = ()) -> dict[int, float]:
        del wanted
        return {}

    def outside(self, subtrees: object) -> frozenset[int]:
        del subtrees
        return frozenset()


class TenChannels(Meter):
    """Two CPU packages, whose energy is shared, and eight GPUs; counters in millijoules, as NVML has them."""

    period_s: ClassVar[float] = PERIOD_NS / NS_PER_S

    def __init__(self, clock: MovedClock, power: Power) -> None:
        cpus = [
            Channel(f"cpu:package-{n}", "cpu", "measured", "RAPL", share="cpu", max_w=400.0, idle_w=IDLE_W)
            for n in range(2)
        ]
        gpus = [
            Channel(f"gpu:GPU-{n:08x}-89ab-cdef-0123-456789abcdef", "gpu", "measured", "NVML", max_w=700.0)
            for n in range(CHANNELS - 2)
        ]
        self.channels = [*cpus, *gpus]
        self._clock, self._power = clock, power
        self._read_ns = clock.now_ns
        self._energy_j = [1_000_000.0 + 1000 * n for n in range(CHANNELS)]

    def read(self) -> list[float]:
        now_ns, before_ns = self._clock.now_ns, self._read_ns
        self._read_ns = now_ns
        for n in range(CHANNELS):
            self._energy_j[n] += self._power(now_ns / NS_PER_S) * (now_ns - before_ns) / NS_PER_S
        return [round(energy_j, 3) for energy_j in self._energy_j]


class HandDriven(Recorder):
    """A recorder without threads."""

    @staticmethod
    def _start_thread(work: Any, name: str, *arguments: Any) -> None:
        del work, name, arguments


class OpenSpan:
    """The epoch that is running."""

    def __init__(self, start_ns: int) -> None:
        self._record = SpanRecord("abcdef-1", None, "epoch", "epoch", 0, start_ns, None, {"stage": "train"})

    def record(self) -> SpanRecord:
        return self._record


class Day:
    """A recording that is moved on by hand.

    Args:
        journal: where it is written.
        power: of each channel.
        phases: whether a loop marks its phases, three in every step.
    """

    def __init__(self, journal: Path, power: Power, *, phases: bool = False) -> None:
        self.journal = journal
        self._clock = MovedClock()
        self._phases = phases
        header = Header(
            "20260101-000000-abcdef", "benchmark", None, "train", None, self._clock.host, "boot", 1, "1", 0,
            self._clock.now_ns, self._clock.anchor(),
        )  # fmt: skip
        meter = TenChannels(self._clock, power)
        sharing.NodeTimes = lambda: SteadyNode(self._clock)  # type: ignore[assignment, misc, return-value]
        sharing.ProcessTree = lambda: SteadyTree(self._clock)  # type: ignore[assignment, misc, return-value]
        self._recorder = HandDriven(
            header, Settings(meters=()), JournalWriter(journal), self._clock, [Opened("ten", meter)]
        )
        self._recorder.opened(OpenSpan(self._clock.now_ns))
        self._sampler = self._recorder._sampler
        self._flushed_ns = self._clock.now_ns
        self._tick()

    def go_on(self, hours: float) -> None:
        end_ns = self._clock.now_ns + int(hours * HOUR_S) * NS_PER_S
        while self._clock.now_ns < end_ns:
            self._clock.now_ns += PERIOD_NS
            self._tick()

    def _tick(self) -> None:
        if self._phases:
            now_s = self._clock.now_ns / NS_PER_S
            for part, phase in ((0.0, "data"), (0.1, "forward"), (0.4, "backward")):
                if (now_s - part * STEP_S) % STEP_S < PERIOD_NS / NS_PER_S:
                    self._recorder.phase(self._clock.now_ns - PERIOD_NS // 2, phase)
        self._sampler.tick()
        if self._clock.now_ns - self._flushed_ns >= FLUSH_NS:
            self._flushed_ns = self._clock.now_ns
            self._recorder._flush(closing=False)

    @property
    def bytes(self) -> int:
        return self.journal.stat().st_size


def steady(now_s: float) -> float:
    del now_s
    return LOAD_W


def noisy(generator: random.Random) -> Power:
    """Steady load under white noise."""
    return lambda _: generator.gauss(LOAD_W, NOISE_W)


class LoadSteps:
    """A load that jumps every 1 to 30 s, under noise."""

    def __init__(self, generator: random.Random) -> None:
        self._random, self._until_s, self._level_w = generator, 0.0, LOAD_W

    def __call__(self, now_s: float) -> float:
        if now_s >= self._until_s:
            self._until_s = now_s + self._random.uniform(1, 30)
            self._level_w = self._random.uniform(IDLE_W, LOAD_W)
        return self._random.gauss(self._level_w, NOISE_W / 3)


def measure(full: bool) -> Iterator[Figure]:
    hours = DAY_H if full else 2
    what = "journal of 24 h × 10 channels at 20 Hz"
    loads = (
        ("steady load", Day(Path("steady"), steady), 20.0),
        ("steady load under 5 % noise", Day(Path("noisy"), noisy(random.Random(0))), 20.0),
        ("load steps of 1 – 30 s", Day(Path("steps"), LoadSteps(random.Random(0))), None),
        ("steady load, with phases", Day(Path("phases"), steady, phases=True), None),
    )
    for name, day, most in loads:
        yield Figure(f"{what}, {name}", [_day_bytes(day, hours) / 1e6], "MB", most, _how(hours))
    yield _memory(hours)


def _how(hours: int) -> str:
    return "simulated whole" if hours == DAY_H else f"{hours} h simulated; its last hour taken for the rest"


def _day_bytes(day: Day, hours: int) -> float:
    day.go_on(hours - 1)
    before = day.bytes
    day.go_on(1)
    return day.bytes + (day.bytes - before) * (DAY_H - hours)


def _memory(hours: int) -> Figure:
    """Growth of the recorder's heap from a quarter of the time on, for each hour."""
    tracemalloc.start()
    day = Day(Path("memory"), steady)
    day.go_on(hours / 4)
    gc.collect()
    before = tracemalloc.get_traced_memory()[0]
    day.go_on(hours * 3 / 4)
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return Figure(
        "the recorder's heap, growth per day at steady load", [grown / (hours * 3 / 4) * DAY_H / 1e6], "MB", 1.0
    )
