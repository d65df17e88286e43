"""RAPL through powercap, on virtual trees of known power: every joule once, and none that was not read."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from math import isnan
from pathlib import Path
from typing import Any

import pytest
from worlds import Kept, OwnedClock, StillRecorder, recorder

from joulegram.config import Settings
from joulegram.meters import Absent, Denied
from joulegram.meters.rapl import CEILING_W, RaplMeter
from joulegram.testing.powercap import LAYOUTS, PowercapTree, PowerTrace
from joulegram.units import NS_PER_S

SQUARE = PowerTrace((0.35, 20.0), (0.35, 100.0))
COUNTABLE = [layout for layout in LAYOUTS if layout != "psys_only"]
OF_ROOT = "/sys/class/powercap"


class OnTree(RaplMeter):
    """The meter on a tree that follows the test's clock, as hardware follows time."""

    def __init__(self, tree: PowercapTree, clock: OwnedClock) -> None:
        super().__init__(tree.root)
        self._tree, self._clock = tree, clock

    def read(self) -> Iterable[float]:
        self._tree.update(self._clock.monotonic_ns() / NS_PER_S)
        return super().read()


@pytest.fixture
def clock() -> OwnedClock:
    return OwnedClock()


def ids(meter: RaplMeter) -> list[str]:
    return [channel.id for channel in meter.channels]


def node_j(made: StillRecorder, clock: OwnedClock, channel: str) -> float:
    """What the recorder counted on a channel (J)."""
    values = made.trace(clock.monotonic_ns()).channels[f"{clock.host}/{channel}"].node.values
    return float(values[-1] - values[0])


def gaps(made: StillRecorder, channel: str) -> list[tuple[str, float, float, bool]]:
    """Why, from when, to when (s since the start), and whether the energy is known."""
    found = next(log for log in made.sampler.channels() if log.channel.id == channel).gaps
    return [(g.why, _since_s(g.start_ns), _since_s(g.end_ns), g.energy_known) for g in found]


def _since_s(time_ns: int) -> float:
    return round(time_ns / NS_PER_S - 100, 2)


# -- every joule once -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("range_j", [262_143.328850, 482.0], ids=["usual", "wraps-every-8-s"])
@pytest.mark.parametrize("layout", COUNTABLE)
def test_every_layout_is_counted_once_and_exactly(
    tmp_path: Path, clock: OwnedClock, layout: str, range_j: float
) -> None:
    tree = PowercapTree(tmp_path, layout, SQUARE, range_j=range_j)
    start_s = clock.monotonic_ns() / NS_PER_S
    made = recorder(clock, Kept(), OnTree(tree, clock))
    made.run_for(40.0)
    made.stop()
    assert sorted(log.channel.id for log in made.sampler.channels()) == sorted(tree.channels)
    for channel, zone in tree.channels.items():
        truth_j = tree.truth_j(zone, start_s, clock.monotonic_ns() / NS_PER_S)
        assert node_j(made, clock, channel) == pytest.approx(truth_j, rel=1e-4)
        assert gaps(made, channel) == []


def test_channels_tell_what_they_are(tmp_path: Path) -> None:
    meter = RaplMeter(PowercapTree(tmp_path, "multi_die", 50.0).root)
    assert ids(meter) == [
        "cpu:package-0-die-0",
        "dram:package-0-die-0",
        "cpu:package-0-die-1",
        "dram:package-0-die-1",
    ]
    package = meter.channels[0]
    assert (package.kind, package.method, package.share) == ("cpu", "measured", "cpu")
    assert package.wraps_at_j == pytest.approx(262_143.32885)
    assert (package.lag_s, package.resolution_s, package.idle_w) == (0.001, 0.001, None)
    assert "intel-rapl:0" in package.how
    assert meter.channels[3].kind == "dram"
    assert (RaplMeter.instant, RaplMeter.fallback) == (True, 0)


def test_zones_of_two_digits_come_in_their_order(tmp_path: Path) -> None:
    meter = RaplMeter(PowercapTree(tmp_path, "twelve_sockets").root)
    assert ids(meter)[::2] == [f"cpu:package-{number}" for number in range(12)]


