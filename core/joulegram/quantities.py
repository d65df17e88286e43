"""A figure with its bounds and its method, and how figures add up.

Missing is not zero: an absent part leaves a sum without an upper bound, and the sum names it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Method = Literal["measured", "modelled", "estimated", "missing"]

# From the firmest to the weakest: a sum is as firm as its weakest part.
METHODS: tuple[Method, ...] = ("measured", "modelled", "estimated", "missing")


@dataclass(frozen=True, slots=True)
class Quantity:
    """One figure: a value in the unit that its name ends in, between two bounds.

    Args:
        value: best value; None where `method` is ``missing``.
        low: lower bound; None where the figure is missing.
        high: upper bound; None where there is none (a part is absent) or the figure is missing.
        method: ``measured`` (hardware counter), ``modelled`` (a formula from load), ``estimated`` (an average or a
            forecast) or ``missing``.
        how: in words, how the figure was made.
        missing: the parts that are not in it, one phrase each.

    Raises:
        ValueError: the bounds do not hold the value, or a missing figure has one.
    """

    value: float | None
    low: float | None
    high: float | None
    method: Method
    how: str = ""
    missing: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(f"method must be one of {', '.join(METHODS)}, not {self.method!r}")
        if (self.method == "missing") != (self.value is None):
            raise ValueError("a missing quantity has no value, and only a missing one has none")
        if self.value is None:
            if self.low is not None or self.high is not None:
                raise ValueError("a missing quantity has no bounds")
        elif not (self.low is None or self.low <= self.value) or not (self.high is None or self.value <= self.high):
            raise ValueError(f"bounds {self.low} .. {self.high} do not hold the value {self.value}")

    @classmethod
    def absent(cls, how: str, missing: Iterable[str] = ()) -> Quantity:
        """A missing figure: no value and no bounds, with the reason."""
        return cls(None, None, None, "missing", how, tuple(missing))

    def __str__(self) -> str:
        if self.value is None:
            return f"missing ({self.how})" if self.how else "missing"
        low = "?" if self.low is None else f"{self.low:.6g}"
        high = "?" if self.high is None else f"{self.high:.6g}"
        return f"{self.value:.6g} [{low} .. {high}] {self.method}"

    def __float__(self) -> float:
        """The value; NaN where it is missing."""
        return float("nan") if self.value is None else self.value

    @classmethod
    def from_json(cls, figure: Mapping[str, Any] | None) -> Quantity:
        """The figure of a document's JSON; one that the document does not hold is missing, not zero."""
        if not figure:
            return cls.absent("not recorded")
        return cls(
            value=figure.get("value"),
            low=figure.get("low"),
            high=figure.get("high"),
            method=figure["method"],
            how=figure.get("how", ""),
            missing=tuple(figure.get("missing", ())),
        )

    def to_json(self) -> dict[str, Any]:
        """Plain types, null where there is no number."""
        return {
            "value": self.value,
            "low": self.low,
            "high": self.high,
            "method": self.method,
            "how": self.how,
            "missing": list(self.missing),
        }


def weakest(methods: Iterable[Method]) -> Method:
    """The weakest of the methods; ``missing`` for none."""
    return max(methods, key=METHODS.index, default="missing")


def total(parts: Iterable[tuple[str, Quantity]], nothing: str = "no part was recorded") -> Quantity:
    """Sum of named parts, added as intervals.

    A part without a value is listed in `missing`, by what it misses or by its name; then, or where any part has no
    upper bound, the sum has none.

    Args:
        parts: (name, quantity) pairs, all in one unit.
        nothing: why the sum is missing where no part has a value.
    """
    parts = list(parts)
    present = [quantity for _, quantity in parts if quantity.value is not None]
    absent = [phrase for name, quantity in parts if quantity.value is None for phrase in quantity.missing or (name,)]
    missing = tuple(dict.fromkeys([*absent, *(phrase for q in present for phrase in q.missing)]))
    if not present:
        reasons = dict.fromkeys(f"{name}: {q.how}" if q.how else name for name, q in parts)
        return Quantity.absent("; ".join(reasons) or nothing, missing)
    value = sum(quantity.value for quantity in present if quantity.value is not None)
    low = sum(quantity.low for quantity in present if quantity.low is not None)
    highs = [quantity.high for quantity in present if quantity.high is not None]
    bounded = not missing and len(highs) == len(present)
    return Quantity(
        value=value,
        low=min(low, value),  # a sum that is rounded once, as Python's is from 3.12 on, may pass the other by a bit
        high=max(sum(highs), value) if bounded else None,
        method=weakest(quantity.method for quantity in present),
        how="; ".join(dict.fromkeys(quantity.how for quantity in present if quantity.how)),
        missing=missing,
    )
