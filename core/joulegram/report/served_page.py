"""The parts of the page that tells what serving cost."""

from __future__ import annotations

from collections.abc import Sequence

from joulegram.report.charts import Chart
from joulegram.report.markup import Html, join, section, table, tag
from joulegram.report.sections import chart_places
from joulegram.report.served import (
    PARTS,
    Found,
    Row,
    by_energy,
    channel_parts,
    energy,
    ground,
    hour_name,
    intensity,
    mass,
    several,
    share,
    title,
)
from joulegram.report.words import elide
from joulegram.units import show_duration, show_energy

MOST_ROWS, ROWS_AT_AN_END = 1000, 400
_ONE_HOUR = "There is a single hour of the clock: nothing to draw."
_COST = ("Energy, CO₂e", "Of all", "Per request", "Per 1,000 tokens")


def served_body(found: Found, drawn: Sequence[Chart]) -> Html:
    """All that the page shows."""
    return _side_by_side(found) if several(found) else _one(found["runs"][0], drawn)


def _one(report: Row, drawn: Sequence[Chart]) -> Html:
    run, served = report["run"], report["served"]
    badge = tag("span", run["status"], class_=f"badge status-{run['status']}")
    head = tag("header", tag("p", "joulegram served", class_="kicker"), tag("h1", title(report), " ", badge))
    follows = _follows(report["sentences"])
    if served is None:
        return join(head, follows)
    return join(
        head,
        follows,
        section("charts", "Hour by hour", *(chart_places(drawn) if drawn else [tag("p", _ONE_HOUR, class_="soft")])),
        section("routes", "By route", _routes(served)),
        section("hours", "By hour", _hours(served["hours"])),
        section("channels", "Where each counter’s joules went", _channels(served["channels"])),
        section("ground", "What this stands on", *(tag("p", line) for line in ground(report))),
    )


def _side_by_side(found: Found) -> Html:
    heads = ("Host", "Run", "Requests", "All energy, CO₂e", "Nobody’s", "Per request", "Charged", "Lasted")
    rows = [
        [
            report["label"],
            report["run"]["id"],
            *(_totals(report["served"]["total"]) if report["served"] else ["no hour told yet", *["–"] * 4]),
            show_duration(report["run"]["duration_s"]),
        ]
        for report in found["runs"]
    ]
    if not found["sum"]["why"]:
        rows.append(["All together", "", *_totals(found["sum"]["total"]), ""])
    caption = "Per request: with what was nobody’s; charged: without"
    return join(
        tag("header", tag("p", "joulegram served", class_="kicker"), tag("h1", "Servers side by side")),
        _follows(found["sentences"]),
        section("runs", "By host", table(caption, heads, rows, numeric=range(2, len(heads)))),
        *(
            section(f"routes-{number}", f"Routes: {title(report)}", _routes(report["served"]))
            for number, report in enumerate(found["runs"])
            if report["served"]
        ),
    )


def _totals(everything: Row) -> list[object]:
    return [
        f"{everything['requests']:,}",
        _both(everything, "whole_j", "whole_g"),
        share(everything, "unattributed_j", everything),
        _both(everything, "whole_j_per_request", "whole_g_per_request"),
        _both(everything, "j_per_request", "g_per_request"),
    ]


def _follows(sentences: Sequence[str]) -> Html:
    return section("follows", "What follows", tag("ul", *(tag("li", sentence) for sentence in sentences)))


def _both(row: Row, joules: str, grams: str) -> Html:
    """Joules, and grams below."""
    below = _figure(row, grams, mass(row, grams))
    return join(_joules(row, joules), tag("small", tag("span", below, class_="whole")))


def _joules(row: Row, field: str) -> Html:
    return _figure(row, field, energy(row, field))


def _figure(row: Row, field: str, shown: str) -> Html:
    value = row[field]["value"]
    return tag("span", shown, data_field=field, data_value="" if value is None else repr(value))


def _routes(served: Row) -> Html:
    everything, services = served["total"], served["services"]
    heads = ("Service", "Route", "Requests", "Failed", "Tokens", *_COST)
    rows = [
        [row["service"], row["route"], *_counts(row), *_cost(row, "energy_j", everything)]
        for row in by_energy(served["routes"])
    ]
    if len(services) > 1:
        rows += [
            [row["service"], "all its routes", *_counts(row), *_cost(row, "energy_j", everything)] for row in services
        ]
    rows.append(["All requests", "", *_counts(everything), *_cost(everything, "energy_j", everything)])
    nobodys = _both(everything, "unattributed_j", "unattributed_g")
    rows.append(["Nobody’s", *[""] * 4, nobodys, share(everything, "unattributed_j", everything), "", ""])
    rows.append(["All energy", "", *_counts(everything), *_cost(everything, "whole_j", everything)])
    caption = "What requests were charged by route, those that cost most first; then what was nobody’s, and all of it"
    return table(caption, heads, rows, numeric=range(2, len(heads)))


def _counts(row: Row) -> list[str]:
    return [f"{row['requests']:,}", f"{row['failed']:,}", f"{row['tokens']:,.0f}" if row["tokens"] else "–"]


def _cost(row: Row, field: str, everything: Row) -> list[object]:
    of, grams = ("whole_", "whole_g") if field == "whole_j" else ("", "carbon_g")
    return [
        _both(row, field, grams),
        share(row, field, everything),
        _both(row, f"{of}j_per_request", f"{of}g_per_request"),
        _both(row, f"{of}j_per_1000_tokens", f"{of}g_per_1000_tokens"),
    ]


def _hours(hours: Sequence[Row]) -> Html:
    heads = ("Hour (UTC)", "Of it", "Requests", "All energy, CO₂e", *_NAMES, "g/kWh", "Per request", "Charged")
    head, left_out, tail = elide(hours, MOST_ROWS, ROWS_AT_AN_END)
    rows = [_hour(hour) for hour in head]
    if left_out:
        rows.append([f"{left_out} more", *["⋮"] * (len(heads) - 1)])
    rows += [_hour(hour) for hour in tail]
    caption = "Per request: with what was nobody’s in that hour; charged: without; g/kWh: PUE included"
    return table(caption, heads, rows, numeric=range(1, len(heads)))


_NAMES = tuple(name[:1].upper() + name[1:] for name in PARTS.values())


def _hour(hour: Row) -> list[object]:
    return [
        hour_name(hour["start_s"]),
        show_duration(hour["length_s"]),
        f"{hour['requests']:,}",
        _both(hour, "whole_j", "whole_g"),
        *(_joules(hour, field) for field in PARTS),
        intensity(hour),
        _both(hour, "whole_j_per_request", "whole_g_per_request"),
        _both(hour, "j_per_request", "g_per_request"),
    ]


def _channels(channels: Sequence[Row]) -> Html:
    heads = ("Channel", "Kind", *_NAMES, "In no hour", "Counted", "Method", "Inside")
    rows = [
        [
            channel["id"],
            channel["kind"],
            *channel_parts(channel),
            *("–" if channel[field] is None else show_energy(channel[field]) for field in ("untold_j", "metered_j")),
            channel["method"],
            channel["inside"] or "–",
        ]
        for channel in channels
    ]
    caption = "Of whole devices; what another channel contains is shown and not added"
    return table(caption, heads, rows, numeric=range(2, 7))
