"""Europe: ENTSO-E's transparency platform, generation by technology over the library `entsoe-py`, with a token.

Intensity is computed from it (see `joulegram.feeds.factors`): lifecycle emissions of what is generated in a country or
a bidding zone, an estimate; there is no forecast. Grids report in quarter-hours, half-hours or hours, an hour late or
later; hours are made of them. A token comes by e-mail within some days (transparency.entsoe.eu); 400 questions a minute
are allowed, who asks more is shut out for ten minutes. Data: ENTSO-E, CC BY 4.0 for the items on its list.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from joulegram.feeds import NotAllowed, NotServed, Reach, Unavailable
from joulegram.feeds.europe import COUNTRIES
from joulegram.feeds.factors import HOUR_S, STORAGE, GenerationFeed, Mix
from joulegram.host.forking import importing
from joulegram.web import unlogged

if TYPE_CHECKING:
    import pandas as pd
    import requests

TECHNOLOGIES: Mapping[str, str] = MappingProxyType(
    {
        "Biomass": "biomass",
        "Energy storage": STORAGE,
        "Fossil Brown coal/Lignite": "coal",
        "Fossil Coal-derived gas": "gas",
        "Fossil Gas": "gas",
        "Fossil Hard coal": "coal",
        "Fossil Oil": "oil",
        "Fossil Oil shale": "coal",
        "Fossil Peat": "coal",
        "Geothermal": "geothermal",
        "Hydro Pumped Storage": STORAGE,
        "Hydro Run-of-river and pondage": "hydro",
        "Hydro Water Reservoir": "hydro",
        "Marine": "marine",
        "Nuclear": "nuclear",
        "Other renewable": "other renewable",
        "Solar": "solar",
        "Wind Offshore": "offshore wind",
        "Wind Onshore": "wind",
    }
)
"""By the library's name of a production type; any other, as waste, is ``other``."""

AREAS: Mapping[str, str] = MappingProxyType(
    {country: country for country in COUNTRIES}
    | {f"{c}-{c}{n}": f"{c}_{n}" for c, zones in (("DK", 2), ("NO", 5), ("SE", 4)) for n in range(1, zones + 1)}
    | {"IT-NO": "IT_NORD", "IT-CNO": "IT_CNOR", "IT-CSO": "IT_CSUD", "IT-SO": "IT_SUD"}
    | {"IT-SIC": "IT_SICI", "IT-SAR": "IT_SARD"}
)
"""The library's names of countries and bidding zones, by zone."""

DOCUMENT, NOTHING = b"<GL_MarketDocument", b"No matching data found"
"""What is in an answer; for anything else the library would return an empty table."""


class EntsoeFeed(GenerationFeed):
    """Carbon intensity of a country (``DE``) or a bidding zone (``DK-DK1``, ``SE-SE3``, ``IT-NO``) of Europe.

    Options: ``key``, the token. Needs the extra ``entsoe``.
    """

    name = "entsoe"
    title = "ENTSO-E Transparency Platform (CC BY 4.0)"
    base_url = "https://web-api.tp.entsoe.eu/api"
    secrets = ("key",)
    # What the library asks in one question: less than a month. Grids correct what they reported for some days.
    reach = Reach(history_s=27 * 86400.0, spacing_s=1.0, step_s=HOUR_S, settles_s=7 * 86400.0)

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._http = _Http(self)

    def serves(self, zone: str) -> bool:
        """Countries that report, and bidding zones of Denmark, Italy, Norway and Sweden."""
        return zone in AREAS

    def mixes(self, zone: str, start_s: float, end_s: float) -> dict[float, Mix]:
        """Mean MW of each hour, by technology."""
        try:
            with importing():
                import pandas as pd
                from entsoe import EntsoePandasClient
                from entsoe.exceptions import InvalidBusinessParameterError, InvalidPSRTypeError, NoMatchingDataError
                from requests import HTTPError
        except ImportError:
            raise NotAllowed('ENTSO-E needs entsoe-py: pip install "joulegram[entsoe]"') from None

        client = EntsoePandasClient(self.options.text("key"), session=self._http, retry_count=1)
        start, end = (pd.Timestamp(s // HOUR_S * HOUR_S, unit="s", tz="UTC") for s in (start_s, end_s + HOUR_S - 1))
        try:
            with unlogged("entsoe.entsoe"):  # it logs the token
                return _hours(client.query_generation(AREAS[zone], start=start, end=end))
        except Unavailable:
            raise
        except NoMatchingDataError:
            return {}
        except (InvalidBusinessParameterError, InvalidPSRTypeError):
            raise NotServed(f"{self.title} has no generation of {zone}") from None
        except HTTPError as error:
            status = getattr(error.response, "status_code", "error")
            raise Unavailable(f"{self.title} answered with HTTP {status}") from None
        except Exception as error:  # whatever the library makes of an answer that is no such document
            raise Unavailable(f"{self.title} did not answer with generation ({type(error).__name__})") from None


class _Http:
    """What the library takes for a session of `requests`: it asks the feed's own address, once, within limits."""

    def __init__(self, feed: EntsoeFeed) -> None:
        self.headers: dict[str, str] = {}  # the library writes its name here
        self._feed, self._site = feed, feed.site({"Accept": "application/xml"})

    def get(self, url: str, params: Mapping[str, str], **_: Any) -> requests.Response:
        import requests

        answer = self._feed.answer(self._site, "", **params)
        if answer.status == 200 and not any(words in answer.body for words in (DOCUMENT, NOTHING)):
            raise Unavailable(f"{answer.host} did not answer with a document of generation")
        response = requests.Response()
        response.status_code, response._content, response.encoding = answer.status, answer.body, "utf-8"
        response.headers["content-type"] = "application/xml"
        return response


def _hours(generation: pd.DataFrame) -> dict[float, Mix]:
    """Mean MW of each hour (s since 1970) by technology, from the library's table.

    Its columns are production types; where some consume as well (pumping), each is given twice, and what it consumes is
    left out.
    """
    if generation.columns.nlevels > 1:
        generation = generation.xs("Actual Aggregated", axis=1, level=-1)
    hourly = generation.tz_convert("UTC").groupby(lambda time: time.floor("h")).mean()
    hours: dict[float, Mix] = {}
    for time, row in hourly.iterrows():
        mix: dict[str, float] = {}
        for production, amount_mw in row.dropna().items():
            technology = TECHNOLOGIES.get(str(production), "other")
            mix[technology] = mix.get(technology, 0.0) + float(amount_mw)
        hours[time.timestamp()] = mix
    return hours
