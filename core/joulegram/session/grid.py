"""What feeds know of zones, for commands, which may wait for it."""

from __future__ import annotations

import time
from collections.abc import Callable

from joulegram.config import Settings
from joulegram.feeds.annual import resolve
from joulegram.feeds.cache import Cache
from joulegram.feeds.choice import choose
from joulegram.feeds.fetching import Fetcher, Outage, Wait
from joulegram.records import IntensityPoint


class Grid:
    """Intensity of any zone, past and expected, from the feed that the settings choose for it.

    Attributes:
        outages: feeds that did not answer, and why, in the order in which they were asked.

    Args:
        settings: which feed to ask, and its options.
        wait: waits for a feed's turn.
        now_s: wall clock (s since 1970).
        cache: what this host knows of feeds; the user's by default.
    """

    def __init__(
        self, settings: Settings, wait: Wait, now_s: Callable[[], float] = time.time, cache: Cache | None = None
    ) -> None:
        self.outages: list[Outage] = []
        self._settings, self._wait, self._now_s = settings, wait, now_s
        self._cache = cache or Cache.of_user()

    def known(self, zone: str, start_s: float, end_s: float) -> list[IntensityPoint]:
        """What is known of a time, in order, of the first feed that knows anything of it; nothing where none does.

        Raises:
            ConfigError: the feed that the settings name cannot be asked.
        """
        return self._first(zone, start_s, end_s, lambda fetcher: fetcher.complete(start_s, end_s, self._wait))

    def outlook(self, zone: str, start_s: float, end_s: float) -> list[IntensityPoint]:
        """What is known of a time that reaches into the future, and what is expected of it, likewise."""

        def ask(fetcher: Fetcher) -> None:
            now_s = self._now_s()
            fetcher.complete(start_s, min(now_s, end_s), self._wait)
            fetcher.foresee(now_s, end_s, self._wait)

        return self._first(zone, start_s, end_s, ask)

    def _first(self, zone: str, start_s: float, end_s: float, ask: Callable[[Fetcher], None]) -> list[IntensityPoint]:
        code = resolve(zone) or zone
        for feed in choose(self._settings, code or None, self._now_s).feeds:
            fetcher = Fetcher(feed, code, self._cache, self._now_s)
            ask(fetcher)
            self.outages += fetcher.outages
            if points := fetcher.points(start_s, end_s):
                return points
        return []
