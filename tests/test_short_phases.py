"""Phases shorter than a counter's refresh, from a loop's marks to its figures: told apart where the counter can."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import MEASURED, Counter, Kept, OwnedClock, StillRecorder, journal, price, recorder

from joulegram.curves.trace import RecorderTrace, together
from joulegram.ledger.sealed import seal_journal
from joulegram.ledger.stored import read_run
from joulegram.pricing import Footprint, Pricer
from joulegram.records import IntensityPoint, PriceBook
from joulegram.units import NS_PER_S

S = NS_PER_S
TICK_S = 0.05
STEP = (("data", 0.010, 40.0), ("forward", 0.006, 150.0), ("backward", 0.012, 250.0))


class Loop:
    """Training steps of a few milliseconds each, on a processor whose power in each phase is known."""

    def __init__(self, sink: Any = None, **more: Any) -> None:
        self.clock = OwnedClock()
        self.counter = Counter(self.clock, 0.0, ("cpu:package-0",), **more)
        self.recorder: StillRecorder = recorder(self.clock, sink or Kept(), self.counter)
        self.start_ns = self.clock.monotonic_ns()
        self.true_j: dict[str, float] = {}
        self._next_ns = self.start_ns + round(TICK_S * S)

    def steps(self, count: int, vary: float = 0.3, seed: int = 1) -> None:
        chance = random.Random(seed)
        for _ in range(count):
            for phase, time_s, power_w in STEP:
                self.stay(phase, time_s * chance.uniform(1 - vary, 1 + vary), power_w)

    def stay(self, phase: str, time_s: float, power_w: float) -> None:
        """A visit to a phase."""
        self.recorder.phase(self.clock.monotonic_ns(), phase)
        self.counter.draw(power_w)
        end_ns = self.clock.monotonic_ns() + round(time_s * S)
        self.true_j[phase] = self.true_j.get(phase, 0.0) + power_w * round(time_s * S) / S
        while self._next_ns <= end_ns:
            self.clock.advance((self._next_ns - self.clock.monotonic_ns()) / S)
            self.recorder.sampler.tick(everything=True)
            self._next_ns += round(TICK_S * S)
        self.clock.advance((end_ns - self.clock.monotonic_ns()) / S)

    def end(self) -> int:
        """Ends the recording; when that was (ns)."""
        end_ns = self.clock.monotonic_ns()
        self.recorder.stop()
        return end_ns

    def footprint(self, end_ns: int, book: PriceBook | None = None) -> Footprint:
        return footprint(self.recorder.trace(end_ns), self.start_ns, end_ns, book)


def footprint(trace: RecorderTrace, start_ns: int, end_ns: int, book: PriceBook | None = None) -> Footprint:
    return Pricer(together([trace]), book or price()).footprint(start_ns, end_ns)


def is_told_apart(made: Footprint) -> bool:
    return all("least squares" in phase.energy_j.how for phase in made.phases.values() if phase.energy_j.value)


def test_steady_powers_are_found_although_no_interval_is_in_one_phase() -> None:
    loop = Loop()
    loop.steps(600)
    made = loop.footprint(loop.end())
    assert is_told_apart(made)
    for phase, true_j in loop.true_j.items():
        energy = made.phases[phase].energy_j
        assert energy.method == "modelled"
        assert energy.value == pytest.approx(true_j, rel=0.01)
        assert energy.low is not None
        assert energy.high is not None
        assert energy.low <= true_j <= energy.high
        assert energy.high - energy.low < 0.1 * true_j
    assert sum(float(phase.energy_j) for phase in made.phases.values()) == pytest.approx(float(made.energy_j))


@settings(max_examples=15, deadline=None)
@given(
    vary=st.floats(0.0, 0.5),
    waits=st.lists(st.floats(0.02, 1.0), max_size=20),
    seed=st.integers(0, 1000),
    epochs=st.integers(1, 3),
)
def test_phases_sum_to_the_span_in_joules_and_grams_and_their_bounds_hold_the_truth(
    vary: float, waits: list[float], seed: int, epochs: int
) -> None:
    loop = Loop()
    for epoch in range(epochs):
        span = loop.recorder.begin("epoch")
        loop.steps(200, vary, seed + epoch)
        for wait_s in waits:  # for data, at another power than usual
            loop.stay("data", wait_s, 20.0)
            loop.steps(3, vary, seed)
        loop.recorder.finish(span)
    end_ns = loop.end()
    hour_s = 1.8e9 // 3600 * 3600
    hours = [
        IntensityPoint(g, g, g, "ZZ", "a test", "measured", basis="lifecycle", start_s=start_s, length_s=length_s)
        for g, start_s, length_s in ((100.0, hour_s - 3600, 1.8e9 - hour_s + 3602), (900.0, 1.8e9 + 2, 3600.0))
    ]
    made = loop.footprint(end_ns, PriceBook(MEASURED, tuple(hours), "lifecycle"))
    phases = made.phases.values()
    assert sum(float(phase.energy_j) for phase in phases) == pytest.approx(float(made.energy_j), rel=1e-9)
    assert sum(float(phase.carbon_g) for phase in phases) == pytest.approx(float(made.carbon_g), rel=1e-6)
    for phase, true_j in loop.true_j.items():
        energy = made.phases[phase].energy_j
        assert (energy.low or 0.0) * (1 - 1e-9) <= true_j <= (energy.high or 0.0) * (1 + 1e-9)


def test_steps_that_are_all_alike_are_not_told_apart() -> None:
    loop = Loop()
    for _ in range(600):
        for phase, power_w in (("forward", 150.0), ("backward", 250.0)):
            loop.stay(phase, TICK_S / 2, power_w)
    made = loop.footprint(loop.end())
    for phase in ("forward", "backward"):
        energy = made.phases[phase].energy_j
        assert energy.how == "time-proportional within counter intervals"
        assert energy.low == 0


@pytest.mark.parametrize("more", [{"lag_s": 0.1}, {"delay_s": 0.01}], ids=["lags", "is late"])
def test_a_counter_of_which_nobody_knows_when_it_had_its_readings_tells_no_short_phases_apart(more: Any) -> None:
    loop = Loop(**more)
    loop.steps(600)
    assert not is_told_apart(loop.footprint(loop.end()))


def test_a_span_of_which_little_is_known_by_itself_borrows_no_powers_from_the_rest() -> None:
    loop = Loop()
    loop.steps(2000)
    end_ns = loop.end()
    trace = loop.recorder.trace(end_ns)
    assert is_told_apart(footprint(trace, loop.start_ns, end_ns))
    assert not is_told_apart(footprint(trace, loop.start_ns, loop.start_ns + 5 * S))


def test_epochs_are_told_apart_each_by_its_own_powers() -> None:
    loop = Loop()
    edges, true_j = [loop.start_ns], []
    for scale in (1.0, 2.0):
        before = dict(loop.true_j)
        span = loop.recorder.begin("epoch")
        chance = random.Random(1)
        for _ in range(600):
            for phase, time_s, power_w in STEP:
                drawn_w = power_w * scale if phase == "backward" else power_w
                loop.stay(phase, time_s * chance.uniform(0.7, 1.3), drawn_w)
        loop.recorder.finish(span)
        edges.append(loop.clock.monotonic_ns())
        true_j.append({phase: joules - before.get(phase, 0.0) for phase, joules in loop.true_j.items()})
    loop.steps(10)
    end_ns = loop.end()
    for start_ns, stop_ns, truth in zip(edges, edges[1:], true_j, strict=False):
        made = footprint(loop.recorder.trace(end_ns), start_ns, stop_ns)
        assert is_told_apart(made)
        for phase, joules in truth.items():
            energy = made.phases[phase].energy_j
            assert (energy.low or 0.0) <= joules <= (energy.high or 0.0)
            assert energy.value == pytest.approx(joules, rel=0.15)  # one interval is of both epochs


def test_live_stored_and_sealed_runs_tell_phases_apart_alike(tmp_path: Path) -> None:
    clock = OwnedClock()
    sink = journal(tmp_path, clock)
    loop = Loop(sink)
    loop.recorder.say(price())
    for _ in range(3):
        span = loop.recorder.begin("epoch")
        loop.steps(500)
        loop.recorder.finish(span)
        loop.recorder.flush()
    end_ns = loop.end()
    live = loop.footprint(end_ns)
    assert is_told_apart(live)

    def stored() -> Footprint:
        found = read_run(tmp_path / "run-1", clock)
        assert found is not None
        return footprint(found.root.trace(), loop.start_ns, end_ns)

    figures = [stored()]
    (path,) = (tmp_path / "run-1").glob("*.journal")
    assert seal_journal(path) is not None
    figures.append(stored())
    for made in figures:
        for phase, figure in live.phases.items():
            assert made.phases[phase].energy_j.value == pytest.approx(figure.energy_j.value, rel=1e-3)
            assert made.phases[phase].energy_j.how == figure.energy_j.how
