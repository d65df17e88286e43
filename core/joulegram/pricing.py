"""From curves to footprints: joules, facility joules and grams of any span, with bounds and methods.

Carbon is a view: it is computed here, at read time, from stored energy and a price book, so another book re-prices any
run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from joulegram import compute
from joulegram.compute import Efficiency
from joulegram.curves.curve import Curve, Steps, merge, price, weigh
from joulegram.curves.least_squares import PhaseEnergy, told_apart
from joulegram.curves.parts import disjoint, wholes
from joulegram.curves.phases import OTHER
from joulegram.curves.sharing import RULE, SHARE_PERIOD_S
from joulegram.curves.trace import ChannelTrace, Trace, counted, in_phase, seconds
from joulegram.flops.peaks import peak
from joulegram.impacts.factors import Own
from joulegram.impacts.platform import Impacts, Platform
from joulegram.quantities import Method, Quantity, total, weakest
from joulegram.records import Accounting, Basis, IntensityKind, IntensityPoint, PriceBook, Pue, Signal
from joulegram.units import J_PER_KWH, NS_PER_S

UNKNOWN_PUE = Pue(1.0, 1.0, 2.0, "estimated", "not given: IT energy alone, a building might double it")
DATACENTER_PUE = Pue(1.54, 1.06, 2.0, "estimated", "Uptime Institute Global Data Center Survey 2025, mean")

ERRORS = 3
"""Standard errors on either side that bound what least squares says (benchmarks/bench_phases.py)."""
SHARP = 10
"""How often the uncertainty of a counter's refreshes has to fit into a visit to a phase."""
SAME = 1e-6
"""Part of a span's joules by which two figures may differ that are one."""
FAR = 0.1
"""Part of a span by which the time whose sums are known may differ from it."""
SMALL = 0.01
"""Part of a span's joules by which a phase may come out below none."""

_METHOD_OF_KIND: dict[IntensityKind, Method] = {
    "measured": "measured",
    "estimated": "estimated",
    "forecast": "estimated",
    "static": "estimated",
}

_Key = tuple[Signal, Basis, Accounting]

NOT_COUNTING = Quantity(0.0, 0.0, 0.0, "measured", "no step was being counted")


def pue_of(setting: float | str | None) -> Pue:
    """The PUE that a setting stands for: a number as given, ``datacenter`` the survey's mean, None unknown."""
    if setting is None:
        return UNKNOWN_PUE
    if isinstance(setting, str):
        return DATACENTER_PUE
    return Pue(setting, setting, setting, "measured", "as given")


def unpriced(pue: float | str | None, basis: Basis | None) -> PriceBook:
    """A book without any intensity: energy alone."""
    return PriceBook(pue_of(pue), (), basis or "lifecycle")


@dataclass(frozen=True, slots=True)
class ChannelFigure:
    """What one channel cost: this run's share and the whole device (J).

    `inside` is the channel whose joules contain this one's: where that one is known, this one is not added to it.
    """

    id: str
    kind: str
    method: Method
    energy_j: Quantity
    node_energy_j: Quantity
    inside: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain types."""
        return {
            "id": self.id,
            "kind": self.kind,
            "method": self.method,
            "energy_j": self.energy_j.to_json(),
            "node_energy_j": self.node_energy_j.to_json(),
            "inside": self.inside,
        }


@dataclass(frozen=True, slots=True)
class PhaseFigure:
    """What one phase of the loop cost: time (s), FLOPs, this run's share (J), grams."""

    name: str
    duration_s: float
    flops: Quantity
    energy_j: Quantity
    carbon_g: Quantity

    def to_json(self) -> dict[str, Any]:
        """Plain types."""
        return {
            "name": self.name,
            "duration_s": self.duration_s,
            "flops": self.flops.to_json(),
            "energy_j": self.energy_j.to_json(),
            "carbon_g": self.carbon_g.to_json(),
        }


@dataclass(frozen=True, slots=True)
class CarbonFigure:
    """Grams under one signal, basis and accounting; figures of different ones are never added."""

    signal: Signal
    basis: Basis
    accounting: Accounting
    carbon_g: Quantity

    def to_json(self) -> dict[str, Any]:
        """Plain types."""
        names = {"signal": self.signal, "basis": self.basis, "accounting": self.accounting}
        return {**names, **self.carbon_g.to_json()}


