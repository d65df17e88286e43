"""The books of serving: what happened to requests and what counters said, brought together by time.

Events come from many processes, counter intervals from many channels, each at its own pace. The books keep the events
of the last seconds in order of time; every channel walks along them with its own intervals, and has a virtual clock of
its own. What a request owes a channel is charged to its route when that channel has walked past its end.

Pure: no clocks, no files, no threads. Everything that they hold can be written down (`state`) and taken up by another
process (`Accounts.of`), which goes on with the very same numbers.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

from joulegram.curves.virtual_clock import Share, VirtualClock, fine, joules, units
from joulegram.records import Channel, ServedHour, contains
from joulegram.serving.snapshot import BUCKETS_J, ChannelTotals, Exemplar, Parts, RouteTotals
from joulegram.units import NS_PER_S

PATIENCE_NS = 15 * NS_PER_S
"""A channel without a reading for this long lets events pass; what it counted meanwhile is nobody's when it returns."""
MOST_EVENTS = 1 << 16
MOST_IN_FLIGHT = 4_096
MOST_ROUTES = 200
OTHER = "other"
BEGIN, WEIGH, END, DROP = 1, 2, 3, 4
HOUR_S = 3600

State = tuple[Any, ...]
"""Plain tuples, lists, numbers and texts, as `marshal` writes them."""


@dataclass(slots=True)
class Request:
    """A request between its beginning and its settlement."""

    key: int
    row: Row
    begin_ns: int
    weight: int
    end_ns: int = 0
    tokens: float = 0.0
    flops: float = 0.0
    items: float = 0.0
    status: int = 0
    left: int = 0
    """Channels that have not yet walked past its end."""
    paid: dict[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(slots=True)
class Row:
    """What one route has cost: sums that never fall."""

    service: str
    route: str
    requests: int = 0
    failed: int = 0
    tokens: float = 0.0
    flops: float = 0.0
    items: float = 0.0
    energy: dict[str, list[int]] = field(default_factory=dict)
    counted: list[int] = field(default_factory=lambda: [0, 0])
    """Energy of channels that no other contains, active and idle, …"""
    priced: list[int] = field(default_factory=lambda: [0, 0])
    """… and what of it has been priced already, …"""
    grams: list[float] = field(default_factory=lambda: [0.0, 0.0])
    """… at this."""
    buckets: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS_J) + 1))
    settled: int = 0
    exemplars: dict[int, tuple[int, float, float]] = field(default_factory=dict)


@dataclass(slots=True)
class Account:
    """One channel's part of the books."""

    channel: Channel
    idle: str
    time_ns: int
    cursor: int
    clock: VirtualClock = field(default_factory=VirtualClock)
    waiting: deque[tuple[int, int, int, int, int]] = field(default_factory=deque)
    """Intervals not walked yet: start and end (ns), and the energy: active, idle, others'."""
    metered: int = 0
    counted: bool = True
    reading: tuple[int, float] | None = None
    """The last moment (ns) and reading (J) of its counter: where another process goes on."""
    busy_ns: int = 0
    """Time with somebody in flight."""

    @property
    def pending(self) -> int:
        """What is not charged and not known to be nobody's."""
        return self.clock.pending + sum(sum(interval[2:]) for interval in self.waiting)


Finished = Callable[[Request, int], None]
"""Told of a request that is settled, and its energy (2⁻¹⁶⁰ J)."""


