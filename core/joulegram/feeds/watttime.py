"""WattTime: marginal intensity of some 210 regions, every five minutes, with an account of one's own.

``co2_moer`` is marginal: what one more kilowatt-hour makes plants emit. ``co2_aoer``, the average, comes with some
plans and has a past only. The two are never given for each other. What WattTime counts as emissions it does not say in
its answers: the basis is unknown. The past counts as measured where no data were imputed, although a marginal rate is
always a model's; now is the now-cast, estimated; forecasts reach 72 hours ahead. The free plan has data of the region
``CAISO_NORTH`` alone. Which of its regions a zone lies in, no rule tells: the user names one. Data: proprietary, terms
not published, so not to be passed on. 3,000 questions in 5 minutes, 32 days in each.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Any

from joulegram.feeds import (
    Feed,
    NotAllowed,
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
from joulegram.records import IntensityKind, IntensityPoint, Signal
from joulegram.web import Answer, Parameter, Site

SIGNALS: Mapping[str, Signal] = {"co2_moer": "marginal", "co2_aoer": "average"}
UNITS = "lbs_co2_per_mwh"
G_PER_KWH = 0.45359237
"""Of one pound per megawatt-hour."""
STEP_S = 300.0
DAY_S = 86400.0
MOST_DAYS, MOST_HOURS_AHEAD = 32, 72
TOKEN_S = 29 * 60.0
"""A token lasts for half an hour; renewed before, it does not lapse on the way."""


class WattTimeFeed(Feed):
    """Carbon intensity of one region of WattTime.

    Options: ``user``, ``password``; ``region`` (``CAISO_NORTH``, also as ``watttime:CAISO_NORTH``), which its points
    bear as their zone; ``signal`` (``co2_moer``, or ``co2_aoer``).
    """

    name = "watttime"
    title = "WattTime"
    base_url = "https://api.watttime.org"
    known = ("region", "signal")
    secrets = ("user", "password")
    argument = "region"
    # Nothing says until when the past may be corrected; a day is an allowance.
    reach = Reach(history_s=MOST_DAYS * DAY_S, step_s=STEP_S, settles_s=DAY_S)

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._region = self.options.text("region")
        self._signal_type = self.options.choice("signal", SIGNALS, "co2_moer")
        self.signal = SIGNALS[self._signal_type]
        self._site: Site | None = None
        self._since_s = 0.0

    @property
    def ready(self) -> bool:
        """Whether it has an account and a region."""
        return super().ready and bool(self._region)

    def serves(self, zone: str) -> bool:
        """Wherever the user is, if he names its region."""
        return bool(self._region)

    def latest(self, zone: str) -> IntensityPoint:
        """The now-cast; of the average, the newest of the last day."""
        if self.signal == "average":
            return newest(self.history(zone, self.now_s() - DAY_S, self.now_s()), self.title)
        return newest(self._ask_for("forecast", "estimated", horizon_hours="0"), self.title)

    def history(self, zone: str, start_s: float, end_s: float) -> list[IntensityPoint]:
        """Five minutes each, measured where no data were imputed."""
        start, end = iso_utc(start_s // STEP_S * STEP_S), iso_utc(end_s)
        points = self._ask_for("historical", "measured", start=start, end=end, include_imputed_marker="true")
        return in_order(points, start_s, end_s)

    def forecast(self, zone: str, start_s: float, end_s: float) -> list[IntensityPoint]:
        """Up to 72 hours ahead, of the marginal rate."""
        if self.signal == "average":
            raise NotServed(f"{self.title} makes no forecasts of the average")
        ahead_h = min(max(ceil((end_s - self.now_s()) / 3600.0), 1), MOST_HOURS_AHEAD)
        return in_order(self._ask_for("forecast", "forecast", horizon_hours=str(ahead_h)), start_s, end_s)

    def refusal(self, answer: Answer) -> Unavailable | None:
        """A token that lapsed is not a plan that lacks a region."""
        if answer.status == 401:
            return _Lapsed(f"{answer.host} does not take the token that it gave (HTTP 401)")
        if answer.status == 403:
            what = f"{self._signal_type} of {self._region}"
            return NotAllowed(f"the plan of this WattTime account does not include {what} (HTTP 403)")
        if answer.status == 400:
            why = self.quote(answer, "error", "message") or "it does not say why"
            return NotServed(f"{answer.host} has no answer: {why} (HTTP 400)")
        return super().refusal(answer)

    def _ask_for(self, what: str, kind: IntensityKind, **parameters: str) -> list[IntensityPoint]:
        if not self._region:
            raise NotServed("WattTime has to be told which of its regions this is: set feeds.watttime.region")
        said = self._asked(f"/v3/{what}", region=self._region, signal_type=self._signal_type, **parameters)
        rows = listed(said, "data")
        length_s = self._length_s(said.get("meta"))
        return in_order(self._read(row, length_s, kind) for row in rows)

    def _asked(self, path: str, **parameters: Parameter) -> Any:
        """An answer, with a new token if the one there is has lapsed, or is not taken any more."""
        kept = self._site if 0 <= self.now_s() - self._since_s < TOKEN_S else None
        try:
            return self.ask(kept or self._logged_in(), path, **parameters)
        except _Lapsed:
            if kept is None:
                raise
            return self.ask(self._logged_in(), path, **parameters)

    def _logged_in(self) -> Site:
        """The site, with a token that is new.

        Raises:
            NotAllowed: user and password are not right.
            Unavailable: there is no token in the answer.
        """
        self._site, asked_s = None, self.now_s()
        try:
            said = self.ask(self.site(login=self.options.login()), "/login")
        except NotAllowed:
            raise NotAllowed("WattTime does not know this user and password: check feeds.watttime") from None
        token = said.get("token") if isinstance(said, Mapping) else None
        if not isinstance(token, str) or not token:
            raise Unavailable("WattTime gave no token for user and password")
        self._site, self._since_s = self.site(token=token), asked_s
        return self._site

    def _length_s(self, about: Any) -> float:
        """How long a row holds (s), given what an answer says of all of them.

        Raises:
            Unavailable: they are not what was asked for, or in other units.
        """
        about = about if isinstance(about, Mapping) else {}
        asked = {"units": UNITS, "region": self._region, "signal_type": self._signal_type}
        for field, wanted in asked.items():
            if about.get(field) != wanted:
                raise Unavailable(f"{self.title} answered with {field} {str(about.get(field))[:40]!r}, not {wanted}")
        length_s = number(about.get("data_point_period_seconds"))
        if length_s is None or not 0 < length_s <= DAY_S:
            raise Unavailable(f"{self.title} does not say how long a row holds")
        return length_s

    def _read(self, row: Mapping[str, Any], length_s: float, kind: IntensityKind) -> IntensityPoint | None:
        lb_per_mwh = number(row.get("value"))
        if lb_per_mwh is None:
            return None
        imputed = kind == "measured" and row.get("imputed_data_used") is not False
        start_s = utc_s(row.get("point_time"))
        return self.point(self._region, start_s, length_s, G_PER_KWH * lb_per_mwh, "estimated" if imputed else kind)


class _Lapsed(NotAllowed):
    """The token is not taken."""