@dataclass(frozen=True, slots=True)
class Footprint:
    """Compute, energy and carbon of a span, and what its platform took beside its operation.

    Args:
        flops: floating-point operations.
        energy_j: IT energy, this run's share (J): the channels added up, without those inside another.
        node_energy_j: the same channels, whole node (J).
        facility_energy_j: this run's share × PUE (J).
        carbon_g: facility energy × average, location-based intensity on the run's chosen basis (gCO2e).
        carbon: every signal, basis and accounting apart.
        overhead_j: this run's energy while steps were being counted (J), which is in none of the figures above.
        efficiency: what follows from compute, energy, carbon and time together.
        duration_s: monotonic time (s).
        coverage: share of the time that samples covered, of the channel with the least.
        settled: every counter has moved past the span's end.
        phases: by name, in the order of their time.
        channels: by identity, in alphabetical order.
        impacts: hardware's making, water and waste, which are in none of the figures above.
    """

    flops: Quantity
    energy_j: Quantity
    node_energy_j: Quantity
    facility_energy_j: Quantity
    carbon_g: Quantity
    carbon: tuple[CarbonFigure, ...]
    overhead_j: Quantity
    efficiency: Efficiency
    duration_s: float
    coverage: float
    settled: bool
    phases: Mapping[str, PhaseFigure] = field(default_factory=dict)
    channels: tuple[ChannelFigure, ...] = ()
    impacts: Impacts = field(default_factory=Impacts)

    def to_json(self) -> dict[str, Any]:
        """Plain types, as `joulegram report --json` prints them."""
        return {
            "flops": self.flops.to_json(),
            "energy_j": self.energy_j.to_json(),
            "node_energy_j": self.node_energy_j.to_json(),
            "facility_energy_j": self.facility_energy_j.to_json(),
            "carbon_g": self.carbon_g.to_json(),
            "carbon": [figure.to_json() for figure in self.carbon],
            "overhead_j": self.overhead_j.to_json(),
            "efficiency": self.efficiency.to_json(),
            "duration_s": self.duration_s,
            "coverage": self.coverage,
            "settled": self.settled,
            "phases": [phase.to_json() for phase in self.phases.values()],
            "channels": [channel.to_json() for channel in self.channels],
            **self.impacts.to_json(),
        }


def nothing(how: str) -> Footprint:
    """The footprint of what was not recorded, with the reason."""
    absent = Quantity.absent(how)
    return Footprint(absent, absent, absent, absent, absent, (), absent, Efficiency(*[absent] * 5), 0.0, 0.0, False)


