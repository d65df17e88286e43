"""WSGI: requests end where their bodies do, on the routes that Flask and Django chose."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from wsgiref.util import FileWrapper, setup_testing_defaults
from wsgiref.validate import validator

import pytest
from servers import Host, route_j, seen

from joulegram_serve import FootprintWSGI, current

Environ = dict[str, Any]


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


class Server:
    """What a WSGI server does: asks for a response, goes through the body, closes it."""

    def __init__(self, app: Callable[..., Any]) -> None:
        self._app = app
        self.status, self.headers = "", list[tuple[str, str]]()
        self.body: Iterable[bytes] = ()

    def begin(self, path: str = "/", **more: Any) -> Iterable[bytes]:
        environ: Environ = {"PATH_INFO": path, "SCRIPT_NAME": "", **more}
        setup_testing_defaults(environ)
        self.body = self._app(environ, self._start)
        return self.body

    def ask(self, path: str = "/", **more: Any) -> bytes:
        try:
            return b"".join(self.begin(path, **more))
        finally:
            self.close()

    def close(self) -> None:
        close = getattr(self.body, "close", None)
        if close is not None:
            close()

    def _start(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
        self.status, self.headers = status, headers
        return lambda data: None


def ready(environ: Environ, start: Any) -> list[bytes]:
    start("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
    current().add(tokens=7)
    return [b"ok"]


def test_a_list_is_ready_and_a_generators_work_counts_until_it_is_exhausted(host: Host) -> None:
    service = host.serve()
    host.go_on(1.0)

    def streaming(environ: Environ, start: Any) -> Iterator[bytes]:
        start("200 OK", [])
        for part in (b"a", b"b", b"c"):
            host.go_on(0.5)
            current().add(tokens=1)
            yield part

    def of(environ: Environ) -> str:
        return str(environ["PATH_INFO"])

    assert Server(FootprintWSGI(ready, service=service, route=of)).ask("/ready") == b"ok"
    assert Server(FootprintWSGI(streaming, service=service, route=of)).ask("/stream") == b"abc"
    host.go_on(1.0)
    snapshot = seen(service)
    assert route_j(snapshot, "/ready") == 0.0
    assert route_j(snapshot, "/stream") == pytest.approx(150.0, rel=1e-9)
    assert {row.route: row.tokens for row in snapshot.routes} == {"/ready": 7.0, "/stream": 3.0}
    assert snapshot.in_flight == 0


def test_a_client_that_leaves_in_the_middle_ends_its_request_and_the_body_is_closed(host: Host) -> None:
    service, closed = host.serve(), threading.Event()

    def streaming(environ: Environ, start: Any) -> Iterator[bytes]:
        start("200 OK", [])
        try:
            yield b"a"
            yield b"b"
        finally:
            closed.set()

    server = Server(FootprintWSGI(streaming, service=service))
    assert next(iter(server.begin())) == b"a"
    host.go_on(1.0)
    assert seen(service).in_flight == 1
    server.close()
    assert closed.is_set()
    host.go_on(1.0)
    snapshot = seen(service)
    assert (snapshot.in_flight, snapshot.routes[0].requests, snapshot.routes[0].failed) == (0, 1, 0)


@pytest.mark.parametrize("when", ["at once", "while streaming"])
def test_an_error_reaches_the_server_and_is_a_failed_request(host: Host, when: str) -> None:
    service = host.serve()

    def failing(environ: Environ, start: Any) -> Iterable[bytes]:
        if when == "at once":
            raise RuntimeError("no")

        def parts() -> Iterator[bytes]:
            start("200 OK", [])
            yield b"a"
            raise RuntimeError("no")

        return parts()

    with pytest.raises(RuntimeError, match="no"):
        Server(FootprintWSGI(failing, service=service)).ask()
    host.go_on(1.0)
    assert [(row.requests, row.failed) for row in seen(service).routes] == [(1, 1)]


def test_the_response_is_what_it_was_and_tells_its_cost_only_if_asked(host: Host) -> None:
    service = host.serve()
    host.go_on(3.0)
    silent, telling = (
        Server(FootprintWSGI(ready, service=service)),
        Server(FootprintWSGI(ready, service=service, headers=True)),
    )
    assert silent.ask() == telling.ask() == b"ok"
    assert [name for name, _ in silent.headers] == ["Content-Type", "Content-Length"]
    told = dict(telling.headers)
    assert told["Footprint-Id"]
    host.go_on(1.0)
    assert service.result(told["Footprint-Id"]) is not None


def test_a_servers_own_file_wrapper_and_a_bodys_length_stay(host: Host) -> None:
    service = host.serve()

    class Body:
        def __len__(self) -> int:
            return 1

        def __iter__(self) -> Iterator[bytes]:
            return iter([b"x"])

    def file(environ: Environ, start: Any) -> Iterable[bytes]:
        start("200 OK", [])
        return environ["wsgi.file_wrapper"](io.BytesIO(b"content"))  # type: ignore[no-any-return]

    def sized(environ: Environ, start: Any) -> Iterable[bytes]:
        start("200 OK", [])
        return Body()  # type: ignore[return-value]

    server = Server(FootprintWSGI(file, service=service))
    assert type(server.begin(**{"wsgi.file_wrapper": FileWrapper})) is FileWrapper
    server.close()
    body = Server(FootprintWSGI(sized, service=service)).begin()
    assert len(body) == 1  # type: ignore[arg-type]
    assert list(body) == [b"x"]
    host.go_on(1.0)
    assert seen(service).routes[0].requests == 2


def test_it_keeps_to_the_protocol(host: Host) -> None:
    service = host.serve()

    def streaming(environ: Environ, start: Any) -> Iterator[bytes]:
        start("200 OK", [("Content-Type", "text/plain")])
        yield b"a"

    environ: Environ = {"PATH_INFO": "/", "SCRIPT_NAME": "", "QUERY_STRING": ""}
    setup_testing_defaults(environ)
    app = validator(FootprintWSGI(validator(streaming), service=service))  # type: ignore[arg-type]
    body = app(environ, lambda status, headers, exc_info=None: lambda data: None)
    assert list(body) == [b"a"]
    body.close()  # type: ignore[attr-defined]


def test_health_checks_do_not_count(host: Host) -> None:
    service = host.serve()
    app = FootprintWSGI(ready, service=service, exclude=["/health", "/static/"])
    for path in ("/health", "/health/deep", "/static", "/static/a.css", "/healthy"):
        Server(app).ask(path)
    host.go_on(1.0)
    assert sum(row.requests for row in seen(service).routes) == 1


def test_whatever_fails_inside_the_server_serves_on(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    service = host.serve()

    def broken(environ: Environ) -> str:
        raise KeyError("no route")

    assert Server(FootprintWSGI(ready, service=service, route=broken)).ask() == b"ok"
    assert Server(FootprintWSGI(ready, "x", pue="a lot")).ask() == b"ok"
    assert "pue" in caplog.text
    with pytest.raises(ValueError, match="not both"):
        FootprintWSGI(ready, "a name", service=service)
    host.go_on(1.0)
    assert [row.route for row in seen(service).routes] == ["unmatched"]


def test_flasks_rules_are_the_labels(host: Host) -> None:
    flask = pytest.importorskip("flask")
    service = host.serve()
    app = flask.Flask("captions")
    inner = flask.Blueprint("inner", "inner")

    @app.get("/items/<int:number>")
    def item(number: int) -> str:
        current().add(items=2)
        return str(number)

    @inner.get("/deep/<name>")
    def deep(name: str) -> Any:
        return flask.Response(flask.stream_with_context(iter([name, flask.request.path])))

    app.register_blueprint(inner, url_prefix="/v1")
    app.wsgi_app = FootprintWSGI(app.wsgi_app, service=service)
    client = app.test_client()
    assert client.get("/items/7").text == "7"
    assert client.get("/items/8").text == "8"
    with client.get("/v1/deep/x") as response:
        assert response.text == "x/v1/deep/x"
    with client.get("/nowhere/else") as response:
        assert response.status_code == 404
    host.go_on(1.0)
    found = {row.route: (row.requests, row.items) for row in seen(service).routes}
    assert found == {"/items/<int:number>": (2, 4.0), "/v1/deep/<name>": (1, 0.0), "unmatched": (1, 0.0)}


def test_djangos_routes_are_the_labels(host: Host) -> None:
    django = pytest.importorskip("django")
    from django.conf import settings
    from django.core.handlers.wsgi import WSGIHandler
    from django.http import HttpResponse, StreamingHttpResponse
    from django.urls import include, path

    def item(request: Any, number: int) -> Any:
        current().add(tokens=3)
        return HttpResponse(str(number))

    def stream(request: Any) -> Any:
        def parts() -> Iterator[str]:
            host.go_on(1.0)
            current().add(tokens=5)
            yield "a"

        return StreamingHttpResponse(parts())

    class Urls:
        urlpatterns = [path("v1/", include([path("items/<int:number>/", item)])), path("stream", stream)]  # noqa: RUF012

    settings.configure(
        ROOT_URLCONF=Urls, MIDDLEWARE=["joulegram_serve.django.route"], ALLOWED_HOSTS=["*"], SECRET_KEY="x"
    )
    django.setup()
    service = host.serve()
    host.go_on(1.0)
    server = Server(FootprintWSGI(WSGIHandler(), service=service))
    assert server.ask("/v1/items/7/") == b"7"
    assert server.ask("/stream") == b"a"
    server.ask("/nowhere")
    assert server.status.startswith("404")
    host.go_on(1.0)
    snapshot = seen(service)
    found = {row.route: (row.requests, row.tokens) for row in snapshot.routes}
    assert found == {"/v1/items/<int:number>/": (1, 3.0), "/stream": (1, 5.0), "unmatched": (1, 0.0)}
    assert route_j(snapshot, "/stream") == pytest.approx(100.0, rel=1e-9)
