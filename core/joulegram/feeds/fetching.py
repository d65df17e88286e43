"""Asking feeds: when it is one's turn, again where there was no answer, and with a record of every outage.

Nothing here sleeps: what is asked of a source, and when, is decided from the clock and from what all processes of this
host have asked it before (`joulegram.feeds.cache`). Whoever waits, waits outside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import ceil

from joulegram.feeds import Feed, NotAllowed, NotServed, Unavailable, number
from joulegram.feeds.cache import LONGEST_REST_S, Cache
from joulegram.records import IntensityPoint
from joulegram.units import show_duration

MOST_SKEW_S = 300.0
"""By how much two clocks may differ before hours may be mixed up."""
RECHECK_S = 900.0
"""What may still be corrected is asked for again no sooner than after this."""
BACK_S = 2 * 86400.0
"""How far back a run looks for what it lacks while it lasts; what is older is fetched when it is priced again."""
FIRST_REST_S, MOST_REST_S = 5.0, 900.0
"""After a first failure, and after many, a source is left alone for so long."""
TRIES = 3
"""Whoever waits for an answer asks so often."""
MOST_TURNS = 20
"""Whoever waits for turns that others take gives up after so many."""

STALE_S = 3 * 3600.0
"""A value holds on for this long (s) after its end, as an estimate, where no newer one is known."""
HELD_ON = "held on to, as no newer value was known"
AHEAD_S = 600.0
"""Of a source that is no other host this much of what is to come is always at hand."""
# Factors on a value that is held on to: 2.5th and 97.5th percentile of an hour over the one three hours before it, on
# 11 grids (`benchmarks/intensity_spread.py`).
CARRIED_LOW, CARRIED_HIGH = 0.58, 1.74

Stretch = tuple[float, float]
"""Start and end of a time (s since 1970)."""
Question = Callable[[], Sequence[IntensityPoint]]
Wait = Callable[[float], bool]
"""Waits for so many seconds; or does not, and says so by False."""


@dataclass(slots=True)
class Outage:
    """A time in which a source did not answer.

    Args:
        feed: what it is called.
        why: what came instead.
        start_s: since when (s since 1970).
        end_s: when it answered again; None while it does not.
        final: asking again is of no use.
    """

    feed: str
    why: str
    start_s: float
    end_s: float | None = None
    final: bool = False

    def describe(self) -> str:
        """In words, with its times."""
        if self.final or self.end_s == self.start_s:
            return f"{self.feed}: {self.why}"
        since = _clock(self.start_s)
        return f"{self.feed}: {self.why}, {f'from {since} to {_clock(self.end_s)}' if self.end_s else f'since {since}'}"


class Fetcher:
    """One feed's points of one zone.

    Args:
        feed: whom to ask.
        zone: the zone.
        cache: what this host's processes know together.
        now_s: wall clock (s since 1970).
    """

    def __init__(self, feed: Feed, zone: str, cache: Cache, now_s: Callable[[], float]) -> None:
        self.feed, self.zone = feed, zone
        self.outages: list[Outage] = []
        # What a file says is looked up anew by each process: it may have been changed.
        self._cache, self._now_s = cache if feed.host else Cache(None), now_s
        self._given_up: set[str] = set()
        self._failures = 0
        self._remarked: set[str] = set()
        self._source = feed.source

    def points(self, start_s: float, end_s: float) -> list[IntensityPoint]:
        """What is known of a time, in order."""
        return self._cache.points(self._source, self.zone, start_s, end_s)

    def look(self, start_s: float) -> None:
        """Asks what is due of the time from a start until now, in one question or two."""
        now_s = self._now_s()
        if not self.feed.host:  # a file, a number: it is all there, hours to come included
            if not covers(self.points(now_s, now_s + AHEAD_S), now_s + AHEAD_S):
                self._ask("history", lambda: self.feed.history(self.zone, start_s, now_s + STALE_S))
            return
        step_s = min(self.feed.reach.step_s, RECHECK_S)
        if not covers(self.points(now_s - 1, now_s + 1), now_s) and self._last_s("latest") <= now_s - min(step_s, 300):
            self._ask("latest", lambda: [self.feed.latest(self.zone)])
        lacking = self.lacking(max(start_s, now_s - BACK_S), now_s)
        if lacking and self._last_s("history") <= now_s - max(step_s, RECHECK_S):
            since_s = max(lacking[0][0], now_s - self.feed.reach.history_s)
            self._ask("history", lambda: self.feed.history(self.zone, since_s, now_s))

    def complete(self, start_s: float, end_s: float, wait: Wait) -> None:
        """Asks for all that is lacking of a past time, in as many questions as it takes; waits for its turns.

        Gives up where the feed does not serve it, and after three failures in a row.

        Args:
            start_s: (s since 1970).
            end_s: (s since 1970).
            wait: waits for a turn.
        """
        most_s = self.feed.reach.history_s
        for since_s, until_s in pieces(self.lacking(start_s, min(end_s, self._now_s())), most_s):
            self._insist("history", lambda s=since_s, e=until_s: self.feed.history(self.zone, s, e), wait)  # type: ignore[misc]
            if self._failures >= TRIES or "history" in self._given_up:
                break
        now_s = self._now_s()
        if end_s > now_s - 1 and not covers(self.points(now_s - 1, now_s + 1), now_s):
            self._insist("latest", lambda: [self.feed.latest(self.zone)], wait)

    def foresee(self, start_s: float, end_s: float, wait: Wait) -> None:
        """Asks for what is expected of a time to come; waits for its turn."""
        self._insist("forecast", lambda: self.feed.forecast(self.zone, start_s, end_s), wait)

    def lacking(self, start_s: float, end_s: float) -> list[Stretch]:
        """Times of which nothing is known, or what may have been corrected since."""
        now_s = self._now_s()
        # Not from the future: a clock that was wrong once would have the last word.
        firm = [p for p in self.points(start_s, end_s) if p.settled or abs(now_s - (p.fetched_s or 0.0)) < RECHECK_S]
        return holes(firm, start_s, end_s)

    def _insist(self, what: str, question: Question, wait: Wait) -> None:
        """Asks until there is an answer, a few times at most; others may be asking the same host meanwhile."""
        for _ in range(MOST_TURNS):
            wait_s = self._ask(what, question)
            if not wait_s:
                if not self._failures or self._failures >= TRIES or what in self._given_up:
                    return
            elif not wait(wait_s):
                self._fails(f"it may be asked again in {show_duration(wait_s)}")
                break
        self._failures = TRIES

    def _last_s(self, what: str) -> float:
        """When a kind of question was last asked, by any process of this host."""
        if what in self._given_up:
            return float("inf")
        asked_s = self._cache.asked_s(self._source, self.zone, what)
        return asked_s if asked_s <= self._now_s() + MOST_SKEW_S else 0.0  # by a clock that was wrong: no time at all

    def _ask(self, what: str, question: Question) -> float:
        """Asks if it is our turn; how long (s) to wait for it, 0 where it was."""
        now_s, reach = self._now_s(), self.feed.reach
        wait_s = self._cache.turn(self.feed.host, now_s, reach.spacing_s) if self.feed.host else 0.0
        if wait_s:
            return wait_s
        self._cache.asks(self._source, self.zone, what, now_s)
        try:
            self._cache.keep(self._source, self.zone, [point for point in question() if _whole(point)])
        except (NotServed, NotAllowed) as error:
            self._given_up.add(what)
            self._fails(str(error), final=True)
        except Unavailable as error:
            self._failures += 1
            rest_s = max(error.retry_s or 0.0, min(MOST_REST_S, FIRST_REST_S * 2.0 ** min(self._failures - 1, 10)))
            if self.feed.host:
                self._cache.rest(self.feed.host, now_s + min(rest_s, LONGEST_REST_S))
            self._fails(str(error))
        except Exception as error:  # a feed of somebody else's may do anything; its text may hold anything
            self._failures += 1
            self._fails(f"{self.feed.title} failed ({type(error).__name__})")
        else:
            self._failures = 0
            self._answers()
        self._remark()
        return 0.0

    def _fails(self, why: str, final: bool = False) -> None:
        if final or not (self.outages and self.outages[-1].end_s is None):
            self.outages.append(Outage(self.feed.title, why, self._now_s(), final=final))

    def _remark(self) -> None:
        """Keeps what else a reader should know of an answer, once: the next ones will be like it."""
        now_s, skew_s, remarks = self._now_s(), abs(self.feed.skew_s), {}
        if self.feed.refused:
            remarks["refused"] = "values that no grid has were left out"
        if skew_s > MOST_SKEW_S:
            remarks["skew"] = f"its clock and this machine's are {show_duration(skew_s)} apart"
        new = remarks.keys() - self._remarked
        self._remarked |= new
        self.outages += [Outage(self.feed.title, remarks[about], now_s, now_s) for about in sorted(new)]

    def _answers(self) -> None:
        for outage in self.outages:
            if outage.end_s is None and not outage.final:
                outage.end_s = self._now_s()


def _whole(point: IntensityPoint) -> bool:
    """Whether a point has a time and figures; one that lacks them, a feed of somebody else's may well give."""
    figures = (point.start_s, point.length_s, point.g_per_kwh, point.low, point.high)
    return all(number(figure) is not None for figure in figures)


