"""Price books: of yearly means, which need no network, and with what feeds have answered laid over them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
    """A book with more points; the first that a feed gave say which basis carbon is on, if nobody did.

    Args:
        book: what there was.
        points: what became known.
        basis: what the user asked for.
    """
    chosen = basis or timed_basis(book.intensity) or timed_basis(points) or book.basis
    return replace(book, intensity=(*book.intensity, *points), basis=chosen)


def timed_basis(points: Iterable[IntensityPoint]) -> Basis | None:
    """The basis of the first average, location-based intensity of a time; None where there is none."""
    timed = (p for p in points if p.start_s is not None and (p.signal, p.accounting) == ("average", "location"))
    return next((point.basis for point in timed), None)
