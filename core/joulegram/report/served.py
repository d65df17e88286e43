"""What serving cost, in words that the table and the page share.

Both read it as plain data, as `joulegram serve-report --json` prints it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from joulegram.quantities import Quantity
from joulegram.report.words import plain, quantity, share_of, show_bounds, show_share, show_value
from joulegram.units import J_PER_KWH, show_energy, show_mass

Found = Mapping[str, Any]
Row = Mapping[str, Any]

PARTS: Mapping[str, str] = {"active_j": "active", "idle_shared_j": "idle, shared", "unattributed_j": "nobody’s"}
"""What energy was used for, by field."""
GROUND = (
    "A request pays for what counters counted while it was in flight, shared by weight with the others (active), and "
    "for its part of the devices’ idle power in that time (idle, shared). What was counted while nobody was in flight, "
    "for excluded routes or for other users of the devices is nobody’s. Together that is what the counters counted, of "
    "whole devices.",
    "Energy is of the hour in which it was charged, a second or so after a request’s end. Grams are each hour’s joules "
    "at that hour’s intensity, with PUE.",
)


def title(report: Row) -> str:
    """Which server."""
    return f"{plain(report['run']['name'])} on {plain(report['label'])}"


def several(found: Found) -> bool:
    """Whether several runs stand side by side."""
    return len(found["runs"]) > 1


def route_name(row: Row, services: Sequence[Row]) -> str:
    """A route, with its service where there are several."""
    route = plain(row["route"])
    return f"{plain(row['service'])} {route}" if len(services) > 1 else route


def by_energy(routes: Sequence[Row]) -> list[Row]:
    """Routes, those first that cost most; of those without a figure, those with most requests."""
    return sorted(routes, key=lambda row: (-(row["energy_j"]["value"] or 0.0), -row["requests"]))


def energy(row: Row, field: str) -> str:
    """A figure in joules as a person reads it; a dash where there is none."""
    value = row[field]["value"]
    return "–" if value is None else show_energy(value)


def mass(row: Row, field: str) -> str:
    """A figure in grams as a person reads it; a dash where there is none."""
    value = row[field]["value"]
    return "–" if value is None else show_mass(value)


def share(row: Row, field: str, everything: Row) -> str:
    """A part of all energy."""
    return show_share(share_of(quantity(row[field]), quantity(everything["whole_j"])))


def channel_parts(channel: Row) -> list[str]:
    """Where a channel's joules went, by part; a word where its idle power is not known."""
    return ["unknown" if channel[field] is None else show_energy(channel[field]) for field in PARTS]


def hour_name(start_s: float) -> str:
    """``2026-06-24 10:00``, UTC."""
    return datetime.fromtimestamp(start_s, UTC).strftime("%Y-%m-%d %H:%M")


def intensity(hour: Row) -> str:
    """Grams per kWh of an hour, PUE included."""
    value = hour["g_per_j"]["value"]
    return "–" if value is None else f"{value * J_PER_KWH:.0f}"


def bounds(everything: Row) -> list[str]:
    """How sure the totals are."""
    return [
        f"All {word}: {show_value(figure, show)} ({show_bounds(figure, show)}){_method(figure)}."
        for word, field, show in (("energy", "whole_j", show_energy), ("carbon", "whole_g", show_mass))
        for figure in [quantity(everything[field])]
    ]


def _method(figure: Quantity) -> str:
    return "" if figure.value is None else f", {figure.method}"


def ground(report: Row) -> list[str]:
    """What the figures stand on."""
    everything = report["served"]["total"]
    priced = everything["whole_g"]["how"] if everything["whole_g"]["value"] is not None else ""
    lines = [*bounds(everything), *GROUND, *([f"Carbon: {priced}."] if priced else [])]
    score = report["sci"]
    boundary = (
        "SCI: E is all energy of the devices that were kept for serving, idle times included, with PUE; I is average "
        "and location-based; R is requests that ended"
    )
    making = score["embodied_g"]
    embodied = f"M is {making['how']}" if making["value"] is not None else f"M is not in it ({making['how']})"
    lines.append(f"{boundary}; {embodied}.")
    if not report["utilisation"]["why"]:
        lines.append(f"Low utilisation: {report['utilisation']['how']}.")
    return [plain(line) for line in lines]