@dataclass(frozen=True, slots=True)
class Hours:
    """How well the intensity of a span's time is known, on the basis that its carbon is on (s).

    Args:
        settled_s: measured, and not corrected any more.
        provisional_s: measured and perhaps to be corrected, forecast or estimated for its time.
        yearly_s: a yearly mean.
        unknown_s: not at all.
        sources: who published what is in force for a time, the longest in force first.
    """

    settled_s: float = 0.0
    provisional_s: float = 0.0
    yearly_s: float = 0.0
    unknown_s: float = 0.0
    sources: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain types."""
        return {
            "settled_s": self.settled_s,
            "provisional_s": self.provisional_s,
            "yearly_s": self.yearly_s,
            "unknown_s": self.unknown_s,
            "sources": list(self.sources),
        }


class Pricer:
    """Footprints of spans of one trace under one price book.

    What was used while steps were being counted is kept apart from all figures but its own: it is joulegram's doing.

    Args:
        trace: what was recorded, on one clock; times below are monotonic nanoseconds of that clock.
        book: PUE, intensity and basis.
        peaks: the user's own peak rates (FLOP/s) by device and data type.
        impacts: the user's own factors of hardware and site.
    """

    def __init__(
        self,
        trace: Trace,
        book: PriceBook,
        peaks: Mapping[str, Mapping[str, float]] | None = None,
        impacts: Own | None = None,
    ) -> None:
        self.trace = trace
        self.book = book
        self.platform = Platform(trace, book.zone, impacts)
        self._peaks = peaks or {}

    def footprint(self, start_ns: int, end_ns: int) -> Footprint:
        """What a span cost."""
        figures = {
            name: replace(_channel_figure(channel, self._counted[name], start_ns, end_ns), inside=self._inside[name])
            for name, channel in self.trace.channels.items()
        }
        added = {figure.id: figure for figure in self._added(figures, start_ns, end_ns)}
        energy = total(((name, f.energy_j) for name, f in added.items()), "no meter found a channel to count")
        carbon = tuple(self._carbon(tariff, energy, start_ns, end_ns) for tariff in self._tariffs.values())
        flops = compute.flops(self.trace, start_ns, end_ns)
        facility = _times_pue(energy, self.book.pue)
        grams, phases = self._chosen(carbon, start_ns, end_ns), self._phases(added, start_ns, end_ns)
        return Footprint(
            flops=flops,
            energy_j=energy,
            node_energy_j=total(
                ((name, f.node_energy_j) for name, f in added.items()), "no meter found a channel to count"
            ),
            facility_energy_j=facility,
            carbon_g=grams,
            carbon=carbon,
            overhead_j=self._overhead(start_ns, end_ns),
            efficiency=self._efficiency(flops, energy, grams, phases, start_ns, end_ns),
            duration_s=seconds(start_ns, end_ns),
            coverage=self._coverage(start_ns, end_ns),
            settled=self._settled(end_ns),
            phases=phases,
            channels=tuple(figures.values()),
            impacts=self.platform.impacts(start_ns, end_ns, energy, facility),
        )

    def hours(self, start_ns: int, end_ns: int) -> Hours:
        """How well the intensity of a span's time is known."""
        tariff = self._tariffs.get(self._chosen_key)
        if tariff is None:
            return Hours(unknown_s=seconds(start_ns, end_ns))
        known_s = {"settled": 0.0, "provisional": 0.0, "yearly": 0.0, "unknown": 0.0}
        sources: dict[str, float] = {}
        for point, lasted_s in tariff.stays(start_ns, end_ns):
            state = "unknown" if point is None else "yearly" if point.start_s is None else "provisional"
            known_s["settled" if point is not None and point.settled else state] += lasted_s
            if point is not None and point.start_s is not None:
                sources[point.source] = sources.get(point.source, 0.0) + lasted_s
        names = tuple(sorted(sources, key=lambda name: -sources[name]))
        return Hours(known_s["settled"], known_s["provisional"], known_s["yearly"], known_s["unknown"], names)

    def grams_per_j(self, start_ns: int, end_ns: int) -> Quantity:
        """What a joule of IT energy of a time emits (g/J), PUE included, on the basis that carbon is on.

        The mean over the run's own joules of that time; over the time itself where it used none.
        """
        tariff = self._tariffs.get(self._chosen_key)
        if tariff is None:
            return self._unpriceable
        used_j = _over(self.energy, start_ns, end_ns)
        if used_j > 0:
            priced = tariff.curves
        else:
            used_j, priced = 1.0, tariff.over(Curve.of([start_ns, end_ns], [0.0, 1.0]))
        joules = compute.exactly(used_j)
        grams = CarbonFigure(*tariff.key, tariff.grams(priced, joules, self.book.pue, start_ns, end_ns))
        return compute.ratio(self._chosen((grams,), start_ns, end_ns), joules, grams.carbon_g.how)

    def used(self, start_ns: int, end_ns: int) -> list[IntensityPoint]:
        """All points in force at some time of a span, on any basis."""
        return [point for tariff in self._tariffs.values() for point in tariff.used(start_ns, end_ns)]

    # -- what is added --------------------------------------------------------------------------------------------

    @cached_property
    def _parts(self) -> dict[str, ChannelTrace]:
        """The channels, no joule in two of them."""
        return disjoint(self.trace.channels)

    @cached_property
    def _inside(self) -> dict[str, str | None]:
        """The channel, if any, whose joules contain those of each."""
        channels = self.trace.channels
        return {
            name: next((whole.id for whole in wholes(part, channels.values())), None) for name, part in channels.items()
        }

    @cached_property
    def _counted(self) -> dict[str, Curve]:
        return {name: counted(channel) for name, channel in self.trace.channels.items()}

    @cached_property
    def _counted_once(self) -> dict[str, Curve]:
        return {
            name: self._counted[name] if part is self.trace.channels[name] else counted(part)
            for name, part in self._parts.items()
        }

    def _overhead(self, start_ns: int, end_ns: int) -> Quantity:
        joules = sum(_over(part.apart, start_ns, end_ns) for part in self._parts.values())
        if joules <= 0:
            return NOT_COUNTING
        return Quantity(joules, 0.0, None, "modelled", "energy at the time of counting, for as long as it took")

    def _added(self, figures: Mapping[str, ChannelFigure], start_ns: int, end_ns: int) -> Iterator[ChannelFigure]:
        for name, part in self._parts.items():
            if part is self.trace.channels[name]:
                yield figures[name]
            elif self._inside[name] is None or _seconds_in(part.asked_s, start_ns, end_ns) > 0:
                yield _channel_figure(part, self._counted_once[name], start_ns, end_ns)

    # -- compute --------------------------------------------------------------------------------------------------

    def _efficiency(
        self,
        flops: Quantity,
        energy: Quantity,
        grams: Quantity,
        phases: Mapping[str, PhaseFigure],
        start_ns: int,
        end_ns: int,
    ) -> Efficiency:
        counting = self.trace.counting
        counting_s = 0.0 if counting is None else counting.seconds_above(start_ns, end_ns)
        busy_s = compute.exactly(seconds(start_ns, end_ns) - counting_s, "a span without a length")
        per_s = compute.ratio(flops, busy_s, "FLOPs over the time")
        idle = [(name, phase.energy_j) for name, phase in phases.items() if not phase.flops.value]
        why = "steps were counted in every phase" if phases else "the loop told of no phases"
        no_phases = Quantity.absent(flops.how if flops.value is None else why)
        return Efficiency(
            flop_per_s=per_s,
            flop_per_j=compute.ratio(flops, energy, "FLOPs over this run's IT energy"),
            carbon_g_per_pflop=compute.ratio(grams, flops, "grams over FLOPs", compute.PFLOP),
            mfu=compute.utilisation(per_s, self.trace, lambda device, dtype: peak(device, dtype, self._peaks)),
            outside_j=_part_of(energy, total(idle)) if flops.value and idle else no_phases,
        )

    # -- carbon ---------------------------------------------------------------------------------------------------

    @cached_property
    def _tariffs(self) -> dict[_Key, _Tariff]:
        """The book's points, apart by signal, basis and accounting."""
        groups: dict[_Key, list[IntensityPoint]] = {}
        for point in self.book.intensity:
            groups.setdefault((point.signal, point.basis, point.accounting), []).append(point)
        return {key: _Tariff(key, points, self.trace, self.energy) for key, points in groups.items()}

    @property
    def _chosen_key(self) -> _Key:
        return "average", self.book.basis, "location"

    @cached_property
    def _elsewhere(self) -> dict[Basis, Curve]:
        """This run's joules in the hours that only another basis prices, by that basis."""
        chosen, found = self._tariffs.get(self._chosen_key), {}
        for (signal, basis, accounting), tariff in self._tariffs.items():
            if (signal, accounting) == ("average", "location") and basis != self.book.basis:
                found[basis] = weigh(self.energy, tariff.known_without(chosen))
        return found

    @cached_property
    def energy(self) -> Curve:
        """This run's joules, each once (J)."""
        return merge(list(self._counted_once.values()))

    @cached_property
    def _phase_energy(self) -> dict[str, Curve]:
        """This run's joules in each phase; nothing where no recorder knew phases."""
        if not self.trace.phase_s:
            return {}
        channels = self._parts.values()
        names = sorted({phase for channel in channels for phase in channel.phases})
        if names and OTHER not in names:
            names.append(OTHER)
        return {name: merge([in_phase(channel, name) for channel in channels]) for name in names}

    def _carbon(self, tariff: _Tariff, energy: Quantity, start_ns: int, end_ns: int) -> CarbonFigure:
        grams = tariff.grams(tariff.curves, energy, self.book.pue, start_ns, end_ns)
        return CarbonFigure(*tariff.key, grams)

    def _chosen(self, carbon: tuple[CarbonFigure, ...], start_ns: int, end_ns: int) -> Quantity:
        """Grams on the chosen basis; hours that only another basis prices are missing from it, by name."""
        found = (f.carbon_g for f in carbon if (f.signal, f.basis, f.accounting) == self._chosen_key)
        grams = next(found, None) or self._unpriceable
        named = [basis for basis, joules in self._elsewhere.items() if _over(joules, start_ns, end_ns) > 0]
        if not named:
            return grams
        return replace(grams, high=None, missing=(*grams.missing, *(f"hours priced on the {b} basis" for b in named)))

    @property
    def _unpriceable(self) -> Quantity:
        return Quantity.absent(f"no average, location-based, {self.book.basis} intensity is known")

    # -- state, coverage and phases -------------------------------------------------------------------------------

    def _settled(self, end_ns: int) -> bool:
        channels = self.trace.channels.values()
        return bool(channels) and all(c.settled_ns >= min(end_ns, c.asked_s.end_ns) for c in channels)

    def _coverage(self, start_ns: int, end_ns: int) -> float:
        slept_s = self.trace.timeline.slept_s(start_ns, end_ns)
        span_s = seconds(start_ns, end_ns) + slept_s
        if not self.trace.channels or span_s <= 0:
            return 0.0
        blind_s = max(
            _seconds_in(c.asked_s, start_ns, end_ns) - _seconds_in(c.covered_s, start_ns, end_ns)
            for c in self._parts.values()
        )
        return max(0.0, min(1.0, 1 - (blind_s + slept_s) / span_s))

    def _phases(self, added: Mapping[str, ChannelFigure], start_ns: int, end_ns: int) -> dict[str, PhaseFigure]:
        stays = dict(self._stays(start_ns, end_ns))
        parts = {name: self._in_phases(span, stays, start_ns, end_ns) for name, span in added.items()}
        joules = {
            phase: total(((name, part[phase]) for name, part in parts.items()), "no meter found a channel to count")
            for phase in stays
        }
        curves = {**self._phase_energy, **self._moved(joules, start_ns, end_ns)}
        figures = [
            PhaseFigure(
                phase,
                stay.time_s,
                compute.flops(self.trace, start_ns, end_ns, phase),
                joules[phase],
                self._phase_carbon(curves[phase], joules[phase], start_ns, end_ns),
            )
            for phase, stay in stays.items()
        ]
        return {figure.name: figure for figure in sorted(figures, key=lambda f: -f.duration_s)}

    def _moved(self, joules: Mapping[str, Quantity], start_ns: int, end_ns: int) -> dict[str, Curve]:
        """Curves of the phases whose joules are not those of their time: parts of what these used, by time, together.

        They alternate with every step, so they share the hours of the span, and their grams sum to what they did.
        """
        by_time = {phase: _over(self._phase_energy[phase], start_ns, end_ns) for phase in joules}
        least_j = SAME * sum(by_time.values())
        moved = [p for p, figure in joules.items() if figure.value and abs(figure.value - by_time[p]) > least_j]
        together, all_j = merge([self._phase_energy[p] for p in moved]), sum(by_time[p] for p in moved)
        return {phase: together.scaled((joules[phase].value or 0.0) / all_j) for phase in moved}

    def _stays(self, start_ns: int, end_ns: int) -> Iterator[tuple[str, _Stay]]:
        """The phases that the loop was in, or that a device used energy in."""
        for phase, curve in self._phase_energy.items():
            time_s = self._phase_time(phase, start_ns, end_ns)
            if time_s > 0 or _over(curve, start_ns, end_ns) > 0:
                visits = max(1.0, _seconds_in(self.trace.phase_n.get(phase, Curve()), start_ns, end_ns))
                yield phase, _Stay(time_s, visits)

    def _in_phases(
        self, span: ChannelFigure, stays: Mapping[str, _Stay], start_ns: int, end_ns: int
    ) -> dict[str, Quantity]:
        """One channel's joules in each phase: those of long visits, of short ones told apart, or as time has it."""
        energy, trace = span.energy_j, self._parts[span.id]
        if energy.value is None:
            return dict.fromkeys(stays, energy)
        refresh_s, peak_w = self._refresh_s(span), _peak_w(self._counted_once[span.id], start_ns, end_ns)
        values = {phase: _over(in_phase(trace, phase), start_ns, end_ns) for phase in stays}
        figures, blurred_j = {}, 0.0
        for phase, stay in stays.items():
            if stay.mean_s >= 2 * refresh_s:
                slack_j = stay.visits * (2 * refresh_s * peak_w + trace.channel.quantum_j)
                blurred_j += slack_j
                figures[phase] = _long_visits(values[phase], slack_j, energy)
        short = {phase: stay for phase, stay in stays.items() if phase not in figures}
        figures |= {phase: _by_time(values[phase], energy) for phase in short}
        used = {phase: values[phase] for phase in short if values[phase] > 0}
        return figures | _by_least_squares(span, trace, short, used, blurred_j, start_ns, end_ns)

    def _refresh_s(self, span: ChannelFigure) -> float:
        """Within what time (s) a channel's joules are not told apart: its refresh, or that of the share it has."""
        resolution_s = self._parts[span.id].channel.resolution_s
        own_j, node_j = span.energy_j.value, span.node_energy_j.value
        whole = own_j is None or node_j is None or own_j >= node_j * (1 - 1e-9)
        return resolution_s if whole else max(resolution_s, SHARE_PERIOD_S)

    def _phase_time(self, name: str, start_ns: int, end_ns: int) -> float:
        """Seconds in a phase; those in none of the loop's are outside all of them, also before the loop began."""
        spent = {phase: _seconds_in(curve, start_ns, end_ns) for phase, curve in self.trace.phase_s.items()}
        if name != OTHER:
            return spent.get(name, 0.0)
        return max(0.0, seconds(start_ns, end_ns) - sum(s for phase, s in spent.items() if phase != OTHER))

    def _phase_carbon(self, curve: Curve, joules: Quantity, start_ns: int, end_ns: int) -> Quantity:
        tariff = self._tariffs.get(self._chosen_key)
        if tariff is None:
            return self._unpriceable
        return tariff.grams(tariff.over(curve), joules, self.book.pue, start_ns, end_ns)


