"""A Prometheus server that has grid intensities from an exporter, asked with a query of the user's own.

    [feeds.prometheus]
    base_url = "http://prometheus:9090"
    query = 'grid_intensity_carbon_average{location="GBR"}'

The query finds one series, in gCO2e/kWh; ``{zone}`` in it becomes the zone that is asked for. What its figures count is
the user's to say. They are measured, or estimated where the series bears the label ``is_estimated="true"``, as
grid-intensity-go's do; there are no forecasts. Licence and limits are those of the exporter and of its source. A range
has 10,000 points at most, 34 days of five minutes.
"""

from __future__ import annotations

import re
from typing import Any, Literal, cast, get_args

from joulegram import promql
from joulegram.feeds import Feed, NotServed, Reach, Unavailable, in_order, newest, number
from joulegram.records import Basis, IntensityPoint, Signal
from joulegram.web import Parameter, Unanswered

Scope = Literal["consumption", "generation", "unknown"]
STEP_S = 300.0
"""For as long, too, Prometheus takes a sample for the present one."""
MOST_POINTS = 10_000
"""Prometheus itself refuses a range of more than 11,000."""
ZONE = "{zone}"


class PrometheusFeed(Feed):
    """Carbon intensity out of a Prometheus server.

    Options: ``base_url``, ``query``; ``token``, or ``user`` and ``password``; ``signal`` (``average``, or
    ``marginal``); ``basis`` (``unknown``, ``lifecycle`` or ``direct``); ``scope`` (``unknown``, ``consumption`` or
    ``generation``); ``zone``, where the figures are of another zone than the one that is asked for; ``step_s``, for how
    long (s) a figure holds (300).
    """

    name = "prometheus"
    title = "Prometheus"
    known = ("query", "user", "signal", "basis", "scope", "zone", "step_s")
    hidden = ("token", "password")

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._query, self._zone = self.options.text("query"), self.options.text("zone")
        if self.url and not self._query:
            raise self.options.wrong("query", "a PromQL query is needed")
        self.signal = cast(Signal, self.options.choice("signal", get_args(Signal), "average"))
        self.basis = cast(Basis, self.options.choice("basis", get_args(Basis), "unknown"))
        self._scope = cast(Scope, self.options.choice("scope", get_args(Scope), "unknown"))
        self._step_s = self.options.number("step_s", STEP_S)
        self.reach = Reach(history_s=MOST_POINTS * self._step_s, step_s=self._step_s)
        self._site = self.site(token=self.options.text("token"), login=self.options.login())

    def serves(self, zone: str) -> bool:
        """Any zone: what the server has, only its user knows."""
        return True

    def latest(self, zone: str) -> IntensityPoint:
        """What the query finds now."""
        return newest(self._ask_for("query", zone), "the Prometheus query")

    def history(self, zone: str, start_s: float, end_s: float) -> list[IntensityPoint]:
        """What the query found at each step."""
        start = f"{start_s // self._step_s * self._step_s:f}"
        points = self._ask_for("query_range", zone, start=start, end=f"{end_s:f}", step=f"{self._step_s:f}")
        return in_order(points, start_s, end_s)

    def _ask_for(self, what: str, zone: str, **parameters: Parameter) -> list[IntensityPoint]:
        zone = self._zone or zone
        if ZONE in self._query and not re.fullmatch(r"[\w-]+", zone):
            raise NotServed(f"{zone[:40]!r} cannot be put into a PromQL query")
        query = self._query.replace(ZONE, zone)
        answer = self.answer(self._site, f"/api/v1/{what}", query=query, **parameters)
        try:
            found = promql.series(answer, ranged=what == "query_range")
        except promql.BadQuery as error:
            raise NotServed(f"feeds.prometheus.query: {error}") from None
        except Unanswered as error:
            raise Unavailable(str(error), answer.retry_s) from None
        if len(found) > 1:
            raise NotServed(f"feeds.prometheus.query finds {len(found)} series: narrow it down to one, or avg() them")
        return in_order(self._read(zone, one.labels, *sample) for one in found for sample in one.samples)

    def _read(self, zone: str, labels: Any, time: Any, value: Any) -> IntensityPoint | None:
        at_s = number(time)
        if at_s is None:
            return None
        at_s = min(at_s, self.now_s())  # what is there now is not of the future, whatever the server's clock shows
        kind: Literal["estimated", "measured"] = "estimated" if labels.get("is_estimated") == "true" else "measured"
        return self.point(zone, at_s // self._step_s * self._step_s, self._step_s, value, kind, scope=self._scope)
