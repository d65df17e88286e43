"""The rules for meters: kept by those that come with joulegram, and each breach found and told in words."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds import Counter, InstantCounter, ModelCounter, OwnedClock

import joulegram.testing
from joulegram.config import Settings
from joulegram.meters import Absent, Denied, Meter
from joulegram.meters.cpu_model import CpuModelMeter
from joulegram.meters.dram_model import DramModelMeter
from joulegram.records import Channel
from joulegram.testing import NonConforming, check_meter, check_opening

GOOD = Channel("gpu:A", "gpu", "measured", "a counter", max_w=1000.0)


class Watched(Meter):
    """A meter on a clock of the test's, 100 W on each channel, whose parts a test replaces with broken ones."""

    instant: bool = True

    def __init__(self, *channels: Channel) -> None:
        self.channels: Any = channels or (GOOD,)
        self.now_s = 0.0
        self.closed = 0
        self.reading: Callable[[], Any] = lambda: [100.0 * self.now_s] * len(self.channels)
        self.sharing: Callable[[], Any] = lambda: [0.5] * len(self.channels)
        self.closing: Callable[[], Any] = lambda: None

    def read(self) -> Iterable[float]:
        return self.reading()  # type: ignore[no-any-return]

    def shares(self, pids: Collection[int]) -> Sequence[float]:
        return self.sharing()  # type: ignore[no-any-return]

    def close(self) -> None:
        self.closed += 1
        self.closing()

    def wait(self, seconds: float) -> None:
        self.now_s += seconds


def violations(meter: Watched, seconds: float = 1.0) -> tuple[str, ...]:
    """What the check finds."""
    try:
        check_meter(meter, seconds, now_s=lambda: meter.now_s, sleep=meter.wait)
    except NonConforming as found:
        return found.violations
    return ()


@pytest.mark.parametrize("meter_class", [CpuModelMeter, DramModelMeter])
def test_the_built_in_models_conform(meter_class: type[Meter]) -> None:
    check_meter(check_opening(meter_class))


@pytest.mark.parametrize("meter_class", [Counter, InstantCounter])
def test_the_counters_that_other_tests_stand_on_conform(meter_class: type[Counter]) -> None:
    clock = OwnedClock()
    check_meter(
        meter_class(clock, names=("gpu:A", "cpu:0")), now_s=lambda: clock.monotonic_ns() / 1e9, sleep=clock.advance
    )


def test_a_good_meter_has_no_violation_and_is_closed() -> None:
    meter = Watched(GOOD, replace(GOOD, id="cpu:0", kind="cpu", share="cpu", idle_w=10.0, max_w=300.0))
    assert violations(meter) == ()
    assert meter.closed == 2


@given(power_w=st.floats(0, 999), wraps_at_j=st.floats(1000, 1e6), start=st.floats(0, 1e6), failing=st.integers(0, 1))
def test_a_counter_that_wraps_where_it_says_and_fails_now_and_then_conforms(
    power_w: float, wraps_at_j: float, start: float, failing: int
) -> None:
    meter = Watched(replace(GOOD, wraps_at_j=wraps_at_j))
    reads = iter(range(10_000))
    meter.reading = lambda: [
        float("nan") if failing and next(reads) % 3 else (start + power_w * meter.now_s) % wraps_at_j
    ]
    assert violations(meter) == ()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"id": "gpu"}, "form kind:device"),
        ({"id": "gpu:"}, "form kind:device"),
        ({"id": "gpu:A B"}, "without spaces"),
        ({"id": "cpu:A"}, "here gpu:…"),
        ({"id": "GPU:A", "kind": "GPU"}, "one word in small letters"),
        ({"how": ""}, "how says in one line"),
        ({"how": "a\nb"}, "how says in one line"),
        ({"share": "half"}, "share is one of cpu, process, exclusive, undivided, not 'half'"),
        ({"quantum_j": -1.0}, "quantum_j is a number of joules from 0 on"),
        ({"method": "guessed"}, "method is one of measured, modelled, not 'guessed'"),
        ({"method": "modelled"}, "a model has gain bounds"),
        ({"gain_low": 1.1}, "0 < gain_low <= 1 <= gain_high"),
        ({"gain_low": 0.0}, "0 < gain_low <= 1 <= gain_high"),
        ({"gain_high": 0.9}, "0 < gain_low <= 1 <= gain_high"),
        ({"gain_high": float("nan")}, "0 < gain_low <= 1 <= gain_high"),
        ({"max_w": 0.0}, "max_w is a number above 0"),
        ({"max_w": "300 W"}, "max_w is a number above 0"),
        ({"idle_w": -1.0}, "idle_w is a number from 0 on"),
        ({"idle_w": 1001.0}, "idle_w is not above max_w"),
        ({"wraps_at_j": -5.0}, "wraps_at_j is a number above 0"),
        ({"resolution_s": 0.0}, "resolution_s is a number of seconds above 0"),
        ({"lag_s": -0.1}, "lag_s is a number of seconds from 0 on"),
    ],
    ids=str,
)
def test_a_channel_that_is_described_wrongly_is_told(change: dict[str, Any], said: str) -> None:
    (told, *_) = violations(Watched(replace(GOOD, **change)))
    assert said in told


