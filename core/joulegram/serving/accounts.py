"""The books of serving: what happened to requests and what counters said, brought together by time.

Events come from many processes, counter intervals from many channels, each at its own pace. Events move one virtual
clock, in order of time, and a request keeps no more than the virtual times of its beginning and end. Each channel
follows with its own intervals; once it has gone past a request's end, what the request owes it is charged to its route.

Pure: no clocks, no files, no threads. Everything that they hold can be written down (`state`) and taken up by another
process (`Accounts.of`), which goes on with the very same numbers.
"""

from __future__ import annotations

import marshal
import os
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import islice
from operator import attrgetter
from typing import Any

from joulegram.curves.virtual_clock import Part, Tariff, VirtualClock, fine, joules, units
from joulegram.records import Channel, ServedHour, contains
from joulegram.serving.snapshot import BUCKETS_J, ChannelTotals, Exemplar, Parts, RouteTotals
from joulegram.units import NS_PER_S

PATIENCE_NS = 15 * NS_PER_S
"""A channel without a reading for this long lets events pass; what it counted meanwhile is nobody's when it returns."""
MOST_EVENTS = 1 << 16
MOST_KNOTS = 512
MOST_PARTS = 64
"""Of a channel's curve and of a request that changes its weight, before what is settled of them is summed up."""
MOST_IN_FLIGHT = 4_096
MOST_ROUTES = 200
OTHER = "other"
HOUR_S = 3600

State = tuple[Any, ...]
"""Plain tuples, lists, numbers and texts, as `marshal` writes them."""


@dataclass(slots=True)
class Request:
    """A request between its beginning and its settlement."""

    key: int
    begin_ns: int
    weight: int
    since: int
    """Virtual time since when it has this weight."""
    row: Row | None = None
    """Its route's, which is known once it ends; none for one that is dropped."""
    parts: list[Part] = field(default_factory=list)
    """What of it is over, and not summed up yet."""
    paid: dict[str, tuple[int, int]] = field(default_factory=dict)
    """By channel, what it owes for what was summed up already; once it is settled, all of it."""
    end_ns: int = 0
    tokens: float = 0.0
    flops: float = 0.0
    items: float = 0.0
    status: int = 0
    left: int = 0
    """Channels that have not yet gone past its end."""
    energy: int = 0
    """What it has been charged by the others, those left out that another contains (2⁻⁹⁶ J)."""


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
    """Up to when its joules are in the tariff."""
    cursor: int
    """Number of the first request that ended after that."""
    tariff: Tariff
    waiting: deque[tuple[int, int, int, int, int]] = field(default_factory=deque)
    """Intervals that are not in it yet: start and end (ns), and the energy: active, idle, others'."""
    metered: int = 0
    counted: bool = True
    reading: tuple[int, float] | None = None
    """The last moment (ns) and reading (J) of its counter: where another process goes on."""
    blind: list[tuple[int, int]] = field(default_factory=list)
    """Stretches (ns) that no reading tells of: a request within one of them is not known to have cost nothing."""

    def saw(self, request: Request) -> bool:
        """Whether any reading tells of a request that has ended."""
        return not any(start <= request.begin_ns and request.end_ns <= end for start, end in self.blind)

    def skip(self, until_ns: int) -> None:
        """Nothing tells of the time up to then."""
        if until_ns > self.time_ns:
            since_ns = self.blind.pop()[0] if self.blind and self.blind[-1][1] == self.time_ns else self.time_ns
            self.blind.append((since_ns, until_ns))
            self.time_ns = until_ns

    @property
    def pending(self) -> int:
        """What is not charged and not known to be nobody's."""
        return self.tariff.shared - self.tariff.charged + sum(sum(interval[2:]) for interval in self.waiting)


