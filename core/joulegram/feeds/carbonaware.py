"""The Green Software Foundation's Carbon Aware SDK: a WebApi that its user runs, in front of a source of his choice.

Behind it may be WattTime, which is marginal, Electricity Maps, which is average, or files; its answers do not say
which, so the user does. Nor do they say what was measured: the past counts as estimated. Forecasts reach as far as
those of the source. Licence and limits are the source's as well. One question spans a week at most.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast, get_args

from joulegram.feeds import (
    Feed,
    NotServed,
    Reach,
    Unavailable,
    in_order,
    iso_utc,
    listed,
    newest,
    number,
    utc_s,
)
from joulegram.records import Basis, IntensityKind, IntensityPoint, Signal
from joulegram.web import Answer, Unanswered

DAY_S = 86400.0
NOW_S = 3 * 3600.0
"""How old the newest figure may be (s): sources answer late."""
# .NET writes a TimeSpan as [days.]hours:minutes:seconds[.fraction].
_SPAN = re.compile(r"(?:(\d{1,4})\.)?(\d{1,2}):(\d{2}):(\d{2}(?:\.\d{1,9})?)")


class CarbonAwareFeed(Feed):
    """Carbon intensity of a location that a Carbon Aware SDK WebApi knows.

    Options: ``base_url`` (where it runs); ``signal`` (``average`` or ``marginal``, as its source is); ``location``
    (``eastus``), which is asked whatever zone the run is in, else the zone itself is; ``basis`` (``lifecycle``,
    ``direct`` or ``unknown``).
    """

    name = "carbonaware"
    title = "Carbon Aware SDK"
    known = ("location", "signal", "basis")
    reach = Reach(history_s=7 * DAY_S, step_s=300.0)

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._location = self.options.text("location")
        self.basis = cast(Basis, self.options.choice("basis", get_args(Basis), "unknown"))
        if self.url:
            self.signal = cast(Signal, self.options.choice("signal", get_args(Signal)))
        self._site = self.site()

    def serves(self, zone: str) -> bool:
        """Any zone: what its locations are called is up to who runs it."""
        return True

    def latest(self, zone: str) -> IntensityPoint:
        """The newest of the last three hours."""
        now_s = self.now_s()
        points = self.history(zone, now_s - NOW_S, now_s)
        return newest([p for p in points if (p.start_s or 0.0) <= now_s], self.title)

    def history(self, zone: str, start_s: float, end_s: float) -> list[IntensityPoint]:
        """What the source has; nothing where it has nothing."""
        span = {"time": iso_utc(start_s), "toTime": iso_utc(end_s)}
        rows = self._rows("/emissions/bylocation", location=self._location or zone, **span)
        return in_order((self._read(zone, row, "time", "rating", "estimated") for row in rows), start_s, end_s)

    def forecast(self, zone: str, start_s: float, end_s: float) -> list[IntensityPoint]:
        """As far ahead as the source looks."""
        # Asked for a time that its forecast does not hold the whole of, it answers with an error: so for all of it.
        forecasts = self._rows("/emissions/forecasts/current", location=self._location or zone)
        rows = [row for forecast in forecasts for row in listed(forecast, "forecastData")]
        return in_order((self._read(zone, row, "timestamp", "value", "forecast") for row in rows), start_s, end_s)

    def refusal(self, answer: Answer) -> Unavailable | None:
        """Its errors are problem details (RFC 7807)."""
        if answer.status < 400 or answer.status in (401, 403, 429):
            return super().refusal(answer)
        why = f"{self.quote(answer, 'title', 'detail') or 'it does not say why'} (HTTP {answer.status})"
        kind = NotServed if answer.status in (400, 404, 501) else Unavailable
        return kind(f"{answer.host} has no answer: {why}")

    def _rows(self, path: str, **parameters: str) -> list[Mapping[str, Any]]:
        """The rows of an answer; none where it says that there are none, which is not by an empty list."""
        answer = self.answer(self._site, path, **parameters)
        if answer.status == 204:
            return []
        try:
            rows = listed(answer.json())
        except Unanswered as error:
            raise Unavailable(str(error)) from None
        if not rows:
            raise Unavailable(f"{answer.host} answered without a row")
        return rows

    def _read(
        self, zone: str, row: Mapping[str, Any], time: str, value: str, kind: IntensityKind
    ) -> IntensityPoint | None:
        return self.point(zone, utc_s(row.get(time)), _length_s(row.get("duration")), row.get(value), kind)


def _length_s(duration: Any) -> float:
    """Seconds of a duration: minutes as a number, or a .NET TimeSpan.

    Raises:
        Unavailable: it is neither, or nothing, or more than a day.
    """
    minutes, span = number(duration), _SPAN.fullmatch(str(duration))
    if minutes is not None:
        length_s = 60.0 * minutes
    elif span is not None:
        days, hours, minutes_past, seconds = (float(part or 0) for part in span.groups())
        length_s = DAY_S * days + 3600 * hours + 60 * minutes_past + seconds
    else:
        length_s = 0.0
    if not 0 < length_s <= DAY_S:
        raise Unavailable(f"{str(duration)[:40]!r} is no duration")
    return length_s
