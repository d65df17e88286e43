"""Which of the processes of a host does what only one may do: the one that holds a file's lock.

The kernel lets go of it when its holder dies, whatever it dies of, so that another may take it at once.
"""

from __future__ import annotations

import os
import weakref
from contextlib import suppress
from pathlib import Path


class Election:
    """One process's candidacy for what the lock of a file stands for.

    Args:
        path: the file; made where it is not there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._handle: int | None = None
        _CANDIDATES.add(self)

    @property
    def won(self) -> bool:
        """Whether this process holds it."""
        return self._handle is not None

    def stand(self) -> bool:
        """Takes it if nobody holds it, without waiting; whether this process holds it now.

        Raises:
            OSError: the file cannot be made.
        """
        if self.won:
            return True
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0), 0o600)
        try:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, ImportError):  # held; or a system without such locks, where nobody shares
            os.close(handle)
            return False
        self._handle = handle
        return True

    def step_down(self) -> None:
        """Gives it up, or lets go of a copy that came with a fork: that would outlive its holder."""
        if self._handle is not None:
            with suppress(OSError):
                os.close(self._handle)
            self._handle = None


_CANDIDATES: weakref.WeakSet[Election] = weakref.WeakSet()


def _let_go_of_copies() -> None:
    for election in list(_CANDIDATES):
        election.step_down()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go_of_copies)
