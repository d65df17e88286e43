"""France: RTE's éCO2mix by way of Open Data Réseaux Énergies; quarter-hours, later half-hours, no key.

Direct emissions of what French plants generate, without imports; there is no forecast of it. The data in real time come
15 to 20 minutes late and reach back some weeks; what is older is in the consolidated data of half-hours. 50,000
questions a month are allowed. Data: RTE, éCO2mix, by ODRÉ, Licence Ouverte 2.0.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from joulegram.feeds import Feed, NotServed, Reach, in_order, listed, newest, utc_s
from joulegram.records import IntensityPoint

REAL_TIME, CONSOLIDATED = "eco2mix-national-tr", "eco2mix-national-cons-def"
LENGTH_S = {REAL_TIME: 900.0, CONSOLIDATED: 1800.0}
RECENT_S = 28 * 86400.0
"""What began since then is in real time only; what is older may be in either."""
PAGE = 100


class Eco2mixFeed(Feed):
    """Carbon intensity of France (``FR``)."""

    name = "eco2mix"
    title = "RTE éCO2mix, ODRÉ (Licence Ouverte 2.0)"
    base_url = "https://odre.opendatasoft.com"
    basis = "direct"
    # A day of quarter-hours, and the one that it begins in, fit into a page. A month is consolidated in the next one.
    reach = Reach(history_s=86400.0, spacing_s=1.0, step_s=900.0, settles_s=62 * 86400.0)

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._site = self.site()

    def serves(self, zone: str) -> bool:
        """Metropolitan France."""
        return zone == "FR"

    def latest(self, zone: str) -> IntensityPoint:
        """The newest quarter-hour of the last two hours."""
        now_s = self.now_s()
        return newest(self._between(REAL_TIME, zone, now_s - 7200, now_s), self.title)

    def history(self, zone: str, start_s: float, end_s: float) -> list[IntensityPoint]:
        """What was measured: consolidated if that has been done."""
        if start_s >= self.now_s() - RECENT_S:
            return self._between(REAL_TIME, zone, start_s, end_s)
        return self._between(CONSOLIDATED, zone, start_s, end_s) or self._between(REAL_TIME, zone, start_s, end_s)

    def _between(self, dataset: str, zone: str, start_s: float, end_s: float) -> list[IntensityPoint]:
        if not self.serves(zone):
            raise NotServed(f"{self.title} has figures for FR, not for {zone}")
        length_s = LENGTH_S[dataset]
        after, before = (
            datetime.fromtimestamp(s, UTC).isoformat(timespec="seconds") for s in (start_s - length_s, end_s)
        )
        said = self.ask(
            self._site,
            f"/api/explore/v2.1/catalog/datasets/{dataset}/records",
            select="date_heure,taux_co2",
            # The rest of the day has rows, too, without figures.
            where=f"taux_co2 is not null and date_heure > '{after}' and date_heure < '{before}'",
            order_by="date_heure",
            limit=str(PAGE),
            timezone="UTC",
        )
        rows = listed(said, "results")
        # "ND" stands where a figure is not available.
        points = (
            self.point(
                zone, utc_s(row.get("date_heure")), length_s, row.get("taux_co2"), "measured", scope="generation"
            )
            for row in rows
        )
        return in_order(points, start_s, end_s)
