"""Great Britain: NESO's Carbon Intensity API, national, of one of 17 regions or of a postcode; half-hours, no key.

Direct emissions of generation and imports. Its actual figures are national only; a region has none but forecasts. Data:
NESO, CC BY 4.0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from joulegram.feeds import Feed, Reach, in_order, listed, newest, utc_s
from joulegram.records import IntensityKind, IntensityPoint

SLOT_S = 1800.0
REGIONS = 17
MOST_DAYS = 14


class NesoFeed(Feed):
    """Carbon intensity of Great Britain.

    Options: ``region`` (1 to 17), or ``postcode`` (its outward part, ``RG10``), for a part of the country.
    """

    name = "neso"
    title = "NESO Carbon Intensity API (CC BY 4.0)"
    base_url = "https://api.carbonintensity.org.uk"
    known = ("region", "postcode")
    basis = "direct"
    reach = Reach(history_s=MOST_DAYS * 86400.0, spacing_s=1.0, step_s=SLOT_S, settles_s=86400.0)

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._site = self.site()
        self._of = self._part()

    def serves(self, zone: str) -> bool:
        """Great Britain, and its parts."""
        return zone.partition("-")[0] == "GB"

    def latest(self, zone: str) -> IntensityPoint:
        """The half-hour that is running, or the last one that has a figure."""
        now_s = self.now_s()
        points = self._between(zone, now_s - 4 * SLOT_S, now_s + 1)
        return newest([p for p in points if (p.start_s or 0.0) <= now_s], self.title)

    def history(self, zone: str, start_s: float, end_s: float) -> list[IntensityPoint]:
        """Actual figures where there are any, else what was forecast."""
        return self._between(zone, start_s, end_s)

    def forecast(self, zone: str, start_s: float, end_s: float) -> list[IntensityPoint]:
        """Up to four days ahead."""
        return self._between(zone, start_s, end_s)

    def _part(self) -> str:
        """The end of the path that names a part of the country; empty for all of it."""
        postcode = self.options.text("postcode").upper()
        if postcode:
            if not postcode.isalnum() or len(postcode) > 4:
                raise self.options.wrong("postcode", "the outward part alone is needed, such as RG10")
            return f"/postcode/{postcode}"
        region = self.options.number_or_none("region")
        if region is None:
            return ""
        if region not in range(1, REGIONS + 1):
            raise self.options.wrong("region", f"a number from 1 to {REGIONS} is needed")
        return f"/regionid/{region:.0f}"

    def _between(self, zone: str, start_s: float, end_s: float) -> list[IntensityPoint]:
        span = f"/intensity/{_slot(start_s)}/{_slot(end_s, up=True)}"
        said = self.ask(self._site, f"/regional{span}{self._of}" if self._of else span)
        return in_order((self._read(zone, row) for row in self._rows(said)), start_s, end_s)

    def _rows(self, said: Any) -> Iterable[Mapping[str, Any]]:
        """Half-hours; those of a part of the country lie one level deeper, in an object or in a list of one."""
        if not self._of:
            return listed(said, "data")
        data = said.get("data") if isinstance(said, Mapping) else None
        part = data[0] if isinstance(data, list) and data else data
        return listed(part, "data")

    def _read(self, zone: str, row: Mapping[str, Any]) -> IntensityPoint | None:
        start_s, figures = utc_s(row.get("from")), row.get("intensity")
        if not isinstance(figures, Mapping):
            return None
        actual = figures.get("actual")
        kind: IntensityKind = "forecast" if actual is None else "measured"
        return self.point(
            zone, start_s, SLOT_S, figures.get("forecast") if actual is None else actual, kind, scope="consumption"
        )


def _slot(time_s: float, up: bool = False) -> str:
    """The half-hour that a time is in, or the end of it, as the API writes it."""
    slots = -(-time_s // SLOT_S) if up else time_s // SLOT_S
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=slots * SLOT_S)
    return moment.strftime("%Y-%m-%dT%H:%MZ")