def test_the_devices_own_folder_will_do_where_a_container_has_no_more(tmp_path: Path) -> None:
    PowercapTree(tmp_path, "server")
    options = {"rapl": {"root": str(tmp_path / "devices" / "virtual" / "powercap")}}
    assert ids(RaplMeter.open(Settings(meter_options=options))) == ["cpu:package-0", "dram:package-0"]  # type: ignore[arg-type]


# -- shown twice ------------------------------------------------------------------------------------------------------


def test_dies_that_start_alike_and_go_on_differently_are_two(tmp_path: Path) -> None:
    tree = PowercapTree(tmp_path, "multi_die", apart_j=0.0)
    meter = RaplMeter(tree.root, wait=lambda: tree.update(1.0))
    assert ids(meter) == list(tree.channels)


def test_dies_that_go_on_alike_from_different_starts_are_two(tmp_path: Path) -> None:
    tree = PowercapTree(tmp_path, "multi_die")
    for zone in tree.zones:
        object.__setattr__(tree.zones[zone], "scale", 1.0)  # the same power everywhere
    assert ids(RaplMeter(tree.root, wait=lambda: tree.update(1.0))) == list(tree.channels)


def test_dies_that_show_one_counter_are_one_however_far_it_moves_meanwhile(tmp_path: Path) -> None:
    tree = PowercapTree(tmp_path, "mirrored_dies")
    waits: list[None] = []
    meter = RaplMeter(tree.root, wait=lambda: waits.append(tree.update(1.0)))
    assert ids(meter) == ["cpu:package-0-die-0"]
    assert len(waits) == 1  # for all twelve together


def test_the_mmio_package_is_taken_when_the_other_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = PowercapTree(tmp_path, "laptop")
    fail_reads(monkeypatch, OSError(5, "Input/output error"), "/intel-rapl/")
    meter = RaplMeter(tree.root)
    assert ids(meter) == ["cpu:package-0"]
    assert "intel-rapl-mmio:0" in meter.channels[0].how


# -- bounds -----------------------------------------------------------------------------------------------------------


def test_power_is_bounded_by_the_limits_with_headroom_and_by_the_largest_package_without(tmp_path: Path) -> None:
    limited = RaplMeter(PowercapTree(tmp_path / "a", "server", 65.0).root)
    assert [channel.max_w for channel in limited.channels] == pytest.approx([195.0, 39.0])
    assert RaplMeter(PowercapTree(tmp_path / "b", "amd").root).channels[0].max_w == CEILING_W


def test_a_limit_that_limits_nothing_is_no_bound(tmp_path: Path) -> None:
    tree = PowercapTree(tmp_path, "server")
    tree.file("intel-rapl:0", "constraint_0_power_limit_uw").write_text("4095875000\n")
    tree.file("intel-rapl:0:0", "constraint_0_power_limit_uw").write_text("0\n")
    tree.file("intel-rapl:0:0", "constraint_0_max_power_uw").write_text("\n")
    assert [channel.max_w for channel in RaplMeter(tree.root).channels] == [CEILING_W, CEILING_W]


@pytest.mark.parametrize("layout", ["server", "amd"])
def test_two_wraps_between_two_reads_are_a_gap_of_unknown_energy(
    tmp_path: Path, clock: OwnedClock, layout: str
) -> None:
    tree = PowercapTree(tmp_path, layout, 60.0, range_j=500.0)
    made = recorder(clock, Kept(), OnTree(tree, clock))
    made.run_for(1.0)
    start_ns = clock.monotonic_ns()
    clock.advance(20.0)
    made.run_for(1.0)
    end_ns = clock.monotonic_ns() - NS_PER_S
    made.stop()
    assert gaps(made, "cpu:package-0") == [("late", 1.0, 21.05, False)]
    counted_j, truth_j = node_j(made, clock, "cpu:package-0"), 60.0 * 22.0
    most_j = counted_j + (made.sampler.channels()[0].channel.max_w or 0) * (end_ns - start_ns) / NS_PER_S
    assert counted_j < truth_j <= most_j


