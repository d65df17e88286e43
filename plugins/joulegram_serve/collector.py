"""What serving has cost, as families of metrics for a registry of prometheus_client.

All of them are made of one snapshot, so that they are of one moment: for each channel the meter is the sum of energy
and what is pending. A snapshot is the host's, whichever process is asked; the library's multiprocess mode, which adds
up what processes wrote, has nothing to do with it. What is not known has no sample: missing is not zero.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)  # fmt: skip
from prometheus_client.samples import Exemplar
from prometheus_client.utils import floatToGoString

import joulegram
from joulegram_serve.complaints import Complaints

ROUTE = ("service", "route")
SHARED = ("part", *ROUTE)
NOBODYS = ("unattributed", "", "")
"""Labels of what is no route's. To Prometheus an empty label is none."""
NOTHING = joulegram.Snapshot(
    time_s=0.0, run="", host="", owner_pid=0, workers=0, in_flight=0, channels={}, routes=(), unattributed_g=None,
    lost=0, late=0, dropped=0,
)  # fmt: skip

Rows = Iterable[tuple[Sequence[str], float]]


class FootprintCollector:
    """Collects what serving has cost, for a registry of the user's own.

    One for each registry is enough: it tells of all services of the host that count the same devices.

    Example::

        registry = prometheus_client.CollectorRegistry()
        registry.register(FootprintCollector(service))

    Args:
        service: what `joulegram.serve` returned.
    """

    def __init__(self, service: joulegram.Service) -> None:
        self._service = service
        self._complaints = Complaints("metrics")

    def describe(self) -> Iterable[Metric]:
        """Every metric there may be, without a sample, so that a registry knows the names."""
        return list(_all(NOTHING))

    def collect(self) -> Iterable[Metric]:
        """The metrics that are known by now; none before the first reading. It never raises."""
        try:
            self._service.start()  # a worker may be asked before it has had a request
            snapshot = self._service.snapshot()
            return families(snapshot) if snapshot is not None else []
        except Exception as problem:  # other collectors of this registry have to be heard
            self._complaints.say_once(problem)
            return []


def families(snapshot: joulegram.Snapshot) -> list[Metric]:
    """A snapshot as metrics; those without a sample are left out."""
    return [family for family in _all(snapshot) if family.samples]


def _all(snapshot: joulegram.Snapshot) -> Iterator[Metric]:
    channels = snapshot.channels.values()
    yield _filled(
        CounterMetricFamily(
            "joulegram_meter_joules", "What the channel's counter has counted since serving began.", labels=["channel"]
        ),
        (((channel.id,), channel.meter_j) for channel in channels),
    )
    yield _filled(
        CounterMetricFamily(
            "joulegram_energy_joules",
            "Where it went: active and idle_shared to requests that ended, unattributed to nobody.",
            labels=["channel", *SHARED],
        ),
        _energy(snapshot),
    )
    yield _filled(
        GaugeMetricFamily(
            "joulegram_pending_joules", "Owed by requests in flight, or not settled yet.", labels=["channel"]
        ),
        (((channel.id,), channel.pending_j) for channel in channels),
    )
    yield _channels(channels)
    yield _filled(
        CounterMetricFamily(
            "joulegram_carbon_grams", "gCO2e of the channels that are counted, PUE included.", labels=SHARED
        ),
        _carbon(snapshot),
    )
    yield from _requests(snapshot.routes)
    yield from _state(snapshot)


def _energy(snapshot: joulegram.Snapshot) -> Rows:
    for channel in snapshot.channels.values():
        for row in snapshot.routes:
            if channel.id in row.energy_j:
                for part, energy_j in _parts(row.energy_j[channel.id]):
                    yield (channel.id, part, *_route(row)), energy_j
        yield (channel.id, *NOBODYS), channel.unattributed_j


def _carbon(snapshot: joulegram.Snapshot) -> Rows:
    for row in snapshot.routes:
        if row.carbon_g is not None:
            for part, carbon_g in _parts(row.carbon_g):
                yield (part, *_route(row)), carbon_g
    if snapshot.unattributed_g is not None:
        yield NOBODYS, snapshot.unattributed_g


def _parts(parts: joulegram.Parts) -> Iterator[tuple[str, float]]:
    yield "active", parts.active
    if parts.idle_shared:  # where the idle power is unknown, so is this
        yield "idle_shared", parts.idle_shared


