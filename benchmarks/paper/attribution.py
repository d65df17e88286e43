"""Whose CPU energy: each run was charged both sockets of its node, while up to five others ran there.

A node's CPU power at any moment is what the runs then on it report, on average: all read the same counters. Shared
equally among them, it makes a virtual clock G(t) = ∫ dE / n, and a run costs G(end) − G(start). Together the runs on a
node then cost what the node used while any was on it. That the name of the GPU tells the node is an assumption, and
others who used the node at the time are unseen: what is taken off is a lower bound.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from benchmarks.paper.ecnas import PUE, Floats, Runs, Times
from joulegram.curves.curve import Curve, Steps, elapsed, merge, weigh
from joulegram.units import J_PER_KWH, NS_PER_S

OWN = "own_"
"""Begins the columns that hold a run's own part."""


@dataclass(frozen=True, slots=True)
class Overcharge:
    """How many times over runs were charged what their nodes used.

    Args:
        cpu: CPU energy charged over CPU energy used.
        it: the same of CPU and GPU energy together.
        cpu_steady: as `cpu`, had each node drawn the mean power of its runs for as long as any was on it. Runs weigh
            in that mean by their time, so crowded hours, when power is higher, weigh more than once.
        it_steady: as `it`, likewise.
        cpu_part_charged: CPU energy over IT energy, as charged.
        cpu_part: the same, as used.
    """

    cpu: float
    it: float
    cpu_steady: float
    it_steady: float
    cpu_part_charged: float
    cpu_part: float


def overcharge(runs: Runs) -> Overcharge:
    """How many times over these runs were charged, all together."""
    gpu_j, charged_j = (float(runs[column].sum()) for column in ("gpu_energy_j", "cpu_energy_j"))
    used_j, steady_j = float(shared_cpu_j(runs).sum()), steady_cpu_j(runs)
    it_j = gpu_j + charged_j
    return Overcharge(
        charged_j / used_j,
        it_j / (gpu_j + used_j),
        charged_j / steady_j,
        it_j / (gpu_j + steady_j),
        charged_j / it_j,
        used_j / (gpu_j + used_j),
    )


def reattributed(runs: Runs) -> Runs:
    """The runs with columns for their own CPU energy, and the energy and carbon that follow; as reported, with PUE."""
    cpu_j = shared_cpu_j(runs)
    energy_kwh = PUE * (runs["gpu_energy_j"] + cpu_j) / J_PER_KWH
    own = {"cpu_energy_j": cpu_j, "energy_kwh": energy_kwh, "co2_g": energy_kwh * runs["avg_intensity"]}
    return runs.with_values(**{OWN + column: values for column, values in own.items()})


def shared_cpu_j(runs: Runs) -> Floats:
    """CPU energy of each run (J), its node's power shared equally at every moment."""
    shared = np.zeros(len(runs))
    for which, starts_ns, ends_ns in _nodes(runs):
        reported = [
            Curve.of([start, end], [0.0, energy_j])
            for start, end, energy_j in zip(starts_ns, ends_ns, runs["cpu_energy_j"][which], strict=True)
        ]
        each = _part(starts_ns, ends_ns)
        node = weigh(merge(reported), each)
        shared[which] = weigh(node, each).over(starts_ns, ends_ns)
    return shared


def steady_cpu_j(runs: Runs) -> float:
    """CPU energy of all nodes (J), had each drawn its runs' mean power for as long as any was on it."""
    total_j = 0.0
    for which, starts_ns, ends_ns in _nodes(runs):
        mean_w = runs["cpu_energy_j"][which].sum() / ((ends_ns - starts_ns).sum() / NS_PER_S)
        total_j += mean_w * elapsed(list(zip(starts_ns.tolist(), ends_ns.tolist(), strict=True))).total
    return float(total_j)


def _nodes(runs: Runs) -> Iterator[tuple[Times, Times, Times]]:
    """Of each node, which runs were on it, and their starts and ends (ns)."""
    assert runs.starts_ns is not None
    assert runs.stops_ns is not None
    names = np.array(runs.nodes)
    for name in sorted(set(runs.nodes)):
        which = np.flatnonzero(names == name)
        yield which, runs.starts_ns[which], runs.stops_ns[which]


def _part(starts_ns: Times, ends_ns: Times) -> Steps:
    """What part of a node is each run's at any time: one over how many are on it; nobody's while there is none."""
    edges, which = np.unique(np.concatenate([starts_ns, ends_ns]), return_inverse=True)
    changes = np.repeat([1, -1], len(starts_ns))
    count = np.cumsum(np.bincount(which, changes))
    return Steps(edges, np.divide(1.0, count, out=np.full(len(edges), np.nan), where=count > 0))
