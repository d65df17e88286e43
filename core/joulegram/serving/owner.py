"""The one process of a host that counts for all: reads everybody's rings and the counters, and keeps the books.

It tells the books and how far it has read as one; a ring's writer gets room only after that. Whoever takes over when it
dies reads on from there, so that nothing is counted twice and nothing is left out: what the counters did meanwhile is
in their next reading.
"""

from __future__ import annotations

import marshal
import os
import time
from collections import deque
from collections.abc import Callable, Collection
from operator import itemgetter
from pathlib import Path
from typing import Protocol

from joulegram.curves.sharing import static_j
from joulegram.curves.virtual_clock import FINE_BITS, TIME_BITS, WEIGHT_BITS, joules
from joulegram.host.clock import Clock
from joulegram.host.cpu import cpus_of
from joulegram.host.profile import own, profiles
from joulegram.host.ring import BEGIN, END, WEIGH, Event, RingReader, rings
from joulegram.host.shared_memory import remove
from joulegram.notices import warn
from joulegram.quantities import Method
from joulegram.recorder.channel import Settled, unwrapped
from joulegram.records import Channel, IntensityPoint, PriceBook, Record, ServedHour, ServedRequest
from joulegram.serving.accounts import Accounts, Request, Row
from joulegram.serving.reading import RATE, VERSION, Energy, Reader, request_id, result_content
from joulegram.units import J_PER_KWH, NS_PER_S

SLACK_NS = 50_000_000
"""How late a record may be: a thread may be held up between looking at the clock and writing."""
LIVES_NS = NS_PER_S
"""How often it is looked whether processes still live."""
KEEP_NS = 60 * NS_PER_S
"""Books that nobody has kept for this long are not taken up again: a server that restarts goes on with its counters."""
HOURS_NS = (NS_PER_S, 60 * NS_PER_S)
"""How often what routes have cost so far in this hour goes to the ledger: a tenth of the time that the owner has had,
between these. A server that is killed loses no more of it."""
RATE_NS = 2 * NS_PER_S
"""What requests are charged now is what they were over this time."""
RETRY_NS = 60 * NS_PER_S
"""How often a recording that does not start, or was ended by somebody, is tried again."""
UNKNOWN_IDLE = "idle power unknown: idle_shared is 0, and active holds it"


class Recording(Protocol):
    """What the owner needs of a recorder."""

    @property
    def alive(self) -> bool:
        """Whether it still records."""

    def settled(self, fellows: Callable[[], Collection[int]]) -> deque[Settled]:
        """Counter intervals from now on."""

    def tell(self, record: Record) -> None:
        """Adds a record."""


class Recorded(Protocol):
    """What the owner needs of a run."""

    id: str

    @property
    def recorder(self) -> Recording | None:
        """What records it; None once it is over."""

    @property
    def price_book(self) -> PriceBook | None:
        """What it is priced with by now."""

    def intensity(self) -> IntensityPoint | None:
        """That of this moment."""

    def close(self, *, last: Callable[[], object]) -> None:
        """Ends it.

        Args:
            last: called when every counter has passed the end, before the journal is closed.
        """