@dataclass(frozen=True, slots=True)
class _Stay:
    """How long (s), and how often, the loop was in a phase."""

    time_s: float
    visits: float

    @property
    def mean_s(self) -> float:
        """The length of a visit (s)."""
        return self.time_s / self.visits


def _long_visits(value: float, slack_j: float, energy: Quantity) -> Quantity:
    """Joules of a phase whose visits are bounded by the refreshes at their edges.

    Args:
        value: as recorded (J).
        slack_j: what those refreshes may hold (J).
        energy: the channel's, of all phases.
    """
    low_gain, high_gain = _gains(energy)
    low = min(max(0.0, value - slack_j) * low_gain, value)
    high = None if energy.high is None else max(value, min(energy.high, (value + slack_j) * high_gain))
    return Quantity(value, low, high, energy.method, "time within counter intervals", energy.missing)


def _by_time(value: float, energy: Quantity) -> Quantity:
    """Joules of a phase whose visits are too short to say more than that it may have used everything or nothing."""
    high = None if energy.high is None else max(value, energy.high)
    how = "time-proportional within counter intervals"
    return Quantity(value, 0.0, high, weakest([energy.method, "modelled"]), how, energy.missing)


def _by_least_squares(
    span: ChannelFigure,
    trace: ChannelTrace,
    stays: Mapping[str, _Stay],
    values: Mapping[str, float],
    blurred_j: float,
    start_ns: int,
    end_ns: int,
) -> dict[str, Quantity]:
    """Joules of phases of short visits by least squares; nothing where that is no surer than their time.

    Args:
        span: the channel's figures for all phases.
        trace: the channel.
        stays: the phases, and perhaps some that used nothing.
        values: joules of those that used any, by time (J).
        blurred_j: what may belong to other phases, or to these (J).
        start_ns: of the span (ns).
        end_ns: of the span (ns).
    """
    energy, all_j = span.energy_j, sum(values.values())
    found, missed = _around(trace, start_ns, end_ns)
    if not values or not all(phase in found and found[phase].split_j > 0 for phase in values):
        return {}
    if min(stays[phase].mean_s for phase in values) < SHARP * trace.channel.slack_ns / NS_PER_S:
        return {}
    # What was found may be of a little more, or less, than the span: it says by how much time alone is off.
    scale = {phase: value / found[phase].split_j for phase, value in values.items()}
    fitted = {phase: scale[phase] * found[phase].fitted_j for phase in values}
    errors = {phase: scale[phase] * (ERRORS * found[phase].error_j + found[phase].unclear_j) for phase in values}
    if any(fitted[phase] + errors[phase] < -SMALL * all_j for phase in values):
        return {}
    positive_j = {phase: max(0.0, joules) for phase, joules in fitted.items()}
    fitted_j = sum(positive_j.values())
    if fitted_j <= 0:
        return {}
    factor = all_j / fitted_j
    others_j = (span.node_energy_j.value or 0.0) - (energy.value or 0.0)
    unfitted_j = missed * all_j + abs(all_j - sum(found[phase].split_j for phase in values))
    off = {phase: factor * errors[phase] + others_j + blurred_j + unfitted_j for phase in values}
    if max(off.values()) > all_j / 2:
        return {}
    return {phase: _fitted(factor * joules, off[phase], energy) for phase, joules in positive_j.items()}


