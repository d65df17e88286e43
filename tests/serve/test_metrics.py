"""What Prometheus reads: the text as its own parsers have it, through everything that can happen to a server."""

from __future__ import annotations

import math
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from servers import Host
from worlds import until

import joulegram
from joulegram.testing.powercap import PowercapTree

prometheus_client = pytest.importorskip("prometheus_client")

from prometheus_client import CollectorRegistry, exposition  # noqa: E402
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_families  # noqa: E402
from prometheus_client.parser import text_string_to_metric_families as plain_families  # noqa: E402

from joulegram_serve import FootprintCollector, FootprintMiddleware, metrics_app, serve_metrics  # noqa: E402
from joulegram_serve.asgi import NO_SERVICE, SERVICE  # noqa: E402
from joulegram_serve.collector import families  # noqa: E402

GPU = "alpha/gpu:A"
OPENMETRICS = "application/openmetrics-text; version=1.0.0"
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path, idle_w=30.0)


class Fixed:
    """A service that has this snapshot."""

    def __init__(self, snapshot: joulegram.Snapshot | None) -> None:
        self._snapshot = snapshot

    def start(self) -> None:
        pass

    def snapshot(self) -> joulegram.Snapshot | None:
        return self._snapshot


def text_of(service: Any, *, openmetrics: bool = False) -> str:
    registry = CollectorRegistry()
    registry.register(FootprintCollector(service))
    encoder, _ = exposition.choose_encoder(OPENMETRICS if openmetrics else "")
    return encoder(registry).decode()


def samples_of(text: str, *, openmetrics: bool = False) -> Samples:
    """Each sample of the text; none is there twice."""
    found: Samples = {}
    for family in (open_families if openmetrics else plain_families)(text):
        for sample in family.samples:
            key = sample.name, frozenset(sample.labels.items())
            assert key not in found
            found[key] = sample.value
    return found


def scrape(service: Any, *, openmetrics: bool = False) -> Samples:
    """What a scraper reads; each channel's meter is its energy and what is pending."""
    samples = samples_of(text_of(service, openmetrics=openmetrics), openmetrics=openmetrics)
    balanced(samples)
    return samples


def balanced(samples: Samples) -> None:
    for (name, labels), meter_j in samples.items():
        if name == "joulegram_meter_joules_total":
            channel = dict(labels)["channel"]
            energy_j = math.fsum(each(samples, "joulegram_energy_joules_total", channel=channel))
            (pending_j,) = each(samples, "joulegram_pending_joules", channel=channel)
            assert energy_j + pending_j == pytest.approx(meter_j, rel=1e-9, abs=1e-9)


def each(samples: Samples, name: str, **labels: str) -> list[float]:
    """Values of a metric's samples that have these labels."""
    return [value for (of, had), value in samples.items() if of == name and had >= frozenset(labels.items())]


def counters(samples: Samples) -> Mapping[Any, float]:
    return {key: value for key, value in samples.items() if key[0].endswith(("_total", "_bucket", "_count", "_sum"))}


def never_falls(before: Samples, after: Samples) -> None:
    for key, value in counters(before).items():
        assert counters(after)[key] >= value


def test_the_meter_is_energy_and_what_is_pending_while_requests_begin_overlap_and_end(host: Host) -> None:
    service = host.serve("captions")
    host.go_on(1.0)
    before = scrape(service)
    requests = []
    for step in range(12):
        requests.append(service.begin(f"/{step % 3}", 1.0 + step / 7))
        host.go_on(0.37)
        if step % 2:
            requests.pop(0).end(500 if step % 4 == 1 else 200)
        now = scrape(service, openmetrics=bool(step % 2))
        never_falls(before, now)
        before = now
    host.go_on(1.0)
    now = scrape(service)
    assert each(now, "joulegram_requests_in_flight") == [6.0]
    assert sum(each(now, "joulegram_requests_total", service="captions")) == 6.0
    assert sum(each(now, "joulegram_requests_failed_total")) == 3.0
    assert each(now, "joulegram_pending_joules", channel=GPU)[0] > 0
    assert sum(each(now, "joulegram_meter_joules_total")) == pytest.approx(host.metered_j(), abs=10.0)


