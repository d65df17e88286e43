from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from joulegram.curves.curve import Curve
from joulegram.curves.timeline import Timeline
from joulegram.curves.trace import ChannelTrace, RecorderTrace, Trace, channel_trace, counted, in_phase, together
from joulegram.records import Anchor, Channel, Gap, Header
from joulegram.units import NS_PER_S

S = NS_PER_S
EPOCH_NS = 1_750_000_000 * NS_PER_S

GPU = Channel("gpu:A", "gpu", "measured", "a counter")
CPU = Channel("cpu:package-0", "cpu", "measured", "a counter", share="cpu", idle_w=10.0)


def header(host: str = "a", boot: str = "1", pid: int = 1, start_ns: int = 0, wall_ns: int = EPOCH_NS) -> Header:
    anchor = Anchor(start_ns, None, wall_ns)
    return Header("r", "run", None, "train", None, host, boot, pid, "0", 0, start_ns, anchor)


def recorder(
    channel: Channel,
    node: Curve,
    run: Curve | None = None,
    *,
    phases: Mapping[str, Curve] | None = None,
    gaps: Sequence[Gap] = (),
    head: Header | None = None,
    start_ns: int | None = None,
    end_ns: int | None = None,
    anchors: Sequence[Anchor] = (),
) -> RecorderTrace:
    """A recorder of one channel, from its curve's first knot to its last unless told otherwise."""
    start_ns = node.start_ns if start_ns is None else start_ns
    end_ns = node.end_ns if end_ns is None else end_ns
    head = head or header()
    curves = {f"node {channel.id}": node, f"run {channel.id}": node if run is None else run}
    curves |= {f"phase {name} {channel.id}": curve for name, curve in (phases or {}).items()}
    identity = f"{head.host}/{channel.id}"
    return RecorderTrace(
        header=head,
        timeline=Timeline([head.anchor, *anchors]),
        channels={identity: channel_trace(identity, channel, curves, gaps, start_ns, end_ns)},
        phase_s={name: Curve.of([start_ns, end_ns], [0.0, (end_ns - start_ns) / S]) for name in phases or {}},
        phase_n={},
        start_ns=start_ns,
        end_ns=end_ns,
    )


def line(start_s: float, end_s: float, joules: float) -> Curve:
    return Curve.of([round(start_s * S), round(end_s * S)], [0.0, joules])


def only(trace: Trace) -> ChannelTrace:
    (channel,) = trace.channels.values()
    return channel


def cost(curve: Curve, start_s: float, end_s: float) -> float:
    return float(curve.over([round(start_s * S)], [round(end_s * S)])[0])


# -- one device, several recorders ----------------------------------------------------------------------------------


def test_a_device_that_two_recorders_counted_counts_once() -> None:
    joined = only(together([recorder(GPU, line(0, 10, 100)), recorder(GPU, line(2, 8, 60))]))
    for curve in (joined.node, joined.run):
        assert curve.total == pytest.approx(100)
        assert cost(curve, 3, 5) == pytest.approx(20)


def test_a_device_that_two_recorders_counted_counts_once_in_its_phases_too() -> None:
    one = recorder(GPU, line(0, 10, 100), phases={"other": line(0, 4, 40), "forward": line(4, 10, 60)})
    two = recorder(GPU, line(2, 8, 60), phases={"other": line(2, 4, 20), "forward": line(4, 8, 40)})
    joined = only(together([one, two]))
    assert {name: curve.total for name, curve in joined.phases.items()} == pytest.approx({"other": 40, "forward": 60})


def test_what_only_a_shorter_record_has_is_taken_from_it() -> None:
    records = [line(0, 10, 100), line(8, 15, 70), line(15, 17, 40), line(17, 30, 130)]
    joined = only(together([recorder(GPU, record) for record in records]))
    assert joined.node.total == pytest.approx(100 + 50 + 40 + 130)
    assert [cost(joined.node, *span) for span in ((8, 10), (10, 15), (15, 17), (17, 20))] == pytest.approx(
        [20, 50, 40, 30]
    )