def _fitted(value: float, off_j: float, energy: Quantity) -> Quantity:
    low_gain, high_gain = _gains(energy)
    low = min(max(0.0, value - off_j) * low_gain, value)
    high = None if energy.high is None else max(value, min(energy.high, (value + off_j) * high_gain))
    how = f"least squares over counter intervals, within {ERRORS} standard errors"
    return Quantity(value, low, high, weakest([energy.method, "modelled"]), how, energy.missing)


def _around(trace: ChannelTrace, start_ns: int, end_ns: int) -> tuple[Mapping[str, PhaseEnergy], float]:
    """What phases used between the kept sums next to a span's edges, and by what part of the span these miss them.

    Nothing where they are far off.
    """
    kept = [(trace.node.start_ns, None), *((moments.time_ns, moments) for moments in trace.moments)]
    since_ns, earlier = min(kept, key=lambda point: abs(point[0] - start_ns))
    until_ns, later = min(kept, key=lambda point: abs(point[0] - end_ns))
    missed = (abs(since_ns - start_ns) + abs(until_ns - end_ns)) / max(1, end_ns - start_ns)
    return ({}, missed) if later is None or missed > FAR else (told_apart(later, earlier), missed)


@dataclass(frozen=True, slots=True, eq=False)
class _Priced:
    """An energy curve under a tariff: grams at the best, least and greatest intensity, and joules without any."""

    best: Curve
    low: Curve
    high: Curve
    unpriced_j: Curve