def test_a_requests_energy_moves_from_pending_to_its_route_when_it_ends(host: Host) -> None:
    service = host.serve("captions")
    host.go_on(1.0)
    request = service.begin("/a")
    host.go_on(2.0)
    flying = scrape(service)
    assert each(flying, "joulegram_energy_joules_total", route="/a") == []
    assert each(flying, "joulegram_pending_joules")[0] == pytest.approx(195.0, abs=10.0)
    request.end(200)
    host.go_on(1.0)
    ended = scrape(service)
    labels = {"channel": GPU, "service": "captions", "route": "/a"}
    assert each(ended, "joulegram_energy_joules_total", part="active", **labels) == [pytest.approx(140.0, rel=1e-9)]
    assert each(ended, "joulegram_energy_joules_total", part="idle_shared", **labels) == [pytest.approx(60.0)]
    assert each(ended, "joulegram_pending_joules")[0] == pytest.approx(0.0, abs=1e-9)
    assert each(ended, "joulegram_energy_joules_total", part="unattributed", route="", service="")[0] > 0
    # At 360 g/kWh 10 kJ are a gram.
    assert each(ended, "joulegram_carbon_grams_total", part="active", route="/a") == [pytest.approx(0.014)]
    assert each(ended, "joulegram_request_energy_joules_sum", route="/a") == [pytest.approx(200.0, rel=1e-9)]
    assert each(ended, "joulegram_request_energy_joules_bucket", route="/a", le="100.0") == [0.0]
    assert each(ended, "joulegram_request_energy_joules_bucket", route="/a", le="250.0") == [1.0]
    assert each(ended, "joulegram_carbon_intensity_grams_per_kwh") == [360.0]


def test_exemplars_lead_to_requests_in_openmetrics_alone(host: Host) -> None:
    service = host.serve()
    request = service.begin("/a")
    host.go_on(2.0)
    request.end(200)
    host.go_on(1.0)
    examples = [
        sample.exemplar
        for family in open_families(text_of(service, openmetrics=True))
        for sample in family.samples
        if sample.exemplar is not None
    ]
    (example,) = examples
    assert example.labels == {"request_id": request.id}
    settled = service.result(request.id)
    assert settled is not None
    assert example.value == settled.energy_j
    assert request.id not in text_of(service)


def test_services_of_one_host_with_equal_routes_are_told_apart(host: Host) -> None:
    one, two = host.serve("one"), host.serve("two")
    for service in (one, two):
        service.begin("/predict").end(200)
    host.go_on(1.0)
    assert scrape(one) == scrape(two)
    assert each(scrape(one), "joulegram_requests_total", route="/predict") == [1.0, 1.0]
    assert each(scrape(one), "joulegram_requests_total", route="/predict", service="two") == [1.0]


def test_before_the_first_reading_there_is_nothing_and_what_is_not_known_is_left_out(tmp_path: Path) -> None:
    assert text_of(Fixed(None)) == ""
    host = Host(tmp_path)  # its idle power is unknown
    service = host.serve()
    host.clock.advance(0.0)
    assert each(scrape(service), "joulegram_meter_joules_total") == []
    assert each(scrape(service), "joulegram_carbon_grams_total") == []
    request = service.begin("/a")
    host.go_on(1.0)
    request.end(200)
    host.go_on(1.0)
    now = scrape(service)
    assert each(now, "joulegram_energy_joules_total", part="idle_shared") == []
    assert each(now, "joulegram_tokens_total") == []
    ((_, labels),) = [key for key in now if key[0] == "joulegram_channel_info"]
    assert "unknown" in dict(labels)["idle"]


def test_what_another_channel_contains_can_be_left_out_of_a_sum(host: Host) -> None:
    service = host.serve()
    host.go_on(1.0)
    snapshot = service.snapshot()
    assert snapshot is not None
    inside = replace(snapshot.channels[GPU], id="alpha/gpu:B", counted=False)
    samples = scrape(Fixed(replace(snapshot, channels={**snapshot.channels, inside.id: inside})))
    counted = {dict(labels)["channel"]: dict(labels)["counted"] for name, labels in samples if name.endswith("_info")
               and "counted" in dict(labels)}  # fmt: skip
    assert counted == {GPU: "yes", "alpha/gpu:B": "no"}


