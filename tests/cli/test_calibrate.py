"""The calibration of a machine whose power the test knows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import EntryPoint
from io import StringIO
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from joulegram import registry
from joulegram.cli import main
from joulegram.cli.calibrate import (
    LEVEL_S,
    Calibration,
    CannotCalibrate,
    Machine,
    calibrate,
    find_reference,
    print_calibration,
)
from joulegram.config import Settings
from joulegram.host.cpu import Cpus
from joulegram.host.profile import Profile, keep, profiles
from joulegram.meters import Absent, Denied, Meter
from joulegram.meters.cpu_model import model_of
from joulegram.records import Channel

CPUS = Cpus("AMD EPYC 8024P 8-Core Processor", 1, 16, virtual=False)


class TestBench:
    """A machine whose power is a line over load, and everything that happens on it.

    Args:
        idle_w: its CPUs' power with nothing running (W).
        full_w: with all of them busy (W).
        others: part of all CPUs that somebody else keeps busy.
        reached: part of all CPUs that is busy under full load.
        rest_w: power of the rest of the machine, which a wall meter sees as well (W).
    """

    __test__ = False

    def __init__(
        self,
        idle_w: float = 20.0,
        full_w: float = 100.0,
        others: float = 0.0,
        reached: float = 1.0,
        rest_w: float = 40.0,
    ) -> None:
        self.idle_w, self.full_w, self.others, self.reached, self.rest_w = idle_w, full_w, others, reached, rest_w
        self.now_s = self.busy_s = self.cpu_j = 0.0
        self.loaded = False
        self.loads = 0

    def sleep(self, seconds: float) -> None:
        load = self.reached if self.loaded else self.others
        self.now_s += seconds
        self.busy_s += load * CPUS.threads * seconds
        self.cpu_j += (self.idle_w + (self.full_w - self.idle_w) * load) * seconds

    @contextmanager
    def full_load(self, seconds: float) -> Iterator[None]:
        self.loaded, self.loads = True, self.loads + 1
        try:
            yield
        finally:
            self.loaded = False

    def machine(self) -> Machine:
        return Machine("alpha", CPUS, lambda: self.busy_s, self.full_load, lambda: self.now_s, self.sleep)


class BenchMeter(Meter):
    """Counts what a bench draws."""

    bench: ClassVar[TestBench]
    channel: ClassVar[Channel] = Channel("cpu:package-0", "cpu", "measured", "a counter")
    closed: ClassVar[int] = 0

    def __init__(self) -> None:
        self.channels = [self.channel]

    def read(self) -> Iterable[float]:
        return [self.bench.cpu_j]

    def close(self) -> None:
        BenchMeter.closed += 1


class WrappingMeter(BenchMeter):
    channel: ClassVar[Channel] = Channel("cpu:package-0", "cpu", "measured", "a counter", wraps_at_j=90.0)

    def read(self) -> Iterable[float]:
        return [(self.bench.cpu_j + 50.0) % 90.0]


class WallMeter(BenchMeter):
    """A plug that counts the whole machine, and shows it every ten seconds."""

    channel: ClassVar[Channel] = Channel("node:plug", "node", "measured", "a plug", lag_s=10.0)

    def __init__(self) -> None:
        super().__init__()
        self._shown = (0.0, 0.0)

    def read(self) -> Iterable[float]:
        if self.bench.now_s >= self._shown[0] + 10:
            self._shown = (self.bench.now_s, self.bench.cpu_j + self.bench.rest_w * self.bench.now_s)
        return [self._shown[1]]


class StillMeter(BenchMeter):
    def read(self) -> Iterable[float]:
        return [7.0]


class FailingMeter(BenchMeter):
    def read(self) -> Iterable[float]:
        return [float("nan") if self.bench.now_s > 20 else self.bench.cpu_j]


class DeniedMeter(BenchMeter):
    @classmethod
    def open(cls, settings: Settings) -> DeniedMeter:
        raise Denied("only root may read it; chmod it")


class AbsentMeter(BenchMeter):
    @classmethod
    def open(cls, settings: Settings) -> AbsentMeter:
        raise Absent("no such address")


class BenchModel(BenchMeter):
    fallback: ClassVar[bool] = True


@pytest.fixture(autouse=True)
def every_meter(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that are on offer, and not only the model."""
    monkeypatch.delenv("JOULEGRAM_METERS")


