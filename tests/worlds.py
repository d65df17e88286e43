"""Small true worlds: a clock that the test owns, counters of a known power, and a recorder without threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

from joulegram.config import Settings
from joulegram.host.clock import Clock
from joulegram.ledger.writer import JournalWriter, free_path
from joulegram.meters import Meter
from joulegram.recorder.opening import Opened
from joulegram.recorder.recorder import Recorder, Sink
from joulegram.recorder.sampler import Sampler, Superseded
from joulegram.records import Anchor, Basis, Channel, Header, IntensityPoint, PriceBook, Pue, Record, SpanRecord, Status
from joulegram.units import NS_PER_S

NOTHING = Settings(meters=())
"""Only the meters that a test puts to work itself."""
MEASURED = Pue(1.0, 1.0, 1.0, "measured", "as given")


class OwnedClock(Clock):
    """A host's clocks, which go on when the test says so."""

    def __init__(self, host: str = "alpha", boot: str = "first-boot", mono_s: float = 100.0, wall_s: float = 1.8e9):
        self.host, self.boot = host, boot
        self._mono_ns, self._boot_ns, self._wall_ns = (round(s * NS_PER_S) for s in (mono_s, mono_s, wall_s))

    def monotonic_ns(self) -> int:
        return self._mono_ns

    def anchor(self) -> Anchor:
        return Anchor(self._mono_ns, self._boot_ns, self._wall_ns)

    def advance(self, seconds: float) -> None:
        """Time passes."""
        self._mono_ns += round(seconds * NS_PER_S)
        self.suspend(seconds)

    def suspend(self, seconds: float) -> None:
        """Time passes while the machine sleeps."""
        self._boot_ns += round(seconds * NS_PER_S)
        self.set_wall(seconds)

    def set_wall(self, by_seconds: float) -> None:
        """Somebody sets the clock on the wall."""
        self._wall_ns += round(by_seconds * NS_PER_S)


def channel(name: str = "gpu:A", **more: Any) -> Channel:
    """A counted device."""
    return Channel(name, name.partition(":")[0], "measured", "a counter of known power", **{"max_w": 1000.0, **more})


class Counter(Meter):
    """A counter of joules whose power over time the test knows.

    Args:
        clock: the world's.
        power_w: constant power, of each channel.
        names: its channels.
    """

    def __init__(self, clock: Clock, power_w: float = 100.0, names: Sequence[str] = ("gpu:A",), **more: Any) -> None:
        self.channels = [channel(name, **more) for name in names]
        self.power_w = power_w
        self.reads = self.closed = 0
        self.before_read: Callable[[], Any] = lambda: None
        self._clock = clock
        self._counted_j, self._since_ns = 1_000.0, clock.monotonic_ns()

    def draw(self, power_w: float) -> None:
        """From now on it draws this much."""
        self._counted_j, self._since_ns, self.power_w = self.joules(), self._clock.monotonic_ns(), power_w

    def joules(self) -> float:
        """What its counters show now."""
        return self._counted_j + self.power_w * (self._clock.monotonic_ns() - self._since_ns) / NS_PER_S

    def read(self) -> Iterable[float]:
        self.reads += 1
        self.before_read()
        return [self.joules()] * len(self.channels)

    def close(self) -> None:
        self.closed += 1


class InstantCounter(Counter):
    """One that may be read in the caller's thread."""

    instant: bool = True


class ModelCounter(Counter):
    """One that gives way to a real counter."""

    fallback: ClassVar[int] = 2


class Sticking:
    """A meter that blocks in another thread until it is released."""

    def __init__(self, sampler: Sampler, counter: Counter) -> None:
        self._inside, self._release, self.ended = threading.Event(), threading.Event(), threading.Event()
        counter.before_read = self._block
        self._counter, self._sampler = counter, sampler
        self._thread = threading.Thread(target=self._sample)

    def _block(self) -> None:
        self._inside.set()
        assert self._release.wait(30)

    def _sample(self) -> None:
        try:
            self._sampler.tick(everything=True)
        except Superseded:
            self.ended.set()

    def begin(self) -> None:
        self._thread.start()
        assert self._inside.wait(30)

    def release(self) -> None:
        self._counter.before_read = lambda: None
        self._release.set()
        self._thread.join()


