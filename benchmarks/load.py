"""A server on loopback and a load for it, each in a process of its own; `bench_server.py` starts both.

python load.py serve noop|footprint|settle PORT     answers until its standard input ends
python load.py ask PORT RATE SECONDS                prints the latencies of its requests (s) as JSON
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import threading
import time
from collections import deque
from typing import Any

import psutil

WAIT = b"x-wait-s"
"""How long the handler waits before it answers, as a model on another device makes it wait."""
CONNECTIONS = 400


async def application(scope: Any, receive: Any, send: Any) -> None:
    """An inference that keeps the event loop free."""
    if scope["type"] != "http":
        return
    wait_s = float(dict(scope["headers"]).get(WAIT, b"0"))
    await asyncio.sleep(wait_s)
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"ok"})


class NoOp:
    """A middleware that does nothing."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


class Told:
    """Outside of all: what the server's process knows of itself, at ``/told``."""

    def __init__(self, app: Any, service: Any) -> None:
        self.app, self.service = app, service

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["path"] != "/told":
            return await self.app(scope, receive, send)
        content = json.dumps(self.told()).encode()
        headers = [(b"content-length", str(len(content)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    def told(self) -> dict[str, Any]:
        process = psutil.Process()
        told: dict[str, Any] = {"rss_mib": process.memory_info().rss / 2**20, "cpu_s": sum(process.cpu_times()[:2])}
        snapshot = self.service.snapshot() if self.service is not None else None
        if snapshot is not None:
            told["in_flight"], told["lost"] = snapshot.in_flight, snapshot.lost
            told["requests"] = sum(route.requests for route in snapshot.routes)
            told["pending_j"] = sum(channel.pending_j for channel in snapshot.channels.values())
            told["off"] = [
                abs(snapshot.energy_j(channel.id) + channel.pending_j - channel.meter_j) / channel.meter_j
                for channel in snapshot.channels.values()
                if channel.meter_j
            ]
        return told


def serve(which: str, port: int) -> None:
    """Serves until nobody wants it any more."""
    import uvicorn

    from joulegram_serve import FootprintMiddleware

    service, app = None, NoOp(application)
    if which == "footprint":
        middleware = FootprintMiddleware(application, "bench")
        service, app = middleware.service, middleware
        service.start()
    told = Told(app, service)
    config = uvicorn.Config(told, port=port, log_level="warning", access_log=False, lifespan="off")
    server = uvicorn.Server(config)

    def wait() -> None:
        sys.stdin.read()
        server.should_exit = True

    threading.Thread(target=wait, daemon=True).start()
    gc.freeze()
    server.run()


class Client(asyncio.Protocol):
    """One connection: one request at a time."""

    def __init__(self) -> None:
        self.transport: Any = None
        self.sent_s = 0.0
        self.content = b""
        self.answered: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def ask(self, path: str, wait_s: float, answered: Any, sent_s: float) -> None:
        self.answered, self.sent_s, self.content = answered, sent_s, b""
        head = f"GET {path} HTTP/1.1\r\nhost: localhost\r\nx-wait-s: {wait_s}\r\n\r\n"
        self.transport.write(head.encode())

    def data_received(self, data: bytes) -> None:
        self.content += data
        head, whole, body = self.content.partition(b"\r\n\r\n")
        if whole and len(body) >= int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or b"0"):
            self.answered(self, head, body)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.answered is not None:
            self.answered(self, b"", b"")


async def ask(port: int, rate: float, seconds: float, wait_s: float) -> dict[str, Any]:
    """Requests at a steady rate, whether or not those before were answered."""
    loop = asyncio.get_running_loop()
    free = deque[Client]()
    for _ in range(CONNECTIONS):
        free.append((await loop.create_connection(Client, "127.0.0.1", port))[1])
    latencies_s: list[float] = []
    failed = sent = most_in_flight = 0

    def answered(client: Client, head: bytes, _: bytes) -> None:
        nonlocal failed
        client.answered = None
        if head.startswith(b"HTTP/1.1 200"):
            latencies_s.append(time.perf_counter() - client.sent_s)
            free.append(client)
        else:
            failed += 1

    started_s = time.perf_counter()
    while (now_s := time.perf_counter() - started_s) < seconds:
        while sent < now_s * rate and free:
            # The latency counts from when the request was due: a server that holds up the next ones is not spared.
            free.popleft().ask(f"/{sent % 20}", wait_s, answered, started_s + sent / rate)
            sent += 1
            most_in_flight = max(most_in_flight, sent - len(latencies_s) - failed)
        await asyncio.sleep(0.0005)
    for _ in range(400):
        if len(latencies_s) + failed == sent:
            break
        await asyncio.sleep(0.025)
    unanswered = sent - len(latencies_s) - failed
    return {"latencies_s": latencies_s, "failed": failed + unanswered, "sent": sent, "in_flight": most_in_flight}


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2], int(sys.argv[3]))
    else:
        port, rate, seconds, wait_s = int(sys.argv[2]), *map(float, sys.argv[3:])
        gc.disable()
        print(json.dumps(asyncio.run(ask(port, rate, seconds, wait_s))))