Finished = Callable[[Request], None]
"""Told of a request that is settled."""


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
        give_way: called between one request and the next, so that whoever shares this interpreter may go first.
    """

    def __init__(self) -> None:
        self.give_way: Callable[[], object] = int
        self.id = os.urandom(4).hex()
        self.rows: dict[tuple[str, str], Row] = {}
        self.accounts: dict[str, Account] = {}
        self.requests: dict[int, Request] = {}
        self.late = self.lost = self.dropped = 0
        self.unattributed_g = 0.0
        self._unattributed_priced = 0
        self._is_priced = False
        self.clock = VirtualClock()
        self._ended: list[Request] = []
        self._first = 0
        """Number of the first request that ended and is still in this list."""
        self._many_parts = False
        self._until_ns = self._last_end_ns = 0
        self._hour_s: int | None = None
        self._hour_began: dict[tuple[str, str], ServedHour] = {}

    # -- what happens ---------------------------------------------------------------------------------------------

    def begin(self, time_ns: int, key: int, weight: float) -> None:
        """A request is in flight from now on."""
        if key in self.requests or len(self.requests) >= MOST_IN_FLIGHT:
            self.lost += 1
            return
        weighs = units(weight)
        since = self.clock.change(self._in_order(time_ns), weighs)
        self.requests[key] = Request(key, time_ns, weighs, since)

    def weigh(self, time_ns: int, key: int, weight: float) -> None:
        """A request weighs something else from now on."""
        request = self.requests.get(key)
        if request is not None:
            weighs = units(weight)
            self._part(request, self.clock.change(self._in_order(time_ns), weighs - request.weight))
            request.weight = weighs

    def end(
        self,
        time_ns: int,
        key: int,
        service: str,
        route: str,
        status: int = 0,
        tokens: float = 0.0,
        flops: float = 0.0,
        items: float = 0.0,
        finished: Finished | None = None,
    ) -> None:
        """A request ends, on the route that it took."""
        request = self.requests.get(key)
        if request is None:
            return
        request.status, request.tokens, request.flops, request.items = status, tokens, flops, items
        row = request.row = self.row(service, route)
        row.requests += 1
        row.failed += status >= 500
        row.tokens, row.flops, row.items = row.tokens + tokens, row.flops + flops, row.items + items
        self._let_go(time_ns, request)
        if not request.left and finished is not None:
            finished(request)

    def drop(self, time_ns: int, key: int) -> None:
        """A request's process is gone: what it owes is nobody's."""
        request = self.requests.get(key)
        if request is not None:
            self.dropped += 1
            self._let_go(time_ns, request)

    def open(self, channel: Channel, idle: str, time_ns: int) -> Account:
        """The account of a channel, made where it is new; what is in flight shares in it from then on.

        What it counted before the last end that came is nobody's: who ended then is settled without it.
        """
        account = self.accounts.get(channel.id)
        if account is None:
            time_ns = max(time_ns, self._last_end_ns)
            tariff = Tariff([self.clock.at(time_ns)[0]])
            account = Account(channel, idle, time_ns, self._first + len(self._ended), tariff)
            self.accounts[channel.id] = account
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
        """Takes in all that ended by then; no event before it comes any more, or it counts as late.

        Args:
            until_ns: up to when (ns).
            finished: told of every request that is settled by this.
        """
        self._until_ns = max(self._until_ns, until_ns)
        self.clock.change(self._in_order(until_ns), 0)
        for account in self.accounts.values():
            while account.waiting and account.waiting[0][1] <= until_ns:
                self._take(account, *account.waiting.popleft())
            behind = until_ns - account.time_ns > PATIENCE_NS or len(self.clock.history[0]) > MOST_EVENTS
            if behind and not account.waiting:
                account.skip(until_ns)
            self._charge(account, finished)
        self._forget()

    def _take(self, account: Account, start_ns: int, end_ns: int, active: int, idle: int, other: int) -> None:
        tariff = account.tariff
        tariff.unattributed += other
        account.skip(start_ns)
        if start_ns < account.time_ns:  # it was away for so long that events have passed
            since_ns = min(account.time_ns, end_ns)
            late_a = active * (since_ns - start_ns) // max(1, end_ns - start_ns)
            late_i = idle * (since_ns - start_ns) // max(1, end_ns - start_ns)
            tariff.unattributed += late_a + late_i
            start_ns, active, idle = since_ns, active - late_a, idle - late_i
        begin, end = self.clock.at(start_ns), self.clock.at(end_ns)
        tariff.use(begin, end, max(1, end_ns - start_ns), active, idle)
        account.time_ns = max(account.time_ns, end_ns)

    def _charge(self, account: Account, finished: Finished | None) -> None:
        """Charges requests whose end the channel has gone past."""
        ended, name, tariff, at = self._ended, account.channel.id, account.tariff, account.cursor - self._first
        while at < len(ended) and ended[at].end_ns <= account.time_ns:
            request = ended[at]
            at += 1
            self.give_way()
            active, idle = tariff.cost(request.parts)
            if name in request.paid:
                before = request.paid.pop(name)
                active, idle = active + before[0], idle + before[1]
            request.left -= 1
            if not account.saw(request):
                self._settled(request, finished)
                continue
            request.paid[name] = active, idle
            row = request.row
            if row is None:
                tariff.drop(active + idle)
                continue
            tariff.charged += active + idle
            sums = row.energy.get(name)
            if sums is None:
                sums = row.energy[name] = [0, 0]
            sums[0] += active
            sums[1] += idle
            if account.counted:
                row.counted[0] += active
                row.counted[1] += idle
                request.energy += active + idle
            self._settled(request, finished)
        account.cursor = self._first + at
        if at == len(ended) and not self.requests:
            tariff.drop(tariff.shared - tariff.charged)  # what rounding has left over

    @staticmethod
    def _settled(request: Request, finished: Finished | None) -> None:
        """Once no channel is left that could charge it."""
        if not request.left and request.row is not None:
            request.row.settled += request.energy
            if finished is not None:
                finished(request)

    @staticmethod
    def bucket(row: Row, key: int, energy_j: float, time_s: float) -> None:
        """Puts a settled request into its route's histogram."""
        number = bisect_left(BUCKETS_J, energy_j)
        row.buckets[number] += 1
        row.exemplars[number] = (key, energy_j, time_s)

    def price(self, g_per_j: float) -> None:
        """Prices what has been charged since the last time (g per J of IT energy, PUE included)."""
        self._is_priced = True
        for row in self.rows.values():
            for part in (0, 1):
                row.grams[part] += joules(row.counted[part] - row.priced[part]) * g_per_j
                row.priced[part] = row.counted[part]
        unattributed = sum(account.tariff.unattributed for account in self.accounts.values() if account.counted)
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
                joules(account.tariff.unattributed),
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
                Parts(*row.grams) if self._is_priced and row.energy else None,
                tuple(row.buckets),
                joules(row.settled),
                {n: Exemplar(request_id(key), j, time_s) for n, (key, j, time_s) in row.exemplars.items()},
            )
            for row in self.rows.values()
        )

    @property
    def unattributed_carbon_g(self) -> float | None:
        """Carbon of what is nobody's (g); None where no price, or no channel, is known."""
        return self.unattributed_g if self._is_priced and self.accounts else None

    def rates(self) -> dict[str, tuple[int, int]]:
        """Of each channel that counts, its tariff by now (see there), and how long (ns) any was in flight by then."""
        return {
            name: (account.tariff.active[-1] + account.tariff.idle[-1], self.clock.at(account.time_ns)[1])
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

    def hour(self, wall_s: float, lost: int = 0) -> list[ServedHour]:
        """What each route has cost since the hour began; at its turn, for the last time, what it cost in that hour.

        Args:
            wall_s: now (s since 1970).
            lost: beginnings that have not come as far as to these books.
        """
        hour_s = int(wall_s // HOUR_S) * HOUR_S
        if self._hour_s is None:
            self._hour_s = hour_s
        now = {(row.service, row.route): self._served(row) for row in self.rows.values()}
        now["", ""] = ServedHour(
            self.id,
            self._hour_s,
            "",
            None,
            unattributed_j={name: joules(account.tariff.unattributed) for name, account in self.accounts.items()},
            lost=self.lost + lost,
            late=self.late,
            dropped=self.dropped,
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

    def _in_order(self, time_ns: int) -> int:
        """The time of an event, or the earliest that it can still be of."""
        if time_ns < self._until_ns:
            self.late += 1
        return max(time_ns, self._until_ns, self.clock.time_ns)

    def _part(self, request: Request, now: int) -> None:
        """A stretch of a request is over."""
        if request.weight and now > request.since:
            request.parts.append((request.weight, request.since, now))
            self._many_parts = self._many_parts or len(request.parts) > MOST_PARTS
        request.since = now

    def _let_go(self, time_ns: int, request: Request) -> None:
        """A request is in flight no more."""
        del self.requests[request.key]
        self._part(request, self.clock.change(self._in_order(time_ns), -request.weight))
        request.end_ns = self._last_end_ns = self.clock.time_ns
        request.left = len(self.accounts)
        if request.left:
            self._ended.append(request)

    def _forget(self) -> None:
        """Lets go of what every channel has gone past."""
        accounts = self.accounts.values()
        self.clock.forget(min((account.time_ns for account in accounts), default=self._until_ns))
        passed = min((account.cursor for account in accounts), default=self._first) - self._first
        if passed:
            del self._ended[:passed]
            self._first += passed
        if any(account.blind for account in accounts):
            oldest = min((r.begin_ns for r in (*self.requests.values(), *self._ended)), default=self._until_ns)
            for account in accounts:
                account.blind = [stretch for stretch in account.blind if stretch[1] >= oldest]
        if self._many_parts or any(len(account.tariff.virtual) > MOST_KNOTS for account in accounts):
            self._sum_up()

    def _sum_up(self) -> None:
        """Sums up what requests in flight owe so far, so that curves need not go back to their beginnings."""
        self._many_parts = False
        accounts = self.accounts.values()
        now = min(account.tariff.virtual[-1] for account in accounts)
        for request in self.requests.values():
            self.give_way()
            over = [(weight, begin, min(end, now)) for weight, begin, end in request.parts if begin < now]
            if request.weight and request.since < now:
                over.append((request.weight, request.since, now))
                request.since = now
            for account in accounts:
                active, idle = account.tariff.cost(over)
                before = request.paid.get(account.channel.id, (0, 0))
                request.paid[account.channel.id] = before[0] + active, before[1] + idle
            request.parts = [(weight, max(begin, now), end) for weight, begin, end in request.parts if end > now]
        waiting = [begin for request in self._ended for _, begin, _ in request.parts]
        oldest = min([now, *waiting])
        for account in accounts:
            account.tariff.forget(oldest)

    # -- written down ---------------------------------------------------------------------------------------------

    def state(self) -> State:
        """All of it, for `of`: the sums, and, by itself, what only who goes on with the books needs."""
        rows = list(self.rows.values())
        numbers = {id(row): number for number, row in enumerate(rows)}
        hours = [(key, *_values(hour)) for key, hour in self._hour_began.items()]
        going = (
            self._first, self._until_ns, self._last_end_ns, self._hour_s, hours, _values(self.clock),
            self._requests_state(self.requests.values(), numbers),
            self._requests_state(self._ended, numbers),
            [(list(account.waiting), account.cursor, account.reading, account.blind, _values(account.tariff)[:5])
             for account in self.accounts.values()],
        )  # fmt: skip
        sums = (
            self.id, self.late, self.lost, self.dropped, self.unattributed_g, self._unattributed_priced,
            self._is_priced, [_values(row) for row in rows],
            [(_values(account.channel), account.idle, account.time_ns, account.metered, account.counted,
              account.pending, *_values(account.tariff)[5:]) for account in self.accounts.values()],
        )  # fmt: skip
        return sums, marshal.dumps(going)

    def _requests_state(self, requests: Iterable[Request], rows: Mapping[int, int]) -> list[bytes]:
        """Requests written down, a few at a time: writing all of them as one would hold up others."""
        requests, told = iter(requests), list[bytes]()
        while some := [(rows.get(id(request.row), -1), *_of_request(request)) for request in islice(requests, 8)]:
            told.append(marshal.dumps(some))
            self.give_way()
        return told

    @classmethod
    def sums_of(cls, state: State) -> Accounts:
        """The books that were written down, to be looked at only: without the requests that are in them."""
        made = cls()
        (
            made.id, made.late, made.lost, made.dropped, made.unattributed_g, made._unattributed_priced,
            made._is_priced, rows, accounts,
        ) = state[0]  # fmt: skip
        made.rows = {(service, route): Row(service, route, *values) for service, route, *values in rows}
        for channel, idle, time_ns, metered, counted, pending, shared, charged, unattributed in accounts:
            tariff = Tariff([0], shared=shared, charged=charged, unattributed=unattributed)
            account = Account(Channel(*channel), idle, time_ns, 0, tariff, metered=metered, counted=counted)
            account.waiting.append((0, 0, pending - account.pending, 0, 0))
            made.accounts[account.channel.id] = account
        return made

    @classmethod
    def of(cls, state: State) -> Accounts:
        """The books that were written down, to go on with."""
        made, going = cls.sums_of(state), marshal.loads(state[1])
        made._first, made._until_ns, made._last_end_ns, made._hour_s, hours, clock, flying, ended, accounts = going
        made._hour_began = {key: ServedHour(*values) for key, *values in hours}
        made.clock = VirtualClock(*clock)
        rows = list(made.rows.values())
        made.requests = {request.key: request for request in _requests_of(flying, rows)}
        made._ended = list(_requests_of(ended, rows))
        for account, (waiting, cursor, *known, curves) in zip(made.accounts.values(), accounts, strict=True):
            account.waiting, account.cursor = deque(waiting), cursor
            account.reading, account.blind = known
            tariff = account.tariff
            tariff.virtual, tariff.active, tariff.idle, tariff.active_slope, tariff.idle_slope = curves
        return made


def _values(thing: Any) -> list[Any]:
    return [getattr(thing, entry.name) for entry in fields(thing)]


_REQUEST = tuple(entry.name for entry in fields(Request) if entry.name != "row")
_of_request = attrgetter(*_REQUEST)


def _requests_of(told: Iterable[bytes], rows: Sequence[Row]) -> Iterator[Request]:
    for some in told:
        for row, *values in marshal.loads(some):
            yield Request(**dict(zip(_REQUEST, values, strict=True)), row=None if row < 0 else rows[row])
