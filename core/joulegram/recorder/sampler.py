"""Takes samples and turns them into curves: one tick at a time, on whatever thread calls it.

The sampler knows no threads of its own; `Recorder` gives it one, and another when a meter does not come back.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from joulegram.config import Settings
from joulegram.curves.door import GrowingCurve
from joulegram.curves.phases import MOST_MARKS, Mark
from joulegram.curves.sharing import Share
from joulegram.host.clock import Clock, drift_ns
from joulegram.host.cohort import Cohort
from joulegram.host.forking import importing
from joulegram.meters import Meter
from joulegram.notices import warn
from joulegram.recorder.channel import ALL, ChannelLog, Settled
from joulegram.recorder.device_marks import PATIENCE_NS, DeviceMarks, Stamp, on_host_ns
from joulegram.recorder.learning import COUNTERS, CpuPower
from joulegram.recorder.opening import Opened, find_others, open_meter, overlap
from joulegram.recorder.phases import PhaseLog
from joulegram.recorder.sharing import ShareLog, Since
from joulegram.recorder.tallies import TallyLog
from joulegram.records import Anchor, Channel, Gap, Note
from joulegram.units import NS_PER_S

HOLD_NS = 10_000_000
"""Samples younger than this wait for the next tick, so that a mark stamped just before them is in by then."""
INSTANT_NS = 200_000
"""Reads in the caller's thread that take longer, some in a row, are the last there: one may have been preempted."""
MOST_SLOW = 3
BLOCKED_NS = 20_000_000
"""One that takes this long waited for something: it is the last at once."""
TOGETHER_NS = 10_000_000
"""What is due within this time is read now: waking up costs more than reading, so meters come to be read together."""
ANCHOR_PERIOD_NS = NS_PER_S
JUMP_NS = NS_PER_S // 2
CLOSE_WAIT_S = 0.1
MOST_SETTLED = 1 << 16
"""Intervals that are kept for a reader who does not come."""


class Superseded(Exception):
    """Another thread has taken over the sampling; this one ends."""


