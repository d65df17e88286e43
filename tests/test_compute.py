"""What follows from compute with energy, carbon and time: ratios with honest bounds, utilisation of known devices."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds import InstantCounter, Kept, OwnedClock, StillRecorder, price, recorder

from joulegram.compute import Efficiency, ratio
from joulegram.curves.trace import together
from joulegram.pricing import Pricer
from joulegram.quantities import Quantity
from joulegram.records import StepCount

H100 = "NVIDIA H100 80GB HBM3"


def counted(device: str | None = H100, dtype: str | None = "bfloat16", devices: int = 1, flops: int = 100) -> StepCount:
    return StepCount("fit", "", flops, "counted", dtype=dtype, device=device, devices=devices)


def ran(*counts: StepCount, flops: float = 1e14) -> list[StillRecorder]:
    """A rank for each count: a second at 100 W, in which its steps came to these FLOPs."""
    clock = OwnedClock()
    ranks = [recorder(clock, Kept(), InstantCounter(clock), rank=rank, pid=rank + 1) for rank in range(len(counts))]
    for made, count in zip(ranks, counts, strict=True):
        made.say(count)
        made.tally({"flops forward": flops})
    clock.advance(1)
    for made in ranks:
        made.sampler.tick(everything=True)
    return ranks


def efficiency(ranks: list[StillRecorder], peaks: dict[str, dict[str, float]] | None = None) -> Efficiency:
    trace = together([made.trace(made.clock.monotonic_ns()) for made in ranks])
    return Pricer(trace, price(), peaks).footprint(trace.start_ns, trace.end_ns).efficiency


def test_utilisation_is_of_the_vendors_peak_rate() -> None:
    found = efficiency(ran(counted()))
    assert found.flop_per_s.value == pytest.approx(1e14)
    assert found.mfu.value == pytest.approx(1e14 / 989.4e12, rel=1e-3)
    assert H100 in found.mfu.how


def test_utilisation_of_several_ranks_and_devices_is_of_all_of_them_together() -> None:
    one, both = efficiency(ran(counted())), efficiency(ran(counted(), counted()))
    assert both.mfu.value == pytest.approx(one.mfu.value)
    assert efficiency(ran(counted(devices=4))).mfu.value == pytest.approx(float(one.mfu) / 4)


def test_a_device_of_ones_own_has_the_rate_that_its_owner_says() -> None:
    found = efficiency(ran(counted("My accelerator")), {"My accelerator": {"bfloat16": 2e14}})
    assert found.mfu.value == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("count", "why"),
    [
        (counted("My accelerator"), 'no peak rate of My accelerator for bfloat16.*"My accelerator"'),
        (counted(device=None), "not every device"),
        (counted(flops=0), "no step was counted on a known device"),
    ],
)
def test_utilisation_of_an_unknown_device_is_missing_with_the_remedy(count: StepCount, why: str) -> None:
    mfu = efficiency(ran(count)).mfu
    assert mfu.value is None
    assert re.search(why, mfu.how)


def test_without_flops_nothing_follows_and_says_why() -> None:
    clock = OwnedClock()
    made = recorder(clock, Kept(), InstantCounter(clock))
    made.run_for(1)
    found = efficiency([made])
    figures = (found.flop_per_s, found.flop_per_j, found.carbon_g_per_pflop, found.mfu, found.outside_j)
    assert {figure.method for figure in figures} == {"missing"}
    assert found.flop_per_j.how == "no step was counted"


def test_energy_outside_of_counted_steps_is_that_of_phases_without_flops() -> None:
    clock = OwnedClock()
    made = recorder(clock, Kept(), InstantCounter(clock, 100.0))
    for phase, seconds, flops in (("data", 3, 0.0), ("forward", 1, 5e9), ("backward", 2, 1e10)):
        made.phase(clock.monotonic_ns(), phase)
        made.run_for(seconds)
        made.tally({f"flops {phase}": flops} if flops else {})
    made.run_for(0.05)
    found = efficiency([made])
    assert found.outside_j.value == pytest.approx(300, rel=0.02)


positive = st.floats(1e-3, 1e6)


@given(st.tuples(positive, positive, positive), st.tuples(positive, positive, positive))
def test_a_ratio_lies_within_bounds_that_hold_every_ratio_of_what_may_be_true(
    over: tuple[float, float, float], under: tuple[float, float, float]
) -> None:
    (low, value, high), (least, best, most) = sorted(over), sorted(under)
    found = ratio(Quantity(value, low, high, "measured"), Quantity(best, least, most, "modelled"), "x")
    assert found.method == "modelled"
    assert found.low is not None
    assert found.high is not None
    for one in (low, value, high):
        for other in (least, best, most):
            assert found.low * (1 - 1e-9) <= one / other <= found.high * (1 + 1e-9)


def test_a_ratio_to_a_figure_without_an_upper_bound_has_no_lower_one_above_zero() -> None:
    unbounded = Quantity(5.0, 4.0, None, "measured", missing=("gpu:B",))
    found = ratio(Quantity(10.0, 10.0, 10.0, "modelled"), unbounded, "x")
    assert (found.low, found.high, found.missing) == (0.0, 2.5, ("gpu:B",))
