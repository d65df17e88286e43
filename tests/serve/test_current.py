"""`current()` wherever an application may be when it knows what a request has done."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from asgi_driver import ask, get
from servers import Host, seen

import joulegram
from joulegram_serve import FootprintMiddleware, current

fastapi = pytest.importorskip("fastapi")

from fastapi.responses import StreamingResponse  # noqa: E402
from starlette.middleware.base import BaseHTTPMiddleware  # noqa: E402


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def adds(tokens: float) -> None:
    current().add(tokens=tokens)


async def depends_async() -> int:
    adds(1)
    return 1


def depends_sync() -> Iterator[int]:
    adds(2)
    yield 2
    adds(100)  # FastAPI lets go of it after the answer


def application() -> Any:
    app = fastapi.FastAPI()

    @app.get("/async")
    async def in_a_coroutine() -> None:
        adds(1)
        await asyncio.gather(*(asyncio.create_task(asyncio.sleep(0, adds(1))) for _ in range(2)))

    @app.get("/sync")
    def in_a_thread_of_the_pool() -> None:
        adds(3)

    @app.get("/to_thread")
    async def in_a_thread_that_was_asked() -> None:
        await asyncio.to_thread(adds, 3)

    @app.get("/by_hand")
    def in_a_thread_by_hand() -> None:
        request = current()
        thread = threading.Thread(target=lambda: (adds(100), request.add(tokens=3)))
        thread.start()
        thread.join()

    @app.get("/dependencies")
    async def with_dependencies(
        one: Annotated[int, fastapi.Depends(depends_async)], two: Annotated[int, fastapi.Depends(depends_sync)]
    ) -> None:
        await asyncio.sleep(0)

    @app.get("/background")
    async def with_background(tasks: fastapi.BackgroundTasks) -> None:
        adds(3)
        tasks.add_task(adds, 100)

    @app.get("/stream")
    async def streams() -> StreamingResponse:
        async def chunks() -> AsyncIterator[str]:
            for _ in range(3):
                adds(1)
                yield "token"

        return StreamingResponse(chunks())

    @app.get("/sync_stream")
    def streams_from_a_thread() -> StreamingResponse:
        def chunks() -> Iterator[str]:
            for _ in range(3):
                adds(1)
                yield "token"

        return StreamingResponse(chunks())

    return app


PATHS = [
    "/async", "/sync", "/to_thread", "/by_hand", "/dependencies", "/background", "/stream", "/sync_stream"
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("wrapped", [False, True], ids=["bare", "in BaseHTTPMiddleware"])
def test_what_a_request_has_done_is_told_from(host: Host, path: str, wrapped: bool) -> None:
    app, service = application(), host.serve()
    if wrapped:

        async def passes(request: Any, call_next: Any) -> Any:
            return await call_next(request)

        app.add_middleware(BaseHTTPMiddleware, dispatch=passes)
    app.add_middleware(FootprintMiddleware, service=service)
    assert get(app, path).status == 200
    host.go_on(1.0)
    assert [(row.route, row.requests, row.tokens) for row in seen(service).routes] == [(path, 1, 3.0)]


def test_requests_at_once_keep_their_own(host: Host) -> None:
    app, service = fastapi.FastAPI(), host.serve()

    @app.get("/{tokens}")
    def answers(tokens: int) -> None:
        for _ in range(tokens):
            adds(1)

    app.add_middleware(FootprintMiddleware, service=service, headers=True)

    async def many() -> list[str]:
        answered = await asyncio.gather(*(ask(app, f"/{tokens}") for tokens in range(50)))
        return [answer.headers["footprint-id"] for answer in answered]

    ids = asyncio.run(many())
    host.go_on(1.0)
    results = [service.result(request) for request in ids]
    assert [result and result.tokens for result in results] == [float(tokens) for tokens in range(50)]


def test_outside_of_any_request_everything_is_taken_and_nothing_counted() -> None:
    request = current()
    request.add(tokens=5)
    request.weigh(3.0)
    request.end(200)
    assert (request.id, request.tokens) == ("", 0.0)
    assert current().footprint().energy_j is None
    assert isinstance(request, joulegram.Request)
