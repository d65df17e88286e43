"""How exact the method is: a counter that refreshes every 100 ms, read at 20 Hz, against the true joules.

The real recorder's channel, trace and pricing, on a virtual clock, over random alignments of the counter's refreshes,
of the readings and of the spans. Its bounds have to hold the truth every time, and to be no wider than the refresh
intervals in which a span's edges may lie, which is known from the trace.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np
from measure import Figure

from joulegram.curves.curve import Curve
from joulegram.curves.door import GrowingCurve
from joulegram.curves.timeline import Timeline
from joulegram.curves.trace import RecorderTrace, channel_trace, together
from joulegram.pricing import Pricer
from joulegram.recorder.channel import ChannelLog
from joulegram.records import Anchor, Channel, Header, IntensityPoint, PriceBook, Pue
from joulegram.units import NS_PER_S

ALIGNMENTS = 500
REFRESH_S, READ_S = 0.1, 0.05
LATEST_S = READ_S + 0.006
"""Readings are never further apart than this here, so a refresh is known as well."""
QUANTUM_J = 0.001
MAX_W = 700.0
START_S = 1000.0
BOOK = PriceBook(
    Pue(1.0, 1.0, 1.0, "measured", "as given"), (IntensityPoint(1.0, 1.0, 1.0, "ZZ", "none", "static"),), "lifecycle"
)


@dataclass(frozen=True)
class Trace:
    """Power of a device: `watts[i]` for `seconds[i]`, from `START_S` on; the first before, the last after that."""

    seconds: Sequence[float]
    watts: Sequence[float]

    def joules(self, times_s: np.ndarray) -> np.ndarray:
        """Cumulative joules at any times, exactly."""
        edges = np.array([0.0, START_S, *(START_S + s for s in accumulate(self.seconds))])
        powers = np.array([self.watts[0], *self.watts])
        level = np.concatenate([[0.0], np.cumsum(np.diff(edges) * powers)])
        index = np.clip(np.searchsorted(edges, times_s, side="right") - 1, 0, len(edges) - 1)
        power = np.append(powers, self.watts[-1])
        return level[index] + (times_s - edges[index]) * power[index]

    @property
    def edges_s(self) -> list[float]:
        return [START_S, *(START_S + s for s in accumulate(self.seconds))]


@dataclass(frozen=True)
class Counted:
    """One span: its true joules, what was said of it, and the joules of the refresh intervals that hold its edges."""

    true_j: float
    value_j: float
    low_j: float
    high_j: float
    edges_j: float

    @property
    def error(self) -> float:
        return abs(self.value_j - self.true_j) / self.true_j * 100

    @property
    def contained(self) -> bool:
        return self.low_j <= self.true_j <= self.high_j

    @property
    def width(self) -> float:
        """Width of the bounds over what the refreshes at the edges leave open."""
        return (self.high_j - self.low_j) / self.edges_j


def measure(full: bool) -> Iterator[Figure]:
    alignments = ALIGNMENTS * (4 if full else 1)
    short = _all(lambda: _epochs(15, 1.3), alignments)
    long = _all(lambda: _epochs(3, 20.0), alignments)
    square = _all(lambda: _square(60.0), alignments)
    steps = _all(lambda: _steps(60.0), alignments)
    flat = _all(lambda: Trace([60.0], [200.0]), alignments)
    note = f"{alignments} alignments"
    yield Figure("epochs of 1.3 s, mean error", [_mean(short.spans)], "%", 4.0, note)
    yield Figure("epochs of 20 s, mean error", [_mean(long.spans)], "%", 0.35, note)
    runs = [long.runs, square.runs, steps.runs, flat.runs]
    for name, found in zip(("epochs", "square wave", "random steps", "constant power"), runs, strict=True):
        errors = [run.error for run in found]
        yield Figure(f"runs of 60 s, {name}, 95th percentile", [float(np.percentile(errors, 95))], "%", 0.3, note)
    everything = [*short.spans, *long.spans, *(run for found in runs for run in found), *short.runs]
    outside = 100 * sum(not counted.contained for counted in everything) / len(everything)
    yield Figure("truth outside the bounds", [outside], "%", 0.0, f"{len(everything):,} spans")
    yield Figure(
        "width of the bounds over the refresh intervals that may hold the edges",
        [float(np.max([counted.width for counted in everything]))],
        "",
        1.0,
        "the widest",
    )


@dataclass(frozen=True)
class Found:
    spans: list[Counted]
    runs: list[Counted]


def _all(make: Callable[[], Trace], alignments: int) -> Found:
    random.seed(1)
    found = Found([], [])
    for _ in range(alignments):
        trace = make()
        *spans, run = _recorded(trace)
        found.spans.extend(spans)
        found.runs.append(run)
    return found


def _recorded(trace: Trace) -> Iterator[Counted]:
    """Every stretch of constant power as a span, then the whole run."""
    edges_s = trace.edges_s
    start_s, end_s = edges_s[0], edges_s[-1]
    phase_s = random.uniform(0, REFRESH_S)
    refreshes_s = np.arange(START_S - 10 + phase_s, end_s + 3, REFRESH_S)
    shown_j = np.floor(trace.joules(refreshes_s) / QUANTUM_J) * QUANTUM_J
    log = ChannelLog(
        Channel("gpu:A", "gpu", "measured", "a counter", max_w=MAX_W, resolution_s=REFRESH_S, lag_s=REFRESH_S),
        _ns(start_s),
        NS_PER_S,
    )
    for edge_s in edges_s:
        log.cursor.add((_ns(edge_s), None))
    read_s = start_s + random.uniform(0.001, 0.03)
    while not (log.passed(_ns(end_s)) and read_s > end_s):
        log.sample(_ns(read_s), float(shown_j[np.searchsorted(refreshes_s, read_s, side="right") - 1]))
        read_s += READ_S + min(abs(random.gauss(0, 0.001)), 0.005)
    log.settle(_ns(read_s), False)
    pricer = _pricer(log, _ns(start_s), _ns(end_s))
    for span in [*pairwise(edges_s), (start_s, end_s)]:
        energy = pricer.footprint(*map(_ns, span)).energy_j
        true_j = float(np.diff(trace.joules(np.array(span)))[0])
        assert energy.value is not None, energy
        assert energy.low is not None, energy
        assert energy.high is not None, energy
        yield Counted(true_j, energy.value, energy.low, energy.high, _left_open(span, refreshes_s, trace, start_s))


def _left_open(span: tuple[float, float], refreshes_s: np.ndarray, trace: Trace, start_s: float) -> float:
    """Joules of the refresh intervals that hold a span's edges, as far as 20 readings a second can tell which."""
    open_j = 2 * QUANTUM_J
    for edge_s in span:
        before = np.searchsorted(refreshes_s, edge_s - LATEST_S, side="right") - 1
        after = np.searchsorted(refreshes_s, edge_s + LATEST_S, side="left")
        open_j += float(np.diff(trace.joules(refreshes_s[[before, after]]))[0])
    if span[0] == start_s:
        open_j += MAX_W * 0.03  # the time until the first reading
    return open_j


