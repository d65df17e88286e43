"""What a server did for its joules, and what all of it drew, as a run's document tells it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from joulegram.exporters import Document
from joulegram.quantities import Quantity, weakest

AMOUNTS = ("requests", "tokens", "items", "flops")


def amounts(document: Document) -> dict[str, float]:
    """Requests, tokens, items and FLOPs of a serve run; empty where the document does not tell them."""
    return {name: float(found) for name in AMOUNTS if (found := _total(document).get(name))}


def together(documents: Iterable[Document]) -> dict[str, float]:
    """The same of several runs. An amount that one of them does not tell is in none of it."""
    each = [amounts(document) for document in documents]
    return {
        name: sum(found[name] for found in each) for name in AMOUNTS if each and all(name in found for found in each)
    }


def tells_whole(document: Document) -> bool:
    """Whether a server tells what its devices drew in all: idle, and whatever was nobody's, included."""
    return {"whole_j", "whole_g"} <= _total(document).keys()


def provisioned(document: Document) -> Document:
    """A serve run with the energy and carbon of all that its devices drew, as they are kept for it.

    Other documents are as they were: what a run reserved is in its own share.
    """
    if not tells_whole(document):
        return document
    served = _total(document)
    energy_j = Quantity.from_json(served["whole_j"])
    figures = {"energy_j": energy_j, "facility_energy_j": _with_pue(energy_j, (document.get("price") or {}).get("pue"))}
    whole = {name: figure.to_json() for name, figure in figures.items()} | {"carbon_g": served["whole_g"]}
    return {**document, "footprint": {**document["footprint"], **whole}}


def _with_pue(energy_j: Quantity, pue: Any) -> Quantity:
    """Energy of the facility (J)."""
    if not pue:
        return Quantity.absent("no PUE is on record", energy_j.missing)
    if energy_j.value is None:
        return energy_j
    return Quantity(
        energy_j.value * pue["value"],
        None if energy_j.low is None else energy_j.low * pue["low"],
        None if energy_j.high is None else energy_j.high * pue["high"],
        weakest([energy_j.method, pue["method"]]),
        energy_j.how,
        energy_j.missing,
    )


def _total(document: Document) -> dict[str, Any]:
    return (document.get("served") or {}).get("total") or {}
