"""A recorder: one process's part of a run, from start to end.

Two daemon threads work for it. The *sampler* reads meters and grows curves; the *keeper* hands records to the sink,
which may wait for a disk, and gives sampling to a fresh thread when a meter does not come back. The caller's thread
only stamps times and appends to queues.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from joulegram.clocks import DeviceClock, Edge, queue_of
from joulegram.config import Settings
from joulegram.curves.phases import OTHER
from joulegram.host.clock import Clock, drift_ns
from joulegram.host.cohort import Cohort
from joulegram.host.hardware import hardware_of
from joulegram.notices import warn
from joulegram.recorder.bell import Bell
from joulegram.recorder.channel import Settled
from joulegram.recorder.knots import new_knots
from joulegram.recorder.learning import keep_learned
from joulegram.recorder.opening import Opened
from joulegram.recorder.sampler import Sampler, Superseded
from joulegram.records import (
    Anchor,
    Channel,
    End,
    Hardware,
    Header,
    Heartbeat,
    Note,
    Record,
    SpanRecord,
    Status,
    StepCount,
)
from joulegram.units import NS_PER_S

if TYPE_CHECKING:
    from joulegram.curves.trace import RecorderTrace


FLUSH_NS = 5 * NS_PER_S
OPEN_WAIT_NS = NS_PER_S
"""How long the first write waits for the meters to open: until then a counter may take a model's place."""
READ_DEADLINE_NS = NS_PER_S // 2
WATCH_S = 0.4
"""How often the keeper looks after the sampler: with the deadline, less than other meters' samples may be late."""
EXIT_WAIT_S = 1.0
"""How long the end of a run may wait for counters to pass it, and as long again for the disk."""
SETTLE_WAIT_NS = 8 * NS_PER_S // 10
"""How long the sampler waits for counters to pass the end: what then remains of the second is for its last look."""
ENDING_PERIOD_S = 0.02
"""How often it reads meanwhile; more often than that, some GPUs' counters stand still."""
SAME_NS = 2_000
"""Clocks that ran apart by less did not: it takes some time to read them."""
THROTTLE_S = 0.025
"""Edges that come faster than this share a sample."""


class Sink(Protocol):
    """Where records go. Called by the keeper's thread alone."""

    def write(self, records: Sequence[Record]) -> None:
        """Makes records durable.

        Raises:
            OSError: they are not; the caller offers them again.
        """

    def removed(self) -> bool:
        """Whether somebody has removed what was written."""

    def close(self) -> None:
        """Lets go of what the sink holds open."""


class Spanlike(Protocol):
    """What the recorder needs to know of a span."""

    def record(self) -> SpanRecord:
        """The span as it stands now."""


