"""What it costs to tell of costs: a scrape of many routes, and OpenTelemetry for each request."""

from __future__ import annotations

import time
from collections.abc import Iterator

from measure import Figure, seconds_of
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

import joulegram
from joulegram.records import Channel
from joulegram.serving.accounts import Accounts
from joulegram.units import NS_PER_S
from joulegram_serve import FootprintTelemetry
from joulegram_serve.metrics import exposition

ROUTES = 200
CHANNELS = 4
REQUESTS = 1_000
REPEATS = 15


def measure(full: bool) -> Iterator[Figure]:
    service = Kept(_snapshot())
    note = f"{ROUTES} routes, {CHANNELS} channels, exemplars"
    for text, accept in (("Prometheus", ""), ("OpenMetrics", "application/openmetrics-text; version=1.0.0")):
        times_ms = [seconds_of(lambda: exposition(service, accept, "gzip")) * 1e3 for _ in range(REPEATS)]  # type: ignore[arg-type]  # noqa: B023
        yield Figure(f"a scrape, as {text}", times_ms, "ms", note=note)
    yield from _telemetry()


class Kept:
    """A service whose snapshot is this one."""

    def __init__(self, snapshot: joulegram.Snapshot) -> None:
        self._snapshot = snapshot

    def start(self) -> None:
        pass

    def snapshot(self) -> joulegram.Snapshot:
        return self._snapshot


def _snapshot() -> joulegram.Snapshot:
    """A host that has served: a request of each size on every route."""
    books = Accounts()
    names = [f"gpu:{number}" for number in range(CHANNELS)]
    for name in names:
        books.open(Channel(name, "gpu", "measured", "a counter"), "", 0)
    for number in range(ROUTES):
        at_ns = number * NS_PER_S
        books.begin(at_ns, number + 1, 1.0)
        for name in names:
            books.use(name, at_ns, at_ns + NS_PER_S, 31.7 + number / 3, 4.1, 0.3)
        books.end(at_ns + NS_PER_S, number + 1, "captions", f"/v1/route/{number}", 200, 12.0)
        books.settle(at_ns + NS_PER_S)
    for row in books.rows.values():
        for bucket, edge_j in enumerate(joulegram.RouteTotals.edges_j):
            books.bucket(row, bucket, edge_j, 1.8e9)
    books.price(1e-4)
    return joulegram.Snapshot(
        1.8e9, "run", "alpha", 1, 1, 0, books.channel_totals("alpha"), books.route_totals("alpha", str),
        books.unattributed_carbon_g, lost=0, late=0, dropped=0, zone="DK-DK1", g_per_kwh=360.0,
    )  # fmt: skip


def _telemetry() -> Iterator[Figure]:
    provider = MeterProvider([InMemoryMetricReader()])
    with joulegram.serve("captions") as service:
        while not ((snapshot := service.snapshot()) and snapshot.channels):
            time.sleep(0.05)
        yield Figure("a request's end, nobody listening", _ends_us(service), "µs")
        telemetry = FootprintTelemetry(service, provider)
        telemetry._is_at_work = lambda: True  # type: ignore[method-assign]  # what its thread does is measured by itself
        yield Figure("a request's end, with FootprintTelemetry", _ends_us(service), "µs", note="no span is recorded")
        time.sleep(2.0)
        waiting = len(telemetry._waiting)
        yield Figure(
            "telling of a settled request", [seconds_of(telemetry.settle) / waiting * 1e6], "µs", note="in its thread"
        )
        telemetry.close()


def _ends_us(service: joulegram.Service) -> list[float]:
    times_us = []
    for _ in range(REPEATS):
        requests = [service.begin("/a") for _ in range(REQUESTS // REPEATS)]
        times_us.append(seconds_of(lambda: [request.end(200) for request in requests]) / len(requests) * 1e6)  # noqa: B023
        time.sleep(0.05)
    return times_us
