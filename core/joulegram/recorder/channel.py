"""One channel's way from counter readings to curves: unwrapped, gaps kept, shared, split by phase, compressed."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import ceil, inf, isfinite
from typing import NamedTuple

from joulegram.curves.door import GrowingCurve
from joulegram.curves.phases import OTHER, Cursor
from joulegram.curves.sharing import Share, split
from joulegram.recorder.moments import MomentsLog
from joulegram.recorder.refreshes import Refreshes
from joulegram.records import Channel, Gap, PhaseMoments
from joulegram.units import NS_PER_S

EPSILON_S = 0.1
"""Compression may move a curve by the energy of this time at the running mean power."""

SLACK_S = 1.0
"""A counter that falls has wrapped around only if it could have come so far in the time, and this much more."""

SHARP_NS = 1_000_000
KEEP_NS = 10 * NS_PER_S
"""The sums that tell phases apart are kept at the first edge of a span after this time."""

Piece = tuple[int, str, int, bool]


class Settled(NamedTuple):
    """A counter's rise between two good samples, with the recorder's share of it.

    Args:
        channel: what is known of the channel by now.
        start_ns: the sample before (ns).
        end_ns: this sample (ns).
        energy_j: the rise (J), of all of the device.
        share: the part that is this recorder's.
        raw_j: what the counter showed at the end (J).
    """

    channel: Channel
    start_ns: int
    end_ns: int
    energy_j: float
    share: Share
    raw_j: float


def unwrapped(rise_j: float, elapsed_s: float, channel: Channel) -> tuple[float, bool]:
    """The rise of a counter between two readings, and whether it is all of it.

    Args:
        rise_j: the later reading less the earlier (J).
        elapsed_s: time between them (s).
        channel: tells where the counter wraps, and how fast it can rise.

    Returns:
        The rise (J), below zero if the counter did not come there by counting; False if it may have come around twice.
    """
    if channel.wraps_at_j is None:
        return rise_j, True
    most_w = inf if channel.max_w is None else channel.max_w
    if rise_j < 0 <= rise_j + channel.wraps_at_j <= most_w * (elapsed_s + SLACK_S):
        rise_j += channel.wraps_at_j
    # Away for long enough to come around twice, a counter tells the least and no more.
    return rise_j, most_w == inf or most_w * elapsed_s < channel.wraps_at_j


ALL = Share(reserved=1.0, cpu=1.0)


@dataclass(slots=True)
class _Interval:
    """Energy between two good samples, until its share is known and its marks are in."""

    start_ns: int
    end_ns: int
    energy_j: float
    raw_j: float
    share: Share | None
    sound: bool = True
    """Whether there is no gap in it."""


class ChannelLog:
    """The curves of one channel. Owned by the sampler's thread.

    Args:
        channel: what its meter says of it.
        start_ns: when the run started; the time to the first sample is a gap.
        late_ns: samples further apart than this leave a gap between them.
    """

    def __init__(self, channel: Channel, start_ns: int, late_ns: int) -> None:
        self.channel = self._told = channel
        self.cursor = Cursor()
        self.node = GrowingCurve()
        self.run = GrowingCurve()
        self.phases: dict[str, GrowingCurve] = {}
        self.gaps: list[Gap] = []
        self.moments: list[PhaseMoments] = []
        self.settled: deque[Settled] | None = None
        """Where every interval is put once it is settled, for who shares it out further."""
        self._moments = MomentsLog(channel.id)
        self._is_sharp = channel.method == "measured" and channel.slack_ns <= SHARP_NS
        """Whether it is known when its counter had its readings: only then they tell short phases apart."""
        self._start_ns = start_ns
        self._late_ns = late_ns
        self._last_ns = start_ns
        self._last: tuple[int, float] | None = None
        self._failed: str | None = None
        self._last_share: Share | None = None
        self._pending: deque[_Interval] = deque()
        self._refreshes = Refreshes(int(channel.lag_s * NS_PER_S))
        self._after_edge = False
        self._node_j = self._run_j = 0.0
        self._phase_j: dict[str, float] = {}

    @property
    def on_device(self) -> bool:
        """Whether its joules are an accelerator's, which comes to a phase later than the loop does."""
        return self.channel.kind == "gpu"

    @property
    def described(self) -> Channel:
        """What its meter said of it, and how well its refreshes are known by now."""
        refreshes = self._refreshes
        if refreshes.period_ns is None:
            return self.channel
        # In full milliseconds: every change is one more line in the journal.
        return replace(
            self.channel,
            resolution_s=round(refreshes.period_ns / NS_PER_S, 3),
            lag_s=ceil(2e3 * refreshes.slack_ns / NS_PER_S) / 1e3,
        )

    def sample(self, time_ns: int, raw_j: float) -> None:
        """Takes a counter's reading (J) of a moment (ns); NaN is a failed read."""
        if not isfinite(raw_j):
            self._failed = self._failed or "failed"
            return
        moment_ns = self._refreshes.moment(time_ns, raw_j)
        if moment_ns is None:
            return
        if self._last is None:
            moment_ns = self._first(time_ns, moment_ns)
        elif moment_ns > self._last_ns:
            self._rise(moment_ns, raw_j)
        else:  # a clock that ticks coarsely: what this reading brings, the next one brings too
            return
        self._last_ns, self._last, self._failed = moment_ns, (moment_ns, raw_j), None

    def passed(self, time_ns: int) -> bool:
        """Whether the counter is known to have moved past a moment (ns), or says nothing more."""
        known = self._failed is None and self.channel.lag_s > 0
        return not known or self._last_ns - self.described.slack_ns >= time_ns

    def fail(self, why: str) -> None:
        """From the last good sample on there is none, until one comes."""
        self._failed = why

    def found_out(self, channel: Channel) -> bool:
        """Takes what its meter says of it now; whether that is new."""
        if channel is self._told:
            return False
        self._told = channel
        self.channel = replace(channel, share="undivided") if self.channel.share == "undivided" else channel
        return True

    def count_whole(self) -> None:
        """From now on all of the device is counted: what its other users use of it cannot be told apart any more."""
        if self.channel.share == "process":
            self.channel = replace(self.channel, share="undivided")

    def end(self, time_ns: int) -> None:
        """Nothing more will come: a channel that was failing is missing up to here."""
        if self._failed is not None and time_ns > self._last_ns:
            self._gap(time_ns, self._failed, energy_known=False)
        self.moments = self.moments_now()

    def share(self, share: Share) -> None:
        """Gives every interval that waits for one its share."""
        self._last_share = share
        for interval in self._pending:
            interval.share = interval.share or share

    def settle(self, until_ns: int, phases_used: bool) -> None:
        """Adds to the curves what has its share and ended before `until_ns`."""
        while self._pending and self._pending[0].share is not None and self._pending[0].end_ns <= until_ns:
            self._advance(self._pending.popleft(), phases_used)

    def ahead(self, reading: tuple[int, float] | None = None) -> tuple[int, float, float] | None:
        """The newest sample (ns) with the node's joules and, by the last share known, the run's: not yet settled.

        May be called by any thread.

        Args:
            reading: a moment (ns) and a counter's reading (J) that the sampler has not taken in yet.
        """
        waiting = [*self._pending, *self._unread(reading)]
        if self.node.tip is None or self.run.tip is None or not waiting:
            return None
        (tip_ns, node_j), (end_ns, run_j) = self.node.tip, self.run.tip
        if end_ns != tip_ns:  # the sampler is settling an interval this very moment
            return None
        for interval in waiting:
            share = interval.share or self._last_share
            if share is None or interval.start_ns != end_ns:  # only what follows without a hole
                continue
            node_j += interval.energy_j
            run_j += split(interval.energy_j, interval.end_ns - interval.start_ns, self.channel.idle_w, share)
            end_ns = interval.end_ns
        return (end_ns, node_j, run_j) if end_ns > tip_ns else None

    def _unread(self, reading: tuple[int, float] | None) -> Iterator[_Interval]:
        """What a reading adds, where that is plain: not of a counter that lags, or fell, or had failed."""
        last = self._last  # one look: the sampler may be changing it
        if reading is None or last is None or self.channel.lag_s or self._failed is not None:
            return
        (last_ns, last_raw), (time_ns, raw_j) = last, reading
        if time_ns > last_ns and raw_j >= last_raw:
            share = ALL if self.channel.whole else None
            yield _Interval(last_ns, time_ns, raw_j - last_raw, raw_j, share)

    def curves(self) -> Iterator[tuple[str, GrowingCurve]]:
        """The curves by the names that they have in a journal."""
        yield f"node {self.channel.id}", self.node
        yield f"run {self.channel.id}", self.run
        for phase, curve in list(self.phases.items()):  # the sampler may add one while another thread looks
            yield f"phase {phase} {self.channel.id}", curve

    def _first(self, read_ns: int, moment_ns: int) -> int:
        """Starts the curves; the moment (ns) of their first knot."""
        if read_ns > self._last_ns:
            self._gap(read_ns, "start", energy_known=False)
        if read_ns - int(self.channel.lag_s * NS_PER_S) < self._start_ns:
            # The refresh may have been before the run or in it: no claim that it was in it.
            moment_ns = min(moment_ns, self._start_ns)
        self.node.add(moment_ns, 0.0, 0.0)
        self.run.add(moment_ns, 0.0, 0.0)
        if moment_ns > self._start_ns:
            for _ in self.cursor.walk(self._start_ns, moment_ns):
                pass  # what the loop did before the first sample has no energy to split
        return moment_ns

    def _rise(self, time_ns: int, raw_j: float) -> None:
        assert self._last is not None
        gaps = len(self.gaps)
        rise_j, known = unwrapped(raw_j - self._last[1], (time_ns - self._last_ns) / NS_PER_S, self.channel)
        if rise_j < 0:  # the counter began again (a driver reload): what it held since the last sample is gone
            self._gap(time_ns, "reset", energy_known=False)
            rise_j = 0.0
        elif self._failed is not None:
            self._gap(time_ns, self._failed, known)
        elif time_ns - self._last_ns > self._late_ns:
            self._gap(time_ns, "late", known)
        share = ALL if self.channel.whole else None
        self._pending.append(_Interval(self._last_ns, time_ns, rise_j, raw_j, share, len(self.gaps) == gaps))

    def _gap(self, end_ns: int, why: str, energy_known: bool) -> None:
        self.gaps.append(Gap(self.channel.id, self._last_ns, end_ns, why, energy_known))

    def _advance(self, interval: _Interval, phases_used: bool) -> None:
        assert interval.share is not None
        duration_ns = interval.end_ns - interval.start_ns
        run_j = split(interval.energy_j, duration_ns, self.channel.idle_w, interval.share)
        if self.settled is not None:
            self.settled.append(
                Settled(
                    self.channel, interval.start_ns, interval.end_ns, interval.energy_j, interval.share, interval.raw_j
                )
            )
        if phases_used and not self.phases:
            self.phases[OTHER] = self.run.copy()
            self._phase_j[OTHER] = self._run_j
        pieces = list(self.cursor.walk(interval.start_ns, interval.end_ns))
        edged = self._split(pieces, run_j / duration_ns)
        if self.phases and self._is_sharp:
            self._take_moments(interval, run_j, pieces, edged)
        if edged:  # the samples on both sides of a span's edge stay knots
            self._pin_before()
        self._node_j += interval.energy_j
        self._run_j += run_j
        self.node.add(interval.end_ns, self._node_j, self._epsilon(self._node_j, interval.end_ns))
        epsilon_j = self._epsilon(self._run_j, interval.end_ns)
        self.run.add(interval.end_ns, self._run_j, epsilon_j)
        for phase, curve in self.phases.items():
            curve.add(interval.end_ns, self._phase_j[phase], epsilon_j)
        if edged or self._after_edge:
            self.node.pin()
            self.run.pin()
        # Of a counter that lags it is not sure between which two of its samples the edge lies.
        self._after_edge = edged and self.channel.lag_s > 0

    def _pin_before(self) -> None:
        for curve in (self.node, self.run):
            if self.channel.lag_s:
                curve.pin_two()
            else:
                curve.pin()

    def moments_now(self) -> list[PhaseMoments]:
        """The sums that were kept and, after the last that has been settled, those of now; for any thread."""
        if self.run.tip is None or not self.phases or not self._is_sharp:
            return []
        return [*self.moments, self._moments.until(self.run.tip[0])]

    def _take_moments(self, interval: _Interval, run_j: float, pieces: list[Piece], edged: bool) -> None:
        """Adds an interval to the sums; those at a span's edge are kept, if the last that were are some time ago."""
        if interval.sound:
            self._moments.add(run_j, _visits(pieces))
        if edged and interval.end_ns - (self.moments[-1].time_ns if self.moments else self._start_ns) >= KEEP_NS:
            self.moments.append(self._moments.until(interval.end_ns))

    def _split(self, pieces: list[Piece], watts_per_ns: float) -> bool:
        """Splits an interval's joules by the time in each phase; whether a span has an edge in it."""
        edged = False
        for spent_ns, phase, end_ns, is_edge in pieces:
            if self.phases:
                if phase not in self.phases:
                    self.phases[phase] = GrowingCurve()
                    self.phases[phase].add(end_ns - spent_ns, 0.0, 0.0)
                self._phase_j[phase] = self._phase_j.get(phase, 0.0) + watts_per_ns * spent_ns
                if is_edge:
                    for name, curve in self.phases.items():
                        curve.pin_at(end_ns, self._phase_j.get(name, 0.0))
            edged = edged or is_edge
        return edged

    def _epsilon(self, energy_j: float, time_ns: int) -> float:
        return EPSILON_S * energy_j * NS_PER_S / max(NS_PER_S, time_ns - self._start_ns)


def _visits(pieces: list[Piece]) -> list[tuple[str, float]]:
    """Phases and seconds in them, one after the other: a span's edge does not end a visit."""
    visits: list[tuple[str, float]] = []
    for spent_ns, phase, _, _ in pieces:
        if spent_ns:
            goes_on = visits and visits[-1][0] == phase
            visits.append((phase, spent_ns / NS_PER_S + (visits.pop()[1] if goes_on else 0.0)))
    return visits
