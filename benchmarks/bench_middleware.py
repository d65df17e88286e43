"""What the ASGI middleware adds to a request and to a streamed chunk, over one that does nothing."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

from measure import Figure, seconds_of

import joulegram
from joulegram_serve import FootprintMiddleware

PAIRS = 60
REQUESTS, STREAMS, CHUNKS = 200, 20, 100

# Another process of the same host, which starts first and therefore keeps the books.
OWNER = """
import sys
import joulegram
service = joulegram.serve("owner")
service.start()
while service.snapshot() is None:
    pass
print("ready", flush=True)
sys.stdin.read()
service.close()
"""


class Route:
    """What a router leaves in the scope."""

    path_format = "/items/{id}"


ROUTE = Route()
START = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]}
STREAM = {"type": "http.response.start", "status": 200, "headers": []}
CHUNK = {"type": "http.response.body", "body": b"more", "more_body": True}
LAST = {"type": "http.response.body", "body": b"done"}


class Nothing:
    """A middleware that does nothing."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


async def answers(scope: Any, receive: Any, send: Any) -> None:
    scope["route"] = ROUTE
    await receive()
    await send(START)
    await send(LAST)


async def streams(scope: Any, receive: Any, send: Any) -> None:
    scope["route"] = ROUTE
    await receive()
    await send(STREAM)
    for _ in range(CHUNKS):
        await send(CHUNK)
    await send(LAST)


async def receive() -> Any:
    return {"type": "http.request"}


async def send(message: Any) -> None: ...


async def drive(app: Any, requests: int) -> None:
    for _ in range(requests):
        await app({"type": "http", "method": "GET", "path": "/items/3", "root_path": "", "headers": []}, receive, send)


def measure(full: bool) -> Iterator[Figure]:
    with subprocess.Popen([sys.executable, "-c", OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        owner.stdout.readline()
        with joulegram.serve("worker") as service:
            yield _added("a request, several processes", answers, 15.0, "this one does not keep the books", service)
    with joulegram.serve("alone") as service:
        time.sleep(1.0)
        plain = _added("a request, one process", answers, 5.0, "it keeps the books too", service)
        yield plain
        yield _added("a request with headers for its cost", answers, None, "", service, headers=True)
        yield _added("a health check", answers, None, "it is not counted", service, exclude=["/items"])
        counted, nothing = _pairs(FootprintMiddleware(streams, service=service), Nothing(streams), STREAMS)
        whole = [(a - b) for a, b in zip(counted, nothing, strict=True)]
        chunk = [(added_us - plain.median) / CHUNKS for added_us in whole]
        yield Figure("a streamed chunk", chunk, "µs", 0.5, f"{CHUNKS} of them, less what a request takes")


def _added(what: str, app: Any, most_us: float | None, note: str, service: joulegram.Service, **options: Any) -> Figure:
    counted, nothing = _pairs(FootprintMiddleware(app, service=service, **options), Nothing(app), REQUESTS)
    added_us = [a - b for a, b in zip(counted, nothing, strict=True)]
    return Figure(what, added_us, "µs", most_us, note)


def _pairs(counted: Any, nothing: Any, requests: int) -> tuple[list[float], list[float]]:
    """Microseconds of a request through each, one batch of each in turn."""
    times_us: tuple[list[float], list[float]] = [], []
    loop = asyncio.new_event_loop()
    for _ in range(PAIRS):
        for app, times in zip((counted, nothing), times_us, strict=True):
            loop.run_until_complete(drive(app, requests))  # after the pause: a server under load is warm
            batch = drive(app, requests)
            times.append(seconds_of(partial(loop.run_until_complete, batch)) / requests * 1e6)
        time.sleep(0.05)
    loop.close()
    return times_us
