"""When an accelerator reached a phase's edge, in the host's time, without ever waiting for it.

A loop on CUDA asks for work long before it is done. An event that is put into the device's queue at an edge tells when
the device came to it, on the device's clock. Where that clock stands against the host's is bounded by what the host
sees of every event: it is not done before it was asked for, and done by the time that it is found to be. The first of
these bounds is met wherever the queue had run empty, as it does where the loop synchronises. So this is what is gone
by: the last bound from below that was no looser than those before, which widen by what the clocks may drift apart.
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

DRIFT = 1e-4
"""Two quartz clocks run apart by less: each is good for 50 ppm."""
REFERENCE_MS = 1000.0
"""CUDA tells the time between two events as a float, good to 0.1 µs up to here; then a later event is counted from."""
FAR_NS = 1 << 62
MOST_WAITING = 4096
"""Events that may be in the queue at once: CUDA itself lets a loop run ahead by about a thousand kernels."""


class Event(Protocol):
    """A mark in a device's queue that remembers when it was reached, as `torch.cuda.Event` does."""

    def query(self) -> bool:
        """Whether the device has reached it."""

    def elapsed_time(self, later: Any) -> float:
        """Time from this event to a later one, both reached (ms)."""


class Queue(Protocol):
    """Where a device's work waits."""

    def is_closed(self) -> bool:
        """Whether no event may be recorded, and none asked about, at the moment."""

    def record(self, event: Any) -> Event:
        """Puts an event at the end: a fresh one, or one that was reached and is of no more use."""


class Edge:
    """A moment in a device's queue.

    Attributes:
        asked_ns: when it was asked for (monotonic ns).
        reached_ns: when the device reached it (monotonic ns); None until that is known.
    """

    __slots__ = ("asked_ns", "event", "reached_ns")

    def __init__(self, asked_ns: int, event: Event) -> None:
        self.asked_ns = asked_ns
        self.event = event
        self.reached_ns: int | None = None


class DeviceClock:
    """Edges of a loop in the time of its device.

    Owned by the thread that makes it, the loop's, which pays some microseconds for each edge; from any other nothing is
    done. While a thread captures a CUDA graph, another one that asks about an event would break the capture.

    Args:
        queue: the device's.
        now_ns: the host's time (monotonic ns).
    """

    def __init__(self, queue: Queue, now_ns: Callable[[], int]) -> None:
        self._queue, self._now_ns = queue, now_ns
        self._waiting: deque[Edge] = deque()
        self._spare: list[Event] = []
        self._reference: Event | None = None
        self._reference_ns = self._device_ns = 0
        self._low_ns = self._offset_ns = -FAR_NS
        """Host time minus device time: the least that it can be, and what it is taken to be."""
        self._high_ns = FAR_NS
        self._reached_ns = 0
        self._thread = threading.get_ident()

    def edge(self, asked_ns: int) -> Edge | None:
        """Marks where the queue ends now (ns); None where that cannot be: the host's time has to do."""
        if not self._is_open():
            return None
        self._look()
        if len(self._waiting) >= MOST_WAITING:
            return None
        edge = Edge(asked_ns, self._queue.record(self._spare.pop() if self._spare else None))
        self._waiting.append(edge)
        return edge

    def poll(self) -> None:
        """Tells of every edge that the device has reached since the last time when that was."""
        if self._is_open():
            self._look()

    def _is_open(self) -> bool:
        return threading.get_ident() == self._thread and not self._queue.is_closed()

    def _look(self) -> None:
        while self._waiting and self._waiting[0].event.query():
            seen_ns = self._now_ns()
            edge = self._waiting.popleft()
            device_ns = self._device_time(edge.event)
            self._bound(device_ns, edge.asked_ns, seen_ns)
            # Events are reached in their order; a better guess of the offset must not turn that around.
            self._reached_ns = max(self._reached_ns, device_ns + self._offset_ns)
            edge.reached_ns = self._reached_ns

    def _device_time(self, event: Event) -> int:
        """The device's time of an event (ns since the first)."""
        if self._reference is None:
            self._reference = event
            return 0
        elapsed_ms = self._reference.elapsed_time(event)
        device_ns = self._reference_ns + round(elapsed_ms * 1e6)
        spare = event
        if elapsed_ms > REFERENCE_MS:
            spare, self._reference, self._reference_ns = self._reference, event, device_ns
        self._spare.append(spare)
        return device_ns

    def _bound(self, device_ns: int, asked_ns: int, seen_ns: int) -> None:
        """Takes in what one event says of host time minus device time."""
        drift_ns = int(DRIFT * (device_ns - self._device_ns)) + 1
        low_ns, high_ns = asked_ns - device_ns, seen_ns - device_ns
        known_low_ns, known_high_ns = self._low_ns - drift_ns, self._high_ns + drift_ns
        if low_ns > known_high_ns or high_ns < known_low_ns:  # a clock stood still (a suspend): begin again
            known_low_ns, known_high_ns = low_ns, high_ns
        if low_ns >= known_low_ns:
            self._offset_ns = low_ns
        self._low_ns, self._high_ns = max(low_ns, known_low_ns), min(high_ns, known_high_ns)
        self._offset_ns = min(self._offset_ns, self._high_ns)
        self._device_ns = device_ns


class CudaQueue:
    """PyTorch's current stream of a CUDA device.

    Args:
        cuda: the module `torch.cuda`.
        device: the device, as PyTorch names it.
    """

    def __init__(self, cuda: Any, device: object) -> None:
        self._cuda, self._device = cuda, device

    def is_closed(self) -> bool:
        """Whether a graph is being captured: an event would become a part of it."""
        return bool(self._cuda.is_current_stream_capturing())

    def record(self, event: Any) -> Event:
        """Puts an event at the end of the stream."""
        event = event or self._cuda.Event(enable_timing=True)
        event.record(self._cuda.current_stream(self._device))
        return event  # type: ignore[no-any-return]  # torch is not imported here


def queue_of(device: object) -> Queue | None:
    """The queue of a device, by its name (``cuda:0``); None for one that does at once what it is asked.

    PyTorch is not loaded for it: a loop that runs on CUDA has.
    """
    torch = sys.modules.get("torch")
    return CudaQueue(torch.cuda, device) if torch is not None and str(device).startswith("cuda") else None
