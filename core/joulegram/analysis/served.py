"""What serving cost, request by request: idle parts, what low utilisation costs, traffic, and the SCI score.

Reads documents of runs that served, as `joulegram report --json` prints them, and gives plain data again. Where there
is too little to tell something, the result says why in its place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import combinations
from math import ceil
from typing import Any

from joulegram.analysis.served_sentences import sentences, sum_sentences
from joulegram.compute import by_request, exactly, ratio
from joulegram.quantities import Quantity, total

Document = Mapping[str, Any]
Row = Mapping[str, Any]

SCHEMA_VERSION = 1
LEAST_S = 1800.0
"""Least part of an hour (s) that a server has to have run in it for the hour to be compared with others."""
LEAST_HOURS = 4
BUSIEST = 0.25
"""Part of the hours that count as the busiest."""
LEAST_BUSIER = 1.5
"""How many times as many requests an hour they have to have had as all hours together."""
NO_HOUR = "no hour has been told yet"
NOT_COUNTED = "embodied emissions: not counted"
_COUNTS = ("requests", "failed", "tokens", "items", "flops", "lost", "late", "dropped")
_FIGURES = (
    "active_j", "idle_shared_j", "energy_j", "carbon_g", "unattributed_j", "unattributed_g", "whole_j", "whole_g",
)  # fmt: skip


class NothingServed(ValueError):
    """A run that served nothing was asked what its requests cost."""


def serve_report(documents: Sequence[Document]) -> dict[str, Any]:
    """What the requests of one run cost, or of several side by side and together.

    Args:
        documents: of runs that served.

    Raises:
        NothingServed: one of them is of another stage, and tells of no hour.
    """
    labels = _labels([document["run"] for document in documents])
    runs = [_report(document, label) for document, label in zip(documents, labels, strict=True)]
    together = _together(documents, runs) if len(runs) > 1 else None
    told = [sentence for run in runs for sentence in run["sentences"]] if together is None else sum_sentences(together)
    return {"schema_version": SCHEMA_VERSION, "runs": runs, "sum": together, "sentences": told}


def _labels(runs: Sequence[Row]) -> list[str]:
    """Each run's host, with the beginning of its id where another has the same."""
    hosts = [", ".join(run["hosts"]) for run in runs]
    return [
        host if hosts.count(host) == 1 else f"{host} {run['id'][:8]}" for host, run in zip(hosts, runs, strict=True)
    ]


def _report(document: Document, label: str) -> dict[str, Any]:
    run, served = document["run"], document.get("served")
    if served is None and run["stage"] != "serve":
        raise NothingServed(
            f"run {run['id']} is of stage {run['stage']} and served nothing (joulegram runs --stage serve lists others)"
        )
    names = ("id", "name", "project", "stage", "status", "zone", "started", "duration_s", "hosts", "error")
    found: dict[str, Any] = {
        "label": label,
        "run": {name: run[name] for name in names},
        "basis": (document.get("price") or {}).get("basis"),
        "served": served,
    }
    if served is not None:
        found |= {
            "idle": idle(served["total"], served["channels"]),
            "utilisation": utilisation(served["hours"]),
            "traffic": traffic(served["hours"]),
            "sci": sci(served["total"], document["footprint"].get("embodied_g")),
            "untold": untold(served["channels"]),
        }
    return {**found, "sentences": sentences(found)}


def idle(everything: Row, channels: Sequence[Row]) -> dict[str, Any]:
    """Which part of all energy was idle while requests were in flight, and which part was nobody's.

    Args:
        everything: all that was served.
        channels: where each channel's joules went.
    """
    whole_j = everything["whole_j"]["value"]
    parts = {name: everything[f"{name}_j"]["value"] for name in ("idle_shared", "unattributed")}
    shares = {
        f"{name}_share": joules / whole_j if whole_j and joules is not None else None for name, joules in parts.items()
    }
    known = [share for share in shares.values() if share is not None]
    unknown = [c["id"] for c in channels if c["inside"] is None and c["idle_shared_j"] is None]
    return {**shares, "share": sum(known) if known else None, "whole_j": whole_j, "idle_unknown": unknown}


