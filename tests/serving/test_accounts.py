"""The books of serving, held against a brute force, for any interleaving, lateness, weights and deaths."""

from __future__ import annotations

import marshal
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds import channel

from joulegram.curves.virtual_clock import joules
from joulegram.serving.accounts import MOST_ROUTES, PATIENCE_NS, Account, Accounts, Request

NS = 1_000_000_000
KEYS = range(1, 6)


@dataclass(frozen=True)
class Happening:
    time_ns: int
    what: str
    key: int
    weight: float = 1.0


WEIGHTS = st.sampled_from([0.0, 1.0, 2.0, 0.5, 7.25, 1e-3, 4096.0, 1.7e13, 3.1e18])
happenings = st.lists(
    st.builds(
        Happening,
        st.integers(0, 40 * NS),
        st.sampled_from(["begin", "begin", "weigh", "end", "end", "drop"]),
        st.sampled_from(KEYS),
        WEIGHTS,
    ),
    max_size=24,
)
powers = st.one_of(st.just(0.0), st.floats(1e-12, 1e6))
intervals = st.lists(st.tuples(st.integers(1, 5 * NS), powers, powers, powers), min_size=1, max_size=6)


def apply(books: Accounts, it: Happening, finished: Any = None) -> None:
    if it.what == "begin":
        books.begin(it.time_ns, it.key, it.weight)
    elif it.what == "weigh":
        books.weigh(it.time_ns, it.key, it.weight)
    elif it.what == "end":
        books.end(it.time_ns, it.key, "s", f"/{it.key}", finished=finished)
    else:
        books.drop(it.time_ns, it.key)


def conserved(books: Accounts) -> None:
    """Every channel's parts and what is pending are its meter, to the last bit; nothing is negative."""
    for name, account in books.accounts.items():
        charged = [row.energy.get(name, [0, 0]) for row in books.rows.values()]
        unattributed, pending = account.tariff.unattributed, account.pending
        assert sum(map(sum, charged)) + unattributed + pending == account.metered
        assert min(joules(unattributed), joules(pending)) >= -1e-12 * joules(account.metered)
        assert all(part >= 0 for pair in charged for part in pair)
        # What is pending is owed by somebody, or waits: rounding is far below what a float can show.
        waiting = sum(sum(interval[2:]) for interval in account.waiting)
        assert joules(owed(books, account)) == pytest.approx(
            joules(pending - waiting), abs=1e-12 * joules(account.metered) + 1e-18
        )


def owed(books: Accounts, account: Account) -> int:
    """What requests owe a channel so far, each by itself."""
    total, passed, now = 0, account.cursor - books._first, account.tariff.virtual[-1]
    for request in [*books.requests.values(), *books._ended[passed:]]:
        going_on = [(request.weight, request.since, max(now, request.since))] if request.key in books.requests else []
        parts = [(weight, min(begin, now), min(end, now)) for weight, begin, end in [*request.parts, *going_on]]
        total += sum(account.tariff.cost(parts)) + sum(request.paid.get(account.channel.id, (0, 0)))
    return total


def brute(
    events: list[Happening], rises: list[tuple[int, int, float, float, float]]
) -> tuple[dict[int, Fraction], Fraction]:
    """What was charged by key, and what is nobody's: every instant between two edges by itself, in fractions."""
    inside: dict[int, list[Fraction]] = {}  # weight, owed
    charged: dict[int, Fraction] = {}
    nobody = Fraction(0)
    edges = sorted({e.time_ns for e in events} | {t for start, end, *_ in rises for t in (start, end)})
    at = 0
    for before, now in zip([-1, *edges], edges, strict=False):
        for start, end, active, idle, other in rises:
            if start < now <= end:
                part = Fraction(now - max(before, start), end - start)
                total = sum(weight for weight, _ in inside.values())
                nobody += Fraction(other) * part
                energy = (Fraction(active) + Fraction(idle)) * part
                if not total:
                    nobody += energy
                for key, (weight, owed) in inside.items():
                    inside[key] = [weight, owed + (energy * weight / total if total else 0)]
        while at < len(events) and events[at].time_ns == now:
            event = events[at]
            at += 1
            if event.what == "begin" and event.key not in inside:
                inside[event.key] = [Fraction(event.weight), Fraction(0)]
            elif event.what == "weigh" and event.key in inside:
                inside[event.key][0] = Fraction(event.weight)
            elif event.what == "end" and event.key in inside:
                charged[event.key] = charged.get(event.key, Fraction(0)) + inside.pop(event.key)[1]
            elif event.what == "drop" and event.key in inside:
                nobody += inside.pop(event.key)[1]
    return charged, nobody


