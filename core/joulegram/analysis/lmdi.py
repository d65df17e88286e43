"""What a change is made of: the additive logarithmic mean Divisia index (LMDI-I), which leaves no rest.

Of a quantity that is a product of factors, each factor's part of the change is L(after, before) · ln(factor after /
factor before), with L the logarithmic mean; the parts add up to the change (Ang, Energy Policy 33, 2005).
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf, log, prod, sinh, sqrt


def log_mean(one: float, other: float) -> float:
    """(one - other) / ln(one / other): `one` where both are equal, 0 where either is 0; neither is negative."""
    if one <= 0 or other <= 0:
        return 0.0
    half = log(one / other) / 2
    # The same as the quotient, without the difference of what is nearly equal.
    return sqrt(one) * sqrt(other) * sinh(half) / half if half else one


def decompose(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """Each factor's part of the change of their product, in the product's unit.

    A factor that is 0 on one side takes the whole change, which is the limit as it goes to 0; several share it alike.

    Args:
        before: the factors by name, none negative.
        after: the same ones.

    Raises:
        ValueError: the names differ, or a factor is negative or no number.
    """
    if before.keys() != after.keys() or not all(
        0 <= value < inf for side in (before, after) for value in side.values()
    ):
        raise ValueError("the same factors are needed on both sides, none of them negative")
    start, end = prod(before.values()), prod(after.values())
    vanishing = [name for name in before if (before[name] == 0) != (after[name] == 0)]
    if not start or not end:
        return {name: (end - start) / len(vanishing) if name in vanishing else 0.0 for name in before}
    mean = log_mean(end, start)
    return {name: mean * log(after[name] / before[name]) for name in before}