class Recorder:
    """Samples, takes spans and phases, and writes them to a sink until it is closed.

    Args:
        header: who records what.
        settings: which meters, and their options.
        sink: where records go.
        clock: the time.
        opened: meters that are open already.
    """

    def __init__(
        self, header: Header, settings: Settings, sink: Sink, clock: Clock, opened: Sequence[Opened] = ()
    ) -> None:
        self.header = header
        self.clock = clock
        self.current_phase = OTHER
        """The phase that the loop is in."""
        self.on_phase: Callable[[str], object] | None = None
        """Told of every phase that the loop enters: what counts a step's FLOPs in each."""
        self._device: DeviceClock | None = None
        self._sink = sink
        self._sampler = Sampler(settings, clock, Cohort(header.run), header.start_ns)
        self._marks = self._sampler.marks
        for meter in opened:
            self._sampler.take(meter)
        self._said: list[Record] = [header]
        self._unwritten: deque[Record] = deque(self._said)
        self._told_channels: dict[str, Channel] = {}
        self._gaps_written: dict[str, int] = {}
        self._moments_written: dict[str, int] = {}
        self._notes_written = self._jumps_taken = 0
        self._closed_spans: deque[Spanlike] = deque()
        self._open_spans: dict[int, Spanlike] = {}
        self._told_spans: dict[int, SpanRecord] = {}
        self._wake, self._flush_asked = Bell(), Bell()
        self._throttle, self._sampled, self._kept = threading.Event(), threading.Event(), threading.Event()
        self._generation = 0
        self._end: End | None = None
        self._closing = self._abandoned = False
        self._cpu_s: dict[str, float] = {}
        self._wakeups = 0
        self._anchors = [header.anchor]
        self._complained = self._hardware_asked = False
        self._hardware: Hardware | None = None
        _RECORDERS.add(self)
        self._start_thread(self._sample, "joulegram-sampler", self._generation)
        self._start_thread(self._keep, "joulegram-keeper")

    # -- called by the loop's threads -----------------------------------------------------------------------------

    def edge(self, time_ns: int, *, instantly: bool = False) -> None:
        """A span has an edge: the curves are pinned there, and a sample is taken soon.

        Args:
            time_ns: when (ns).
            instantly: also read here and now the meters that take microseconds (run and epoch edges).
        """
        if instantly:
            self._sampler.read_instantly()
        self._sampler.marks.append((time_ns, None))
        self._sampler.tallies.edge(time_ns)
        if self._device is not None:
            self._poll_device(self._device)
        self._wake.ring()

    def phase(self, time_ns: int, phase: str) -> None:
        """From `time_ns` on the loop is in `phase`."""
        if self._device is None:  # no call that can be spared: loops mark some phases in every step
            self._marks.append((time_ns, phase))
        else:
            self._marks.append((self._device_edge(self._device, time_ns) or time_ns, phase))
        self.current_phase = phase
        if self.on_phase is not None:
            self.on_phase(phase)

    def follow_device(self, device: object) -> None:
        """From here on phases also have edges on this device, if it works through a queue; see `clocks`."""
        queue = queue_of(device)
        self._device = None if queue is None else DeviceClock(queue, self.clock.monotonic_ns)

    def _device_edge(self, device: DeviceClock, time_ns: int) -> Edge | None:
        try:
            return device.edge(time_ns)
        except Exception as error:
            self._lose_device(error)
            return None

    def _poll_device(self, device: DeviceClock) -> None:
        try:
            device.poll()
        except Exception as error:
            self._lose_device(error)

    def _lose_device(self, error: Exception) -> None:
        self._device = None
        self.note("phases", f"phases are timed on the host from here on, the device tells no times: {error!r}")

    def tally(self, amounts: Mapping[str, float]) -> None:
        """Adds to what the loop adds up, by name."""
        self._sampler.tallies.add(amounts)

    def opened(self, span: Spanlike) -> None:
        """A span was opened."""
        self._open_spans[id(span)] = span

    def closed(self, span: Spanlike) -> None:
        """A span was closed."""
        self._closed_spans.append(span)  # first, so that no flush finds it in neither
        self._open_spans.pop(id(span), None)

    def say(self, record: Record) -> None:
        """Adds a record of someone else's making (a price, a note)."""
        self._said.append(record)
        self._unwritten.append(record)

    def tell(self, record: Record) -> None:
        """Adds a record that a later one supersedes: should the journal be removed, it is not written again."""
        self._unwritten.append(record)

    def settled(self, fellows: Callable[[], Collection[int]]) -> deque[Settled]:
        """Counter intervals from now on, for who shares them out further; for one reader.

        Args:
            fellows: tells pids of other processes whose use of shared devices is this recorder's too.
        """
        self._sampler.fellows = fellows
        return self._sampler.settled()

    def note(self, kind: str, text: str) -> None:
        """Keeps something that a reader should know, and says it once."""
        self._sampler.note(kind, text)

    def flush_soon(self) -> None:
        """Asks for what is known to be written, without waiting for it."""
        self._flush_asked.ring()

    @property
    def alive(self) -> bool:
        """Whether this recorder still records, in this process."""
        return self._end is None and not self._abandoned

    @property
    def cost(self) -> tuple[float, int]:
        """What recording has cost so far: CPU time of its threads (s) and how often they woke."""
        return sum(self._cpu_s.values()), self._wakeups

    def trace(self, end_ns: int) -> RecorderTrace:
        """What is recorded so far, up to `end_ns`; never waits."""
        from joulegram.curves.curve import Curve
        from joulegram.curves.timeline import Timeline
        from joulegram.curves.trace import RecorderTrace, ahead, channel_trace

        unread = self._sampler.unread()
        counted = self._sampler.tallies.ahead(end_ns)  # before their curves: none is missed between
        curves = {}
        for name, grown in self._sampler.curves():
            count = len(grown.values)
            times, values = list(grown.times_ns[:count]), list(grown.values[:count])
            tip = grown.tip
            if tip is not None and times and tip[0] > times[-1]:
                times.append(tip[0])
                values.append(tip[1])
            curves[name] = Curve.of(times, values)
        suspends = [gap for gap in self._sampler.gaps if not gap.channel]
        host = self.header.host
        return RecorderTrace(
            header=self.header,
            timeline=Timeline([*self._anchors, self.clock.anchor()]),
            channels={
                f"{host}/{log.channel.id}": channel_trace(
                    f"{host}/{log.channel.id}",
                    log.described,
                    curves,
                    [*log.gaps, *suspends],
                    self.header.start_ns,
                    end_ns,
                    log.ahead(unread.get(log.channel.id)),
                    log.moments_now(),
                )
                for log in self._sampler.channels()
            },
            phase_s=_named(curves, "phase_s "),
            phase_n=_named(curves, "phase_n "),
            tallies=ahead(_named(curves, "tally "), counted),
            counts=tuple(record for record in self._said if isinstance(record, StepCount)),
            hardware=self._hardware,
            reserved_s=curves.get("reserved_s", Curve()),
            start_ns=self.header.start_ns,
            end_ns=end_ns,
        )

    def settle(self, status: Status, end_ns: int) -> None:
        """Stops sampling once every counter has passed `end_ns`; waits for that, one second at most."""
        if not self.alive:
            return
        self._end = End(end_ns, status, self.clock.anchor())
        self._wake.ring()
        self._throttle.set()
        self._sampled.wait(EXIT_WAIT_S)

    def close(self, error: str | None, summary: Mapping[str, Any] | None, attributes: Mapping[str, Any]) -> None:
        """Writes the end of the recording, which `settle` began, and waits for the disk, one second at most."""
        if self._end is None or self._abandoned or self._kept.is_set():
            return
        cpu_s, wakeups = self.cost
        self._end = End(
            self._end.end_ns, self._end.status, self.clock.anchor(), error, cpu_s, wakeups, summary, dict(attributes)
        )
        self._closing = True
        self._flush_asked.ring()
        self._kept.wait(EXIT_WAIT_S)
        _RECORDERS.discard(self)

    def abandon(self) -> None:
        """Lets go without a trace: this process is a fork's child, and the run is its parent's."""
        self._abandoned = True

    # -- the sampler's thread -------------------------------------------------------------------------------------

    def _sample(self, generation: int) -> None:
        self._throttle.wait(THROTTLE_S)  # the caller goes first: opening meters keeps the interpreter busy
        woken, started_s = False, time.thread_time()
        while True:
            ending = self._end is not None
            final = ending and self._all_passed()
            try:
                self._sampler.tick(everything=woken or ending, final=final)
                if final:
                    self._sampler.end(self._end.end_ns if self._end else 0)
            except Superseded:
                return
            except Exception as error:  # never the user's problem; said once, and the run keeps what it has
                self._sampler.note("sampler", f"sampling stopped: {error!r}")
                final = True
            self._count(f"sampler-{generation}", started_s)
            if final or self._generation != generation:
                self._sampled.set()
                return
            if ending:
                time.sleep(ENDING_PERIOD_S)
                continue
            if woken:
                self._throttle.wait(THROTTLE_S)
            wait_s = (self._sampler.next_due_ns() - self.clock.monotonic_ns()) / NS_PER_S
            woken = self._wake.wait(wait_s)

    def _all_passed(self) -> bool:
        """Whether every counter has moved past the end, or has had its time to."""
        end_ns = self._end.end_ns if self._end else 0
        late = self.clock.monotonic_ns() - end_ns > SETTLE_WAIT_NS
        return late or all(channel.passed(end_ns) for channel in self._sampler.channels())

    # -- the keeper's thread --------------------------------------------------------------------------------------

    def _keep(self) -> None:
        started_s = time.thread_time()
        flushed_ns = self.clock.monotonic_ns() - FLUSH_NS + NS_PER_S
        while not self._abandoned:
            asked = self._flush_asked.wait(WATCH_S)
            if self._sampler.overdue(READ_DEADLINE_NS):
                self._generation += 1
                with suppress(RuntimeError):  # the process is ending, and starts no thread any more
                    self._start_thread(self._sample, "joulegram-sampler", self._generation)
            closing, now_ns = self._closing, self.clock.monotonic_ns()
            opened = self._sampler.ready or now_ns - self.header.start_ns >= OPEN_WAIT_NS
            if closing or (opened and (asked or now_ns - flushed_ns >= FLUSH_NS)):
                flushed_ns = now_ns
                self._flush(closing)
            self._count("keeper", started_s)
            if closing:
                with suppress(OSError):
                    self._sink.close()
                with suppress(Exception):  # a home that cannot be written: the run is none the worse for it
                    keep_learned(self._sampler.cpu_power, self.header.host)
                self._kept.set()
                return

    def _flush(self, closing: bool) -> None:
        """Hands over what is new; what the sink cannot take is offered again with the next flush."""
        self._take_jumps()
        anchor = self.clock.anchor()
        self._keep_anchor(anchor)
        try:
            if self._sink.removed():
                self._start_over()
            self._collect()
            batch = list(self._unwritten)
            self._sink.write([*batch, self._end if closing and self._end else Heartbeat(anchor)])
        except Exception as error:  # a disk that is full or gone, most likely
            self._complain(error, closing)
            return
        self._complained = False
        for _ in batch:
            self._unwritten.popleft()

    def _complain(self, error: Exception, closing: bool) -> None:
        if closing:
            warn(f"the journal cannot be written, and what run {self.header.run} kept in memory is lost: {error}")
        elif not self._complained:
            self._sampler.note("ledger", f"the journal cannot be written, records are kept in memory: {error}")
        self._complained = True

    def _start_over(self) -> None:
        """What was written is gone: all that is still known is to be written again."""
        pending = [record for record in self._unwritten if isinstance(record, SpanRecord)]
        self._unwritten.clear()
        self._unwritten.extend([*self._said, *pending, *map(Heartbeat, self._sampler.jumps)])
        self._told_channels.clear()
        self._gaps_written.clear()
        self._moments_written.clear()
        self._told_spans.clear()
        self._notes_written = 0
        for _, curve in self._sampler.curves():
            curve.flushed, curve.told = 0, None
        self._sampler.note("ledger", "the journal was removed; it is begun again, without the spans that had ended")

    def _take_jumps(self) -> None:
        jumps = self._sampler.jumps[self._jumps_taken :]
        self._jumps_taken += len(jumps)
        for anchor in jumps:
            self._keep_anchor(anchor)
            self._unwritten.append(Heartbeat(anchor))

    def _keep_anchor(self, anchor: Anchor) -> None:
        """Anchors between which the clocks ran alike say nothing; the first and the last of them are enough."""
        if len(self._anchors) > 1 and drift_ns(self._anchors[-2], anchor) <= SAME_NS:
            self._anchors[-1] = anchor
        else:
            self._anchors.append(anchor)

    def _collect(self) -> None:
        self._sampler.fix()
        self._tell_hardware()
        for described in (channel.described for channel in self._sampler.channels()):
            if self._told_channels.get(described.id) != described:
                self._told_channels[described.id] = described
                self._unwritten.append(described)
        self._unwritten.extend(self._new_gaps())
        self._unwritten.extend(self._new_moments())
        notes = self._sampler.notes[self._notes_written :]
        self._notes_written += len(notes)
        self._unwritten.extend(notes)
        self._unwritten.extend(self._changed_spans())
        while self._closed_spans:
            span = self._closed_spans.popleft()
            self._told_spans.pop(id(span), None)
            self._unwritten.append(span.record())
        self._unwritten.append(new_knots(self.header.start_ns, self._sampler.curves()))

    def _tell_hardware(self) -> None:
        """Says once what machine this is; here, as the kernel may take its time over many CPUs."""
        if self._hardware_asked:
            return
        self._hardware_asked = True
        try:
            self._hardware = hardware_of(self.header.host)
            self.say(self._hardware)
        except Exception as error:  # somebody's firmware: the energy is counted all the same
            self._sampler.notes.append(Note(self.clock.monotonic_ns(), "hardware", f"it is not known: {error!r}"))

    def _changed_spans(self) -> Iterator[SpanRecord]:
        """Open spans that no line has told of as they now stand."""
        for span in list(self._open_spans.values()):
            record = span.record()
            if self._told_spans.get(id(span)) != record:
                self._told_spans[id(span)] = record
                yield record

    def _new_gaps(self) -> Sequence[Record]:
        sources = {channel.channel.id: channel.gaps for channel in self._sampler.channels()}
        sources[""] = self._sampler.gaps
        fresh: list[Record] = []
        for name, gaps in sources.items():
            done = self._gaps_written.get(name, 0)
            fresh += gaps[done:]
            self._gaps_written[name] = max(done, len(gaps))
        return fresh

    def _new_moments(self) -> Iterator[Record]:
        for channel in self._sampler.channels():
            moments, name = channel.moments, channel.channel.id
            yield from moments[self._moments_written.get(name, 0) :]
            self._moments_written[name] = len(moments)

    def _count(self, thread: str, started_s: float) -> None:
        self._cpu_s[thread] = time.thread_time() - started_s
        self._wakeups += 1

    @staticmethod
    def _start_thread(work: Any, name: str, *arguments: Any) -> None:
        threading.Thread(target=work, args=arguments, name=name, daemon=True).start()


def _named(curves: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): curve for name, curve in curves.items() if name.startswith(prefix)}


_RECORDERS: weakref.WeakSet[Recorder] = weakref.WeakSet()


def _abandon_all() -> None:
    for recorder in list(_RECORDERS):
        recorder.abandon()
    _RECORDERS.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_abandon_all)
