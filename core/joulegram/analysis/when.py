"""When to run: the start within a time that is expected to emit least, and whether it is worth waiting for.

A job is taken to draw the same power for all of its time, so what it emits goes by the mean intensity of when it runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from math import isfinite
from typing import Any, Literal

import numpy as np

from joulegram.analysis.outlook import DAY_S, CannotPlan, Outlook, outlook
from joulegram.analysis.pausing import FINEST_S, Pauses, Stretches, cheapest_stretches
from joulegram.analysis.saving import DAYS, Likeness, Saving, exactly, foreseen, likeness
from joulegram.curves.curve import Values
from joulegram.records import Accounting, Basis, IntensityPoint, Signal

SLACK = 1e-9
"""Starts whose means differ by less than this, as a share, are the same: the earlier one is taken."""

LEAST_SAVING = 0.02
"""A saving that is smaller, and may be none, is not worth waiting for."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """A way to run a job.

    Args:
        stretches: when it runs.
        g_per_kwh: what it emits over the energy that it needs without pauses (gCO2e/kWh), pauses included.
        low: its lower bound.
        high: its upper bound.
    """

    stretches: Stretches
    g_per_kwh: float
    low: float
    high: float

    @property
    def start_s(self) -> float:
        """When it starts (s since 1970)."""
        return self.stretches[0][0]

    @property
    def end_s(self) -> float:
        """When it is finished (s since 1970)."""
        return self.stretches[-1][1]


@dataclass(frozen=True, slots=True)
class Plan:
    """When to run a job in one zone.

    Args:
        zone: as it was asked for.
        signal: ``average`` or ``marginal``.
        basis: ``lifecycle``, ``direct`` or ``unknown``.
        accounting: ``location`` or ``market``.
        source: who gave the intensities.
        now_s: the present (s since 1970).
        until_s: when the job has to be finished, or up to when intensity is known if that is sooner (s since 1970).
        duration_s: of the job (s).
        now: starting at once.
        best: the start that is expected to emit least, without a pause.
        saving: of `best` against `now`.
        paused: the same with pauses; None where they gain nothing.
        paused_saving: of `paused` against `now`.
        random_g_per_kwh: mean over all starts.
        random_saving: what a random start is expected to save, as a share.
        day_g_per_kwh: mean of the next 24 hours, as far as they are known.
        day_saving: what a job at that mean is expected to save, as a share.
        like: how alike the days of the zone are, which its savings go by where what is to come is not known.
        repeated_share: share of the time for which the same hours of the day before stand in for a forecast.
        notes: what a reader should know, in words.
    """

    zone: str
    signal: Signal
    basis: Basis
    accounting: Accounting
    source: str
    now_s: float
    until_s: float
    duration_s: float
    now: Schedule
    best: Schedule
    saving: Saving
    paused: Schedule | None
    paused_saving: Saving | None
    random_g_per_kwh: float
    random_saving: float
    day_g_per_kwh: float
    day_saving: float
    like: Likeness
    repeated_share: float
    notes: tuple[str, ...]

    @property
    def advice(self) -> Literal["now", "later"]:
        """Whether the best start is worth waiting for: a saving that is expected, and is either sure or not small."""
        worth = self.saving.value > 0 and (self.saving.is_sure or self.saving.value >= LEAST_SAVING)
        return "later" if worth else "now"

    @property
    def start_s(self) -> float:
        """When to start, by the advice (s since 1970)."""
        return self.best.start_s if self.advice == "later" else self.now_s

    @property
    def kind(self) -> tuple[Signal, Basis, Accounting]:
        """What sort of intensity it goes by: plans of one kind can be compared."""
        return self.signal, self.basis, self.accounting

    def to_json(self) -> dict[str, Any]:
        """Plain types."""
        return {"advice": self.advice, "start_s": self.start_s, **asdict(self)}


def plan(
    points: Sequence[IntensityPoint],
    now_s: float,
    duration_s: float,
    within_s: float,
    *,
    zone: str = "",
    pauses: Pauses | None = None,
) -> Plan:
    """When to run a job so that it is expected to emit least.

    Args:
        points: of one zone and kind, from a week ago to the end of the time and of the next 24 hours, in any order, as
            far as they are known; what is missing ahead is taken from yesterday.
        now_s: the present (s since 1970).
        duration_s: of the job (s).
        within_s: the time (s) from now in which it has to be finished.
        zone: what it is called; that of the points by default.
        pauses: what pausing costs; None for a job that cannot be paused.

    Raises:
        CannotPlan: the job does not fit, too little is known, or the points are not of one kind.
    """
    if not (isfinite(duration_s) and isfinite(within_s) and 0 < duration_s <= within_s):
        raise CannotPlan("the job does not fit into the time that it has to be finished in")
    kinds = {(p.signal, p.basis, p.accounting) for p in points}
    if len(kinds) > 1:
        raise CannotPlan("intensities of several kinds (signal, basis or accounting) cannot be laid against each other")
    everything, like = outlook(points, now_s, now_s + max(within_s, DAY_S)), likeness(points, now_s)
    until_s = min(now_s + within_s, everything.end_s)
    if until_s < now_s + duration_s:
        raise CannotPlan("intensity is not known for as long as the job takes")
    contiguous, random_g_per_kwh = best_start(everything, now_s, until_s, duration_s)
    now = _schedule(everything, ((now_s, now_s + duration_s),), duration_s)
    best = _schedule(everything, ((contiguous, contiguous + duration_s),), duration_s)
    paused = None if pauses is None else _paused(everything, until_s, duration_s, pauses, best)
    saving = _saving(everything, now, best, None, like)
    signal, basis, accounting = kinds.pop()
    step_s = np.diff(everything.edges_s)[everything.edges_s[:-1] < until_s]
    recent = [point for point in points if (point.start_s or now_s) >= now_s - DAY_S]
    day_g_per_kwh = _mean(everything, now_s, min(now_s + DAY_S, everything.end_s))
    kept = 1.0 if everything.is_known.all() else like.kept
    repeated_share = float(step_s[everything.repeated[: len(step_s)]].sum() / step_s.sum())
    return Plan(
        zone=zone or points[-1].zone or "this zone",
        signal=signal,
        basis=basis,
        accounting=accounting,
        source=points[-1].source,
        now_s=now_s,
        until_s=until_s,
        duration_s=duration_s,
        now=now,
        best=best,
        saving=saving,
        paused=paused,
        paused_saving=None if paused is None else _saving(everything, now, paused, pauses, like),
        random_g_per_kwh=random_g_per_kwh,
        random_saving=kept * _less(now.g_per_kwh, random_g_per_kwh),
        day_g_per_kwh=day_g_per_kwh,
        day_saving=kept * _less(now.g_per_kwh, day_g_per_kwh),
        like=like,
        repeated_share=repeated_share,
        notes=_notes(recent, repeated_share, saving, like, until_s < now_s + within_s),
    )


def best_start(expected: Outlook, first_s: float, until_s: float, duration_s: float) -> tuple[float, float]:
    """The earliest start of least mean intensity, and the mean over all starts (gCO2e/kWh); both exact.

    Between steps the mean of a window is straight over its start: it bends where the start or the end meets an edge,
    and is nowhere less than there.

    Args:
        expected: covers the time.
        first_s: the earliest start (s since 1970).
        until_s: the latest end (s since 1970).
        duration_s: of the window (s), more than none.
    """
    last_s = max(until_s - duration_s, first_s)
    bends = np.concatenate([expected.edges_s, expected.edges_s - duration_s, [first_s, last_s]])
    starts = np.unique(bends[(bends >= first_s) & (bends <= last_s)])
    means = (expected.up_to(starts + duration_s) - expected.up_to(starts)) / duration_s
    least = means.min()
    best_s = float(starts[means <= least + SLACK * abs(least)][0])
    if last_s <= first_s:
        return best_s, float(means[0])
    return best_s, float((means[1:] + means[:-1]) / 2 @ np.diff(starts)) / (last_s - first_s)


def _paused(expected: Outlook, until_s: float, duration_s: float, pauses: Pauses, best: Schedule) -> Schedule | None:
    """The best schedule with pauses, if there is one that beats `best`."""
    if duration_s < 2 * FINEST_S:
        return None
    found = cheapest_stretches(expected.until(until_s), duration_s, pauses)
    schedule = _schedule(expected, found, duration_s, pauses)
    return schedule if len(found) > 1 and schedule.g_per_kwh < best.g_per_kwh * (1 - SLACK) else None


def _mean(expected: Outlook, start_s: float, end_s: float) -> float:
    return float(np.diff(expected.up_to(np.array([start_s, end_s])))[0]) / (end_s - start_s)


def _work(expected: Outlook, stretches: Stretches, pauses: Pauses | None) -> Values:
    """Seconds at full power in each step: a pause's count by the power that it draws."""
    at_work = sum((expected.seconds(start, end) for start, end in stretches), np.zeros(len(expected.g_per_kwh)))
    for (_, end), (start, _) in pairwise(stretches):
        at_work += (pauses.idle_share if pauses else 0.0) * expected.seconds(end, start)
    return np.asarray(at_work)


