"""The request that is being answered, for the code that answers it."""

from __future__ import annotations

from contextvars import ContextVar
from functools import cache

import joulegram

CURRENT: ContextVar[joulegram.Request | None] = ContextVar("joulegram_request", default=None)
"""Holds the request itself, which is changed in place: a copy of the context (a thread pool's) has the same one."""


def current() -> joulegram.Request:
    """The request that is being answered here; outside of any, one that takes everything and counts nothing.

    It follows the request through ``await``, into the threads of sync endpoints, and through ``asyncio.to_thread``. A
    thread started by hand has no context: take the request along, its methods may be called from anywhere.

    Example::

        current().add(tokens=usage.total_tokens)
    """
    request = CURRENT.get()
    return request if request is not None else _nobody()


def uncounted() -> joulegram.Service:
    """A service that takes everything and counts nothing."""
    service = joulegram.Service("", {})
    service.close()
    return service


@cache
def _nobody() -> joulegram.Request:
    request = uncounted().begin()
    request.end()  # one that has ended takes nothing in
    return request
