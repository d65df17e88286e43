"""CPU time and reserved cores of this recorder against the node's, sampled at 1 Hz or as rarely as their cost asks."""

from __future__ import annotations

import time
from dataclasses import dataclass

from joulegram.curves.door import GrowingCurve
from joulegram.curves.sharing import Share, cpu_fraction, reserved_fraction
from joulegram.host.cohort import Cohort
from joulegram.host.processes import NodeTimes, ProcessTree, affinity, cgroup_quota, cpu_count
from joulegram.units import NS_PER_S

PERIOD_NS = NS_PER_S
BUDGET = 0.001
"""Part of one core that looking at the process tree may use; on a node with thousands of processes it looks rarely."""

EPSILON_CORE_S = 0.02


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
    _last_ns: int = 0
    _busy_start_s: float = 0.0
    _own_start_s: float = 0.0
    _quota: float | None = None

    @classmethod
    def begin(cls, cohort: Cohort, now_ns: int) -> ShareLog:
        """Starts the log with its first look."""
        log = cls(cohort, ProcessTree(), NodeTimes(), GrowingCurve(), GrowingCurve(), GrowingCurve())
        log._quota = cgroup_quota()
        log._last_ns, log._busy_start_s = now_ns, log.node.busy_s()
        log._own_start_s = log.tree.own_s(cohort.others())
        for curve in (log.busy_s, log.own_s, log.reserved_s):
            curve.add(now_ns, 0.0, 0.0)
        return log

    def look(self, now_ns: int) -> Share:
        """The share since the look before, and when the next look is due."""
        started_s = time.thread_time()
        others = self.cohort.others()
        busy_s = self.node.busy_s() - self._busy_start_s
        own_s = max(self.tree.own_s(others) - self._own_start_s, self._tip(self.own_s))
        share = Share(
            reserved=reserved_fraction(
                affinity(0), (affinity(pid) for pid, final in others.items() if final is None), self._quota, cpu_count()
            ),
            cpu=cpu_fraction(own_s - self._tip(self.own_s), busy_s - self._tip(self.busy_s)),
        )
        elapsed_s = (now_ns - self._last_ns) / NS_PER_S
        self.busy_s.add(now_ns, max(busy_s, self._tip(self.busy_s)), EPSILON_CORE_S)
        self.own_s.add(now_ns, own_s, EPSILON_CORE_S)
        self.reserved_s.add(now_ns, self._tip(self.reserved_s) + share.reserved * elapsed_s, EPSILON_CORE_S)
        self._last_ns = now_ns
        cost_ns = (time.thread_time() - started_s) * NS_PER_S
        self.affordable_ns = now_ns + int(cost_ns / BUDGET)
        self.due_ns = max(now_ns + PERIOD_NS, self.affordable_ns)
        return share

    def close(self) -> None:
        """Tells the run's other recorders what this one accounted for."""
        self.cohort.leave(self.tree.total_s)
        self.node.close()

    @staticmethod
    def _tip(curve: GrowingCurve) -> float:
        return curve.tip[1] if curve.tip else 0.0