def covers(points: Iterable[IntensityPoint], time_s: float) -> bool:
    """Whether one of the points holds at a time."""
    return any((p.start_s or 0.0) <= time_s < _ends_s(p) for p in points)


def holes(points: Sequence[IntensityPoint], start_s: float, end_s: float) -> list[Stretch]:
    """Times between two moments that no point holds in; points are in the order of their start."""
    found, reached_s = [], start_s
    for point in points:
        since_s = point.start_s or 0.0
        if since_s > reached_s:
            found.append((reached_s, min(since_s, end_s)))
        reached_s = max(reached_s, _ends_s(point))
    found.append((reached_s, end_s))
    return [(since_s, until_s) for since_s, until_s in found if until_s > since_s]


def pieces(stretches: Iterable[Stretch], most_s: float) -> list[Stretch]:
    """Stretches joined where one question holds them, and cut into as many as it takes."""
    joined: list[Stretch] = []
    for since_s, until_s in stretches:
        if joined and until_s - joined[-1][0] <= most_s:
            joined[-1] = (joined[-1][0], until_s)
        else:
            count = max(1, ceil((until_s - since_s) / most_s))
            edges = [since_s, *(since_s + most_s * n for n in range(1, count))]  # `most_s` may be infinite
            joined += zip(edges, [*edges[1:], until_s], strict=True)
    return joined


