"""Denmark: Energinet's Energi Data Service, of the price areas DK1 and DK2; five minutes, no key.

Direct emissions of the electricity that is consumed, imports included. `CO2Emis` is what was measured, five minutes
late; `CO2EmisProg` is what is expected until the end of today or of tomorrow. Energinet's hourly declarations come
months later and allocate heat by another method: they are another figure, and are not mixed in. A dataset may be asked
once a minute from one address (since 2025-08-26). Data: Energinet, CC BY 4.0.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from joulegram.feeds import Feed, NotServed, Reach, in_order, listed, newest, utc_s
from joulegram.records import IntensityKind, IntensityPoint

STEP_S = 300.0
AREAS: Mapping[str, str] = MappingProxyType({"DK-DK1": "DK1", "DK-DK2": "DK2"})
MEASURED, EXPECTED = "CO2Emis", "CO2EmisProg"


class EnergiDataServiceFeed(Feed):
    """Carbon intensity west (``DK-DK1``) and east (``DK-DK2``) of the Great Belt."""

    name = "energidataservice"
    title = "Energinet Energi Data Service (CC BY 4.0)"
    base_url = "https://api.energidataservice.dk"
    basis = "direct"
    # No correction of CO2Emis is documented; a day leaves room for one.
    reach = Reach(history_s=92 * 86400.0, spacing_s=60.0, step_s=STEP_S, settles_s=86400.0)

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._site = self.site()

    def serves(self, zone: str) -> bool:
        """The two price areas; the country as a whole has no figure."""
        return zone in AREAS

    def latest(self, zone: str) -> IntensityPoint:
        """The newest five minutes of the last two hours."""
        now_s = self.now_s()
        return newest(self._between(MEASURED, "measured", zone, now_s - 7200, now_s), self.title)

    def history(self, zone: str, start_s: float, end_s: float) -> list[IntensityPoint]:
        """What was measured."""
        return self._between(MEASURED, "measured", zone, start_s, end_s)

    def forecast(self, zone: str, start_s: float, end_s: float) -> list[IntensityPoint]:
        """9 to 33 hours ahead, by the time of day."""
        return self._between(EXPECTED, "forecast", zone, start_s, end_s)

    def _between(
        self, dataset: str, kind: IntensityKind, zone: str, start_s: float, end_s: float
    ) -> list[IntensityPoint]:
        if zone not in AREAS:
            raise NotServed(f"{self.title} has figures for {' and '.join(AREAS)}, not for {zone}")
        said = self.ask(
            self._site,
            f"/dataset/{dataset}",
            start=_minute(start_s // STEP_S * STEP_S),
            end=_minute(-(-end_s // STEP_S) * STEP_S),
            timezone="UTC",  # without it, times are Danish
            filter=json.dumps({"PriceArea": [AREAS[zone]]}),
            limit="0",
        )
        return in_order((self._read(kind, zone, row) for row in listed(said, "records")), start_s, end_s)

    def _read(self, kind: IntensityKind, zone: str, row: Mapping[str, Any]) -> IntensityPoint | None:
        if row.get("PriceArea") != AREAS[zone]:
            return None
        time_s = utc_s(row.get("Minutes5UTC"))
        return self.point(zone, time_s, STEP_S, row.get("CO2Emission"), kind, scope="consumption")


def _minute(time_s: float) -> str:
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%dT%H:%M")
