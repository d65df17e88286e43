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
    return CURRENT.get() or _nobody()


@cache
def _nobody() -> joulegram.Request:
    service = joulegram.Service("", {})
    service.close()
    return service.begin()