class _Tariff:
    """The intensity points of one signal, basis and accounting, as step functions of a trace's time."""

    def __init__(self, key: _Key, points: list[IntensityPoint], trace: Trace, energy: Curve) -> None:
        self.key = key
        self._points = points
        self._in_force = trace.timeline.in_force(points)
        self._best, self._low, self._high = (
            self._in_force.taking([getattr(point, bound) for point in points]) for bound in ("g_per_kwh", "low", "high")
        )
        self._energy = energy

    @cached_property
    def curves(self) -> _Priced:
        """The whole run under this tariff."""
        return self.over(self._energy)

    def over(self, energy: Curve) -> _Priced:
        """An energy curve under this tariff."""
        nowhere = Steps(self._best.edges_ns, np.isnan(self._best.values).astype(float))
        return _Priced(
            price(energy, self._best), price(energy, self._low), price(energy, self._high), weigh(energy, nowhere)
        )

    def used(self, start_ns: int, end_ns: int) -> list[IntensityPoint]:
        """The points in force at some time of a span, in their order."""
        places = self._in_force.between(start_ns, end_ns)
        return [self._points[int(place)] for place in np.unique(places[np.isfinite(places)])]

    def stays(self, start_ns: int, end_ns: int) -> Iterator[tuple[IntensityPoint | None, float]]:
        """Which point is in force, None for no point, and for how long (s), one after the other."""
        edges_ns = self._in_force.edges_ns
        inner = edges_ns[(edges_ns > start_ns) & (edges_ns < end_ns)].tolist()
        for since_ns, until_ns in pairwise([start_ns, *inner, max(start_ns, end_ns)]):
            place = float(self._in_force.at([since_ns])[0])
            yield (self._points[int(place)] if np.isfinite(place) else None), seconds(since_ns, until_ns)

    def known_without(self, other: _Tariff | None) -> Steps:
        """1 where this tariff has an intensity and the other has none, else 0."""
        if other is None:
            return Steps(self._best.edges_ns, np.isfinite(self._best.values).astype(float))
        edges_ns = np.union1d(self._best.edges_ns, other._best.edges_ns)
        only_here = np.isfinite(self._best.at(edges_ns)) & np.isnan(other._best.at(edges_ns))
        return Steps(edges_ns, only_here.astype(float))

    def grams(self, priced: _Priced, joules: Quantity, pue: Pue, start_ns: int, end_ns: int) -> Quantity:
        """Grams of a span of a priced curve whose energy, with its bounds, is `joules`."""
        if joules.value is None:
            return Quantity.absent(joules.how, joules.missing)
        signal, basis, _ = self.key
        lows, highs = self._low.between(start_ns, end_ns), self._high.between(start_ns, end_ns)
        unpriced_j = _over(priced.unpriced_j, start_ns, end_ns)
        if np.all(np.isnan(highs)) or (unpriced_j > 0 and unpriced_j >= joules.value * (1 - 1e-9)):
            return Quantity.absent(f"no {signal} {basis} intensity is known for this time", joules.missing)
        points, missing = self.used(start_ns, end_ns), joules.missing
        if np.any(np.isnan(highs)):
            missing = (*missing, f"{unpriced_j:.3g} J in hours without {signal} {basis} intensity")
        value = _over(priced.best, start_ns, end_ns) * pue.value
        # When the joules between a bound and the value were, or were not, used is not known: at worst in the dirtiest
        # hour of the span.
        too_many_j = joules.value - (joules.low or 0.0)
        low_g = _over(priced.low, start_ns, end_ns) - too_many_j * float(np.nanmax(lows)) / J_PER_KWH
        high_g = None
        if joules.high is not None and not missing:
            too_few_j = joules.high - joules.value
            high_g = _over(priced.high, start_ns, end_ns) + too_few_j * float(np.nanmax(highs)) / J_PER_KWH
        return Quantity(
            value,
            min(max(low_g, 0.0) * pue.low, value),
            None if high_g is None else max(high_g * pue.high, value),
            weakest([joules.method, *(_METHOD_OF_KIND[point.kind] for point in points), *_default_pue(pue)]),
            f"{_described(points)}; PUE {pue.value:g} ({pue.source})",
            missing,
        )


