"""A budget: the energy or carbon that a run, with all that it continues, should stay within."""

from __future__ import annotations

import math
from collections.abc import Mapping

from joulegram.units import J_PER_KWH


class Budget:
    """Limits, of which each may be left open.

    Args:
        kwh: most energy (kWh) that the run should use.
        gco2e: most carbon (g) that it should emit.

    Raises:
        ValueError: a limit is not a positive number.
    """

    __slots__ = ("_limits",)

    def __init__(self, *, kwh: float | None = None, gco2e: float | None = None) -> None:
        given = (("budget_kwh", "energy_j", kwh, J_PER_KWH, "kWh"), ("budget_gco2e", "carbon_g", gco2e, 1.0, "gCO2e"))
        self._limits = [
            (figure, _positive(name, limit), size, unit)
            for name, figure, limit, size, unit in given
            if limit is not None
        ]

    def __bool__(self) -> bool:
        return bool(self._limits)

    def reached(self, spent: Mapping[str, float]) -> str | None:
        """In words, which limit has been reached; None while there is something left of each.

        Args:
            spent: what the run cost so far, as `Run.spent` gives it.
        """
        for figure, limit, size, unit in self._limits:
            used = spent.get(figure, 0.0) / size
            if used >= limit:
                return f"the budget of {limit:g} {unit} is reached ({used:.4g} {unit})"
        return None


def _positive(name: str, limit: object) -> float:
    if isinstance(limit, bool) or not isinstance(limit, int | float) or not 0 < limit < math.inf:
        raise ValueError(f"{name} = {limit!r}: a positive number is needed")
    return float(limit)
