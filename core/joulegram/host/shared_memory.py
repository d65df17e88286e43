"""Files in memory that the processes of one host, and one user, read and write at once.

They lie in a folder of the user's own: on Linux in ``/dev/shm``, as pages of a file on a disk may have to wait for it
when they are written.
"""

from __future__ import annotations

import mmap
import os
import zlib
from contextlib import suppress
from pathlib import Path
from struct import Struct

from joulegram.host.cohort import runtime_folder

_SHM = Path("/dev/shm")


def memory_folder(name: str) -> Path:
    """A folder for shared memory, made where it is not there.

    Raises:
        OSError: it cannot be made, or it is somebody else's.
    """
    base = runtime_folder()
    if not os.environ.get("JOULEGRAM_RUNTIME_DIR") and _SHM.is_dir() and os.access(_SHM, os.W_OK):
        base = _SHM / base.name
    folder = base / name
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for made in (base, folder):
        if hasattr(os, "getuid") and made.stat().st_uid != os.getuid():
            raise PermissionError(f"{made} belongs to somebody else; set JOULEGRAM_RUNTIME_DIR to a folder of your own")
    return folder


def mapped(path: Path, size: int) -> mmap.mmap:
    """A file mapped into memory, made, with zeros, where it is not there.

    Raises:
        OSError: it cannot be made, or there is no room for it.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0), 0o600)
    try:
        if os.fstat(handle).st_size < size:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(handle, 0, size)  # a full memory is told of here, and not by a SIGBUS later
            else:
                os.ftruncate(handle, size)
        return mmap.mmap(handle, size)
    finally:
        os.close(handle)


_HEAD = Struct("<QQI")


class Cell:
    """Bytes that one process writes and any other may read: whole, or not at all.

    Args:
        memory: where it lies.
        start: at which byte.
        size: how many bytes it may take.
    """

    def __init__(self, memory: mmap.mmap, start: int, size: int) -> None:
        self._memory, self._start, self._room = memory, start, size - _HEAD.size

    def write(self, number: int, content: bytes) -> bool:
        """Replaces what is there; whether there is room for it.

        Args:
            number: what tells this content from others; 0 is none.
            content: what is kept.
        """
        if len(content) > self._room:
            return False
        body = self._start + _HEAD.size
        _HEAD.pack_into(self._memory, self._start, 0, 0, 0)
        self._memory[body : body + len(content)] = content
        _HEAD.pack_into(self._memory, self._start, number, len(content), _sum(number, content))
        return True

    @property
    def number(self) -> int:
        """That of what is there; 0 while it is written."""
        return int(_HEAD.unpack_from(self._memory, self._start)[0])

    def read(self) -> tuple[int, bytes] | None:
        """What is there, with its number; None where it is being written, or nothing ever was."""
        number, length, expected = _HEAD.unpack_from(self._memory, self._start)
        if not number or length > self._room:
            return None
        body = self._start + _HEAD.size
        content = self._memory[body : body + length]
        return (number, content) if _sum(number, content) == expected else None


def _sum(number: int, content: bytes) -> int:
    return zlib.crc32(content, number & 0xFFFFFFFF)


class Board:
    """What one process tells all others, as a whole: two cells in turn, so that one can always be read.

    A writer that is killed in the middle leaves what it had written before.

    Args:
        path: its file.
        size: how many bytes each of the two may take.
    """

    def __init__(self, path: Path, size: int) -> None:
        memory = mapped(path, 2 * size)
        self._cells = (Cell(memory, 0, size), Cell(memory, size, size))

    def write(self, content: bytes) -> bool:
        """Tells something new; whether there is room for it."""
        newest = max(cell.number for cell in self._cells)
        return self._cells[(newest + 1) % 2].write(newest + 1, content)

    def read(self) -> bytes | None:
        """What was told last; None before anything was."""
        for _ in range(100):  # a writer would have to come around twice within each look
            found = [content for cell in self._cells if (content := cell.read()) is not None]
            if found:
                return max(found)[1]
        return None


class Cells:
    """The last answers to questions that have a number: each in the cell that its number gives.

    Args:
        path: their file.
        count: how many.
        size: how many bytes each may take.
    """

    def __init__(self, path: Path, count: int, size: int) -> None:
        self._memory, self._count, self._size = mapped(path, count * size), count, size

    def write(self, number: int, content: bytes) -> bool:
        """Keeps an answer, in the place of an older one; whether there is room for it."""
        return self._cell(number).write(number, content)

    def read(self, number: int) -> bytes | None:
        """The answer of a number, if it is still there."""
        found = self._cell(number).read()
        return found[1] if found is not None and found[0] == number else None

    def _cell(self, number: int) -> Cell:
        # Numbers come in rows, one for each process: multiplied by 2⁶⁴ / φ, they do not meet.
        place = (number * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF) >> 32
        return Cell(self._memory, (place * self._count >> 32) * self._size, self._size)


def remove(path: Path) -> None:
    """Removes a file; whoever has it mapped keeps it."""
    with suppress(OSError):
        path.unlink()
