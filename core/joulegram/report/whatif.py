"""A what-if in words that the table and the page share.

Both read it as plain data, as `joulegram whatif --json` prints it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from joulegram.report.words import plain
from joulegram.units import show_duration, show_energy, show_mass

WhatIf = Mapping[str, Any]
Row = Mapping[str, Any]

SPREAD: Mapping[str, str] = {
    "min_g": "least",
    "p5_g": "5 %",
    "p25_g": "25 %",
    "median_g": "median",
    "p75_g": "75 %",
    "p95_g": "95 %",
    "max_g": "most",
}
"""Headings of a distribution's figures, by field."""


def title(found: WhatIf) -> str:
    """Which run, and what is laid over elsewhere."""
    run = found["run"]
    so_far = " so far" if run["status"] == "running" else ""
    energy, duration = show_energy(run["facility_energy_j"]), show_duration(run["duration_s"])
    return f"{plain(run['name'])}: {energy} over {duration}{so_far}, elsewhere and at other times"


def kind(row: Row) -> str:
    """``realtime · lifecycle``: what is measured, and which emissions it counts."""
    return f"{row['intensity']} · {basis(row)}"


def basis(row: Row) -> str:
    """Which emissions a row counts: ``lifecycle``, or ``marginal direct`` of a signal that is no average."""
    return plain(row["basis"]) if row["signal"] == "average" else plain(f"{row['signal']} {row['basis']}")


def show_spread(row: Row, field: str) -> str:
    """A figure of a row's distribution; of a mean without a time only its bounds, as ``~``."""
    if row["by_start"]:
        return show_mass(row["by_start"][field])
    bound = {"min_g": row["low_g"], "max_g": row["high_g"]}.get(field)
    return "" if bound is None else f"~{show_mass(bound)}"


def show_times(row: Row, field: str) -> str:
    """``× 0.35``: the least or the most over what the average makes of it; nothing where there is none."""
    ratio = (row["by_start"] or {}).get(field)
    return "" if ratio is None else f"× {ratio:.2f}"


def show_own(row: Row) -> tuple[str, str]:
    """What the run itself comes to there, and which part of the start hours costs less."""
    own = row["own"]
    if own is None:
        return "", ""
    return show_mass(own["carbon_g"]), f"> {own['percentile']:.0f} %"


def show_time(iso: str) -> str:
    """``2023-06-24 10:00``."""
    return iso.replace("T", " ")[:16]


def ground(found: WhatIf) -> list[str]:
    """What it stands on: the run, the sources, and how many start hours each knows."""
    run = found["run"]
    own = "no figure of its own" if run["carbon_g"] is None else f"{show_mass(run['carbon_g'])} ({run['basis']} basis)"
    lines = [
        f"The run started at {show_time(run['start'])} UTC in {plain(run['zone'] or 'an unknown zone')}: {own}. Its "
        f"energy is {run['method']}, with its PUE; only the intensity is another.",
        "Own: from its own start where the series knows it, else its own figure; below, which part of the start hours "
        "costs less.",
    ]
    if any(row["by_start"] is None for row in found["rows"]):
        lines.append("~: the range of single hours around a yearly mean.")
    same: dict[tuple[str, str], list[str]] = {}
    for row in found["rows"]:
        same.setdefault((row["source"], _hours(row)), []).append(f"{row['zone']} {row['intensity']}")
    lines += [plain(f"{', '.join(of)}: {source}{hours}.") for (source, hours), of in same.items()]
    return lines


def _hours(row: Row) -> str:
    spread = row["by_start"]
    if spread is None:
        return ""
    gaps = f", {spread['gaps']:,} left out for gaps" if spread["gaps"] else ""
    return f"; {spread['starts']:,} start hours of {row['period']['name']}{gaps}"


def timed(found: WhatIf) -> Sequence[Row]:
    """The rows that know more than a mean."""
    return [row for row in found["rows"] if row["by_start"]]


def by_hour(found: WhatIf) -> Sequence[Row]:
    """The rows whose start hours each have figures of their own, which those of a monthly mean have not."""
    return [row for row in timed(found) if row["intensity"] != "monthly"]
