"""What comes of readings, whatever a meter does: a known power in, the right joules and honest gaps out."""

from __future__ import annotations

import itertools
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from math import nan
from typing import Any, ClassVar

import pytest
from worlds import NOTHING, Counter, InstantCounter, ModelCounter, OwnedClock, Sticking

from joulegram.config import ConfigError, Settings
from joulegram.curves.phases import MOST_MARKS
from joulegram.extras import MissingExtra
from joulegram.host.cohort import Cohort
from joulegram.meters import Absent, Denied, Meter
from joulegram.recorder import opening
from joulegram.recorder import sampler as sampling
from joulegram.recorder.opening import Opened
from joulegram.recorder.sampler import Sampler, Superseded
from joulegram.records import Gap
from joulegram.units import NS_PER_S

S = NS_PER_S


@pytest.fixture
def clock() -> OwnedClock:
    return OwnedClock()


def sampler_of(clock: OwnedClock, *meters: Meter) -> Sampler:
    """A sampler at its first sample."""
    made = Sampler(NOTHING, clock, Cohort("run-1"), clock.monotonic_ns())
    for number, meter in enumerate(meters):
        made.take(Opened(f"meter-{number}", meter))
    made.tick()
    return made


def pass_time(sampler: Sampler, clock: OwnedClock, seconds: float, step_s: float = 0.05) -> None:
    for _ in range(round(seconds / step_s)):
        clock.advance(step_s)
        sampler.tick()


def end(sampler: Sampler, clock: OwnedClock) -> None:
    sampler.tick(final=True)
    sampler.end(clock.monotonic_ns())


def joules(sampler: Sampler, name: str = "gpu:A") -> float:
    tip = next(log for log in sampler.channels() if log.channel.id == name).run.tip
    assert tip is not None
    return tip[1]


def gaps(sampler: Sampler, name: str = "gpu:A") -> list[tuple[str, float, float, bool]]:
    found = next(log for log in sampler.channels() if log.channel.id == name).gaps
    return [(g.why, round(g.start_ns / S - 100, 9), round(g.end_ns / S - 100, 9), g.energy_known) for g in found]


def texts(sampler: Sampler) -> list[str]:
    return [note.text for note in sampler.notes]


# -- readings ---------------------------------------------------------------------------------------------------------


def test_a_known_power_gives_its_joules_whatever_the_steps(clock: OwnedClock) -> None:
    counter = Counter(clock, 100.0)
    sampler = sampler_of(clock, counter)
    pass_time(sampler, clock, 10)
    counter.draw(300.0)
    pass_time(sampler, clock, 5, step_s=0.125)
    counter.draw(0.0)
    pass_time(sampler, clock, 2)
    end(sampler, clock)
    assert joules(sampler) == pytest.approx(100 * 10 + 300 * 5, rel=1e-9)
    assert gaps(sampler) == []
    assert counter.closed == 1


def test_a_meter_is_read_when_it_is_due_and_at_edges(clock: OwnedClock) -> None:
    counter = Counter(clock)
    sampler = sampler_of(clock, counter)
    clock.advance(0.02)
    sampler.tick()
    assert counter.reads == 1
    sampler.tick(everything=True)
    assert counter.reads == 2
    assert sampler.next_due_ns() == clock.monotonic_ns() + 50_000_000
    clock.advance(0.05)
    sampler.tick()
    assert counter.reads == 3


def test_a_burst_between_two_readings_is_counted_once_and_in_full(clock: OwnedClock) -> None:
    counter = Counter(clock, 0.0)
    sampler = sampler_of(clock, counter)
    pass_time(sampler, clock, 1)
    clock.advance(0.02)
    counter.draw(10_000.0)
    clock.advance(0.01)
    counter.draw(0.0)
    clock.advance(0.02)
    pass_time(sampler, clock, 1)
    end(sampler, clock)
    assert joules(sampler) == pytest.approx(100)


