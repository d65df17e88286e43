"""What a live run is priced with: the yearly mean at once, then what its feed says, kept up to date off its threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from joulegram.config import Settings
from joulegram.host.forking import importing
from joulegram.notices import warn
from joulegram.records import IntensityPoint, MorePoints, PriceBook, Record

if TYPE_CHECKING:
    from joulegram.feeds.choice import Choice
    from joulegram.feeds.fetching import Outage, Watch

LOOK_S = 60.0
"""A run looks this often at what is due."""
CALLER_FIRST_S = 0.025
"""Pricing loads NumPy, which keeps the interpreter busy: by then the caller is at work."""


class Prices:
    """The price book of a run, on a thread that nobody waits for.

    Attributes:
        book: as it stands; None before there is one.
        ready: set once there is a first book, or there will be none.

    Args:
        run_id: the run's.
        settings: zone, PUE, basis and feed as the user gave them.
        say: keeps a record with the run.
        note: keeps a note with the run: its kind and text.
        start_s: when the run started (s since 1970).
        now_s: wall clock (s since 1970).
    """

    def __init__(
        self,
        run_id: str,
        settings: Settings,
        say: Callable[[Record], None],
        note: Callable[[str, str], None],
        start_s: float,
        now_s: Callable[[], float],
    ) -> None:
        self.book: PriceBook | None = None
        self.ready = threading.Event()
        self._run_id, self._settings, self._say, self._note = run_id, settings, say, note
        self._start_s, self._now_s = start_s, now_s
        self._ended, self._open = threading.Event(), threading.Lock()
        self._noted: dict[int, bool] = {}
        self._named = self._warned = False

    def start(self) -> None:
        """Begins to look things up."""
        threading.Thread(target=self._run, name="joulegram-price", daemon=True).start()

    def end(self) -> None:
        """The run is over: what is known by now is what it was recorded with."""
        with self._open:
            self._ended.set()

    def at(self, time_s: float) -> IntensityPoint | None:
        """The intensity of a time (s since 1970) as the book has it: of its hour, else the yearly mean, else None.

        Average and location-based, on the basis that carbon is on.
        """
        book, yearly = self.book, None
        if book is None:
            return None
        for point in reversed(book.intensity):
            if _kind(point) != ("average", book.basis, "location"):
                continue
            if point.start_s is None:
                yearly = yearly or point
            elif 0 <= time_s - point.start_s < (point.length_s or 0.0):
                return point
        return yearly

    def _run(self) -> None:
        time.sleep(CALLER_FIRST_S)
        try:
            self.first()
            if self._settings.intensity == "auto":
                self.ready.set()
            watch = self.chosen()
            if watch and not any(fetcher.feed.host for fetcher in watch.fetchers):
                self.look(watch)  # a file or a number of the user's own: even a run of a moment is priced with it
            self.ready.set()
            while watch and not self._ended.is_set():
                self.look(watch)
                self._ended.wait(LOOK_S)
        except Exception as problem:
            why = str(problem) if isinstance(problem, LookupError | OSError | ValueError) else repr(problem)
            self._note("feed", f"asked no more: {why}")
            warn(f"joulegram cannot price run {self._run_id}: {why}")
        finally:
            self.ready.set()

    def first(self) -> None:
        """Makes the first book, from what this machine knows by itself."""
        with importing():
            from joulegram.place import find
            from joulegram.session import books

        settings = self._settings
        place = find(settings)
        book = books.yearly(place.zone, settings.pue, settings.basis, self._now_s())
        if settings.pue is None and place.pue is not None:
            book = replace(book, pue=place.pue)
        self.book = replace(book, place=place.how)
        self._say(self.book)
        hint = next((point.note for point in book.intensity if settings.zone and "world average" in point.note), None)
        if hint:
            warn(f"joulegram: {hint}")

    def chosen(self) -> Watch | None:
        """What to look at from now on, if anything; what this host knows of it by now is taken in."""
        with importing():
            from joulegram.feeds import choice, fetching
            from joulegram.feeds.cache import Cache

            zone = self.book.zone if self.book else None
            chosen = choice.choose(self._settings, zone, self._now_s)
            cache = Cache.of_user() if chosen.feeds else None
        self._remark(chosen)
        if cache is None:
            return None
        fetchers = [fetching.Fetcher(feed, zone or "", cache, self._now_s) for feed in chosen.feeds]
        self._named = chosen.named
        watch = fetching.Watch(fetchers, self._start_s, self._now_s)
        self._hear(watch)
        return watch

    def look(self, watch: Watch) -> None:
        """Asks what is due, and takes in what is new."""
        watch.look()
        self._hear(watch)

    def _hear(self, watch: Watch) -> None:
        news, outages = watch.news(), watch.outages()
        with self._open:
            if not self._ended.is_set():  # the run did not wait for this answer, and its ledger is closed
                self._take(news)
                self._keep_outages(outages)

    def _take(self, points: Sequence[IntensityPoint]) -> None:
        """Adds points to the book."""
        if not points or self.book is None:
            return
        from joulegram.session.books import with_points

        book = with_points(self.book, points, self._settings.basis)
        self._say(MorePoints(tuple(points)) if book.basis == self.book.basis else book)
        self.book = book

    def _remark(self, chosen: Choice) -> None:
        for why in chosen.passed_over:
            self._note("feed", f"not asked: {why}")
        for feed in chosen.feeds:
            if feed.signal != "average":
                self._note(
                    "feed", f"{feed.title} is {feed.signal}: it prices a figure of its own, not the run's carbon"
                )

    def _keep_outages(self, outages: Sequence[Outage]) -> None:
        """Notes each outage when it begins, and when it ends."""
        for outage in outages:
            over = outage.end_s is not None
            if self._noted.get(id(outage)) == over:
                continue
            self._noted[id(outage)] = over
            self._note("feed", outage.describe())
            if self._named and not over and not self._warned:
                self._warned = True
                warn(f"joulegram: {outage.describe()}; the yearly mean stands in")


def _kind(point: IntensityPoint) -> tuple[str, str, str]:
    return point.signal, point.basis, point.accounting
