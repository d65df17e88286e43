"""The parts of the page: each function turns one part of a run document into HTML."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any

from joulegram.quantities import Quantity
from joulegram.report.charts import Chart
from joulegram.report.markup import Html, join, section, table, tag
from joulegram.report.words import (
    TOTALS,
    Document,
    Show,
    Total,
    absences,
    carbon_apart,
    channel_place,
    channels,
    efficiencies,
    elide,
    grid_in_words,
    moment,
    parts,
    platform,
    platform_in_words,
    quantity,
    share_of,
    show_bounds,
    show_lacking,
    show_place,
    show_share,
    show_value,
    span_name,
)
from joulegram.units import show_duration, show_energy, show_flops, show_mass

MOST_ROWS = 1000
ROWS_AT_AN_END = 400

PUE_HEADS = ("Factor", "Value", "Bounds", "Method", "Source")
INTENSITY_HEADS = ("Zone", "gCO₂e per kWh", "Between", "Time", "Signal", "Kind", "Source", "Note")

BOUNDS = (
    "The true figure lies between the two bounds. They come from two sources, kept apart: timing (a counter "
    "refreshes now and then, so where a span begins or ends between two refreshes its energy is interpolated) and "
    "gain (how far the device’s counter, or the model of it, may be off as a whole). Bounds of an epoch are read "
    "from its two ends, so bounds of neighbours do not add up; bounds of different channels do. A total with a part "
    "missing sums what is there: it has a lower bound, no upper one, and names what is absent."
)
METHODS = (
    ("measured", "read from a hardware counter"),
    ("modelled", "computed from load by a named formula"),
    ("estimated", "an average, an assumption or a forecast"),
    ("missing", "not known, which is not zero"),
)


def heading(document: Document) -> Html:
    """Name, status and the facts that place the run."""
    run, footprint = document["run"], document["footprint"]
    started = moment(run.get("started"))
    facts = [
        ("Project", run.get("project")),
        ("Stage", run["stage"]),
        ("Duration", show_duration(run["duration_s"])),
        ("Started", _time(started) if started else None),
        ("Place", show_place(run)),
        ("Hosts" if len(run.get("hosts", ())) > 1 else "Host", ", ".join(run.get("hosts", ()))),
        ("Ranks", run.get("ranks") if run.get("ranks", 1) > 1 else None),
        ("Coverage", show_share(footprint.get("coverage"))),
    ]
    provisional = tag("span", "provisional", class_="badge") if not footprint.get("settled", True) else ""
    return tag(
        "header",
        tag("p", "joulegram run", class_="kicker"),
        tag("h1", run["name"], " ", tag("span", run["status"], class_=f"badge status-{run['status']}"), provisional),
        tag("dl", *(tag("div", tag("dt", key), tag("dd", value)) for key, value in facts if value), class_="facts"),
    )


def cards(document: Document) -> Html:
    """The totals, one card each."""
    made = [card(total, quantity(document["footprint"].get(total.field))) for total in TOTALS]
    words = grid_in_words(document)
    return section(
        "totals",
        "Totals",
        tag("div", *made, class_="cards"),
        tag("p", words, class_="soft") if words else "",
        _apart(document),
    )


def _apart(document: Document) -> Html:
    """Carbon on other signals and bases, in a line of its own."""
    others = [
        f"{label}: {show_value(figure, show_mass)} ({show_bounds(figure, show_mass)}), {figure.method}"
        for label, figure in carbon_apart(document)
    ]
    return tag("p", f"Counted otherwise, and never added to that carbon: {'; '.join(others)}.") if others else Html("")


def card(total: Total, figure: Quantity) -> Html:
    """A total with its bounds and its method."""
    number = None if figure.value is None else repr(figure.value)
    return tag(
        "article",
        tag("h3", total.label),
        tag("p", total.about, class_="soft"),
        tag(
            "p",
            show_value(figure, total.show),
            class_="value" if number else "value absent",
            data_field=total.field,
            data_value=number or "",
            title=f"{number} {total.unit}" if number else None,
        ),
        _range(figure),
        tag("p", show_bounds(figure, total.show), class_="bounds"),
        _method(figure),
        class_="card",
    )


def _range(figure: Quantity) -> Html:
    """A line from zero to the upper bound, the bounds filled and the value marked; open without an upper bound."""
    if not figure.value:
        return tag("div", class_="range none", aria_hidden="true")
    top = figure.high if figure.high else figure.value * 1.5
    low, mark = 100 * (figure.low or 0.0) / top, 100 * figure.value / top
    kind = "range" if figure.high else "range open"
    filled = tag("span", class_="span", style=f"left:{low:.1f}%;right:0")
    return tag("div", filled, tag("span", class_="mark", style=f"left:{mark:.1f}%"), class_=kind, aria_hidden="true")


def efficiency(document: Document) -> Html:
    """What follows from compute, energy and carbon together, and what counting the operations took."""
    rows = [
        [total.label, total.about, _figure(figure, total.show, total.field), figure.how or "–"]
        for total, figure in efficiencies(document)
    ]
    if not rows:
        return Html("")
    shown = [table("Compute beside energy and carbon", ("Figure", "What it is", "Value", "How"), rows, (2,))]
    counting_j = quantity(document["footprint"].get("overhead_j")).value
    if counting_j:
        apart = f"Counting the operations took {show_energy(counting_j)}, which is in no other figure."
        shown.append(tag("p", apart, class_="soft"))
    shown += [_layers(step) for step in document.get("steps", ()) if step["layers"]]
    return section("efficiency", "Compute", *shown)


def _layers(step: Mapping[str, Any]) -> Html:
    """What each module has of a kind of step."""
    title = f"Layers of a {step['stage']} step, {step['inputs']}"
    rows = [
        [
            layer["path"],
            layer["kind"],
            show_flops(layer["flops"]),
            show_share(layer["share"]),
            show_share(layer["time_share"]),
        ]
        for layer in step["layers"]
    ]
    heads = ("Layer", "Kind", "FLOPs", "of the step", "of its time")
    return tag("details", tag("summary", title), table(title, heads, rows, numeric=(2, 3, 4)))


def figures(document: Document, drawn: Sequence[Chart]) -> Html:
    """The charts' places, with what each shows in words."""
    if not drawn:
        empty = tag("p", "No epoch, span, phase or power was recorded, so there is nothing to draw.", class_="soft")
        return section("charts", "Over the run", empty)
    return section("charts", "Over the run", *chart_places(drawn))


