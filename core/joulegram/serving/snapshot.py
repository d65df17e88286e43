"""What serving has cost so far, as plain data that every process can read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from joulegram.quantities import Method

BUCKETS_J = tuple(mantissa * 10.0**power for power in range(-3, 5) for mantissa in (1.0, 2.5, 5.0))
"""Upper edges of the histogram of requests' energy (J); one more bucket holds what is above."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Energy by what it was used for (J).

    Args:
        active: shared by the requests in flight, by weight.
        idle_shared: what the device draws with nothing running, while requests were in flight; shared alike.
    """

    active: float = 0.0
    idle_shared: float = 0.0

    @property
    def total(self) -> float:
        """Both together."""
        return self.active + self.idle_shared


@dataclass(frozen=True, slots=True)
class ChannelTotals:
    """One channel: what its counter said, and where that went.

    `meter_j` is `unattributed_j`, `pending_j` and the parts of all routes together.

    Args:
        id: ``HOST/kind:device``.
        kind: ``gpu``, ``cpu``, …
        method: ``measured``, or ``modelled``.
        meter_j: what the counter has counted since serving began here (J); all of the device.
        pending_j: what is owed by requests in flight, and what waits to be settled (J).
        unattributed_j: nobody in flight, others' use of the device, dropped requests (J).
        idle: in words, where the idle power comes from, or that it is unknown: `idle_shared` is then 0, not measured.
        counted: whether totals over channels add it: not if another channel contains it.
    """

    id: str
    kind: str
    method: str
    meter_j: float
    pending_j: float
    unattributed_j: float
    idle: str
    counted: bool


@dataclass(frozen=True, slots=True)
class Exemplar:
    """A request that fell into a bucket of the histogram, the newest: its id, its joules, when (s since 1970)."""

    request: str
    energy_j: float
    time_s: float


@dataclass(frozen=True, slots=True)
class RouteTotals:
    """One route of one service.

    Args:
        service: the service's name.
        route: the route's template; ``other`` for those beyond the most that are kept. Never to be trusted: what a
            client sent may be in it, so a renderer has to escape it.
        requests: that ended.
        failed: of these, with a status of 500 or more.
        tokens: as told by the application.
        flops: the same.
        items: the same.
        energy_j: by channel, of requests that ended and are settled (J).
        carbon_g: of both parts, PUE included, priced by the hour in which it was charged (g); None where no price or no
            energy is known.
        buckets: how many settled requests fell into each of `BUCKETS_J`, and above; not cumulative.
        sum_j: energy of those (J), channels that others contain left out.
        exemplars: by number of the bucket.

    Attributes:
        edges_j: upper edges of all buckets but the last.
    """

    edges_j: ClassVar[tuple[float, ...]] = BUCKETS_J

    service: str
    route: str
    requests: int
    failed: int
    tokens: float
    flops: float
    items: float
    energy_j: Mapping[str, Parts]
    carbon_g: Parts | None
    buckets: tuple[int, ...]
    sum_j: float
    exemplars: Mapping[int, Exemplar] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All of it at one moment; every figure in it is of the same moment.

    Args:
        time_s: when it was made (s since 1970).
        run: id of the run in the ledger; empty before it is known.
        host: the host's name.
        owner_pid: the process that counts for all.
        workers: processes that serve.
        in_flight: requests that have begun and not ended.
        channels: by id.
        routes: every route that a request ended on.
        unattributed_g: carbon of what is unattributed (g); None where no price, or no channel, is known.
        lost: requests that were not counted as there was no room for their beginning; their energy is unattributed.
        late: events that came after their time had been settled.
        dropped: requests whose process ended before they did.
        zone: the grid zone that carbon is priced for; None for unknown.
        g_per_kwh: carbon intensity of now; None before it is known.
    """

    time_s: float
    run: str
    host: str
    owner_pid: int
    workers: int
    in_flight: int
    channels: Mapping[str, ChannelTotals]
    routes: tuple[RouteTotals, ...]
    unattributed_g: float | None
    lost: int
    late: int
    dropped: int
    zone: str | None = None
    g_per_kwh: float | None = None

    def energy_j(self, channel: str) -> float:
        """What has been charged or is known to be nobody's (J): with what is pending, the meter's joules."""
        charged = (route.energy_j.get(channel, Parts()).total for route in self.routes)
        return self.channels[channel].unattributed_j + sum(charged)


@dataclass(frozen=True, slots=True)
class Result:
    """What one request cost.

    Args:
        id: the request's.
        service: the service's name.
        route: its route.
        duration_s: from its beginning to its end, or to now.
        energy_j: channels that others contain left out (J), and those that were not read at all during the request;
            None where nothing is known.
        low_j: its lower bound, by what the meters may be off as a whole; None while provisional.
        high_j: its upper bound, in the same way; None too where a channel was not read during all of the request.
        method: ``measured``, or ``modelled`` where a meter is a model or does not refresh twice while the request lasts
            (energy is spread evenly between two readings); ``estimated`` while provisional, ``missing`` for none.
        parts_j: by channel (J); empty while provisional.
        carbon_g: with PUE (g); None where no price or no energy is known.
        tokens: as told by the application.
        flops: the same.
        items: the same.
        status: as its protocol has it; 0 for none.
        settled: every counter has moved past its end. Before that, figures are provisional: estimated from what a
            request of its weight was charged in the seconds before.
        how: in words, how it was worked out.
    """

    id: str
    service: str
    route: str
    duration_s: float
    energy_j: float | None
    low_j: float | None
    high_j: float | None
    method: Method
    parts_j: Mapping[str, Parts]
    carbon_g: float | None
    tokens: float
    flops: float
    items: float
    status: int
    settled: bool
    how: str


SETTLED = "shared by weight with the requests in flight at the same time, from settled counters"
PROVISIONAL = "provisional: its weight and time, at what requests were charged in the seconds before"
UNKNOWN = "provisional: no counter has been read yet"