def test_one_wrap_while_nobody_read_is_known(tmp_path: Path, clock: OwnedClock) -> None:
    tree = PowercapTree(tmp_path, "server", 60.0, range_j=1000.0, start_j=980.0)
    made = recorder(clock, Kept(), OnTree(tree, clock))
    clock.advance(5.0)
    made.run_for(0.5)
    made.stop()
    assert node_j(made, clock, "cpu:package-0") == pytest.approx(330.0)
    assert gaps(made, "cpu:package-0") == [("late", 0.0, 5.05, True)]


# -- reads that fail --------------------------------------------------------------------------------------------------


def fail_reads(monkeypatch: pytest.MonkeyPatch, error: OSError, where: str) -> Callable[[], None]:
    """Lets opening and reading fail for files of such a path; the answer ends it."""
    paths: dict[int, str] = {}
    real_open, real_pread = os.open, os.pread

    def opens(path: Any, *arguments: Any, **more: Any) -> int:
        descriptor = real_open(path, *arguments, **more)
        paths[descriptor] = str(path)
        return descriptor

    def preads(descriptor: int, *arguments: int) -> bytes:
        path = paths.get(descriptor) or os.readlink(f"/proc/self/fd/{descriptor}")
        if where in path and path.endswith("energy_uj"):
            raise error
        return real_pread(descriptor, *arguments)

    monkeypatch.setattr(os, "open", opens)
    monkeypatch.setattr(os, "pread", preads)

    def end() -> None:
        monkeypatch.setattr(os, "open", real_open)
        monkeypatch.setattr(os, "pread", real_pread)

    return end


