"""Counting what requests cost, in each process of a server: the face of serving.

A request's beginning and end are two small records in a ring of shared memory, a microsecond each; nothing else happens
in the caller's thread. One of the host's processes, elected, reads the counters and everybody's rings and keeps the
books (`joulegram.serving.owner`); every process can read what it tells.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
import weakref
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from math import inf
from types import TracebackType
from typing import TYPE_CHECKING, Any

from joulegram import config
from joulegram.curves.virtual_clock import MOST_WEIGHT
from joulegram.host.clock import Clock
from joulegram.host.ring import Ring
from joulegram.host.shared_memory import memory_folder
from joulegram.notices import warn
from joulegram.serving.worker import Worker
from joulegram.session.live import Run, check_settings, start
from joulegram.units import NS_PER_S

if TYPE_CHECKING:
    from joulegram.serving.reading import Reader
    from joulegram.serving.snapshot import Result, Snapshot

AMOUNTS = ("tokens", "flops", "items")
# Devices that a process may see: processes that see others have other books.
_VISIBLE = ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ZE_AFFINITY_MASK")


class Request:
    """One request in flight; made by `Service.begin`.

    Any thread may call any of this, in any order; nothing here raises, waits or takes a lock.

    Attributes:
        route: its route; who finds it out only later sets it before the end.
        begin_ns: when it began (monotonic ns).
        end_ns: when it ended; None while it is in flight.
        tokens: as told so far.
        flops: the same.
        items: the same.
        status: as its protocol has it; 0 before its end, or for none.
    """

    __slots__ = (
        "_number", "_ring", "_service", "_since_ns", "_weighed", "_weight", "begin_ns", "end_ns", "flops", "items",
        "route", "status", "tokens",
    )  # fmt: skip

    def __init__(self, service: Service, ring: Ring | None, route: str, weight: float) -> None:
        self._service, self._ring = service, ring
        self.route = route
        self.tokens = self.flops = self.items = 0.0
        self.status = 0
        self.end_ns: int | None = None
        self._weight, self._weighed = weight, 0.0
        self.begin_ns = self._since_ns = now_ns = service._now_ns()
        self._number = ring.begin(now_ns, weight) if ring is not None else 0

    @property
    def id(self) -> str:
        """Unlike any other request's on this host; empty for one that is not counted."""
        return f"{self._ring.id:08x}-{self._number:x}" if self._ring is not None and self._number else ""

    def add(self, *, tokens: float = 0.0, flops: float = 0.0, items: float = 0.0) -> None:
        """Adds to what this request has done. Where the service weighs by it, that is its weight from now on.

        After its end it takes nothing in: what has been told of it is told.

        Args:
            tokens: tokens read or written.
            flops: floating-point operations; a multiply-add is two.
            items: whatever the application counts (images, documents, …).
        """
        if self.end_ns is not None or not _may_add(tokens, flops, items):
            return
        self.tokens += tokens
        self.flops += flops
        self.items += items
        by = self._service._weighs_by
        if by is not None:
            self.weigh(getattr(self, by) or 1.0)

    def weigh(self, weight: float) -> None:
        """From now on it has this part of what the requests in flight share: twice the weight, twice the part.

        Args:
            weight: 0 for one that pays nothing (a health check).
        """
        if self.end_ns is not None or not _may_weigh(weight):
            return
        now_ns = self._service._now_ns()
        self._weighed += self._weight * (now_ns - self._since_ns)
        self._weight, self._since_ns = weight, now_ns
        if self._number:
            self._ring.weigh(self._number, now_ns, weight)  # type: ignore[union-attr]  # the ring gave the number

    def end(self, status: int = 0) -> None:
        """Ends it now; again is harmless.

        Args:
            status: as its protocol has it (an HTTP status); 500 and more count as failed.
        """
        if self.end_ns is not None:
            return
        self.end_ns = now_ns = self._service._now_ns()
        if status.__class__ is not int or not 0 <= status < 1 << 16:
            status = _status(status)
        self.status = status
        ring = self._ring
        if self._number and ring is not None:
            route = self.route if self.route.__class__ is str else _text(self.route)
            ring.end(self._number, now_ns, self.tokens, self.flops, self.items, route, status)
        if self._service._listeners:
            self._service._tell(self)

    def footprint(self) -> Result:
        """What it cost, as far as that is known by now: provisional until every counter has moved past its end."""
        return self._service._footprint(self)

    def __enter__(self) -> Request:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.end(500 if kind is not None else self.status)