def _described(points: list[IntensityPoint]) -> str:
    """Intensities in words: the hours of one source are one phrase."""
    groups: dict[tuple[str, str], list[float]] = {}
    for point in points:
        note = f", {point.note}" if point.note else ""
        source = f"({point.kind}, {point.basis}; {point.source}{note})"
        groups.setdefault((point.zone, source), []).append(point.g_per_kwh)
    return "; ".join(f"{zone} {_range(values)} gCO2e/kWh {source}" for (zone, source), values in groups.items())


def _range(values: list[float]) -> str:
    least, greatest = min(values), max(values)
    return f"{least:g}" if least == greatest else f"{least:g} to {greatest:g}"


def _channel_figure(trace: ChannelTrace, run_j: Curve, start_ns: int, end_ns: int) -> ChannelFigure:
    """One channel's share and whole, with bounds from timing (its curve's knots) and gain (its device's accuracy)."""
    channel = trace.channel
    if not len(trace.node):
        absent = Quantity.absent("no sample yet")
        return ChannelFigure(trace.id, channel.kind, channel.method, absent, absent)
    asked_s = _seconds_in(trace.asked_s, start_ns, end_ns)
    hidden_s = max(0.0, asked_s - _seconds_in(trace.known_s, start_ns, end_ns))
    hidden_j = 0.0 if hidden_s <= 1e-9 else None if channel.max_w is None else channel.max_w * hidden_s
    missing = tuple(_failures(trace, start_ns, end_ns))
    node_j = _over(trace.node, start_ns, end_ns)
    if missing and node_j <= 0 and 0 < asked_s <= hidden_s + 1e-9:  # none of it was counted, which is not zero
        absent = Quantity.absent("it failed for all of this time", missing)
        return ChannelFigure(trace.id, channel.kind, channel.method, absent, absent)
    if hidden_j is None and not missing:
        missing = (f"{trace.id}: not read for {hidden_s:.3g} s",)
    node = _bounded(node_j, trace.node, trace, start_ns, end_ns, hidden_j, asked_s, missing, channel.how)
    how = f"{channel.how}; {RULE}" if channel.share == "cpu" else channel.how
    value, apart_j = _over(run_j, start_ns, end_ns), _over(trace.apart, start_ns, end_ns)
    run = _bounded(value, trace.run, trace, start_ns, end_ns, hidden_j, asked_s, missing, how, apart_j)
    return ChannelFigure(trace.id, channel.kind, channel.method, _within_node(run, node, trace, apart_j), node)


