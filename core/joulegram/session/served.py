"""What a server's routes cost, as plain data: the part of a run's document that tells of requests.

The ledger holds the joules of each route and hour, by channel. Here they are added up over channels that no other
contains, each hour's joules are priced at that hour's intensity, and totals are laid over requests and tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any

from joulegram.compute import by_request
from joulegram.pricing import ChannelFigure, Footprint
from joulegram.quantities import Quantity, total, weakest
from joulegram.records import ServedHour

HOUR_S = 3600
SHARED = "shared by weight with the requests in flight at the same time"
IDLE = "idle power while any was in flight, shared alike"
NO_COUNTER = "no counter was read for it"
NO_IDLE = Quantity.absent("idle power unknown: active holds it")
UNPRICED = "hours without an intensity"

_Joules = dict[tuple[int, str], float]
"""By hour (s since 1970) and channel."""


@dataclass(slots=True)
class _Sums:
    """What was served, added up."""

    requests: int = 0
    failed: int = 0
    tokens: float = 0.0
    items: float = 0.0
    flops: float = 0.0
    active: _Joules = field(default_factory=dict)
    idle: _Joules = field(default_factory=dict)
    nobody: _Joules = field(default_factory=dict)
    lost: int = 0
    late: int = 0
    dropped: int = 0

    def add(self, hour: ServedHour) -> None:
        """Takes in one route's hour, or what is nobody's in one."""
        self.requests += hour.requests
        self.failed += hour.failed
        self.tokens += hour.tokens
        self.items += hour.items
        self.flops += hour.flops
        self.lost, self.late, self.dropped = (self.lost + hour.lost, self.late + hour.late, self.dropped + hour.dropped)
        for name, (active, idle) in hour.energy_j.items():
            key = hour.hour_s, name
            self.active[key] = self.active.get(key, 0.0) + active
            self.idle[key] = self.idle.get(key, 0.0) + idle
        for name, joules in hour.unattributed_j.items():
            key = hour.hour_s, name
            self.nobody[key] = self.nobody.get(key, 0.0) + joules


@dataclass(frozen=True, slots=True)
class _Worth:
    """What joules of channels and hours come to, with bounds.

    Args:
        channels: what is known of them.
        inside: those that another contains, which are not added up.
        no_idle: those whose idle power is not known: what requests were charged of it is in `active`.
        rates: what a joule emits (g/J), by hour.
        carbon_how: in words, what carbon was priced with.
    """

    channels: Mapping[str, ChannelFigure]
    inside: Collection[str]
    no_idle: Collection[str]
    rates: Mapping[int, Quantity]
    carbon_how: str

    def energy_j(self, joules: _Joules, how: str = "", unknown: Collection[str] = ()) -> Quantity:
        """The sum over channels, each as far off as its meter may be; `unknown` ones are missing from it."""
        by_channel: dict[str, float] = {}
        for (_, name), value in joules.items():
            if name not in self.inside:
                by_channel[name] = by_channel.get(name, 0.0) + value
        added = total(
            ((n, NO_IDLE if n in unknown else self._of(n, value)) for n, value in by_channel.items()), NO_COUNTER
        )
        return replace(added, how="; ".join(filter(None, (added.how, how)))) if added.value is not None else added

    def carbon_g(self, joules: _Joules) -> Quantity:
        """Each hour's joules at what they emitted in that hour."""
        grams: dict[str, list[float]] = {}
        unpriced: dict[str, None] = {}
        used: set[int] = set()
        for (hour_s, name), value in joules.items():
            if name in self.inside:
                continue
            rate = self.rates[hour_s]
            if rate.value is None or rate.missing:
                unpriced[rate.how] = None
            if rate.value is not None:
                used.add(hour_s)
                sums = grams.setdefault(name, [0.0, 0.0, 0.0])
                sums[0] += value * rate.value
                sums[1] += value * (rate.low or 0.0)
                sums[2] += inf if rate.high is None else value * rate.high
        if not grams:
            return Quantity.absent("; ".join(unpriced) or NO_COUNTER)
        added = total((name, self._between(name, *sums)) for name, sums in grams.items())
        if added.value is None:
            return added
        method = weakest([added.method, *(self.rates[hour_s].method for hour_s in used)])
        if not unpriced:
            return replace(added, method=method, how=self.carbon_how)
        return replace(added, high=None, method=method, how=self.carbon_how, missing=(*added.missing, UNPRICED))

    def _of(self, name: str, value: float) -> Quantity:
        return self._between(name, value, value, value)

    def _between(self, name: str, value: float, low: float, high: float) -> Quantity:
        """A figure of a channel: its meter may be off by as much as it may over all of the run."""
        figure = self.channels.get(name)
        if figure is None:
            return Quantity.absent("nothing is known of its meter")
        node = figure.node_energy_j
        low = low * node.low / node.value if node.value and node.low is not None else 0.0
        high = high * node.high / node.value if node.value and node.high is not None else inf
        bounded = None if high == inf else max(high, value)
        return Quantity(value, min(low, value), bounded, figure.method, node.how, node.missing)


