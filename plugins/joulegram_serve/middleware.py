"""The middleware: tells the core when a request begins and ends, and on which route."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import joulegram
from joulegram_serve.asgi import SERVICE, App, Message, Receive, Scope, Send
from joulegram_serve.context import CURRENT
from joulegram_serve.headers import footprint_headers
from joulegram_serve.routes import UNMATCHED, route_of

log = logging.getLogger("joulegram")

EXCLUDED = (
    "/health", "/healthz", "/livez", "/readyz", "/ping", "/metrics", "/footprint", "/docs", "/redoc", "/openapi.json",
    "/favicon.ico",
)  # fmt: skip
"""What is asked by machines about the server, and not of the model."""
FAILED, CLIENT_GONE = 500, 499
"""Statuses of what has none: an exception, and a client that left before it was answered (nginx's number)."""


class FootprintMiddleware:
    """Counts what each HTTP request costs; websockets and lifespans pass through.

    A request begins when the middleware is called and ends with the first of: its last body message, the application
    returning or raising, the client's leaving. What the application does after that (background tasks) is not the
    request's. Counting starts with the application's lifespan, else with the first request.

    Example::

        app.add_middleware(FootprintMiddleware, name="captions", zone="DK-DK1")

    Args:
        app: the application.
        name: what is served; see `joulegram.serve`.
        service: what `joulegram.serve` returned, in place of a name and settings; who made it closes it.
        exclude: paths, with all below them, whose requests pay nothing. What they use is unattributed.
        route: the label of a request, called with its scope when it ends; None where it knows none, and then, as
            without this, the router's template is the label. Labels are for the server's owner to bound: the first 200
            are told apart.
        headers: whether responses tell their request's id, and, where the whole body was ready before its first byte,
            what it has cost so far. Energy can give away what was computed: not for clients that may not know.
        **settings: of `joulegram.serve`: ``zone``, ``project``, ``weigh_by``, …

    Raises:
        ConfigError: a setting is not understood.
        ValueError: a service is given, and settings for another.
    """

    def __init__(
        self,
        app: App,
        name: str | None = None,
        *,
        service: joulegram.Service | None = None,
        exclude: Iterable[str] = EXCLUDED,
        route: Callable[[Scope], str | None] | None = None,
        headers: bool = False,
        **settings: Any,
    ) -> None:
        if service is not None and (name is not None or settings):
            raise ValueError("FootprintMiddleware takes a service, or the name and settings of one, not both")
        if isinstance(exclude, str):
            raise ValueError(f"exclude = {exclude!r}: a list of paths is needed")
        self.app = app
        self._serve = None if service is not None else lambda: joulegram.serve(name, **settings)
        self.service = service if service is not None else joulegram.serve(name, **settings)
        self._excluded = frozenset(path.rstrip("/") for path in exclude)
        self._below = tuple(f"{path}/" for path in self._excluded)
        self._route = route
        self._headers = headers
        self._complained = self._is_closed = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request, a websocket or a lifespan to the application."""
        if scope["type"] == "lifespan":
            return await self._lifespan(scope, receive, send)
        if scope["type"] != "http" or SERVICE in scope:  # one around this one counts it already
            return await self.app(scope, receive, send)
        request = self._begin(scope)
        if request is None:
            return await self.app(scope, receive, send)
        exchange = _Exchange(self, request, scope, receive, send)
        token = CURRENT.set(request)
        try:
            await self.app(scope, exchange.receive, exchange.send)
        except BaseException as error:
            exchange.end(FAILED if isinstance(error, Exception) else exchange.status or CLIENT_GONE)
            raise
        finally:
            CURRENT.reset(token)
        exchange.end(exchange.status or FAILED)

    def _begin(self, scope: Scope) -> joulegram.Request | None:
        try:
            request = self.service.begin("", 0.0 if self._is_excluded(scope) else 1.0)
            scope[SERVICE] = self.service
            return request
        except Exception as problem:
            self.complain(problem)
            return None

    def _is_excluded(self, scope: Scope) -> bool:
        path: str = scope["path"]
        if scope.get("root_path"):
            path = path.removeprefix(scope["root_path"])
        return path in self._excluded or path.startswith(self._below)

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Counting starts with the application and stops after it, if the service is the middleware's own."""
        if self._serve is not None and self._is_closed:  # an application that is started again
            self.service, self._is_closed = self._serve(), False
        self.service.start()
        is_over = False

        async def receive_noting() -> Message:
            nonlocal is_over
            message = await receive()
            is_over = message["type"] == "lifespan.shutdown"
            return message

        try:
            await self.app(scope, receive_noting, send)
        finally:
            if is_over and self._serve is not None:
                self._is_closed = True
                self.service.close()

    # -- for its exchanges ----------------------------------------------------------------------------------------

    def label(self, scope: Scope) -> str:
        """The route's label."""
        try:
            told = self._route(scope) if self._route is not None else None
            return route_of(scope) if told is None else str(told)
        except Exception as problem:
            self.complain(problem)
            return UNMATCHED

    def on_start(self, request: joulegram.Request, message: Message) -> None:
        """A response begins."""
        if self._headers:
            try:
                message["headers"] = [*message.get("headers", ()), *footprint_headers(request, message)]
            except Exception as problem:
                self.complain(problem)

    def complain(self, problem: Exception) -> None:
        """Says what went wrong, once; the application never hears of it."""
        if not self._complained:
            self._complained = True
            log.warning("joulegram: a request was not counted as it should be: %r", problem)


class _Exchange:
    """One request and its response."""

    __slots__ = ("_middleware", "_receive", "_request", "_scope", "_send", "status")

    def __init__(
        self, middleware: FootprintMiddleware, request: joulegram.Request, scope: Scope, receive: Receive, send: Send
    ) -> None:
        self._middleware, self._request, self._scope = middleware, request, scope
        self._receive, self._send = receive, send
        self.status = 0

    def send(self, message: Message) -> Awaitable[None]:
        """Passes a message on; no coroutine of its own, which every chunk would pay for."""
        kind = message.get("type")
        if kind == "http.response.body":
            if not message.get("more_body"):
                self.end(self.status)
        elif kind == "http.response.start":
            self.status = message.get("status", 0)
            self._middleware.on_start(self._request, message)
        elif kind == "http.response.pathsend":
            self.end(self.status)
        return self._send(message)

    async def receive(self) -> Message:
        """Passes a message on; the client's leaving ends the request."""
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self.end(self.status or CLIENT_GONE)
        return message

    def end(self, status: int) -> None:
        """Ends the request; again is harmless."""
        request = self._request
        if request.end_ns is None:
            request.route = self._middleware.label(self._scope)
            request.end(status)
