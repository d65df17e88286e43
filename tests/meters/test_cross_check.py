"""A counter against the power of the same device: what is told of it, and what had better not be."""

from collections.abc import Callable, Iterator
from math import floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joulegram.meters.cross_check import GIVE_UP_NS, CrossCheck, Finding
from joulegram.units import NS_PER_S

READ_S = 0.05


def readings(power_w: Callable[[float], float], counts: float, refresh_s: float = 0.1) -> Iterator[tuple[float, ...]]:
    """Seconds, joules on a counter that counts a part of the truth and refreshes now and then, power."""
    joules = [0.0]
    for step in range(2000):
        yield (
            step * READ_S,
            counts * joules[floor(step * READ_S / refresh_s) * round(refresh_s / READ_S)],
            power_w(step * READ_S),
        )
        joules.append(joules[-1] + READ_S * power_w(step * READ_S))


def checked(power_w: Callable[[float], float], counts: float) -> tuple[Finding | None, float]:
    """What is found, and how long it takes (s)."""
    check = CrossCheck(accuracy=0.05)
    for seconds, joules, watts in readings(power_w, counts):
        finding = check.take(round(seconds * NS_PER_S), joules, watts)
        if check.done:
            return finding, seconds
    raise AssertionError("the check never ends")


@pytest.mark.parametrize("counts", [0.57, 0.25, 1.6])
def test_a_counter_that_is_far_off_is_found_by_how_far(counts: float) -> None:
    finding, seconds = checked(lambda _: 65.0, counts)
    assert finding is not None
    assert finding.far
    assert finding.ratio == pytest.approx(counts, rel=0.03)
    assert seconds < 6


@given(st.floats(0.95, 1.05), st.floats(10, 700))
def test_a_counter_within_its_accuracy_is_no_finding(counts: float, power_w: float) -> None:
    finding, _ = checked(lambda _: power_w, counts)
    assert finding is not None
    assert not finding.far


def test_a_counter_that_stands_still_is_far_off() -> None:
    finding, _ = checked(lambda _: 65.0, 0.0)
    assert finding is not None
    assert finding.far
    assert finding.ratio == 0


def test_power_that_is_never_steady_says_nothing_and_the_check_ends() -> None:
    finding, seconds = checked(lambda t: 350.0 if t % 0.7 < 0.35 else 50.0, 0.5)
    assert finding is None
    assert seconds == pytest.approx(GIVE_UP_NS / NS_PER_S, abs=0.1)


def test_a_steady_stretch_that_comes_later_is_waited_for() -> None:
    finding, seconds = checked(lambda t: 50.0 + 30 * t if t < 8 else 300.0, 0.5)
    assert finding is not None
    assert finding.far
    assert 8 < seconds < 14


def test_a_driver_that_is_loaded_anew_meanwhile_is_no_finding() -> None:
    check = CrossCheck(accuracy=0.05)
    found = []
    for seconds, joules, watts in readings(lambda _: 100.0, 1.0):
        found.append(check.take(round(seconds * NS_PER_S), joules if seconds < 3 else joules - 300, watts))
        if check.done:
            break
    assert found[-1] is not None
    assert not found[-1].far
    assert len(found) > 7 / READ_S