@pytest.mark.parametrize(
    ("reading", "said"),
    [
        (lambda now_s: [], "a float for each channel: 1, not 0"),
        (lambda now_s: [1.0, 2.0], "a float for each channel: 1, not 2"),
        (lambda now_s: ["7"], "read() gives floats, not '7'"),
        (lambda now_s: [None], "read() gives floats, not None"),
        (lambda now_s: 1 / 0, "raises nothing, not ZeroDivisionError"),
        (lambda now_s: [float("nan")], "every reading failed"),
        (lambda now_s: [float("inf")], "a reading is finite"),
        (lambda now_s: [now_s - 0.5], "joules from 0 on"),
        (lambda now_s: [10 - now_s], "never falls, as here from 10 J to 9.95 J"),
        (lambda now_s: [100e3 * now_s], "rose by 1e+05 J in 1 s, and max_w is 1000 W: are these joules?"),
    ],
)
def test_readings_that_are_no_counters_are_told(reading: Callable[[float], Any], said: str) -> None:
    meter = Watched()
    meter.reading = lambda: reading(meter.now_s)
    assert said in " ".join(violations(meter))


def test_a_fall_that_is_no_wrap_is_told() -> None:
    meter = Watched(replace(GOOD, wraps_at_j=1e6))
    meter.reading = lambda: [50.0 if meter.now_s > 0.5 else 100.0]
    (told,) = violations(meter)
    assert "which is no wrap at 1e+06 J" in told


def test_a_reading_above_where_it_wraps_is_told() -> None:
    meter = Watched(replace(GOOD, wraps_at_j=50.0))
    assert "it shows 100 J, and wraps at 50 J" in violations(meter)[0]


def test_without_a_ceiling_only_what_no_device_draws_is_told() -> None:
    meter = Watched(replace(GOOD, max_w=None))
    assert violations(meter) == ()
    meter = Watched(replace(GOOD, max_w=None))
    meter.reading = lambda: [300e6 * meter.now_s]  # microjoules
    assert "no device draws that: are these joules?" in violations(meter)[0]


def test_slow_reads_are_told() -> None:
    meter = Watched()

    def slow() -> list[float]:
        meter.wait(0.06)
        return [100.0 * meter.now_s]

    meter.reading = slow
    told = violations(meter)
    assert "no longer than period_s (0.05 s), and this one's takes 0.06 s" in told[0]
    assert "an instant meter is read in 50 µs, and this one in 60000 µs" in told[1]


def test_a_meter_that_only_its_own_thread_may_read_is_told() -> None:
    meter, home = Watched(), threading.get_ident()

    def reading() -> list[float]:
        if threading.get_ident() != home:
            raise RuntimeError("made in another thread")
        return [meter.now_s]

    meter.reading = reading
    (told,) = violations(meter)
    assert told.startswith("read from another thread: ")