class Service:
    """What is served by this process; made by `serve`. Nothing starts before the first request, or `start`.

    Attributes:
        name: the service's.
    """

    def __init__(
        self,
        name: str,
        given: Mapping[str, Any],
        weigh_by: str | None = None,
        make: Callable[[Service], Worker] | None = None,
        now_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.name = name
        self._given = dict(given)
        self._weighs_by = weigh_by
        self._make = make or _worker
        self._now_ns = now_ns
        self._closed = False
        self._inert = config.disabled()
        self._lock = threading.RLock()
        self._worker: Worker | None = None
        self._ring: Ring | None = None
        self._reader: Reader | None = None
        self._listeners: tuple[Callable[[Request], object], ...] = ()
        _SERVICES.add(self)

    # -- using it -------------------------------------------------------------------------------------------------

    def begin(self, route: str = "", weight: float = 1.0) -> Request:
        """A request begins now; end it with `Request.end`.

        Args:
            route: its route's template (``/items/{id}``), never the path itself: the first 200 are told apart. Where
                it is not known yet, set `Request.route` before the end. One that begins with ``within `` is work inside
                of requests (a worker's batches): begin it with weight 0, and no total counts it as a request.
            weight: its part of what the requests in flight share; 0 for one that pays nothing (a health check).
        """
        ring = self._ring
        if ring is None and not self._inert:
            ring = self._begin()
        if weight != 1.0 and not _may_weigh(weight):
            weight = 1.0
        return Request(self, ring, route, weight)

    def start(self) -> None:
        """Starts counting in this process, which the first request does otherwise."""
        if self._ring is None and not self._inert:
            self._begin()

    def snapshot(self) -> Snapshot | None:
        """All figures of this host at one moment, whichever process asks; None before there are any."""
        reader = self._reading()
        return reader.snapshot() if reader is not None else None

    def result(self, request_id: str) -> Result | None:
        """What a request cost, by its id: one of about the last 4,000 that are settled, of any process of this host."""
        reader = self._reading()
        return reader.result(request_id) if reader is not None else None

    def listen(self, ended: Callable[[Request], object]) -> Callable[[], None]:
        """From now on, tells of every request of this process that ends.

        Args:
            ended: called with the request by whoever ends it, there and then: in its context, and on its time.

        Returns:
            what ends the listening.
        """
        with self._lock:
            self._listeners = (*self._listeners, ended)

        def leave() -> None:
            with self._lock:
                self._listeners = tuple(listener for listener in self._listeners if listener is not ended)

        return leave

    def close(self) -> None:
        """Counts what this process has told so far, and stops; requests in flight are dropped. Again is harmless."""
        with self._lock:
            worker, self._worker, self._ring = self._worker, None, None
            self._closed = self._inert = True
        if worker is None:
            return
        try:
            worker.close()
        except Exception as problem:  # what was told is in shared memory, and another process may count it
            warn(f"joulegram could not close service {self.name}: {problem!r}")

    def __enter__(self) -> Service:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- inside ---------------------------------------------------------------------------------------------------

    def _begin(self) -> Ring | None:
        with self._lock:
            if self._worker is None and not self._inert:
                try:
                    self._worker = self._make(self)
                    self._ring = self._worker.ring
                except (OSError, RuntimeError, config.ConfigError) as problem:  # no shared memory, or no thread
                    self._inert = True
                    warn(f"joulegram counts no requests: {problem}")
            return self._ring

    def _tell(self, request: Request) -> None:
        for ended in self._listeners:
            try:
                ended(request)
            except Exception as problem:  # never the server's
                _say_once(f"joulegram: what listens to the ends of requests failed: {problem!r:.200}")

    def _reading(self) -> Reader | None:
        worker = self._worker
        if self._reader is None and worker is not None:
            from joulegram.serving.reading import Reader

            with suppress(OSError):
                self._reader = Reader(worker.folder)
        return self._reader

    def _footprint(self, request: Request) -> Result:
        from joulegram.serving.reading import provisional

        reader = self._reading()
        settled = reader.result(request.id) if reader is not None and request.end_ns is not None else None
        if settled is not None:
            return settled
        until_ns = request.end_ns if request.end_ns is not None else self._now_ns()
        weighed = request._weighed + request._weight * (until_ns - request._since_ns)
        return provisional(reader, self.name, request, weighed / NS_PER_S, (until_ns - request.begin_ns) / NS_PER_S)

    def _forget(self) -> None:
        """In a fork's child: it has none of its parent's threads, and tells what it serves by itself."""
        if self._ring is not None:
            self._ring.leave()
        self._lock = threading.RLock()
        self._worker = self._ring = None
        self._inert = self._closed or config.disabled()


def serve(
    name: str | None = None,
    *,
    project: str | None = None,
    model: str | None = None,
    zone: str | None = None,
    pue: float | str | None = None,
    intensity: str | None = None,
    basis: str | None = None,
    ledger: str | os.PathLike[str] | None = None,
    meters: tuple[str, ...] | list[str] | None = None,
    weigh_by: str | None = None,
    attributes: Mapping[str, Any] | None = None,
    may_keep_books: bool = True,
    keep_requests: bool = False,
) -> Service:
    """Counts what requests cost: call it once in each process of a server, which may fork later.

    All processes of a host that see the same devices share one clock, whatever they serve. The first of them is elected
    to read the counters; it records a run of stage ``serve``, with what each route cost in each hour.

    Example::

        service = joulegram.serve("captions", zone="DK-DK1")

        request = service.begin("/caption")
        ...
        request.add(tokens=87)
        request.end(200)

    Args:
        name: what is served; ``server`` by default.
        project: see `track`.
        model: what is served: a name that runs which made it bear too, or such a run's id.
        zone: see `track`.
        pue: see `track`.
        intensity: see `track`.
        basis: see `track`.
        ledger: see `track`.
        meters: see `track`.
        weigh_by: ``tokens``, ``flops`` or ``items``: what `Request.add` is told is the request's weight from then on,
            and 1 before. By default all weigh the same, unless `begin` or `Request.weigh` says otherwise.
        attributes: anything worth keeping with the run.
        may_keep_books: whether this process may be elected to read the counters and keep the books. False for one that
            is killed without notice, as long as another of this host may.
        keep_requests: whether the ledger keeps each request too, 200 bytes or so, and not sums by route and hour alone
            (`RecordedRun.requests`). The process that keeps the books goes by its own.

    Raises:
        ConfigError: an argument, a configuration file or the environment says what joulegram does not understand.
        ValueError: there is nothing of that name to weigh by.
    """
    if weigh_by is not None and weigh_by not in AMOUNTS:
        raise ValueError(f"weigh_by = {weigh_by!r}: one of {', '.join(AMOUNTS)} is needed")
    given = {
        "project": project, "model": model, "zone": zone, "pue": pue, "intensity": intensity, "basis": basis,
        "ledger": ledger, "meters": meters,
    }  # fmt: skip
    if not config.disabled():
        check_settings(**given)
    make = partial(_worker, stands=may_keep_books, keeps_requests=keep_requests)
    return Service(name or "server", {**given, "attributes": attributes}, weigh_by, make)


def _worker(service: Service, stands: bool = True, keeps_requests: bool = False) -> Worker:
    def start_run(run_id: str | None) -> Run:
        return start(service.name, stage="serve", run_id=run_id, **service._given)

    folder = memory_folder(f"serving-{_device_set(service._given)}")
    clock = Clock(os.environ.get("JOULEGRAM_HOST"))
    return Worker(service.name, folder, clock, start_run, stands, keeps_requests)


def _device_set(given: Mapping[str, Any]) -> str:
    """What tells the books of this process's devices from others': the same for all that count the same devices."""
    seen = [os.environ.get(variable, "") for variable in _VISIBLE]
    told = repr((config.load({"meters": given.get("meters")}).meters, seen, sys.version_info[:2]))
    return f"{zlib.crc32(told.encode()):08x}"


def _status(status: object) -> int:
    """A status of any kind as a number that a ring can hold: an enumeration's, or none."""
    return int(status) if isinstance(status, int) and 0 <= status < 1 << 16 else 0


def _text(route: object) -> str:
    """A route of any kind as text."""
    try:
        return str(route)
    except Exception:
        return type(route).__name__


_said: set[str] = set()


def _say_once(text: str) -> None:
    if text not in _said and len(_said) < 16:
        _said.add(text)
        warn(text)


def _may_weigh(weight: float) -> bool:
    try:
        if 0 <= weight <= MOST_WEIGHT:
            return True
    except TypeError:
        pass
    _say_once(
        f"joulegram: a request's weight is a number from 0 to {MOST_WEIGHT:.1e}, not {weight!r:.60}; it is ignored"
    )
    return False


def _may_add(tokens: float, flops: float, items: float) -> bool:
    try:
        if 0 <= tokens < inf and 0 <= flops < inf and 0 <= items < inf:
            return True
    except TypeError:
        pass
    amounts = tokens, flops, items
    _say_once(f"joulegram: what a request adds is a number that is not negative, not {amounts!r:.60}; it is ignored")
    return False


_SERVICES: weakref.WeakSet[Service] = weakref.WeakSet()


def _close_all() -> None:
    for service in list(_SERVICES):
        service.close()


def _forget_all() -> None:
    for service in list(_SERVICES):
        service._forget()


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
