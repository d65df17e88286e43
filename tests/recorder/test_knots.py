from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from joulegram.curves.door import GrowingCurve
from joulegram.ledger.journal import content_of
from joulegram.recorder.knots import LAG_NS, new_knots
from joulegram.records import Anchor, Header, Knots
from joulegram.units import NS_PER_S

START_NS = 7 * NS_PER_S
STEP_NS = NS_PER_S // 4
EPSILON = 5.0

HEADER = Header("r", "r", None, "train", None, "host", "boot", 1, "1", 0, START_NS, Anchor(START_NS, None, START_NS))

rises = st.one_of(st.just(1.0), st.floats(0, 30))
# For each flush the rises of two curves since the flush before; a curve without any stands still.
flushes = st.lists(st.tuples(st.lists(rises, max_size=12), st.lists(rises, max_size=12)), min_size=1, max_size=12)


def grow(curve: GrowingCurve, samples: list[float]) -> None:
    for rise in samples:
        assert curve.tip is not None
        time_ns, value = curve.tip
        curve.add(time_ns + STEP_NS, value + rise, EPSILON)


def begun() -> GrowingCurve:
    curve = GrowingCurve()
    curve.add(START_NS, 0.0, 0.0)
    return curve


@given(flushes)
def test_a_reader_of_all_lines_follows_every_curve_up_to_its_end(
    grown: list[tuple[list[float], ...]],
) -> None:
    curves = {"a": begun(), "b": begun()}
    samples: dict[str, list[tuple[int, float]]] = {"a": [], "b": []}
    lines: list[Knots] = []
    for batch in grown:
        for (name, curve), rises_since in zip(curves.items(), batch, strict=True):
            for rise in rises_since:
                grow(curve, [rise])
                assert curve.tip is not None
                samples[name].append(curve.tip)
        lines.append(new_knots(START_NS, curves.items()))
        content = content_of([HEADER, *lines])
        assert content is not None
        newest_ns = max(curve.tip[0] for curve in curves.values() if curve.tip)
        for name, curve in curves.items():
            read = content.curves[name]
            assert curve.tip is not None
            assert read.end_ns <= curve.tip[0], "never further than it was seen to go"
            assert read.end_ns >= min(curve.tip[0], newest_ns - LAG_NS)
            assert np.all(np.diff(read.values) >= 0)
            known = [(time_ns, value) for time_ns, value in samples[name] if time_ns <= read.end_ns]
            if known:
                times_ns, values = zip(*known, strict=True)
                errors = np.abs(read.at(times_ns) - values)
                assert np.all(errors <= 2 * EPSILON + 1e-9), "ε of the piece, and ε of its end"
                assert read.end_ns < curve.tip[0] or errors[-1] <= EPSILON + 1e-9


def test_curves_that_go_on_straight_need_no_words() -> None:
    curve = begun()
    grow(curve, [1.0] * 8)
    first = new_knots(START_NS, [("a", curve)])
    grow(curve, [1.0] * 8)
    later = new_knots(START_NS, [("a", curve)])
    assert first.tips == {"a": (8 * STEP_NS, 8.0)}
    assert (later.curves, later.tips, later.until_ns) == ({}, {}, 16 * STEP_NS)


def test_a_curve_that_stopped_does_not_go_on() -> None:
    stopped, other = begun(), begun()
    lines = []
    for _ in range(3):
        grow(stopped, [1.0] * 2)
        grow(other, [1.0] * 2)
        lines.append(new_knots(START_NS, [("stopped", stopped), ("other", other)]))
    for _ in range(40):
        grow(other, [1.0])
        lines.append(new_knots(START_NS, [("stopped", stopped), ("other", other)]))
    content = content_of([HEADER, *lines])
    assert content is not None
    assert content.curves["stopped"].end_ns == START_NS + 6 * STEP_NS
    assert content.curves["other"].end_ns == START_NS + 46 * STEP_NS
    assert content.curves["stopped"].total == 6.0
