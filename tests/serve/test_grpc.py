"""gRPC: a call ends where its handler does, sync and aio, in all four ways; its code is its status."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from servers import Host, seen
from worlds import until

grpc = pytest.importorskip("grpc")

from joulegram_serve import current  # noqa: E402
from joulegram_serve.grpc import AioFootprintInterceptor, FootprintInterceptor  # noqa: E402

WAYS = {
    "One": grpc.unary_unary_rpc_method_handler,
    "Stream": grpc.unary_stream_rpc_method_handler,
    "Collect": grpc.stream_unary_rpc_method_handler,
    "Chat": grpc.stream_stream_rpc_method_handler,
}


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


class Sync:
    """A service's methods."""

    def One(self, asked: bytes, context: Any) -> bytes:
        current().add(tokens=1)
        context.set_trailing_metadata((("mine", "1"),))
        if asked == b"missing":
            context.abort(grpc.StatusCode.NOT_FOUND, "no such thing")
        if asked == b"broken":
            raise RuntimeError("no")
        if asked == b"said":
            context.set_code(grpc.StatusCode.UNAVAILABLE)
        return asked

    def Stream(self, asked: bytes, context: Any) -> Iterator[bytes]:
        for _ in range(3):
            current().add(tokens=1)
            yield asked

    def Collect(self, asked: Iterator[bytes], context: Any) -> bytes:
        current().add(tokens=10)
        return b"".join(asked)

    def Chat(self, asked: Iterator[bytes], context: Any) -> Iterator[bytes]:
        for one in asked:
            current().add(tokens=100)
            yield one


class Aio:
    """The same for an event loop."""

    async def One(self, asked: bytes, context: Any) -> bytes:
        current().add(tokens=1)
        context.set_trailing_metadata((("mine", "1"),))
        if asked == b"missing":
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such thing")
        if asked == b"broken":
            raise RuntimeError("no")
        if asked == b"said":
            context.set_code(grpc.StatusCode.UNAVAILABLE)
        return asked

    async def Stream(self, asked: bytes, context: Any) -> AsyncIterator[bytes]:
        for _ in range(3):
            current().add(tokens=1)
            yield asked

    async def Collect(self, asked: AsyncIterator[bytes], context: Any) -> bytes:
        current().add(tokens=10)
        return b"".join([one async for one in asked])

    async def Chat(self, asked: AsyncIterator[bytes], context: Any) -> None:
        async for one in asked:
            current().add(tokens=100)
            await context.write(one)


def handlers(methods: Any, service: str = "captions.Captioner") -> Any:
    made = {name: make(getattr(methods, name)) for name, make in WAYS.items()}
    return grpc.method_handlers_generic_handler(service, made)


@contextmanager
def sync_server(interceptor: Any) -> Iterator[Any]:
    server = grpc.server(ThreadPoolExecutor(4), interceptors=[interceptor])
    server.add_generic_rpc_handlers((handlers(Sync()), handlers(Sync(), "grpc.health.v1.Health")))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield channel
    finally:
        server.stop(None).wait()


@contextmanager
def aio_server(interceptor: Any, methods: Any = None) -> Iterator[Any]:
    """An aio server in a thread of its own, and a plain channel to it."""
    loop = asyncio.new_event_loop()
    server: Any = None

    async def start() -> int:
        nonlocal server
        server = grpc.aio.server(interceptors=[interceptor])
        server.add_generic_rpc_handlers((handlers(methods or Aio()), handlers(Aio(), "grpc.health.v1.Health")))
        port: int = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        return port

    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(loop.run_forever)
        port = asyncio.run_coroutine_threadsafe(start(), loop).result(10)
        try:
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                yield channel
        finally:
            asyncio.run_coroutine_threadsafe(server.stop(None), loop).result(10)
            loop.call_soon_threadsafe(loop.stop)
            running.result(10)
            loop.close()


SERVERS = [
    pytest.param(sync_server, FootprintInterceptor, id="sync"),
    pytest.param(aio_server, AioFootprintInterceptor, id="aio"),
]
SYNC_ON_AIO = pytest.param(
    lambda it: aio_server(it, Sync()), AioFootprintInterceptor, id="sync handlers of an aio server"
)


def rows(host: Host, service: Any, requests: int) -> dict[str, tuple[int, int, float]]:
    def counted() -> bool:
        host.go_on(0.5)
        return sum(row.requests for row in seen(service).routes) == requests

    until(counted, f"{requests} calls")
    assert seen(service).in_flight == 0
    return {row.route.rpartition("/")[2]: (row.requests, row.failed, row.tokens) for row in seen(service).routes}


