"""What the life cycle is added up from: runs with what each alone has cost, none of it inside another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from joulegram.quantities import Quantity, weakest

FIGURES = ("energy_j", "facility_energy_j", "carbon_g", "embodied_g", "flops")
NOT_COUNTED = Quantity.absent("not counted")


@dataclass(frozen=True, slots=True)
class Served:
    """What a server's books say of one run.

    Args:
        requests: that ended.
        requests_j: IT energy that they were charged (J).
        requests_g: carbon of that, each hour's at its own intensity (g); None where it is not known.
    """

    requests: int
    requests_j: float
    requests_g: float | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One run.

    Args:
        run: what identifies it, as `joulegram runs --json` lists it.
        figures: its cost by field (`FIGURES`); carbon is on `basis`.
        basis: which emissions of a grid its carbon counts; None where that is not known.
        served: what its requests were charged, for a run that serves.
    """

    run: Mapping[str, Any]
    figures: Mapping[str, Quantity]
    basis: str | None
    served: Served | None = None

    @classmethod
    def of(cls, run: Mapping[str, Any], footprint: Mapping[str, Any], served: Served | None = None) -> Entry:
        """From a listing's row or a document's parts."""
        figures = {field: Quantity.from_json(footprint.get(field)) for field in FIGURES}
        if not footprint.get("embodied_g"):
            figures["embodied_g"] = NOT_COUNTED
        return cls(run, figures, run.get("basis"), served)

    @property
    def id(self) -> str:
        """The run's id."""
        return str(self.run["id"])

    @property
    def energy_j(self) -> float:
        """Its IT energy; 0 where it is missing, which its figure says."""
        return self.figures["energy_j"].value or 0.0

    @property
    def start_s(self) -> float:
        """When it started (s since 1970); NaN where that is not known."""
        started = self.run.get("started")
        return datetime.fromisoformat(started).timestamp() if started else float("nan")

    @property
    def duration_s(self) -> float:
        """How long it took (s)."""
        return float(self.run.get("duration_s") or 0.0)

    def part(self, share: float, carbon_share: float) -> Entry:
        """A part of it: all figures in proportion, carbon in one of its own."""
        shares = {"carbon_g": carbon_share}
        figures = {field: _scaled(figure, shares.get(field, share)) for field, figure in self.figures.items()}
        return replace(self, figures=figures)


def alone(entries: Sequence[Entry]) -> list[Entry]:
    """The same runs without what other ones of them, which were recorded inside of them, have cost.

    The counters of both are the same and err alike: bounds are taken off like by like, so that both together have
    those of the outer one.
    """
    inner: dict[str, list[Entry]] = {}
    known = {entry.id for entry in entries}
    for entry in entries:
        around = entry.run.get("enclosing_run")
        if around in known and around != entry.id:
            inner.setdefault(str(around), []).append(entry)
    return [_without(entry, inner[entry.id]) if entry.id in inner else entry for entry in entries]


def _without(entry: Entry, inner: Sequence[Entry]) -> Entry:
    figures = {field: _less(figure, [one.figures[field] for one in inner]) for field, figure in entry.figures.items()}
    return replace(entry, figures=figures)


def _less(whole: Quantity, parts: Iterable[Quantity]) -> Quantity:
    parts = [part for part in parts if part.value is not None]
    if whole.value is None or not parts:
        return whole
    value = max(0.0, whole.value - sum(part.value or 0.0 for part in parts))
    low = max(0.0, (whole.low or 0.0) - sum(part.low or 0.0 for part in parts))
    high = None
    if whole.high is not None:
        high = max(value, whole.high - sum(part.value or 0.0 if part.high is None else part.high for part in parts))
    return Quantity(value, min(low, value), high, whole.method, whole.how, whole.missing)


def _scaled(figure: Quantity, share: float) -> Quantity:
    if figure.value is None:
        return figure
    low, high = (None if bound is None else bound * share for bound in (figure.low, figure.high))
    return replace(figure, value=figure.value * share, low=low, high=high)


def summed(entries: Sequence[Entry], field: str, nothing: str = "no run has a figure") -> Quantity:
    """One figure of many runs; how many have none is said, and then the sum has no upper bound."""
    figures = [entry.figures[field] for entry in entries]
    present = [figure for figure in figures if figure.value is not None]
    if not present:
        reasons = list(dict.fromkeys(figure.how for figure in figures if figure.how))
        return Quantity.absent("; ".join(reasons[:3]) or nothing)
    absent, lacking = len(figures) - len(present), sum(1 for figure in present if figure.missing)
    missing = [
        f"{count} of {len(figures)} run{'' if len(figures) == 1 else 's'} {what}"
        for count, what in ((absent, "without a figure"), (lacking, "with a part missing"))
        if count
    ]
    value = sum(figure.value or 0.0 for figure in present)
    highs = [figure.high for figure in present if figure.high is not None]
    bounded = not missing and len(highs) == len(present)
    return Quantity(
        value,
        min(value, sum(figure.low or 0.0 for figure in present)),
        max(value, sum(highs)) if bounded else None,
        weakest(figure.method for figure in present),
        missing=tuple(missing),
    )


def grouped(entries: Iterable[Entry], key: Callable[[Entry], str | None]) -> dict[str, list[Entry]]:
    """Entries by a key; those that have none are left out."""
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        name = key(entry)
        if name is not None:
            groups.setdefault(name, []).append(entry)
    return groups
