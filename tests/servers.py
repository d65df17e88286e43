"""A host that serves, with an owned clock and a counter of known power: nothing happens between two lines of a test."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Collection
from pathlib import Path

from worlds import Counter, Kept, OwnedClock, StillRecorder, price, recorder

from joulegram.meters import Meter
from joulegram.recorder.channel import Settled
from joulegram.records import IntensityPoint, PriceBook, Record, ServedHour
from joulegram.serving.service import Service
from joulegram.serving.snapshot import Snapshot
from joulegram.serving.worker import Worker


class StillRun:
    """A run whose recorder ticks when the test says so; at 360 g/kWh, 10 kJ are a gram."""

    def __init__(self, clock: OwnedClock, meters: Collection[Meter], run_id: str) -> None:
        self.id = run_id
        self.sink = Kept()
        self.price_book: PriceBook | None = price()
        self.closed = False
        self.still: StillRecorder = recorder(clock, self.sink, *meters, run=run_id)
        self.alive = True

    @property
    def recorder(self) -> StillRun:
        return self

    def settled(self, fellows: Callable[[], Collection[int]]) -> deque[Settled]:
        return self.still.settled(fellows)

    def tell(self, record: Record) -> None:
        self.still.tell(record)

    def intensity(self) -> IntensityPoint | None:
        return self.price_book.intensity[0] if self.price_book is not None else None

    def close(self, *, last: Callable[[], object]) -> None:
        self.still.sampler.tick(final=True)
        last()
        self.closed, self.alive = True, False
        self.still.flush()

    @property
    def hours(self) -> list[ServedHour]:
        """What was told of hours, the later lines only."""
        told = self.sink.of(ServedHour)
        return list({(hour.hour_s, hour.service, hour.route): hour for hour in told}.values())


class StillWorker(Worker):
    """A process's part whose thread is the test."""

    def _start_thread(self) -> threading.Thread | None:
        return None

    def die(self) -> None:
        """What is left of a process that is killed: its lock is let go, its ring and what it had told stay."""
        self._election.step_down()
        self.owner = None


class Host:
    """A host: a clock, a counter, and any number of processes that serve.

    Args:
        folder: its shared memory.
        power_w: what its device draws.
        more: of the device's channel.
    """

    def __init__(self, folder: Path, power_w: float = 100.0, **more: object) -> None:
        self.clock = OwnedClock()
        self.folder = folder
        self.counter = Counter(self.clock, power_w, **more)
        self.start_j = self.counter.joules()
        self.runs: list[StillRun] = []
        self.workers: list[StillWorker] = []

    def serve(self, name: str = "s", weigh_by: str | None = None) -> Service:
        """One more process that serves; it has begun."""

        def make(service: Service) -> Worker:
            worker = StillWorker(service.name, self.folder, self.clock, self._start_run)
            self.workers.append(worker)
            return worker

        service = Service(name, {}, weigh_by, make, self.clock.monotonic_ns)
        service.start()
        self.attend()
        return service

    def _start_run(self, run_id: str | None) -> StillRun:
        run = StillRun(self.clock, [self.counter], run_id or f"run-{len(self.runs) + 1}")
        self.runs.append(run)
        return run

    def attend(self) -> None:
        """Whoever keeps the books samples and settles; everybody else looks."""
        for worker in self.workers:
            if worker.owner is not None and self.runs[-1].alive:
                self.runs[-1].still.sampler.tick(everything=True)
            worker.attend()

    def go_on(self, seconds: float, step_s: float = 0.05) -> None:
        """Time passes, and is counted."""
        for _ in range(round(seconds / step_s)):
            self.clock.advance(step_s)
            self.attend()

    def metered_j(self) -> float:
        """What the counter has truly counted since the host began."""
        return self.counter.joules() - self.start_j


def seen(service: Service) -> Snapshot:
    """What a process reads of it; it adds up."""
    snapshot = service.snapshot()
    assert snapshot is not None
    for channel in snapshot.channels.values():
        together = snapshot.energy_j(channel.id) + channel.pending_j
        assert abs(together - channel.meter_j) <= 1e-9 * max(1.0, channel.meter_j)
    return snapshot


def route_j(snapshot: Snapshot, route: str, service: str = "s") -> float:
    """What a route has been charged."""
    (row,) = [row for row in snapshot.routes if (row.service, row.route) == (service, route)]
    return sum(parts.total for parts in row.energy_j.values())
