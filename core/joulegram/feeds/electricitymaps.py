"""Electricity Maps: some 350 zones of the world, hourly, with a key of one's own.

Average intensity of what a zone consumes, imports traced to where they were made, lifecycle emissions unless the user
wants direct ones. An hour is measured where the source does not mark it as estimated; the running hour always counts as
estimated. The last 24 hours and up to 72 hours ahead come with every key, older hours (10 days at a time) with some
plans. Data: proprietary, "Source: ElectricityMaps.com"; a free key is for non-commercial use, and the figures may not
be passed on. About 150 questions a minute.

A key without access to production gets made-up figures that look real; these are refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from joulegram.feeds import Feed, NotAllowed, NotServed, Reach, Unavailable, in_order, iso_utc, listed, newest, utc_s
from joulegram.records import IntensityKind, IntensityPoint
from joulegram.web import Answer

LENGTHS_S = {"hourly": 3600.0, "15_minutes": 900.0, "5_minutes": 300.0}
HORIZONS_H = (24, 48, 72)
DAY_S = 86400.0
MOST_DAYS = 10
SETTLES_S = 12 * 3600.0
"""Nothing says until when an hour may be corrected: an allowance that lets hours settle while every key can ask."""
SANDBOX = "sandbox"
_NO_DATA = "no recent data"
"""Of a 404 that is about a zone that there is: it may have data later."""
_PLAN = ("unauthorized for zonekey", "endpoint not available", "do not have access")
"""Of a 401, in all that the source was seen to say of a key that is right but does not open this."""


class ElectricityMapsFeed(Feed):
    """Carbon intensity of a zone of Electricity Maps.

    Options: ``key``; ``zone``, which is asked whatever zone the run is in; ``granularity`` (``hourly``, ``15_minutes``,
    ``5_minutes``; the finer ones with some plans); ``api`` (``v4``, or the older ``v3``).
    """

    name = "electricitymaps"
    title = "Electricity Maps (ElectricityMaps.com)"
    base_url = "https://api.electricitymaps.com"
    known = ("zone", "granularity", "api")
    secrets = ("key",)

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        api = self.options.choice("api", ("v4", "v3"), "v4")
        if self.url.endswith(("/v3", "/v4")):
            raise self.options.wrong("base_url", "leave out the version at its end: the option api says it")
        self._path = f"/{api}/carbon-intensity"
        self._granularity = self.options.choice("granularity", LENGTHS_S, "hourly")
        self._zone = self.options.text("zone")
        self._site = self.site({"auth-token": self.options.text("key")})
        self.basis = "direct" if self.wanted_basis == "direct" else "lifecycle"
        self.reach = Reach(history_s=MOST_DAYS * DAY_S, step_s=LENGTHS_S[self._granularity], settles_s=SETTLES_S)

    def serves(self, zone: str) -> bool:
        """Any zone: which ones there are, only the source knows."""
        return True

    def latest(self, zone: str) -> IntensityPoint:
        """The newest hour that there is."""
        now_s = self.now_s()
        points = self._ask_for("latest", zone)
        return newest([p for p in points if (p.start_s or 0.0) <= now_s], self.title)

    def history(self, zone: str, start_s: float, end_s: float) -> list[IntensityPoint]:
        """Hours as measured or estimated; without a plan that has older ones, those of the last day."""
        since_s, step_s = self.now_s() - DAY_S, self.reach.step_s
        if start_s < since_s:
            start, end = iso_utc(start_s // step_s * step_s), iso_utc(-(-end_s // step_s) * step_s)
            try:
                return in_order(self._ask_for("past-range", zone, start=start, end=end), start_s, end_s)
            except _NotInPlan:
                if end_s <= since_s:
                    raise
        return in_order(self._ask_for("history", zone), start_s, end_s)

    def forecast(self, zone: str, start_s: float, end_s: float) -> list[IntensityPoint]:
        """Up to 72 hours ahead."""
        ahead_h = (end_s - self.now_s()) / 3600.0
        horizon_h = next((horizon_h for horizon_h in HORIZONS_H if horizon_h >= ahead_h), HORIZONS_H[-1])
        points = self._ask_for("forecast", zone, "forecast", horizonHours=str(horizon_h))
        return in_order(points, start_s, end_s)

    def refusal(self, answer: Answer) -> Unavailable | None:
        """A key that is wrong, one that does not open this, and a computer that is kept out are three things."""
        if answer.status == 401:
            if any(words in self.quote(answer, "error", "message").lower() for words in _PLAN):
                return _NotInPlan("the key of Electricity Maps is right, but its plan does not include this (HTTP 401)")
            return NotAllowed("Electricity Maps does not know this key: check feeds.electricitymaps.key (HTTP 401)")
        if answer.status == 403:
            return NotAllowed(
                f"{answer.host} keeps this computer's address or program out, whatever the key (HTTP 403)"
            )
        if answer.status in (400, 404):
            why = self.quote(answer, "error", "message") or "it does not say why"
            kind = Unavailable if _NO_DATA in why.lower() else NotServed
            return kind(f"{answer.host} has no answer: {why} (HTTP {answer.status})")
        return super().refusal(answer)

    def _ask_for(
        self, what: str, zone: str, kind: IntensityKind | None = None, **parameters: str
    ) -> Sequence[IntensityPoint]:
        zone = self._zone or zone
        said = self.ask(
            self._site,
            f"{self._path}/{what}",
            zone=zone,
            disableCallerLookup="true",  # else a question without a zone is answered for where the caller is
            emissionFactorType=self.basis,
            temporalGranularity=self._granularity,
            **parameters,
        )
        rows = _rows(said)
        if SANDBOX in str(said.get("_disclaimer")).lower():
            raise _made_up()
        return in_order(self._read(zone, {**said, **row}, kind) for row in rows)

    def _read(self, zone: str, row: Mapping[str, Any], kind: IntensityKind | None) -> IntensityPoint | None:
        if SANDBOX in str(row.get("estimationMethod")).lower():
            raise _made_up()
        for field, asked in (("zone", zone), ("emissionFactorType", self.basis)):
            if row.get(field) not in (None, asked):
                raise Unavailable(f"{self.title} answered for {str(row[field])[:40]!r} where {asked} was asked for")
        length_s = LENGTHS_S.get(
            str(row.get("temporalGranularity") or "hourly")
        )  # older answers do not say: all are hourly
        if length_s is None:
            raise Unavailable(f"{self.title} answered with neither hours nor minutes, which were asked for")
        start_s = utc_s(row.get("datetime"))
        sure = row.get("isEstimated") is False and start_s + length_s <= self.now_s()
        return self.point(
            zone,
            start_s,
            length_s,
            row.get("carbonIntensity"),
            kind or ("measured" if sure else "estimated"),
            scope="generation" if row.get("flowTraced") is False else "consumption",
        )


class _NotInPlan(NotAllowed):
    """The key is right, but does not open this."""


def _rows(said: Any) -> Sequence[Mapping[str, Any]]:
    """The rows of an answer; the newest one is an answer by itself."""
    for key in ("history", "data", "forecast"):
        if isinstance(said, Mapping) and key in said:
            return listed(said, key)
    if isinstance(said, Mapping) and "carbonIntensity" in said:
        return [said]
    raise Unavailable("the answer has neither rows nor an intensity")


def _made_up() -> NotAllowed:
    return NotAllowed("Electricity Maps gives this key made-up (sandbox) figures only: it needs access to production")