class Kept:
    """A sink that keeps records, and that may be told to fail."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.error: Exception | None = None
        self.gone = False

    def write(self, records: Sequence[Record]) -> None:
        if self.error is not None:
            raise self.error
        if self.gone:
            self.records, self.gone = [], False
        self.records.extend(records)

    def removed(self) -> bool:
        return self.gone

    def close(self) -> None:
        pass

    def of(self, kind: type[Any]) -> list[Any]:
        """The records of one kind."""
        return [record for record in self.records if isinstance(record, kind)]


class Interval:
    """A span as the recorder sees it."""

    def __init__(self, name: str, start_ns: int) -> None:
        self.name, self.start_ns = name, start_ns
        self.end_ns: int | None = None

    def record(self) -> SpanRecord:
        return SpanRecord(self.name, None, "epoch", self.name, None, self.start_ns, self.end_ns)


class StillRecorder(Recorder):
    """A recorder whose threads are the test: nothing happens between two lines of it."""

    @staticmethod
    def _start_thread(work: Any, name: str, *arguments: Any) -> None:
        pass

    @property
    def sampler(self) -> Any:
        """What takes the samples."""
        return self._sampler

    def run_for(self, seconds: float, step_s: float = 0.05) -> None:
        """Time passes, sampled regularly."""
        for _ in range(round(seconds / step_s)):
            self.clock.advance(step_s)  # type: ignore[attr-defined]
            self._sampler.tick(everything=True)

    def begin(self, name: str) -> Interval:
        """A span starts now."""
        interval = Interval(name, self.clock.monotonic_ns())
        self.opened(interval)
        self.edge(interval.start_ns, instantly=True)
        return interval

    def finish(self, interval: Interval) -> None:
        """A span ends now."""
        interval.end_ns = self.clock.monotonic_ns()
        self.edge(interval.end_ns, instantly=True)
        self.closed(interval)

    def flush(self) -> None:
        """The keeper's work."""
        self._flush(False)

    def stop(self, status: Status = "finished") -> None:
        """The end of the recording."""
        end_ns = self.clock.monotonic_ns()
        self.edge(end_ns, instantly=True)
        self._sampled.set()
        self.settle(status, end_ns)
        self._sampler.tick(final=True)
        self._sampler.end(end_ns)
        self._kept.set()
        self._closing = True
        self._flush(True)
        self._sink.close()


def recorder(
    clock: Clock,
    sink: Sink,
    *meters: Meter,
    run: str = "run-1",
    rank: int = 0,
    pid: int = 1,
    **more: Any,
) -> StillRecorder:
    """A recorder of these meters, at its first sample."""
    anchor = clock.anchor()
    header = Header(
        run=run,
        host=clock.host,
        boot=clock.boot,
        pid=pid,
        process_started=str(pid),
        rank=rank,
        start_ns=anchor.mono_ns,
        anchor=anchor,
        **{"name": "net", "project": None, "stage": "train", "zone": None, **more},
    )
    opened = [Opened(f"meter-{number}", meter) for number, meter in enumerate(meters)]
    made = StillRecorder(header, NOTHING, sink, clock, opened)
    made.sampler.tick(everything=True)
    return made


def price(g_per_kwh: float = 360.0, basis: Basis = "lifecycle") -> PriceBook:
    """A flat price: at 360 g/kWh, 10 kJ are a gram."""
    point = IntensityPoint(g_per_kwh, g_per_kwh, g_per_kwh, "ZZ", "a test", "measured", basis=basis)
    return PriceBook(MEASURED, (point,), basis)


def journal(ledger: Path, clock: Clock, run: str = "run-1", rank: int = 0, pid: int = 1) -> JournalWriter:
    """The journal of one process in a ledger."""
    return JournalWriter(free_path(ledger / run, f"{clock.host}-{rank}-{pid}"))


def until(condition: Callable[[], Any], what: str, seconds: float = 30.0) -> Any:
    """Waits for what another thread or process does; its answer."""
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"no {what} within {seconds:g} s"
        time.sleep(0.01)
    return answer