@pytest.mark.parametrize(
    ("sharing", "said"),
    [
        (lambda: [], "a part for each channel: 1, not 0"),
        (lambda: [1.5], "parts from 0 to 1"),
        (lambda: [float("nan")], "parts from 0 to 1"),
        (lambda: {}["pid"], "shares() raises nothing, not KeyError"),
    ],
)
def test_shares_that_are_no_parts_are_told(sharing: Callable[[], Any], said: str) -> None:
    meter = Watched(replace(GOOD, share="process"))
    assert violations(meter) == ()
    meter.sharing = sharing
    assert said in violations(meter)[0]


def test_a_meter_that_cannot_be_closed_twice_is_told() -> None:
    meter = Watched()

    def closing() -> None:
        if meter.closed > 1:
            raise OSError("bad file descriptor")

    meter.closing = closing
    assert violations(meter) == ("a second close() raises nothing, not OSError('bad file descriptor')",)


def test_a_fallback_that_says_it_measures_is_told() -> None:
    clock = OwnedClock()
    with pytest.raises(NonConforming, match="a model's method is not measured"):
        check_meter(ModelCounter(clock), now_s=lambda: clock.monotonic_ns() / 1e9, sleep=clock.advance)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"period_s": 0}, "period_s is a number of seconds above 0"),
        ({"period_s": "1"}, "period_s is a number of seconds above 0"),
        ({"instant": 1}, "instant is True or False"),
        ({"channels": ()}, "raises Absent from open() instead"),
        ({"channels": ("gpu:A",)}, "channels are joulegram.records.Channel"),
        ({"channels": (GOOD, GOOD)}, "gpu:A: ids are unique, and this one names 2 channels"),
    ],
    ids=str,
)
def test_a_meter_that_describes_itself_wrongly_is_told(change: dict[str, Any], said: str) -> None:
    meter = Watched()
    for name, value in change.items():
        setattr(meter, name, value)
    assert said in " ".join(violations(meter, seconds=0.1))


def test_something_else_than_a_meter_is_told_what_it_lacks() -> None:
    lacking = "a meter has channels, period_s, instant, fallback, read, described, shares, close"
    with pytest.raises(NonConforming, match=lacking):
        check_meter(object())  # type: ignore[arg-type]


def test_everything_that_is_wrong_is_told_at_once() -> None:
    meter = Watched(replace(GOOD, id="gpu", gain_low=2.0, lag_s=-1.0))
    meter.reading = lambda: [-1.0]
    told = violations(meter)
    assert len(told) == 4
    with pytest.raises(NonConforming) as caught:
        check_meter(meter, now_s=lambda: meter.now_s, sleep=meter.wait)
    assert str(caught.value).splitlines() == ["Watched does not conform:", *(f"- {line}" for line in told)]


def refusing(error: Exception) -> type[Meter]:
    """A meter that does not open."""

    class Refusing(Watched):
        @classmethod
        def open(cls, settings: Settings) -> Meter:
            raise error

    return Refusing


@pytest.mark.parametrize("error", [Absent("no such folder"), Denied("only root may read it: chmod it")], ids=repr)
def test_a_refusal_in_one_line_is_passed_on(error: Exception) -> None:
    with pytest.raises(type(error)) as caught:
        check_opening(refusing(error))
    assert caught.value is error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (Absent(""), "Absent says in one line what is missing"),
        (Denied("no\nwell"), "Denied says in one line what is missing"),
        (FileNotFoundError("energy_uj"), "raises Absent or Denied where it cannot measure, not FileNotFoundError"),
    ],
    ids=repr,
)
def test_a_refusal_of_another_form_is_told(error: Exception, said: str) -> None:
    with pytest.raises(NonConforming, match=said):
        check_opening(refusing(error))


def test_importing_the_suite_loads_nothing_until_it_is_used() -> None:
    program = "import sys, joulegram.testing; sys.exit('joulegram.testing.conformance' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
    with pytest.raises(AttributeError, match="no attribute 'check_metre'"):
        getattr(joulegram.testing, "check_metre")  # noqa: B009
