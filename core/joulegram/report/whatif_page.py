"""The parts of a what-if's page."""

from __future__ import annotations

from collections.abc import Sequence

from joulegram.report.charts import Chart
from joulegram.report.markup import Html, join, section, table, tag
from joulegram.report.sections import chart_places
from joulegram.report.whatif import (
    SPREAD,
    Row,
    WhatIf,
    basis,
    by_hour,
    ground,
    show_own,
    show_spread,
    show_time,
    show_times,
    title,
)
from joulegram.units import show_mass


def what_if_body(found: WhatIf, drawn: Sequence[Chart]) -> Html:
    """All that a what-if's page shows."""
    return join(
        tag("header", tag("p", "joulegram what if", class_="kicker"), tag("h1", title(found))),
        section("follows", "What follows", tag("ul", *(tag("li", sentence) for sentence in found["sentences"]))),
        section("charts", "In pictures", *chart_places(drawn)),
        _zones(found),
        _ends(found),
        _starts(found["rows"]),
        section("ground", "What this stands on", *(tag("p", line) for line in ground(found))),
    )


def _zones(found: WhatIf) -> Html:
    names = [head[:1].upper() + head[1:] for head in SPREAD.values()]
    heads = ("Zone", "Intensity", "Basis", *names, "Average", "g/kWh", "Own")
    rows = [
        [
            row["zone"],
            row["intensity"],
            basis(row),
            *(_cell(row, field) for field in SPREAD),
            _figure("at_mean_g", row["at_mean_g"]),
            f"{row['mean_g_per_kwh']:.0f}",
            _own(row),
        ]
        for row in found["rows"]
    ]
    caption = (
        "CO₂e over all start hours; below the least and the most, how many times the average; below the run’s own, "
        "which part of the start hours costs less"
    )
    return section("zones", "By zone", table(caption, heads, rows, numeric=range(3, len(heads))))


def _cell(row: Row, field: str) -> Html:
    spread = row["by_start"]
    if not spread:
        return join(show_spread(row, field) or "–")
    times = {"min_g": "min_over_mean", "max_g": "max_over_mean"}.get(field, "")
    return join(_figure(field, spread[field]), _below(show_times(row, times)))


def _own(row: Row) -> Html:
    figure, place = show_own(row)
    return join(figure, _below(place))


def _below(text: str) -> Html:
    return tag("small", tag("span", text, class_="whole"))


def _ends(found: WhatIf) -> Html:
    shown = [
        [
            row["zone"],
            row["intensity"],
            show_time(row["by_start"]["best"]),
            show_mass(row["by_start"]["min_g"]),
            show_time(row["by_start"]["worst"]),
            show_mass(row["by_start"]["max_g"]),
        ]
        for row in by_hour(found)
    ]
    heads = ("Zone", "Intensity", "Best start (UTC)", "CO₂e", "Worst start (UTC)", "CO₂e")
    return section("ends", "Best and worst", table("Of all start hours", heads, shown, (3, 5))) if shown else join()


def _figure(field: str, grams: float) -> Html:
    return tag("span", show_mass(grams), data_field=field, data_value=repr(grams))


def _starts(rows: Sequence[Row]) -> Html:
    if not rows[0]["starts"]:
        return join()
    shown = [
        [
            show_time(start["start"]),
            row["zone"],
            row["intensity"],
            basis(row),
            "not known" if there["carbon_g"] is None else _figure("carbon_g", there["carbon_g"]),
            "–" if there["percentile"] is None else f"{there['percentile']:.0f} %",
        ]
        for place, start in enumerate(rows[0]["starts"])
        for row in rows
        for there in [row["starts"][place]]
    ]
    heads = ("Start (UTC)", "Zone", "Intensity", "Basis", "CO₂e", "Dearer than")
    return section("starts", "Starts asked for", table("Exact from each start", heads, shown, numeric=(4, 5)))
