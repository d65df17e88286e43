"""Balancing authorities of the United States: hourly generation by fuel (EIA-930), with a key of EIA's.

Intensity is computed from it (see `joulegram.feeds.factors`): lifecycle emissions of what is generated there, an
estimate; there is no forecast. Hours come about a day late. A key is free (eia.gov/opendata); 9,000 questions an hour,
and five a second, are allowed. Data: US Energy Information Administration, public domain.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from joulegram.feeds import NotAllowed, Reach, Unavailable, listed, number, utc_s
from joulegram.feeds.factors import HOUR_S, STORAGE, GenerationFeed, Mix

MOST_ROWS = 5000
TECHNOLOGIES: Mapping[str, str] = MappingProxyType(
    {
        "BAT": STORAGE,
        "COL": "coal",
        "GEO": "geothermal",
        "NG": "gas",
        "NUC": "nuclear",
        "OES": STORAGE,
        "OIL": "oil",
        "PS": STORAGE,
        "SNB": "solar",  # with a battery of its own, as WNB
        "SUN": "solar",
        "UES": STORAGE,
        "WAT": "hydro",
        "WIND": "wind",
        "WNB": "wind",
        "WND": "wind",
    }
)
"""By the code of a fuel; any other is ``other``, as ``OTH`` is."""

# US-CAL-CISO; not a state (US-CA), nor a subregion of eGRID.
_AUTHORITY = re.compile(r"US-(?!EGRID-)[A-Z]+-([A-Z]+)")


class EiaFeed(GenerationFeed):
    """Carbon intensity of a balancing authority (``US-CAL-CISO``), whose EIA code is the last part of its zone.

    Options: ``key``.
    """

    name = "eia"
    title = "EIA-930, US Energy Information Administration (public domain)"
    base_url = "https://api.eia.gov"
    secrets = ("key",)
    late_s = 2 * 86400.0
    # Ten days of up to 20 fuels fit into an answer. Authorities correct what they reported for some days.
    reach = Reach(history_s=10 * 86400.0, spacing_s=1.0, step_s=HOUR_S, settles_s=7 * 86400.0)

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._site = self.site()

    def serves(self, zone: str) -> bool:
        """A balancing authority; which there are is EIA's to say."""
        return _AUTHORITY.fullmatch(zone) is not None

    def mixes(self, zone: str, start_s: float, end_s: float) -> dict[float, Mix]:
        """MWh of each hour, by technology."""
        rows = self._rows(zone.rpartition("-")[2], start_s, end_s)
        hours: dict[float, dict[str, float]] = {}
        for row in rows:
            amount_mwh = number(row.get("value"))
            if amount_mwh is None:
                continue
            technology = TECHNOLOGIES.get(str(row.get("fueltype")), "other")
            mix = hours.setdefault(utc_s(row.get("period")) - HOUR_S, {})  # a period is named by its end
            mix[technology] = mix.get(technology, 0.0) + amount_mwh
        return dict(hours)

    def _rows(self, authority: str, start_s: float, end_s: float) -> list[Mapping[str, Any]]:
        said = self.ask(
            self._site,
            "/v2/electricity/rto/fuel-type-data/data/",
            **{
                "api_key": self.options.text("key"),
                "frequency": "hourly",
                "data[]": "value",
                "facets[respondent][]": authority,
                "start": _hour(start_s // HOUR_S * HOUR_S + HOUR_S),
                "end": _hour(-(-end_s // HOUR_S) * HOUR_S),
                "sort[0][column]": "period",
                "sort[0][direction]": "desc",
                "length": str(MOST_ROWS),
                "offset": "0",
            },
        )
        error = said.get("error") if isinstance(said, Mapping) else None
        if error is not None:
            raise _refusal(error)
        rows = listed(said, "response", "data")
        if len(rows) >= MOST_ROWS:  # its last hour may lack fuels
            raise Unavailable(f"{self.title} has more rows than fit into an answer")
        return rows


def _refusal(error: Any) -> Unavailable:
    """What an answer that is an error says; its own words may hold the key and are not passed on."""
    code = error.get("code") if isinstance(error, Mapping) else None
    code = code if isinstance(code, str) and re.fullmatch(r"[A-Z_]{1,40}", code) else "an error"
    if code.startswith("API_KEY"):
        return NotAllowed(f"EIA wants a key, or another one ({code})")
    return Unavailable(f"EIA answers with {code}")


def _hour(time_s: float) -> str:
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%dT%H")