def served_part(
    hours: Sequence[ServedHour],
    footprint: Footprint,
    grams_per_j: Callable[[int], Quantity],
    length_s: Callable[[int], float],
) -> dict[str, Any]:
    """What each route, service and hour of a server cost, and all together.

    Energy is IT energy of whole devices; carbon includes PUE. Requests pay for `active_j` and `idle_shared_j`, together
    `energy_j`; with `unattributed_j`, which is nobody's, that is the `whole_j` that counters told.

    Args:
        hours: what the ledger holds of the run (`StoredRun.served`).
        footprint: the run's, whose channels say how sure their meters are.
        grams_per_j: what a joule of IT energy of the hour that begins then (s since 1970) emits (g/J), PUE included.
        length_s: how much of that hour (s) the run lasted.

    Returns:
        Plain types; see docs/architecture.md.
    """
    told = {name for hour in hours for name in (*hour.energy_j, *hour.unattributed_j)}
    figures = {figure.id: figure for figure in footprint.channels if figure.id in told}
    inside = {name for name, figure in figures.items() if figure.inside in figures}
    rates = {hour_s: grams_per_j(hour_s) for hour_s in sorted({hour.hour_s for hour in hours})}
    how = "; ".join(filter(None, (footprint.carbon_g.how, "each hour’s joules at that hour’s intensity")))
    within = _by([hour for hour in hours if hour.is_within], lambda hour: (hour.service, hour.route or ""))
    hours = [hour for hour in hours if not hour.is_within]
    everything = _added(hours)
    no_idle = _with_joules(everything.active) - _with_joules(everything.idle)
    worth = _Worth(figures, inside, no_idle, rates, how)
    routed = [hour for hour in hours if hour.route is not None]
    routes = _by(routed, lambda hour: (hour.service, hour.route or ""))
    services, each_hour = _by(routed, lambda hour: hour.service), _by(hours, lambda hour: hour.hour_s)
    return {
        "channels": [_channel_part(figure, everything, worth) for figure in figures.values()],
        "total": {**_row(everything, worth), **_nobodys(everything, worth)},
        "services": [{"service": name, **_row(sums, worth)} for name, sums in services.items()],
        "routes": [{"service": name, "route": route, **_row(sums, worth)} for (name, route), sums in routes.items()],
        "within": [
            {
                "service": name,
                "route": route,
                **{count: getattr(sums, count) for count in ("requests", "failed", "items")},
            }
            for (name, route), sums in within.items()
        ],
        "hours": [
            {
                "start_s": hour_s,
                "length_s": length_s(hour_s),
                "g_per_j": rates[hour_s].to_json(),
                **_row(sums, worth),
                **_nobodys(sums, worth),
            }
            for hour_s, sums in sorted(each_hour.items())
        ],
    }


def _with_joules(joules: _Joules) -> set[str]:
    return {name for (_, name), value in joules.items() if value > 0}


def _by(hours: Iterable[ServedHour], key: Callable[[ServedHour], Any]) -> dict[Any, _Sums]:
    sums: dict[Any, _Sums] = {}
    for hour in hours:
        sums.setdefault(key(hour), _Sums()).add(hour)
    return sums


def _added(hours: Iterable[ServedHour]) -> _Sums:
    sums = _Sums()
    for hour in hours:
        sums.add(hour)
    return sums


def _row(sums: _Sums, worth: _Worth) -> dict[str, Any]:
    """What requests were charged, and what that is for each."""
    charged = {key: joules + sums.idle[key] for key, joules in sums.active.items()}
    if not sums.requests:  # counters were read, and nobody was charged
        charged = {**dict.fromkeys(sums.nobody, 0.0), **charged}
    energy, carbon = worth.energy_j(charged, SHARED), worth.carbon_g(charged)
    return {
        "requests": sums.requests,
        "failed": sums.failed,
        "tokens": sums.tokens,
        "items": sums.items,
        "flops": sums.flops,
        "active_j": worth.energy_j(sums.active, SHARED).to_json(),
        "idle_shared_j": worth.energy_j(sums.idle, IDLE, worth.no_idle).to_json(),
        "energy_j": energy.to_json(),
        "carbon_g": carbon.to_json(),
        **_ratios(sums, energy, carbon, ""),
    }


def _nobodys(sums: _Sums, worth: _Worth) -> dict[str, Any]:
    """What was nobody's, and what it all comes to with that."""
    everything = {
        key: sums.active.get(key, 0.0) + sums.idle.get(key, 0.0) + sums.nobody.get(key, 0.0)
        for key in {**sums.active, **sums.nobody}
    }
    energy, carbon = worth.energy_j(everything), worth.carbon_g(everything)
    return {
        "lost": sums.lost,
        "late": sums.late,
        "dropped": sums.dropped,
        "unattributed_j": worth.energy_j(sums.nobody).to_json(),
        "unattributed_g": worth.carbon_g(sums.nobody).to_json(),
        "whole_j": energy.to_json(),
        "whole_g": carbon.to_json(),
        **_ratios(sums, energy, carbon, "whole_"),
    }


def _ratios(sums: _Sums, energy: Quantity, carbon: Quantity, of: str) -> dict[str, Any]:
    found = by_request(energy, carbon, sums.requests, sums.tokens, of)
    return {name: figure.to_json() for name, figure in found.items()}


def _channel_part(figure: ChannelFigure, sums: _Sums, worth: _Worth) -> dict[str, Any]:
    """One channel: what its counter said over the run, and where that went (J)."""
    active_j, idle_j, nobody_j = (
        sum(joules for (_, name), joules in part.items() if name == figure.id)
        for part in (sums.active, sums.idle, sums.nobody)
    )
    metered_j = figure.node_energy_j.value
    return {
        "id": figure.id,
        "kind": figure.kind,
        "method": figure.method,
        "inside": figure.inside if figure.id in worth.inside else None,
        "active_j": active_j,
        "idle_shared_j": None if figure.id in worth.no_idle else idle_j,
        "unattributed_j": nobody_j,
        "metered_j": metered_j,
        "untold_j": None if metered_j is None else metered_j - active_j - idle_j - nobody_j,
    }