def utilisation(hours: Sequence[Row]) -> dict[str, Any]:
    """What a request costs in the busiest hours, all energy counted, against what it costs over all hours.

    The busiest are the quarter with most requests. Nothing is fitted: both are sums of energy over sums of requests.
    """
    told = _comparable(hours)
    if len(told) < LEAST_HOURS:
        return {
            "why": f"{_hours(len(told))} of at least 30 minutes, and {LEAST_HOURS} are needed to tell busy ones apart"
        }
    busiest = sorted(told, key=_per_hour, reverse=True)[: ceil(BUSIEST * len(told))]
    every, busy = _ratio_of(told), _ratio_of(busiest)
    if not every["requests"]:
        return {"why": "no request ended in them"}
    if busy["requests_per_hour"] < LEAST_BUSIER * every["requests_per_hour"]:
        return {
            "why": f"traffic was even: the busiest hours had {busy['requests_per_hour']:,.0f} requests an hour, all "
            f"hours {every['requests_per_hour']:,.0f}"
        }
    price_j = (every["j_per_request"] - busy["j_per_request"]) * every["requests"]
    return {
        "why": None,
        "all": every,
        "busiest": busy,
        "price_j": price_j,
        "price_share": price_j / every["whole_j"] if every["whole_j"] else None,
        "how": "energy over requests in the busiest quarter of the hours, and in all; their mix of routes may differ",
    }


def traffic(hours: Sequence[Row]) -> dict[str, Any]:
    """How energy moved with requests: the quietest hour that had any, and the busiest."""
    told = [hour for hour in _comparable(hours) if hour["requests"]]
    if len(told) < 2:
        return {"why": "fewer than two hours of at least 30 minutes had requests"}
    quietest, busiest = _ratio_of([min(told, key=_per_hour)]), _ratio_of([max(told, key=_per_hour)])
    if busiest["requests_per_hour"] <= quietest["requests_per_hour"]:
        return {"why": "all hours had as many requests"}
    return {
        "why": None,
        "quietest": quietest,
        "busiest": busiest,
        "requests_factor": busiest["requests_per_hour"] / quietest["requests_per_hour"],
        "power_factor": busiest["power_w"] / quietest["power_w"] if quietest["power_w"] else None,
    }


def sci(everything: Row, embodied: Row | None) -> dict[str, Any]:
    """The SCI score per request, (E · I + M) / R (ISO/IEC 21031:2024).

    E is all energy of the devices that were kept for serving, idle times included, with PUE; I the grid's average,
    location-based intensity.

    Args:
        everything: all that was served.
        embodied: of the run, where it is counted.
    """
    operation, making = _quantity(everything["whole_g"]), _quantity(embodied)
    parts = [f"embodied emissions of {part}" for part in making.missing]
    missing = tuple([NOT_COUNTED] if making.value is None else parts)
    emitted = total([("operation", operation), ("", replace(making, missing=missing))])
    if operation.value is None:
        emitted = operation
    per_request = ratio(emitted, exactly(everything["requests"], "no request ended"), "(E · I + M) / R, R in requests")
    return {
        "g_per_request": per_request.to_json(),
        "operation_g": operation.to_json(),
        "embodied_g": making.to_json(),
        "requests": everything["requests"],
    }


def untold(channels: Sequence[Row]) -> dict[str, Any]:
    """What the counters hold besides what hours tell of (J), of channels that no other contains."""
    counted = [c for c in channels if c["inside"] is None and c["metered_j"] is not None]
    metered_j, untold_j = (sum(channel[field] for channel in counted) for field in ("metered_j", "untold_j"))
    return {"untold_j": untold_j, "metered_j": metered_j, "share": untold_j / metered_j if metered_j else None}