def chart_places(drawn: Sequence[Chart]) -> list[Html]:
    """Where charts are drawn, each with what it shows in words."""
    hint = tag("noscript", tag("p", "The charts need JavaScript; the tables below hold the same figures."))
    made = (
        tag(
            "figure",
            tag("figcaption", tag("h3", chart.title), tag("p", chart.words, class_="soft")),
            tag("div", id=chart.id, class_="chart", role="img", aria_label=f"{chart.title}. {chart.words}"),
        )
        for chart in drawn
    )
    return [hint, *made]


def channel_table(document: Document) -> Html:
    """Every channel with this run's share and the whole node's energy."""
    rows = [
        [
            channel_place(document, channel),
            channel["kind"],
            _figure(quantity(channel.get("energy_j")), show_energy, "energy_j"),
            _figure(quantity(channel.get("node_energy_j")), show_energy, "node_energy_j"),
            quantity(channel.get("energy_j")).how or "–",
        ]
        for channel in channels(document)
    ]
    caption = "Energy of each counted part of the machine"
    heads = ("Channel", "Kind", "This run", "Whole node", "How")
    return section("channels", "Channels", table(caption, heads, rows, numeric=(2, 3)))


def platform_table(document: Document) -> Html:
    """Hardware's making, water and waste, beside the operation."""
    rows = [[label, _figure(figure, show, "platform"), _made(figure)] for label, figure, show in platform(document)]
    if not rows:
        return Html("")
    shown = table("What the platform took beside its operation", ("What", "This run", "How"), rows, numeric=(1,))
    return section("platform", "Platform", shown, tag("p", platform_in_words(document), class_="soft"))


def _made(figure: Quantity) -> str:
    """How a figure was made; a missing one's cell has its reason already."""
    return "–" if figure.value is None else f"{figure.how}{show_lacking(figure)}".removeprefix(", ") or "–"


def span_table(document: Document) -> Html:
    """Every epoch (or outermost span) with its energy and carbon, and each phase's share of it."""
    word, spans = parts(document)
    if not spans:
        return Html("")
    caption = f"Duration, energy and carbon of each {word}"
    heads = (word.capitalize(), "Began after", "Duration", "Compute", "Energy", "Carbon (CO₂e)")
    shown = [table(caption, heads, _elided(spans, _span_row, len(heads)), numeric=range(1, 6))]
    names = list(dict.fromkeys(p["name"] for span in spans for p in span["footprint"].get("phases", ())))
    if names:
        split = _elided(spans, lambda span: _phase_row(span, names), len(names) + 1)
        title = f"Energy of each {word} by phase"
        shares = table(title, (word.capitalize(), *names), split, numeric=range(1, len(names) + 1))
        shown.append(tag("details", tag("summary", title), shares))
    return section("spans", f"{word.capitalize()}s", *shown)


