"""Price books: of yearly means, which need no network, and with what feeds have answered laid over them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from joulegram import pricing
from joulegram.feeds import annual
from joulegram.records import Basis, IntensityPoint, PriceBook


def yearly(
    zone: str | None, pue: float | str | None, basis: Basis | None, made_s: float, reason: str = "as recorded"
) -> PriceBook:
    """A zone's yearly means, on the basis that was asked for or else that of the table."""
    points = annual.points(zone)
    return PriceBook(pricing.pue_of(pue), points, basis or points[0].basis, reason, made_s, annual.resolve(zone))


def with_points(book: PriceBook, points: Sequence[IntensityPoint], basis: Basis | None) -> PriceBook:
    """A book with more points; the first that feeds gave say which basis carbon is on, if nobody did.

    Args:
        book: what there was.
        points: what became known, in the order in which they count.
        basis: what the user asked for.
    """
    decided = book.basis if timed_basis(book.intensity) else timed_basis(points)
    return replace(book.plus(points), basis=basis or decided or book.basis)


def timed_basis(points: Sequence[IntensityPoint]) -> Basis | None:
    """The basis of the average, location-based intensity of a time that counts before others; None for none."""
    timed = (p for p in reversed(points) if (p.signal, p.accounting) == ("average", "location"))
    return next((point.basis for point in timed if point.start_s is not None), None)
