"""Whose joules: a node's energy split into a static part by reserved cores and a dynamic part by CPU time.

Pure functions of one stretch of time. The shares of all processes and the unreserved rest sum to the node's energy.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from joulegram.units import NS_PER_S

SHARE_PERIOD_S = 1.0
"""How often the shares of a node are looked at: within that time they are an average."""
RULE = "idle power by reserved cores, the rest by CPU time over the node's busy time"


@dataclass(frozen=True, slots=True)
class Share:
    """What part of a node is one recorder's, over a stretch of time.

    Args:
        reserved: its part of the node's cores, 0 to 1.
        cpu: its part of the node's busy CPU time, 0 to 1.
    """

    reserved: float
    cpu: float


def static_j(energy_j: float, duration_ns: int, idle_w: float | None) -> float:
    """The part of a node's energy (J) that it draws with nothing running: idle power × time, never above the energy."""
    return 0.0 if idle_w is None else min(energy_j, idle_w * duration_ns / NS_PER_S)


def split(energy_j: float, duration_ns: int, idle_w: float | None, share: Share) -> float:
    """One recorder's joules out of a node's over a stretch of time."""
    still = static_j(energy_j, duration_ns, idle_w)
    return still * share.reserved + (energy_j - still) * share.cpu


def cpu_fraction(own_s: float, busy_s: float) -> float:
    """Own part of the node's busy time; the two clocks tick differently, so it is held between 0 and 1."""
    return min(1.0, own_s / busy_s) if busy_s > 0 and own_s > 0 else 0.0


def reserved_fraction(
    mine: frozenset[int], others: Iterable[frozenset[int]], quota_cpus: float | None, cores: int
) -> float:
    """Part of a node's cores that one recorder of a run answers for.

    A core that several recorders of the run may use is divided among them, so their parts sum to the run's.

    Args:
        mine: CPUs that this recorder's process may run on.
        others: the same for each of the run's other recorders on this host.
        quota_cpus: CPUs' worth of time that the control group allows; None without a limit.
        cores: CPUs of the node.
    """
    others = list(others)
    divided = sum(1 / (1 + sum(core in other for other in others)) for core in mine)
    union = len(mine.union(*others))
    allowed = 1.0 if quota_cpus is None or not union else min(1.0, quota_cpus / union)
    return min(1.0, divided * allowed / cores)
