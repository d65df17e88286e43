"""Countries of Europe: Energy-Charts of Fraunhofer ISE; quarter-hours in Germany, hours elsewhere, no key.

Germany, and the countries whose grids report to ENTSO-E, where its figures come from; which of these it has is its own
to say. gCO2e/kWh by a method that is not published (whether upstream emissions or imports are in it), so the basis is
unknown. Figures come about two hours late; until then, and for the hours to come, there is its forecast, in the same
answer. It may be asked twice a minute. Data: Energy-Charts, Fraunhofer ISE; CC BY 4.0 by its API's terms, while its
publishing notes forbid commercial use.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from joulegram.feeds import Feed, NotServed, Reach, Unavailable, in_order, newest, number
from joulegram.feeds.europe import COUNTRIES
from joulegram.records import IntensityKind, IntensityPoint


class EnergyChartsFeed(Feed):
    """Carbon intensity of a whole country of Europe (``DE``, ``AT``)."""

    name = "energycharts"
    title = "Energy-Charts, Fraunhofer ISE"
    base_url = "https://api.energy-charts.info"
    # The grids correct what they reported for some days; no date is given after which they do not.
    reach = Reach(history_s=31 * 86400.0, spacing_s=30.0, step_s=900.0, settles_s=7 * 86400.0)

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._site = self.site()

    def serves(self, zone: str) -> bool:
        """A country, and no part of one."""
        return zone in COUNTRIES

    def latest(self, zone: str) -> IntensityPoint:
        """The quarter-hour or hour that is running, which is a forecast, or the last one that has a figure."""
        now_s = self.now_s()
        points = self._between(zone, now_s - 6 * 3600, now_s + 1)
        return newest([p for p in points if (p.start_s or 0.0) <= now_s], self.title)

    def history(self, zone: str, start_s: float, end_s: float) -> list[IntensityPoint]:
        """What was, and where that is not known yet, what was forecast."""
        return self._between(zone, start_s, end_s)

    def forecast(self, zone: str, start_s: float, end_s: float) -> list[IntensityPoint]:
        """Until the end of today or of tomorrow."""
        return self._between(zone, start_s, end_s)

    def _between(self, zone: str, start_s: float, end_s: float) -> list[IntensityPoint]:
        if not self.serves(zone):
            raise NotServed(f"{self.title} has figures for countries of Europe, not for {zone}")
        # An hour more on either side: the slot that runs at the start, and a second stamp to tell lengths by.
        span = {"start": f"{start_s - 3600:.0f}", "end": f"{end_s + 3600:.0f}"}
        said = self.ask(self._site, "/co2eq", country=zone.lower(), **span)
        times, actual, expected = (self._column(said, name) for name in ("unix_seconds", "co2eq", "co2eq_forecast"))
        starts_s = [number(time) for time in times]
        length_s = _length_s(sorted({s for s in starts_s if s is not None}), zone)
        points = (
            self._read(zone, start_s, length_s, *figures)
            for start_s, *figures in zip(starts_s, actual, expected, strict=True)
            if start_s is not None
        )
        return in_order(points, start_s, end_s)

    def _column(self, said: Any, name: str) -> Sequence[Any]:
        """One of the lists of an answer, as long as that of its times."""
        column, times = (said.get(key) if isinstance(said, dict) else None for key in (name, "unix_seconds"))
        if not isinstance(column, list) or not isinstance(times, list) or len(column) != len(times):
            raise Unavailable(f"the answer of {self.title} has no list {name} as long as that of its times")
        return column

    def _read(self, zone: str, start_s: float, length_s: float, actual: Any, expected: Any) -> IntensityPoint | None:
        kind: IntensityKind = "forecast" if actual is None else "measured"
        return self.point(zone, start_s, length_s, expected if actual is None else actual, kind)


def _length_s(starts_s: Sequence[float], zone: str) -> float:
    """How long each figure holds: the least time between two, so that a missing one leaves a gap."""
    return min((later - earlier for earlier, later in pairwise(starts_s)), default=900.0 if zone == "DE" else 3600.0)
