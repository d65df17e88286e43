"""What one request costs: of a run that served, of one that says how many items it worked on, or as one says it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any

from joulegram.amounts import Amount
from joulegram.analysis.estimates import LEAST_HOURS, REPEATS_SD, Estimate, Z, ratio_error
from joulegram.quantities import Quantity
from joulegram.units import J_PER_KWH, show_percent

Document = Mapping[str, Any]
Row = Mapping[str, Any]

DAY_S = 86_400.0
ITEMS = "items"
"""The attribute of a run that served nothing which says how many requests, samples or the like it worked on."""
MEASURES = ("energy_j", "carbon_g")
UNKNOWN_BASIS = "unknown"
UNPRICED = "energy without a place (--g-per-kwh prices it)"
IS_CARBON = "carbon, which tells no energy"
NOT_COUNTED = "not counted"


class NoUnitCost(ValueError):
    """What was named has no cost per request; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class UnitCost:
    """What one request costs, in each measure that it is known in.

    Args:
        label: what it is called.
        figures: by measure: ``energy_j``, ``carbon_g`` (of operation) and ``embodied_g``.
        absent: why a measure is not among them.
        run: what identifies the run; None for an amount that was said.
        requests: how many it is from; None for an amount.
        per_s: requests a second; None where no time tells.
        basis: which emissions its carbon counts; None for an amount.
        kinds: of the devices that are counted.
        notes: what a reader should know, in sentences.
    """

    label: str
    figures: Mapping[str, Estimate]
    absent: Mapping[str, str] = field(default_factory=dict)
    run: Row | None = None
    requests: float | None = None
    per_s: float | None = None
    basis: str | None = None
    kinds: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain types."""
        names = ("id", "name", "stage", "status", "zone")
        return {
            "label": self.label,
            "run": None if self.run is None else {name: self.run.get(name) for name in names},
            "requests": self.requests,
            "per_day": None if self.per_s is None else self.per_s * DAY_S,
            "basis": self.basis,
            **{name: figure.to_json() for name, figure in self.figures.items()},
            "absent": dict(self.absent),
        }


def said(given: Amount, label: str, g_per_kwh: float | None = None) -> UnitCost:
    """An amount per request; its bounds are taken to hold 95 of 100 cases.

    Args:
        given: energy or carbon of a request.
        label: as it was said.
        g_per_kwh: what prices energy; its carbon is not known for None.
    """
    error = max(given.high - given.value, given.value - given.low) / Z
    figures: dict[str, Estimate] = {given.field: Estimate(given.value, error)}
    absent = {"embodied_g": NOT_COUNTED}
    if given.field == "carbon_g":
        absent["energy_j"] = IS_CARBON
    elif g_per_kwh is None and given.high:
        absent["carbon_g"] = UNPRICED
    else:
        price = (g_per_kwh or 0.0) / J_PER_KWH
        figures["carbon_g"] = Estimate(given.value * price, error * price)
    return UnitCost(label, figures, absent)


def recorded(document: Document) -> UnitCost:
    """Of a run, from its document; `served` may hold one route's part.

    Raises:
        NoUnitCost: nothing says how many requests it is of, or none ended.
    """
    served = document.get("served")
    return _of_requests(document, served) if served else _of_items(document)


def _of_requests(document: Document, served: Row) -> UnitCost:
    run, everything, hours = document["run"], served["total"], served["hours"]
    label, requests = " ".join(filter(None, (_label(run), document.get("served_route")))), everything["requests"]
    if not requests:
        raise NoUnitCost(f"{label}: no request has ended, so there is no cost of one")
    told_s = sum(hour["length_s"] for hour in hours)
    notes = _open(run)
    if _few(hours):
        notes.append(_alone(label, f"it served for {_hours(hours)}, too few to tell how much they differ"))
    causes = _causes(document, everything, _label(run))
    figures: dict[str, Estimate] = {}
    absent: dict[str, str] = {}
    for name in MEASURES:
        figure = Quantity.from_json(everything[name])
        if figure.value is None:
            absent[name] = figure.how or "not recorded"
            continue
        if figure.missing:
            notes.append(f"{label}: {_measure(name)} lacks {', '.join(figure.missing)}.")
        each = figure.value / requests
        error = _error_of_hours(hours, name)
        figures[name] = Estimate(each, REPEATS_SD * each if error is None else error, _gains(everything, name, causes))
    _add_embodied(document, float(requests), _route_share(document, served), figures, absent)
    return UnitCost(
        label,
        figures,
        absent,
        run,
        requests,
        requests / told_s if told_s else None,
        _basis(document),
        _kinds(document),
        tuple(notes),
    )


def _few(hours: list[Row]) -> bool:
    return len([hour for hour in hours if hour["requests"]]) < LEAST_HOURS


def _hours(hours: list[Row]) -> str:
    return f"{len(hours)} hour{'' if len(hours) == 1 else 's'}"


def _error_of_hours(hours: list[Row], name: str) -> float | None:
    told = [hour for hour in hours if hour[name]["value"] is not None]
    if _few(told):
        return None
    return ratio_error([hour[name]["value"] for hour in told], [hour["requests"] for hour in told])


def _of_items(document: Document) -> UnitCost:
    run, footprint = document["run"], document["footprint"]
    label, items = _label(run), (run.get("attributes") or {}).get(ITEMS)
    if isinstance(items, bool) or not isinstance(items, int | float) or not 0 < items < inf:
        raise NoUnitCost(
            f"{label} served nothing and does not say how many {ITEMS} it worked on "
            f'(run.attributes["{ITEMS}"] = 5000 would), so it has no cost of one'
        )
    causes = _causes(document, footprint, label)
    notes = [*_open(run), _alone(label, "it is one run")]
    figures: dict[str, Estimate] = {}
    absent: dict[str, str] = {}
    for name in MEASURES:
        figure = Quantity.from_json(footprint.get(name))
        if figure.value is None:
            absent[name] = figure.how or "not recorded"
            continue
        each = figure.value / items
        figures[name] = Estimate(each, REPEATS_SD * each, _gains(footprint, name, causes))
    _add_embodied(document, float(items), 1.0, figures, absent)
    return UnitCost(label, figures, absent, run, float(items), None, _basis(document), _kinds(document), tuple(notes))


def _add_embodied(
    document: Document, requests: float, share: float, figures: dict[str, Estimate], absent: dict[str, str]
) -> None:
    """Adds what making the hardware took, of each request."""
    figure = Quantity.from_json(document["footprint"].get("embodied_g"))
    if figure.value is None:
        absent["embodied_g"] = NOT_COUNTED
        return
    each = share * figure.value / requests
    cause = f"making of {', '.join(sorted(c['id'] for c in document.get('channels', ())))}"
    figures["embodied_g"] = Estimate(each, 0.0, {cause: _factors(figure)})


def _route_share(document: Document, served: Row) -> float:
    """Which part of all that requests were charged a route was charged."""
    everything = (document.get("served_by_all") or served)["total"]["energy_j"]["value"]
    part = served["total"]["energy_j"]["value"]
    return part / everything if part and everything else 1.0


# -- bounds -------------------------------------------------------------------------------------------------------


def _causes(document: Document, row: Row, label: str) -> tuple[str, str]:
    """What energy, and grams of a joule, may be off by: of two runs, those of the same name are the same factor.

    Counters of the same devices err alike; formulas of load do not, as their error depends on the load, but for parts
    of one run. A price is the same where it makes the same grams of a joule.
    """
    measured = sorted(c["id"] for c in document.get("channels", ()) if c["method"] == "measured" and not c["inside"])
    counters = row["energy_j"]["method"] == "measured" and bool(measured)
    energy_j, carbon_g = row["energy_j"]["value"], (row.get("carbon_g") or {}).get("value")
    price = f"{carbon_g / energy_j:.6g} g/J" if energy_j and carbon_g else f"the price of {label}"
    return f"counters of {', '.join(measured)}" if counters else f"meters of {label}", price


def _gains(row: Row, name: str, causes: tuple[str, str]) -> dict[str, tuple[float, float]]:
    """By how much energy, or carbon, may be off; that of carbon is that of energy times that of the price."""
    energy, carbon = (_factors(Quantity.from_json(row.get(field))) for field in ("energy_j", "carbon_g"))
    if name == "energy_j":
        return {causes[0]: energy}
    price = tuple(_over(*pair) for pair in zip(carbon, energy, strict=True))
    return {causes[0]: energy, causes[1]: (min(1.0, price[0]), max(1.0, price[1]))}


def _over(carbon: float, energy: float) -> float:
    return carbon / energy if energy and energy < inf else 1.0


def _factors(figure: Quantity) -> tuple[float, float]:
    if not figure.value:
        return 1.0, 1.0
    low = 0.0 if figure.low is None else figure.low / figure.value
    return low, inf if figure.high is None else figure.high / figure.value


# -- words --------------------------------------------------------------------------------------------------------


def _label(run: Row) -> str:
    return f"{run['name']} ({run['id']})"


def _measure(name: str) -> str:
    return "energy" if name == "energy_j" else "carbon"


def _basis(document: Document) -> str:
    return str((document.get("price") or {}).get("basis") or UNKNOWN_BASIS)


def _kinds(document: Document) -> frozenset[str]:
    return frozenset(
        channel["kind"]
        for channel in document.get("channels", ())
        if channel["inside"] is None and channel["energy_j"]["value"] is not None
    )


def _open(run: Row) -> list[str]:
    return [f"{_label(run)} is still running: it counts as far as it has come."] if run["status"] == "running" else []


def _alone(label: str, why: str) -> str:
    return f"{label}: {why}; {show_percent(REPEATS_SD)} is taken, the standard deviation of repeated trainings."
