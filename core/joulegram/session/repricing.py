"""Pricing a recorded run again with what its feeds know by now; the old price stays beside the new one."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from joulegram.config import Settings
from joulegram.feeds import in_order
from joulegram.feeds.annual import resolve
from joulegram.feeds.cache import Cache
from joulegram.feeds.choice import ANNUAL, AUTO, choose
from joulegram.feeds.fetching import HELD_ON, STALE_S, Fetcher, Outage, Wait, holes, laid
from joulegram.records import Basis, IntensityPoint
from joulegram.session.books import with_points, yearly
from joulegram.session.recorded import RecordedRun

ROUNDING_S = 1.0
"""A run's last moment is no exact number of seconds: what is held on to reaches beyond it."""


@dataclass(frozen=True, slots=True)
class Repriced:
    """What came of pricing a run again.

    Args:
        before: under the price that it had.
        after: under the new one; the same where nothing is known that was not.
        changed: whether it is another.
        outages: feeds that did not answer, and why.
        passed_over: feeds that were not asked, and why.
    """

    before: RecordedRun
    after: RecordedRun
    changed: bool
    outages: Sequence[Outage]
    passed_over: Sequence[str] = ()


def reprice(
    run: RecordedRun,
    settings: Settings,
    wait: Wait,
    *,
    zone: str | None = None,
    pue: float | str | None = None,
    basis: Basis | None = None,
    now_s: Callable[[], float] = time.time,
    cache: Cache | None = None,
) -> Repriced:
    """The run under what is known by now; nothing is written. What its feeds had told before, and do not now, stays.

    Args:
        run: a run that is over.
        settings: which feed to ask, and its options; its zone counts for a run that was recorded without one.
        wait: waits for a feed's turn.
        zone: another zone than the run's own.
        pue: another PUE.
        basis: ``lifecycle`` or ``direct``; by default the one that was asked for, or else the feed's.
        now_s: wall clock (s since 1970).
        cache: what this host knows of feeds; the user's by default.

    Raises:
        ConfigError: the feed that the settings name cannot be asked.
    """
    header = run.stored.header
    where = zone or run.book.zone or run.zone or settings.zone
    code, basis = resolve(where), basis or header.basis
    chosen = choose(replace(settings, basis=basis), code, now_s)
    shared = cache or Cache.of_user()
    fetchers = [Fetcher(feed, code or "", shared, now_s) for feed in chosen.feeds]
    start_s, end_s = wall_times(run)
    recorded = [p for p in run.book.intensity if p.start_s is not None and code == resolve(run.book.zone or run.zone)]
    titles = {feed.title for feed in chosen.feeds}
    told = [point for point in recorded if point.source in titles and point.note != HELD_ON]
    points = fetched(fetchers, start_s, end_s, wait, told)
    if settings.intensity == AUTO:
        others = [point for point in recorded if point.source not in titles]
        # Those of a feed that the run had named go before those of the zone's feeds; others stand in where these fail.
        points = [*others, *points] if header.intensity in (AUTO, ANNUAL) else [*points, *others]
    reason = _reason(points, chosen.named)
    book = with_points(yearly(where, pue, basis, now_s(), reason), points, basis)
    if pue is None:
        book = replace(book, pue=run.book.pue)
    if zone is None:
        book = replace(book, place=run.book.place)
    after = run.under(book)
    outages = [outage for fetcher in fetchers for outage in fetcher.outages]
    return Repriced(run, after, _content(run) != _content(after), outages, chosen.passed_over)


def wall_times(run: RecordedRun) -> tuple[float, float]:
    """When a run started and ended (s since 1970)."""
    trace = run.pricer.trace
    start_s, end_s = trace.timeline.wall_s([trace.start_ns, trace.end_ns]).tolist()
    return start_s, end_s


def fetched(
    fetchers: Sequence[Fetcher], start_s: float, end_s: float, wait: Wait, told: Sequence[IntensityPoint] = ()
) -> list[IntensityPoint]:
    """All points of a past time, in the order in which they count.

    Args:
        fetchers: the later ones are asked only where the earlier ones leave holes.
        start_s: (s since 1970).
        end_s: (s since 1970).
        wait: waits for a feed's turn.
        told: what the feeds had told before: they forget old hours, and do not always answer.
    """
    groups: list[list[IntensityPoint]] = []
    for fetcher in fetchers:
        fetcher.complete(start_s, end_s, wait)
        before = [point for point in told if point.source == fetcher.feed.title]
        points = in_order([*before, *fetcher.points(start_s - STALE_S, end_s)])
        groups.append(points)
        if not holes(points, start_s, end_s):
            break
    return laid(groups, start_s - ROUNDING_S, end_s + ROUNDING_S)


def _reason(points: Sequence[IntensityPoint], named: bool) -> str:
    sources = dict.fromkeys(point.source for point in points)
    if not sources:
        return "yearly means"
    return f"{' and '.join(sources)}, {'as asked for' if named else 'as known by now'}"


def _content(run: RecordedRun) -> tuple[object, ...]:
    """What a run's figures follow from, but for its energy."""
    trace, (start_s, end_s) = run.pricer.trace, wall_times(run)
    used = run.pricer.used(trace.start_ns, trace.end_ns)
    return run.book.basis, run.book.pue, frozenset(_within(point, start_s, end_s) for point in used)


def _within(point: IntensityPoint, start_s: float, end_s: float) -> IntensityPoint:
    """A point as far as it holds within a time, whenever it was fetched."""
    if point.start_s is None:
        return replace(point, fetched_s=None)
    since_s, until_s = max(start_s, point.start_s), min(end_s, point.start_s + (point.length_s or 0.0))
    return replace(point, start_s=since_s, length_s=until_s - since_s, fetched_s=None)
