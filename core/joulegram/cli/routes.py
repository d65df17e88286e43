"""The document of a run that served, of all its routes or of one."""

from __future__ import annotations

from typing import Any

from joulegram.ledger.ledger import UnknownRun
from joulegram.session.recorded import RecordedRun
from joulegram.session.served import served_part


def document_of(run: RecordedRun, route: str | None = None) -> dict[str, Any]:
    """The run as plain data; where it served and a route is named, its `served` is that route's part.

    What all routes cost together then stands in `served_by_all`.

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
    part = served_part(own, run.footprint(), run.grams_per_j, run.length_of_hour_s)
    return {**document, "served": part, "served_by_all": document["served"]}