def exact(weight: float) -> float:
    """A weight as the books hold it: in steps of 2⁻¹⁰."""
    return max(1, round(weight * 1024)) / 1024 if weight else 0.0


def rises_of(steps: Iterable[tuple[int, float, float, float]]) -> list[tuple[int, int, float, float, float]]:
    found, start = [], 0
    for length, *energy in steps:
        found.append((start, start + length, *energy))
        start += length
    return found


@given(happenings, intervals, intervals)
def test_the_books_are_what_a_brute_force_finds(events: list[Happening], one: Any, two: Any) -> None:
    events = sorted(
        (Happening(e.time_ns, e.what, e.key, exact(e.weight)) for e in events), key=lambda event: event.time_ns
    )
    books = Accounts()
    both = {"gpu:A": rises_of(one), "dram:0": rises_of(two)}
    for name, rises in both.items():
        books.open(channel(name), "", 0)
        for rise in rises:
            books.use(name, *rise)
    for event in events:
        apply(books, event)
    books.settle(PATIENCE_NS * 100)
    conserved(books)
    for name, rises in both.items():
        charged, nobody = brute(events, rises)
        total = sum(sum(rise[2:]) for rise in rises)
        for key in KEYS:
            paid = books.rows.get(("s", f"/{key}"))
            mine = sum(paid.energy.get(name, [0, 0])) if paid else 0
            assert joules(mine) == pytest.approx(float(charged.get(key, 0)), rel=1e-9, abs=1e-9 * total + 1e-18)
        assert joules(books.accounts[name].tariff.unattributed) == pytest.approx(
            float(nobody), rel=1e-9, abs=1e-9 * total + 1e-18
        )


def plain(books: Accounts) -> Any:
    """All that the books hold."""
    sums, going = books.state()

    def whole(part: Any) -> Any:
        return [marshal.loads(some) for some in part] if part and isinstance(part[0], bytes) else part

    return sums, [whole(part) if isinstance(part, list) else part for part in marshal.loads(going)]


late = st.lists(
    st.one_of(
        st.builds(Happening, st.integers(0, 40 * NS), st.sampled_from(["begin", "weigh", "end", "drop"]),
                  st.sampled_from(KEYS), WEIGHTS),
        st.tuples(st.sampled_from(["gpu:A", "dram:0", "cpu:0"]), st.integers(1, 20 * NS), powers, powers, powers),
        st.integers(0, 60 * NS),
        st.just("hand over"),
    ),
    max_size=60,
)  # fmt: skip


@given(late)
def test_whatever_comes_in_whatever_order_nothing_is_lost_and_nothing_counted_twice(steps: list[Any]) -> None:
    books, ends, finished = Accounts(), dict[str, int](), list[int]()

    def settled(request: Request) -> None:
        finished.append(request.energy)

    for step in steps:
        if isinstance(step, Happening):
            apply(books, step, settled)
        elif isinstance(step, tuple):
            name, length, *energy = step
            start = ends.get(name, 0)
            books.open(channel(name), "", start)
            books.use(name, start, start + length, *energy)
            ends[name] = start + length
        elif isinstance(step, int):
            books.settle(step, settled)
        else:
            books = Accounts.of(marshal.loads(marshal.dumps(books.state())))
        conserved(books)
    for key in KEYS:
        books.end(40 * NS, key, "s", f"/{key}", finished=settled)
    books.settle(10**15, settled)
    conserved(books)
    assert all(not account.pending for account in books.accounts.values())
    assert sum(finished) == sum(row.settled for row in books.rows.values())
    assert len(finished) == sum(row.requests for row in books.rows.values())