def test_where_it_recorded_itself_the_recorder_that_is_asked_is_heard_first() -> None:
    # Compressed, the longer record has no knot at the edge of the shorter one's span.
    mine = recorder(GPU, Curve.of([2 * S, 5 * S, 8 * S], [0.0, 10.0, 60.0]))
    longer = recorder(GPU, line(0, 10, 100))
    joined = only(together([longer, mine], mine))
    assert cost(joined.node, 2, 5) == pytest.approx(10)
    assert cost(joined.node, 0, 2) == pytest.approx(20)
    assert cost(only(together([longer, mine], longer)).node, 2, 5) == pytest.approx(30)


records_of_one_counter = st.lists(st.tuples(st.integers(0, 100), st.integers(1, 60)), min_size=1, max_size=5)


@given(records_of_one_counter, st.randoms(use_true_random=False))
def test_however_many_recorded_a_counter_and_in_which_order_it_is_counted_once(
    intervals: list[tuple[int, int]], random: object
) -> None:
    truth = Curve.of(np.arange(0, 161) * S, np.cumsum(np.arange(161) % 7 * 3.0))
    traces = [recorder(GPU, truth.within(start * S, (start + length) * S)) for start, length in intervals]
    seen = {second for start, length in intervals for second in range(start, start + length)}
    expected = sum(cost(truth, second, second + 1) for second in seen)
    reference = traces[0]
    joined = only(together(traces, reference))
    assert joined.node.total == pytest.approx(expected)
    random.shuffle(traces)  # type: ignore[attr-defined]
    other = only(together(traces, reference))
    assert np.array_equal(joined.node.times_ns, other.node.times_ns)
    assert np.array_equal(joined.run.values, other.run.values)


def test_shares_of_two_recorders_add_up() -> None:
    node = line(0, 10, 100)
    joined = only(together([recorder(CPU, node, line(0, 10, 30)), recorder(CPU, node, line(0, 10, 50))]))
    assert joined.node.total == 100
    assert joined.run.total == pytest.approx(80)
    assert cost(joined.run, 2, 4) == pytest.approx(16)


def test_recorders_that_each_claim_the_whole_node_get_no_more_than_there_is() -> None:
    node = line(0, 10, 100)
    phases = {"other": line(0, 10, 40), "forward": line(0, 10, 60)}
    joined = only(together([recorder(CPU, node, node, phases=phases), recorder(CPU, node, node)]))
    assert joined.run.total == pytest.approx(100)
    assert sum(curve.total for curve in joined.phases.values()) == pytest.approx(100)


def test_a_claim_is_cut_only_while_there_is_too_much_claimed() -> None:
    # Alone for 10 s with 60 %; then a second recorder comes, and both claim everything.
    first_run = Curve.of([0, 10 * S, 20 * S], [0.0, 60.0, 160.0])
    first = recorder(CPU, line(0, 20, 200), first_run)
    second = recorder(CPU, line(10, 20, 100), line(10, 20, 100))
    for traces in ([first, second], [second, first]):
        run = only(together(traces)).run
        assert cost(run, 0, 10) == pytest.approx(60)
        assert cost(run, 10, 20) == pytest.approx(100)


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(1, 50), st.floats(0, 1.0)), min_size=2, max_size=5),
    st.randoms(use_true_random=False),
)
def test_shares_never_exceed_the_node_and_never_lose_what_was_rightly_claimed(
    claims: list[tuple[int, int, float]], random: object
) -> None:
    node = Curve.of(np.arange(0, 101) * 10 * S, np.arange(101) * 7.0)
    traces = []
    for start, length, share in claims:
        part = node.within(start * 10 * S, (start + length) * 10 * S)
        traces.append(recorder(CPU, part, part.scaled(share), phases={"other": part.scaled(share)}))
    joined = only(together(traces))
    edges = sorted({edge for start, length, _ in claims for edge in (10 * start, 10 * (start + length))})
    for start_s, end_s in itertools.pairwise(edges):
        claimed = sum(share for start, length, share in claims if 10 * start <= start_s < 10 * (start + length))
        there = cost(joined.node, start_s, end_s)
        assert cost(joined.run, start_s, end_s) == pytest.approx(there * min(1.0, claimed), abs=1e-6)
        assert cost(joined.phases["other"], start_s, end_s) == pytest.approx(there * min(1.0, claimed), abs=1e-6)