def test_counters_never_fall_when_the_owner_is_killed_or_the_server_is_reloaded(host: Host) -> None:
    first, second = host.serve(), host.serve()
    for service in (first, second):
        service.begin("/a").end(200)
    host.go_on(1.0)
    before = scrape(first)
    host.workers.pop(0).die()  # the owner, killed
    host.runs[-1].alive = False
    never_falls(before, scrape(second))
    for _ in range(10):
        host.go_on(0.2)
        now = scrape(second)
        never_falls(before, now)
        before = now
    second.close()
    host.workers.clear()
    host.clock.advance(20.0)
    third = host.serve()
    for _ in range(10):
        host.go_on(0.2)
        now = scrape(third)
        never_falls(before, now)
        before = now
    assert each(before, "joulegram_requests_total") == [2.0]
    assert each(before, "joulegram_meter_joules_total")[0] == pytest.approx(host.metered_j(), abs=10.0)


texts = st.text(st.characters(codec="utf-8"), max_size=40)
joules = st.floats(0.0, 1e15, allow_subnormal=False)
rows = st.builds(
    lambda service, route, active, idle, count: joulegram.RouteTotals(
        service, route, count, 0, 0.0, 0.0, 0.0, {GPU: joulegram.Parts(active, idle)}, None,
        (count, *[0] * len(joulegram.RouteTotals.edges_j)), active + idle,
    ),
    texts, texts, joules, joules, st.integers(0, 10**12),
)  # fmt: skip


@given(st.lists(rows, max_size=8, unique_by=lambda row: (row.service, row.route.replace("\0", "␀"))), joules, joules)
def test_any_name_and_any_number_comes_back_as_it_was_in_both_formats(
    routes: list[joulegram.RouteTotals], unattributed_j: float, pending_j: float
) -> None:
    parts_j = [part for row in routes for part in (row.energy_j[GPU].active, row.energy_j[GPU].idle_shared)]
    meter_j = math.fsum([*parts_j, unattributed_j, pending_j])
    channel = joulegram.ChannelTotals(GPU, "gpu", "measured", meter_j, pending_j, unattributed_j, 'a "b"\\\n', True)
    snapshot = joulegram.Snapshot(
        0.0, "", "alpha", 1, 1, 0, {GPU: channel}, tuple(routes), None, lost=0, late=0, dropped=0
    )
    for openmetrics in (False, True):
        text = text_of(Fixed(snapshot), openmetrics=openmetrics)
        assert "\0" not in text
        samples = samples_of(text, openmetrics=openmetrics)
        assert each(samples, "joulegram_meter_joules_total") == [meter_j]
        balanced(samples)
        for row in routes:
            labels = {"service": row.service.replace("\0", "␀"), "route": row.route.replace("\0", "␀")}
            assert row.requests in each(samples, "joulegram_requests_total", **labels)


def test_a_registry_of_the_users_own_knows_the_names_without_a_scrape(host: Host) -> None:
    registry = CollectorRegistry(auto_describe=True)
    service = host.serve()
    registry.register(FootprintCollector(service))
    with pytest.raises(ValueError, match="joulegram_meter_joules"):
        registry.register(FootprintCollector(service))
    host.go_on(1.0)
    restricted = registry.restricted_registry(["joulegram_meter_joules_total"])
    assert [family.name for family in restricted.collect()] == ["joulegram_meter_joules"]
    names = {family.name for family in FootprintCollector(service).describe()}
    assert {family.name for family in families(service.snapshot())} <= names  # type: ignore[arg-type]


