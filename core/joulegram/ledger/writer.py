"""A journal, written: one process's records of one run, a line each, safe against a crash at any byte.

Only its own process appends to it, and each line stands alone.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from itertools import count
from pathlib import Path

from joulegram.records import Record

SUFFIX = ".journal"
SEALED_SUFFIX = ".parquet"


def free_path(folder: Path, stem: str) -> Path:
    """A journal's path in a run's folder that neither a journal nor a sealed one has taken.

    A process may record several parts of one run after each other, and a process's number may come again.
    """
    names = (f"{stem}.{number}" if number else stem for number in count())
    free = next(n for n in names if not any(os.path.exists(folder / f"{n}{end}") for end in (SUFFIX, SEALED_SUFFIX)))
    return folder / f"{free}{SUFFIX}"


class JournalWriter:
    """Appends records to a journal and makes them durable. Used by one thread.

    The folder and the file are made with the first write, so a disk that is not there costs a run nothing at its start.

    Args:
        path: the journal, ``HOST-RANK-PID.journal`` in its run's folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: int | None = None
        self._written = False

    def write(self, records: Sequence[Record]) -> None:
        """Appends records and waits until the disk has them.

        Raises:
            OSError: the disk is full, gone or read-only; nothing of `records` is kept in the file.
        """
        data = "".join(f"{record.to_line()}\n" for record in records).encode()
        try:
            self._append(self._open(), data)
            self._written = True
        except OSError:
            with contextlib.suppress(OSError):  # a disk that went and came back wants its file opened anew
                self.close()
            raise

    def removed(self) -> bool:
        """Whether somebody has removed the file, and all that was written with it."""
        with contextlib.suppress(OSError):
            if self._file is not None:
                return os.fstat(self._file).st_nlink == 0
        return self._written and not os.path.exists(self.path)

    def _open(self) -> int:
        if self._file is not None and not self.removed():
            return self._file
        self.close()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0), 0o644)
        return self._file

    @staticmethod
    def _append(file: int, data: bytes) -> None:
        size = os.lseek(file, 0, os.SEEK_END)
        if size and os.lseek(file, -1, os.SEEK_END) >= 0 and os.read(file, 1) != b"\n":
            data = b"\n" + data  # after a torn end: start on a fresh line
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(file, view) :]
            os.fsync(file)
        except OSError:
            with contextlib.suppress(OSError):  # half a batch would be offered, and written, a second time
                os.ftruncate(file, size)
            raise

    def close(self) -> None:
        """Closes the file.

        Raises:
            OSError: the disk is gone; the file counts as closed all the same.
        """
        file, self._file = self._file, None
        if file is not None:
            os.close(file)
