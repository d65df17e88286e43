"""Imports off the caller's thread, made safe for a fork.

A module's import lock that a background thread holds at a fork is never released in the child, which then waits for
ever when it imports that module. So a fork waits, for a moment, until our threads are through with their imports.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

FORK_WAIT_S = 2.0

_importing = threading.Lock()


@contextmanager
def importing() -> Iterator[None]:
    """Holds off forks of this process while a background thread imports."""
    with _importing:
        yield


class _Fork:
    """What the thread that forks holds across the fork."""

    held = False


def _before() -> None:
    _Fork.held = _importing.acquire(timeout=FORK_WAIT_S)


def _after() -> None:
    if _Fork.held:
        _Fork.held = False
        _importing.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_after)
