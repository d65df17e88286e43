"""Which channels contain which, so that a total counts every joule once.

A wall meter's joules are those of the whole machine, its processors and memory included; a module's are those of the
CPUs and the memory of its host, and of the GPU that bears its name, but not of cards beside it. While such a whole is
known, its parts are information and not added. While it is not, for ten seconds or more, they stand in for it, and the
total still says that the whole is missing. At no moment are both added.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from joulegram.curves.curve import Steps, Stretch, weigh, without
from joulegram.curves.trace import SHORT_NS, ChannelTrace, rising
from joulegram.records import contains


def wholes(part: ChannelTrace, channels: Iterable[ChannelTrace]) -> list[ChannelTrace]:
    """The channels of the same host, with samples, whose joules contain those of `part`."""
    return [
        whole
        for whole in channels
        if len(whole.node) and _host(whole) == _host(part) and contains(whole.channel, part.channel)
    ]


def disjoint(channels: Mapping[str, ChannelTrace]) -> dict[str, ChannelTrace]:
    """The channels, each only while its joules are added; one that always is stays the same object."""
    around = {name: wholes(channel, channels.values()) for name, channel in channels.items()}
    containing = {whole.id for found in around.values() for whole in found}
    made = {}
    for name, channel in channels.items():
        own = _while_known(channel) if channel.id in containing else channel
        made[name] = _while_away(own, around[name]) if around[name] else own
    return made


def _host(trace: ChannelTrace) -> str:
    return trace.id.removesuffix(f"/{trace.channel.id}")


def _holes(wholes: Sequence[ChannelTrace], start_ns: int, end_ns: int) -> list[Stretch]:
    """When (ns) none of them is known.

    A whole is opened a moment after a run starts, and read less often: a short hole is its own, and named so.
    """
    known = [stretch for whole in wholes for stretch in rising(whole.known_s)]
    return [(start, end) for start, end in without(start_ns, end_ns, known) if end - start >= SHORT_NS]


def _while_known(whole: ChannelTrace) -> ChannelTrace:
    """A whole without the little that it may have counted while its parts stand in for it."""
    holes = _holes([whole], whole.asked_s.start_ns, whole.asked_s.end_ns)
    return _weighed(whole, _steps(holes, inside=0.0)) if holes else whole


def _while_away(part: ChannelTrace, around: Sequence[ChannelTrace]) -> ChannelTrace:
    """A part while no whole around it is known."""
    holes = _holes(around, part.asked_s.start_ns, part.asked_s.end_ns)
    away = _steps(holes, inside=1.0)
    return replace(
        _weighed(part, away),
        covered_s=weigh(part.covered_s, away),
        known_s=weigh(part.known_s, away),
        asked_s=weigh(part.asked_s, away),
        gaps=tuple(
            replace(gap, start_ns=max(gap.start_ns, start_ns), end_ns=min(gap.end_ns, end_ns))
            for gap in part.gaps
            for start_ns, end_ns in holes
            if gap.start_ns < end_ns and gap.end_ns > start_ns
        ),
    )


def _weighed(trace: ChannelTrace, weight: Steps) -> ChannelTrace:
    phases = {phase: weigh(curve, weight) for phase, curve in trace.phases.items()}
    node, run, apart = (weigh(curve, weight) for curve in (trace.node, trace.run, trace.apart))
    return replace(trace, node=node, run=run, phases=phases, apart=apart)


def _steps(stretches: Sequence[Stretch], inside: float) -> Steps:
    """1 or 0 within the stretches, which are in order and do not touch, and the other elsewhere."""
    if not stretches:
        return Steps.constant(1 - inside)
    edges_ns = np.array(stretches, np.int64).ravel()
    turns = np.where(np.arange(len(edges_ns) + 1) % 2, inside, 1 - inside)
    return Steps(np.concatenate([[edges_ns[0] - 1], edges_ns]), turns)
