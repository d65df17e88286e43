"""What every view says alike: a figure, its bounds, and what is absent, in words.

The views read a run document (plain types, as `joulegram report --json` prints it) through these functions, so that
the table and the page cannot disagree.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from joulegram.quantities import METHODS, Quantity
from joulegram.units import show_duration, show_energy, show_flops, show_mass, show_volume

Document = Mapping[str, Any]
Show = Callable[[float], str]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Total:
    """One of a footprint's totals.

    Args:
        field: key in the footprint, ending in its unit.
        label: what a person calls it.
        unit: the unit of its number.
        show: its value as a person reads it.
        about: what it counts, in a few words.
    """

    field: str
    label: str
    unit: str
    show: Show
    about: str


TOTALS = (
    Total("energy_j", "Energy", "J", show_energy, "this run’s share"),
    Total("node_energy_j", "Node energy", "J", show_energy, "the same channels, all users of the machine"),
    Total("facility_energy_j", "Facility energy", "J", show_energy, "with cooling and supply losses (× PUE)"),
    Total("carbon_g", "Carbon (CO₂e)", "g", show_mass, "facility energy × grid intensity"),
    Total("flops", "Compute", "FLOP", show_flops, "floating-point operations"),
)


EFFICIENCY = (
    Total("flop_per_s", "Rate", "FLOP/s", lambda value: f"{show_flops(value)}/s", "operations over time"),
    Total("flop_per_j", "Per joule", "FLOP/J", lambda value: f"{show_flops(value)}/J", "operations over IT energy"),
    Total("carbon_g_per_pflop", "Carbon of a PFLOP", "g", show_mass, "grams over 10¹⁵ operations"),
    Total("mfu", "Of the peak rate", "", lambda value: f"{100 * value:.1f} %", "model FLOP/s utilisation"),
    Total("outside_j", "Outside of counted steps", "J", show_energy, "energy of phases in which nothing was counted"),
)
"""What follows from compute, energy and carbon together."""


INDICATORS = (
    Total("adpe_kg_sb", "Metals (ADPe, Sb)", "kg", lambda value: show_mass(1e3 * value), "abiotic depletion"),
    Total("primary_energy_mj", "Primary energy", "MJ", lambda value: show_energy(1e6 * value), "of making and use"),
)
"""What is counted only where the user wants it, as its quality is low."""
_SITES = {"onsite": "on site", "offsite": "off site"}


def efficiencies(document: Document) -> list[tuple[Total, Quantity]]:
    """What follows from the run's compute; nothing where that is missing."""
    footprint = document["footprint"]
    if not quantity(footprint.get("flops")).value:
        return []
    return [(total, quantity((footprint.get("efficiency") or {}).get(total.field))) for total in EFFICIENCY]


def quantity(figure: Mapping[str, Any] | None) -> Quantity:
    """The figure of a document's JSON; one that the document does not hold is missing, not zero."""
    return Quantity.from_json(figure)


def platform(document: Document) -> list[tuple[str, Quantity, Show]]:
    """What the run's platform took beside its operation: what it is, how much, and how that is shown.

    Nothing for a document that does not tell.
    """
    footprint = document["footprint"]
    if "embodied_g" not in footprint:
        return []
    rows: list[tuple[str, Quantity, Show]] = [("Embodied (CO₂e)", quantity(footprint["embodied_g"]), show_mass)]
    rows += [(_part_in_words(part), quantity(part), show_mass) for part in footprint.get("embodied", ())]
    for part in footprint.get("water_l", ()):
        label = f"Water {_SITES.get(part['part'], plain(part['part']))}, {plain(part['basis'])}"
        rows.append((label, quantity(part), show_volume))
    rows.append(("E-waste", quantity(footprint.get("ewaste_g")), show_mass))
    indicators = ((each, footprint[each.field]) for each in INDICATORS if each.field in footprint)
    return rows + [(each.label, quantity(figure), each.show) for each, figure in indicators]


def _part_in_words(part: Mapping[str, Any]) -> str:
    what = shorten(plain(part["what"]), 100)
    return f"– {what}" if part["part"] == "building" else f"– {plain(part['part'])} {what}"


def show_lacking(figure: Quantity) -> str:
    """What is not in a figure that there is: ``, without the server``; nothing where all is in it."""
    return f", without {plain(' and '.join(figure.missing))}" if figure.value is not None and figure.missing else ""


def platform_in_words(document: Document) -> str:
    """How the making of a platform is shared, and what is in it; empty for a document that does not tell."""
    assumed = document.get("platform")
    if not assumed:
        return ""
    doubt = f" Metals and primary energy are of {assumed['quality']}." if assumed.get("quality") else ""
    return plain(
        f"None of this is in the carbon above. {assumed['convention']}. In the embodied total: {assumed['boundary']}."
        f"{doubt}"
    )