@dataclass(slots=True)
class MeterLog:
    """A meter at work. `inbox` may be filled by any thread; the rest belongs to the sampler's."""

    name: str
    meter: Meter
    channels: list[ChannelLog]
    due_ns: int = 0
    instant: bool = False
    alive: bool = True
    stuck: bool = False
    slow: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    inbox: deque[tuple[int, list[float]]] = field(default_factory=deque)

    @property
    def period_ns(self) -> int:
        """How often to read (ns)."""
        return int(self.meter.period_s * NS_PER_S)

    def read_now(self, clock: Clock) -> int:
        """Reads into the inbox, at the middle of the read; how long it took (ns)."""
        before_ns = clock.monotonic_ns()
        values = list(map(float, self.meter.read()))
        after_ns = clock.monotonic_ns()
        if len(values) != len(self.channels):
            raise ValueError(f"{len(values)} readings for {len(self.channels)} channels")
        self.inbox.append(((before_ns + after_ns) // 2, values))
        return after_ns - before_ns

    def close(self) -> None:
        """Closes the meter, unless it is being read; the lock is kept, so that nobody reads it any more."""
        self.instant = self.alive = False
        if self.lock.acquire(timeout=CLOSE_WAIT_S):
            self.meter.close()


class Sampler:
    """The meters of one recorder and the curves that grow from them.

    Args:
        settings: which meters, and their options.
        clock: the time.
        cohort: the run's other recorders on this host.
        start_ns: when the run started (ns).
    """

    def __init__(self, settings: Settings, clock: Clock, cohort: Cohort, start_ns: int) -> None:
        self.marks: deque[tuple[Stamp, str | None]] = deque(maxlen=MOST_MARKS)
        self.phases_used = False
        self.notes: list[Note] = []
        self.gaps: list[Gap] = []
        self.jumps: list[Anchor] = []
        """The clocks on both sides of each jump."""
        self.meters: list[MeterLog] = []
        self.phases = PhaseLog(start_ns)
        self.on_device: DeviceMarks | None = None
        self.tallies = TallyLog(start_ns)
        self.shares: ShareLog | None = None
        self.cpu_power = CpuPower()
        self.ready = False
        """Whether every meter has been opened, or found wanting."""
        self.fellows: Callable[[], Collection[int]] = tuple
        """Pids of processes elsewhere that this recorder answers for too, with their children."""
        self._settled: deque[Settled] | None = None
        self._settings, self._clock, self._cohort, self._start_ns = settings, clock, cohort, start_ns
        self._since = Since.now(start_ns)
        self._anchor: Anchor = clock.anchor()
        self._looked = False
        self._to_open: deque[tuple[str, type[Meter]]] = deque()
        self._opened: deque[Opened] = deque()
        self._fixed = False
        self._taking = threading.Lock()
        self._watch: tuple[object, MeterLog | None, str, int] | None = None
        self._watch_lock = threading.Lock()

    # -- called by the loop's threads ---------------------------------------------------------------------------

    def read_instantly(self) -> None:
        """Reads, in the caller's thread, the meters that take a few microseconds; none that is being read already."""
        for meter_log in self.meters:
            if meter_log.instant and meter_log.lock.acquire(blocking=False):
                try:
                    took_ns = meter_log.read_now(self._clock)
                    meter_log.slow = meter_log.slow + 1 if took_ns > INSTANT_NS else 0
                    meter_log.instant = meter_log.slow < MOST_SLOW and took_ns < BLOCKED_NS
                except (Exception, SystemExit):  # the sampler's own read meets the same failure, and reports it
                    meter_log.instant = False
                finally:
                    meter_log.lock.release()

    # -- called by the sampler's thread -------------------------------------------------------------------------

    def tick(self, *, everything: bool = False, final: bool = False) -> None:
        """Reads what is due, takes in what threads left, and settles what can be settled.

        Args:
            everything: read every meter, due or not (a span has an edge).
            final: the last tick: settle all of it.

        Raises:
            Superseded: a read took too long and another thread samples now.
        """
        now_ns = self._clock.monotonic_ns()
        self._look_at_clocks(now_ns, final)
        if self.shares is None:
            self.shares = ShareLog.begin(self._cohort, self._since)
        self.shares.fellows.pids = self.fellows
        self._open_others()
        due = [log for log in self._working() if everything or final or log.due_ns - TOGETHER_NS <= now_ns]
        for meter_log in due:
            self._read(meter_log)
        self._take_samples()
        now_ns = self._clock.monotonic_ns()
        for meter_log in due:
            meter_log.due_ns = now_ns + meter_log.period_ns
        looking = final or self.shares.due_ns <= now_ns or (everything and self.shares.affordable_ns <= now_ns)
        if looking:
            self._share(self.shares, now_ns)
        self._settle(now_ns if final else now_ns - HOLD_NS, 0 if final else PATIENCE_NS)
        if looking and self.shares.busy_s.tip is not None:
            self.cpu_power.look(*self.shares.busy_s.tip, self._packages())
        self.tallies.settle(now_ns, now_ns if final else now_ns - HOLD_NS)

    def next_due_ns(self) -> int:
        """When the next tick is due (ns)."""
        return min([self._clock.monotonic_ns() + NS_PER_S, *(meter_log.due_ns for meter_log in self._working())])

    def end(self, end_ns: int) -> None:
        """Closes the meters; channels that fail are missing up to here."""
        for channel in self._channels():
            channel.end(end_ns)
        for meter_log in self.meters:
            if not meter_log.stuck:
                self._close(meter_log)
        if self.shares is not None:
            self.shares.close(self._clock.monotonic_ns())

    # -- called by the keeper's thread --------------------------------------------------------------------------

    def overdue(self, deadline_ns: int) -> bool:
        """Gives up on a read or an opening that has run past its deadline; whether a new thread is needed."""
        with self._watch_lock:
            if self._watch is None or self._clock.monotonic_ns() - self._watch[3] < deadline_ns:
                return False
            _, meter_log, what, _ = self._watch
            self._watch = None
            if meter_log is not None:
                meter_log.stuck = True
        slow = f"{what} takes longer than {deadline_ns / NS_PER_S:g} s; its channels are missing until it returns"
        if meter_log is not None:
            self.note("meter", slow)
        else:  # opening a driver may take its time
            self.notes.append(Note(self._clock.monotonic_ns(), "meter", slow))
        return True

    def settled(self) -> deque[Settled]:
        """Where every counter interval is put from now on, once it is settled; for one reader, on any thread."""
        if self._settled is None:
            self._settled = deque(maxlen=MOST_SETTLED)
            with self._taking:
                for channel in self._channels():
                    channel.settled = self._settled
        return self._settled

    def fix(self) -> None:
        """From now on no counter takes a fallback's place: what is recorded goes to the journal."""
        with self._taking:
            self._fixed = True

    def unread(self) -> dict[str, tuple[int, float]]:
        """Of each channel the newest moment (ns) and reading (J) that no tick has taken in yet; for any thread."""
        newest: dict[str, tuple[int, float]] = {}
        for meter_log in list(self.meters):
            with suppress(IndexError):  # the sampler has just taken them in
                time_ns, values = meter_log.inbox[-1]
                for channel, value in zip(meter_log.channels, values, strict=True):
                    newest[channel.channel.id] = (time_ns, value)
        return newest

    def curves(self) -> Iterator[tuple[str, GrowingCurve]]:
        """Every curve, by the name that it has in a journal."""
        for channel in self._channels():
            yield from channel.curves()
        yield from self.phases.curves()
        yield from self.tallies.curves()
        if self.shares is not None:
            yield "busy_s", self.shares.busy_s
            yield "own_s", self.shares.own_s
            yield "reserved_s", self.shares.reserved_s

    def channels(self) -> list[ChannelLog]:
        """Channels opened so far."""
        return list(self._channels())

    def note(self, kind: str, text: str) -> None:
        """Keeps something that a reader should know, and says it once; what is merely absent is only kept."""
        self.notes.append(Note(self._clock.monotonic_ns(), kind, text))
        if kind != "absent":
            warn(text)

    # -- opening ------------------------------------------------------------------------------------------------

    def take(self, opened: Opened) -> None:
        """Puts a meter to work. One that counts what a fallback counts takes its place, early in a run."""
        meter = opened.meter
        channels = [ChannelLog(channel, self._start_ns, _late_ns(meter, channel)) for channel in meter.channels]
        meter_log = MeterLog(opened.name, meter, channels, instant=meter.instant)
        with self._taking:
            alike = [other for other in self.meters if overlap(meter, other.meter)]
            rivals = [other for other in alike if other.meter.fallback > meter.fallback]
            if meter.fallback and len(alike) > len(rivals):
                self._close(meter_log)
                return
            if rivals and self._fixed:
                self._refuse(meter_log, f"came too late to take the place of {rivals[0].name}")
                return
            for rival in rivals:
                self.meters.remove(rival)
            if {c.id for c in meter.channels} & {c.channel.id for c in self._channels()}:
                self._refuse(meter_log, "counts a channel that another meter counts")
                return
            for channel in channels:
                channel.settled = self._settled
                channel.cursor.follow((self._device_of(channel) or self.phases).cursor)
            self.meters.append(meter_log)
        for rival in rivals:
            self._close(rival)

    def _refuse(self, meter_log: MeterLog, why: str) -> None:
        self.note("meter", f"meter {meter_log.name} {why}; it is not used")
        self._close(meter_log)

    def _close(self, meter_log: MeterLog) -> None:
        try:
            meter_log.close()
        except (Exception, SystemExit) as error:
            self.note("meter", f"meter {meter_log.name} failed to close: {error!r}")

    def _open_others(self) -> None:
        """Opens the meters that take their time one by one; a thread that takes over goes on with the rest."""
        if not self._looked:
            self._looked = True
            ticket = self._begin(None, "loading meters")
            with importing():
                self._to_open.extend(find_others(self._settings, self.note))
            self._finish(ticket)
        while self._to_open:
            name, meter_class = self._to_open.popleft()
            ticket = self._begin(None, f"opening meter {name}")
            with importing():  # a meter may import its library only now
                meter = open_meter(name, meter_class, self._settings, self.note)
            if meter is not None:
                self._opened.append(Opened(name, meter))  # the thread that samples by then puts it to work
            self._finish(ticket)
            self._take_opened()
        self._take_opened()
        self.ready = True

    def _take_opened(self) -> None:
        while self._opened:
            self.take(self._opened.popleft())

    # -- reading ------------------------------------------------------------------------------------------------

    def _working(self) -> list[MeterLog]:
        """The meters that can be read."""
        return [meter_log for meter_log in self.meters if meter_log.alive and not meter_log.stuck]

    def _read(self, meter_log: MeterLog) -> None:
        if not meter_log.lock.acquire(blocking=False):
            return  # a caller's thread is reading it this very moment
        try:
            ticket = self._begin(meter_log, f"meter {meter_log.name}")
            try:
                meter_log.read_now(self._clock)
                self._hear(meter_log)
            except (Exception, SystemExit) as error:
                meter_log.alive = False
                for channel in meter_log.channels:
                    channel.fail("failed")
                self.note("meter", f"meter {meter_log.name} failed and is missing from here on: {error!r}")
            self._finish(ticket, meter_log)
        finally:
            meter_log.lock.release()

    def _hear(self, meter_log: MeterLog) -> None:
        """Takes in what a meter has found out of its channels."""
        for channel, described in zip(meter_log.channels, meter_log.meter.described(), strict=True):
            if channel.found_out(described):
                self.note("meter", f"{described.id}: {described.how}")

    def _share(self, shares: ShareLog, now_ns: int) -> None:
        """Gives every channel this recorder's part of it since the look before."""
        share = shares.look(now_ns)
        for meter_log in self.meters:
            by_process = self._parts(meter_log, shares.pids)
            for channel, part in zip(meter_log.channels, by_process, strict=True):
                by_rule = {"cpu": share, "process": Share(part, part)}
                channel.share(by_rule.get(channel.channel.share, ALL))

    def _packages(self) -> list[ChannelLog]:
        """The channels of this node's CPU counters."""
        counted = (channel for meter_log in self.meters if meter_log.name in COUNTERS for channel in meter_log.channels)
        return [channel for channel in counted if channel.channel.kind == "cpu"]

    def _parts(self, meter_log: MeterLog, pids: frozenset[int]) -> Sequence[float]:
        """What a meter says of these processes' part of its channels; all of it where it cannot say."""
        everything = [1.0] * len(meter_log.channels)
        asked = any(channel.channel.share == "process" for channel in meter_log.channels)
        if not asked or not meter_log.alive or meter_log.stuck or not meter_log.lock.acquire(blocking=False):
            return everything
        try:
            ticket = self._begin(meter_log, f"meter {meter_log.name}")
            try:
                parts = [min(1.0, max(0.0, float(part))) for part in meter_log.meter.shares(pids)]
            except (Exception, SystemExit) as error:
                parts = everything
                self.note("meter", f"meter {meter_log.name} cannot tell processes apart, all is counted: {error!r}")
                for channel in meter_log.channels:
                    channel.count_whole()
            self._finish(ticket, meter_log)
        finally:
            meter_log.lock.release()
        return parts if len(parts) == len(everything) else everything

    def _begin(self, meter_log: MeterLog | None, what: str) -> object:
        ticket = object()
        with self._watch_lock:
            self._watch = (ticket, meter_log, what, self._clock.monotonic_ns())
        return ticket

    def _finish(self, ticket: object, meter_log: MeterLog | None = None) -> None:
        with self._watch_lock:
            if self._watch is not None and self._watch[0] is ticket:
                self._watch = None
                return
            if meter_log is not None:
                meter_log.inbox.clear()  # nobody knows which moment of the wait the reading is of
                meter_log.stuck = False  # back: the thread that samples now may read it again
        raise Superseded

    def _take_samples(self) -> None:
        for meter_log in self.meters:
            if meter_log.stuck:
                for channel in meter_log.channels:
                    channel.fail("stuck")
            while meter_log.inbox:
                time_ns, values = meter_log.inbox.popleft()
                for channel, value in zip(meter_log.channels, values, strict=True):
                    channel.sample(time_ns, value)

    # -- settling -----------------------------------------------------------------------------------------------

    def _settle(self, until_ns: int, patience_ns: int) -> None:
        """Splits by phase: what accelerators used by where they were, the rest by where the loop was."""
        channels = list(self._channels())
        while self.marks:
            stamp, entered = self.marks.popleft()
            self.phases_used = self.phases_used or entered is not None
            if self.on_device is None and not isinstance(stamp, int):
                self.on_device = DeviceMarks(self.phases.cursor)
            if self.on_device is not None:
                self.on_device.add(stamp, entered)
            mark = on_host_ns(stamp), entered
            self.phases.cursor.add(mark)
            for channel in channels:
                if self._device_of(channel) is None:
                    channel.cursor.add(mark)
        known_ns, marks = until_ns, list[Mark]()
        if self.on_device is not None:
            known_ns, marks = self.on_device.advance(until_ns, patience_ns)
        for channel in channels:
            if self._device_of(channel) is None:
                channel.settle(until_ns, self.phases_used)
                continue
            for mark in marks:
                channel.cursor.add(mark)
            channel.settle(known_ns, self.phases_used)
        self.phases.settle(until_ns, self.phases_used)

    def _device_of(self, channel: ChannelLog) -> DeviceMarks | None:
        """The marks that split a channel's joules, if they are not the loop's own."""
        return self.on_device if channel.on_device else None

    def _channels(self) -> Iterator[ChannelLog]:
        for meter_log in list(self.meters):
            yield from meter_log.channels

    def _look_at_clocks(self, now_ns: int, final: bool) -> None:
        """A suspend is a gap; a clock that was set is noted; neither touches a duration."""
        if now_ns - self._anchor.mono_ns < ANCHOR_PERIOD_NS and not final:
            return
        before, self._anchor = self._anchor, self._clock.anchor()
        awake_ns = self._anchor.mono_ns - before.mono_ns
        passed_ns = awake_ns
        if before.boot_ns is not None and self._anchor.boot_ns is not None:
            passed_ns = self._anchor.boot_ns - before.boot_ns
        if passed_ns - awake_ns > JUMP_NS:
            slept_ns = passed_ns - awake_ns
            self.gaps.append(Gap("", before.mono_ns, self._anchor.mono_ns, "suspend", True, slept_ns))
            self.notes.append(Note(now_ns, "clock", f"the machine was suspended for {slept_ns / NS_PER_S:.1f} s"))
        jump_ns = self._anchor.wall_ns - before.wall_ns - passed_ns
        if abs(jump_ns) > JUMP_NS:
            self.notes.append(Note(now_ns, "clock", f"the wall clock was set by {jump_ns / NS_PER_S:+.1f} s"))
        if drift_ns(before, self._anchor) > JUMP_NS:
            self.jumps += [before, self._anchor]


def _late_ns(meter: Meter, channel: Channel) -> int:
    """How far apart (ns) two samples may be; those of a counter that stands still for long are five lags apart."""
    return max(NS_PER_S, int(max(5 * meter.period_s, 6 * channel.lag_s) * NS_PER_S))
