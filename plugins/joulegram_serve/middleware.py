"""The middleware: tells the core when a request begins and ends, and on which route."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Unpack

import joulegram
from joulegram_serve.asgi import SERVICE, App, Message, Receive, Scope, Send
from joulegram_serve.context import CURRENT
from joulegram_serve.counting import EXCLUDED, FAILED, Counting
from joulegram_serve.headers import with_footprint
from joulegram_serve.routes import route_of
from joulegram_serve.settings import Settings

CLIENT_GONE = 499
"""Status of a request whose client left before it was answered (nginx's number)."""
_START, _BODY = "http.response.start", "http.response.body"
_OTHER_LAST = ("http.response.pathsend", "http.response.zerocopysend", "http.response.trailers")
"""Messages of extensions that may be a response's last."""


class FootprintMiddleware:
    """Counts what each HTTP request costs; websockets and lifespans pass through.

    A request begins when the middleware is called and ends with the first of: its last message, the application's
    returning or raising, the client's leaving. What the application does after that (background tasks) is not the
    request's. Counting starts with the application's lifespan, else with the first request.

    Settings that are not understood are said in one line, and the application then serves uncounted: it makes its
    middlewares when it starts, or with its first request, which is too late to refuse.

    Example::

        app.add_middleware(FootprintMiddleware, name="captions", zone="DK-DK1")

    Args:
        app: the application.
        name: what is served; see `joulegram.serve`.
        service: what `joulegram.serve` returned, in place of a name and settings; who made it closes it.
        exclude: paths, with all below them, whose requests are not counted: what they use while no other is in flight
            is unattributed. ``/`` is that path alone.
        route: the label of a request, called with its scope when it ends; None where it knows none, and then, as
            without this, the router's template is the label. Labels are for the server's owner to bound: the first 200
            are told apart.
        headers: whether responses tell their request's id, and, where the whole body was ready before its first byte,
            what it has cost so far. Energy can give away what was computed: not for clients that may not know.
        **settings: of `joulegram.serve`: ``zone``, ``project``, ``weigh_by``, …

    Raises:
        ValueError: a service is given, and settings for another; or ``exclude`` holds what is no path.
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
        **settings: Unpack[Settings],
    ) -> None:
        self.app = app
        self.counting = Counting(
            name, route_of, service=service, exclude=exclude, route=route, headers=headers, **settings
        )

    @property
    def service(self) -> joulegram.Service:
        """What counts."""
        return self.counting.service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request, a websocket or a lifespan to the application."""
        if scope["type"] == "lifespan":
            return await self._lifespan(scope, receive, send)
        if scope["type"] != "http" or SERVICE in scope:  # another such middleware may be around it
            return await self.app(scope, receive, send)
        counting = self.counting
        scope[SERVICE] = counting.service
        root_path = scope.get("root_path")
        request = counting.begin(scope["path"].removeprefix(root_path) if root_path else scope["path"])
        if request is None:
            return await self.app(scope, receive, send)
        exchange = _Exchange(counting, request, scope, receive, send)
        before = CURRENT.set(request)
        try:
            await self.app(scope, exchange.receive, exchange.send)
        except BaseException as error:
            exchange.end(FAILED if isinstance(error, Exception) else exchange.status or CLIENT_GONE)
            raise
        else:
            if request.end_ns is None:
                exchange.end(exchange.status or FAILED)
        finally:
            try:  # noqa: SIM105  # suppress() would cost half a microsecond
                CURRENT.reset(before)
            except ValueError:  # thrown away in another context than its own
                pass

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Counting starts with the application and stops after it."""
        self.counting.start()
        is_over = False

        async def receive_noting() -> Message:
            nonlocal is_over
            message = await receive()
            is_over = message["type"] == "lifespan.shutdown"
            return message

        try:
            await self.app(scope, receive_noting, send)
        finally:
            if is_over:
                self.counting.stop()


class _Exchange:
    """One request and its response."""

    __slots__ = ("_counting", "_receive", "_request", "_scope", "_send", "_trailers", "status")

    def __init__(
        self, counting: Counting, request: joulegram.Request, scope: Scope, receive: Receive, send: Send
    ) -> None:
        self._counting, self._request, self._scope = counting, request, scope
        self._receive, self._send = receive, send
        self._trailers = False
        self.status = 0

    def send(self, message: Message) -> Awaitable[None]:
        """Passes a message on; no coroutine of its own, which every chunk would pay for."""
        kind = message["type"]
        if kind == _BODY:
            if not message.get("more_body") and not self._trailers:
                self.end(self.status)
        elif kind == _START:
            self.status, self._trailers = message.get("status", 0), message.get("trailers", False)
            if self._counting.headers:
                message = self._telling(message)
        elif kind in _OTHER_LAST and self._is_last(message):
            self.end(self.status)
        return self._send(message)

    def _telling(self, start: Message) -> Message:
        try:
            return with_footprint(start, self._request)
        except Exception as problem:  # an application may send headers of any kind; its server has to say so
            self._counting.complain(problem)
            return start

    def _is_last(self, message: Message) -> bool:
        if message["type"] == "http.response.trailers":
            return not message.get("more_trailers")
        return not self._trailers and not message.get("more_body")

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
            request.route = self._counting.label(self._scope)
            request.end(status)
