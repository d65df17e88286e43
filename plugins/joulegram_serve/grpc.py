"""Interceptors for gRPC servers: `intercept_service` returns before a call is handled, so its handler is wrapped.

Calls take the HTTP statuses that google.rpc.Code gives their codes: 500 and more are the server's failures.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from inspect import isasyncgenfunction, iscoroutinefunction
from typing import Any

import grpc

import joulegram
from joulegram_serve.context import CURRENT
from joulegram_serve.counting import FAILED, Counting
from joulegram_serve.headers import footprint

EXCLUDED = (
    "/grpc.health.v1.Health", "/grpc.reflection.v1.ServerReflection", "/grpc.reflection.v1alpha.ServerReflection",
    "/grpc.channelz.v1.Channelz",
)  # fmt: skip
"""What is asked by machines about the server, and not of the model."""
CANCELLED = 499
_STATUS = (200, CANCELLED, FAILED, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, FAILED, 503, FAILED, 401)
"""By the number of the code: OK, CANCELLED, UNKNOWN, INVALID_ARGUMENT, …, UNAUTHENTICATED."""

Handler = Any
"""A `grpc.RpcMethodHandler`: one of its four ways of answering is a function, the others are None."""
WAYS = (
    ("unary_unary", grpc.unary_unary_rpc_method_handler),
    ("unary_stream", grpc.unary_stream_rpc_method_handler),
    ("stream_unary", grpc.stream_unary_rpc_method_handler),
    ("stream_stream", grpc.stream_stream_rpc_method_handler),
)


Over = Callable[[Any, Callable[[], None]], None]
"""Sees to it that something is done when a call of this context is over, whatever becomes of its handler."""


class _Interceptor:
    """What both kinds of server share; for the arguments see `FootprintInterceptor`."""

    def __init__(self, name: str | None = None, *, exclude: Iterable[str] = EXCLUDED, **settings: Any) -> None:
        self._counting = Counting(name, str, exclude=exclude, **settings)

    @property
    def service(self) -> joulegram.Service:
        """What counts."""
        return self._counting.service

    def _wrapped(self, handler: Handler | None, method: str, over: Over) -> Handler | None:
        """The handler of a method, counting its call; what nobody handles is nobody's."""
        if handler is None:
            return None
        way, make = next((way, make) for way, make in WAYS if getattr(handler, way, None) is not None)
        answer = _counted(getattr(handler, way), way.endswith("_stream"), self._counting, method, over)
        return make(answer, handler.request_deserializer, handler.response_serializer)


class FootprintInterceptor(_Interceptor, grpc.ServerInterceptor):  # type: ignore[misc]  # grpc has no types
    """Counts what each call to a gRPC server costs.

    Example::

        server = grpc.server(pool, interceptors=[FootprintInterceptor("captions", zone="DK-DK1")])

    Args:
        name: see `FootprintMiddleware`, as for all of these; a ``route`` is called with the method's full name, which
            is the label otherwise.
        service: see there.
        exclude: services (``/package.Service``) or methods that do not count.
        route: see there.
        headers: whether the trailing metadata tell of the cost: the id, and the figures, provisional (``;est``).
        **settings: see there.

    Raises:
        ValueError: see there.
    """

    def intercept_service(self, continuation: Callable[[Any], Handler | None], handler_call_details: Any) -> Any:
        return self._wrapped(continuation(handler_call_details), handler_call_details.method, _on_termination)


class AioFootprintInterceptor(_Interceptor, grpc.aio.ServerInterceptor):  # type: ignore[misc]  # as above
    """The same for a `grpc.aio` server.

    Of its handlers that are no coroutines nothing tells the code that they have set, nor their metadata: such a call
    has failed if it raised, and tells no cost.
    """

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Handler | None]], handler_call_details: Any
    ) -> Any:
        handler = await continuation(handler_call_details)
        return self._wrapped(handler, handler_call_details.method, _with_task(asyncio.current_task()))


def _on_termination(context: Any, end: Callable[[], None]) -> None:
    """A thread's server leaves the stream of a client that has left where it is, and calls back."""
    if not context.add_callback(end):
        end()