def _pricer(log: ChannelLog, start_ns: int, end_ns: int) -> Pricer:
    anchor = Anchor(start_ns, start_ns, start_ns)
    header = Header("run", "run", None, "train", None, "host", "boot", 1, "1", 0, start_ns, anchor)
    curves = {name: _curve(grown) for name, grown in log.curves()}
    channel = channel_trace("host/gpu:A", log.described, curves, log.gaps, start_ns, end_ns)
    recorder = RecorderTrace(header, Timeline([anchor]), {channel.id: channel}, {}, {}, start_ns, end_ns)
    return Pricer(together([recorder]), BOOK)


def _curve(grown: GrowingCurve) -> Curve:
    times, values = list(grown.times_ns), list(grown.values)
    if grown.tip is not None and grown.tip[0] > times[-1]:
        times.append(grown.tip[0])
        values.append(grown.tip[1])
    return Curve.of(times, values)


def _epochs(count: int, seconds: float) -> Trace:
    return Trace([seconds] * count, [random.uniform(50, 400) for _ in range(count)])


def _square(seconds: float) -> Trace:
    count = int(seconds / 0.35)
    return Trace([0.35] * count, [(50.0, 350.0)[n % 2] for n in range(count)])


def _steps(seconds: float) -> Trace:
    lengths: list[float] = []
    while sum(lengths) < seconds:
        lengths.append(random.uniform(0.2, 5))
    return Trace(lengths, [random.uniform(30, 600) for _ in lengths])


def _mean(spans: Sequence[Counted]) -> float:
    return float(np.mean([span.error for span in spans]))


def _ns(seconds: float) -> int:
    return round(seconds * NS_PER_S)