def test_recorders_that_overlap_for_a_moment_are_held_to_the_node_together() -> None:
    # Each knows its share to a second or so: what one seems to claim too much at first, it claims too little later.
    node = line(0, 4, 40)
    one = recorder(CPU, node, line(0, 4, 20))
    two = recorder(CPU, line(1, 2, 10), line(1, 2, 10))
    joined = only(together([one, two]))
    assert joined.run.total == pytest.approx(30)
    greedy = only(together([one, recorder(CPU, line(0, 4, 40), line(0, 4, 40))]))
    assert greedy.run.total == pytest.approx(40)


def test_phases_of_a_channel_sum_to_it_though_one_recorder_knew_none() -> None:
    node = line(0, 10, 100)
    with_phases = recorder(CPU, node, line(0, 10, 30), phases={"other": line(0, 4, 12), "forward": line(4, 10, 18)})
    joined = only(together([with_phases, recorder(CPU, node, line(0, 10, 50))]))
    assert {name: curve.total for name, curve in joined.phases.items()} == pytest.approx({"other": 62, "forward": 18})


def test_a_channel_without_phases_is_outside_all_of_them() -> None:
    channel = only(together([recorder(GPU, line(0, 10, 100))]))
    assert in_phase(channel, "other").total == 100
    assert in_phase(channel, "forward").total == 0


def test_a_wrapper_without_phases_shows_those_of_the_command_that_it_wraps() -> None:
    wrapper = recorder(CPU, line(0, 10, 100), line(0, 10, 1))
    command = recorder(CPU, line(2, 8, 60), line(2, 8, 50), phases={"other": line(2, 8, 50)})
    joined = together([wrapper, command], wrapper)
    assert cost(joined.phase_s["other"], 0, 10) == pytest.approx(6)
    assert (joined.start_ns, joined.end_ns) == (0, 10 * S)


def test_a_recorder_that_has_not_settled_holds_back_the_channel_and_one_that_is_through_does_not() -> None:
    through = recorder(CPU, line(0, 5, 50))
    behind = recorder(CPU, line(0, 8, 80), end_ns=10 * S)
    done = recorder(CPU, line(0, 10, 100))
    assert only(together([through, done])).settled_ns >= 10 * S
    assert only(together([through, behind])).settled_ns == 8 * S
    assert only(together([done, behind])).settled_ns == 8 * S


# -- coverage -------------------------------------------------------------------------------------------------------


def gap(start_s: float, end_s: float, why: str = "failed", known: bool = False, channel: str = "gpu:A") -> Gap:
    return Gap(channel, round(start_s * S), round(end_s * S), why, known)


def test_overlapping_gaps_are_not_taken_away_twice() -> None:
    channel = only(
        together([recorder(GPU, line(0, 20, 100), gaps=[gap(2, 6), gap(4, 8, known=True), gap(5, 7, channel="")])])
    )
    assert cost(channel.covered_s, 0, 20) == pytest.approx(14)
    assert cost(channel.known_s, 0, 20) == pytest.approx(20 - 5)
    assert cost(channel.covered_s, 3, 9) == pytest.approx(1)
    assert cost(channel.asked_s, 0, 20) == pytest.approx(20)