def grid_in_words(document: Document) -> str:
    """What the grid's intensity at the time of the run is from, which hours are settled, and what would settle more.

    Empty for a document that does not tell.
    """
    price = document.get("price") or {}
    hours = price.get("hours")
    if not hours or not price.get("basis"):
        return ""
    command = f"joulegram reprice {document['run']['id']}"
    known = hours_in_words(hours)
    over = document["run"].get("status") != "running"
    if hours["sources"]:
        told = f"{', then '.join(hours['sources'])}, {price['basis']} basis: {known or 'no time at all'}"
        again = f" ({command} asks again)" if over and not _all_settled(hours) else ""
    else:
        told = f"{_yearly_in_words(price)}, {price['basis']} basis, for all of the run"
        feeds = " and ".join(price.get("feeds", ()))
        again = f"; {feeds} would tell its hours ({command})" if over and feeds else ""
    return plain(f"Grid intensity: {told}{again}.")


def hours_in_words(hours: Mapping[str, Any]) -> str:
    """How well the intensity of a time is known: of which part of it, how well."""
    firm = {
        "settled": hours["settled_s"],
        "may still be corrected": hours["provisional_s"],
        "at the yearly mean": hours["yearly_s"],
        "without a figure on that basis": hours["unknown_s"],
    }
    return ", ".join(f"{show_duration(time_s)} {state}" for state, time_s in firm.items() if time_s > 0)


def _all_settled(hours: Mapping[str, Any]) -> bool:
    return not (hours["provisional_s"] or hours["yearly_s"] or hours["unknown_s"])


def _yearly_in_words(price: Mapping[str, Any]) -> str:
    """The yearly mean of the basis that carbon is on; the world's stands for an unknown place."""
    means = [point for point in price.get("intensity", ()) if point.get("start_s") is None]
    mean = next((point for point in means if point["basis"] == price["basis"]), None)
    if mean is None:
        return "none is known"
    zone = "the world, as the zone is unknown" if mean["zone"] == "WORLD" else mean["zone"]
    return f"the yearly mean of {zone} ({mean['g_per_kwh']:.4g} g/kWh)"


def carbon_apart(document: Document) -> list[tuple[str, Quantity]]:
    """Carbon on other signals, bases or accountings than the total's, never to be added to it: what it is, how much.

    What a feed priced; and all that there is where the total lacks hours that another basis prices.
    """
    price = document.get("price") or {}
    chosen = ("average", price.get("basis"), "location")
    timed = {_kind(point) for point in price.get("intensity", ()) if point.get("start_s") is not None}
    lacks = (price.get("hours") or {}).get("unknown_s", 0.0) > 0
    return [
        (f"CO₂e, {_kind_in_words(_kind(entry))}", quantity(entry))
        for entry in document["footprint"].get("carbon", ())
        if _kind(entry) != chosen and (lacks or _kind(entry) in timed)
    ]


def _kind(entry: Mapping[str, Any]) -> tuple[str, str, str]:
    return entry["signal"], entry["basis"], entry["accounting"]


def _kind_in_words(kind: tuple[str, str, str]) -> str:
    signal, basis, accounting = kind
    words = [signal if signal != "average" else "", accounting if accounting != "location" else ""]
    return " ".join(filter(None, words)) or f"{basis} basis"


def show_value(figure: Quantity, show: Show) -> str:
    """The value as a person reads it, or ``missing``."""
    return "missing" if figure.value is None else show(figure.value)


def show_bounds(figure: Quantity, show: Show) -> str:
    """``4.92 – 36.9 Wh``; ``at least 4.92 Wh`` without an upper bound; the reason where the figure is missing."""
    if figure.value is None:
        return _reason(figure)
    if figure.low is None:
        return "no bounds known" if figure.high is None else f"at most {show(figure.high)}"
    low = show(figure.low)
    if figure.high is None:
        return f"at least {low}"
    high = show(figure.high)
    if low == high:
        return "within rounding"
    number, unit = low.rsplit(" ", 1)
    return f"{number} – {high}" if high.endswith(f" {unit}") else f"{low} – {high}"


def show_share(share: float | None) -> str:
    """A share of the whole in percent; rounded down, so that only the whole reads ``100 %``."""
    if share is None or not math.isfinite(share):
        return "–"
    return "100 %" if share >= 1 else f"{math.floor(share * 1000) / 10:.1f} %"


def share_of(part: Quantity, whole: Quantity) -> float | None:
    """`part` over `whole`; None where either is missing or the whole is zero."""
    if part.value is None or not whole.value:
        return None
    return part.value / whole.value


