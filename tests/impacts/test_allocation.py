from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from platforms import HOUR_NS, gpu

from joulegram.curves.curve import Curve
from joulegram.impacts.allocation import allocated, device_s
from joulegram.impacts.factors import Factor, Factors


def factor(value: float, low: float | None = None, high: float | None = None) -> Factor:
    bounds = value if low is None else low, value if high is None else high
    return Factor("it", "embodied_kg", value, *bounds, "kg CO2e", "", 2024, "a test", "published")


def found(product: str, name: str) -> Factor:
    one = Factors().device(product, name)
    assert one is not None
    return one


def test_the_specifications_own_example() -> None:
    assert allocated(factor(1000), factor(4), 3600, "", 1000).value == pytest.approx(28.5, abs=0.1)


def test_an_h100s_hour_over_five_years() -> None:
    made, lifetime = found("NVIDIA H100 80GB HBM3", "embodied_kg"), found("NVIDIA H100 80GB HBM3", "lifetime_y")
    hour = allocated(made, lifetime, 3600, "", 1000)
    assert hour.value == pytest.approx(3.7, abs=0.05)
    assert hour.low == pytest.approx(164e3 / (6 * 8766))
    assert hour.high == pytest.approx(281e3 / (3 * 8766))


def test_an_eighth_of_a_host_of_eight_takes_more_than_its_gpu() -> None:
    assert allocated(factor(5700 / 8), factor(5), 3600, "", 1000).value == pytest.approx(16.3, abs=0.1)


def test_an_hour_of_a_dgx_is_a_third_of_a_gram_of_waste_for_each_gpu() -> None:
    assert allocated(factor(16.3), factor(5), 3600, "", 1000).value == pytest.approx(0.37, abs=0.005)


@pytest.mark.parametrize("share", ["exclusive", "undivided"])
def test_a_device_is_the_runs_for_all_of_its_time_whatever_it_draws(share: str) -> None:
    idle = Curve.of([0, HOUR_NS], [0.0, 0.0])
    assert device_s(gpu(share=share, node=idle)).total == pytest.approx(3600)


users = st.lists(st.lists(st.floats(0.01, 1.0), min_size=6, max_size=6), min_size=1, max_size=4)


drawn_j = st.just(0.0) | st.floats(1.0, 1e5)


@given(users, st.lists(drawn_j, min_size=6, max_size=6).filter(any))
def test_parts_of_all_who_use_a_device_sum_to_its_time(weights: list[list[float]], rises_j: list[float]) -> None:
    times = np.linspace(0, HOUR_NS, 7).astype(np.int64)
    node = Curve.of(times, np.concatenate([[0.0], np.cumsum(rises_j)]))
    whole = np.sum(weights, axis=0)
    parts = [np.divide(each, whole) * rises_j for each in weights]
    used = [
        device_s(gpu(share="process", node=node, run=Curve.of(times, np.concatenate([[0.0], np.cumsum(part)]))))
        for part in parts
    ]
    assert sum(curve.total for curve in used) == pytest.approx(3600, rel=1e-6)
    for curve in used:
        assert np.all(np.diff(curve.values) >= 0)


def test_a_shared_device_that_draws_nothing_is_shared_as_before() -> None:
    times = [0, HOUR_NS // 2, HOUR_NS]
    node, run = Curve.of(times, [0.0, 100.0, 100.0]), Curve.of(times, [0.0, 25.0, 25.0])
    assert device_s(gpu(share="process", node=node, run=run)).total == pytest.approx(900)


def test_a_shared_device_that_never_drew_anything_is_the_runs() -> None:
    idle = Curve.of([0, HOUR_NS], [0.0, 0.0])
    assert device_s(gpu(share="process", node=idle, run=idle)).total == pytest.approx(3600)