def _channels(channels: Iterable[joulegram.ChannelTotals]) -> Metric:
    """How each is counted, and whether sums over channels add it: not what another channel contains."""
    family = InfoMetricFamily("joulegram_channel", "How a channel is counted.", labels=["channel"])
    for channel in channels:
        counted = "yes" if channel.counted else "no"
        told = {"kind": channel.kind, "method": channel.method, "idle": channel.idle, "counted": counted}
        family.add_metric([channel.id], {name: _label(text) for name, text in told.items()})
    return family


def _requests(routes: Sequence[joulegram.RouteTotals]) -> Iterator[Metric]:
    def counter(name: str, text: str, values: Iterable[tuple[joulegram.RouteTotals, float]]) -> Metric:
        return _filled(CounterMetricFamily(name, text, labels=ROUTE), ((_route(row), value) for row, value in values))

    yield counter("joulegram_requests", "Requests that ended.", ((row, row.requests) for row in routes))
    yield counter(
        "joulegram_requests_failed", "Of these, with a status of 500 or more.", ((row, row.failed) for row in routes)
    )
    for name, text, told in (
        ("joulegram_tokens", "Tokens, as the application told.", ((row, row.tokens) for row in routes)),
        ("joulegram_items", "Items, as the application told.", ((row, row.items) for row in routes)),
        ("joulegram_flops", "Operations, as the application told.", ((row, row.flops) for row in routes)),
    ):
        yield counter(name, text, ((row, value) for row, value in told if value))
    histogram = HistogramMetricFamily(
        "joulegram_request_energy_joules", "Energy of each settled request, all counted channels.", labels=ROUTE
    )
    for row in routes:
        if row.energy_j:
            histogram.add_metric(_route(row), _buckets(row), row.sum_j)
    yield histogram


def _buckets(row: joulegram.RouteTotals) -> list[tuple[str, float] | tuple[str, float, Exemplar]]:
    edges_j = map(floatToGoString, (*row.edges_j, math.inf))
    buckets: list[tuple[str, float] | tuple[str, float, Exemplar]] = []
    for number, (edge_j, count) in enumerate(zip(edges_j, accumulate(row.buckets), strict=True)):
        newest = row.exemplars.get(number)
        if newest is None:
            buckets.append((edge_j, count))
        else:
            buckets.append((edge_j, count, Exemplar({"request_id": newest.request}, newest.energy_j, newest.time_s)))
    return buckets


def _state(snapshot: joulegram.Snapshot) -> Iterator[Metric]:
    """What the figures are of, and what is amiss with them."""
    info = {"host": _label(snapshot.host), "run": _label(snapshot.run)}
    yield InfoMetricFamily("joulegram_serving", "The host, and its run in the ledger.", value=info)
    for name, text, value in (
        ("joulegram_snapshot_timestamp_seconds", "When these figures were put together.", snapshot.time_s),
        ("joulegram_requests_in_flight", "Requests that have begun and not ended.", snapshot.in_flight),
        ("joulegram_workers", "Processes of this host that serve.", snapshot.workers),
    ):
        yield GaugeMetricFamily(name, text, value=value)
    for name, text, count in (
        ("joulegram_requests_lost", "Requests that no room was left to count.", snapshot.lost),
        ("joulegram_requests_dropped", "Requests whose process ended before they did.", snapshot.dropped),
        ("joulegram_events_late", "Events that came after their time had been settled.", snapshot.late),
    ):
        yield CounterMetricFamily(name, text, value=count)
    intensity = GaugeMetricFamily(
        "joulegram_carbon_intensity_grams_per_kwh", "gCO2e/kWh that carbon is priced with now.", labels=["zone"]
    )
    if snapshot.g_per_kwh is not None:
        intensity.add_metric([_label(snapshot.zone or "unknown")], snapshot.g_per_kwh)
    yield intensity


def _filled(family: CounterMetricFamily | GaugeMetricFamily, rows: Rows) -> Metric:
    for labels, value in rows:
        family.add_metric(labels, value)
    return family


def _route(row: joulegram.RouteTotals) -> tuple[str, str]:
    return _label(row.service), _label(row.route)


def _label(text: str) -> str:
    """The library escapes what a label may hold; a NUL would end Prometheus's reading of the whole page."""
    return text.replace("\0", "\u2400") if "\0" in text else text
