"""What the CPUs drew at the loads that a run saw, while their counters were readable: kept for when they are not.

A look costs a few additions: energy and busy time go into one of ten bins of load, and the lines of a run of a month
take no more memory than those of a minute. At the run's end a line is drawn from the idle machine to the highest load
that lasted. A line fitted to all loads would be no better: power bends with load, and the fit leaves the ends, where
machines spend their time (benchmarks/cpu_model.py, which also says from which loads a line is worth keeping).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from joulegram.host.processes import cpu_count
from joulegram.meters.cpu_model import LEARNED_GAIN
from joulegram.recorder.channel import ChannelLog
from joulegram.units import NS_PER_S

COUNTERS = ("rapl", "perf_rapl")
"""The meters whose `cpu` channels are all the packages of this node, and nothing else."""
WINDOW_NS = 10 * NS_PER_S
"""The counters' samples and the looks at the load are a tenth of a second apart at most: a hundredth of this."""
BINS = 10
LASTING_S = 30.0
"""How long a load has to have been seen."""
LEAST_FULL = 0.5
"""A line that ends at less load than this says too little about full load; as does one that does not begin idle, which
the first bin is: without either of these its bounds would be as wide as those of no profile."""


@dataclass(slots=True)
class Bin:
    """What was seen of loads that are alike: for how long (s), core-seconds busy, joules."""

    seconds: float = 0.0
    busy_s: float = 0.0
    joules: float = 0.0


@dataclass(frozen=True, slots=True)
class Line:
    """Power (W) at no load and at full load, the loads (0 to 1) that it was drawn between, and how it fits those there.

    `residual` is how far, as a part of the line, the power of the loads in between lay from it at most.
    """

    idle_w: float
    full_w: float
    loads: tuple[float, float]
    residual: float = 0.0


class CpuPower:
    """Energy and load of one node's CPUs, by load. Owned by the sampler's thread.

    Args:
        threads: logical CPUs of the node.
    """

    def __init__(self, threads: int | None = None) -> None:
        self._threads = threads or cpu_count()
        self._bins = [Bin() for _ in range(BINS)]
        self._since: _Look | None = None

    def look(self, time_ns: int, busy_s: float, packages: Sequence[ChannelLog]) -> None:
        """Takes in what was used since the look before.

        Args:
            time_ns: of the look at the load (ns).
            busy_s: core-seconds of the node by then.
            packages: the channels of its CPU counters.
        """
        now = _Look.of(time_ns, busy_s, packages)
        if now is None or self._since is None or now.gaps != self._since.gaps:
            self._since = now
        elif time_ns - self._since.time_ns >= WINDOW_NS:
            self._add(self._since, now)
            self._since = now

    def line(self) -> Line | None:
        """From the idle machine to its highest load that lasted; None where the run has not seen enough of them."""
        lasting = [entry for entry in self._bins if entry.seconds >= LASTING_S]
        if not lasting or lasting[0] is not self._bins[0]:
            return None
        (low, low_w), (high, high_w) = self._mean(lasting[0]), self._mean(lasting[-1])
        slope_w = (high_w - low_w) / (high - low) if high >= LEAST_FULL else 0.0
        if slope_w <= 0:
            return None
        idle_w = max(0.0, low_w - slope_w * low)
        ratios = [watts / (idle_w + slope_w * load) for load, watts in map(self._mean, lasting[1:-1])]
        if not all(LEARNED_GAIN[0] <= ratio <= LEARNED_GAIN[1] for ratio in ratios):
            return None  # whatever this machine's power follows, it is not its load
        residual = max((abs(ratio - 1) for ratio in ratios), default=0.0)
        return Line(idle_w, high_w + slope_w * (1 - high), (low, high), residual)

    def _add(self, since: _Look, now: _Look) -> None:
        seconds = (now.time_ns - since.time_ns) / NS_PER_S
        watts = sum(
            (joules - before_j) * NS_PER_S / (at_ns - before_ns)
            for (before_ns, before_j), (at_ns, joules) in zip(since.counted, now.counted, strict=True)
            if at_ns > before_ns
        )
        busy_s = now.busy_s - since.busy_s
        entry = self._bins[min(BINS - 1, int(BINS * busy_s / seconds / self._threads))]
        entry.seconds += seconds
        entry.busy_s += busy_s
        entry.joules += watts * seconds

    def _mean(self, entry: Bin) -> tuple[float, float]:
        """Load (0 to 1) and power (W)."""
        return min(1.0, entry.busy_s / entry.seconds / self._threads), entry.joules / entry.seconds


@dataclass(frozen=True, slots=True)
class _Look:
    time_ns: int
    busy_s: float
    counted: tuple[tuple[int, float], ...]
    gaps: int
    """Gaps of the channels so far: over a new one the energy may be unknown."""

    @classmethod
    def of(cls, time_ns: int, busy_s: float, packages: Sequence[ChannelLog]) -> _Look | None:
        tips = tuple(channel.node.tip for channel in packages)
        counted = tuple(tip for tip in tips if tip is not None)
        if not counted or len(counted) < len(tips):
            return None
        return cls(time_ns, busy_s, counted, sum(len(channel.gaps) for channel in packages))


def keep_learned(power: CpuPower, host: str) -> None:
    """Keeps the line of a run as this machine's profile, unless it has a better one.

    Raises:
        OSError: the file cannot be written.
    """
    line = power.line()
    if line is None:
        return
    from datetime import UTC, datetime

    from joulegram.host.cpu import cpus_of
    from joulegram.host.profile import Profile, keep, own, profiles

    cpus = cpus_of()
    known = own(host, cpus, profiles())
    if known is not None and not known.narrower_than(line.loads):
        return
    low, high = line.loads
    off = f", up to {line.residual:.0%} off the line in between" if line.residual else ""
    source = f"learned from a run that could read the counters, at loads from {low:.0%} to {high:.0%}{off}"
    date = datetime.now(UTC).date().isoformat()
    idle_w, full_w = round(line.idle_w, 2), round(line.full_w, 2)
    keep(Profile(host, cpus.name, cpus.threads, idle_w, full_w, source, date, line.loads))
