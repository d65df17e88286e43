"""A journal, written: one process's records of one run, a line each, safe against a crash at any byte.

Only its own process appends to it, and each line stands alone.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

from joulegram.records import Record

SUFFIX = ".journal"


class JournalWriter:
    """Appends records to a journal and makes them durable. Used by one thread.

    The folder and the file are made with the first write, so a disk that is not there costs a run nothing at its start.

    Args:
        path: the journal, ``HOST-RANK-PID.journal`` in its run's folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: int | None = None
        self._header: Record | None = None

    def write(self, records: Sequence[Record]) -> None:
        """Appends records and waits until the disk has them.

        Raises:
            OSError: the disk is full, gone or read-only; nothing of `records` is kept in the file.
        """
        if self._header is None and records:
            self._header = records[0]
        again = self._open()
        lines = [self._header, *records] if again and self._header is not records[0] else records
        data = "".join(f"{record.to_line()}\n" for record in lines if record is not None).encode()
        assert self._file is not None
        size = os.fstat(self._file).st_size
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(self._file, view) :]
            os.fsync(self._file)
        except OSError:
            with contextlib.suppress(OSError):  # half a batch would be offered, and written, a second time
                os.ftruncate(self._file, size)
            raise

    def _open(self) -> bool:
        """Whether the file had to be opened: at first, or because somebody removed it."""
        if self._file is not None and os.fstat(self._file).st_nlink > 0:
            return False
        self.close()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0), 0o644)
        if os.fstat(self._file).st_size:  # a pid that came again, or a torn end: start on a fresh line
            os.write(self._file, b"\n")
        return True

    def close(self) -> None:
        """Closes the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