@pytest.mark.parametrize(
    "error", [PermissionError(13, "Permission denied"), OSError(19, "No such device")], ids=["denied", "gone"]
)
def test_a_channel_that_cannot_be_read_any_more_is_missing_alone_and_just_as_long(
    tmp_path: Path, clock: OwnedClock, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    tree = PowercapTree(tmp_path, "two_sockets", 60.0)
    made = recorder(clock, Kept(), OnTree(tree, clock))
    made.run_for(1.0)
    end = fail_reads(monkeypatch, error, "intel-rapl:1/energy_uj")
    made.run_for(2.0)
    end()
    made.run_for(1.0)
    made.stop()
    assert gaps(made, "cpu:package-1") == [("failed", 1.0, 3.05, True)]
    assert [gaps(made, channel) for channel in tree.channels if channel != "cpu:package-1"] == [[], [], []]
    assert node_j(made, clock, "cpu:package-1") == pytest.approx(0.8 * 60 * 4)  # the counter went on meanwhile
    assert node_j(made, clock, "cpu:package-0") == pytest.approx(60 * 4)


def test_a_file_that_holds_no_number_is_a_failed_read_and_not_a_zero(tmp_path: Path) -> None:
    tree = PowercapTree(tmp_path, "server")
    meter = RaplMeter(tree.root)
    os.truncate(tree.file("intel-rapl:0"), 0)
    package_j, dram_j = meter.read()
    assert isnan(package_j)
    assert dram_j > 0
    tree.update(1.0)
    assert not any(map(isnan, meter.read()))


def test_a_zone_that_comes_back_as_another_file_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = PowercapTree(tmp_path, "server")
    meter = RaplMeter(tree.root)
    end = fail_reads(monkeypatch, OSError(19, "No such device"), "energy_uj")
    assert all(map(isnan, meter.read()))
    end()
    path = tree.file("intel-rapl:0")
    path.unlink()
    path.write_text("77000000\n")
    assert next(iter(meter.read())) == 77.0


def test_a_zone_that_alone_cannot_be_read_is_a_channel_without_energy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = PowercapTree(tmp_path, "server")
    fail_reads(monkeypatch, PermissionError(13, "Permission denied"), "intel-rapl:0:0")
    meter = RaplMeter(tree.root)
    assert ids(meter) == ["cpu:package-0", "dram:package-0"]
    assert [isnan(value) for value in meter.read()] == [False, True]


def test_no_descriptor_stays_open(tmp_path: Path) -> None:
    before = sorted(os.listdir("/proc/self/fd"))
    tree = PowercapTree(tmp_path, "laptop")
    meter = RaplMeter(tree.root)
    meter.close()
    tree.close()
    assert sorted(os.listdir("/proc/self/fd")) == before


# -- absent, denied, masked -------------------------------------------------------------------------------------------


def test_absent_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(Absent, match=r"there is no .*/powercap: .*virtual machines"):
        RaplMeter(tmp_path / "powercap")
    with pytest.raises(Absent, match=r"no zone called package-N .*it has: nothing"):
        RaplMeter(tmp_path)


def test_psys_alone_is_not_counted_since_nobody_knows_what_it_holds(tmp_path: Path) -> None:
    with pytest.raises(Absent, match=r"no zone called package-N .*intel-rapl:0"):
        RaplMeter(PowercapTree(tmp_path, "psys_only").root)


def test_denied_names_the_rule_that_opens_the_counters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = PowercapTree(tmp_path, "server")
    fail_reads(monkeypatch, PermissionError(13, "Permission denied"), "energy_uj")
    with pytest.raises(Denied, match="may be read by root alone") as refused:
        RaplMeter(tree.root)
    said = str(refused.value)
    assert "\n" not in said
    assert "/etc/udev/rules.d/" in said
    assert "CAP_DAC_READ_SEARCH" in said
    assert f"chmod a+r {OF_ROOT}/*/energy_uj" in said


@pytest.fixture
def ordinary_user() -> Iterator[Path]:
    """The test goes on without root's rights; a folder that it may look into."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        root = os.geteuid() == 0
        try:
            yield Path(folder)
        finally:
            if root:
                os.seteuid(0)


def without_root() -> None:
    """Gives up root's rights, if there are any, until the test ends."""
    if os.geteuid() == 0:
        os.seteuid(65534)


def test_an_ordinary_user_is_denied_what_only_root_may_read(ordinary_user: Path) -> None:
    tree = PowercapTree(ordinary_user, "server")
    for zone in tree.zones:
        tree.file(zone).chmod(0o400 if os.geteuid() == 0 else 0)
    without_root()
    with pytest.raises(Denied, match="may be read by root alone"):
        RaplMeter(tree.root)


def test_what_was_opened_while_it_was_allowed_is_read_on(ordinary_user: Path) -> None:
    tree = PowercapTree(ordinary_user, "server")
    meter = RaplMeter(tree.root)
    for zone in tree.zones:
        tree.file(zone).chmod(0)
    without_root()
    assert not any(map(isnan, meter.read()))


def test_folders_that_may_not_be_looked_into_are_denied(ordinary_user: Path) -> None:
    tree = PowercapTree(ordinary_user, "server")
    tree.file("intel-rapl:0").parent.chmod(0)
    without_root()
    with pytest.raises(Denied, match="may be read by root alone"):
        RaplMeter(tree.root)


def test_masked_in_a_container_is_told_apart_and_has_its_own_remedy(tmp_path: Path) -> None:
    tree = PowercapTree(tmp_path, "two_sockets")
    tree.mask()
    with pytest.raises(Denied, match="the container masks powercap") as refused:
        RaplMeter(tree.root)
    assert "/sys/devices/virtual/powercap:/powercap:ro" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_the_folder_that_the_remedy_names_can_be_set_by_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from joulegram import config

    tree = PowercapTree(tmp_path, "server")
    monkeypatch.setenv("JOULEGRAM_METER_OPTIONS_RAPL_ROOT", str(tree.root))
    assert ids(RaplMeter.open(config.load())) == ["cpu:package-0", "dram:package-0"]


def test_counters_that_fail_for_another_reason_are_absent_and_say_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = PowercapTree(tmp_path, "server")
    fail_reads(monkeypatch, OSError(61, "No data available"), "energy_uj")
    with pytest.raises(Absent, match=r"intel-rapl:0/energy_uj cannot be read: .*No data available"):
        RaplMeter(tree.root)