def held_on(points: Sequence[IntensityPoint], start_s: float, end_s: float) -> list[IntensityPoint]:
    """Points for the holes between and after points: the value before each goes on, for a while, as an estimate.

    Args:
        points: in the order of their start.
        start_s: of the time that is to be priced (s since 1970).
        end_s: of that time.
    """
    found = []
    for since_s, until_s in holes(points, start_s, end_s):
        before = [p for p in points if _ends_s(p) <= since_s]
        if not before:
            continue
        last = max(before, key=_ends_s)
        ended_s = _ends_s(last)
        # From its end on, though the time that was asked for begin later: else it were another point at each look.
        if ended_s + STALE_S > since_s:
            found.append(_carried(last, ended_s, min(until_s, ended_s + STALE_S) - ended_s))
    return found


def _carried(last: IntensityPoint, start_s: float, length_s: float) -> IntensityPoint:
    return replace(
        last,
        start_s=start_s,
        length_s=length_s,
        kind="estimated",
        low=CARRIED_LOW * last.low,
        high=CARRIED_HIGH * last.high,
        settled=False,
        note=HELD_ON,
    )


def _clock(time_s: float) -> str:
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%d %H:%M UTC")


class Watch:
    """What a run that goes on is priced with: looks at what is due, and hands over what is new.

    Those that are new count in their order, and before all that were handed over earlier.

    Args:
        fetchers: the first that knows anything of now goes before those after it, which are not asked then.
        start_s: when the run started (s since 1970).
        now_s: wall clock (s since 1970).
    """

    def __init__(self, fetchers: Sequence[Fetcher], start_s: float, now_s: Callable[[], float]) -> None:
        self.fetchers = fetchers
        self._start_s, self._now_s = start_s, now_s
        self._told: dict[tuple[str, float], IntensityPoint] = {}

    def look(self) -> None:
        """Asks what is due."""
        now_s = self._now_s()
        for fetcher in self.fetchers:
            fetcher.look(self._start_s)
            if fetcher.points(now_s - STALE_S, now_s + 1):
                return

    def news(self) -> tuple[IntensityPoint, ...]:
        """Points that are new or other than they were, and those that count before one of these."""
        now_s = self._now_s()
        since_s, until_s = max(self._start_s, now_s - BACK_S), now_s + STALE_S
        known = [fetcher.points(since_s - STALE_S, until_s) for fetcher in self.fetchers]
        new: list[IntensityPoint] = []
        for point in laid(known, since_s, until_s):
            if self._is_new(point) or any(overlap(point, other) for other in new):
                new.append(point)
        return tuple(new)

    def _is_new(self, point: IntensityPoint) -> bool:
        key, content = (point.source, point.start_s or 0.0), replace(point, fetched_s=None)
        if self._told.get(key) == content:
            return False
        self._told[key] = content
        return True

    def outages(self) -> list[Outage]:
        """All that there have been, in order."""
        return sorted((o for fetcher in self.fetchers for o in fetcher.outages), key=lambda outage: outage.start_s)


def laid(feeds: Sequence[Sequence[IntensityPoint]], start_s: float, end_s: float) -> list[IntensityPoint]:
    """Points of a time in the order in which they count: what is held on to before what is known.

    Args:
        feeds: points of each, in the order of their start; the first feed's count before those of the ones after it.
        start_s: of the time (s since 1970).
        end_s: of that time.
    """
    later_first = feeds[::-1]
    return [
        *(point for points in later_first for point in held_on(points, start_s, end_s)),
        *(p for points in later_first for p in points if _ends_s(p) > start_s and (p.start_s or 0.0) < end_s),
    ]


def overlap(one: IntensityPoint, other: IntensityPoint) -> bool:
    """Whether there is a time that both points hold in."""
    return (one.start_s or 0.0) < _ends_s(other) and (other.start_s or 0.0) < _ends_s(one)


def _ends_s(point: IntensityPoint) -> float:
    return (point.start_s or 0.0) + (point.length_s or 0.0)
