"""What a recorder promises: it takes spans from any thread, hands records over, and never gets in the way."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from worlds import (
    NOTHING,
    Counter,
    InstantCounter,
    Kept,
    ModelCounter,
    OwnedClock,
    StillRecorder,
    price,
    recorder,
    until,
)

from joulegram.curves.trace import together
from joulegram.host.clock import Clock
from joulegram.ledger.journal import JournalContent, content_of
from joulegram.pricing import Footprint, Pricer
from joulegram.recorder import recorder as recording
from joulegram.recorder.opening import Opened
from joulegram.recorder.recorder import Recorder
from joulegram.records import Channel, End, Gap, Hardware, Header, Heartbeat, Knots, Note, SpanRecord
from joulegram.units import NS_PER_S

S = NS_PER_S


@pytest.fixture
def clock() -> OwnedClock:
    return OwnedClock()


@pytest.fixture
def sink() -> Kept:
    return Kept()


def content(sink: Kept) -> JournalContent:
    """What a reader makes of what the sink was given."""
    found = content_of(sink.records)
    assert found is not None
    return found


def cost(made: StillRecorder, start_s: float, end_s: float) -> Footprint:
    """The footprint of a stretch of time, in seconds since the start."""
    start_ns = made.header.start_ns
    pricer = Pricer(together([made.trace(made.clock.monotonic_ns())]), price())
    return pricer.footprint(start_ns + round(start_s * S), start_ns + round(end_s * S))


# -- spans ------------------------------------------------------------------------------------------------------------


def test_a_span_costs_what_the_counter_rose_between_its_edges(clock: OwnedClock, sink: Kept) -> None:
    counter = InstantCounter(clock, 100.0)
    made = recorder(clock, sink, counter)
    made.run_for(1)
    first = made.begin("first")
    made.run_for(2)
    counter.draw(400.0)
    second = made.begin("second")
    made.run_for(0.5)
    made.finish(first)
    made.run_for(1)
    made.finish(second)
    made.run_for(1)
    made.stop()
    assert cost(made, 1, 3.5).energy_j.value == pytest.approx(2 * 100 + 0.5 * 400, rel=1e-9)
    assert cost(made, 3, 4.5).energy_j.value == pytest.approx(1.5 * 400, rel=1e-9)
    kept = content(sink)
    assert {span.name: (span.start_ns / S - 100, span.end_ns and span.end_ns / S - 100) for span in kept.spans} == {
        "first": (1.0, 3.5),
        "second": (3.0, 4.5),
    }


def test_the_edges_of_spans_are_knots_however_smooth_the_power(clock: OwnedClock, sink: Kept) -> None:
    made = recorder(clock, sink, InstantCounter(clock, 100.0))
    made.run_for(20)
    span = made.begin("middle")
    made.run_for(20)
    made.finish(span)
    made.run_for(20)
    made.stop()
    times = content(sink).curves["run gpu:A"].times_ns
    assert len(times) < 12  # of 1,200 samples
    assert {120 * S, 140 * S} <= set(times.tolist())


def test_what_tiles_a_run_adds_up_to_it_live_and_written(clock: OwnedClock, sink: Kept) -> None:
    counter = Counter(clock, 100.0)
    made = recorder(clock, sink, counter)
    rng = np.random.default_rng(3)
    edges = [0.0]
    for _ in range(30):
        span = made.begin(f"part-{len(edges)}")
        counter.draw(float(rng.uniform(0, 500)))
        made.run_for(float(rng.uniform(0.1, 1.0)), step_s=0.03)
        made.finish(span)
        edges.append((clock.monotonic_ns() - made.header.start_ns) / S)
    made.stop()
    whole = cost(made, 0, edges[-1]).energy_j.value
    parts = [cost(made, a, b).energy_j.value or 0.0 for a, b in pairwise(edges)]
    assert sum(parts) == pytest.approx(whole, rel=1e-9)
    assert whole == pytest.approx(counter.joules() - 1000, rel=1e-9)
    curve = content(sink).curves["run gpu:A"]
    at = [made.header.start_ns + round(edge * S) for edge in edges]
    assert np.diff(curve.at(at)) == pytest.approx(parts, rel=1e-9)


def test_spans_that_close_in_other_threads_are_all_kept(sink: Kept) -> None:
    made = recorder(OwnedClock(), sink, Counter(OwnedClock()))
    spans = [made.begin(f"span-{n}") for n in range(400)]
    flushing = threading.Event()

    def keep_flushing() -> None:
        while not flushing.is_set():
            made.flush()

    keeper = threading.Thread(target=keep_flushing)
    keeper.start()
    closers = [threading.Thread(target=lambda part=part: [made.finish(s) for s in spans[part::4]]) for part in range(4)]
    for thread in closers:
        thread.start()
    for thread in closers:
        thread.join()
    flushing.set()
    keeper.join()
    made.stop()
    kept = content(sink).spans
    assert {span.name for span in kept} == {span.name for span in spans}
    assert all(span.end_ns is not None for span in kept)


def test_a_span_still_open_is_told_once_and_again_when_it_changes(clock: OwnedClock, sink: Kept) -> None:
    made = recorder(clock, sink, Counter(clock))
    span = made.begin("long")
    for _ in range(5):
        made.run_for(1)
        made.flush()
    assert len(sink.of(SpanRecord)) == 1
    made.finish(span)
    made.flush()
    assert [record.end_ns for record in sink.of(SpanRecord)] == [None, 105 * S]


# -- what is written --------------------------------------------------------------------------------------------------


def test_every_flush_ends_with_a_sign_of_life_and_a_recording_with_its_end(clock: OwnedClock, sink: Kept) -> None:
    made = recorder(clock, sink, Counter(clock))
    made.run_for(1)
    made.flush()
    assert isinstance(sink.records[0], Header)
    assert isinstance(sink.records[-1], Heartbeat)
    made.run_for(1)
    made.stop("failed")
    (end,) = sink.of(End)
    assert sink.records[-1] is end
    assert (end.status, end.end_ns) == ("failed", 102 * S)


def test_what_the_sink_cannot_take_is_offered_again_whole_and_said_once(
    clock: OwnedClock, sink: Kept, caplog: pytest.LogCaptureFixture
) -> None:
    made = recorder(clock, sink, Counter(clock, 100.0))
    made.run_for(1)
    made.flush()
    before = len(sink.records)
    sink.error = OSError(28, "No space left on device")
    for n in range(3):
        made.finish(made.begin(f"epoch-{n}"))
        made.run_for(5)
        made.flush()
    assert len(sink.records) == before
    sink.error = None
    made.run_for(1)
    made.stop()
    kept = content(sink)
    assert [span.name for span in kept.spans] == ["epoch-0", "epoch-1", "epoch-2"]
    assert kept.curves["run gpu:A"].over([100 * S], [117 * S])[0] == pytest.approx(1700, rel=1e-9)
    assert len(sink.of(Header)) == len(sink.of(Channel)) == 1
    assert caplog.text.count("records are kept in memory") == 1
    assert [note.kind for note in kept.notes] == ["ledger"]


def test_a_sink_that_breaks_in_its_own_way_stops_nothing(clock: OwnedClock, sink: Kept) -> None:
    made = recorder(clock, sink, Counter(clock))
    sink.error = RuntimeError("a bug of ours")
    made.run_for(1)
    made.flush()
    sink.error = None
    made.run_for(1)
    made.stop()
    assert content(sink).end is not None


def test_a_disk_that_never_comes_back_is_said_at_the_end(
    clock: OwnedClock, sink: Kept, caplog: pytest.LogCaptureFixture
) -> None:
    made = recorder(clock, sink, Counter(clock))
    sink.error = OSError(5, "Input/output error")
    made.run_for(1)
    made.stop()
    assert "what run run-1 kept in memory is lost" in caplog.text


def test_a_journal_that_somebody_removed_is_begun_again_from_memory(clock: OwnedClock, sink: Kept) -> None:
    counter = Counter(clock, 100.0)
    made = recorder(clock, sink, counter)
    made.say(price())
    made.phase(clock.monotonic_ns(), "forward")
    open_one = made.begin("open")
    made.finish(made.begin("ended before"))
    made.run_for(3)
    made.flush()
    clock.suspend(60)
    made.run_for(2)
    made.flush()
    sink.error = OSError("gone")
    made.finish(made.begin("ended meanwhile"))
    made.run_for(2)
    made.flush()
    sink.error, sink.gone = None, True
    made.run_for(2)
    made.flush()
    made.finish(open_one)
    made.run_for(1)
    made.stop()
    kept = content(sink)
    assert isinstance(sink.records[0], Header)
    assert kept.curves["run gpu:A"].over([100 * S], [110 * S])[0] == pytest.approx(1000, rel=1e-9)
    assert kept.curves["phase forward gpu:A"].total == pytest.approx(1000, rel=1e-9)
    assert [span.name for span in kept.spans] == ["open", "ended meanwhile"]
    assert kept.book == price()
    assert [gap.why for gap in kept.gaps] == ["suspend"]
    assert any("removed" in note.text for note in kept.notes)
    assert np.all(np.diff(kept.curves["run gpu:A"].times_ns) > 0)


def test_nothing_is_written_while_a_counter_may_still_take_a_models_place(clock: OwnedClock, sink: Kept) -> None:
    made = recorder(clock, sink, ModelCounter(clock, 7.0, ("cpu:model",)))
    made.run_for(0.5)
    made.sampler.take(Opened("rapl", Counter(clock, 100.0, ("cpu:package-0",))))
    made.run_for(0.5)
    made.flush()
    made.sampler.take(Opened("late", Counter(clock, 100.0, ("cpu:package-0",))))
    made.stop()
    assert [record.id for record in sink.of(Channel)] == ["cpu:package-0"]
    assert {name for knots in sink.of(Knots) for name in knots.curves if "cpu" in name} == {
        "node cpu:package-0",
        "run cpu:package-0",
    }


def test_the_recorders_own_cost_is_kept() -> None:
    sink = Kept()
    header = recorder(OwnedClock(), Kept()).header
    clock = Clock()
    made = Recorder(header, NOTHING, sink, clock, [Opened("counter", Counter(OwnedClock()))])
    until(lambda: made.cost[0] > 0 and made.cost[1] > 3, "cost")
    made.settle("finished", clock.monotonic_ns())
    made.close(None, None, {})
    (end,) = sink.of(End)
    assert end.recorder_cpu_s > 0
    assert end.recorder_wakeups > 3


# -- clocks -----------------------------------------------------------------------------------------------------------


def test_time_asleep_is_not_covered_and_costs_no_duration(clock: OwnedClock, sink: Kept) -> None:
    made = recorder(clock, sink, Counter(clock, 100.0))
    made.run_for(10)
    clock.suspend(40)
    made.run_for(10)
    made.stop()
    footprint = cost(made, 0, 20)
    assert footprint.duration_s == 20
    assert footprint.energy_j.value == pytest.approx(2000)
    assert 1 / 3 - 0.05 < footprint.coverage <= 20 / 60
    kept = content(sink)
    assert sum(gap.slept_ns for gap in kept.gaps) == 40 * S


@pytest.mark.parametrize("awake_s", [0.2, 3.0])
def test_a_suspend_just_before_the_end_counts_too(clock: OwnedClock, sink: Kept, awake_s: float) -> None:
    made = recorder(clock, sink, Counter(clock, 100.0))
    made.run_for(10)
    made.flush()
    clock.suspend(90)
    made.run_for(awake_s)
    made.stop()
    assert cost(made, 0, 10 + awake_s).coverage <= 10 / 100 + 0.05


def test_grid_intensity_follows_the_wall_clock_over_a_suspend(clock: OwnedClock, sink: Kept) -> None:
    made = recorder(clock, sink, Counter(clock, 100.0))
    made.run_for(10)
    clock.suspend(3600)
    made.run_for(10)
    made.stop()
    trace = together([made.trace(clock.monotonic_ns())])
    start_s = 1.8e9
    assert trace.timeline.wall_s([100 * S, 120 * S]) == pytest.approx([start_s, start_s + 3620], abs=1.1)


# -- live figures -----------------------------------------------------------------------------------------------------


def test_figures_are_provisional_until_the_counter_has_passed(clock: OwnedClock, sink: Kept) -> None:
    made = recorder(clock, sink, Counter(clock, 100.0))
    made.run_for(1)
    clock.advance(0.01)
    assert not cost(made, 0, 1.01).settled
    made.run_for(1.5)
    assert cost(made, 0, 1.01).settled


def test_a_look_at_live_figures_never_fails_while_phases_come_and_go() -> None:
    clock, sink = OwnedClock(), Kept()
    made = recorder(clock, sink, Counter(clock, 100.0))
    failures: list[BaseException] = []
    done = threading.Event()

    def watch() -> None:
        try:
            while not done.is_set():
                made.trace(clock.monotonic_ns())
        except BaseException as error:
            failures.append(error)

    watcher = threading.Thread(target=watch)
    watcher.start()
    for n in range(300):
        made.phase(clock.monotonic_ns(), f"phase-{n}")
        made.run_for(0.1)
    done.set()
    watcher.join()
    assert failures == []


# -- threads ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def running() -> Iterator[Any]:
    """Recorders with threads of their own, ended after the test."""
    made: list[Recorder] = []

    def begin(sink: Kept, *meters: Any) -> Recorder:
        header = recorder(OwnedClock(), Kept()).header
        clock = Clock()
        anchor = clock.anchor()
        own = replace(header, start_ns=anchor.mono_ns, anchor=anchor)
        made.append(Recorder(own, NOTHING, sink, clock, [Opened(f"m{n}", meter) for n, meter in enumerate(meters)]))
        return made[-1]

    yield begin
    for one in made:
        end(one)


def end(made: Recorder) -> None:
    made.settle("finished", made.clock.monotonic_ns())
    made.close(None, None, {})


def test_the_keeper_hands_sampling_over_and_the_meter_returns(running: Any) -> None:
    sink, owned = Kept(), OwnedClock()
    stuck, good = Counter(owned, names=("gpu:S",)), Counter(owned, names=("gpu:G",))
    release, inside = threading.Event(), threading.Event()
    made = running(sink, stuck, good)
    until(lambda: stuck.reads > 2, "first samples")
    stuck.before_read = lambda: (inside.set(), release.wait(60))
    assert inside.wait(30)
    before = good.reads
    until(lambda: good.reads > before + 5, "samples of the other meter")
    stuck.before_read = lambda: None
    while_stuck = stuck.reads
    release.set()
    until(lambda: stuck.reads > while_stuck + 3, "samples of the meter that came back")
    end(made)
    kept = content(sink)
    assert {gap.channel for gap in kept.gaps if gap.why == "stuck"} == {"gpu:S"}
    assert sum(note.kind == "meter" for note in kept.notes) == 1
    assert kept.end is not None
    assert kept.end.status == "finished"


def test_the_end_of_a_run_does_not_wait_for_a_stuck_meter(running: Any) -> None:
    sink, owned = Kept(), OwnedClock()
    stuck, good = Counter(owned, names=("gpu:S",)), Counter(owned, names=("gpu:G",))
    release, inside, ended = threading.Event(), threading.Event(), threading.Event()
    made = running(sink, stuck, good)
    until(lambda: stuck.reads > 2, "first samples")
    stuck.before_read = lambda: (inside.set(), release.wait(60))
    assert inside.wait(30)
    threading.Thread(target=lambda: (end(made), ended.set()), daemon=True).start()
    assert ended.wait(30)
    assert not release.is_set()
    release.set()
    kept = content(sink)
    assert kept.end is not None
    stuck_gaps = [gap for gap in kept.gaps if gap.why == "stuck"]
    assert [(gap.channel, gap.end_ns, gap.energy_known) for gap in stuck_gaps] == [("gpu:S", kept.end.end_ns, False)]
    assert not [gap for gap in kept.gaps if gap.channel == "gpu:G" and gap.why == "stuck"]


def test_the_end_of_a_run_waits_until_a_counter_that_lags_has_moved_past_it(
    running: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "EXIT_WAIT_S", 60)
    monkeypatch.setattr(recording, "SETTLE_WAIT_NS", 60 * NS_PER_S)
    sink, counter, ended = Kept(), Steps(), threading.Event()
    made = running(sink, counter)
    until(lambda: counter.reads > 2, "first samples")
    counter.steps_on = True
    until(lambda: made.trace(made.clock.monotonic_ns()).channels["alpha/gpu:A"].node.total > 0, "a refresh")
    counter.steps_on = False
    threading.Thread(target=lambda: (end(made), ended.set()), daemon=True).start()
    until(lambda: not made.alive, "the end")
    reads = counter.reads
    until(lambda: counter.reads > reads + 3, "readings after the end")
    assert not ended.is_set()
    counter.steps_on = True
    assert ended.wait(30)
    kept = content(sink)
    assert kept.end is not None
    channel = kept.channels["gpu:A"]
    assert kept.curves["node gpu:A"].end_ns - channel.slack_ns >= kept.end.end_ns


class Steps(Counter):
    """A counter that refreshes only while it is told to."""

    def __init__(self) -> None:
        super().__init__(OwnedClock(), lag_s=0.1)
        self.steps_on, self.shown_j = False, 1000.0

    def read(self) -> list[float]:
        self.reads += 1
        self.shown_j += 1.0 if self.steps_on else 0.0
        return [self.shown_j]


def test_the_end_of_a_run_does_not_wait_for_a_stuck_disk(running: Any) -> None:
    release, ended = threading.Event(), threading.Event()

    class Hanging(Kept):
        def write(self, records: Any) -> None:
            release.wait(60)

    made = running(Hanging(), Counter(OwnedClock()))
    threading.Thread(target=lambda: (end(made), ended.set()), daemon=True).start()
    assert ended.wait(30)
    assert not release.is_set()
    release.set()


def test_an_error_in_the_sampler_is_said_once_and_never_reaches_the_caller(
    running: Any, caplog: pytest.LogCaptureFixture
) -> None:
    sink = Kept()
    made = running(sink, Counter(OwnedClock()))
    until(lambda: made.cost[1] > 2, "samples")

    def explode(*_: Any, **__: Any) -> None:
        raise RuntimeError("a bug of ours")

    made._sampler._settle = explode
    made.edge(made.clock.monotonic_ns(), instantly=True)
    until(lambda: "sampling stopped" in caplog.text, "warning")
    for n in range(100):
        made.phase(made.clock.monotonic_ns(), f"phase-{n % 3}")
    end(made)
    assert caplog.text.count("sampling stopped") == 1
    assert content(sink).end is not None


def test_a_forks_child_lets_go_of_its_parents_recording(running: Any) -> None:
    sink = Kept()
    made = running(sink, Counter(OwnedClock()))
    until(lambda: made.cost[1] > 2, "samples")
    child = os.fork()
    if child == 0:  # nothing here may raise into pytest
        status = 1
        try:
            end(made)
            status = 0 if not made.alive and not sink.of(End) else 2
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert made.alive
    end(made)
    assert len(sink.of(End)) == 1


def test_gaps_and_notes_are_written_once(clock: OwnedClock, sink: Kept) -> None:
    made = recorder(clock, sink, Counter(clock))
    clock.advance(5)
    made.note("warning", "look here")
    for _ in range(4):
        made.run_for(1)
        made.flush()
    made.stop()
    assert [gap.why for gap in sink.of(Gap)] == ["late"]
    assert [note.text for note in sink.of(Note)] == ["look here"]


def test_the_machine_is_told_of_once_and_live_as_well_as_afterwards(clock: OwnedClock, sink: Kept) -> None:
    made = recorder(clock, sink, Counter(clock))
    made.run_for(2)
    made.flush()
    made.flush()
    (told,) = sink.of(Hardware)
    assert told.host == "alpha"
    assert made.trace(clock.monotonic_ns()).hardware == told == content(sink).hardware


def test_a_machine_that_cannot_be_told_of_is_noted_and_recorded_all_the_same(
    clock: OwnedClock, sink: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(host: str) -> Hardware:
        raise ZeroDivisionError(host)

    monkeypatch.setattr(recording, "hardware_of", broken)
    made = recorder(clock, sink, Counter(clock))
    made.run_for(1)
    made.flush()
    made.flush()
    assert sink.of(Hardware) == []
    assert [note.kind for note in sink.of(Note)] == ["hardware"]
    assert sink.of(Knots)
