"""What a response tells of its cost.

``Footprint-Id`` is what `footprint_app` is asked with. ``Energy-Joules`` and ``Carbon-Grams`` are decimals with the
parameter ``est``: a response's first byte leaves before the counters have moved past it. No header for this is
registered; the draft ``Carbon-Emissions-Scope-2`` (draft-martin-http-carbon-emissions-scope-2, expired in October 2023)
would call scope 2 what may be counted over the life cycle.
"""

from __future__ import annotations

from decimal import Decimal

import joulegram
from joulegram_serve.asgi import Message


def with_footprint(start: Message, request: joulegram.Request) -> Message:
    """A response's first message with headers for its cost, as a copy: an application may send the same one again."""
    headers = list(start.get("headers", ()))
    is_ready = any(name.lower() == b"content-length" for name, _ in headers)
    headers += [(name.lower().encode(), value.encode()) for name, value in footprint(request, is_ready=is_ready)]
    return {**start, "headers": headers}


def footprint(request: joulegram.Request, *, is_ready: bool) -> list[tuple[str, str]]:
    """Headers for a request's cost; none for one that is not counted.

    A response of known length was worked out before it starts. One that is streamed has its cost ahead of it, and
    tells its id alone.
    """
    if not request.id:
        return []
    headers = [("Footprint-Id", request.id)]
    if is_ready:
        cost = request.footprint()
        figures = (("Energy-Joules", cost.energy_j), ("Carbon-Grams", cost.carbon_g))
        headers += [(name, f"{decimal(amount)};est") for name, amount in figures if amount is not None]
    return headers


def decimal(value: float) -> str:
    """Four digits that count, without an exponent."""
    return format(Decimal(f"{value:.4g}"), "f")
