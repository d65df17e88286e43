"""What the feeds of a zone say of a time, for those who may wait for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from joulegram.config import Settings
from joulegram.curves.series import HOUR_S
from joulegram.feeds import FORECAST_HIGH, FORECAST_LOW, Unavailable
from joulegram.feeds.annual import resolve
from joulegram.feeds.cache import Cache
from joulegram.feeds.choice import choose
from joulegram.feeds.fetching import STALE_S, Fetcher, Outage, Wait, held_on
from joulegram.host.forking import importing
from joulegram.records import IntensityPoint

PointsOf = Callable[[str, float, float], Sequence[IntensityPoint]]
"""What is known, and of the future expected, of a zone between two times (s since 1970); Unavailable for nothing."""

DAY_S = 86_400.0
MOST_TURN_S = 90.0
"""Nobody waits longer than this for a feed's turn: the strictest may be asked once a minute."""


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
            raise Unavailable(f"no zone {zone!r} is known (joulegram zones TEXT finds one)")
        with importing():
            chosen = choose(settings, code, now_s)
        fetchers = [Fetcher(feed, code or "", shared, now_s) for feed in chosen.feeds]
        for fetcher in fetchers:
            present_s = now_s()
            fetcher.complete(start_s, present_s, wait or _wait)
            if end_s > present_s:
                fetcher.foresee(present_s, end_s, wait or _wait)
            points = fetcher.points(start_s - STALE_S, end_s)
            # Days ago alone, kept from an earlier question, say nothing of the time to come.
            since_s = present_s - DAY_S if end_s > present_s else start_s - STALE_S
            if any((p.start_s or 0.0) + (p.length_s or 0.0) > since_s for p in points):
                # The present, where it is not known yet, is what was known last.
                return [_to_come(p, present_s) for p in (*held_on(points, start_s, present_s + HOUR_S), *points)]
        raise Unavailable(_unknown(zone, [outage for fetcher in fetchers for outage in fetcher.outages]))

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