def test_a_meter_that_takes_its_time_loses_no_joule_for_it_and_is_given_a_pause_after_each_reading(
    clock: OwnedClock,
) -> None:
    slow, quick = Counter(clock, 100.0), Counter(clock, 50.0, ("gpu:B",))
    sampler = sampler_of(clock, slow, quick)
    slow.before_read = lambda: clock.advance(0.08)  # longer than its period
    for _ in range(20):
        clock.advance((sampler.next_due_ns() - clock.monotonic_ns()) / S)
        sampler.tick()
        assert sampler.next_due_ns() == clock.monotonic_ns() + 50_000_000
    slow.before_read = lambda: None
    clock.advance(0.05)
    end(sampler, clock)
    seconds = clock.monotonic_ns() / S - 100
    assert joules(sampler) == pytest.approx(100 * seconds)
    assert joules(sampler, "gpu:B") == pytest.approx(50 * seconds)
    assert gaps(sampler) == gaps(sampler, "gpu:B") == []


def test_meters_that_are_due_almost_together_are_read_together_and_never_later_than_they_are_due(
    clock: OwnedClock,
) -> None:
    first, second, rare = Counter(clock), Counter(clock, names=("gpu:B",)), Counter(clock, names=("gpu:C",))
    rare.period_s = 0.5  # type: ignore[misc]
    sampler = sampler_of(clock, first)
    clock.advance(0.043)
    sampler.take(Opened("second", second))
    sampler.take(Opened("rare", rare))
    sampler.tick()
    read_s: list[float] = []
    first.before_read = lambda: read_s.append(clock.monotonic_ns() / S)
    wakeups = 0
    while clock.monotonic_ns() < 105 * S:
        clock.advance((sampler.next_due_ns() - clock.monotonic_ns()) / S + 1e-4)
        sampler.tick()
        wakeups += 1
    assert wakeups == len(read_s) == second.reads - 1 <= 5 / 0.05
    assert rare.reads - 1 == wakeups // 10  # a tenth as often, and in none of its own wake-ups
    assert max(b - a for a, b in itertools.pairwise(read_s)) <= 0.05 + 1.1e-4


def test_forty_meters_are_all_read_and_one_that_fails_costs_the_others_nothing(
    clock: OwnedClock, caplog: pytest.LogCaptureFixture
) -> None:
    counters = [Counter(clock, 10.0 + n, (f"gpu:{n}",)) for n in range(40)]
    sampler = sampler_of(clock, *counters)
    pass_time(sampler, clock, 1)
    counters[17].before_read = fail
    pass_time(sampler, clock, 1)
    end(sampler, clock)
    for n in range(40):
        seconds = 1 if n == 17 else 2
        assert joules(sampler, f"gpu:{n}") == pytest.approx((10.0 + n) * seconds, rel=1e-9)
    assert [n for n in range(40) if gaps(sampler, f"gpu:{n}")] == [17]
    assert caplog.text.count("WARNING") == 1


def fail() -> None:
    raise OSError("No such device")


def test_a_meter_that_fails_is_missing_from_then_on_with_one_warning(
    clock: OwnedClock, caplog: pytest.LogCaptureFixture
) -> None:
    counter = Counter(clock, 100.0)
    sampler = sampler_of(clock, counter)
    pass_time(sampler, clock, 2)
    counter.before_read = fail
    pass_time(sampler, clock, 3)
    end(sampler, clock)
    assert joules(sampler) == pytest.approx(200)
    assert gaps(sampler) == [("failed", 2.0, 5.0, False)]
    assert counter.reads == 42  # never again after the one that failed
    assert [record.message for record in caplog.records] == texts(sampler)
    assert "meter meter-0 failed and is missing from here on: OSError('No such device')" in texts(sampler)[0]
    assert len(texts(sampler)) == 1


@pytest.mark.parametrize("reading", [None, "many", [], [1.0, 2.0]], ids=repr)
def test_a_meter_that_talks_nonsense_fails_alone(clock: OwnedClock, reading: Any) -> None:
    class Nonsense(Counter):
        def read(self) -> Any:
            return reading if isinstance(reading, list) else [reading]

    good = Counter(clock, 100.0, ("gpu:B",))
    sampler = sampler_of(clock, Nonsense(clock), good)
    pass_time(sampler, clock, 1)
    end(sampler, clock)
    assert joules(sampler, "gpu:B") == pytest.approx(100)
    assert gaps(sampler) == [("failed", 0.0, 1.0, False)]
    assert len(texts(sampler)) == 1