@given(late, st.integers(0, 60))
def test_another_process_goes_on_with_the_very_same_numbers(steps: list[Any], cut: int) -> None:
    def play(books: Accounts, part: list[Any], ends: dict[str, int]) -> Accounts:
        for step in part:
            if isinstance(step, Happening):
                apply(books, step)
            elif isinstance(step, tuple):
                name, length, *energy = step
                start = ends.get(name, 0)
                books.open(channel(name), "", start)
                books.use(name, start, start + length, *energy)
                ends[name] = start + length
            elif isinstance(step, int):
                books.settle(step)
        return books

    ends: dict[str, int] = {}
    first = play(Accounts(), steps[:cut], ends)
    second = Accounts.of(marshal.loads(marshal.dumps(first.state())))
    after = dict(ends)
    assert plain(play(first, steps[cut:], ends)) == plain(play(second, steps[cut:], after))


def test_a_request_of_no_weight_costs_nothing_and_alone_leaves_all_unattributed() -> None:
    books = Accounts()
    books.open(channel("gpu:A"), "", 0)
    books.begin(0, 1, 0.0)
    books.use("gpu:A", 0, NS, 80.0, 20.0, 0.0)
    books.end(NS, 1, "s", "/health")
    books.settle(2 * NS)
    totals = books.channel_totals("alpha")["alpha/gpu:A"]
    assert (totals.unattributed_j, totals.pending_j, totals.meter_j) == (100.0, 0.0, 100.0)
    assert books.rows["s", "/health"].requests == 1


def test_idle_power_is_shared_apart_and_only_while_somebody_is_in_flight() -> None:
    books = Accounts()
    books.open(channel("gpu:A"), "", 0)
    books.begin(NS, 1, 3.0)
    books.begin(NS, 2, 1.0)
    books.use("gpu:A", 0, 2 * NS, 60.0, 40.0, 8.0)
    books.end(2 * NS, 1, "s", "/a")
    books.end(2 * NS, 2, "s", "/b")
    books.settle(3 * NS)
    (one, two) = books.route_totals("alpha", str)
    assert (one.energy_j["alpha/gpu:A"].active, one.energy_j["alpha/gpu:A"].idle_shared) == (22.5, 15.0)
    assert (two.energy_j["alpha/gpu:A"].active, two.energy_j["alpha/gpu:A"].idle_shared) == (7.5, 5.0)
    assert books.channel_totals("alpha")["alpha/gpu:A"].unattributed_j == 58.0


def test_a_channel_that_is_away_lets_events_pass_and_its_joules_of_that_time_are_nobodys() -> None:
    books, finished = Accounts(), list[int]()
    books.open(channel("gpu:A"), "", 0)
    books.begin(0, 1, 1.0)
    books.end(NS, 1, "s", "/a", finished=lambda request: finished.append(request.energy))
    books.settle(NS + PATIENCE_NS, lambda request: finished.append(request.energy))
    assert finished == [0]
    books.use("gpu:A", 0, 2 * (NS + PATIENCE_NS), 100.0, 0.0, 0.0)
    books.begin(NS + PATIENCE_NS, 2, 1.0)
    books.end(2 * (NS + PATIENCE_NS), 2, "s", "/a")
    books.settle(2 * (NS + PATIENCE_NS))
    conserved(books)
    assert joules(books.rows["s", "/a"].energy["gpu:A"][0]) == 50.0
    assert books.channel_totals("alpha")["alpha/gpu:A"].unattributed_j == 50.0


def test_what_no_reading_tells_of_is_missing_and_not_nothing() -> None:
    books, paid = Accounts(), dict[int, dict[str, tuple[int, int]]]()

    def finished(request: Request) -> None:
        paid[request.key] = request.paid

    for name in ("gpu:A", "cpu:0"):
        books.open(channel(name), "", 0)
        books.use(name, 0, NS, 10.0, 0.0, 0.0)
    books.begin(2 * NS, 1, 1.0)
    books.end(3 * NS, 1, "s", "/within")
    books.begin(2 * NS, 2, 1.0)
    books.use("cpu:0", NS, 30 * NS, 29.0, 0.0, 0.0)
    books.settle(30 * NS, finished)  # the GPU's counter has been away for longer than anybody waits
    books = Accounts.of(marshal.loads(marshal.dumps(books.state())))
    books.use("gpu:A", 31 * NS, 32 * NS, 5.0, 0.0, 0.0)  # another process read on; what was before is nobody's
    books.use("cpu:0", 30 * NS, 32 * NS, 2.0, 0.0, 0.0)
    books.end(32 * NS, 2, "s", "/across")
    books.settle(33 * NS, finished)
    conserved(books)
    assert paid[1].keys() == {"cpu:0"}
    assert joules(paid[2]["gpu:A"][0]) == pytest.approx(5.0)
    assert books.rows["s", "/within"].energy.keys() == {"cpu:0"}
    assert books.accounts["gpu:A"].blind == []


