"""``joulegram when`` and ``joulegram wait``: where intensities come from, and the waiting."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TextIO

from joulegram import config
from joulegram.analysis.advice import advice
from joulegram.analysis.outlook import DAY_S, CannotPlan
from joulegram.analysis.pausing import Pauses
from joulegram.analysis.when import plan
from joulegram.config import Settings
from joulegram.curves.series import HOUR_S
from joulegram.feeds import FORECAST_HIGH, FORECAST_LOW
from joulegram.feeds.annual import resolve
from joulegram.feeds.cache import Cache
from joulegram.feeds.choice import choose
from joulegram.feeds.fetching import STALE_S, Fetcher, Outage, Wait, held_on
from joulegram.records import IntensityPoint
from joulegram.report.words import show_moment
from joulegram.units import show_duration

PointsOf = Callable[[str, float, float], Sequence[IntensityPoint]]
"""What is known and expected of a zone between two times (s since 1970)."""

MOST_TURN_S = 90.0
"""Nobody waits longer than this for a feed's turn: the strictest may be asked once a minute."""
LOOK_S = 1.0
"""How often waiting looks at the clock: a machine that slept, or a clock that was set, is noticed by then."""
SAY_S = 1800.0
"""How often waiting says so where its line cannot be rewritten."""


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be run.

    Args:
        duration_s: how long it takes (s).
        within_s: the time (s) from now in which it has to be finished.
        pauses: what pausing it costs; None if it cannot be paused.
    """

    duration_s: float
    within_s: float
    pauses: Pauses | None = None


def answer(
    job: Job,
    zones: Sequence[str] | None,
    intensity: str | None,
    *,
    now_s: Callable[[], float] = time.time,
    points_of: PointsOf | None = None,
) -> dict[str, Any]:
    """When to run a job, as plain data.

    Args:
        job: what is to be run.
        zones: where it may run; as configured if None.
        intensity: where intensities come from; as configured if None.
        now_s: the wall clock.
        points_of: the same, as a function.

    Raises:
        CannotPlan: the job does not fit, or too little is known of a zone.
        ConfigError: the configuration, or a file of intensities, is not understood.
    """
    settings, present_s = config.load({"intensity": intensity}), now_s()
    points_of = points_of or from_feeds(settings, now_s)
    end_s = present_s + max(job.within_s, DAY_S)
    plans = [
        plan(
            points_of(zone, present_s - DAY_S, end_s),
            present_s,
            job.duration_s,
            job.within_s,
            zone=zone,
            pauses=job.pauses,
        )
        for zone in dict.fromkeys(zones or [settings.zone or ""])
    ]
    return advice(plans, show_moment)


def from_feeds(
    settings: Settings, now_s: Callable[[], float], wait: Wait | None = None, cache: Cache | None = None
) -> PointsOf:
    """Intensities of the feeds that the settings and a zone lead to: of the first that knows anything.

    What has not come yet is a forecast, whoever says it: a file's hours to come are given a forecast's bounds.

    Args:
        settings: which feed to ask, and its options.
        now_s: the wall clock.
        wait: waits for a feed's turn; for a minute or so, by default.
        cache: what this host knows of feeds; the user's by default.
    """
    shared = cache or Cache.of_user()

    def points_of(zone: str, start_s: float, end_s: float) -> list[IntensityPoint]:
        code = resolve(zone)
        if zone and code is None:
            raise CannotPlan(f"no zone {zone!r} is known (joulegram zones TEXT finds one)")
        chosen = choose(settings, code, now_s)
        fetchers = [Fetcher(feed, code or "", shared, now_s) for feed in chosen.feeds]
        for fetcher in fetchers:
            present_s = now_s()
            fetcher.complete(start_s, present_s, wait or _wait)
            fetcher.foresee(present_s, end_s, wait or _wait)
            points = fetcher.points(start_s - STALE_S, end_s)
            if points:
                # The present, where it is not known yet, is what was known last.
                return [_to_come(p, present_s) for p in (*held_on(points, start_s, present_s + HOUR_S), *points)]
        raise CannotPlan(_unknown(zone, [outage for fetcher in fetchers for outage in fetcher.outages]))

    return points_of


def _wait(seconds: float) -> bool:
    if seconds > MOST_TURN_S:
        return False
    time.sleep(seconds)
    return True


def _to_come(point: IntensityPoint, now_s: float) -> IntensityPoint:
    if point.kind != "measured" or (point.start_s or 0.0) <= now_s:
        return point
    low, high = FORECAST_LOW * point.g_per_kwh, FORECAST_HIGH * point.g_per_kwh
    return replace(point, kind="forecast", low=low, high=high, settled=False)


def _unknown(zone: str, outages: Sequence[Outage]) -> str:
    if outages:
        return "; ".join(dict.fromkeys(outage.describe() for outage in outages))
    if not zone:
        return "no zone is known: --zone names one (joulegram zones TEXT finds it)"
    return (
        f"of {zone} only yearly means are known, and no hours to choose from: --intensity names a feed, or series:PATH"
    )


def wait_until(
    start_s: float,
    *,
    now_s: Callable[[], float] = time.time,
    sleep: Callable[[float], object] = time.sleep,
    stream: TextIO | None = None,
) -> int:
    """Sleeps until a time and says how long it will be, on a terminal in a line that is rewritten.

    Args:
        start_s: the time (s since 1970).
        now_s: the wall clock.
        sleep: passes seconds.
        stream: where to say it; standard error unless given.

    Returns:
        0, or 130 after Ctrl-C.
    """
    stream = stream or sys.stderr
    rewrites = stream.isatty()
    begun_s = say_s = now_s()
    left_s = start_s - begun_s
    try:
        while left_s > 0:
            if rewrites or start_s - left_s >= say_s:
                line = f"waiting for {show_moment(start_s)}: {show_duration(left_s)} to go"
                stream.write(f"\r{line:<60}" if rewrites else f"{line}\n")
                stream.flush()
                say_s = start_s - left_s + SAY_S
            sleep(min(left_s, LOOK_S))
            left_s = start_s - now_s()
    except KeyboardInterrupt:
        stream.write(f"{_break(rewrites)}joulegram: no longer waiting, {show_duration(left_s)} before the start\n")
        return 130
    if start_s > begun_s:
        stream.write(f"{_break(rewrites)}it is time\n")
    return 0


def _break(rewrites: bool) -> str:
    return "\n" if rewrites else ""