def test_a_read_that_gives_no_number_is_a_gap_that_the_counter_bridges(clock: OwnedClock) -> None:
    broken = False

    class Blinking(Counter):
        def read(self) -> Any:
            return [nan if broken else self.joules()]

    sampler = sampler_of(clock, Blinking(clock, 100.0))
    pass_time(sampler, clock, 1)
    broken = True
    pass_time(sampler, clock, 1)
    broken = False
    pass_time(sampler, clock, 1)
    end(sampler, clock)
    assert joules(sampler) == pytest.approx(300)
    assert gaps(sampler) == [("failed", 1.0, 2.05, True)]


def test_a_meter_that_exits_is_one_that_fails(clock: OwnedClock) -> None:
    counter = InstantCounter(clock)
    sampler = sampler_of(clock, counter)
    counter.before_read = lambda: sys.exit(1)
    sampler.read_instantly()
    clock.advance(0.05)
    sampler.tick()
    assert "SystemExit" in texts(sampler)[0]


def test_a_sampler_that_pauses_leaves_a_gap_of_known_energy(clock: OwnedClock) -> None:
    sampler = sampler_of(clock, Counter(clock, 100.0))
    pass_time(sampler, clock, 1)
    pass_time(sampler, clock, 30, step_s=30)
    end(sampler, clock)
    assert joules(sampler) == pytest.approx(3100)
    assert gaps(sampler) == [("late", 1.0, 31.0, True)]


# -- reads at edges, in the caller's thread ---------------------------------------------------------------------------


def test_an_edge_is_read_to_the_moment_by_meters_that_take_microseconds(clock: OwnedClock) -> None:
    quick, other = InstantCounter(clock), Counter(clock, 100.0, ("gpu:B",))
    sampler = sampler_of(clock, quick, other)
    clock.advance(0.013)
    sampler.read_instantly()
    assert (quick.reads, other.reads) == (2, 1)
    end(sampler, clock)
    assert sampler.channels()[0].run.tip == (clock.monotonic_ns(), pytest.approx(1.3))


@pytest.mark.parametrize(("slow_s", "reads"), [(250e-6, 3), (0.05, 1)])
def test_slow_reads_are_the_last_in_the_callers_thread(clock: OwnedClock, slow_s: float, reads: int) -> None:
    counter = InstantCounter(clock)
    sampler = sampler_of(clock, counter)
    counter.before_read = lambda: clock.advance(slow_s)
    for _ in range(9):
        sampler.read_instantly()
    counter.before_read = lambda: None
    sampler.read_instantly()
    assert counter.reads == 1 + reads
    pass_time(sampler, clock, 1)
    assert counter.reads > 15  # the sampler goes on with it
    assert gaps(sampler) == []


def test_a_read_that_was_preempted_now_and_then_is_no_slow_one(clock: OwnedClock) -> None:
    counter = InstantCounter(clock)
    sampler = sampler_of(clock, counter)
    for number in range(9):
        counter.before_read = lambda number=number: clock.advance(0.005 if number % 2 else 0.0)
        sampler.read_instantly()
    assert counter.reads == 10


def test_a_failure_at_an_edge_never_reaches_the_caller(clock: OwnedClock) -> None:
    counter = InstantCounter(clock)
    sampler = sampler_of(clock, counter)
    counter.before_read = fail
    sampler.read_instantly()
    assert texts(sampler) == []
    clock.advance(0.05)
    sampler.tick()
    assert len(texts(sampler)) == 1


def test_a_meter_that_is_being_read_is_not_waited_for_at_an_edge(clock: OwnedClock) -> None:
    counter, inside, release = InstantCounter(clock), threading.Event(), threading.Event()
    sampler = sampler_of(clock, counter)
    counter.before_read = lambda: (inside.set(), release.wait(30))
    clock.advance(0.05)
    thread = threading.Thread(target=sampler.tick)
    thread.start()
    assert inside.wait(30)
    sampler.read_instantly()
    assert counter.reads == 2
    release.set()
    thread.join()
    assert counter.reads == 2


def test_a_closed_meter_is_read_by_nobody(clock: OwnedClock) -> None:
    counter = InstantCounter(clock)
    sampler = sampler_of(clock, counter)
    end(sampler, clock)
    reads = counter.reads
    sampler.read_instantly()
    assert (counter.reads, counter.closed) == (reads, 1)


