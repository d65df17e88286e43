"""What several runs come to together, and how that was found out: what every exporter begins with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from joulegram.exporters import CannotExport, Document
from joulegram.exporters.countries import place
from joulegram.exporters.texts import listing, one_line
from joulegram.quantities import Quantity, total
from joulegram.units import J_PER_KWH, show_duration

SIGNALS = ("average", "marginal")
NOT_COUNTED = "not counted: no embodied emissions of this hardware are on record"


@dataclass(frozen=True, slots=True)
class Account:
    """Runs, each counted once, and their sums.

    Args:
        documents: the runs, oldest first, without those that ran inside another of them.
        energy_j: IT energy, the runs' own share (J).
        facility_energy_j: the same × PUE (J).
        carbon_g: operational emissions, location-based (gCO2e).
        embodied_g: the hardware's emissions for the time that it was held (gCO2e).
        flops: floating-point operations.
        signal: what kind of intensity `carbon_g` is on: ``average`` or ``marginal``.
        basis: which emissions it counts: ``lifecycle``, ``direct`` or ``unknown``.
    """

    documents: tuple[Document, ...]
    energy_j: Quantity
    facility_energy_j: Quantity
    carbon_g: Quantity
    embodied_g: Quantity
    flops: Quantity
    signal: str
    basis: str

    @property
    def duration_s(self) -> float:
        """How long the runs took, one after the other (s)."""
        return sum(float(document["run"]["duration_s"]) for document in self.documents)

    @property
    def g_per_kwh(self) -> float | None:
        """Mean intensity (gCO2e per kWh of facility energy); None where carbon or energy is missing."""
        if self.carbon_g.value is None or not self.facility_energy_j.value or self.carbon_g.missing:
            return None
        return self.carbon_g.value / (self.facility_energy_j.value / J_PER_KWH)


def account(documents: Sequence[Document], signal: str = "average") -> Account:
    """The runs together.

    Args:
        documents: of the runs.
        signal: which kind of intensity carbon is told on.

    Raises:
        CannotExport: there is no run, or their carbon cannot stand in one figure.
    """
    if signal not in SIGNALS:
        raise CannotExport(f"signal is {' or '.join(SIGNALS)}, not {signal!r}; market-based intensities are not told")
    ids = {document["run"]["id"] for document in documents}
    counted = tuple(d for d in documents if d["run"].get("enclosing_run") not in ids)
    if not counted:
        raise CannotExport("there is no run to export")
    figures = {name: _sum(counted, name) for name in ("energy_j", "facility_energy_j", "flops")}
    basis, carbon_g = _carbon(counted, signal)
    return Account(counted, **figures, carbon_g=carbon_g, embodied_g=_embodied(counted), signal=signal, basis=basis)


def label(document: Document) -> str:
    """A run's name, and its id where it has none."""
    return one_line(document["run"].get("name") or document["run"]["id"])


def _sum(documents: Iterable[Document], name: str) -> Quantity:
    parts = [(label(d), Quantity.from_json(d["footprint"].get(name))) for d in documents]
    return _total(parts)


def _total(parts: Sequence[tuple[str, Quantity]]) -> Quantity:
    """The sum of runs' figures; where all are missing, each reason once."""
    if len(parts) == 1:
        return parts[0][1]
    if all(figure.value is None for _, figure in parts):
        return Quantity.absent(listing(figure.how for _, figure in parts), total(parts).missing)
    return total(parts)


def _embodied(documents: Sequence[Document]) -> Quantity:
    parts = [(f"embodied emissions of {label(d)}", d["footprint"].get("embodied_g")) for d in documents]
    return _total([(n, Quantity.from_json(figure) if figure else Quantity.absent(NOT_COUNTED)) for n, figure in parts])


def _carbon(documents: Sequence[Document], signal: str) -> tuple[str, Quantity]:
    """The basis of the runs' carbon, and their grams; one basis is all that fits into one figure."""
    found = [(label(d), *_carbon_of(d, signal)) for d in documents]
    # A run without a figure is on no basis: it is missing from the sum, and named.
    bases = {basis: name for name, basis, figure in reversed(found) if figure.value is not None}
    if len(bases) > 1:
        told = ", ".join(f"{name} is on {basis}" for basis, name in sorted(bases.items()))
        raise CannotExport(
            f"carbon on different bases does not add up ({told}); joulegram reprice RUN --basis B puts all on one"
        )
    parts = [(name, figure) for name, _, figure in found]
    return next(iter(bases), found[0][1]), _total(parts)