def _comparable(hours: Sequence[Row]) -> list[Row]:
    return [hour for hour in hours if hour["length_s"] >= LEAST_S and hour["whole_j"]["value"] is not None]


def _per_hour(hour: Row) -> float:
    return float(3600.0 * hour["requests"] / hour["length_s"])


def _ratio_of(hours: Sequence[Row]) -> dict[str, Any]:
    """What hours come to together."""
    requests, whole_j = sum(hour["requests"] for hour in hours), sum(hour["whole_j"]["value"] for hour in hours)
    lasted_s = sum(hour["length_s"] for hour in hours)
    return {
        "start_s": hours[0]["start_s"],
        "hours": len(hours),
        "requests": requests,
        "whole_j": whole_j,
        "requests_per_hour": 3600.0 * requests / lasted_s,
        "power_w": whole_j / lasted_s,
        "j_per_request": whole_j / requests if requests else None,
    }


def _hours(count: int) -> str:
    return f"it has {count or 'no'} hour{'' if count == 1 else 's'}"


# -- several runs -------------------------------------------------------------------------------------------------


def _together(documents: Sequence[Document], runs: Sequence[Row]) -> dict[str, Any]:
    """What several runs served, added up; why not where that would count something twice."""
    twice = _counted_twice(documents)
    if twice:
        return {"why": f"{twice} is counted by two of these runs at the same time: they are not added up"}
    told = [(run["label"], run["served"]["total"]) for run in runs if run["served"]]
    if not told:
        return {"why": NO_HOUR}
    bases = {run["basis"] for run in runs if run["served"]}
    rows: dict[str, Any] = {name: sum(row[name] for _, row in told) for name in _COUNTS}
    figures = {name: total((label, _quantity(row[name])) for label, row in told) for name in _FIGURES}
    if len(bases) > 1:
        mixed = Quantity.absent("the runs’ carbon is on different bases, which are never added")
        figures |= {name: mixed for name in _FIGURES if name.endswith("_g")}
    for of, energy, carbon in (("", "energy_j", "carbon_g"), ("whole_", "whole_j", "whole_g")):
        figures |= by_request(figures[energy], figures[carbon], rows["requests"], rows["tokens"], of)
    rows |= {name: figure.to_json() for name, figure in figures.items()}
    channels = [channel for run in runs if run["served"] for channel in run["served"]["channels"]]
    embodied = total((run["label"], _quantity(run["sci"]["embodied_g"])) for run in runs if run["served"])
    without = [run["label"] for run in runs if not run["served"]]
    return {
        "why": None,
        "total": rows,
        "routes": [
            {**route, "host": run["label"]} for run in runs if run["served"] for route in run["served"]["routes"]
        ],
        "idle": idle(rows, channels),
        "sci": sci(rows, embodied.to_json()),
        "runs": len(told),
        "without": without,
        "running": [run["label"] for run in runs if run["served"] and run["run"]["status"] == "running"],
    }


def _counted_twice(documents: Sequence[Document]) -> str | None:
    """A channel that two runs counted at the same time."""
    spans: list[tuple[float, float, set[str]]] = []
    for document in documents:
        start_s = datetime.fromisoformat(document["run"]["started"]).timestamp()
        names = {channel["id"] for channel in (document.get("served") or {"channels": ()})["channels"]}
        spans.append((start_s, start_s + document["run"]["duration_s"], names))
    for one, other in combinations(spans, 2):
        if one[2] & other[2] and one[0] < other[1] and other[0] < one[1]:
            return min(one[2] & other[2])
    return None


def _quantity(figure: Row | None) -> Quantity:
    if not figure:
        return Quantity.absent("not counted")
    return Quantity(
        figure["value"], figure["low"], figure["high"], figure["method"], figure["how"], tuple(figure["missing"])
    )