def test_a_meter_that_fails_to_close_keeps_no_other_open(clock: OwnedClock) -> None:
    class Jammed(Counter):
        def close(self) -> None:
            raise OSError("busy")

    good = Counter(clock, 100.0, ("gpu:B",))
    sampler = sampler_of(clock, Jammed(clock), good)
    end(sampler, clock)
    assert good.closed == 1
    assert "meter-0 failed to close" in texts(sampler)[0]


# -- meters that do not come back -------------------------------------------------------------------------------------


def test_a_stuck_meter_delays_no_other_and_is_missing_just_as_long(
    clock: OwnedClock, caplog: pytest.LogCaptureFixture
) -> None:
    stuck, good = Counter(clock, 100.0), Counter(clock, 50.0, ("gpu:B",))
    sampler = sampler_of(clock, stuck, good)
    pass_time(sampler, clock, 1)
    sticking = Sticking(sampler, stuck)
    sticking.begin()
    clock.advance(0.25)
    assert not sampler.overdue(S // 2)
    clock.advance(0.25)
    assert sampler.overdue(S // 2)
    assert not sampler.overdue(S // 2)  # once is enough
    pass_time(sampler, clock, 2.5)
    assert stuck.reads == 22
    sticking.release()
    assert sticking.ended.is_set()
    pass_time(sampler, clock, 1)
    end(sampler, clock)
    assert joules(sampler) == pytest.approx(500)
    assert joules(sampler, "gpu:B") == pytest.approx(250)
    assert gaps(sampler) == [("stuck", 1.0, 4.05, True)]
    assert gaps(sampler, "gpu:B") == []
    assert [record.message for record in caplog.records] == [
        "meter meter-0 takes longer than 0.5 s; its channels are missing until it returns"
    ]


def test_a_meter_that_never_comes_back_is_missing_to_the_end(clock: OwnedClock) -> None:
    stuck = Counter(clock, 100.0)
    sampler = sampler_of(clock, stuck)
    pass_time(sampler, clock, 1)
    sticking = Sticking(sampler, stuck)
    sticking.begin()
    clock.advance(1)
    assert sampler.overdue(S)
    pass_time(sampler, clock, 2)
    end(sampler, clock)
    assert gaps(sampler) == [("stuck", 1.0, 4.0, False)]
    assert stuck.closed == 0  # nobody closes a descriptor under a reader
    sticking.release()


def test_a_meter_that_comes_back_broken_is_missing_from_then_on(clock: OwnedClock) -> None:
    stuck = Counter(clock, 100.0)
    sampler = sampler_of(clock, stuck)
    sticking = Sticking(sampler, stuck)
    block = stuck.before_read
    stuck.before_read = lambda: (block(), fail())
    sticking.begin()
    clock.advance(1)
    assert sampler.overdue(S)
    sticking.release()
    pass_time(sampler, clock, 1)
    end(sampler, clock)
    assert gaps(sampler)[-1][1:] == (0.0, 2.0, False)
    assert sum("failed" in text for text in texts(sampler)) == 1


# -- opening ----------------------------------------------------------------------------------------------------------

Offer = Callable[..., None]


@pytest.fixture
def offer(monkeypatch: pytest.MonkeyPatch) -> Offer:
    """Puts meters on offer, as installed plugins would be."""

    def install(**classes: Any) -> None:
        monkeypatch.setattr(sampling, "find_others", lambda *_: list(classes.items()))

    return install


def opening_as(meter: Meter, before: Callable[[], Any] = lambda: None) -> Any:
    class Slow(Counter):
        @classmethod
        def open(cls, settings: Settings) -> Meter:
            before()
            return meter

    return Slow


def test_a_counter_takes_the_place_of_a_model_early_in_a_run(clock: OwnedClock, offer: Offer) -> None:
    model, counter = ModelCounter(clock, 7.0, ("cpu:model",)), Counter(clock, 100.0, ("cpu:package-0",))
    offer(real=opening_as(counter))
    sampler = sampler_of(clock, model)
    assert [log.channel.id for log in sampler.channels()] == ["cpu:package-0"]
    assert (model.closed, counter.closed) == (1, 0)
    pass_time(sampler, clock, 1)
    end(sampler, clock)
    assert joules(sampler, "cpu:package-0") == pytest.approx(100)
    assert texts(sampler) == []


def test_a_counter_that_comes_after_the_first_write_is_not_used_and_says_so(clock: OwnedClock) -> None:
    model, counter = ModelCounter(clock, 7.0, ("cpu:model",)), Counter(clock, 100.0, ("cpu:package-0",))
    sampler = sampler_of(clock, model)
    sampler.fix()
    sampler.take(Opened("rapl", counter))
    assert [log.channel.id for log in sampler.channels()] == ["cpu:model"]
    assert texts(sampler) == ["meter rapl came too late to take the place of meter-0; it is not used"]
    assert counter.closed == 1


def test_a_model_of_what_is_counted_is_not_used(clock: OwnedClock) -> None:
    model = ModelCounter(clock, 7.0, ("cpu:model",))
    sampler = sampler_of(clock, Counter(clock, 100.0, ("cpu:package-0",)), model)
    assert [log.channel.id for log in sampler.channels()] == ["cpu:package-0"]
    assert model.closed == 1


class SecondWay(Counter):
    fallback: ClassVar[int] = 1


class LastResort(Counter):
    fallback: ClassVar[int] = 2


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_of_several_fallbacks_the_nearest_to_a_counter_is_used_in_whatever_order_they_come(
    clock: OwnedClock, order: tuple[int, ...]
) -> None:
    kinds = (Counter, SecondWay, LastResort)
    meters = [kind(clock, 100.0, (f"cpu:{kind.__name__}",)) for kind in kinds]
    sampler = sampler_of(clock, *(meters[number] for number in order))
    assert [log.channel.id for log in sampler.channels()] == ["cpu:Counter"]
    assert [meter.closed for meter in meters] == [0, 1, 1]
    fewer = sampler_of(clock, *(meters[number] for number in order if number))
    assert [log.channel.id for log in fewer.channels()] == ["cpu:SecondWay"]


def test_a_fallback_that_counts_something_else_too_is_not_used_beside_a_counter(clock: OwnedClock) -> None:
    both = SecondWay(clock, 100.0, ("cpu:other", "dram:other"))
    sampler = sampler_of(clock, Counter(clock, 100.0, ("cpu:package-0",)), both)
    assert [log.channel.id for log in sampler.channels()] == ["cpu:package-0"]
    assert both.closed == 1


def test_a_channel_that_two_meters_count_is_counted_once(clock: OwnedClock) -> None:
    second = Counter(clock, 100.0)
    sampler = sampler_of(clock, Counter(clock, 100.0), second)
    pass_time(sampler, clock, 1)
    end(sampler, clock)
    assert len(sampler.channels()) == 1
    assert joules(sampler) == pytest.approx(100)
    assert second.closed == 1
    assert "counts a channel that another meter counts" in texts(sampler)[0]


def test_what_cannot_be_opened_is_noted_and_only_what_a_user_can_mend_is_said(
    clock: OwnedClock, offer: Offer, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(error: BaseException) -> Callable[[], None]:
        def raising() -> None:
            raise error

        return raising

    counter = Counter(clock, 100.0)
    offer(
        absent=opening_as(counter, refuse(Absent("no such bus"))),
        denied=opening_as(counter, refuse(Denied("ask root: chmod"))),
        misread=opening_as(counter, refuse(ConfigError("option unit: one of W, J is needed"))),
        smaller=opening_as(counter, refuse(MissingExtra("pip install it"))),
        broken=opening_as(counter, refuse(RuntimeError("driver"))),
        leaving=opening_as(counter, refuse(SystemExit(1))),
        good=opening_as(counter),
    )
    sampler = sampler_of(clock)
    assert sampler.ready
    assert texts(sampler) == [
        "absent: no such bus",
        "denied: ask root: chmod",
        "misread: option unit: one of W, J is needed",
        "smaller: pip install it",
        "broken: failed to open: RuntimeError('driver')",
        "leaving: failed to open: SystemExit(1)",
    ]
    assert [record.message for record in caplog.records] == texts(sampler)[1:]
    assert len(sampler.channels()) == 1


def test_a_meter_that_opens_slowly_delays_no_other_and_is_put_to_work_when_it_is_there(
    clock: OwnedClock, offer: Offer, caplog: pytest.LogCaptureFixture
) -> None:
    inside, release, superseded = threading.Event(), threading.Event(), threading.Event()
    slow, next_one = Counter(clock, 100.0), Counter(clock, 20.0, ("gpu:C",))
    offer(slow=opening_as(slow, lambda: (inside.set(), release.wait(30))), other=opening_as(next_one))
    good = Counter(clock, 50.0, ("gpu:B",))
    sampler = Sampler(NOTHING, clock, Cohort("run-1"), clock.monotonic_ns())
    sampler.take(Opened("good", good))

    def sample() -> None:
        with pytest.raises(Superseded):
            sampler.tick()
        superseded.set()

    thread = threading.Thread(target=sample)
    thread.start()
    assert inside.wait(30)
    clock.advance(1)
    assert sampler.overdue(S)
    pass_time(sampler, clock, 1)
    assert [log.channel.id for log in sampler.channels()] == ["gpu:B", "gpu:C"]
    release.set()
    thread.join()
    assert superseded.is_set()
    pass_time(sampler, clock, 1)
    end(sampler, clock)
    assert joules(sampler) == pytest.approx(95)
    assert gaps(sampler) == [("start", 0.0, 2.05, False)]
    assert joules(sampler, "gpu:C") == pytest.approx(20 * 1.95)
    assert caplog.records == []  # a driver may take its time; the report says what it cost


@pytest.mark.parametrize(("found", "used"), [("abc", "a"), ("bc", "b"), ("c", "c")])
def test_the_quick_meters_give_way_to_each_other_before_a_run_starts(
    clock: OwnedClock, monkeypatch: pytest.MonkeyPatch, found: str, used: str
) -> None:
    meters: dict[str, Counter] = {}
    classes = {"a": Counter, "b": SecondWay, "c": LastResort}

    def quick(name: str) -> Any:
        meters[name] = classes[name](clock, 100.0, (f"cpu:{name}",))
        opens = classmethod(lambda cls, settings: meters[name])
        return type(name, (classes[name],), {"instant": True, "open": opens})

    monkeypatch.setattr(opening, "QUICK", tuple(found[::-1]))
    monkeypatch.setattr(opening.registry, "load", lambda group, name: quick(name))
    opened = opening.open_quick(Settings(), lambda *note: None)
    assert [meter.name for meter in opened] == [used]
    assert sorted(name for name, meter in meters.items() if meter.closed) == sorted(set(found) - {used})


def test_the_quick_meters_may_be_read_in_the_callers_thread() -> None:
    assert all(opening.registry.load(opening.registry.METERS, name).instant for name in opening.QUICK)


def test_an_unknown_meter_is_told_once_and_the_quick_ones_are_not_tried_twice(caplog: pytest.LogCaptureFixture) -> None:
    said: list[tuple[str, str]] = []
    settings = Settings(meters=("cpu_model", "nope", "nope"))
    opened = opening.open_quick(settings, lambda *note: said.append(note))
    assert [meter.name for meter in opened] == ["cpu_model"]
    assert opening.find_others(settings, lambda *note: said.append(note)) == []
    assert [kind for kind, _ in said] == ["meter"]
    assert "'nope'" in said[0][1]
    opened[0].meter.close()


# -- clocks -----------------------------------------------------------------------------------------------------------


def test_a_suspend_is_a_gap_and_no_time_of_the_run(clock: OwnedClock) -> None:
    sampler = sampler_of(clock, Counter(clock, 100.0))
    pass_time(sampler, clock, 3)
    clock.suspend(3600)
    pass_time(sampler, clock, 3)
    end(sampler, clock)
    (gap,) = sampler.gaps
    assert isinstance(gap, Gap)
    assert (gap.channel, gap.why, gap.slept_ns, gap.energy_known) == ("", "suspend", 3600 * S, True)
    assert gap.start_ns <= 103 * S <= gap.end_ns <= gap.start_ns + 1.1 * S
    assert joules(sampler) == pytest.approx(600)
    assert texts(sampler) == ["the machine was suspended for 3600.0 s"]
    before, after = sampler.jumps
    assert (before.mono_ns, after.mono_ns) == (gap.start_ns, gap.end_ns)


@pytest.mark.parametrize("by_s", [7200.0, -7200.0])
def test_a_clock_that_is_set_is_noted_and_touches_no_duration(clock: OwnedClock, by_s: float) -> None:
    sampler = sampler_of(clock, Counter(clock, 100.0))
    pass_time(sampler, clock, 3)
    clock.set_wall(by_s)
    pass_time(sampler, clock, 3)
    end(sampler, clock)
    assert sampler.gaps == []
    assert joules(sampler) == pytest.approx(600)
    assert texts(sampler) == [f"the wall clock was set by {by_s:+.1f} s"]
    assert len(sampler.jumps) == 2


def test_a_clock_that_is_slewed_is_no_news(clock: OwnedClock) -> None:
    sampler = sampler_of(clock, Counter(clock))
    for _ in range(100):
        clock.set_wall(0.0005)
        pass_time(sampler, clock, 1, step_s=1)
    assert (sampler.gaps, sampler.notes, sampler.jumps) == ([], [], [])


# -- marks ------------------------------------------------------------------------------------------------------------


def test_phases_share_a_counters_joules_by_time(clock: OwnedClock) -> None:
    sampler = sampler_of(clock, Counter(clock, 100.0))
    for _ in range(10):
        for phase, seconds in (("forward", 0.3), ("backward", 0.6), ("other", 0.1)):
            sampler.phases_used = True
            sampler.marks.append((clock.monotonic_ns(), phase))
            pass_time(sampler, clock, seconds, step_s=0.1)
    end(sampler, clock)
    (log,) = sampler.channels()
    split = {name: curve.tip[1] for name, curve in log.phases.items() if curve.tip}
    assert split == {"other": pytest.approx(100), "forward": pytest.approx(300), "backward": pytest.approx(600)}
    assert sum(split.values()) == pytest.approx(joules(sampler), rel=1e-9)


def test_marks_that_nobody_takes_do_not_fill_the_memory(clock: OwnedClock) -> None:
    sampler = sampler_of(clock, Counter(clock))
    for _ in range(MOST_MARKS + 10):
        sampler.marks.append((clock.monotonic_ns(), None))
    assert len(sampler.marks) == MOST_MARKS


def test_what_a_meter_finds_out_of_a_channel_is_recorded_and_said_once(clock: OwnedClock) -> None:
    meter = Counter(clock)
    sampler = sampler_of(clock, meter)
    meter.channels = [replace(meter.channels[0], how="a counter that is far too low", gain_high=2.0)]
    pass_time(sampler, clock, 1)
    assert texts(sampler) == ["gpu:A: a counter that is far too low"]
    assert sampler.channels()[0].described.gain_high == 2.0


# -- shared devices -----------------------------------------------------------------------------------------------


class SharedCounter(Counter):
    """A device that tells what part of it these processes used."""

    def __init__(self, clock: OwnedClock, part: Any) -> None:
        super().__init__(clock, 100.0, share="process")
        self.part = part
        self.asked_of: list[Any] = []

    def shares(self, pids: Any) -> Any:
        self.asked_of.append(pids)
        if isinstance(self.part, Exception):
            raise self.part
        return [self.part]


@pytest.mark.parametrize(("part", "expected"), [(0.25, 250.0), (0.0, 0.0), (1.0, 1000.0), (1.7, 1000.0), (-1, 0.0)])
def test_a_device_is_shared_by_what_its_meter_says_of_this_runs_processes(
    clock: OwnedClock, part: float, expected: float
) -> None:
    meter = SharedCounter(clock, part)
    sampler = sampler_of(clock, meter)
    pass_time(sampler, clock, 10)
    end(sampler, clock)
    assert joules(sampler) == pytest.approx(expected)
    assert os.getpid() in meter.asked_of[-1]


def test_a_meter_that_cannot_tell_processes_apart_counts_everything_and_says_so_once(clock: OwnedClock) -> None:
    sampler = sampler_of(clock, SharedCounter(clock, RuntimeError("not on this card")))
    pass_time(sampler, clock, 10)
    end(sampler, clock)
    assert joules(sampler) == pytest.approx(1000.0)
    (text,) = [text for text in texts(sampler) if "tell processes apart" in text]
    assert "not on this card" in text
    assert sampler.channels()[0].described.share == "undivided"