def test_ten_thousand_routes_take_the_room_of_a_few() -> None:
    books = Accounts()
    books.open(channel("gpu:A"), "", 0)
    for number in range(10_000):
        books.begin(number, number, 1.0)
        books.end(number + 1, number, "s", f"/{number}")
    books.use("gpu:A", 0, 10_001, 1.0, 0.0, 0.0)
    books.settle(10_001)
    conserved(books)
    assert len(books.rows) <= MOST_ROUTES + 1
    assert sum(row.requests for row in books.rows.values()) == 10_000
    assert books.rows["s", "other"].requests == 10_000 - MOST_ROUTES


def test_a_part_that_a_wall_meter_contains_is_shown_and_not_added() -> None:
    books, finished = Accounts(), list[int]()
    for name in ("gpu:A", "node:wall"):
        books.open(channel(name), "", 0)
        books.use(name, 0, NS, 100.0 if name == "gpu:A" else 300.0, 0.0, 0.0)
    books.begin(0, 1, 1.0)
    books.end(NS, 1, "s", "/a")
    books.settle(NS, lambda request: finished.append(request.energy))
    assert [joules(energy) for energy in finished] == [300.0]
    books.price(1e-4)
    (row,) = books.route_totals("alpha", str)
    assert row.carbon_g is not None
    assert row.carbon_g.total == pytest.approx(0.03)
    assert row.energy_j["alpha/gpu:A"].active == 100.0


def test_grams_are_added_at_the_price_of_when_energy_was_charged_and_wait_for_the_first() -> None:
    books = Accounts()
    books.open(channel("gpu:A"), "", 0)
    for hour, g_per_j in enumerate((None, 1e-3, 2e-3)):
        books.begin(hour * NS, 1, 1.0)
        books.use("gpu:A", hour * NS, (hour + 1) * NS, 10.0, 0.0, 1.0)
        books.end((hour + 1) * NS, 1, "s", "/a")
        books.settle((hour + 1) * NS)
        if g_per_j is None:
            assert books.route_totals("alpha", str)[0].carbon_g is None
            assert books.unattributed_carbon_g is None
        else:
            books.price(g_per_j)
    carbon = books.route_totals("alpha", str)[0].carbon_g
    assert carbon is not None
    assert carbon.active == pytest.approx(2 * 10 * 1e-3 + 10 * 2e-3)
    assert books.unattributed_carbon_g == pytest.approx(2 * 1e-3 + 2e-3)


def test_the_hours_of_a_route_add_up_to_it() -> None:
    books, told = Accounts(), dict[tuple[int, str | None], Any]()
    books.open(channel("gpu:A"), "", 0)
    for quarter in range(10):
        at_ns = quarter * 900 * NS
        books.begin(at_ns, 1, 1.0)
        books.use("gpu:A", at_ns, at_ns + 900 * NS, 10.0, 1.0, 3.0)
        books.end(at_ns + 900 * NS, 1, "s", "/a", tokens=7.0)
        books.settle(at_ns + 900 * NS)
        for hour in books.hour(quarter * 900.0, lost=quarter):
            told[hour.hour_s, hour.route] = hour  # the later line goes before the earlier
    mine = [hour for (_, route), hour in told.items() if route == "/a"]
    assert len(mine) == 3
    assert sum(hour.requests for hour in mine) == 10
    assert sum(hour.tokens for hour in mine) == 70.0
    assert sum(hour.energy_j["gpu:A"][0] for hour in mine) == pytest.approx(100.0)
    assert sum(hour.unattributed_j["gpu:A"] for (_, route), hour in told.items() if route is None) == pytest.approx(
        30.0
    )
    assert sum(hour.lost for (_, route), hour in told.items() if route is None) == 9


def test_what_was_served_before_any_counter_was_read_has_no_grams_which_is_not_none_of_them() -> None:
    books = Accounts()
    books.begin(0, 1, 1.0)
    books.end(NS, 1, "s", "/a")
    books.settle(NS)
    books.price(1e-3)
    (row,) = books.route_totals("alpha", str)
    assert (row.requests, row.energy_j, row.carbon_g) == (1, {}, None)
    assert books.unattributed_carbon_g is None