def _span_row(span: Mapping[str, Any]) -> list[object]:
    footprint = span["footprint"]
    return [
        span_name(span),
        show_duration(span["start_s"]),
        show_duration(span["duration_s"]),
        _compute(footprint),
        _figure(quantity(footprint.get("energy_j")), show_energy, "energy_j"),
        _figure(quantity(footprint.get("carbon_g")), show_mass, "carbon_g"),
    ]


def _compute(part: Mapping[str, Any]) -> object:
    """FLOPs in a cell; a dash where none were counted, for which the table of what is missing has the reason."""
    figure = quantity(part.get("flops"))
    return _figure(figure, show_flops, "flops") if figure.value else "–"


def _phase_row(span: Mapping[str, Any], names: Sequence[str]) -> list[object]:
    energy = {phase["name"]: quantity(phase.get("energy_j")) for phase in span["footprint"].get("phases", ())}
    return [span_name(span), *(show_value(energy[name], show_energy) if name in energy else "–" for name in names)]


def phase_table(document: Document) -> Html:
    """Every phase's share of the run's time, energy and carbon."""
    footprint = document["footprint"]
    if not footprint.get("phases"):
        return Html("")
    whole, whole_s = quantity(footprint.get("energy_j")), footprint["duration_s"]
    rows = []
    for phase in footprint["phases"]:
        energy, carbon = quantity(phase.get("energy_j")), quantity(phase.get("carbon_g"))
        rows.append(
            [
                phase["name"],
                show_duration(phase["duration_s"]),
                show_share(phase["duration_s"] / whole_s if whole_s else None),
                _compute(phase),
                _figure(energy, show_energy, "energy_j"),
                show_share(share_of(energy, whole)),
                _figure(carbon, show_mass, "carbon_g"),
            ]
        )
    heads = ("Phase", "Time", "of the run", "Compute", "Energy", "of the run", "Carbon (CO₂e)")
    return section("phases", "Phases", table("What each phase of the loop cost", heads, rows, numeric=range(1, 7)))


def missing(document: Document) -> Html:
    """What is not in the figures, and why."""
    rows = [list(pair) for pair in absences(document)]
    coverage = tag("p", f"Samples covered {show_share(document['footprint'].get('coverage'))} of the run’s time.")
    if not rows:
        return section("missing", "What is missing", coverage, tag("p", "Nothing else is missing."))
    caption = "What is not in the figures, or should be known about them"
    return section("missing", "What is missing, and why", coverage, table(caption, ("What", "Why"), rows))


def making(document: Document) -> Html:
    """How each number was made: formulas, PUE, grid intensity, the meaning of bounds, the recorder's own cost."""
    footprint = document["footprint"]
    rows = [[t.label, f.method, f.how or "–"] for t in TOTALS for f in [quantity(footprint.get(t.field))]]
    return section(
        "making",
        "How each number was made",
        table("How the totals were made", ("Figure", "Method", "How"), rows),
        _price(document),
        _accounts(footprint.get("carbon", ())),
        tag("h3", "What the bounds mean"),
        tag("p", BOUNDS),
        tag("dl", *(tag("div", tag("dt", name), tag("dd", words)) for name, words in METHODS), class_="facts"),
        tag("h3", "What the measuring cost"),
        tag("p", _own_cost(document)),
    )


def _price(document: Document) -> Html:
    price = document.get("price") or {}
    pue, points = price.get("pue"), price.get("intensity", ())
    made = moment(price.get("made"))
    reason = [f"Priced on the {price['basis']} basis"] if price.get("basis") else []
    reason += [price["reason"]] if price.get("reason") else []
    shown = [tag("p", "; ".join(reason), "; " if made else "", _time(made) if made else "", ".")] if reason else []
    if pue:
        bounds = show_bounds(quantity(pue), lambda value: f"{value:.2f} ×")
        row = ["PUE", f"{pue['value']:.2f}", bounds, pue["method"], pue["source"]]
        shown.append(table("From IT energy to facility energy", PUE_HEADS, [row]))
    rows = [_intensity_row(list(group)) for _, group in groupby(sorted(points, key=_origin), key=_origin)]
    if rows:
        shown.append(table("Grid carbon intensity used", INTENSITY_HEADS, rows, numeric=(1, 2)))
    else:
        shown.append(tag("p", "No grid intensity was used."))
    return join(tag("h3", "Prices"), *shown)


