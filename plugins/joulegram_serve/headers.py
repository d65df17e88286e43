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

Headers = list[tuple[bytes, bytes]]


def footprint_headers(request: joulegram.Request, start: Message) -> Headers:
    """Headers for a response that starts with this message.

    A response of known length was worked out before it starts. One that is streamed has its cost ahead of it, and
    tells its id alone.
    """
    if not request.id:
        return []
    headers = [(b"footprint-id", request.id.encode())]
    if any(name.lower() == b"content-length" for name, _ in start.get("headers", ())):
        cost = request.footprint()
        for name, amount in ((b"energy-joules", cost.energy_j), (b"carbon-grams", cost.carbon_g)):
            if amount is not None:
                headers.append((name, f"{decimal(amount)};est".encode()))
    return headers


def decimal(value: float) -> str:
    """Four digits that count, without an exponent."""
    return format(Decimal(f"{value:.4g}"), "f")
