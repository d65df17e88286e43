"""What OpenTelemetry's own SDK collects: settled requests, devices told once over all processes, provisional spans."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from math import nan
from pathlib import Path
from typing import Any

import pytest
from servers import Host, seen

import joulegram

pytest.importorskip("opentelemetry.sdk")

from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from joulegram_serve import FootprintMiddleware, FootprintTelemetry
from joulegram_serve.devices import Devices

GPU = "alpha/gpu:A"


class Collected:
    """A user's MeterProvider, and what it has collected."""

    def __init__(self) -> None:
        self._reader = InMemoryMetricReader()
        self.provider = MeterProvider([self._reader])

    def points(self, name: str) -> list[Any]:
        data = self._reader.get_metrics_data()
        if data is None:
            return []
        return [
            point
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        ]

    def units(self) -> dict[str, str]:
        data = self._reader.get_metrics_data()
        assert data is not None
        return {
            metric.name: metric.unit
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }


class World:
    """A host with a service, of which OpenTelemetry is told; its thread is the test."""

    def __init__(self, folder: Path, **more: Any) -> None:
        self.host = Host(folder, **more)
        self.service = self.host.serve("captions")
        self.collected = Collected()
        self.telemetry = FootprintTelemetry(self.service, self.collected.provider, now_ns=self.host.clock.monotonic_ns)
        self.telemetry._stopped.set()  # a thread that starts is over at once
        self.host.go_on(1.0)

    def serve(self, route: str, seconds: float = 1.0) -> joulegram.Request:
        request = self.service.begin(route)
        self.host.go_on(seconds)
        request.end(200)
        return request


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.telemetry.close()


def test_a_request_is_told_of_once_it_is_settled_and_exactly_once(world: World) -> None:
    world.serve("/a")
    world.serve("/a")
    world.telemetry.settle()
    assert sum(point.count for point in world.collected.points("joulegram.request.energy")) == 1  # the first alone
    world.host.go_on(1.0)
    world.telemetry.settle()
    world.telemetry.settle()
    (energy,) = world.collected.points("joulegram.request.energy")
    assert (energy.count, energy.sum) == (2, pytest.approx(200.0, rel=1e-9))
    assert dict(energy.attributes) == {
        "joulegram.service": "captions", "joulegram.route": "/a", "joulegram.method": "measured",
    }  # fmt: skip
    assert tuple(energy.explicit_bounds) == joulegram.RouteTotals.edges_j
    (carbon,) = world.collected.points("joulegram.request.carbon")
    assert carbon.sum == pytest.approx(0.02, rel=1e-9)
    units = world.collected.units()
    assert (units["joulegram.request.energy"], units["joulegram.request.carbon"]) == ("J", "g")
    assert units["hw.energy"] == "J"


def test_a_request_that_nobody_settles_is_told_of_as_estimated_in_the_end(world: World) -> None:
    world.serve("/a", 3.0)
    world.host.go_on(1.0)
    request = world.service.begin("/b")
    world.host.clock.advance(1.0)  # nobody keeps the books any more
    request.end(200)
    world.host.clock.advance(19.0)
    world.telemetry.settle()
    assert len(world.collected.points("joulegram.request.energy")) == 1
    world.host.clock.advance(2.0)
    world.telemetry.settle()
    told = {point.attributes["joulegram.route"]: point for point in world.collected.points("joulegram.request.energy")}
    assert told["/a"].attributes["joulegram.method"] == "measured"
    assert told["/b"].attributes["joulegram.method"] == "estimated"
    assert told["/b"].sum == pytest.approx(100.0, rel=0.05)


def test_a_device_is_told_by_its_meter_and_its_power_is_the_mean_since_the_last_look(world: World) -> None:
    world.collected.points("hw.energy")
    world.host.go_on(5.0)
    (energy,) = world.collected.points("hw.energy")
    assert energy.value == pytest.approx(seen(world.service).channels[GPU].meter_j)
    assert (energy.attributes["hw.id"], energy.attributes["hw.type"]) == (GPU, "gpu")
    world.host.go_on(5.0)
    (power,) = world.collected.points("hw.power")
    assert power.value == pytest.approx(100.0)
    assert world.collected.units()["hw.power"] == "W"
    assert world.collected.points("hw.host.energy") == []


def test_a_whole_machine_is_told_by_names_of_its_own(tmp_path: Path) -> None:
    world = World(tmp_path, names=("node:wall", "dram:0"))
    world.host.go_on(5.0)
    world.collected.points("hw.power")
    world.host.go_on(5.0)
    (whole,) = world.collected.points("hw.host.energy")
    (part,) = world.collected.points("hw.energy")
    assert (whole.attributes["hw.id"], "hw.type" in whole.attributes) == ("alpha/node:wall", False)
    assert (part.attributes["hw.type"], part.attributes["joulegram.counted"]) == ("memory", False)
    assert world.collected.points("hw.host.power")[0].value == pytest.approx(100.0)


class Told:
    """A service whose books are kept by this or that process."""

    def __init__(self, snapshot: joulegram.Snapshot) -> None:
        self.now = snapshot

    def snapshot(self) -> joulegram.Snapshot:
        return self.now

    def tell(self, owner_pid: int, meter_j: float) -> None:
        channel = replace(self.now.channels[GPU], meter_j=meter_j)
        self.now = replace(self.now, owner_pid=owner_pid, channels={GPU: channel}, time_s=self.now.time_s + 10.0)


