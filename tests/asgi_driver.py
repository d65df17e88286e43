"""A client and a server of ASGI in one process, without a network: it speaks to an application as a server does."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Answer:
    """What an application sent, and what it left in the scope."""

    scope: dict[str, Any]
    messages: list[dict[str, Any]] = field(default_factory=list)

    @property
    def start(self) -> dict[str, Any]:
        return next(message for message in self.messages if message["type"] == "http.response.start")

    @property
    def status(self) -> int:
        return int(self.start["status"])

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode().lower(): value.decode() for name, value in self.start["headers"]}

    @property
    def text(self) -> str:
        return b"".join(m.get("body", b"") for m in self.messages if m["type"] == "http.response.body").decode()


def http_scope(path: str, method: str = "GET", headers: Mapping[str, str] | None = None, **more: Any) -> dict[str, Any]:
    """What a server says of a request."""
    return {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "method": method,
        "scheme": "http", "path": path, "raw_path": path.encode("utf-8", "surrogateescape"), "query_string": b"",
        "root_path": "", "headers": [(n.lower().encode(), v.encode()) for n, v in (headers or {}).items()],
        "client": ("198.51.100.7", 50000), "server": ("198.51.100.1", 80), **more,
    }  # fmt: skip


async def ask(
    app: Any, path: str, *, on_message: Callable[..., Any] | None = None, incoming: Iterable[Any] = (), **about: Any
) -> Answer:
    """One request.

    Args:
        app: the application.
        path: what is asked for.
        on_message: called with each message that the application sends; may be a coroutine function.
        incoming: what the application receives after an empty body; an `asyncio.Event` is a wait for it.
        about: of `http_scope`.
    """
    answer = Answer(http_scope(path, **about))
    coming = iter([{"type": "http.request", "body": b"", "more_body": False}, *incoming])

    async def receive() -> dict[str, Any]:
        for message in coming:
            if isinstance(message, asyncio.Event):
                await message.wait()
            else:
                return dict(message)
        await asyncio.Event().wait()  # a client that stays, and says nothing more
        raise AssertionError

    async def send(message: dict[str, Any]) -> None:
        answer.messages.append(dict(message))
        if on_message is not None:
            result = on_message(message)
            if inspect.isawaitable(result):
                await result

    await app(answer.scope, receive, send)
    return answer


def get(app: Any, path: str, **about: Any) -> Answer:
    """One request, in an event loop of its own."""
    return asyncio.run(ask(app, path, **about))


async def lifespan(app: Any, between: Callable[[], Any] = lambda: None) -> list[str]:
    """Starts an application and stops it; what it sent.

    Args:
        app: the application.
        between: called once it has started.
    """
    sent: list[str] = []
    incoming = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

    async def receive() -> dict[str, Any]:
        message = next(incoming)
        if message["type"] == "lifespan.shutdown":
            result = between()
            if inspect.isawaitable(result):
                await result
        return message

    async def send(message: dict[str, Any]) -> None:
        sent.append(message["type"])

    await app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, receive, send)
    return sent