def _bounded(
    value: float,
    sampled: Curve,
    trace: ChannelTrace,
    start_ns: int,
    end_ns: int,
    hidden_j: float | None,
    asked_s: float,
    missing: tuple[str, ...],
    how: str,
    apart_j: float = 0.0,
) -> Quantity:
    channel = trace.channel
    least, most = sampled.bounds([start_ns], [end_ns], channel.slack_ns, channel.quantum_j)
    high: float | None = None
    if hidden_j is not None and not missing:
        high = float(most[0]) * channel.gain_high + hidden_j
        if channel.max_w is not None:
            high = min(high, channel.max_w * asked_s)
        high = max(high, value)
    return Quantity(
        value, min(max(0.0, float(least[0]) - apart_j) * channel.gain_low, value), high, channel.method, how, missing
    )


def _part_of(whole: Quantity, part: Quantity) -> Quantity:
    """A part's bounds: never above the whole's, which a sum of parts that are each doubtful would pass."""
    if part.value is None or part.high is None or whole.high is None:
        return part
    return replace(part, high=max(part.value, min(part.high, whole.high)))


def _within_node(run: Quantity, node: Quantity, trace: ChannelTrace, apart_j: float) -> Quantity:
    """A share's bounds: never above the node's, and up to it where the idle power that splits it is unknown.

    Of a device that others used as well a run may have drawn next to nothing: what tells them apart is for how long
    each of them kept it busy, and one may draw little meanwhile and another much.
    """
    if run.value is None or trace.channel.share == "exclusive":
        return run
    alone = run.value + apart_j >= (node.value or 0.0) * (1 - 1e-9)
    if trace.channel.share == "undivided" or (trace.channel.share == "process" and not alone):
        run = replace(run, low=0.0)
    if run.value is None or run.high is None or node.high is None:
        return run
    high = node.high if trace.channel.idle_w is None else min(run.high, node.high)
    return replace(run, high=max(high, run.value))


def _failures(trace: ChannelTrace, start_ns: int, end_ns: int) -> list[str]:
    return [
        f"{trace.id}: {gap.why} for {seconds(max(gap.start_ns, start_ns), min(gap.end_ns, end_ns)):.3g} s"
        for gap in trace.gaps
        if gap.why != "start" and not gap.energy_known and gap.start_ns < end_ns and gap.end_ns > start_ns
    ]


def _times_pue(energy: Quantity, pue: Pue) -> Quantity:
    if energy.value is None:
        return energy
    return Quantity(
        energy.value * pue.value,
        None if energy.low is None else energy.low * pue.low,
        None if energy.high is None else energy.high * pue.high,
        weakest([energy.method, *_default_pue(pue)]),
        f"IT energy × PUE {pue.value:g} ({pue.source})",
        energy.missing,
    )


def _default_pue(pue: Pue) -> list[Method]:
    return ["estimated"] if pue.method != "measured" else []


def _gains(energy: Quantity) -> tuple[float, float]:
    """Bounds of a figure as factors of its value."""
    if not energy.value:
        return 1.0, 1.0
    low = 1.0 if energy.low is None else energy.low / energy.value
    return low, 1.0 if energy.high is None else energy.high / energy.value


def _over(curve: Curve, start_ns: int, end_ns: int) -> float:
    return float(curve.over([start_ns], [end_ns])[0])


_seconds_in = _over


def _peak_w(energy: Curve, start_ns: int, end_ns: int) -> float:
    """Greatest power on a curve between two moments (W)."""
    part = energy.within(start_ns, end_ns)
    steps_ns = np.diff(part.times_ns)
    rising = steps_ns > 0
    return float(np.max(np.diff(part.values)[rising] / steps_ns[rising], initial=0.0)) * NS_PER_S
