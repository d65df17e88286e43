"""What recorders wrote, put together: the curves of every channel of a run, each channel once.

A live recorder and a stored journal give the same `RecorderTrace`, so both are read by the same code.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from joulegram.curves.curve import Curve, Steps, Stretch, Times, elapsed, merge, turns, weigh, without
from joulegram.curves.phases import OTHER
from joulegram.curves.timeline import Timeline
from joulegram.records import Channel, Gap, Hardware, Header, PhaseMoments, StepCount
from joulegram.units import NS_PER_S

SHORT_NS = 10 * NS_PER_S
"""Recorders that overlap for less than this are held to the node's energy together, not one by one."""


@dataclass(frozen=True, slots=True, eq=False)
class ChannelTrace:
    """One channel as recorded.

    Args:
        id: identity, ``HOST/kind:device``.
        channel: what its meter said of it.
        node: joules of the whole device.
        run: joules of this run's share.
        phases: joules of this run's share in each phase.
        covered_s: seconds with samples.
        known_s: seconds whose energy is in the curves, samples or not.
        asked_s: seconds in which there should have been samples.
        settled_ns: up to when (ns) the curves will not change any more.
        gaps: what was not covered, and why.
        apart: joules of this run's share while its steps were being counted; once recorders are put together, these are
            in `run` but in none of its phases.
        moments: sums over its counter intervals at some moments, in order; nothing where several recorded it.
    """

    id: str
    channel: Channel
    node: Curve
    run: Curve
    phases: Mapping[str, Curve]
    covered_s: Curve
    known_s: Curve
    asked_s: Curve
    settled_ns: int
    gaps: tuple[Gap, ...] = ()
    apart: Curve = field(default_factory=Curve)
    moments: tuple[PhaseMoments, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class RecorderTrace:
    """What one recording process wrote.

    Args:
        header: who recorded.
        timeline: its clocks.
        channels: by identity.
        phase_s: seconds spent in each phase of its loop.
        phase_n: how often each phase was entered.
        start_ns: when it started (ns).
        end_ns: when it ended, or was last heard of (ns).
        tallies: what its loop added up, by name.
        counts: the kinds of step that it counted.
        hardware: what machine it ran on; None where it did not tell.
        reserved_s: seconds of the whole host: its reserved part of the cores × time.
    """

    header: Header
    timeline: Timeline
    channels: Mapping[str, ChannelTrace]
    phase_s: Mapping[str, Curve]
    phase_n: Mapping[str, Curve]
    start_ns: int
    end_ns: int
    tallies: Mapping[str, Curve] = field(default_factory=dict)
    counts: tuple[StepCount, ...] = ()
    hardware: Hardware | None = None
    reserved_s: Curve = field(default_factory=Curve)

    def same_clock(self, other: RecorderTrace) -> bool:
        """Whether monotonic times of both compare."""
        return (self.header.host, self.header.boot) == (other.header.host, other.header.boot)

    def on_clock_of(self, reference: RecorderTrace) -> RecorderTrace:
        """The same trace on another recorder's monotonic time, by way of the wall clock where it has to be."""
        if self.same_clock(reference):
            return self

        def moved(curve: Curve) -> Curve:
            times = _increasing(reference.timeline.mono_ns(self.timeline.wall_s(curve.times_ns)))
            return Curve(times, curve.values)

        def instant(time_ns: int) -> int:
            return int(reference.timeline.mono_ns(self.timeline.wall_s([time_ns]))[0])

        channels = {
            name: replace(
                trace,
                node=moved(trace.node),
                run=moved(trace.run),
                phases={phase: moved(curve) for phase, curve in trace.phases.items()},
                covered_s=moved(trace.covered_s),
                known_s=moved(trace.known_s),
                asked_s=moved(trace.asked_s),
                settled_ns=instant(trace.settled_ns),
                gaps=tuple(replace(g, start_ns=instant(g.start_ns), end_ns=instant(g.end_ns)) for g in trace.gaps),
                moments=tuple(replace(m, time_ns=instant(m.time_ns)) for m in trace.moments),
            )
            for name, trace in self.channels.items()
        }
        return replace(
            self,
            channels=channels,
            phase_s={phase: moved(curve) for phase, curve in self.phase_s.items()},
            phase_n={phase: moved(curve) for phase, curve in self.phase_n.items()},
            tallies={name: moved(curve) for name, curve in self.tallies.items()},
            counts=tuple(replace(count, end_ns=instant(count.end_ns)) for count in self.counts),
            reserved_s=moved(self.reserved_s),
            start_ns=instant(self.start_ns),
            end_ns=instant(self.end_ns),
        )


@dataclass(frozen=True, slots=True, eq=False)
class HostTrace:
    """A host that recorders of a run were on.

    Args:
        name: the host's.
        hardware: what machine it is; None where no recorder told.
        reserved_s: seconds of the whole host that the run reserved, its part of the cores × time.
    """

    name: str
    hardware: Hardware | None
    reserved_s: Curve


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """A run, or one recorder's part of it, on one clock.

    Args:
        timeline: the reference recorder's clocks.
        channels: each identity once.
        phase_s: seconds spent in each phase of one recorder's loop: the reference's if it has one.
        phase_n: how often each phase was entered there.
        start_ns: of the run (ns).
        end_ns: its end, or when it was last heard of (ns).
        tallies: what the loops of all recorders added up, by name.
        counts: the kinds of step that each recorder counted.
        counting: 1 while the loop whose phases these are counted its steps, 0 otherwise; None where it never did.
        hosts: the hosts that it ran on, by name.
    """

    timeline: Timeline
    channels: Mapping[str, ChannelTrace]
    phase_s: Mapping[str, Curve] = field(default_factory=dict)
    phase_n: Mapping[str, Curve] = field(default_factory=dict)
    start_ns: int = 0
    end_ns: int = 0
    tallies: Mapping[str, Curve] = field(default_factory=dict)
    counts: tuple[tuple[StepCount, ...], ...] = ()
    counting: Steps | None = None
    hosts: tuple[HostTrace, ...] = ()


def together(recorders: Sequence[RecorderTrace], reference: RecorderTrace | None = None) -> Trace:
    """The recorders of a run as one: shares add up, a device that several of them recorded counts once.

    Args:
        recorders: at least one.
        reference: whose clock is used, and whose loop if it has phases; the first by default.
    """
    reference = reference or recorders[0]
    # What a recorder sampled after its own end is not the run's, although the run may go on elsewhere.
    own = recorders if len(recorders) == 1 else [_its_own(recorder) for recorder in recorders]
    reference = own[list(recorders).index(reference)]
    placed = [_counting_apart(recorder.on_clock_of(reference)) for recorder in own]
    by_id: dict[str, list[ChannelTrace]] = {}
    for recorder in placed:
        for name, trace in recorder.channels.items():
            by_id.setdefault(name, []).append(trace)
    # What wraps a command has no loop of its own; the command's is then the run's.
    loop = next((recorder for recorder in (reference, *placed) if recorder.phase_s), reference)
    return Trace(
        timeline=reference.timeline,
        channels={name: _joined(traces, reference.channels.get(name)) for name, traces in sorted(by_id.items())},
        phase_s=loop.phase_s,
        phase_n=loop.phase_n,
        tallies={
            name: merge([recorder.tallies.get(name, Curve()) for recorder in placed])
            for name in sorted({name for recorder in placed for name in recorder.tallies})
        },
        counts=tuple(recorder.counts for recorder in placed if recorder.counts),
        counting=counting_time(loop),
        hosts=_hosts(placed),
        start_ns=min(recorder.start_ns for recorder in placed),
        end_ns=max(recorder.end_ns for recorder in placed),
    )


def _hosts(recorders: Sequence[RecorderTrace]) -> tuple[HostTrace, ...]:
    """Each host once; recorders of a run on one host have divided its cores among them, so their parts add up."""
    by_name: dict[str, list[RecorderTrace]] = {}
    for recorder in recorders:
        by_name.setdefault(recorder.header.host, []).append(recorder)
    return tuple(
        HostTrace(
            name,
            next((recorder.hardware for recorder in there if recorder.hardware is not None), None),
            merge([recorder.reserved_s for recorder in there]),
        )
        for name, there in sorted(by_name.items())
    )


def _its_own(recorder: RecorderTrace) -> RecorderTrace:
    start_ns, end_ns = recorder.start_ns, recorder.end_ns

    def cut(curve: Curve) -> Curve:
        return curve.within(start_ns, end_ns) if len(curve) and curve.end_ns > end_ns else curve

    channels = {
        name: replace(
            trace,
            node=cut(trace.node),
            run=cut(trace.run),
            phases={phase: cut(curve) for phase, curve in trace.phases.items()},
        )
        for name, trace in recorder.channels.items()
    }
    return replace(recorder, channels=channels, reserved_s=cut(recorder.reserved_s))


def counting_time(recorder: RecorderTrace) -> Steps | None:
    """1 while a recorder's loop was counting its steps, 0 otherwise; None where it never did."""
    edges_ns = [recorder.start_ns - 1]
    for count in sorted(recorder.counts, key=lambda count: count.end_ns):
        begin_ns = max(count.end_ns - round(count.overhead_s * NS_PER_S), edges_ns[-1] + 1)
        if count.end_ns > begin_ns:
            edges_ns += [begin_ns, count.end_ns]
    if len(edges_ns) == 1:
        return None
    return Steps(np.array(edges_ns, np.int64), np.array([float(index % 2) for index in range(len(edges_ns))]))


def _counting_apart(recorder: RecorderTrace) -> RecorderTrace:
    """A recorder's trace with what it used while it counted steps taken out of its phases."""
    counting = counting_time(recorder)
    if counting is None:
        return recorder
    otherwise = Steps(counting.edges_ns, 1 - counting.values)
    channels = {
        name: replace(
            trace,
            apart=weigh(counted(trace), counting),
            phases={phase: weigh(in_phase(trace, phase), otherwise) for phase in trace.phases or (OTHER,)},
        )
        for name, trace in recorder.channels.items()
    }
    return replace(recorder, channels=channels)


def _joined(traces: Sequence[ChannelTrace], own: ChannelTrace | None) -> ChannelTrace:
    if len(traces) == 1:
        return traces[0]
    # The reference's own record comes first: it has knots at the edges of the spans that will be asked for.
    heard = turns([trace.node for trace in traces], next((n for n, trace in enumerate(traces) if trace is own), None))

    def one(curves: Iterable[Curve]) -> Curve:
        """One record of the device out of each trace's, each moment from the one that is heard."""
        return merge([c.within(*stretch) for c, stretches in zip(curves, heard, strict=True) for stretch in stretches])

    node = one(trace.node for trace in traces)
    phases = sorted({phase for trace in traces for phase in trace.phases})
    if all(trace.channel.whole for trace in traces):
        run = one(trace.run for trace in traces)
        in_phases = {phase: one(in_phase(trace, phase) for trace in traces) for phase in phases}
        apart = one(trace.apart for trace in traces)
    else:
        allowed = _allowed(node, traces)
        run = weigh(merge([trace.run for trace in traces]), allowed)
        in_phases = {phase: weigh(merge([in_phase(trace, phase) for trace in traces]), allowed) for phase in phases}
        apart = weigh(merge([trace.apart for trace in traces]), allowed)
    return ChannelTrace(
        id=traces[0].id,
        channel=replace(traces[0].channel, lag_s=max(trace.channel.lag_s for trace in traces)),
        node=node,
        run=run,
        phases=in_phases,
        covered_s=_either(trace.covered_s for trace in traces),
        known_s=_either(trace.known_s for trace in traces),
        asked_s=_either(trace.asked_s for trace in traces),
        settled_ns=min(_unsettled_from(trace) for trace in traces),
        gaps=tuple(gap for trace in traces for gap in trace.gaps),
        apart=apart,
    )


def _allowed(node: Curve, traces: Sequence[ChannelTrace]) -> Steps:
    """What part of their claims counts: recorders that did not know of each other may have claimed more than there was.

    One factor for each stretch with the same recorders, and one for all that are short: a share is known to a second
    or so, and over less than several of these recorders only seem to claim too much here, and too little there.
    """
    edges_ns = np.unique([edge for trace in traces for edge in (trace.run.start_ns, trace.run.end_ns) if trace.run])
    if len(edges_ns) < 2:
        return Steps.constant(1.0)
    claimed = np.sum([np.diff(trace.run.at(edges_ns)) for trace in traces], axis=0)
    there = np.diff(node.at(edges_ns))
    short = np.diff(edges_ns) < SHORT_NS
    there[short], claimed[short] = there[short].sum(), claimed[short].sum()
    parts = np.divide(there, claimed, out=np.ones(len(there)), where=claimed > there)
    return Steps(edges_ns, np.append(parts, 1.0)) if np.any(parts < 1) else Steps.constant(1.0)


def _unsettled_from(trace: ChannelTrace) -> int:
    """From when on (ns) a recorder may still add; never for one that is through."""
    return trace.settled_ns if trace.settled_ns < trace.asked_s.end_ns else int(np.iinfo(np.int64).max)


def in_phase(trace: ChannelTrace, phase: str) -> Curve:
    """Joules of a channel in a phase; all of them are outside all phases where its recorder knew none."""
    if trace.phases:
        return trace.phases.get(phase, Curve())
    return trace.run if phase == OTHER else Curve()


def counted(trace: ChannelTrace) -> Curve:
    """Joules of this run's share: of all phases, where there are any, so that they sum to it at every moment.

    Once recorders are put together, without what counting steps used.

    At the edges of its recorder's spans this is `run` itself; elsewhere each was compressed on its own.
    """
    return merge(list(trace.phases.values())) if trace.phases else trace.run


def channel_trace(
    identity: str,
    channel: Channel,
    curves: Mapping[str, Curve],
    gaps: Iterable[Gap],
    start_ns: int,
    end_ns: int,
    ahead: tuple[int, float, float] | None = None,
    moments: Iterable[PhaseMoments] = (),
) -> ChannelTrace:
    """A channel's trace from its curves and gaps.

    Args:
        identity: ``HOST/kind:device``.
        channel: what its meter said of it.
        curves: its recorder's curves by journal name.
        gaps: the channel's, and those of all channels.
        start_ns: when its recorder started (ns).
        end_ns: when its recorder ended or was last heard of (ns).
        ahead: newest sample (ns), the node's joules and the run's, that are not settled yet.
        moments: sums over its counter intervals, in order.
    """
    gaps = tuple(gaps)
    node, run = curves.get(f"node {channel.id}", Curve()), curves.get(f"run {channel.id}", Curve())
    suffix = f" {channel.id}"
    phases = {
        name.removeprefix("phase ").removesuffix(suffix): curve
        for name, curve in curves.items()
        if name.startswith("phase ") and name.endswith(suffix)
    }
    settled_ns = run.end_ns - channel.slack_ns
    if ahead is not None and len(run):
        ahead_ns, node_j, run_j = ahead
        if phases:
            phases = _ahead(phases, curves, run_j - float(run.values[-1]), run.end_ns, ahead_ns)
        node, run = node.extended(ahead_ns, node_j), run.extended(ahead_ns, run_j)
    last_ns = min(end_ns, run.end_ns - channel.slack_ns) if len(run) else start_ns
    return ChannelTrace(
        id=identity,
        channel=channel,
        node=node,
        run=run,
        phases=phases,
        covered_s=elapsed(without(start_ns, last_ns, [(gap.start_ns, gap.end_ns) for gap in gaps])),
        known_s=elapsed(without(start_ns, last_ns, [(g.start_ns, g.end_ns) for g in gaps if not g.energy_known])),
        asked_s=elapsed([(start_ns, end_ns)]),
        settled_ns=settled_ns,
        gaps=gaps,
        moments=tuple(moments),
    )


def ahead(tallies: Mapping[str, Curve], counted: Sequence[tuple[int, Mapping[str, float]]]) -> dict[str, Curve]:
    """Tallies with what is not in their curves yet.

    Args:
        tallies: the curves by name.
        counted: moments (ns) in order, with the totals by name at each; the first is where the curves end.
    """
    grown = dict(tallies)
    last_ns = max([counted[0][0], *(curve.end_ns for curve in tallies.values())])
    for time_ns, totals in counted:
        if time_ns <= last_ns:
            continue
        for name, total in totals.items():
            grown[name] = grown.get(name, Curve.of([last_ns], [0.0])).extended(time_ns, total)
        last_ns = time_ns
    return grown


def _ahead(
    phases: Mapping[str, Curve], curves: Mapping[str, Curve], joules: float, since_ns: int, until_ns: int
) -> dict[str, Curve]:
    """The phases with the joules of a newest stretch (ns), split by the time in each as far as that is known."""
    spent_s = {
        name.removeprefix("phase_s "): float(curve.over([since_ns], [until_ns])[0])
        for name, curve in curves.items()
        if name.startswith("phase_s ")
    }
    total_s = sum(spent_s.values())
    parts = {phase: spent / total_s for phase, spent in spent_s.items() if spent > 0} or {OTHER: 1.0}
    level = Curve.of([since_ns], [0.0])
    known = {phase: phases.get(phase, level) for phase in (*phases, *parts)}
    return {
        phase: curve.extended(until_ns, float(curve.values[-1]) + parts.get(phase, 0.0) * joules)
        for phase, curve in known.items()
    }


def _either(curves: Iterable[Curve]) -> Curve:
    """Seconds in which at least one of several coverages rises."""
    return elapsed([stretch for curve in curves for stretch in rising(curve)])


def rising(curve: Curve) -> list[Stretch]:
    """The stretches (ns) between neighbouring knots over which a curve rises."""
    steps = np.flatnonzero(np.diff(curve.values) > 0)
    return [(int(curve.times_ns[i]), int(curve.times_ns[i + 1])) for i in steps]


def _increasing(times_ns: Times) -> Times:
    """Strictly increasing times: clocks of two hosts may fold a little when mapped onto each other."""
    index = np.arange(len(times_ns))
    return np.asarray(np.maximum.accumulate(times_ns - index) + index, np.int64)


def seconds(start_ns: int, end_ns: int) -> float:
    """Seconds between two monotonic times."""
    return (end_ns - start_ns) / NS_PER_S
