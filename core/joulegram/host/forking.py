"""Imports off the caller's thread, made safe for a fork.

A module's import lock that a background thread holds at a fork is never released in the child, which then waits for
ever when it imports that module. So a fork waits, for a moment, until our threads are through with their imports.
"""

from __future__ import annotations

# Its own hooks have to be there before ours: of those before a fork the last one that came is called first. Otherwise a
# fork would hold the lock of logging while it waits for imports that need it.
import logging  # noqa: F401
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

FORK_WAIT_S = 2.0


class _Imports:
    """The background threads that import right now. They do not wait for each other: one may be stuck."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.count = 0

    def add(self, number: int) -> None:
        with self.changed:
            self.count += number
            self.changed.notify_all()

    def hold_off(self) -> None:
        """Waits until there are none, or long enough; none begins before `go_on`."""
        self.changed.acquire()
        self.changed.wait_for(lambda: self.count == 0, FORK_WAIT_S)

    def go_on(self) -> None:
        self.changed.release()

    def forget(self) -> None:
        """In a fork's child there are no other threads, and the lock is its parent's."""
        self.changed, self.count = threading.Condition(), 0


_imports = _Imports()


@contextmanager
def importing() -> Iterator[None]:
    """Holds off forks of this process while a background thread imports, or is within a library with such locks."""
    _imports.add(1)
    try:
        yield
    finally:
        _imports.add(-1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_imports.hold_off, after_in_parent=_imports.go_on, after_in_child=_imports.forget)
