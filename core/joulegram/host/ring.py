"""What one process tells the one that counts for all: requests that begin, are weighed anew, and end.

A ring of records of one size in a mapped file. One process writes, one reads, and neither waits for the other: a record
bears its own number, written last, by which the reader knows that it is whole. Writing takes no lock, so that a thread,
a signal's handler or a finaliser may write in the middle of another's writing. A full ring takes no more: what was not
taken is counted, and an end is said again once there is room, as long as its request's beginning was taken.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from struct import Struct
from typing import NamedTuple

from joulegram.host.processes import process_started
from joulegram.host.shared_memory import mapped, remove

BEGIN, WEIGH, END = 1, 2, 3

CAPACITY = 1 << 14
"""Records of a ring (1 MiB): four seconds of 2,000 requests each second."""
MARGIN = 1 << 9
"""Records that stay free: as many threads may find room at the same moment."""
MOST_ROUTES = 200
MOST_TEXT = 120
"""Bytes of a route's name that are kept."""
OTHER = "other"
"""The route of requests whose own has no place any more."""
HOLE_NS = 1_000_000_000
"""A record that others have followed for this long will not come: its thread was stopped in the middle."""

_SUFFIX = ".ring"
_MAGIC = b"joulegram ring 2"
_HEADER = Struct("<16sQ32sII")
_TEXT = Struct(f"<H{MOST_TEXT}s")
_NUMBER = Struct("<Q")
_LOST = Struct("<QQ")
_READ_AT, _LOST_AT, _NAME_AT, _ROUTES_AT = 128, 192, 256, 512
_RECORDS_AT = 32 * 1024
_RECORD = Struct("<QQddddIHHQ")
_SIZE = _RECORDS_AT + CAPACITY * _RECORD.size
_pack = _RECORD.pack_into
_pack_begin = Struct("<QQd24xIHHQ").pack_into


class Event(NamedTuple):
    """Something that happened to a request.

    Args:
        time_ns: when (monotonic ns).
        request: its number in its ring.
        weight: its weight from now on.
        tokens: of the whole request, once it ends.
        flops: the same.
        items: the same.
        route: number of its route's name in the ring, once it ends: routers know it only then.
        status: as its protocol has it, once it ends; 0 for none.
        kind: `BEGIN`, `WEIGH` or `END`.
        number: the record's own, from 1 on.
    """

    time_ns: int
    request: int
    weight: float
    tokens: float
    flops: float
    items: float
    route: int
    status: int
    kind: int
    number: int


class Ring:
    """The writing end: one for each process.

    Args:
        folder: where the rings of all processes lie.
        service: name of what is served.

    Attributes:
        id: of the ring, unlike any other's on this host.
        lost: events that found no room: how many requests did not begin, and how many other events were left out.

    Raises:
        OSError: there is no room, or no folder.
    """

    def __init__(self, folder: Path, service: str) -> None:
        self.id = int.from_bytes(os.urandom(4)) | 1
        self.pid = os.getpid()
        self.lost = [0, 0]
        self._open = True
        self._count = count(1)
        self._last, self._limit = 0, CAPACITY - MARGIN
        self._unsaid: deque[tuple[int, int, float, float, float, float, int, int, int]] = deque()
        self._routes: dict[str, int] = {}
        self._adding = threading.RLock()
        self.path = folder / f"{self.id:08x}{_SUFFIX}"
        making = self.path.with_suffix(f".{self.pid}")
        self._memory = mapped(making, _SIZE)
        started = str(process_started(self.pid)).encode()
        _HEADER.pack_into(self._memory, 0, _MAGIC, self.pid, started, self.id, 0)
        _NUMBER.pack_into(self._memory, _READ_AT, 1)
        self._write_text(_NAME_AT, service)
        self.route(OTHER)
        making.replace(self.path)  # whole from the moment that others see it

    def route(self, name: str) -> int:
        """The number of a route's name; that of `OTHER` for names that come when the table is full."""
        found = self._routes.get(name)
        if found is not None:
            return found
        if len(self._routes) >= MOST_ROUTES or not self._open:
            return 0
        with self._adding:
            number = self._routes.get(name, len(self._routes))
            if number >= MOST_ROUTES:
                return 0
            self._write_text(_ROUTES_AT + number * _TEXT.size, name)
            self._routes[name] = number
        return number

    def begin(self, time_ns: int, weight: float) -> int:
        """A request begins; its number, 0 where there is no room for it."""
        if self._last >= self._limit and not self._has_room():
            if self._open:
                self.lost[0] += 1
            return 0
        self._last = number = next(self._count)
        at = _RECORDS_AT + number % CAPACITY * 64
        _pack_begin(self._memory, at, time_ns, number, weight, 0, 0, 1, number)
        return number

    def weigh(self, request: int, time_ns: int, weight: float) -> None:
        """A request weighs something else from now on."""
        if not self._put(time_ns, request, weight, 0.0, 0.0, 0.0, 0, 0, WEIGH) and self._open:
            self.lost[1] += 1

    def end(
        self, request: int, time_ns: int, tokens: float, flops: float, items: float, route: str, status: int
    ) -> None:
        """A request ends; said later where there is no room now."""
        of_route = self._routes.get(route)
        if of_route is None:
            of_route = self.route(route)
        if not self._put(time_ns, request, 0.0, tokens, flops, items, of_route, status, END) and self._open:
            self._unsaid.append((time_ns, request, 0.0, tokens, flops, items, of_route, status, END))

    def say_again(self) -> None:
        """Says what found no room before, as far as there is room now. Called by one thread, now and then."""
        while self._unsaid and self._put(*self._unsaid[0]):
            self._unsaid.popleft()
        _LOST.pack_into(self._memory, _LOST_AT, *self.lost)

    def leave(self) -> None:
        """In a fork's child: this ring is its parent's."""
        self._open, self._limit = False, -1

    def close(self) -> None:
        """This process says nothing more; what it has said is read, and requests that are in flight are dropped."""
        if self._open:
            self.say_again()
            self.leave()
            _HEADER.pack_into(self._memory, 0, _MAGIC, self.pid, b"closed", self.id, 1)

    def _put(
        self,
        time_ns: int,
        request: int,
        weight: float,
        tokens: float,
        flops: float,
        items: float,
        route: int,
        status: int,
        kind: int,
    ) -> bool:
        if self._last >= self._limit and not self._has_room():
            return False
        self._last = number = next(self._count)
        at = _RECORDS_AT + number % CAPACITY * 64
        _pack(self._memory, at, time_ns, request, weight, tokens, flops, items, route, status, kind, number)
        return True

    def _has_room(self) -> bool:
        """Looks how far the reader has come."""
        if not self._open:
            return False
        self._limit = _NUMBER.unpack_from(self._memory, _READ_AT)[0] + CAPACITY - MARGIN
        return self._last < self._limit

    def _write_text(self, at: int, text: str) -> None:
        told = text.encode("utf-8", "replace")[:MOST_TEXT].decode("utf-8", "ignore").encode()
        _TEXT.pack_into(self._memory, at, len(told), told)