class Accounts:
    """The books of one host.

    Attributes:
        id: unlike any other books'.
        rows: by service and route.
        accounts: by channel.
        requests: in flight, by key.
        late: events that came after their time had been settled.
        lost: beginnings that were not taken in.
        dropped: requests whose process ended before they did.
    """

    def __init__(self) -> None:
        self.id = os.urandom(4).hex()
        self.rows: dict[tuple[str, str], Row] = {}
        self.accounts: dict[str, Account] = {}
        self.requests: dict[int, Request] = {}
        self.late = self.lost = self.dropped = 0
        self.unattributed_g = 0.0
        self._unattributed_priced = 0
        self._is_priced = False
        self._log: list[tuple[int, int, Request, int]] = []
        self._first = 0
        """Number of the first event that is still in the log."""
        self._until_ns = 0
        self._hour_s: int | None = None
        self._hour_began: dict[tuple[str, str], ServedHour] = {}

    # -- what happens ---------------------------------------------------------------------------------------------

    def begin(self, time_ns: int, key: int, service: str, route: str, weight: float) -> None:
        """A request is in flight from now on."""
        if key in self.requests or len(self.requests) >= MOST_IN_FLIGHT:
            self.lost += 1
            return
        request = self.requests[key] = Request(key, self.row(service, route), time_ns, units(weight))
        self._add(time_ns, BEGIN, request)

    def weigh(self, time_ns: int, key: int, weight: float) -> None:
        """A request weighs something else from now on."""
        request = self.requests.get(key)
        if request is not None:
            request.weight = units(weight)
            self._add(time_ns, WEIGH, request)

    def end(
        self,
        time_ns: int,
        key: int,
        status: int = 0,
        tokens: float = 0.0,
        flops: float = 0.0,
        items: float = 0.0,
        finished: Finished | None = None,
    ) -> None:
        """A request ends."""
        request = self.requests.pop(key, None)
        if request is None:
            return
        request.end_ns = max(time_ns, request.begin_ns)
        request.status, request.tokens, request.flops, request.items = status, tokens, flops, items
        request.left = len(self.accounts)
        row = request.row
        row.requests += 1
        row.failed += status >= 500
        row.tokens, row.flops, row.items = row.tokens + tokens, row.flops + flops, row.items + items
        self._add(time_ns, END, request)
        if not request.left and finished is not None:
            finished(request, 0)

    def drop(self, time_ns: int, key: int) -> None:
        """A request's process is gone: what it owes is nobody's."""
        request = self.requests.pop(key, None)
        if request is not None:
            self.dropped += 1
            self._add(time_ns, DROP, request)

    def open(self, channel: Channel, idle: str, time_ns: int) -> Account:
        """The account of a channel, made where it is new; what is in flight shares in it from then on."""
        account = self.accounts.get(channel.id)
        if account is None:
            account = self.accounts[channel.id] = Account(channel, idle, time_ns, self._first + len(self._log))
            for request in self.requests.values():
                account.clock.begin(request.key, request.weight)
        account.channel, account.idle = channel, idle
        for each in self.accounts.values():
            each.counted = not any(contains(whole.channel, each.channel) for whole in self.accounts.values())
        return account

    def use(self, channel: str, start_ns: int, end_ns: int, active_j: float, idle_j: float, other_j: float) -> None:
        """A counter's rise over an interval, which follows the one before."""
        account = self.accounts[channel]
        active, idle, other = fine(active_j), fine(idle_j), fine(other_j)
        account.metered += active + idle + other
        account.waiting.append((start_ns, end_ns, active, idle, other))

    # -- settling -------------------------------------------------------------------------------------------------

    def settle(self, until_ns: int, finished: Finished | None = None) -> None:
        """Walks along all that ended by then; no event before it comes any more, or it counts as late.

        Args:
            until_ns: up to when (ns).
            finished: told of every request that is settled by this.
        """
        self._until_ns = max(self._until_ns, until_ns)
        for account in self.accounts.values():
            while account.waiting and account.waiting[0][1] <= until_ns:
                self._walk(account, *account.waiting.popleft(), finished)
            behind = until_ns - account.time_ns > PATIENCE_NS or len(self._log) > MOST_EVENTS
            if behind and not account.waiting:
                self._walk(account, account.time_ns, until_ns, 0, 0, 0, finished)
        self._forget()

    def _walk(
        self,
        account: Account,
        start_ns: int,
        end_ns: int,
        active: int,
        idle: int,
        other: int,
        finished: Finished | None,
    ) -> None:
        clock, name = account.clock, account.channel.id
        clock.unattributed += other
        if start_ns < account.time_ns:  # it was away for so long that events have passed
            since_ns = min(account.time_ns, end_ns)
            late_a = active * (since_ns - start_ns) // max(1, end_ns - start_ns)
            late_i = idle * (since_ns - start_ns) // max(1, end_ns - start_ns)
            clock.unattributed += late_a + late_i
            start_ns, active, idle = since_ns, active - late_a, idle - late_i
        duration_ns = max(1, end_ns - start_ns)
        log, at, count = self._log, account.cursor - self._first, len(self._log)
        used_a = used_i = 0
        before_ns = start_ns
        while at < count:
            time_ns, kind, request, weight = log[at]
            if time_ns > end_ns:
                break
            at += 1
            if time_ns > before_ns:
                upto_a = active * (time_ns - start_ns) // duration_ns
                upto_i = idle * (time_ns - start_ns) // duration_ns if idle else 0
                clock.use(upto_a - used_a, upto_i - used_i)
                if clock.weight:
                    account.busy_ns += time_ns - before_ns
                used_a, used_i, before_ns = upto_a, upto_i, time_ns
            if kind == BEGIN:
                clock.begin(request.key, weight)
            elif kind == END:
                self._charge(request, name, account.counted, clock.end(request.key), finished)
            elif kind == WEIGH:
                clock.weigh(request.key, weight)
            else:
                clock.drop(request.key)
        clock.use(active - used_a, idle - used_i)
        if clock.weight:
            account.busy_ns += max(0, end_ns - before_ns)
        account.cursor = self._first + at
        account.time_ns = max(account.time_ns, end_ns)

    def _charge(
        self, request: Request, channel: str, counted: bool, paid: tuple[int, int], finished: Finished | None
    ) -> None:
        row = request.row
        sums = row.energy.setdefault(channel, [0, 0])
        sums[0] += paid[0]
        sums[1] += paid[1]
        if counted:
            row.counted[0] += paid[0]
            row.counted[1] += paid[1]
        request.paid[channel] = paid
        request.left -= 1
        if not request.left:
            energy = sum(sum(cost) for name, cost in request.paid.items() if self.accounts[name].counted)
            row.settled += energy
            if finished is not None:
                finished(request, energy)

    def bucket(self, request: Request, energy: int, time_s: float) -> None:
        """Puts a settled request into its route's histogram."""
        energy_j = joules(energy)
        number = next((n for n, edge_j in enumerate(BUCKETS_J) if energy_j <= edge_j), len(BUCKETS_J))
        request.row.buckets[number] += 1
        request.row.exemplars[number] = (request.key, energy_j, time_s)

    def price(self, g_per_j: float) -> None:
        """Prices what has been charged since the last time (g per J of IT energy, PUE included)."""
        self._is_priced = True
        for row in self.rows.values():
            for part in (0, 1):
                row.grams[part] += joules(row.counted[part] - row.priced[part]) * g_per_j
                row.priced[part] = row.counted[part]
        unattributed = sum(account.clock.unattributed for account in self.accounts.values() if account.counted)
        self.unattributed_g += max(0.0, joules(unattributed - self._unattributed_priced)) * g_per_j
        self._unattributed_priced = unattributed

    # -- reading --------------------------------------------------------------------------------------------------

    def channel_totals(self, host: str) -> dict[str, ChannelTotals]:
        """Where each channel's joules went."""
        return {
            f"{host}/{name}": ChannelTotals(
                f"{host}/{name}",
                account.channel.kind,
                account.channel.method,
                joules(account.metered),
                joules(account.pending),
                joules(account.clock.unattributed),
                account.idle,
                account.counted,
            )
            for name, account in self.accounts.items()
        }

    def route_totals(self, host: str, request_id: Callable[[int], str]) -> tuple[RouteTotals, ...]:
        """What each route has cost."""
        return tuple(
            RouteTotals(
                row.service,
                row.route,
                row.requests,
                row.failed,
                row.tokens,
                row.flops,
                row.items,
                {f"{host}/{name}": Parts(joules(a), joules(i)) for name, (a, i) in row.energy.items()},
                Parts(*row.grams) if self._is_priced else None,
                tuple(row.buckets),
                joules(row.settled),
                {n: Exemplar(request_id(key), j, time_s) for n, (key, j, time_s) in row.exemplars.items()},
            )
            for row in self.rows.values()
        )

    @property
    def unattributed_carbon_g(self) -> float | None:
        """Carbon of what is nobody's (g); None before a price is known."""
        return self.unattributed_g if self._is_priced else None

    def rates(self) -> dict[str, tuple[int, int]]:
        """Of each channel that counts, its clock (2⁻¹⁶⁰ J per 2⁻¹⁰ of weight) and the time it went (ns)."""
        return {
            name: (account.clock.active + account.clock.idle, account.busy_ns)
            for name, account in self.accounts.items()
            if account.counted
        }

    def row(self, service: str, route: str) -> Row:
        """The row of a route; that of `OTHER` once there are too many."""
        found = self.rows.get((service, route))
        if found is None:
            if len(self.rows) >= MOST_ROUTES:
                route = OTHER
            found = self.rows.setdefault((service, route), Row(service, route))
        return found

    # -- hours ----------------------------------------------------------------------------------------------------

    def hour_is_over(self, wall_s: float) -> bool:
        """Whether another hour has begun since `hour` was last asked."""
        return self._hour_s is not None and int(wall_s // HOUR_S) * HOUR_S != self._hour_s

    def hour(self, wall_s: float) -> list[ServedHour]:
        """What each route has cost since the hour began; at its turn, for the last time, what it cost in that hour."""
        hour_s = int(wall_s // HOUR_S) * HOUR_S
        if self._hour_s is None:
            self._hour_s = hour_s
        now = {(row.service, row.route): self._served(row) for row in self.rows.values()}
        now["", ""] = ServedHour(
            self.id,
            self._hour_s,
            "",
            None,
            unattributed_j={name: joules(account.clock.unattributed) for name, account in self.accounts.items()},
        )
        told = [sums.since(self._hour_began.get(key)) for key, sums in now.items()]
        if hour_s != self._hour_s:
            self._hour_s, self._hour_began = hour_s, now
        return told

    def _served(self, row: Row) -> ServedHour:
        energy_j = {name: (joules(a), joules(i)) for name, (a, i) in row.energy.items()}
        assert self._hour_s is not None
        return ServedHour(
            self.id,
            self._hour_s,
            row.service,
            row.route,
            row.requests,
            row.failed,
            row.tokens,
            row.flops,
            row.items,
            energy_j,
        )

    # -- inside ---------------------------------------------------------------------------------------------------

    def _add(self, time_ns: int, kind: int, request: Request) -> None:
        if time_ns < self._until_ns:
            self.late += 1
            time_ns = self._until_ns
        if self._log and time_ns < self._log[-1][0]:
            time_ns = self._log[-1][0]
        if self.accounts:
            self._log.append((time_ns, kind, request, request.weight))

    def _forget(self) -> None:
        """Lets go of events that every channel has passed."""
        passed = min((account.cursor for account in self.accounts.values()), default=self._first) - self._first
        if passed:
            del self._log[:passed]
            self._first += passed

    # -- written down ---------------------------------------------------------------------------------------------

    def state(self) -> State:
        """All of it, for `of`."""
        rows = list(self.rows.values())
        numbers = {id(row): number for number, row in enumerate(rows)}
        known = {id(request): request for _, _, request, _ in self._log}
        known.update((id(request), request) for request in self.requests.values())
        requests = list(known.values())
        places = {id(request): number for number, request in enumerate(requests)}
        return (
            self.id, self.late, self.lost, self.dropped, self.unattributed_g, self._unattributed_priced,
            self._is_priced, self._first, self._until_ns, self._hour_s,
            [(key, *_values(hour)) for key, hour in self._hour_began.items()],
            [_values(row) for row in rows],
            [(*_values(request)[:1], numbers[id(request.row)], *_values(request)[2:]) for request in requests],
            [places[id(request)] for request in self.requests.values()],
            [(time_ns, kind, places[id(request)], weight) for time_ns, kind, request, weight in self._log],
            [_account_state(account) for account in self.accounts.values()],
        )  # fmt: skip

    @classmethod
    def of(cls, state: State) -> Accounts:
        """The books that were written down."""
        made = cls()
        (
            made.id, made.late, made.lost, made.dropped, made.unattributed_g, made._unattributed_priced,
            made._is_priced, made._first, made._until_ns, made._hour_s, hours, row_states, request_states, in_flight,
            log, accounts,
        ) = state  # fmt: skip
        made._hour_began = {key: ServedHour(*values) for key, *values in hours}
        rows = [Row(*values) for values in row_states]
        made.rows = {(row.service, row.route): row for row in rows}
        requests = [Request(key, rows[row], *values) for key, row, *values in request_states]
        made.requests = {requests[place].key: requests[place] for place in in_flight}
        made._log = [(time_ns, kind, requests[place], weight) for time_ns, kind, place, weight in log]
        made.accounts = {account.channel.id: account for account in map(_account_of, accounts)}
        return made


def _values(thing: Any) -> list[Any]:
    return [getattr(thing, entry.name) for entry in fields(thing)]


def _account_state(account: Account) -> State:
    clock = account.clock
    return (
        _values(account.channel),
        (
            *_values(account)[1:4],
            list(account.waiting),
            account.metered,
            account.counted,
            account.reading,
            account.busy_ns,
        ),
        (clock.weight, clock.active, clock.idle, clock.pending, clock.unattributed, *clock.rests),
        [(key, *_values(share)) for key, share in clock.shares.items()],
    )


def _account_of(state: State) -> Account:
    channel, (idle, time_ns, cursor, waiting, *values), sums, shares = state
    weight, active, idle_clock, pending, unattributed, active_rest, idle_rest = sums
    held = {key: Share(*share) for key, *share in shares}
    clock = VirtualClock(weight, active, idle_clock, pending, unattributed, held, active_rest, idle_rest)
    return Account(Channel(*channel), idle, time_ns, cursor, clock, deque(waiting), *values)