@pytest.fixture
def offer(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Puts meters on offer, in place of those that are installed."""

    def offer(bench: TestBench, **meters: type[BenchMeter]) -> TestBench:
        entries = {
            name: EntryPoint(name, f"{__name__}:{kind.__name__}", registry.METERS) for name, kind in meters.items()
        }
        monkeypatch.setattr(registry, "_group", lambda group: entries)
        monkeypatch.setattr(registry, "load", lambda group, name: _found(meters, name))
        monkeypatch.setattr(BenchMeter, "bench", bench, raising=False)
        monkeypatch.setattr(BenchMeter, "closed", 0)
        return bench

    return offer


def calibrated(bench: TestBench, against: str | None = None, seconds: float = LEVEL_S) -> Calibration:
    """A bench, calibrated against what is on offer."""
    return calibrate(Settings(), find_reference(Settings(), against), bench.machine(), seconds)


def _found(meters: dict[str, type[BenchMeter]], name: str) -> type[BenchMeter]:
    if name not in meters:
        raise LookupError(f"no joulegram.meters plugin is called {name!r}")
    return meters[name]


def test_both_ends_of_the_line_are_found_and_kept(offer: Any) -> None:
    bench = offer(TestBench(idle_w=20, full_w=100), a_model=BenchModel, rapl=BenchMeter)
    done = calibrated(bench)
    assert (done.profile.idle_w, done.profile.max_w) == (pytest.approx(20), pytest.approx(100))
    assert (done.profile.host, done.profile.cpu, done.profile.threads) == ("alpha", CPUS.name, 16)
    assert done.profile.source == "calibrated against rapl"
    assert (bench.loads, bench.loaded, BenchMeter.closed) == (1, False, 1)
    assert bench.now_s == pytest.approx(120, abs=2)
    keep(done.profile)
    after = model_of(Settings(), "alpha", CPUS)
    assert (after.idle_w, after.full_w) == (pytest.approx(20), pytest.approx(100))


@given(
    idle_w=st.floats(0.1, 300), rise_w=st.floats(1, 500), others=st.floats(0, 0.4), reached=st.floats(0.91, 1.0),
)  # fmt: skip
def test_somebody_elses_load_does_not_move_the_line(
    idle_w: float, rise_w: float, others: float, reached: float
) -> None:
    bench = TestBench(idle_w, idle_w + rise_w, others, reached)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(registry, "names", lambda group: ("rapl",))
        patched.setattr(registry, "load", lambda group, name: BenchMeter)
        patched.setattr(BenchMeter, "bench", bench, raising=False)
        profile = calibrated(bench).profile
    assert profile.idle_w == pytest.approx(idle_w, abs=0.02)
    assert profile.max_w == pytest.approx(idle_w + rise_w, abs=0.02)


def test_a_counter_that_wraps_is_followed(offer: Any) -> None:
    bench = offer(TestBench(idle_w=20, full_w=100), rapl=WrappingMeter)
    profile = calibrated(bench, seconds=10).profile
    assert (profile.idle_w, profile.max_w) == (pytest.approx(20), pytest.approx(100))


def test_the_wall_tells_what_load_adds_and_the_model_keeps_its_idle_power(offer: Any) -> None:
    bench = offer(TestBench(idle_w=20, full_w=100), http=WallMeter)
    done = calibrated(bench, against="http")
    assert (done.idle.power_w, done.full.power_w) == (pytest.approx(60), pytest.approx(140))
    assert done.profile.idle_w == pytest.approx(done.before.idle_w)
    assert done.profile.max_w - done.profile.idle_w == pytest.approx(80)
    assert done.profile.source == "calibrated against wall meter http"


def test_the_wall_is_not_taken_unasked(offer: Any) -> None:
    bench = offer(TestBench(), http=WallMeter)
    with pytest.raises(CannotCalibrate, match="no meter measures the CPUs' energy here; name a wall meter"):
        calibrated(bench)
    assert BenchMeter.closed == 1


@pytest.mark.parametrize(
    ("bench", "meter", "against", "said"),
    [
        (TestBench(), BenchModel, None, "set idle_w and max_w in the configuration"),
        (TestBench(), DeniedMeter, None, "rapl: only root may read it; chmod it"),
        (TestBench(), AbsentMeter, "rapl", "no such address"),
        (TestBench(), BenchMeter, "nosuch", "no joulegram.meters plugin is called 'nosuch'"),
        (TestBench(), StillMeter, None, "hardly moved in 50 s; give it longer (--seconds)"),
        (TestBench(), FailingMeter, None, "failed to read cpu:package-0"),
        (TestBench(others=0.7), BenchMeter, None, "70% busy when left alone and 100% under full load"),
        (TestBench(reached=0.2), BenchMeter, None, "20% under full load"),
        (TestBench(idle_w=50, full_w=50), BenchMeter, None, "not a meter of this machine's CPUs"),
    ],
)  # fmt: skip
def test_what_stands_in_the_way_is_told_in_one_line(
    bench: TestBench, meter: type[BenchMeter], against: str | None, said: str, offer: Any
) -> None:
    offer(bench, rapl=meter)
    with pytest.raises(CannotCalibrate) as caught:
        calibrated(bench, against)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not bench.loaded


def test_an_interrupt_ends_the_load(offer: Any) -> None:
    bench = offer(TestBench(), rapl=BenchMeter)
    sleep = bench.sleep

    def interrupted(seconds: float) -> None:
        if bench.loaded and bench.now_s > 80:
            raise KeyboardInterrupt
        sleep(seconds)

    bench.sleep = interrupted
    with pytest.raises(KeyboardInterrupt):
        calibrated(bench)
    assert (bench.loads, bench.loaded, BenchMeter.closed) == (1, False, 1)


@pytest.fixture
def on_the_bench(offer: Any, monkeypatch: pytest.MonkeyPatch) -> TestBench:
    """The command measures a bench instead of this machine."""
    bench: TestBench = offer(TestBench(), rapl=BenchMeter, http=WallMeter)

    @contextmanager
    def here() -> Iterator[Machine]:
        yield bench.machine()

    monkeypatch.setattr(Machine, "here", staticmethod(here))
    return bench


def test_the_command_shows_before_and_after_and_keeps_the_profile(
    on_the_bench: TestBench, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["calibrate"]) == 0
    out = capsys.readouterr().out
    (profile,) = profiles()
    assert (profile.idle_w, profile.max_w) == (20, 100)
    assert "model before" in out
    assert "calibrated against rapl" in out
    assert "Kept in" in out


def test_a_dry_run_keeps_nothing(on_the_bench: TestBench, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calibrate", "--dry-run", "--seconds", "5"]) == 0
    assert "nothing is kept" in capsys.readouterr().out
    assert profiles() == []
    assert on_the_bench.now_s < 40


def test_the_configurations_own_power_is_said_to_go_first(
    on_the_bench: TestBench, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOULEGRAM_IDLE_W", "5")
    monkeypatch.setenv("JOULEGRAM_MAX_W", "50")
    assert main(["calibrate"]) == 0
    assert "still go first" in capsys.readouterr().out


@pytest.mark.parametrize("against", [None, "http"])
def test_the_table_fits_eighty_columns(offer: Any, against: str | None) -> None:
    bench = offer(TestBench(), rapl=BenchMeter, http=WallMeter)
    keep(Profile("a-node-with-a-name-that-goes-on-and-on.of-some-cluster.example.org", CPUS.name, 16, 20, 60, "given"))
    told = StringIO()
    print_calibration(calibrated(bench, against), Console(file=told, width=80))
    assert max(map(len, told.getvalue().splitlines())) <= 80
    assert "80.0 W" in told.getvalue() or "100.0 W" in told.getvalue()


@pytest.mark.parametrize("seconds", ["0", "soon", "nan", "1e9"])
def test_a_length_that_makes_no_sense_is_told_in_one_line(seconds: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["calibrate", "--seconds", seconds])
    assert left.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_the_command_tells_that_there_is_nothing_to_calibrate_against(
    offer: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    offer(TestBench(), a_model=BenchModel)
    assert main(["calibrate"]) == 2
    assert "set idle_w and max_w in the configuration from a wall meter by hand" in capsys.readouterr().err


def test_this_machine_is_named_and_counted() -> None:
    with Machine.here() as machine:
        assert machine.cpus.threads > 0
        assert machine.busy_s() >= 0