def test_over_all_processes_each_joule_is_told_once_whoever_keeps_the_books(world: World) -> None:
    service = Told(seen(world.service))
    service.tell(1, 100.0)
    devices = Devices(service)  # type: ignore[arg-type]
    service.tell(1, 150.0)
    assert devices.energy_j() == []  # another's
    assert devices.power_w() == []
    told = []
    for owner, meter_j in ((os.getpid(), 170.0), (os.getpid(), 200.0), (os.getpid(), 30.0), (1, 50.0)):
        service.tell(owner, meter_j)
        told.append([energy_j for _, energy_j in devices.energy_j()])
    assert told == [[20.0], [50.0], [80.0], [80.0]]  # 30 J of books that were begun anew
    devices.close()
    assert devices.energy_j() == []


def test_a_meter_that_stands_still_has_no_power_rather_than_none_of_it(world: World) -> None:
    world.collected.points("hw.power")
    world.host.counter.read = lambda: [nan]  # type: ignore[method-assign]
    world.host.go_on(5.0)
    world.collected.points("hw.power")
    world.host.go_on(5.0)
    assert world.collected.points("hw.power") == []


# -- spans --------------------------------------------------------------------------------------------------------


@pytest.fixture
def spans() -> tuple[trace.Tracer, InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider.get_tracer("test"), exporter


def test_the_current_span_is_told_what_is_provisional(
    world: World, spans: tuple[trace.Tracer, InMemorySpanExporter]
) -> None:
    tracer, exporter = spans
    world.serve("/before", 3.0)
    with tracer.start_as_current_span("POST /a"):
        request = world.serve("/a", 2.0)
    (span,) = exporter.get_finished_spans()
    told = dict(span.attributes or {})
    assert told.pop("joulegram.energy_j") == pytest.approx(200.0, rel=0.05)
    assert told.pop("joulegram.carbon_g") == pytest.approx(0.02, rel=0.05)
    assert told == {
        "joulegram.request.id": request.id, "joulegram.method": "estimated", "joulegram.settled": False,
    }  # fmt: skip


def test_what_is_not_known_is_no_attribute(
    world: World, spans: tuple[trace.Tracer, InMemorySpanExporter], tmp_path: Path
) -> None:
    tracer, exporter = spans
    (tmp_path / "other").mkdir()
    service = Host(tmp_path / "other").serve()
    FootprintTelemetry(service, world.collected.provider).close()
    telemetry = FootprintTelemetry(service, world.collected.provider)
    with tracer.start_as_current_span("POST /a"):
        service.begin("/a").end(200)
    telemetry.close()
    (span,) = exporter.get_finished_spans()
    assert set(span.attributes or {}) == {"joulegram.request.id", "joulegram.method", "joulegram.settled"}


def test_the_servers_span_is_told_by_a_request_through_the_middleware(
    world: World, spans: tuple[trace.Tracer, InMemorySpanExporter]
) -> None:
    tracer, exporter = spans

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    middleware = FootprintMiddleware(answer, service=world.service)

    async def traced(scope: Any, receive: Any, send: Any) -> None:
        with tracer.start_as_current_span("server"):
            await middleware(scope, receive, send)

    async def nothing(*_: Any) -> None:
        pass

    scope = {"type": "http", "method": "GET", "path": "/a", "headers": [], "query_string": b""}
    asyncio.run(traced(scope, nothing, nothing))
    (span,) = exporter.get_finished_spans()
    assert (span.attributes or {})["joulegram.settled"] is False


# -- edges --------------------------------------------------------------------------------------------------------


def test_nothing_that_telemetry_does_reaches_the_server(world: World, caplog: pytest.LogCaptureFixture) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("exporter away")

    world.telemetry._energy.record = fail  # type: ignore[method-assign]
    world.service.listen(fail)
    world.serve("/a").end(200)
    world.host.go_on(1.0)
    world.telemetry._settle()
    world.telemetry._settle()
    assert world.service.result("00000000-0") is None
    assert caplog.text.count("could not tell its costs to OpenTelemetry") == 1
    assert seen(world.service).routes[0].requests == 1


def test_after_it_is_closed_nothing_more_is_told(world: World) -> None:
    world.serve("/a")
    world.host.go_on(1.0)
    world.telemetry.close()
    world.telemetry.close()
    world.serve("/a")
    world.host.go_on(1.0)
    world.telemetry.settle()
    (energy,) = world.collected.points("joulegram.request.energy")
    assert energy.count == 1
    assert world.collected.points("hw.energy") == []


def test_without_the_library_there_is_one_clear_line(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(joulegram.MissingExtra, match=r'pip install "joulegram\[opentelemetry\]"$'):
        FootprintTelemetry(world.service)


SERVER = """
import os, time
import joulegram
from opentelemetry import metrics
from joulegram_serve import FootprintTelemetry

service = joulegram.serve("captions")
telemetry = FootprintTelemetry(service)  # before the user's provider is set
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
reader = InMemoryMetricReader()
metrics.set_meter_provider(MeterProvider([reader]))
with service.begin("/a"):
    pass
if os.fork() == 0:  # its parent's request is its parent's to tell
    with service.begin("/child"):
        pass
    assert [request.route for request, _ in telemetry._waiting] == ["/child"]
    assert telemetry._is_at_work()
    os._exit(0)
assert os.waitstatus_to_exitcode(os.wait()[1]) == 0


def told():
    data = reader.get_metrics_data()
    return {m.name for r in data.resource_metrics for s in r.scope_metrics for m in s.metrics} if data else set()


until_s = time.monotonic() + 60
while not {"joulegram.request.energy", "hw.energy"} <= told() and time.monotonic() < until_s:
    with service.begin("/a"):
        time.sleep(0.05)
print(sorted(told()))
"""


def test_a_provider_that_is_set_later_is_told_by_a_thread_of_its_own() -> None:
    done = subprocess.run([sys.executable, "-c", SERVER], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "joulegram.request.energy" in done.stdout
    assert "hw.energy" in done.stdout