class Owner:
    """Keeps the books of a host. Used by one thread at a time, of the process that is elected.

    Args:
        folder: the shared memory.
        clock: the time.
        start_run: starts the run that records the counters, or goes on with the one of this id.
        keeps_requests: whether each request goes to the ledger too.
    """

    def __init__(
        self,
        folder: Path,
        clock: Clock,
        start_run: Callable[[str | None], Recorded],
        keeps_requests: bool = False,
    ) -> None:
        self._folder, self._clock, self._start_run = folder, clock, start_run
        self._keeps_requests = keeps_requests
        self._told = Reader(folder)
        self._rings: dict[int, RingReader] = {}
        self._positions: dict[int, int] = {}
        self._pids: tuple[int, ...] = ()
        self._lost = 0
        """Of rings that are gone."""
        self._run_id: str | None = None
        self._looked_ns = self._pieces = 0
        self._began_ns = self._hours_ns = clock.monotonic_ns()
        self._hours: dict[tuple[str, str | None], ServedHour] = {}
        """What was told last of each route."""
        self._now_s = 0.0
        self._was: dict[str, tuple[int, float]] = {}
        """Of each channel, where the owner before has left its counter: when (ns), and its reading (J)."""
        self._rated: tuple[int, dict[str, tuple[int, int]]] = (0, {})
        self._rate_j = self._g_per_j = float("nan")
        self._g_per_kwh: float | None = None
        self._run: Recorded | None = None
        self._recorder: Recording | None = None
        self._retry_ns = 0
        taken_up = self._taken_up()
        if taken_up is None:
            self._forget_old_rings()
        self.books = taken_up or Accounts()
        self.books.give_way = self._give_way
        self._settled: deque[Settled] = deque()
        self._profile_w = _profile_w(clock.host)

    def tick(self, *, final: bool = False) -> None:
        """Takes in what happened and what was counted, settles what can be, and tells it.

        Args:
            final: nothing more comes for this owner: everything so far is taken in.
        """
        now_ns, self._now_s = self._clock.monotonic_ns(), self._clock.anchor().wall_ns / NS_PER_S
        over = self._look_at_rings(now_ns)
        if not final:
            self._keep_recording(now_ns)
        until_ns = now_ns if final else now_ns - SLACK_NS
        self._take_events(until_ns, now_ns, over)
        while self._settled:
            self._take_reading(self._settled.popleft())
        self._look_up_price()
        self.books.settle(until_ns, self._finish)
        if self._g_per_j == self._g_per_j:
            self.books.price(self._g_per_j)
        if final or self._hours_are_due(now_ns) or self.books.hour_is_over(self._now_s):
            self._tell_hours(now_ns)
        self._tell(now_ns, [ring for ring in self._rings.values() if ring not in over])
        for ring in over:
            self._let_go(ring)
        self._tell_rate(now_ns)

    def close(self) -> None:
        """Counts up to now, ends the recording here, and leaves the books to another."""
        if self._run is not None:
            self._run.close(last=lambda: self.tick(final=True))

    # -- taking over ----------------------------------------------------------------------------------------------

    def _taken_up(self) -> Accounts | None:
        """The books as another has left them, if that was on this boot and not long ago."""
        found = self._told.told()
        if found is None:
            return None
        told, state = found
        age_ns = self._clock.monotonic_ns() - told["time_ns"]
        if told["boot"] != self._clock.boot or not 0 <= age_ns <= KEEP_NS:
            return None
        self._positions, self._run_id, self._lost = told["rings"], told["run"] or None, told["lost_before"]
        try:
            return Accounts.of(state)
        except (ValueError, TypeError, KeyError) as error:
            warn(f"joulegram begins to count anew, what was counted before cannot be read: {error!r}")
            return None

    @staticmethod
    def _lives(path: Path) -> bool:
        try:
            return not RingReader(path).over
        except (OSError, ValueError):
            return False

    def _forget_old_rings(self) -> None:
        """What processes told before these books began is not in them."""
        for path in rings(self._folder):
            if not self._lives(path):
                remove(path)

    def _keep_recording(self, now_ns: int) -> None:
        """Starts the recording, and again if somebody has ended it."""
        if (self._recorder is not None and self._recorder.alive) or now_ns < self._retry_ns:
            return
        self._retry_ns = now_ns + RETRY_NS
        self._run = self._start_run(self._run_id)
        self._run_id = self._run.id or self._run_id
        self._recorder = self._run.recorder
        if self._recorder is not None:
            self._was = {name: account.reading for name, account in self.books.accounts.items() if account.reading}
            self._settled = self._recorder.settled(lambda: self._pids)

    # -- events ---------------------------------------------------------------------------------------------------

    def _look_at_rings(self, now_ns: int) -> list[RingReader]:
        """Finds new rings, and those to which nothing more will be written."""
        known = {ring.path for ring in self._rings.values()}
        for path in rings(self._folder):
            if path not in known:
                self._open(path)
        looking = now_ns - self._looked_ns >= LIVES_NS
        if looking:
            self._looked_ns = now_ns
        over = [ring for ring in self._rings.values() if ring.closed or (looking and ring.over)]
        self._pids = tuple(ring.pid for ring in self._rings.values() if ring not in over)
        return over

    def _open(self, path: Path) -> None:
        try:
            ring = RingReader(path)
        except (OSError, ValueError):  # removed meanwhile; or of another version, and not ours to touch
            return
        ring.position = self._positions.get(ring.id, ring.position)
        self._rings[ring.id] = ring

    def _take_events(self, until_ns: int, now_ns: int, over: Collection[RingReader]) -> None:
        events: list[tuple[int, RingReader, Event]] = []
        for ring in self._rings.values():
            for some in ring.read(now_ns if ring in over else until_ns, now_ns):
                events += [(event.time_ns, ring, event) for event in some]
                self._give_way()
        events.sort(key=itemgetter(0))
        books = self.books
        for time_ns, ring, event in events:
            self._give_way()
            key = ring.id << 32 | event.request & 0xFFFFFFFF
            if event.kind == BEGIN:
                books.begin(time_ns, key, event.weight)
            elif event.kind == END:
                amounts = event.tokens, event.flops, event.items
                books.end(time_ns, key, ring.service, ring.route(event.route), event.status, *amounts, self._finish)
            elif event.kind == WEIGH:
                books.weigh(time_ns, key, event.weight)
        for ring in over:
            for key in [key for key in books.requests if key >> 32 == ring.id]:
                books.drop(until_ns, key)

    def _let_go(self, ring: RingReader) -> None:
        self._lost += sum(ring.lost)
        self._rings.pop(ring.id)
        ring.remove()
        ring.close()

    # -- energy ---------------------------------------------------------------------------------------------------

    def _take_reading(self, reading: Settled) -> None:
        channel = reading.channel
        idle_w, idle = self._idle(channel)
        account = self.books.open(channel, idle, reading.start_ns)
        was = self._was.pop(channel.id, None)
        if was is not None:
            self._bridge(reading, *was, idle_w)
        self._use(reading, reading.start_ns, reading.end_ns, reading.energy_j, idle_w)
        account.reading = reading.end_ns, reading.raw_j

    def _bridge(self, reading: Settled, was_ns: int, was_j: float, idle_w: float | None) -> None:
        """What a counter did while nobody read it: it counted on, if it stands where it can have come to."""
        channel = reading.channel
        first_j = reading.raw_j - reading.energy_j
        if first_j < 0 and channel.wraps_at_j is not None:
            first_j += channel.wraps_at_j
        elapsed_s = (reading.start_ns - was_ns) / NS_PER_S
        if elapsed_s <= 0:
            return
        rise_j, _ = unwrapped(first_j - was_j, elapsed_s, channel)
        most_w = float("inf") if channel.max_w is None else channel.max_w
        if 0 < rise_j <= most_w * (elapsed_s + 1.0):
            self._use(reading, was_ns, reading.start_ns, rise_j, idle_w)

    def _use(self, reading: Settled, start_ns: int, end_ns: int, energy_j: float, idle_w: float | None) -> None:
        share = reading.share
        still_j = static_j(energy_j, end_ns - start_ns, idle_w)
        idle_j, active_j = still_j * share.reserved, (energy_j - still_j) * share.cpu
        other_j = max(0.0, energy_j - idle_j - active_j)
        self.books.use(reading.channel.id, start_ns, end_ns, active_j, idle_j, other_j)

    def _idle(self, channel: Channel) -> tuple[float | None, str]:
        """A channel's idle power (W), and where that is from."""
        if channel.idle_w is not None:
            return channel.idle_w, f"idle power {channel.idle_w:.4g} W: {channel.how}"
        if channel.kind == "cpu" and self._profile_w is not None:
            watts, sockets, source = self._profile_w
            return watts / sockets, f"idle power {watts / sockets:.4g} W: profile of this machine ({source})"
        return None, UNKNOWN_IDLE

    def _give_way(self) -> None:
        """The server's own threads go first: without this, one that wants to run waits for as long as five ms."""
        self._pieces += 1
        if not self._pieces % 8:
            time.sleep(0)

    def _look_up_price(self) -> None:
        book = self._run.price_book if self._run is not None else None
        point = self._run.intensity() if self._run is not None else None
        if book is not None and point is not None:
            self._g_per_kwh, self._g_per_j = point.g_per_kwh, point.g_per_kwh * book.pue.value / J_PER_KWH

    # -- telling --------------------------------------------------------------------------------------------------

    def _finish(self, request: Request) -> None:
        """A request is settled."""
        row, host = request.row, self._clock.host
        assert row is not None  # those that are dropped are not told of
        if self._keeps_requests and self._recorder is not None:
            self._recorder.tell(_kept(request, row))
        energy = self._energy(request)
        energy_j, carbon_g = energy[0], None
        if energy_j is not None:
            self.books.bucket(row, request.key, energy_j, self._now_s)
            if self._g_per_j == self._g_per_j:
                carbon_g = energy_j * self._g_per_j
        content = result_content(
            row.service,
            row.route,
            (request.end_ns - request.begin_ns) / NS_PER_S,
            energy,
            [(f"{host}/{name}", joules(active), joules(idle)) for name, (active, idle) in request.paid.items()],
            carbon_g,
            (request.tokens, request.flops, request.items),
            request.status,
        )
        self._told.results.write(request.key, content)

    def _energy(self, request: Request) -> Energy:
        """What a settled request cost on the channels that are counted, with the bounds of their gains."""
        if not request.paid:
            return None, None, None, "missing"
        low_j = high_j = 0.0
        method: Method = "measured"
        duration_ns = request.end_ns - request.begin_ns
        for name, (active, idle) in request.paid.items():
            account = self.books.accounts[name]
            channel = account.channel
            if account.counted:
                paid_j = joules(active + idle)
                low_j, high_j = low_j + paid_j * channel.gain_low, high_j + paid_j * channel.gain_high
                seen_twice = duration_ns >= 2 * max(channel.resolution_s, channel.lag_s) * NS_PER_S
                method = method if channel.method == "measured" and seen_twice else "modelled"
        energy_j = joules(request.energy)
        whole = all(name in request.paid for name, account in self.books.accounts.items() if account.counted)
        return energy_j, min(low_j, energy_j), max(high_j, energy_j) if whole else None, method

    def _tell(self, now_ns: int, rings_on: Collection[RingReader]) -> None:
        """Tells the books, and how far the rings are in them; then the rings' writers get room."""
        book = self._run.price_book if self._run is not None else None
        told = {
            "time_ns": now_ns,
            "time_s": self._now_s,
            "boot": self._clock.boot,
            "host": self._clock.host,
            "pid": os.getpid(),
            "run": self._run_id or "",
            "workers": len(self._pids),
            "in_flight": len(self.books.requests),
            "rings": {ring.id: ring.position for ring in self._rings.values()},
            "lost": self._lost_in_rings,
            "lost_before": self._lost,
            "zone": book.zone if book is not None else None,
            "g_per_kwh": self._g_per_kwh,
        }
        if not self._told.books.write(marshal.dumps((VERSION, told, self.books.state()))):
            for key in list(self.books.requests):  # more than there is room for: they cost nobody anything
                self.books.drop(now_ns, key)
            return
        for ring in rings_on:
            ring.release()

    @property
    def _lost_in_rings(self) -> int:
        """Beginnings that found no room in a ring."""
        return self._lost + sum(sum(ring.lost) for ring in self._rings.values())

    def _tell_rate(self, now_ns: int) -> None:
        """Tells what a request of weight 1 is charged in a second."""
        was_ns, was = self._rated
        if now_ns - was_ns >= RATE_NS:
            now = self.books.rates()
            rises = [(now[name][0] - was[name][0], now[name][1] - was[name][1]) for name in now if name in was]
            busy = [rise / busy_ns for rise, busy_ns in rises if busy_ns > 0]
            if busy:
                self._rate_j = sum(busy) * NS_PER_S / 2.0 ** (FINE_BITS + TIME_BITS - WEIGHT_BITS)
            self._rated = now_ns, now
        self._told.rate.write(RATE.pack(self._rate_j, self._g_per_j))

    def _hours_are_due(self, now_ns: int) -> bool:
        least_ns, most_ns = HOURS_NS
        return now_ns - self._hours_ns >= min(most_ns, max(least_ns, (now_ns - self._began_ns) // 10))

    def _tell_hours(self, now_ns: int) -> None:
        self._hours_ns = now_ns
        if self._recorder is not None:
            for hour in self.books.hour(self._now_s, self._lost_in_rings):
                if self._hours.get((hour.service, hour.route)) != hour:
                    self._hours[hour.service, hour.route] = hour
                    self._recorder.tell(hour)


def _kept(request: Request, row: Row) -> ServedRequest:
    """A settled request as the ledger keeps it."""
    return ServedRequest(
        request_id(request.key),
        row.service,
        row.route,
        request.end_ns,
        (request.end_ns - request.begin_ns) / NS_PER_S,
        request.status,
        request.tokens,
        request.flops,
        request.items,
        {name: (joules(active), joules(idle)) for name, (active, idle) in request.paid.items()},
    )


def _profile_w(host: str) -> tuple[float, int, str] | None:
    """Idle power (W) of all this machine's CPUs by its profile, the number of sockets, and the profile's source."""
    cpus = cpus_of()
    profile = own(host, cpus, profiles())
    return (profile.idle_w, cpus.sockets, profile.source) if profile is not None else None
