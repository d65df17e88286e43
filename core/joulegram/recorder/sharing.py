"""CPU time and reserved cores of this recorder against the node's, sampled at 1 Hz or as rarely as their cost asks."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from joulegram.curves.door import GrowingCurve
from joulegram.curves.sharing import SHARE_PERIOD_S, Share, cpu_fraction, reserved_fraction
from joulegram.host.cohort import Cohort, Member
from joulegram.host.processes import NodeTimes, ProcessTree, affinity, ancestors, cgroup_quota, cpu_count, own_cpu_s
from joulegram.units import NS_PER_S

PERIOD_NS = int(SHARE_PERIOD_S * NS_PER_S)
BUDGET = 0.0009
"""Part of one core that looking at the process tree may use, a thousandth with what is not seen of it here; on a node
with thousands of processes it looks rarely."""

EPSILON_CORE_S = 0.02


@dataclass(frozen=True, slots=True)
class Since:
    """Where the CPU times of the node and of this process stood at some moment (ns)."""

    time_ns: int
    busy_s: float
    own_s: float

    @classmethod
    def now(cls, time_ns: int) -> Since:
        """Now, in a few microseconds."""
        node = NodeTimes()
        try:
            return cls(time_ns, node.busy_s(), own_cpu_s())
        finally:
            node.close()


@dataclass(slots=True)
class Fellows:
    """Processes that are not below this one and that it answers for too: a server's workers. Owned by one thread.

    Attributes:
        pids: tells them; each counts, with its children, from the first look at it on.
        tree: pids of them and their children, at the last look.
    """

    pids: Callable[[], Collection[int]] = tuple
    tree: frozenset[int] = frozenset()
    _trees: dict[int, tuple[ProcessTree, float]] = field(default_factory=dict)
    _gone_s: float = 0.0

    def used_s(self) -> float:
        """CPU time (s) that they have used so far, those that came and went included."""
        told = frozenset(self.pids())
        for pid in self._trees.keys() - told:
            tree, before_s = self._trees.pop(pid)
            self._gone_s += tree.total_s - before_s
        around = {os.getpid(), *told}
        for pid in told - self._trees.keys() - {os.getpid()}:
            if around.intersection(ancestors(pid)):  # counted with the one above it
                continue
            tree = ProcessTree(pid)
            tree.look()
            self._trees[pid] = tree, tree.total_s
        for tree, _ in self._trees.values():
            tree.look()
        self.tree = frozenset().union(*(tree.outside(()) for tree, _ in self._trees.values()))
        return self._gone_s + sum(tree.total_s - before_s for tree, before_s in self._trees.values())


@dataclass(slots=True)
class ShareLog:
    """This recorder's share of its node as it changes. Owned by the sampler's thread.

    The CPU times themselves are kept too (`curves`), so that another rule can be applied later.
    """

    cohort: Cohort
    tree: ProcessTree
    node: NodeTimes
    busy_s: GrowingCurve
    own_s: GrowingCurve
    reserved_s: GrowingCurve
    due_ns: int = 0
    """When the next look is due."""
    affordable_ns: int = 0
    """From when on a look, asked for by a span's edge, is within the budget."""
    pids: frozenset[int] = frozenset()
    """The processes that this recorder answers for, at the last look."""
    fellows: Fellows = field(default_factory=Fellows)
    _last_ns: int = 0
    _busy_start_s: float = 0.0
    _own_start_s: float = 0.0
    _quota: float | None = None

    @classmethod
    def begin(cls, cohort: Cohort, since: Since) -> ShareLog:
        """Starts the log with its first look at the process tree, which may take a while where others compute.

        Args:
            cohort: the run's other recorders on this host.
            since: where the CPU times stood when the recording began: what this process used meanwhile is its own.
        """
        log = cls(cohort, ProcessTree(), NodeTimes(), GrowingCurve(), GrowingCurve(), GrowingCurve())
        log._quota = cgroup_quota()
        log._last_ns, log._busy_start_s = since.time_ns, since.busy_s
        unclaimed_s = log._unclaimed_s(cohort.others())
        meanwhile_s = max(0.0, log.tree.root_s - since.own_s)
        log._own_start_s = unclaimed_s - meanwhile_s
        cohort.join(since.time_ns, log.tree.total_s - meanwhile_s)
        for curve in (log.busy_s, log.own_s, log.reserved_s):
            curve.add(since.time_ns, 0.0, 0.0)
        return log

    def look(self, now_ns: int) -> Share:
        """The share since the look before, and when the next look is due."""
        started_s = time.thread_time()
        others = self.cohort.others()
        busy_s = max(self.node.busy_s() - self._busy_start_s, self._tip(self.busy_s))
        own_s = self._unclaimed_s(others) - self._own_start_s + self.fellows.used_s()
        own_s = max(own_s, self._tip(self.own_s))
        self.pids |= self.fellows.tree
        share = Share(
            reserved=self._reserved(others, self._last_ns, now_ns),
            cpu=cpu_fraction(own_s - self._tip(self.own_s), busy_s - self._tip(self.busy_s)),
        )
        elapsed_s = (now_ns - self._last_ns) / NS_PER_S
        self.busy_s.add(now_ns, busy_s, EPSILON_CORE_S)
        self.own_s.add(now_ns, own_s, EPSILON_CORE_S)
        self.reserved_s.add(now_ns, self._tip(self.reserved_s) + share.reserved * elapsed_s, EPSILON_CORE_S)
        self._last_ns = now_ns
        cost_ns = (time.thread_time() - started_s) * NS_PER_S
        self.affordable_ns = now_ns + int(cost_ns / BUDGET)
        self.due_ns = max(now_ns + PERIOD_NS, self.affordable_ns)
        return share

    def close(self, now_ns: int) -> None:
        """Tells the run's other recorders that this one stops, and what it accounted for."""
        self.reserved_s.pin()  # a reader carries on what is not told, and a run's own figures end here
        self.tree.look()
        self.cohort.leave(now_ns, self.tree.total_s)
        self.node.close()

    def _unclaimed_s(self, others: Mapping[int, Member]) -> float:
        """CPU time (s) of this process's tree, without what other recorders in it account for."""
        inside = {pid: other for pid, other in others.items() if self.tree.root in other.ancestors}
        topmost = {pid: other for pid, other in inside.items() if not any(above in inside for above in other.ancestors)}
        seen_s = self.tree.look(topmost)
        self.pids = self.tree.outside(topmost)
        return self.tree.total_s - sum(o.accounted_s(seen_s.get(pid, o.joined_s)) for pid, o in topmost.items())

    def _reserved(self, others: Mapping[int, Member], start_ns: int, end_ns: int) -> float:
        """This recorder's part of the node's cores over a stretch of time in which others may have come and gone."""
        mine = affinity(0)
        stays = [
            (o, max(o.joined_ns, start_ns), end_ns if o.left_ns is None else min(o.left_ns, end_ns))
            for o in others.values()
            if o.left_ns is not None or o.lives
        ]
        edges = sorted({start_ns, end_ns, *(edge for _, *stay in stays for edge in stay if start_ns < edge < end_ns)})
        weighed = 0.0
        for since_ns, until_ns in pairwise(edges):
            present = [
                frozenset(o.cpus) for o, came_ns, went_ns in stays if came_ns <= since_ns and went_ns >= until_ns
            ]
            weighed += (until_ns - since_ns) * reserved_fraction(mine, present, self._quota, cpu_count())
        return (
            weighed / (end_ns - start_ns)
            if end_ns > start_ns
            else reserved_fraction(mine, (), self._quota, cpu_count())
        )

    @staticmethod
    def _tip(curve: GrowingCurve) -> float:
        return curve.tip[1] if curve.tip else 0.0