class RingReader:
    """The reading end, at the one process that counts for all.

    Args:
        path: a ring's file.
        position: number of the first record to read; None for where the last reader was.

    Attributes:
        id: of the ring.
        service: name of what its process serves.
        position: number of the next record.

    Raises:
        OSError: it is gone.
        ValueError: it is no ring.
    """

    def __init__(self, path: Path, position: int | None = None) -> None:
        if path.stat().st_size != _SIZE:
            raise ValueError(f"{path} is no ring of this version")
        self.path = path
        self._memory = mapped(path, _SIZE)
        magic, self.pid, started, self.id, _ = _HEADER.unpack_from(self._memory)
        if magic != _MAGIC:
            raise ValueError(f"{path} is no ring of this version")
        self._started = started.rstrip(b"\0").decode()
        self.service = self._text(_NAME_AT)
        self.position = position or _NUMBER.unpack_from(self._memory, _READ_AT)[0]
        self.holes = 0
        self._hole = (0, 0)
        self._routes: dict[int, str] = {}

    def read(self, until_ns: int, now_ns: int) -> Iterator[list[Event]]:
        """What happened up to a moment (ns), in the order in which it was written, a few records at a time.

        Args:
            until_ns: later records are left for the next time.
            now_ns: the present: a record that does not come is given up some time after it was missed.
        """
        while True:
            events = self._read_straight(until_ns)
            if events:
                yield events
            elif not self._gave_up(now_ns):
                return

    def release(self) -> None:
        """Lets the writer write over what was read."""
        _NUMBER.pack_into(self._memory, _READ_AT, self.position)

    def route(self, number: int) -> str:
        """The name of a route."""
        name = self._routes.get(number)
        if name is None:
            known = number < MOST_ROUTES
            name = self._routes[number] = self._text(_ROUTES_AT + number * _TEXT.size) if known else OTHER
        return name

    @property
    def lost(self) -> tuple[int, int]:
        """Requests that did not begin, and other events, for which there was no room; and those given up."""
        begins, others = _LOST.unpack_from(self._memory, _LOST_AT)
        return begins, others + self.holes

    @property
    def closed(self) -> bool:
        """Whether its process has said that it writes nothing more."""
        return bool(_HEADER.unpack_from(self._memory)[4])

    @property
    def over(self) -> bool:
        """Whether nothing more is written: its process has closed it, or is gone."""
        return self.closed or process_started(self.pid) != self._started

    def remove(self) -> None:
        """Removes its file."""
        remove(self.path)

    def close(self) -> None:
        """Lets go of it."""
        with suppress(BufferError):
            self._memory.close()

    def _read_straight(self, until_ns: int) -> list[Event]:
        """Reads up to the first record that is missing, or too late, or to the end of the file, and not too many."""
        slot = self.position % CAPACITY
        last = min(CAPACITY, slot + 64)
        begin = _RECORDS_AT + slot * _RECORD.size
        events: list[Event] = []
        for values in _RECORD.iter_unpack(self._memory[begin : _RECORDS_AT + last * _RECORD.size]):
            event = Event(*values)
            if event.number != self.position or event.time_ns > until_ns:
                break
            events.append(event)
            self.position += 1
        return events

    def _gave_up(self, now_ns: int) -> bool:
        """Whether the next record is missing for good, and was passed over."""
        at = _RECORDS_AT + self.position % CAPACITY * _RECORD.size
        if _RECORD.unpack_from(self._memory, at)[-1] == self.position:  # it is there, and too late for now
            return False
        following = range(self.position + 1, self.position + 33)
        numbers = (_RECORD.unpack_from(self._memory, _RECORDS_AT + n % CAPACITY * _RECORD.size)[-1] for n in following)
        if not any(found == number for found, number in zip(numbers, following, strict=True)):
            return False
        number, since_ns = self._hole
        if number != self.position:
            self._hole = (self.position, now_ns)
            return False
        if now_ns - since_ns < HOLE_NS:
            return False
        self.position += 1
        self.holes += 1
        return True

    def _text(self, at: int) -> str:
        length, told = _TEXT.unpack_from(self._memory, at)
        return str(told[:length].decode("utf-8", "replace"))


def rings(folder: Path) -> list[Path]:
    """The rings in a folder."""
    return sorted(folder.glob(f"*{_SUFFIX}"))