def _schedule(expected: Outlook, stretches: Stretches, duration_s: float, pauses: Pauses | None = None) -> Schedule:
    share = _work(expected, stretches, pauses) / duration_s
    value, low, high = (float(share @ bound) for bound in (expected.g_per_kwh, expected.low, expected.high))
    return Schedule(stretches, value, min(low, value), max(high, value))


def _saving(everything: Outlook, now: Schedule, other: Schedule, pauses: Pauses | None, like: Likeness) -> Saving:
    """What `other` emits less than `now`; exact where all hours that they do not share are known."""
    before_s, after_s = _work(everything, now.stretches, None), _work(everything, other.stretches, pauses)
    shared_s = np.minimum(before_s, after_s)
    left_s, taken_s = before_s - shared_s, after_s - shared_s
    promised = _less(now.g_per_kwh, other.g_per_kwh)
    if everything.is_known[left_s + taken_s > SLACK * before_s.sum()].all():
        return exactly(promised)
    return foreseen(promised, float(max(left_s.sum(), taken_s.sum()) / before_s.sum()), like)


def _less(before: float, after: float) -> float:
    """As a share; of nothing, nothing is saved."""
    return 1 - after / before if before > 0 else 0.0


def _notes(
    points: Sequence[IntensityPoint], repeated_share: float, saving: Saving, like: Likeness, is_short: bool
) -> tuple[str, ...]:
    notes = [point.note for point in points if point.note]
    if repeated_share > 0:
        how_much = "all" if repeated_share > 1 - SLACK else f"{repeated_share:.0%}"
        notes.append(f"{how_much} of the time is without a forecast: the same hours of the day before stand in")
    if saving.promised > 0 and not saving.is_exact:
        notes.append(_why_less(saving, like, repeated_share))
    if is_short:
        notes.append("intensity is known for a part of the time only; later starts are left out")
    return tuple(dict.fromkeys(notes))


def _why_less(saving: Saving, like: Likeness, repeated_share: float) -> str:
    """Why less is expected than the hours promise."""
    if like.days:
        found = f"over the last {DAYS} days so much of what set hours apart came again a day later"
    else:
        found = f"too little is known of the last {DAYS} days, and on the median of 11 grids so much came true"
    forecast = "; a forecast is taken to be no better than the day before" if repeated_share < 0.5 else ""
    return (
        f"the hours promise {saving.promised:.0%} less than now, {like.kept:.0%} of it is expected: {found}{forecast}"
    )
