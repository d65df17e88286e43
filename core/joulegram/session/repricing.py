"""Pricing a recorded run again with what its feeds know by now; the old price stays beside the new one."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

from joulegram.config import Settings
from joulegram.feeds.annual import resolve
from joulegram.feeds.cache import Cache
from joulegram.feeds.choice import ANNUAL, AUTO, choose
from joulegram.feeds.fetching import HELD_ON, STALE_S, Fetcher, Outage, Wait, holes, laid
from joulegram.records import Basis, IntensityPoint
from joulegram.session.books import with_points, yearly
from joulegram.session.recorded import RecordedRun


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
    points = fetched(fetchers, start_s, end_s, wait)
    if code == resolve(run.book.zone or run.zone):
        titles = {feed.title for feed in chosen.feeds}
        before = [p for p in run.book.intensity if settings.intensity == AUTO or p.source in titles]
        points = over_before(points, before, titles, header.intensity not in (AUTO, ANNUAL))
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


def fetched(fetchers: Sequence[Fetcher], start_s: float, end_s: float, wait: Wait) -> list[IntensityPoint]:
    """All points of a past time, in the order in which they count.

    Args:
        fetchers: the later ones are asked only where the earlier ones leave holes.
        start_s: (s since 1970).
        end_s: (s since 1970).
        wait: waits for a feed's turn.
    """
    groups: list[list[IntensityPoint]] = []
    for fetcher in fetchers:
        fetcher.complete(start_s, end_s, wait)
        points = fetcher.points(start_s - STALE_S, end_s)
        groups.append(points)
        if not holes([p for p in points if (p.start_s or 0.0) < end_s], start_s, end_s):
            break
    return laid(groups, start_s, end_s)


def over_before(
    points: Sequence[IntensityPoint], before: Sequence[IntensityPoint], titles: Collection[str], named: bool
) -> list[IntensityPoint]:
    """Points in the order in which they count: what is known now, over what was known before, over what is held on to.

    Feeds forget old hours, and do not always answer: what they had told stays.

    Args:
        points: what is known now, in the order in which it counts.
        before: what was known; yearly means and what was held on to then do not count.
        titles: of the feeds that are asked now.
        named: whether the run itself had named a feed that is not among these: its points go before all others.
    """
    held = [point for point in points if point.note == HELD_ON]
    known = [point for point in points if point.note != HELD_ON]
    told = [point for point in before if point.start_s is not None and point.note != HELD_ON]
    others = [point for point in told if point.source not in titles]
    same = [point for point in told if point.source in titles]
    return [*held, *same, *known, *others] if named else [*others, *held, *same, *known]


def _reason(points: Sequence[IntensityPoint], named: bool) -> str:
    sources = dict.fromkeys(point.source for point in points)
    if not sources:
        return "yearly means"
    return f"{' and '.join(sources)}, {'as asked for' if named else 'as known by now'}"


def _content(run: RecordedRun) -> tuple[object, ...]:
    """What a run's figures follow from, but for its energy."""
    trace = run.pricer.trace
    points = {replace(point, fetched_s=None) for point in run.pricer.used(trace.start_ns, trace.end_ns)}
    return run.book.basis, run.book.pue, frozenset(points)
