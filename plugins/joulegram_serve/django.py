"""Django's routes, for whichever of the middlewares counts: Django chooses them out of its servers' sight.

Its resolver tells a view's whole template (``items/<int:pk>/``), that of `include` in front of it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import iscoroutinefunction
from typing import Any

from joulegram_serve.routes import ROUTE


def route(get_response: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A middleware of Django's that tells which route was chosen.

    Example::

        MIDDLEWARE = ["joulegram_serve.django.route", ...]

    Args:
        get_response: what Django puts inside of it.
    """
    if iscoroutinefunction(get_response):

        async def answer_later(request: Any) -> Any:
            try:
                waiting: Awaitable[Any] = get_response(request)
                return await waiting
            finally:
                _tell(request)

        return answer_later

    def answer(request: Any) -> Any:
        try:
            return get_response(request)
        finally:
            _tell(request)

    return answer


route.sync_capable = route.async_capable = True  # type: ignore[attr-defined]  # as Django asks of a function


def _tell(request: Any) -> None:
    match = getattr(request, "resolver_match", None)
    if match is not None:
        told = f"/{match.route}"
        request.META[ROUTE] = told  # under WSGI this is the environment itself
        if hasattr(request, "scope"):
            request.scope[ROUTE] = told