def _with_task(task: asyncio.Task[Any] | None) -> Over:
    """An event loop's server answers a call in the task that asked the interceptor, and ends that with it."""
    ends: list[Callable[[], None]] = []

    def end_all(_: object) -> None:
        for end in ends:
            end()

    def over(_: Any, end: Callable[[], None]) -> None:
        ends.append(end)
        if task is not None and task.done():  # a thread that was late: nobody calls back any more
            end()

    if task is not None:
        task.add_done_callback(end_all)
    return over


class _Call:
    """One call of a method."""

    def __init__(self, counting: Counting, request: joulegram.Request, method: str, context: Any) -> None:
        self._counting, self._request, self._method, self._context = counting, request, method, context
        request.route = counting.label(method)

    @contextmanager
    def current(self) -> Iterator[None]:
        """While its handler runs."""
        before = CURRENT.set(self._request)
        try:
            yield
        except (StopIteration, StopAsyncIteration):
            raise
        except BaseException as error:
            self.end(self._status() or (FAILED if isinstance(error, Exception) else CANCELLED))
            raise
        finally:
            CURRENT.reset(before)

    def end(self, status: int = 0) -> None:
        """Ends it; again is harmless."""
        if self._request.end_ns is None:
            self._request.end(status or self._status() or 200)
            if self._counting.headers:
                self._counting.told(self._tell)

    def _tell(self) -> list[tuple[str, str]]:
        """Adds the figures to what the handler itself says at the end."""
        if not hasattr(self._context, "trailing_metadata"):  # that of a sync handler of an aio server: it would be lost
            return []
        said = tuple(self._context.trailing_metadata() or ())
        figures = [(name.lower(), value) for name, value in footprint(self._request, is_ready=True)]
        self._context.set_trailing_metadata((*said, *figures))
        return figures

    def _status(self) -> int:
        """The status of what the handler has said; 0 where it said nothing."""
        code = self._context.code() if hasattr(self._context, "code") else None
        number = code.value[0] if isinstance(code, grpc.StatusCode) else code  # aio's contexts tell the number
        return (_STATUS[number] if 0 < number < len(_STATUS) else FAILED) if number else 0


def _counted(
    answer: Callable[..., Any], streams: bool, counting: Counting, method: str, over: Over
) -> Callable[..., Any]:
    """A way of answering that counts; of the kind that it was, as a server tells them apart by it."""

    def begun(context: Any) -> _Call | None:
        request = counting.begin(method)
        if request is None:
            return None
        call = _Call(counting, request, method, context)
        over(context, lambda: call.end(CANCELLED))
        return call

    async def answer_later(asked: Any, context: Any) -> Any:
        call = begun(context)
        if call is None:
            return await answer(asked, context)
        with call.current():
            response = await answer(asked, context)
        call.end()
        return response

    async def stream_later(asked: Any, context: Any) -> AsyncIterator[Any]:
        call = begun(context)
        responses = answer(asked, context)
        try:
            while True:
                if call is None:
                    yield await anext(responses)
                    continue
                with call.current():
                    response = await anext(responses)
                yield response
        except StopAsyncIteration:
            if call is not None:
                call.end()
        finally:
            if call is not None:
                call.end(CANCELLED)
            await responses.aclose()

    def answer_now(asked: Any, context: Any) -> Any:
        call = begun(context)
        if call is None:
            return answer(asked, context)
        with call.current():
            response = answer(asked, context)
        call.end()
        return response

    def stream_now(asked: Any, context: Any) -> Iterator[Any]:
        call = begun(context)
        if call is None:
            yield from answer(asked, context)
            return
        with call.current():
            responses = iter(answer(asked, context))
        while True:
            with call.current():
                try:
                    response = next(responses)
                except StopIteration:
                    break
            yield response
        call.end()

    if isasyncgenfunction(answer):
        return stream_later
    if iscoroutinefunction(answer):  # where it streams, it writes into its context
        return answer_later
    return stream_now if streams else answer_now