@pytest.mark.parametrize(("serving", "interceptor"), [*SERVERS, SYNC_ON_AIO])
def test_all_four_ways_are_answered_as_before_and_counted(
    host: Host, serving: Callable[[Any], Any], interceptor: Any
) -> None:
    service = host.serve()
    with serving(interceptor(service=service)) as channel:
        name = "/captions.Captioner/"
        assert channel.unary_unary(name + "One")(b"a") == b"a"
        assert list(channel.unary_stream(name + "Stream")(b"b")) == [b"b"] * 3
        assert channel.stream_unary(name + "Collect")(iter([b"c", b"d"])) == b"cd"
        assert list(channel.stream_stream(name + "Chat")(iter([b"e", b"f"]))) == [b"e", b"f"]
        assert channel.unary_unary("/grpc.health.v1.Health/One")(b"a") == b"a"
        found = rows(host, service, 4)
    assert found == {"One": (1, 0, 1.0), "Stream": (1, 0, 3.0), "Collect": (1, 0, 10.0), "Chat": (1, 0, 200.0)}


@pytest.mark.parametrize(("serving", "interceptor"), SERVERS)
def test_a_calls_code_is_its_status_and_errors_stay_what_they_were(
    host: Host, serving: Callable[[Any], Any], interceptor: Any
) -> None:
    service = host.serve()
    codes = []
    with serving(interceptor(service=service)) as channel:
        for asked in (b"missing", b"broken", b"said", b"fine"):
            try:
                channel.unary_unary("/captions.Captioner/One")(asked)
            except grpc.RpcError as error:
                codes.append(error.code().name)  # type: ignore[attr-defined]
        with pytest.raises(grpc.RpcError, match="UNIMPLEMENTED"):
            channel.unary_unary("/captions.Captioner/Nothing")(b"a")
        assert codes == ["NOT_FOUND", "UNKNOWN", "UNAVAILABLE"]
        assert rows(host, service, 4) == {"One": (4, 2, 4.0)}


@pytest.mark.parametrize(("serving", "interceptor"), [*SERVERS, SYNC_ON_AIO])
def test_a_client_that_leaves_its_stream_ends_the_call(
    host: Host, serving: Callable[[Any], Any], interceptor: Any
) -> None:
    service = host.serve()
    with serving(interceptor(service=service)) as channel:
        chat = channel.stream_stream("/captions.Captioner/Chat")(iter([b"a"]))
        assert next(chat) == b"a"
        stream = channel.unary_stream("/captions.Captioner/Stream")(b"b")
        assert next(stream) == b"b"
        chat.cancel()
        stream.cancel()
        found = rows(host, service, 2)
    assert {route: (requests, failed) for route, (requests, failed, _) in found.items()} == {
        "Chat": (1, 0), "Stream": (1, 0)
    }  # fmt: skip


@pytest.mark.parametrize(("serving", "interceptor"), SERVERS)
def test_trailing_metadata_tell_the_cost_beside_the_handlers_own(
    host: Host, serving: Callable[[Any], Any], interceptor: Any
) -> None:
    service = host.serve()
    for _ in range(2):  # what a request costs by now is known once some have been charged
        request = service.begin("/a")
        host.go_on(3.0)
        request.end(200)
    with serving(interceptor(service=service, headers=True)) as channel:
        response, call = channel.unary_unary("/captions.Captioner/One").with_call(b"a")
        told = {item.key: item.value for item in call.trailing_metadata()}
        assert response == b"a"
        assert told["mine"] == "1"
        assert str(told["energy-joules"]).endswith(";est")
        host.go_on(1.0)
        assert service.result(str(told["footprint-id"])) is not None
        *_, call = channel.unary_unary("/grpc.health.v1.Health/One").with_call(b"a")
        assert [item.key for item in call.trailing_metadata()] == ["mine"]


def test_where_nothing_tells_a_code_a_call_that_raised_has_failed_and_no_metadata_are_lost(host: Host) -> None:
    service = host.serve()
    with aio_server(AioFootprintInterceptor(service=service, headers=True), Sync()) as channel:
        _, call = channel.unary_unary("/captions.Captioner/One").with_call(b"a")
        assert [item.key for item in call.trailing_metadata()] == ["mine"]
        with pytest.raises(grpc.RpcError, match="NOT_FOUND"):
            channel.unary_unary("/captions.Captioner/One")(b"missing")
        assert rows(host, service, 2) == {"One": (2, 1, 2.0)}
