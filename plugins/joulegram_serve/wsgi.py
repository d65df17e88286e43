"""The middleware for WSGI: Flask, Django, and whatever gunicorn or uWSGI serves by it.

A WSGI application returns its body as something to go through, and may compute while the server does so. What is a list
or a tuple is ready: its request ends there and then. Anything else ends once it is exhausted or closed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any

import joulegram
from joulegram_serve.context import CURRENT
from joulegram_serve.counting import FAILED, Counting
from joulegram_serve.headers import footprint
from joulegram_serve.routes import ROUTE

Environ = dict[str, Any]
StartResponse = Callable[..., Callable[[bytes], object]]
App = Callable[[Environ, StartResponse], Iterable[bytes]]
ExcInfo = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None] | None

CLIENT_GONE = 499
"""What has no status: closed before it began (nginx's number)."""


class FootprintWSGI:
    """Counts what each request to a WSGI application costs.

    Example::

        app.wsgi_app = FootprintWSGI(app.wsgi_app, "captions", zone="DK-DK1")  # Flask
        application = FootprintWSGI(get_wsgi_application(), "captions")        # Django

    Flask's routes are known by themselves; for Django's add `joulegram_serve.django.route` to ``MIDDLEWARE``.

    Args:
        app: the application.
        name: see `FootprintMiddleware`, as for all of these; a ``route`` is called with the request's environment.
        service: see there.
        exclude: see there.
        route: see there.
        headers: see there.
        **settings: see there.

    Raises:
        ValueError: see there.
    """

    def __init__(self, app: App, name: str | None = None, **settings: Any) -> None:
        self.app = app
        self._counting = Counting(name, route_of, **settings)

    @property
    def service(self) -> joulegram.Service:
        """What counts."""
        return self._counting.service

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answers a request."""
        request = self._counting.begin(environ.get("PATH_INFO", ""))
        if request is None:
            return self.app(environ, start_response)
        exchange = _Exchange(self._counting, request, environ, start_response)
        before = CURRENT.set(request)
        try:
            body = self.app(environ, exchange.start)
        except BaseException:
            exchange.end(FAILED)
            raise
        finally:
            CURRENT.reset(before)
        if isinstance(body, list | tuple):
            exchange.end()
            return body
        return _following(body, exchange, environ.get("wsgi.file_wrapper"))


class _Exchange:
    """One request and its response."""

    __slots__ = ("_counting", "_environ", "_request", "_start_response", "_status")

    def __init__(
        self, counting: Counting, request: joulegram.Request, environ: Environ, start_response: StartResponse
    ) -> None:
        self._counting, self._request, self._environ = counting, request, environ
        self._start_response = start_response
        self._status = 0

    @property
    def request(self) -> joulegram.Request:
        return self._request

    def start(self, status: str, headers: list[tuple[str, str]], exc_info: ExcInfo = None) -> Callable[[bytes], object]:
        """Begins the response, or begins it anew after an error."""
        self._status = _number(status)
        self._request.route = self._counting.label(self._environ)  # Flask lets go of it before its body is sent
        if self._counting.headers:
            is_ready = any(name.lower() == "content-length" for name, _ in headers)
            headers = [*headers, *self._counting.told(lambda: footprint(self._request, is_ready=is_ready))]
        return self._start_response(status, headers, exc_info) if exc_info else self._start_response(status, headers)

    def end(self, status: int = 0) -> None:
        """Ends the request; again is harmless."""
        if self._request.end_ns is None:
            self._request.route = self._request.route or self._counting.label(self._environ)
            self._request.end(status or self._status or CLIENT_GONE)


class _Body:
    """A body that is computed while it is gone through."""

    def __init__(self, body: Iterable[bytes], exchange: _Exchange) -> None:
        self._body, self._exchange = body, exchange
        self._parts: Iterator[bytes] | None = None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        before = CURRENT.set(self._exchange.request)
        try:
            if self._parts is None:
                self._parts = iter(self._body)
            return next(self._parts)
        except StopIteration:
            self._exchange.end()
            raise
        except BaseException:
            self._exchange.end(FAILED)
            raise
        finally:
            CURRENT.reset(before)

    def close(self) -> None:
        """The server is through with it, or its client is gone."""
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                close()
        finally:
            self._exchange.end()


class _SizedBody(_Body):
    """One that says of how many parts it is: of a single part, servers tell the length."""

    def __len__(self) -> int:
        return len(self._body)  # type: ignore[arg-type]  # only such a body is made one of these


def _following(body: Iterable[bytes], exchange: _Exchange, file_wrapper: Any) -> Iterable[bytes]:
    """A body that ends its request. A server's own wrapper of a file stays itself, as it is sent by the kernel."""
    if isinstance(file_wrapper, type) and isinstance(body, file_wrapper):
        exchange.end()
        return body
    return (_SizedBody if hasattr(body, "__len__") else _Body)(body, exchange)


def _number(status: str) -> int:
    """Of a status line such as ``200 OK``."""
    digits = status[:3]
    return int(digits) if digits.isascii() and digits.isdigit() else 0


def route_of(environ: Environ) -> str | None:
    """The template of the route that was chosen: an application's own word, else Flask's (Werkzeug's) rule."""
    told = environ.get(ROUTE)
    if told is not None:
        return str(told)
    rule = getattr(environ.get("werkzeug.request"), "url_rule", None)
    return str(rule.rule) if rule is not None else None
