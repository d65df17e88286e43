"""What a server did for its joules, as a run's document tells it."""

from __future__ import annotations

from collections.abc import Iterable

from joulegram.exporters import Document

AMOUNTS = ("requests", "tokens", "items", "flops")


def amounts(document: Document) -> dict[str, float]:
    """Requests, tokens, items and FLOPs of a serve run; empty where the document does not tell them."""
    served = (document.get("served") or {}).get("total") or {}
    return {name: float(served[name]) for name in AMOUNTS if served.get(name)}


def together(documents: Iterable[Document]) -> dict[str, float]:
    """The same of several runs. An amount that one of them does not tell is in none of it."""
    each = [amounts(document) for document in documents]
    return {
        name: sum(found[name] for found in each) for name in AMOUNTS if each and all(name in found for found in each)
    }