def _origin(point: Mapping[str, Any]) -> tuple[str, ...]:
    keys = ("zone", "signal", "basis", "accounting", "kind", "source", "note")
    return tuple(str(point.get(key) or "") for key in keys)


def _intensity_row(points: Sequence[Mapping[str, Any]]) -> list[object]:
    """Points of one origin in one row: a month of hours need not be a page of rows."""
    zone, signal, basis, accounting, kind, source, note = _origin(points[0])
    values = [point["g_per_kwh"] for point in points]
    least, most = f"{min(values):.4g}", f"{max(values):.4g}"
    starts = [point["start_s"] for point in points if point.get("start_s") is not None]
    when: object = "no particular time"
    if starts:
        first, last = moment(min(starts)), moment(max(starts))
        count = f"{len(points)} stretches from " if len(points) > 1 else "from "
        when = join(count, _time(first), *([" to ", _time(last)] if first != last else []))
    return [
        zone,
        least if least == most else f"{least} – {most}",
        f"{min(point['low'] for point in points):.4g} – {max(point['high'] for point in points):.4g}",
        when,
        ", ".join(filter(None, (signal, basis, accounting))),
        kind,
        source,
        note or "–",
    ]


def _accounts(entries: Iterable[Mapping[str, Any]]) -> Html:
    rows = [
        [
            entry["signal"],
            entry["basis"],
            entry["accounting"],
            _figure(quantity(entry), show_mass, "carbon_g"),
            quantity(entry).how or "–",
        ]
        for entry in entries
    ]
    heads = ("Signal", "Basis", "Accounting", "Carbon (CO₂e)", "How")
    return table("Carbon in each accounting, never mixed in one number", heads, rows, numeric=(3,)) if rows else join()


def _own_cost(document: Document) -> str:
    recorder = document.get("recorder") or {}
    cpu_s, wakeups = recorder.get("cpu_s"), recorder.get("wakeups")
    if cpu_s is None:
        return "What the recorder itself used is not known: it writes that when a run ends."
    duration_s = document["run"]["duration_s"]
    share = f", {cpu_s / duration_s:.2%} of one core" if duration_s else ""
    times = f" It woke {wakeups:,} times." if wakeups is not None else ""
    return f"The recorder used {show_duration(cpu_s)} of CPU time{share}.{times} Its energy is part of the figures."


def identity(document: Document) -> Html:
    """The run's id, its relations to other runs and its attributes."""
    run = document["run"]
    before = run.get("lineage")
    relations = {
        "Id": run["id"],
        "Continues run": run.get("parent"),
        "Before that": before and f"{show_energy(before['energy_j'])}, {show_mass(before['carbon_g'])} CO₂e",
        "Part of run": run.get("enclosing_run"),
    }
    rows = [[key, value] for key, value in (relations | dict(run.get("attributes") or {})).items() if value is not None]
    return section("identity", "This run", table("Identity and attributes", ("Name", "Value"), rows))


def _elided(
    spans: Sequence[Mapping[str, Any]], row: Callable[[Mapping[str, Any]], list[object]], width: int
) -> list[list[object]]:
    head, left_out, tail = elide(spans, MOST_ROWS, ROWS_AT_AN_END)
    between: list[list[object]] = [[f"{left_out} more", *["⋮"] * (width - 1)]] if left_out else []
    return [*map(row, head), *between, *map(row, tail)]


def _figure(figure: Quantity, show: Show, field: str) -> Html:
    """A figure in a cell: its value, and under it its bounds and method."""
    number, bounds = None if figure.value is None else repr(figure.value), show_bounds(figure, show)
    return join(
        tag(
            "span",
            show_value(figure, show),
            class_=None if number else "absent",
            data_field=field,
            data_value=number or "",
        ),
        tag("small", *([tag("span", bounds, class_="whole"), f" · {figure.method}"] if number else [bounds])),
    )


def _method(figure: Quantity) -> Html:
    return tag("p", tag("span", figure.method, class_=f"badge {figure.method}"))


def _time(time: datetime | None) -> Html:
    if time is None:
        return Html("")
    return tag("time", time.strftime("%Y-%m-%d %H:%M UTC"), datetime=time.isoformat())
