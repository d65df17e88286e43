"""What the loop adds up is exact at every edge of a span, whoever looks and whenever."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds import InstantCounter, Kept, OwnedClock, StillRecorder, price, recorder

from joulegram.curves.trace import Trace, together
from joulegram.ledger.journal import content_of
from joulegram.ledger.stored import Recording
from joulegram.pricing import Pricer
from joulegram.quantities import Quantity
from joulegram.records import StepCount
from joulegram.units import NS_PER_S


def begun(**more: Any) -> tuple[StillRecorder, Kept]:
    clock, sink = OwnedClock(), Kept()
    return recorder(clock, sink, InstantCounter(clock, 100.0), **more), sink


def live(made: StillRecorder) -> Trace:
    return together([made.trace(made.clock.monotonic_ns())])


def written(sink: Kept) -> Trace:
    content = content_of(sink.records)
    assert content is not None
    return together([Recording(Path("unused"), content).trace()])


def flops(trace: Trace, span: Any) -> Quantity:
    return Pricer(trace, price()).footprint(span.start_ns, span.end_ns).flops


steps = st.lists(
    st.tuples(
        st.integers(1, 10**6),  # FLOPs of a step
        st.sampled_from([0.001, 0.02, 0.3, 1.5]),  # its length (s)
        st.booleans(),  # whether a span begins before it
        st.booleans(),  # whether the sampler gets to its turn after it
    ),
    min_size=1,
    max_size=40,
)


@given(steps)
def test_a_span_has_the_flops_of_its_own_steps_to_the_last_one_live_and_written(
    plan: list[tuple[int, float, bool, bool]],
) -> None:
    made, sink = begun()
    spans: list[tuple[Any, int]] = []
    span, own, total = made.begin("span"), 0, 0
    for amount, length_s, begins, sampled in plan:
        if begins:
            made.finish(span)
            spans.append((span, own))
            made.clock.advance(0.001)  # type: ignore[attr-defined]
            span, own = made.begin("span"), 0
        made.clock.advance(length_s)  # type: ignore[attr-defined]
        made.tally({"flops forward": float(amount)})
        own, total = own + amount, total + amount
        if sampled:
            made.run_for(0.05)
    made.clock.advance(0.001)  # type: ignore[attr-defined]
    made.finish(span)
    spans.append((span, own))
    trace = live(made)
    assert [flops(trace, span).value or 0 for span, _ in spans] == [own for _, own in spans]
    made.run_for(1)
    made.stop()
    trace = written(sink)
    assert [flops(trace, span).value or 0 for span, _ in spans] == [own for _, own in spans]
    whole = Pricer(trace, price()).footprint(trace.start_ns, trace.end_ns)
    assert whole.flops.value == total
    assert whole.flops.low == whole.flops.high == total


def test_an_even_loop_takes_few_words_in_the_journal() -> None:
    made, sink = begun()
    for _ in range(2000):
        made.clock.advance(0.01)  # type: ignore[attr-defined]
        made.tally({"flops forward": 1e9})
        made.run_for(0.05)
    made.stop()
    content = content_of(sink.records)
    assert content is not None
    assert len(content.curves["tally flops forward"]) < 30


def test_the_flops_of_all_ranks_add_up() -> None:
    clock = OwnedClock()
    ranks = [recorder(clock, Kept(), InstantCounter(clock), rank=rank, pid=rank + 1) for rank in range(3)]
    for rank, made in enumerate(ranks):
        made.tally({"flops forward": 10.0 ** (rank + 1)})
    clock.advance(1)
    trace = together([made.trace(clock.monotonic_ns()) for made in ranks])
    assert Pricer(trace, price()).footprint(trace.start_ns, trace.end_ns).flops.value == pytest.approx(1110)


def test_a_step_that_was_not_counted_leaves_no_upper_bound_and_says_why() -> None:
    made, _ = begun()
    made.say(StepCount("fit", "2×3 float32", None, "its shapes depend on values"))
    span = made.begin("span")
    made.clock.advance(1)  # type: ignore[attr-defined]
    made.tally({"flops forward": 500.0})
    made.tally({"steps_uncounted": 1.0})
    made.tally({"steps_uncounted": 1.0})
    made.finish(span)
    figure = flops(live(made), span)
    assert (figure.value, figure.low, figure.high) == (500, 500, None)
    assert figure.missing == ("2 steps that were not counted: its shapes depend on values",)


def test_where_no_step_was_counted_compute_is_missing_and_not_zero() -> None:
    made, _ = begun()
    made.say(StepCount("fit", "2×3 float32", None, "its shapes depend on values"))
    made.tally({"steps_uncounted": 1.0})
    made.clock.advance(1)  # type: ignore[attr-defined]
    trace = live(made)
    figure = Pricer(trace, price()).footprint(trace.start_ns, trace.end_ns).flops
    assert (figure.value, figure.how) == (None, "its shapes depend on values")


def test_an_operation_without_a_formula_makes_a_lower_bound_that_names_it() -> None:
    made, _ = begun()
    made.say(StepCount("fit", "2×3 float32", 500, "counted", {"mine::fused": 2}))
    made.tally({"flops forward": 500.0, "steps_opaque": 1.0})
    made.clock.advance(1)  # type: ignore[attr-defined]
    trace = live(made)
    figure = Pricer(trace, price()).footprint(trace.start_ns, trace.end_ns).flops
    assert (figure.low, figure.high) == (500, None)
    assert figure.missing == ("operations without a formula: mine::fused",)


def test_what_counting_took_is_in_no_figure_but_its_own() -> None:
    made, _ = begun()  # 100 W
    span = made.begin("epoch")
    made.run_for(4)
    made.say(StepCount("fit", "", 800, "counted", end_ns=made.clock.monotonic_ns() - NS_PER_S, overhead_s=0.5))
    made.tally({"flops forward": 800.0})
    made.finish(span)
    made.run_for(1)
    found = Pricer(live(made), price()).footprint(span.start_ns, span.end_ns or 0)
    assert found.energy_j.value == pytest.approx(400 - 50)
    assert found.overhead_j.value == pytest.approx(50)
    assert found.energy_j.low is not None
    assert found.energy_j.low <= 350 <= (found.energy_j.high or 0)
    assert found.carbon_g.value == pytest.approx(350 * 360 / 3.6e6)
    assert found.efficiency.flop_per_s.value == pytest.approx(800 / 3.5)
    assert found.efficiency.flop_per_j.value == pytest.approx(800 / 350)


@given(
    st.lists(st.tuples(st.floats(0.05, 3), st.floats(0, 4)), min_size=1, max_size=5),
    st.lists(st.floats(0.5, 9.5), max_size=4),
)
def test_spans_that_tile_a_run_add_up_to_it_whatever_was_counted_in_them(
    counted: list[tuple[float, float]], cuts: list[float]
) -> None:
    made, _ = begun()
    made.run_for(10)
    start_ns = made.header.start_ns
    for end_s, overhead_s in counted:
        end_ns = start_ns + round(end_s * 3 * NS_PER_S)
        made.say(StepCount("fit", "", 1, "counted", end_ns=end_ns, overhead_s=overhead_s))
    pricer = Pricer(live(made), price())
    edges = [start_ns, *(start_ns + round(cut * NS_PER_S) for cut in sorted(cuts)), start_ns + 10 * NS_PER_S]
    parts = [pricer.footprint(a, b) for a, b in pairwise(edges)]
    whole = pricer.footprint(edges[0], edges[-1])
    for name in ("energy_j", "overhead_j", "carbon_g"):
        assert sum(getattr(part, name).value for part in parts) == pytest.approx(getattr(whole, name).value, abs=1e-6)
    together_j = float(whole.energy_j) + float(whole.overhead_j)
    assert together_j == pytest.approx(1000, rel=1e-6)