def _carbon_of(document: Document, signal: str) -> tuple[str, Quantity]:
    footprint, basis = document["footprint"], (document.get("price") or {}).get("basis") or "unknown"
    if signal == "average":
        figure = Quantity.from_json(footprint.get("carbon_g"))
        if figure.value is None and _of(document, accounting="market"):
            raise CannotExport(
                f"{label(document)} has a market-based intensity alone, which is told nowhere here "
                f"(joulegram reprice {document['run']['id']} --intensity annual puts it on its grid's)"
            )
        return basis, figure
    marginal = _of(document, accounting="location", signal=signal)
    if len(marginal) > 1:
        chosen = [entry for entry in marginal if entry["basis"] == basis]
        marginal = chosen or marginal
    if len(marginal) > 1:
        raise CannotExport(f"{label(document)} has {signal} carbon on more than one basis")
    if not marginal:
        return basis, Quantity.absent(f"no {signal} intensity is on record")
    return str(marginal[0]["basis"]), Quantity.from_json(marginal[0])


def _of(document: Document, **kind: str) -> list[Document]:
    """Carbon of a kind, as far as it has a value."""
    return [
        entry
        for entry in document["footprint"].get("carbon", ())
        if entry.get("value") is not None and all(entry.get(key) == value for key, value in kind.items())
    ]


def running(documents: Iterable[Document]) -> list[str]:
    """Names of the runs that are not over yet."""
    return [label(document) for document in documents if document["run"].get("status") == "running"]


def stages(documents: Iterable[Document]) -> dict[str, int]:
    """How many runs there are of each stage; those that did not finish stand apart (``train, failed``)."""
    found: dict[str, int] = {}
    for document in documents:
        run = document["run"]
        over = run.get("status") in (None, "finished")
        name = (
            one_line(run.get("stage") or "run") if over else one_line(f"{run.get('stage') or 'run'}, {run['status']}")
        )
        found[name] = found.get(name, 0) + 1
    return found


def runs_in_words(documents: Sequence[Document]) -> str:
    """``3 runs (2 train, 1 train, failed; …)``, and how long they took."""
    each = listing(f"{number} {stage}" for stage, number in stages(documents).items())
    duration_s = sum(float(document["run"]["duration_s"]) for document in documents)
    if len(documents) == 1:
        return f"1 run ({next(iter(stages(documents)))}) of {show_duration(duration_s)}"
    return f"{len(documents)} runs ({each}) of {show_duration(duration_s)} in all"


def zones(documents: Iterable[Document]) -> list[str]:
    """Where the runs were, each grid zone once; an unknown one is called so."""
    found = (place(document["run"].get("zone")) or "unknown zone" for document in documents)
    return list(dict.fromkeys(one_line(zone) for zone in found))


def intensity_sources(account: Account) -> list[str]:
    """Where the intensities that carbon is on come from, each once."""
    found: dict[str, None] = {}
    for document in account.documents:
        price = document.get("price") or {}
        kind = (account.signal, account.basis, "location")
        points = [p for p in price.get("intensity", ()) if (p["signal"], p["basis"], p["accounting"]) == kind]
        timed = [p["source"] for p in points if p.get("start_s") is not None]
        hours = price.get("hours") or {}
        yearly = [
            f"yearly mean of {'the world' if p['zone'] == 'WORLD' else p['zone']}, {p['source']}"
            for p in points
            if p.get("start_s") is None and (not timed or hours.get("yearly_s"))
        ]
        found |= dict.fromkeys(one_line(source) for source in [*timed, *yearly])
    return list(found)


def pues(documents: Iterable[Document]) -> list[str]:
    """The PUE of the runs and where it is from, each once."""
    known = [(document.get("price") or {}).get("pue") for document in documents]
    return list(dict.fromkeys(one_line(f"{pue['value']:g} ({pue['source']})") for pue in known if pue))


def lacking(account: Account) -> list[str]:
    """What is not in the figures, each part once, and runs that are not over."""
    figures = (account.energy_j, account.carbon_g)
    parts = [part for figure in figures for part in figure.missing]
    open_runs = [f"the rest of {name}, which is still running" for name in running(account.documents)]
    return list(dict.fromkeys([*parts, *open_runs, *_continued(account.documents)]))


def _continued(documents: Sequence[Document]) -> list[str]:
    """What the runs cost that these continue, where they are not among these."""
    ids = {document["run"]["id"] for document in documents}
    parents = [
        (one_line(parent), label(d)) for d in documents if (parent := d["run"].get("parent")) not in (None, *ids)
    ]
    return [f"run {parent}, which {name} continues" for parent, name in parents]
