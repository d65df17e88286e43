"""What requests and devices cost, for OpenTelemetry: metrics through the user's MeterProvider, and the current span.

A request's span ends with it, about a second before its cost is settled: its attributes are provisional, and say so.
The metrics wait for what is settled.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import joulegram
from joulegram_serve.complaints import Complaints
from joulegram_serve.devices import Devices, observe

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.metrics import MeterProvider

EDGES_G = tuple(mantissa * 10.0**power for power in range(-7, 1) for mantissa in (1.0, 2.5, 5.0))
"""Upper edges of the histogram of requests' carbon (g): those of energy, at some 400 g/kWh."""
PERIOD_S = 0.5
PATIENCE_NS = 20_000_000_000
"""A request that is not settled by then (its meter is away) is told of as it is estimated, and marked so."""
MOST_WAITING = 1 << 16


class FootprintTelemetry:
    """Tells OpenTelemetry of a service, from now on. It sets no provider, and does nothing where none is set.

    ``joulegram.request.energy`` (J) and ``joulegram.request.carbon`` (g) are histograms of this process's requests.
    ``hw.energy`` (J) and ``hw.power`` (W) are of devices, ``hw.host.energy`` and ``hw.host.power`` of a whole machine;
    of all processes that serve on a host, the one that reads the counters tells of them.

    Example::

        service = joulegram.serve("captions", zone="DK-DK1")
        app.add_middleware(FootprintMiddleware, service=service)
        FootprintTelemetry(service)

    Args:
        service: what `joulegram.serve` returned.
        meter_provider: the global one by default, even if it is set later.
        now_ns: monotonic time (ns).

    Raises:
        MissingExtra: OpenTelemetry's API is not installed.
    """

    def __init__(
        self,
        service: joulegram.Service,
        meter_provider: MeterProvider | None = None,
        *,
        now_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        try:
            from opentelemetry import context, metrics, trace
        except ModuleNotFoundError:
            raise joulegram.MissingExtra(
                'FootprintTelemetry needs the API of OpenTelemetry: pip install "joulegram[opentelemetry]"'
            ) from None
        service.start()
        self._now_ns = now_ns
        self._current_span, self._current_context = trace.get_current_span, context.get_current
        self._waiting: deque[tuple[joulegram.Request, Context]] = deque(maxlen=MOST_WAITING)
        self._complaints = Complaints("costs to OpenTelemetry")
        self._pid = os.getpid()
        self._thread: threading.Thread | None = None
        self._starting, self._stopped = threading.Lock(), threading.Event()
        meter = metrics.get_meter("joulegram", joulegram.__version__, meter_provider)
        self._energy = meter.create_histogram(
            "joulegram.request.energy",
            "J",
            "Energy of each request.",
            explicit_bucket_boundaries_advisory=joulegram.RouteTotals.edges_j,
        )
        self._carbon = meter.create_histogram(
            "joulegram.request.carbon",
            "g",
            "gCO2e of each request.",
            explicit_bucket_boundaries_advisory=EDGES_G,
        )
        self._devices = Devices(service)
        observe(meter, self._devices)
        self._leave = service.listen(self._ended)

    def settle(self) -> None:
        """Tells of requests that are settled by now; a thread does it twice a second."""
        while self._waiting:
            request, context = self._waiting[0]
            cost = request.footprint()
            ended_ns = request.end_ns or 0
            if not cost.settled and self._now_ns() - ended_ns < PATIENCE_NS:
                return  # those behind it ended later
            self._waiting.popleft()
            attributes = {
                "joulegram.service": cost.service,
                "joulegram.route": cost.route,
                "joulegram.method": cost.method,
            }
            if cost.energy_j is not None:
                self._energy.record(cost.energy_j, attributes, context)
            if cost.carbon_g is not None:
                self._carbon.record(cost.carbon_g, attributes, context)

    def close(self) -> None:
        """Tells of what is settled, and then nothing more. Again is harmless."""
        self._leave()
        self._stopped.set()
        if self._thread is not None:  # in a fork's child it counts as over
            self._thread.join(timeout=2 * PERIOD_S)
        self._settle()
        self._devices.close()

    def _ended(self, request: joulegram.Request) -> None:
        """In the thread and the context that a request ends in."""
        span = self._current_span()
        if span.is_recording():
            span.set_attributes(span_attributes(request.footprint()))
        if not request.id:
            return
        if self._pid != os.getpid():  # a fork's child: what waited is its parent's to tell
            self._pid = os.getpid()
            self._waiting.clear()
            self._starting = threading.Lock()
        self._waiting.append((request, self._current_context()))
        if not self._is_at_work() and self._starting.acquire(blocking=False):
            try:
                if not self._is_at_work():
                    self._thread = threading.Thread(target=self._work, name="joulegram-telemetry", daemon=True)
                    self._thread.start()
            finally:
                self._starting.release()

    def _is_at_work(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _work(self) -> None:
        while not self._stopped.wait(PERIOD_S):
            self._settle()

    def _settle(self) -> None:
        try:
            self.settle()
        except Exception as problem:
            self._complaints.say_once(problem)


def span_attributes(cost: joulegram.Result) -> Mapping[str, Any]:
    """What a span is told of a request; what is not known is left out."""
    told = {
        "joulegram.request.id": cost.id or None,
        "joulegram.energy_j": cost.energy_j,
        "joulegram.carbon_g": cost.carbon_g,
        "joulegram.method": cost.method,
        "joulegram.settled": cost.settled,
    }
    return {name: value for name, value in told.items() if value is not None}
