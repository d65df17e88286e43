"""What is known of phases shorter than a counter's refresh: least squares over its intervals, against the true joules.

Training steps of four phases, 6 to 24 ms each, whose lengths and powers vary from step to step; a counter that
refreshes every 100 ms. The real recorder's channel, trace and pricing, on a virtual clock, over random alignments.
Where a figure is claimed, its bounds have to hold the truth in 95 % of all cases; where it is not, the time splits the
joules, and the bounds are nothing and everything.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from bench_method import BOOK, _curve
from measure import Figure

from joulegram.curves.phases import OTHER
from joulegram.curves.timeline import Timeline
from joulegram.curves.trace import RecorderTrace, channel_trace, together
from joulegram.pricing import PhaseFigure, Pricer
from joulegram.recorder.channel import ChannelLog
from joulegram.recorder.phases import PhaseLog
from joulegram.records import Anchor, Channel, Header
from joulegram.units import NS_PER_S

REFRESH_S, READ_S, QUANTUM_J, START_S = 0.1, 0.05, 0.001, 1000.0
STEP = (("data", 0.018, 60.0), ("forward", 0.012, 250.0), ("backward", 0.024, 400.0), ("optimizer", 0.006, 150.0))
"""Phase, mean length (s), mean power (W)."""


@dataclass(frozen=True)
class Loop:
    """Steps of a training: when each phase began, and the joules up to then."""

    edges_s: np.ndarray
    joules: np.ndarray

    @classmethod
    def of(cls, steps: int, vary: float, waits: float = 0.0) -> Loop:
        """Random steps: lengths vary by `vary` of their means, powers by half as much.

        Args:
            steps: how many.
            vary: standard deviation of the logarithm of the lengths.
            waits: part of the steps that wait for their data, for up to a second, at half the power.
        """
        rng = np.random.default_rng(random.getrandbits(32))
        means_s, means_w = (np.tile([phase[column] for phase in STEP], steps) for column in (1, 2))
        lengths_s = means_s * np.exp(rng.normal(0, vary, len(means_s)))
        powers_w = means_w * np.exp(rng.normal(0, vary / 2, len(means_s)))
        waiting = (np.arange(len(means_s)) % len(STEP) == 0) & (rng.uniform(size=len(means_s)) < waits)
        lengths_s[waiting], powers_w[waiting] = rng.uniform(0.1, 1.0, waiting.sum()), STEP[0][2] / 2
        joules = lengths_s * powers_w
        return cls(START_S + np.append(0.0, np.cumsum(lengths_s)), np.append(0.0, np.cumsum(joules)))

    def true_j(self) -> dict[str, float]:
        """Joules of each phase."""
        spent = np.diff(self.joules)
        return {phase: float(spent[number :: len(STEP)].sum()) for number, (phase, _, _) in enumerate(STEP)}


@dataclass(frozen=True)
class Told:
    """What was said of one phase of one loop, and what is true."""

    phase: str
    figure: PhaseFigure
    true_j: float
    by_time_j: float

    @property
    def claimed(self) -> bool:
        return "least squares" in self.figure.energy_j.how

    @property
    def contained(self) -> bool:
        energy = self.figure.energy_j
        assert energy.low is not None
        assert energy.high is not None
        return energy.low <= self.true_j <= energy.high

    @property
    def error(self) -> float:
        return abs(float(self.figure.energy_j) / self.true_j - 1) * 100

    @property
    def error_by_time(self) -> float:
        return abs(self.by_time_j / self.true_j - 1) * 100


def measure(full: bool) -> Iterator[Figure]:
    cases = 400 if full else 100
    random.seed(1)
    claimed: list[Told] = []
    for steps, vary, waits in ((200, 0.1, 0.0), (2000, 0.1, 0.0), (2000, 0.1, 0.02)):
        told = [found for _ in range(cases) for found in _told(Loop.of(steps, vary, waits), inferred=False)]
        what = f"{steps} steps, {'some wait' if waits else 'none waits'}"
        yield from _errors(what, told)
        claimed += [found for found in told if found.claimed]
    outside = 100 * float(np.mean([not found.contained for found in claimed]))
    yield Figure("truth outside the bounds that least squares gives", [outside], "%", 5.0, f"{len(claimed):,} phases")
    alike = [found for _ in range(cases) for found in _told(Loop.of(2000, 0.0), inferred=False)]
    yield Figure("steps that are all alike, told apart", [_claims(alike)], "%", note="2000 steps")
    wrong = [not found.contained for found in alike]
    yield Figure("truth outside the bounds of these", [100 * float(np.mean(wrong))], "%", 5.0)
    inferred = [found for _ in range(cases // 10) for found in _told(Loop.of(2000, 0.1), inferred=True)]
    yield Figure("refreshes inferred from 20 readings a second, told apart", [_claims(inferred)], "%", 0.0)


def _errors(what: str, told: list[Told]) -> Iterator[Figure]:
    yield Figure(f"{what}: told apart", [_claims(told)], "%")
    for phase, length_s, _ in STEP:
        found = [t for t in told if t.phase == phase and t.claimed]
        if found:
            by_time = float(np.mean([t.error_by_time for t in found]))
            yield Figure(
                f"{what}: mean error of {phase} ({length_s * 1e3:.0f} ms)",
                [float(np.mean([t.error for t in found]))],
                "%",
                note=f"by time alone {by_time:.0f} %",
            )


def _claims(told: list[Told]) -> float:
    return 100 * float(np.mean([found.claimed for found in told]))


def _told(loop: Loop, inferred: bool) -> Iterator[Told]:
    """A loop as recorded: its phases' figures.

    Args:
        loop: what happened.
        inferred: whether the counter is read at any time and lags, or its readings are of known moments.
    """
    start_ns, end_ns = _ns(loop.edges_s[0]), _ns(loop.edges_s[-1])
    lag_s = REFRESH_S if inferred else 0.0
    channel = Channel("gpu:A", "gpu", "measured", "a counter", max_w=700.0, resolution_s=REFRESH_S, lag_s=lag_s)
    log, times = ChannelLog(channel, start_ns, NS_PER_S), PhaseLog(start_ns)
    entered = [*(STEP[number % len(STEP)][0] for number in range(len(loop.joules) - 1)), OTHER]
    for edge_s, phase in zip(loop.edges_s, entered, strict=True):
        for cursor in (log.cursor, times.cursor):
            cursor.add((_ns(edge_s), phase))
    refreshes_s = np.arange(START_S - REFRESH_S + random.uniform(0, REFRESH_S), loop.edges_s[-1] + 1, REFRESH_S)
    shown_j = np.floor(np.interp(refreshes_s, loop.edges_s, loop.joules) / QUANTUM_J) * QUANTUM_J
    reads_s = refreshes_s[1:]
    if inferred:
        reads_s = START_S + np.cumsum(READ_S + np.random.default_rng(random.getrandbits(32)).uniform(0, 0.003, 2**12))
    for read_s in reads_s[reads_s < refreshes_s[-1]]:
        log.sample(_ns(read_s), float(shown_j[np.searchsorted(refreshes_s, read_s, side="right") - 1]))
    log.settle(_ns(refreshes_s[-1]), True)
    log.end(_ns(refreshes_s[-1]))
    times.settle(end_ns, True)
    phases = _pricer(log, times, start_ns, end_ns).footprint(start_ns, end_ns).phases
    by_time = {name.split()[1]: curve.tip[1] for name, curve in log.curves() if name.startswith("phase ") and curve.tip}
    for phase, true_j in loop.true_j().items():
        yield Told(phase, phases[phase], true_j, by_time[phase])


def _pricer(log: ChannelLog, times: PhaseLog, start_ns: int, end_ns: int) -> Pricer:
    anchor = Anchor(start_ns, start_ns, start_ns)
    header = Header("run", "run", None, "train", None, "host", "boot", 1, "1", 0, start_ns, anchor)
    curves = {name: _curve(grown) for name, grown in (*log.curves(), *times.curves())}
    channel = channel_trace("host/gpu:A", log.described, curves, log.gaps, start_ns, end_ns, moments=log.moments)
    named = {
        kind: {name.removeprefix(f"{kind} "): curve for name, curve in curves.items() if name.startswith(f"{kind} ")}
        for kind in ("phase_s", "phase_n")
    }
    recorder = RecorderTrace(
        header, Timeline([anchor]), {channel.id: channel}, **named, start_ns=start_ns, end_ns=end_ns
    )
    return Pricer(together([recorder]), BOOK)


def _ns(seconds: float) -> int:
    return round(seconds * NS_PER_S)
