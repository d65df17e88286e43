"""Intensity from what is generated: the mix of an hour times what each technology emits over its life cycle.

Factors are the medians of IPCC AR5 WG3 (2014), Annex III, table A.III.2, and where it has none, as noted. What comes
out of a storage was generated before, and does not count. It is generation's, not consumption's: what a small, strongly
connected zone imports is not in it. Other factors give other figures (Germany 2021: 346 with these, 436 with those of
its own plants), so it is an estimate.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from joulegram.feeds import Feed, NotServed, in_order, newest
from joulegram.records import IntensityPoint

HOUR_S = 3600.0
Mix = Mapping[str, float]
"""What was generated in an hour, by technology; those that did not report are not in it."""

FACTORS: Mapping[str, float] = MappingProxyType(
    {
        "coal": 820.0,  # pulverised; lignite, peat and oil shale too, of which it has none
        "gas": 490.0,  # combined cycle
        "oil": 650.0,  # none in AR5: UK POST 2014, by way of Electricity Maps
        "biomass": 230.0,  # dedicated
        "geothermal": 38.0,
        "hydro": 24.0,
        "marine": 17.0,
        "nuclear": 12.0,
        "solar": 45.0,  # between rooftops' 41 and utilities' 48
        "wind": 11.0,  # onshore
        "offshore wind": 12.0,
        "other renewable": 38.0,  # none in AR5: as geothermal
        "other": 700.0,  # none in AR5, waste too: what Electricity Maps takes for the unknown
    }
)
"""gCO2e per kWh that was generated."""
STORAGE = "storage"

MOST_UNREPORTED = 0.1
"""Part of the hour before that technologies may have made of which an hour has no figure."""


class GenerationFeed(Feed):
    """A source of what is generated, by the hour and the technology."""

    basis = "lifecycle"
    late_s: float = 12 * HOUR_S
    """How late (s) the newest hour may be."""

    def latest(self, zone: str) -> IntensityPoint:
        """The newest hour that has been reported."""
        now_s = self.now_s()
        return newest(self.history(zone, now_s - self.late_s, now_s), self.title)

    def history(self, zone: str, start_s: float, end_s: float) -> list[IntensityPoint]:
        """The hours of that time that have been reported."""
        if not self.serves(zone):
            raise NotServed(f"{self.title} has no figures for {zone}")
        mixes = reported(self.mixes(zone, start_s, end_s))
        return in_order((self._point(zone, hour_s, mix) for hour_s, mix in mixes.items()), start_s, end_s)

    @abstractmethod
    def mixes(self, zone: str, start_s: float, end_s: float) -> dict[float, Mix]:
        """The mix of each hour of a time (s since 1970), by when the hour begins.

        Raises:
            Unavailable: there was no answer.
        """

    def _point(self, zone: str, hour_s: float, mix: Mix) -> IntensityPoint | None:
        point = self.point(zone, hour_s, HOUR_S, intensity(mix), "estimated", scope="generation")
        # The mix will not change any more, though what it is multiplied with makes it an estimate.
        settled = self.now_s() >= hour_s + HOUR_S + self.reach.settles_s
        return None if point is None else replace(point, settled=settled, note="generation mix × IPCC AR5 medians")


def intensity(mix: Mix) -> float | None:
    """gCO2e per kWh of a mix in any unit of energy or power; None where nothing was generated.

    What takes more than it gives (a plant's own use) counts as giving nothing.
    """
    generated = _generated(mix)
    total = sum(generated.values())
    return sum(FACTORS[technology] * amount for technology, amount in generated.items()) / total if total else None


def reported(mixes: Mapping[float, Mix]) -> dict[float, Mix]:
    """Hours, in order, without those that lack much of what the hour before was made of.

    The newest hours often lack a technology that reports later; what is left then looks far cleaner or dirtier than it
    was. Solar power that is left out at night is none of these: the hour before had little of it.
    """
    kept: dict[float, Mix] = {}
    before: Mix = {}
    for hour_s, mix in sorted(mixes.items()):
        lacking = sum(amount for technology, amount in before.items() if technology not in mix)
        if lacking <= MOST_UNREPORTED * sum(before.values()):
            kept[hour_s], before = mix, _generated(mix)
    return kept


def _generated(mix: Mix) -> Mix:
    return {technology: max(0.0, amount) for technology, amount in mix.items() if technology != STORAGE}