def test_a_snapshot_that_cannot_be_read_is_said_once_and_other_collectors_are_heard(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Torn(Fixed):
        def snapshot(self) -> joulegram.Snapshot | None:
            raise OSError("no shared memory")

    registry = CollectorRegistry()
    registry.register(FootprintCollector(Torn(None)))  # type: ignore[arg-type]
    prometheus_client.Counter("theirs", "Of somebody else.", registry=registry).inc()
    for _ in range(3):
        assert "theirs_total 1.0" in prometheus_client.generate_latest(registry).decode()
    assert caplog.text.count("no shared memory") == 1


# -- the application ----------------------------------------------------------------------------------------------


async def asked(app: Any, scope: dict[str, Any]) -> tuple[int, dict[bytes, bytes], bytes]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request"}

    await app({"type": "http", "method": "GET", "path": "/metrics", "headers": [], **scope}, receive, send)
    start, body = sent
    return start["status"], dict(start["headers"]), body["body"]


def ask(app: Any, **scope: Any) -> tuple[int, dict[bytes, bytes], bytes]:
    import asyncio

    return asyncio.run(asked(app, scope))


def test_the_application_tells_of_the_middleware_around_it_or_of_the_service_it_was_given(host: Host) -> None:
    service = host.serve()
    host.go_on(1.0)
    for app, scope in ((metrics_app(), {SERVICE: service}), (metrics_app(service), {})):
        status, headers, body = ask(app, **scope)
        assert status == 200
        assert headers[b"content-type"].startswith(b"text/plain; version=0.0.4")
        assert int(headers[b"content-length"]) == len(body)
        balanced(samples_of(body.decode()))
    status, _, body = ask(metrics_app())
    assert (status, body.decode()) == (503, NO_SERVICE)


@pytest.mark.parametrize("how", ["route", "mount"])
def test_an_application_of_starlettes_takes_it_by_its_own_router(host: Host, how: str) -> None:
    applications = pytest.importorskip("starlette.applications")
    service = host.serve()
    host.go_on(1.0)
    app = applications.Starlette()
    app.add_middleware(FootprintMiddleware, service=service)
    (app.add_route if how == "route" else app.mount)("/metrics", metrics_app())
    status, _, body = ask(app, path="/metrics" if how == "route" else "/metrics/", root_path="", query_string=b"")
    assert status == 200
    balanced(samples_of(body.decode()))


def test_an_event_loop_that_is_not_asyncios_gets_its_answer_too(host: Host) -> None:
    service = host.serve()
    host.go_on(1.0)
    with pytest.raises(StopIteration) as answered:  # nothing in it waits for anybody
        asked(metrics_app(service), {}).send(None)
    status, _, body = answered.value.value
    assert status == 200
    balanced(samples_of(body.decode()))


def test_the_application_speaks_openmetrics_and_gzip_to_who_takes_them(host: Host) -> None:
    import gzip

    service = host.serve()
    host.go_on(1.0)
    headers = [(b"Accept", OPENMETRICS.encode()), (b"accept-encoding", b"gzip")]
    _, told, body = ask(metrics_app(service), headers=headers)
    assert told[b"content-type"].startswith(b"application/openmetrics-text")
    assert told[b"content-encoding"] == b"gzip"
    balanced(samples_of(gzip.decompress(body).decode(), openmetrics=True))
    assert ask(metrics_app(service), method="HEAD")[2] == b""


@pytest.mark.parametrize(
    "accept", [b"text/plain; version=x", b"\xff\xfe;=,;", b"application/openmetrics-text;version="]
)
def test_a_header_of_any_kind_gets_an_answer(host: Host, accept: bytes) -> None:
    service = host.serve()
    host.go_on(1.0)
    status, _, body = ask(metrics_app(service), headers=[(b"accept", accept)])
    assert status == 200
    assert b"joulegram_meter_joules_total" in body


def test_without_the_library_there_is_one_clear_line(monkeypatch: pytest.MonkeyPatch, host: Host) -> None:
    for name in [name for name in sys.modules if name.startswith(("prometheus_client", "joulegram_serve.collector"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    for door in (metrics_app, lambda: serve_metrics(0, host.serve())):
        with pytest.raises(joulegram.MissingExtra, match=r'pip install "joulegram\[prometheus\]"$'):
            door()


# -- the port -----------------------------------------------------------------------------------------------------


def fetched(port: int) -> Samples:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as response:
        samples = samples_of(response.read().decode())
    balanced(samples)
    return samples


def test_a_port_answers_until_it_is_closed_and_is_shared_by_who_asks_for_the_same(host: Host) -> None:
    one, two = host.serve("one"), host.serve("two")
    host.go_on(1.0)
    port = serve_metrics(0, one)
    other = serve_metrics(port.port, two)
    assert other.port == port.port
    assert all(each(fetched(port.port), "joulegram_workers") == [2.0] for _ in range(8))
    port.close()
    assert each(fetched(port.port), "joulegram_workers") == [2.0]
    other.close()
    other.close()
    with pytest.raises(urllib.error.URLError):
        fetched(port.port)


def test_a_port_that_cannot_be_had_is_said_in_one_line(host: Host) -> None:
    service = host.serve()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(joulegram.ConfigError, match="name another port"):
            serve_metrics(taken.getsockname()[1], service)
    for port, address in ((1 << 20, "127.0.0.1"), ("many", "127.0.0.1"), (0, "203.0.113.1")):
        with pytest.raises(joulegram.ConfigError, match="name another port"):
            serve_metrics(port, service, address=address)  # type: ignore[arg-type]


def test_a_scraper_that_does_not_listen_holds_nobody_up(host: Host) -> None:
    service = host.serve()
    for number in range(150):
        service.begin(f"/{number}").end(200)
    host.go_on(1.0)
    port = serve_metrics(0, service)
    slow = [socket.create_connection(("127.0.0.1", port.port)) for _ in range(3)]
    for connection in slow:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        connection.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
    before = fetched(port.port)
    service.begin("/0").end(200)
    host.go_on(1.0)
    now = fetched(port.port)
    never_falls(before, now)
    assert each(now, "joulegram_requests_total", route="/0") == [2.0]
    for connection in slow:
        connection.close()
    port.close()


MULTIPROCESS = """
import prometheus_client, prometheus_client.multiprocess
import joulegram
from joulegram_serve import FootprintCollector

registry = prometheus_client.CollectorRegistry()
prometheus_client.multiprocess.MultiProcessCollector(registry)
with joulegram.serve("captions") as service:
    prometheus_client.Counter("theirs", "Of the user's own.").inc()
    registry.register(FootprintCollector(service))
    with service.begin("/a"):
        pass
    text = ""
    while "joulegram_meter_joules_total" not in text or "joulegram_requests_total" not in text:
        text = prometheus_client.generate_latest(registry).decode()
    print(text)
"""


def test_beside_the_librarys_multiprocess_mode_nothing_is_told_twice(tmp_path: Path) -> None:
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", MULTIPROCESS], capture_output=True, text=True, check=False, env=environment, timeout=60
    )
    assert done.returncode == 0, done.stderr
    samples = samples_of(done.stdout)  # none is there twice
    balanced(samples)
    assert each(samples, "theirs_total") == [1.0]
    assert each(samples, "joulegram_requests_total", route="/a") == [1.0]
    assert b"joulegram" not in b"".join(path.read_bytes() for path in tmp_path.glob("*.db"))


WORKER = """
import sys
import joulegram
from joulegram_serve import serve_metrics

service = joulegram.serve("captions", zone="DK-DK1")
port = serve_metrics(int(sys.argv[1]), service)
print(port.port, flush=True)
for line in sys.stdin:
    if line == "request\\n":
        with service.begin("/caption") as request:
            sum(range(300_000))
            request.add(tokens=3)
    print("done", flush=True)
"""


@pytest.fixture
def powercap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "powercap").mkdir()
    with PowercapTree(tmp_path / "powercap", "laptop", 60.0).run_live() as tree:
        monkeypatch.setenv("JOULEGRAM_METERS", "rapl")
        monkeypatch.setenv("JOULEGRAM_METER_OPTIONS_RAPL_ROOT", str(tree.root))
        yield


@pytest.mark.usefixtures("powercap")
def test_whichever_of_a_servers_processes_answers_the_figures_are_the_hosts(tmp_path: Path) -> None:
    (tmp_path / "multiprocess").mkdir()
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "multiprocess")}
    workers: list[subprocess.Popen[str]] = []

    def start(port: int) -> int:
        worker = subprocess.Popen(
            [sys.executable, "-c", WORKER, str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=environment,
        )  # fmt: skip
        workers.append(worker)
        assert worker.stdout is not None
        return int(worker.stdout.readline())

    def request(worker: subprocess.Popen[str]) -> None:
        assert worker.stdin is not None
        assert worker.stdout is not None
        worker.stdin.write("request\n")
        worker.stdin.flush()
        assert worker.stdout.readline() == "done\n"

    def told(requests: float) -> Samples:
        """Once that many are counted; every answer until then adds up and none falls."""
        answers = [fetched(port)]

        def counted() -> bool:
            answers.append(fetched(port))
            never_falls(*answers[-2:])
            requests_are = each(answers[-1], "joulegram_requests_total") == [requests]
            return requests_are and bool(each(answers[-1], "joulegram_carbon_grams_total"))

        until(counted, "figures of all requests")
        return answers[-1]

    try:
        port = start(0)
        start(port)
        for worker in (*workers, *workers):
            request(worker)
        before = told(4.0)
        assert each(before, "joulegram_workers") == [2.0]
        assert each(before, "joulegram_tokens_total", service="captions", route="/caption") == [12.0]
        assert list((tmp_path / "multiprocess").iterdir()) == []
        workers[0].kill()  # the owner of the books
        workers[0].wait()
        request(workers[1])
        never_falls(before, told(5.0))
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()
