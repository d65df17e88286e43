"""A fixed number of your own (``fixed:420``): gCO2e/kWh at all times, from a contract, a report or a study.

It is asked for no network and is what you say it is: its bounds are the number itself.
"""

from __future__ import annotations

from typing import Any, cast, get_args

from joulegram.feeds import LEAST_G_PER_KWH, MOST_G_PER_KWH, Feed, Reach, Unavailable
from joulegram.records import Basis, IntensityPoint, Signal

HOUR_S = 3600.0


class FixedFeed(Feed):
    """The same intensity at all times.

    Options: ``g_per_kwh``, which is the number after the colon; ``basis`` (``lifecycle`` or ``direct``; if it is not
    given, the one that is wanted), ``signal`` (``average`` or ``marginal``), and ``zone``, where it is for another zone
    than the one that is asked for.
    """

    name = "fixed"
    title = "fixed number, as given"
    argument = "g_per_kwh"
    known = ("g_per_kwh", "basis", "signal", "zone")
    reach = Reach(spacing_s=0.0)

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.basis = cast(Basis, self.options.choice("basis", get_args(Basis), self.wanted_basis or "unknown"))
        self.signal = cast(Signal, self.options.choice("signal", get_args(Signal), "average"))
        self._zone = self.options.text("zone")
        self._g_per_kwh = self.options.number_between("g_per_kwh", LEAST_G_PER_KWH, MOST_G_PER_KWH)

    @property
    def ready(self) -> bool:
        """Whether there is a number."""
        return self._g_per_kwh is not None

    def serves(self, zone: str) -> bool:
        """Any zone."""
        return True

    def latest(self, zone: str) -> IntensityPoint:
        """For the hour that is running."""
        start_s = self.now_s() // HOUR_S * HOUR_S
        return self._of(zone, start_s, start_s + HOUR_S)

    def history(self, zone: str, start_s: float, end_s: float) -> list[IntensityPoint]:
        """One point for all of it."""
        return [self._of(zone, start_s, end_s)]

    def forecast(self, zone: str, start_s: float, end_s: float) -> list[IntensityPoint]:
        """One point for all of it."""
        return [self._of(zone, start_s, end_s)]

    def _of(self, zone: str, start_s: float, end_s: float) -> IntensityPoint:
        if self._g_per_kwh is None:
            raise Unavailable("no number is given (fixed:420 is one)")
        return IntensityPoint(
            g_per_kwh=self._g_per_kwh,
            low=self._g_per_kwh,
            high=self._g_per_kwh,
            zone=self._zone or zone,
            source=self.title,
            kind="static",
            signal=self.signal,
            basis=self.basis,
            start_s=start_s,
            length_s=end_s - start_s,
            fetched_s=self.now_s(),
            settled=True,
        )
