"""The parts of a life cycle's page."""

from __future__ import annotations

from collections.abc import Sequence

from joulegram.report.charts import Chart
from joulegram.report.lifecycle import (
    GROUND,
    HEADS,
    MOST_SWEEPS,
    LifeCycle,
    rows,
    show_figure,
    show_share_of,
    show_time,
    shown_fields,
    title,
)
from joulegram.report.markup import Html, join, section, table, tag
from joulegram.report.sections import card, chart_places
from joulegram.report.words import Total, moment, quantity
from joulegram.units import show_energy, show_flops, show_mass

_CARDS = (
    Total("energy_j", "Energy", "J", show_energy, "of all runs, their own share"),
    Total("carbon_g", "Carbon (CO₂e)", "g", show_mass, "of operation"),
    Total("embodied_g", "Embodied carbon", "g", show_mass, "hardware’s share, beside operation"),
    Total("flops", "Compute", "FLOP", show_flops, "floating-point operations"),
)


def life_cycle_body(found: LifeCycle, drawn: Sequence[Chart]) -> Html:
    """All that a life cycle's page shows."""
    return join(
        tag("header", tag("p", "joulegram life cycle", class_="kicker"), tag("h1", title(found))),
        section("follows", "What follows", tag("ul", *(tag("li", sentence) for sentence in found["sentences"]))),
        section("totals", "Totals", tag("div", *_cards(found), class_="cards")),
        section("charts", "In pictures", *chart_places(drawn)) if drawn else join(),
        _parts(found),
        _sweeps(found),
        section("ground", "How this is counted", *(tag("p", line) for line in GROUND)),
    )


def _cards(found: LifeCycle) -> list[Html]:
    return [card(total, quantity(found["total"][total.field])) for total in _CARDS]


def _parts(found: LifeCycle) -> Html:
    fields = shown_fields(found)
    heads = ("Stage", "Runs", "Time", *(HEADS[f][:1].upper() + HEADS[f][1:] for f in fields), "Of energy", "Of CO₂e")
    shown = [
        [
            name if is_phase else f"\u2003{name}",
            f"{part['runs']:,}",
            "" if is_phase else show_time(part),
            *(_figure(part, field) for field in fields),
            show_share_of(part, found["total"]),
            show_share_of(part, found["total"], "carbon_g"),
        ]
        for is_phase, name, part in rows(found)
    ]
    caption = "Development and deployment by stage; ≥: a run has no figure; open runs are counted so far"
    return section("parts", "By stage", table(caption, heads, shown, numeric=range(1, len(heads))))


def _figure(part: LifeCycle, field: str) -> Html:
    value = part[field]["value"]
    number = None if value is None else repr(value)
    return tag("span", show_figure(part, field), data_field=field, data_value=number)


def _sweeps(found: LifeCycle) -> Html:
    if not found["sweeps"]:
        return join()
    shown = []
    for sweep in found["sweeps"][:MOST_SWEEPS]:
        began = moment(sweep["started"])
        shown.append(
            [
                sweep["label"],
                sweep["how"],
                began.strftime("%Y-%m-%d %H:%M") if began else "unknown",
                f"{sweep['trials']:,}",
                show_figure(sweep, "energy_j"),
                show_figure(sweep, "carbon_g"),
            ]
        )
    heads = ("Search", "Grouped as", "Began (UTC)", "Trials", "Energy", "CO₂e")
    more = len(found["sweeps"]) - MOST_SWEEPS
    caption = "The costliest first" + (f"; {more} more are in the data of this page" if more > 0 else "")
    return section("searches", "Searches", table(caption, heads, shown, numeric=(3, 4, 5)))