def test_gaps_at_or_beyond_the_end_leave_nothing_negative() -> None:
    gaps = [gap(0, 1, "start"), gap(18, 25), gap(26, 30)]
    channel = only(together([recorder(GPU, line(1, 18, 100), gaps=gaps, start_ns=0, end_ns=20 * S)]))
    assert cost(channel.covered_s, 0, 20) == pytest.approx(17)
    assert np.all(np.diff(channel.covered_s.values) >= 0)


def test_after_the_last_sample_nothing_is_covered() -> None:
    channel = only(together([recorder(GPU, line(0, 6, 60), end_ns=10 * S)]))
    assert cost(channel.covered_s, 0, 10) == pytest.approx(6)
    assert channel.settled_ns == 6 * S


def test_a_channel_that_was_never_read_covers_nothing_but_was_asked_for() -> None:
    channel = only(together([recorder(GPU, Curve(), Curve(), start_ns=0, end_ns=10 * S)]))
    assert (channel.covered_s.total, channel.known_s.total, channel.asked_s.total) == (0, 0, 10)


def test_what_either_recorder_covered_is_covered() -> None:
    one = recorder(GPU, line(0, 10, 100), gaps=[gap(2, 6)])
    two = recorder(GPU, line(4, 12, 80))
    channel = only(together([one, two]))
    assert cost(channel.covered_s, 0, 12) == pytest.approx(2 + 8)
    assert cost(channel.asked_s, 0, 12) == pytest.approx(12)


def test_a_newest_sample_that_is_not_settled_shows_and_does_not_count_as_settled() -> None:
    curves = {"node gpu:A": line(0, 5, 50), "run gpu:A": line(0, 5, 50)}
    trace = channel_trace("a/gpu:A", GPU, curves, (), 0, 7 * S, ahead=(6 * S, 60.0, 60.0))
    assert (trace.run.total, trace.node.total) == (60, 60)
    assert trace.settled_ns == 5 * S
    assert cost(trace.covered_s, 0, 7) == pytest.approx(6)


