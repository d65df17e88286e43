"""The document of a run that served, of all its routes or of one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from joulegram.ledger.ledger import UnknownRun
from joulegram.records import ServedHour
from joulegram.session.recorded import RecordedRun
from joulegram.session.served import served_part


def document_of(run: RecordedRun, route: str | None = None) -> dict[str, Any]:
    """The run as plain data; where it served and a route is named, its `served` is that route's part.

    What all routes cost together then stands in `served_by_all`, the route in `served_route`.

    Raises:
        UnknownRun: it served other routes.
    """
    document, hours = run.document(), run.stored.served()
    if route is None or not hours:
        return document
    own = [hour for hour in hours if hour.route == route]
    if not own:
        routes = ", ".join(sorted({hour.route for hour in hours if hour.route is not None})) or "none"
        raise UnknownRun(f"run {run.id} served no route {route!r}; its routes are: {routes}")
    hours = [*own, *_silent(own, hours)]
    part = served_part(hours, run.footprint(), run.grams_per_j, run.length_of_hour_s)
    return {**document, "served": part, "served_route": route, "served_by_all": document["served"]}


def _silent(own: Sequence[ServedHour], hours: Iterable[ServedHour]) -> list[ServedHour]:
    """The hours in which others were served and this route was not: it had no request in them, and cost nothing."""
    nothing = dict.fromkeys((name for hour in own for name in hour.energy_j), (0.0, 0.0))
    others = {hour.hour_s for hour in hours} - {hour.hour_s for hour in own}
    first = own[0]
    return [ServedHour(first.books, hour_s, first.service, first.route, energy_j=nothing) for hour_s in sorted(others)]