def show_methods(figures: Sequence[Quantity]) -> str:
    """The methods among the figures, the firmest first: ``measured or modelled``."""
    found = {figure.method for figure in figures}
    return " or ".join(method for method in METHODS if method in found)


def plain(text: object) -> str:
    """User text on one line, without control characters: a name must not steer a terminal or a page."""
    return "".join(c if c.isprintable() else " " if c.isspace() else "�" for c in str(text))


def shorten(text: str, width: int) -> str:
    """`text` in at most `width` characters, its middle left out: both ends of a device's id tell it apart."""
    if len(text) <= width:
        return text
    tail = (width - 1) // 2
    return f"{text[: width - 1 - tail]}…{text[-tail:]}"


def moment(value: str | float | None) -> datetime | None:
    """A document's time (ISO 8601, or seconds since 1970) in UTC; None where there is none."""
    if value is None or value == "":
        return None
    if isinstance(value, (int, float)):
        return datetime.fromtimestamp(value, UTC)
    time = datetime.fromisoformat(value)
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def show_moment(time_s: float) -> str:
    """A time (s since 1970) by the clock of this machine: ``'Thu 02 14:05'``."""
    return datetime.fromtimestamp(time_s).astimezone().strftime("%a %d %H:%M")


def show_place(run: Mapping[str, Any]) -> str:
    """The run's grid zone; an unknown place is called so."""
    return plain(run.get("zone") or "unknown zone")


def channel_name(document: Document, channel: str) -> str:
    """A channel's id, without its host where the run has only one."""
    hosts = document["run"].get("hosts", ())
    return plain(channel.removeprefix(f"{hosts[0]}/") if len(hosts) == 1 else channel)


def channel_place(document: Document, channel: Mapping[str, Any]) -> str:
    """A channel's name and, where another contains it, that one's too: their joules are not added up."""
    name, whole = channel_name(document, channel["id"]), channel.get("inside")
    return f"{name}, inside {channel_name(document, whole)}" if whole else name


def channels(document: Document) -> list[Mapping[str, Any]]:
    """The run's channels, in the document's order."""
    return list(document.get("channels") or document["footprint"].get("channels", ()))


def parts(document: Document) -> tuple[str, list[Mapping[str, Any]]]:
    """What the run's cost is shown by, in order of time: its epochs, else the spans that lie in no other span.

    Returns:
        What each of them is called (``epoch`` or ``span``), and the spans.
    """
    spans = sorted(document.get("spans", ()), key=_start)
    found = [span for span in spans if span["kind"] == "epoch"]
    if found:
        return "epoch", found
    known = {span["id"] for span in spans}
    return "span", [span for span in spans if span.get("parent") not in known]


def _start(span: Mapping[str, Any]) -> float:
    return float(span["start_s"])


def span_name(span: Mapping[str, Any]) -> str:
    """An epoch's index, or another span's name with its index."""
    index = span.get("index")
    if index is None:
        return plain(span["name"])
    return str(index) if span["kind"] == "epoch" else f"{plain(span['name'])} {index}"


def elide(rows: Sequence[T], most: int, ends: int) -> tuple[Sequence[T], int, Sequence[T]]:
    """At most `most` rows whole, else the first and last `ends` of them: (head, how many are left out, tail)."""
    if len(rows) <= most:
        return rows, 0, ()
    return rows[:ends], len(rows) - 2 * ends, rows[-ends:]


def absences(document: Document) -> list[tuple[str, str]]:
    """What is not in the figures and why, and what else a reader should know: (what, why), each thing once."""
    totals = [(total.label.split(" (")[0], quantity(document["footprint"].get(total.field))) for total in TOTALS]
    missing: dict[str, list[str]] = {}
    lacking: dict[str, list[str]] = {}
    for label, figure in totals:
        if figure.value is None:
            missing.setdefault(_reason(figure), []).append(label)
        for part in figure.missing:
            lacking.setdefault(part, []).append(label)
    silent = {channel["id"]: quantity(channel.get("energy_j")) for channel in channels(document)}
    reasons = {name: _reason(figure) for name, figure in silent.items() if figure.value is None}
    found = [(_listing(labels), why) for why, labels in missing.items()]
    for part in dict.fromkeys([*lacking, *reasons]):
        absent = f"not in {_listing(lacking[part]).lower()}" if part in lacking else ""
        found.append((part, "; ".join(filter(None, [reasons.get(part), absent]))))
    found += [(note["kind"], note["text"]) for note in document.get("notes", ())]
    return [(plain(what), plain(why)) for what, why in found]


def _reason(figure: Quantity) -> str:
    return figure.how or "no reason recorded"


def _listing(labels: Sequence[str]) -> str:
    return ", ".join([labels[0], *(label.lower() for label in labels[1:])])