def test_the_phases_of_a_newest_sample_go_by_the_time_in_each_and_sum_to_the_run() -> None:
    curves = {
        "node gpu:A": line(0, 5, 50),
        "run gpu:A": line(0, 5, 50),
        "phase other gpu:A": line(0, 2, 20),
        "phase data gpu:A": line(2, 5, 30),
        "phase_s other": line(0, 2, 2),
        "phase_s data": Curve.of([2 * S, 5 * S, 5 * S + S // 4], [0.0, 3.0, 3.25]),
        "phase_s forward": Curve.of([5 * S + S // 4, 6 * S], [0.0, 0.75]),
    }
    trace = channel_trace("a/gpu:A", GPU, curves, (), 0, 7 * S, ahead=(6 * S, 90.0, 90.0))
    assert {name: curve.total for name, curve in trace.phases.items()} == pytest.approx(
        {"other": 20, "data": 40, "forward": 30}
    )
    assert counted(trace).total == pytest.approx(trace.run.total)


def test_the_phases_of_a_newest_sample_are_other_where_no_time_is_known() -> None:
    curves = {"node gpu:A": line(0, 5, 50), "run gpu:A": line(0, 5, 50), "phase other gpu:A": line(0, 5, 50)}
    trace = channel_trace("a/gpu:A", GPU, curves, (), 0, 7 * S, ahead=(6 * S, 60.0, 60.0))
    assert trace.phases["other"].total == 60


def test_a_channel_counts_the_sum_of_its_phases_so_that_they_sum_to_it_at_every_moment() -> None:
    # Each was compressed on its own: between the edges of spans they differ a little.
    phases = {"other": Curve.of([0, 4 * S, 10 * S], [0, 41.0, 60.0]), "data": Curve.of([4 * S, 10 * S], [0, 40.0])}
    channel = only(together([recorder(GPU, line(0, 10, 100), phases=phases)]))
    assert cost(counted(channel), 0, 4) == 41
    assert cost(counted(channel), 0, 10) == channel.run.total == 100
    assert counted(replace(channel, phases={})) is channel.run


# -- several clocks -------------------------------------------------------------------------------------------------


def test_channels_of_two_hosts_are_put_on_one_clock_by_the_wall() -> None:
    here = recorder(GPU, line(0, 10, 100), head=header("a"))
    # Host b has been up for longer: its monotonic 1000 s is 3 s after a's 0.
    there_head = header("b", start_ns=1000 * S, wall_ns=EPOCH_NS + 3 * S)
    there = recorder(GPU, line(1000, 1010, 50), head=there_head, gaps=[gap(1000, 1001, "start")])
    joined = together([here, there])
    assert sorted(joined.channels) == ["a/gpu:A", "b/gpu:A"]
    moved = joined.channels["b/gpu:A"]
    assert (moved.run.start_ns, moved.run.end_ns) == pytest.approx((3 * S, 13 * S), abs=1000)
    assert (moved.gaps[0].start_ns, moved.gaps[0].end_ns) == pytest.approx((3 * S, 4 * S), abs=1000)
    assert moved.settled_ns == pytest.approx(13 * S, abs=1000)
    assert moved.asked_s.start_ns == pytest.approx(3 * S, abs=1000)
    assert joined.end_ns == pytest.approx(13 * S, abs=1000)
    assert together([here, there], there).channels["b/gpu:A"].run.start_ns == 1000 * S


def test_a_second_boot_of_the_same_host_comes_after_the_first_and_both_count() -> None:
    before = recorder(GPU, line(5000, 5010, 100), head=header(boot="1", start_ns=5000 * S))
    # The machine came up again a minute later, its monotonic clock at 20 s.
    after = recorder(GPU, line(20, 30, 70), head=header(boot="2", start_ns=20 * S, wall_ns=EPOCH_NS + 60 * S))
    joined = together([before, after])
    assert not before.same_clock(after)
    channel = only(joined)
    assert channel.node.total == pytest.approx(170)
    assert cost(channel.run, 5060, 5070) == pytest.approx(70)
    assert cost(channel.run, 5010, 5060) == 0
    assert joined.end_ns == pytest.approx(5070 * S, abs=1000)


def test_two_processes_of_one_boot_share_their_clock_whatever_the_wall_said() -> None:
    one = recorder(GPU, line(0, 10, 100), head=header(pid=1))
    two = recorder(GPU, line(0, 10, 100), head=header(pid=2, wall_ns=EPOCH_NS + 9 * S))
    assert only(together([one, two])).node.total == pytest.approx(100)


@given(
    st.lists(st.tuples(st.integers(10**9, 10**10), st.integers(-(10**10), 10**10)), min_size=1, max_size=6),
    st.lists(st.tuples(st.integers(1, 10**9), st.floats(0, 100)), min_size=1, max_size=30),
)
def test_moving_to_a_clock_that_was_set_loses_no_joule_and_keeps_the_order(
    moves: list[tuple[int, int]], samples: list[tuple[int, float]]
) -> None:
    mono_ns, wall_ns, anchors = 0, EPOCH_NS, []
    for passed_ns, set_by_ns in moves:
        mono_ns, wall_ns = mono_ns + passed_ns, wall_ns + passed_ns + set_by_ns
        anchors.append(Anchor(mono_ns, None, wall_ns))
    here = recorder(GPU, line(0, 10, 100), head=header("a"), anchors=anchors)
    times, values = (np.cumsum(column) for column in zip(*samples, strict=True))
    there = recorder(GPU, Curve.of(10**15 + times, values), head=header("b", start_ns=10**15))
    moved = there.on_clock_of(here).channels["b/gpu:A"]
    assert np.all(np.diff(moved.run.times_ns) > 0)
    assert moved.run.total == there.channels["b/gpu:A"].run.total
