from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joulegram.curves.sharing import Share, cpu_fraction, reserved_fraction, split, static_j
from joulegram.units import NS_PER_S

energies = st.floats(0, 1e9)
durations = st.integers(1, 3600 * NS_PER_S)
idle_powers = st.one_of(st.none(), st.floats(0, 1e4))
cpu_sets = st.frozensets(st.integers(0, 15), min_size=1)


@given(
    energies,
    durations,
    idle_powers,
    st.lists(st.tuples(cpu_sets, st.floats(0, 100)), min_size=1, max_size=6),
    st.one_of(st.none(), st.floats(0.1, 64)),
    st.floats(0, 100),
)
def test_the_shares_of_all_processes_and_the_unreserved_rest_sum_to_the_node(
    energy_j: float,
    duration_ns: int,
    idle_w: float | None,
    processes: list[tuple[frozenset[int], float]],
    quota_cpus: float | None,
    others_s: float,
) -> None:
    busy_s = sum(own_s for _, own_s in processes) + others_s
    shares = [
        Share(
            reserved_fraction(mine, [cpus for j, (cpus, _) in enumerate(processes) if j != i], quota_cpus, 16),
            cpu_fraction(own_s, busy_s),
        )
        for i, (mine, own_s) in enumerate(processes)
    ]
    reserved, cpu = sum(share.reserved for share in shares), sum(share.cpu for share in shares)
    assert reserved <= 1 + 1e-12
    assert cpu <= 1 + 1e-12
    unreserved = split(energy_j, duration_ns, idle_w, Share(1 - reserved, 1 - cpu))
    parts = [split(energy_j, duration_ns, idle_w, share) for share in shares]
    assert all(0 <= part <= energy_j * (1 + 1e-9) for part in parts)
    assert sum(parts) + unreserved == pytest.approx(energy_j, rel=1e-9, abs=1e-9)


@given(energies, durations, idle_powers)
def test_who_has_the_whole_node_has_all_of_its_energy(energy_j: float, duration_ns: int, idle_w: float | None) -> None:
    assert split(energy_j, duration_ns, idle_w, Share(1.0, 1.0)) == pytest.approx(energy_j)
    assert split(energy_j, duration_ns, idle_w, Share(0.0, 0.0)) == 0.0


@given(energies, durations, idle_powers)
def test_idle_power_never_takes_more_than_was_used(energy_j: float, duration_ns: int, idle_w: float | None) -> None:
    assert 0 <= static_j(energy_j, duration_ns, idle_w) <= energy_j


def test_idle_power_goes_by_reserved_cores_and_the_rest_by_cpu_time() -> None:
    # 30 J in 2 s at 10 W idle: 20 J static, 10 J dynamic.
    assert split(30.0, 2 * NS_PER_S, 10.0, Share(reserved=0.25, cpu=0.5)) == 20 * 0.25 + 10 * 0.5
    assert split(30.0, 2 * NS_PER_S, None, Share(reserved=0.25, cpu=0.5)) == 15.0


@given(st.floats(-1, 1e6), st.floats(-1, 1e6))
def test_a_part_of_the_busy_time_is_between_nothing_and_all(own_s: float, busy_s: float) -> None:
    assert 0.0 <= cpu_fraction(own_s, busy_s) <= 1.0


def test_on_a_node_that_did_nothing_nobody_has_a_part() -> None:
    assert cpu_fraction(0.0, 0.0) == 0.0
    assert cpu_fraction(0.01, 0.0) == 0.0


def test_a_core_that_several_recorders_may_use_is_divided_among_them() -> None:
    mine, other = frozenset({0, 1, 2, 3}), frozenset({2, 3})
    assert reserved_fraction(mine, [other], None, 8) == (1 + 1 + 0.5 + 0.5) / 8
    assert reserved_fraction(other, [mine], None, 8) == (0.5 + 0.5) / 8


def test_a_control_groups_quota_limits_what_all_of_them_reserve() -> None:
    everywhere = frozenset(range(8))
    assert reserved_fraction(everywhere, [], 2.0, 8) == 2 / 8
    assert reserved_fraction(everywhere, [everywhere], 2.0, 8) == 1 / 8
    assert reserved_fraction(everywhere, [], 64.0, 8) == 1.0


def test_an_unknown_affinity_reserves_nothing() -> None:
    assert reserved_fraction(frozenset(), [], 2.0, 8) == 0.0
