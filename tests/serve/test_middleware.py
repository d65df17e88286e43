"""When a request begins and ends, and what the middleware never does to the application that it is around."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
from collections.abc import Iterator
from contextvars import copy_context
from math import nan
from pathlib import Path
from typing import Any

import pytest
from asgi_driver import Answer, ask, get, http_scope, lifespan
from hypothesis import given
from hypothesis import strategies as st
from servers import Host, route_j, seen

import joulegram
from joulegram_serve import FootprintMiddleware, current
from joulegram_serve.settings import Settings

GPU = "alpha/gpu:A"
START: dict[str, Any] = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]}
LAST: dict[str, Any] = {"type": "http.response.body", "body": b"done"}
CHUNK: dict[str, Any] = {"type": "http.response.body", "body": b"more", "more_body": True}
GONE = {"type": "http.disconnect"}


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


class Served:
    """An application on a host whose clock the application moves: 1 s by ``await takes(1)``."""

    def __init__(self, host: Host, app: Any, **options: Any) -> None:
        self.host, self.ids = host, list[str]()
        self.service = host.serve()
        self._inner = app
        self.app = FootprintMiddleware(self._noting, service=self.service, **options)
        host.go_on(1.0)

    async def _noting(self, scope: Any, receive: Any, send: Any) -> None:
        self.ids.append(current().id)
        await self._inner(scope, receive, send)

    def result(self) -> joulegram.Result:
        """What the last request cost."""
        self.host.go_on(1.0)
        result = self.service.result(self.ids[-1])
        assert result is not None
        return result


async def sending(host: Host, send: Any, *steps: Any) -> None:
    """Sends messages; a number between them is seconds of work."""
    for step in steps:
        if isinstance(step, dict):
            await send(step)
        else:
            host.go_on(step)


TRAILERS = {"type": "http.response.trailers", "headers": []}


@pytest.mark.parametrize(
    ("steps", "duration_s"),
    [
        pytest.param([1, START, LAST, 5], 1, id="what is done after the answer is background"),
        pytest.param([START, *[0.5, CHUNK] * 4, 1, LAST, 5], 3, id="a stream lasts until its last chunk"),
        pytest.param([1, START, 1], 2, id="a return without a last chunk"),
        pytest.param(
            [{**START, "trailers": True}, 1, LAST, 1, {**TRAILERS, "more_trailers": True}, 1, TRAILERS, 5], 3,
            id="trailers that were announced come last",
        ),
        pytest.param([{**START, "trailers": True}, 1, LAST, 1], 2, id="trailers that never come"),
        pytest.param([START, 2, {"type": "http.response.pathsend", "path": "/x"}, 5], 2, id="a file"),
        pytest.param(
            [START, {"type": "http.response.zerocopysend", "file": 3, "more_body": True}, 2,
             {"type": "http.response.zerocopysend", "file": 3}, 5], 2, id="pieces of a file",
        ),
        pytest.param([{"type": "http.response.early_hint", "links": []}, 1, START, LAST, 5], 1, id="hints before it"),
    ],
)  # fmt: skip
def test_a_request_ends_with_its_last_message(host: Host, steps: list[Any], duration_s: float) -> None:
    served = Served(host, lambda scope, receive, send: sending(host, send, *steps))
    answer = get(served.app, "/")
    assert answer.messages == [step for step in steps if isinstance(step, dict)]
    result = served.result()
    assert result.duration_s == pytest.approx(duration_s)
    assert result.energy_j == pytest.approx(100.0 * duration_s, rel=1e-9)
    assert result.status == 200


def test_a_head_request_ends_alike(host: Host) -> None:
    served = Served(host, lambda scope, receive, send: sending(host, send, 1, START, LAST, 1))
    get(served.app, "/", method="HEAD")
    assert served.result().duration_s == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("before", "error", "status"),
    [
        ([1], RuntimeError("broken"), 500),
        ([1, START], RuntimeError("broken in the middle"), 500),
        ([1], asyncio.CancelledError(), 499),
        ([1, START], asyncio.CancelledError(), 200),
        ([1], KeyboardInterrupt(), 499),
    ],
)
def test_an_error_ends_the_request_and_goes_on_its_way(
    host: Host, before: list[Any], error: BaseException, status: int
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await sending(host, send, *before)
        raise error

    served = Served(host, app)

    async def asked() -> None:
        with pytest.raises(type(error)) as raised:
            await ask(served.app, "/")
        assert raised.value is error

    asyncio.run(asked())
    result = served.result()
    assert (result.duration_s, result.status) == (pytest.approx(1.0), status)
    assert [row.failed for row in seen(served.service).routes] == [int(status == 500)]


def test_an_application_that_answers_nothing_has_failed(host: Host) -> None:
    served = Served(host, lambda scope, receive, send: sending(host, send))
    get(served.app, "/")
    assert served.result().status == 500


def test_a_client_that_leaves_while_its_answer_is_worked_out_ends_the_request(host: Host) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        host.go_on(1.0)
        assert (await receive())["type"] == "http.disconnect"
        host.go_on(5.0)  # it does not listen
        await sending(host, send, START, LAST)

    served = Served(host, app)
    get(served.app, "/", incoming=[GONE])
    assert (served.result().duration_s, served.result().status) == (pytest.approx(1.0), 499)


def test_a_handler_that_swallows_its_cancellation_ends_when_it_has_answered(host: Host) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await receive()
            await receive()
        await sending(host, send, 2, START, LAST, 1)

    async def cancelled() -> None:
        task = asyncio.create_task(ask(served.app, "/"))
        await asyncio.sleep(0)
        task.cancel()
        await task

    served = Served(host, app)
    asyncio.run(cancelled())
    assert (served.result().duration_s, served.result().status) == (pytest.approx(2.0), 200)


def test_a_request_that_is_thrown_away_in_another_context_is_ended(host: Host) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()

    served = Served(host, app)

    async def nothing() -> Any:
        await asyncio.Event().wait()

    call = served.app(http_scope("/"), nothing, nothing)
    loop = asyncio.new_event_loop()
    copy_context().run(loop.call_soon, call.send, None)
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()
    call.close()
    assert served.result().status == 499
    assert current().id == ""


def test_websockets_and_lifespans_pass_as_they_are(host: Host) -> None:
    seen_types: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen_types.append(scope["type"])
        assert "joulegram.service" not in scope
        assert current().id == ""
        while scope["type"] == "lifespan" and (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": f"{scope['type']}.bye"})

    service = host.serve()
    middleware = FootprintMiddleware(app, service=service)
    assert asyncio.run(lifespan(middleware)) == ["lifespan.startup.complete", "lifespan.bye"]

    def sent(message: Any) -> None:
        assert message == {"type": "websocket.bye"}

    get(middleware, "/chat", type="websocket", on_message=sent)
    assert seen_types == ["lifespan", "websocket"]
    host.go_on(1.0)
    assert seen(service).routes == ()


def test_a_middleware_that_is_added_twice_counts_once(host: Host) -> None:
    inner = FootprintMiddleware(lambda scope, receive, send: sending(host, send, 1, START, LAST), service=host.serve())
    served = Served(host, inner)
    get(served.app, "/")
    assert served.result().energy_j == pytest.approx(100.0, rel=1e-9)
    assert [(row.service, row.requests) for row in seen(served.service).routes] == [("s", 1)]


def test_requests_of_one_application_that_asks_another_in_its_process_keep_their_own(host: Host) -> None:
    async def asking(scope: Any, receive: Any, send: Any) -> None:
        await ask(inner.app, "/inner")
        current().add(tokens=3)
        await sending(host, send, START, LAST)

    async def asked(scope: Any, receive: Any, send: Any) -> None:
        current().add(tokens=5)
        await sending(host, send, START, LAST)

    inner, outer = Served(host, asked), Served(host, asking)
    get(outer.app, "/outer")
    assert (outer.result().tokens, inner.result().tokens) == (3.0, 5.0)
    assert current().id == ""


@pytest.mark.parametrize("path", ["/health", "/health/", "/health/deep", "/metrics", "/footprint/abc"])
def test_excluded_paths_are_not_counted_and_what_they_use_is_nobodys(host: Host, path: str) -> None:
    served = Served(host, lambda scope, receive, send: sending(host, send, 1, START, LAST))
    answer = get(served.app, path)
    assert answer.messages == [START, LAST]
    assert answer.scope["joulegram.service"] is served.service
    host.go_on(1.0)
    snapshot = seen(served.service)
    assert snapshot.routes == ()
    assert snapshot.channels[GPU].unattributed_j == pytest.approx(snapshot.channels[GPU].meter_j, abs=10.0)


@pytest.mark.parametrize(
    ("exclude", "path", "root_path", "is_counted"),
    [
        (["/private/"], "/private", "", False),
        ("/private", "/private/x", "", False),
        (["/private"], "/private2", "", True),
        (["/"], "/", "", False),
        (["/"], "/x", "", True),
        ([], "/health", "", True),
        (["/health"], "/api/health", "/api", False),
        (["/health"], "/health", "/api", False),
        (iter(["/a"]), "/a/b", "", False),
    ],
)
def test_what_is_excluded_is_for_the_user_to_say(
    host: Host, exclude: Any, path: str, root_path: str, is_counted: bool
) -> None:
    served = Served(host, lambda scope, receive, send: sending(host, send, START, LAST), exclude=exclude)
    get(served.app, path, root_path=root_path)
    host.go_on(1.0)
    assert bool(seen(served.service).routes) == is_counted


@pytest.mark.parametrize("wrong", ["health", ["health"], [b"/health"], [""]])
def test_paths_that_are_none_are_refused_in_one_line(host: Host, wrong: Any) -> None:
    with pytest.raises(ValueError, match="a list of paths that begin with / is needed"):
        FootprintMiddleware(host, service=host.serve(), exclude=wrong)  # type: ignore[arg-type]


def test_a_service_and_settings_for_another_are_refused(host: Host) -> None:
    with pytest.raises(ValueError, match="not both"):
        FootprintMiddleware(host, "name", service=host.serve())  # type: ignore[arg-type]


def test_all_that_a_service_may_be_given_is_spelt_out() -> None:
    taken = set(inspect.signature(joulegram.serve).parameters) - {"name"}
    assert set(Settings.__annotations__) == taken


def test_an_applications_own_messages_are_not_changed(host: Host) -> None:
    start = {**START, "headers": [(b"content-length", b"4")]}
    served = Served(host, lambda scope, receive, send: sending(host, send, start, LAST), headers=True)
    first, second = get(served.app, "/"), get(served.app, "/")
    assert start["headers"] == [(b"content-length", b"4")]
    assert len(first.start["headers"]) == len(second.start["headers"]) == 2
    assert first.headers["footprint-id"] != second.headers["footprint-id"]


# -- labels ---------------------------------------------------------------------------------------------------------


def test_no_path_becomes_a_label(host: Host) -> None:
    served = Served(host, lambda scope, receive, send: sending(host, send, START, LAST))

    async def many() -> None:
        for number in range(10_000):
            await ask(served.app, f"/items/{number}")
            if not number % 2_000:
                host.go_on(0.1)

    asyncio.run(many())
    host.go_on(1.0)
    assert [(row.route, row.requests) for row in seen(served.service).routes] == [("unmatched", 10_000)]


@given(path=st.text(max_size=200), root=st.text(max_size=20), headers=st.dictionaries(st.text(), st.text(), max_size=3))
def test_hostile_paths_and_headers_are_served_and_leave_no_trace(path: str, root: str, headers: dict[str, str]) -> None:
    labels: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await send(LAST)

    with joulegram.Service("s", {}) as service:
        service.close()  # counts nothing: this is about the middleware
        middleware = FootprintMiddleware(app, service=service, exclude=())
        told = middleware.counting.label
        middleware.counting.label = lambda scope: labels.append(told(scope)) or labels[-1]  # type: ignore[func-returns-value]
        answer = get(middleware, "/" + path, root_path=root)
    assert answer.messages == [START, LAST]
    assert labels == ["unmatched"]


def test_a_path_of_64_kilobytes_and_of_control_characters_is_served(host: Host) -> None:
    served = Served(host, lambda scope, receive, send: sending(host, send, START, LAST), headers=True)
    for path in ("/" + "x" * 65_536, "/\x00\r\nSet-Cookie: a=b", "/\u202e\udc80", "/{name}"):
        answer = get(served.app, path)
        assert answer.status == 200
        assert set(answer.headers) == {"content-type", "footprint-id"}
    host.go_on(1.0)
    assert [row.route for row in seen(served.service).routes] == ["unmatched"]


def test_a_label_of_ones_own_goes_before_the_routers(host: Host) -> None:
    served = Served(host, lambda scope, receive, send: sending(host, send, 1, START, LAST), route=label)
    for path in ("/model/small", "/model/large", "/other"):
        get(served.app, path)
    host.go_on(1.0)
    snapshot = seen(served.service)
    assert {row.route for row in snapshot.routes} == {"model small", "model large", "unmatched"}
    assert route_j(snapshot, "model small") == pytest.approx(100.0, rel=1e-9)


def label(scope: Any) -> str | None:
    model = scope["path"].removeprefix("/model/")
    return f"model {model}" if model != scope["path"] else None


def test_more_labels_than_can_be_told_apart_are_one(host: Host) -> None:
    served = Served(
        host, lambda scope, receive, send: sending(host, send, START, LAST), route=lambda scope: scope["path"]
    )
    for number in range(1_000):
        get(served.app, f"/{number}/" + "\x00\n\"\\'" * 1_000)
    host.go_on(1.0)
    rows = seen(served.service).routes
    assert len(rows) <= 200
    assert sum(row.requests for row in rows) == 1_000
    assert all(len(row.route.encode()) <= 120 for row in rows)


# -- never the application's trouble -----------------------------------------------------------------------------------


def test_a_label_that_cannot_be_told_is_said_once_and_the_routers_stands(
    host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    class Route:
        path_format = "/items/{id}"

    class Nameless:
        def __str__(self) -> str:
            raise RuntimeError("no name")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["route"] = Route()
        await sending(host, send, START, LAST)

    def raising(scope: Any) -> Any:
        return Nameless() if scope["path"] == "/nameless" else scope["no such key"]

    served = Served(host, app, route=raising)
    for path in ("/a", "/b", "/nameless"):
        assert get(served.app, path).status == 200
    host.go_on(1.0)
    assert [(row.route, row.requests) for row in seen(served.service).routes] == [("/items/{id}", 3)]
    assert [record.message for record in caplog.records] == [
        "joulegram could not tell its requests' costs: KeyError('no such key')"
    ]


class BrokenService(joulegram.Service):
    """One in which everything fails."""

    def __init__(self) -> None:
        super().__init__("broken", {})

    def begin(self, route: str = "", weight: float = 1.0) -> joulegram.Request:
        raise RuntimeError("out of order")

    def start(self) -> None:
        raise RuntimeError("out of order")


def test_a_service_that_fails_is_said_once_and_requests_go_on(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            current().add(tokens=1)
            await send(START)
            await send(LAST)

    middleware = FootprintMiddleware(app, service=BrokenService())
    asyncio.run(lifespan(middleware))
    for _ in range(3):
        assert get(middleware, "/").messages == [START, LAST]
    assert [record.message for record in caplog.records] == [
        "joulegram could not tell its requests' costs: RuntimeError('out of order')"
    ]


def test_headers_that_cannot_be_told_are_left_out(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    odd = {**START, "headers": [("content-length", "4", "three of a pair")]}
    served = Served(host, lambda scope, receive, send: sending(host, send, odd, LAST), headers=True)
    assert get(served.app, "/").messages == [odd, LAST]
    assert len(caplog.records) == 1


def test_settings_that_are_not_understood_are_said_and_the_application_serves(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("JOULEGRAM_PUE", "very good")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        current().add(tokens=1)
        await send(START)
        await send(LAST)

    middleware = FootprintMiddleware(app, "captions", headers=True)
    assert get(middleware, "/").messages == [START, LAST]
    (record,) = caplog.records
    assert record.message.startswith("joulegram counts no requests: ")
    assert "pue" in record.message.lower()


def test_nothing_is_counted_where_joulegram_is_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOULEGRAM_DISABLED", "1")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        current().add(tokens=1)
        await send(START)
        await send(LAST)

    middleware = FootprintMiddleware(app, "captions", headers=True)
    assert get(middleware, "/").messages == [START, LAST]
    assert middleware.service.snapshot() is None


def test_a_meter_that_dies_holds_up_nobody_and_its_gap_is_settled_when_it_returns(host: Host) -> None:
    served = Served(host, lambda scope, receive, send: sending(host, send, 2, START, LAST), headers=True)
    get(served.app, "/")
    before = seen(served.service)
    reads = host.counter.read
    host.counter.read = lambda: [nan]  # type: ignore[method-assign]
    assert get(served.app, "/").status == 200
    waiting = seen(served.service)
    assert served.service.result(served.ids[-1]) is None
    host.counter.read = reads  # type: ignore[method-assign]
    assert served.result().energy_j == pytest.approx(200.0, rel=1e-9)
    meters = [snapshot.channels[GPU].meter_j for snapshot in (before, waiting, seen(served.service))]
    assert meters == sorted(meters)


def test_errors_are_counted_where_starlette_makes_answers_of_them(host: Host) -> None:
    applications = pytest.importorskip("starlette.applications")
    exceptions = pytest.importorskip("starlette.exceptions")
    routing = pytest.importorskip("starlette.routing")

    async def teapot(request: Any) -> Any:
        raise exceptions.HTTPException(418)

    async def broken(request: Any) -> Any:
        raise RuntimeError("broken")

    async def sorry(request: Any, problem: Exception) -> Any:
        return pytest.importorskip("starlette.responses").PlainTextResponse("sorry", 503)

    routes = [routing.Route("/teapot", teapot), routing.Route("/broken", broken)]
    app, service = applications.Starlette(routes=routes, exception_handlers={500: sorry}), host.serve()
    app.add_middleware(FootprintMiddleware, service=service)
    assert get(app, "/teapot").status == 418
    with pytest.raises(RuntimeError):
        get(app, "/broken")
    host.go_on(1.0)
    assert {row.route: (row.requests, row.failed) for row in seen(service).routes} == {
        "/teapot": (1, 0),
        "/broken": (1, 1),
    }


def test_an_application_that_is_mounted_may_have_it_alone(host: Host) -> None:
    fastapi = pytest.importorskip("fastapi")
    outer, inner, service = fastapi.FastAPI(), fastapi.FastAPI(), host.serve()
    inner.get("/items/{id}")(lambda: "here")
    inner.get("/health")(lambda: "well")
    inner.add_middleware(FootprintMiddleware, service=service)
    outer.get("/outside")(lambda: "here")
    outer.mount("/of/{tenant}", inner)
    for path in ("/of/acme/items/3", "/of/acme/health", "/outside"):
        assert get(outer, path).status == 200
    host.go_on(1.0)
    assert [(row.route, row.requests) for row in seen(service).routes] == [("/of/{tenant}/items/{id}", 1)]


# -- starting and stopping ---------------------------------------------------------------------------------------------


@pytest.fixture
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.usefixtures("quiet")
def test_counting_starts_and_stops_with_the_application_and_starts_again_with_it() -> None:
    alive: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await receive()
            return
        alive.append(current().id)
        await send(START)
        await send(LAST)

    middleware = FootprintMiddleware(app, "captions")
    for _ in range(2):
        asyncio.run(lifespan(middleware, lambda: ask(middleware, "/")))
        asyncio.run(ask(middleware, "/after"))  # a straggler is served, and not counted
    assert [bool(request) for request in alive] == [True, False, True, False]


@pytest.mark.usefixtures("quiet")
def test_an_application_without_a_lifespan_counts_from_its_first_request() -> None:
    ids: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        ids.append(current().id)
        await send(START)
        await send(LAST)

    middleware = FootprintMiddleware(app, "captions")

    async def served() -> Answer:
        with pytest.raises(AssertionError):
            await lifespan(middleware)
        return await ask(middleware, "/")

    asyncio.run(served())
    assert ids[0]
    middleware.service.close()


def test_who_gave_a_service_closes_it(host: Host) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await receive()

    service = host.serve()
    asyncio.run(lifespan(FootprintMiddleware(app, service=service)))
    assert service.begin("/still").id
