"""Reading what the owner of the books tells: snapshots, results, and what a request costs at this rate."""

from __future__ import annotations

import marshal
from pathlib import Path
from struct import Struct
from typing import TYPE_CHECKING, Any

from joulegram.host.shared_memory import Board, Cells
from joulegram.quantities import Method
from joulegram.serving.accounts import Accounts
from joulegram.serving.snapshot import PROVISIONAL, SETTLED, UNKNOWN, Parts, Result, Snapshot

if TYPE_CHECKING:
    from joulegram.serving.service import Request

VERSION = 3
BOOKS_SIZE = 4 << 20
RESULTS = 1 << 12
RESULT_SIZE = 512
RATE_SIZE = 64
RATE = Struct("<dd")
"""Joules that a request of weight 1 is charged in a second, and grams for each of them; NaN where unknown."""

Told = dict[str, Any]
"""What the owner tells beside the books: where it is, who it is, how far it has read each ring."""


class Reader:
    """What the processes of a host may read. Any thread may call it.

    Args:
        folder: where the shared memory lies.

    Raises:
        OSError: there is none.
    """

    def __init__(self, folder: Path) -> None:
        self.books = Board(folder / "books", BOOKS_SIZE)
        self.rate = Board(folder / "rate", RATE_SIZE)
        self.results = Cells(folder / "results", RESULTS, RESULT_SIZE)

    def told(self) -> tuple[Told, Any] | None:
        """What the owner told last, and the state of the books; None before it did, or by another version."""
        content = self.books.read()
        if content is None:
            return None
        try:
            version, told, state = marshal.loads(content)
        except (ValueError, EOFError, TypeError):
            return None
        return (told, state) if version == VERSION else None

    def snapshot(self) -> Snapshot | None:
        """All figures at one moment; None before there are any."""
        found = self.told()
        if found is None:
            return None
        told, state = found
        books = Accounts.sums_of(state)
        return Snapshot(
            time_s=told["time_s"],
            run=told["run"],
            host=told["host"],
            owner_pid=told["pid"],
            workers=told["workers"],
            in_flight=told["in_flight"],
            channels=books.channel_totals(told["host"]),
            routes=books.route_totals(told["host"], request_id),
            unattributed_g=books.unattributed_carbon_g,
            lost=books.lost + told["lost"],
            late=books.late,
            dropped=books.dropped,
            zone=told["zone"],
            g_per_kwh=told["g_per_kwh"],
        )

    def result(self, request: str) -> Result | None:
        """What a request cost; None if it is not settled yet, or too long ago."""
        try:
            content = self.results.read(request_key(request))
            if content is None:
                return None
            service, route, duration_s, energy, parts, carbon_g, amounts, status = marshal.loads(content)
            (energy_j, low_j, high_j, method), (tokens, flops, items) = energy, amounts
        except (ValueError, EOFError, TypeError):
            return None
        parts_j = {channel: Parts(active, idle) for channel, active, idle in parts}
        return Result(
            request,
            service,
            route,
            duration_s,
            energy_j,
            low_j,
            high_j,
            method,
            parts_j,
            carbon_g,
            tokens,
            flops,
            items,
            status,
            True,
            SETTLED,
        )


Energy = tuple[float | None, float | None, float | None, Method]
"""Joules, between two bounds, and how they were counted."""


def result_content(
    service: str, route: str, duration_s: float, energy: Energy, parts: list[tuple[str, float, float]],
    carbon_g: float | None, amounts: tuple[float, float, float], status: int,
) -> bytes:  # fmt: skip
    """A result as `Reader.result` reads it; channels are left out where there are too many of them."""
    content = marshal.dumps((service, route, duration_s, energy, parts, carbon_g, amounts, status))
    if len(content) <= RESULT_SIZE - 32:
        return content
    return marshal.dumps((service, route, duration_s, energy, [], carbon_g, amounts, status))


def provisional(reader: Reader | None, service: str, request: Request, weight_s: float, duration_s: float) -> Result:
    """What a request costs at the rate of the last seconds."""
    content = reader.rate.read() if reader is not None else None
    j_per_weight_s, g_per_j = RATE.unpack(content) if content is not None else (float("nan"), float("nan"))
    energy_j = _known(j_per_weight_s * weight_s)
    return Result(
        request.id, service, request.route, duration_s, energy_j, None, None,
        "missing" if energy_j is None else "estimated", {}, _known(j_per_weight_s * weight_s * g_per_j),
        request.tokens, request.flops, request.items, request.status, False,
        UNKNOWN if energy_j is None else PROVISIONAL,
    )  # fmt: skip


def _known(value: float) -> float | None:
    return value if value == value else None


def request_id(key: int) -> str:
    """A request's id, from its ring's and its number."""
    return f"{key >> 32:08x}-{key & 0xFFFFFFFF:x}"


def request_key(request: str) -> int:
    """The key of a request's id.

    Raises:
        ValueError: it is none.
    """
    ring, _, number = request.partition("-")
    if len(ring) != 8 or not 0 < len(number) <= 16:
        raise ValueError(f"{request!r:.60} is no id of a request")
    return int(ring, 16) << 32 | int(number, 16) & 0xFFFFFFFF
