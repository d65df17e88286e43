"""RAPL through perf events, on a virtual sysfs and a virtual kernel that counts a known energy."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import isnan
from pathlib import Path

import pytest
from worlds import Kept, OwnedClock, recorder

from joulegram.config import Settings
from joulegram.host.cohort import Cohort
from joulegram.meters import Absent, Denied
from joulegram.meters.cpu_model import CpuModelMeter
from joulegram.meters.perf_rapl import OpenEvent, PerfRaplMeter, cpus_of, perf_event_open
from joulegram.meters.rapl import RaplMeter
from joulegram.recorder import opening
from joulegram.recorder.sampler import Sampler
from joulegram.testing.powercap import PowercapTree
from joulegram.units import NS_PER_S

CLIENT = {"energy-cores": 1, "energy-pkg": 2, "energy-ram": 3, "energy-gpu": 4, "energy-psys": 5}
SERVER = {"energy-pkg": 2, "energy-ram": 3}
SCALE_J = 2**-32


def machine(
    root: Path,
    events: Mapping[str, int] = SERVER,
    mask: str = "0",
    places: Sequence[tuple[int, int]] = ((0, 0),),
    vendor: str = "GenuineIntel",
) -> Path:
    """What a kernel says of its PMU `power`, and where each CPU is: its package and its die."""
    pmu = root / "sys/bus/event_source/devices/power"
    (pmu / "events").mkdir(parents=True)
    (pmu / "type").write_text("9\n")
    (pmu / "cpumask").write_text(f"{mask}\n")
    for name, config in events.items():
        (pmu / "events" / name).write_text(f"event=0x{config:02x}\n")
        (pmu / "events" / f"{name}.unit").write_text("Joules\n")
        (pmu / "events" / f"{name}.scale").write_text("2.3283064365386962890625e-10\n")
    for cpu, (package, die) in enumerate(places):
        topology = root / f"sys/devices/system/cpu/cpu{cpu}/topology"
        topology.mkdir(parents=True)
        (topology / "physical_package_id").write_text(f"{package}\n")
        (topology / "die_id").write_text(f"{die}\n")
    (root / "proc").mkdir()
    (root / "proc/cpuinfo").write_text(f"processor\t: 0\nvendor_id\t: {vendor}\n")
    return root


class Kernel:
    """Counts joules in events, each in a file that holds what a read of its descriptor brings."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.opened: list[tuple[int, int, int]] = []
        self.error: OSError | None = None

    def open_event(self, pmu: int, config: int, cpu: int) -> int:
        if self.error is not None:
            raise self.error
        self.opened.append((pmu, config, cpu))
        self.count(config, cpu, 0.0)
        return os.open(self._path(config, cpu), os.O_RDONLY)

    def count(self, config: int, cpu: int, joules: float) -> None:
        """The event stands at so many joules."""
        self._path(config, cpu).write_bytes(round(joules / SCALE_J).to_bytes(8, "little"))

    def _path(self, config: int, cpu: int) -> Path:
        return self._folder / f"event-{config}-{cpu}"


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    # A file's position moves on with a read, an event's does not.
    monkeypatch.setattr(os, "read", lambda descriptor, count: os.pread(descriptor, count, 0))
    return Kernel(tmp_path)


def ids(meter: PerfRaplMeter) -> list[str]:
    return [channel.id for channel in meter.channels]


def test_packages_and_dram_are_counted_and_nothing_that_is_inside_or_around_them(
    tmp_path: Path, kernel: Kernel
) -> None:
    meter = PerfRaplMeter(machine(tmp_path, CLIENT), kernel.open_event)
    assert kernel.opened == [(9, 2, 0), (9, 3, 0)]
    assert ids(meter) == ["cpu:package-0", "dram:package-0"]
    channel = meter.channels[0]
    assert (channel.kind, channel.method, channel.share, channel.wraps_at_j) == ("cpu", "measured", "cpu", None)
    assert "energy-pkg" in channel.how


def test_counts_are_joules_and_go_past_32_bits_without_wrapping(tmp_path: Path, kernel: Kernel) -> None:
    meter = PerfRaplMeter(machine(tmp_path), kernel.open_event)
    kernel.count(2, 0, 1_000_000.25)
    kernel.count(3, 0, 12.5)
    assert list(meter.read()) == pytest.approx([1_000_000.25, 12.5])


def test_every_socket_is_counted_on_its_own_cpu(tmp_path: Path, kernel: Kernel) -> None:
    places = [(0, 0), (0, 0), (1, 0), (1, 0)]
    meter = PerfRaplMeter(machine(tmp_path, mask="0,2", places=places), kernel.open_event)
    assert ids(meter) == ["cpu:package-0", "dram:package-0", "cpu:package-1", "dram:package-1"]
    assert [cpu for _, _, cpu in kernel.opened] == [0, 0, 2, 2]


def test_dies_are_named_as_powercap_names_them(tmp_path: Path, kernel: Kernel) -> None:
    root = machine(tmp_path, {"energy-pkg": 2}, mask="0-1", places=[(0, 0), (0, 1)])
    assert ids(PerfRaplMeter(root, kernel.open_event)) == ["cpu:package-0-die-0", "cpu:package-0-die-1"]


def test_dies_of_amd_show_their_packages_counter_and_are_counted_once(tmp_path: Path, kernel: Kernel) -> None:
    places = [(0, 0), (0, 1), (1, 0), (1, 1)]
    root = machine(tmp_path, {"energy-pkg": 2}, mask="0-3", places=places, vendor="AuthenticAMD")
    assert ids(PerfRaplMeter(root, kernel.open_event)) == ["cpu:package-0", "cpu:package-1"]
    assert [cpu for _, _, cpu in kernel.opened] == [0, 2]


@pytest.mark.parametrize(("mask", "cpus"), [("0\n", [0]), ("0,18-20", [0, 18, 19, 20]), ("0-1,64", [0, 1, 64])])
def test_a_mask_of_cpus_is_understood(mask: str, cpus: list[int]) -> None:
    assert cpus_of(mask) == cpus


def test_what_it_counts_reaches_the_curves(tmp_path: Path, kernel: Kernel) -> None:
    clock = OwnedClock()

    class Followed(PerfRaplMeter):
        def read(self) -> Iterable[float]:
            kernel.count(2, 0, 60.0 * (clock.monotonic_ns() / NS_PER_S - 100))
            return super().read()

    made = recorder(clock, Kept(), Followed(machine(tmp_path), kernel.open_event))
    made.run_for(10.0)
    made.stop()
    node = made.trace(clock.monotonic_ns()).channels["alpha/cpu:package-0"].node
    assert node.values[-1] == pytest.approx(600.0)


def test_a_read_that_fails_is_missing_and_of_that_channel_alone(tmp_path: Path, kernel: Kernel) -> None:
    meter = PerfRaplMeter(machine(tmp_path), kernel.open_event)
    (tmp_path / "event-2-0").write_bytes(b"")  # the end of the file is how an event in error reads
    package_j, dram_j = meter.read()
    assert isnan(package_j)
    assert dram_j == 0.0


def test_closed_meters_leave_nothing_open(tmp_path: Path, kernel: Kernel) -> None:
    before = sorted(os.listdir("/proc/self/fd"))
    meter = PerfRaplMeter(machine(tmp_path), kernel.open_event)
    meter.close()
    meter.close()
    assert sorted(os.listdir("/proc/self/fd")) == before


# -- absent and denied ------------------------------------------------------------------------------------------------


def test_no_pmu_is_absent(tmp_path: Path, kernel: Kernel) -> None:
    with pytest.raises(Absent, match=r"no perf PMU .*/devices/power, .*virtual machines"):
        PerfRaplMeter(tmp_path, kernel.open_event)


def test_a_pmu_without_packages_is_absent(tmp_path: Path, kernel: Kernel) -> None:
    with pytest.raises(Absent, match="does not count packages"):
        PerfRaplMeter(machine(tmp_path, {"energy-ram": 3}), kernel.open_event)


def test_an_event_in_another_unit_is_not_taken_for_joules(tmp_path: Path, kernel: Kernel) -> None:
    root = machine(tmp_path)
    (root / "sys/bus/event_source/devices/power/events/energy-ram.unit").write_text("Watts\n")
    assert ids(PerfRaplMeter(root, kernel.open_event)) == ["cpu:package-0"]


@pytest.mark.parametrize("code", [errno.EACCES, errno.EPERM])
def test_denied_names_the_setting_and_the_capability(tmp_path: Path, kernel: Kernel, code: int) -> None:
    kernel.error = OSError(code, os.strerror(code))
    with pytest.raises(Denied, match=r"kernel\.perf_event_paranoid=0.*CAP_PERFMON"):
        PerfRaplMeter(machine(tmp_path), kernel.open_event)


def refusing(kernel: Kernel, refused: tuple[int, int], code: int) -> OpenEvent:
    """A kernel that refuses one event on one CPU."""

    def open_event(pmu: int, config: int, cpu: int) -> int:
        if (config, cpu) == refused:
            raise OSError(code, os.strerror(code))
        return kernel.open_event(pmu, config, cpu)

    return open_event


def test_dram_that_is_shown_in_vain_is_no_channel(tmp_path: Path, kernel: Kernel) -> None:
    meter = PerfRaplMeter(machine(tmp_path), refusing(kernel, (3, 0), errno.EINVAL))
    assert ids(meter) == ["cpu:package-0"]


@pytest.mark.parametrize(("refused", "code"), [((2, 1), errno.EINVAL), ((3, 1), errno.EACCES)])
def test_a_package_that_cannot_be_opened_is_not_left_out_in_silence(
    tmp_path: Path, kernel: Kernel, refused: tuple[int, int], code: int
) -> None:
    before = sorted(os.listdir("/proc/self/fd"))
    root = machine(tmp_path, mask="0-1", places=[(0, 0), (1, 0)])
    with pytest.raises((Absent, Denied)):
        PerfRaplMeter(root, refusing(kernel, refused, code))
    assert sorted(os.listdir("/proc/self/fd")) == before


# -- beside powercap --------------------------------------------------------------------------------------------------


@pytest.fixture
def on_machine(tmp_path: Path, kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> Callable[..., PerfRaplMeter]:
    """Opens the meter as a run does, on a machine with this PMU and this powercap tree."""
    root, real = machine(tmp_path / "machine"), PerfRaplMeter.__init__
    monkeypatch.setattr(PerfRaplMeter, "__init__", lambda self: real(self, root, kernel.open_event))

    def opens(powercap: Path, **more: object) -> PerfRaplMeter:
        return PerfRaplMeter.open(Settings(meter_options={"rapl": {"root": str(powercap)}}, **more))  # type: ignore[arg-type]

    return opens


def test_it_is_not_opened_where_powercap_can_be_read(tmp_path: Path, on_machine: Callable[..., PerfRaplMeter]) -> None:
    tree = PowercapTree(tmp_path / "tree")
    with pytest.raises(Absent, match="powercap shows the same counters"):
        on_machine(tree.root)
    assert ids(on_machine(tree.root, meters=("perf_rapl",))) == [c.id for c in RaplMeter(tree.root).channels]


def test_it_is_opened_where_powercap_is_absent_or_masked(
    tmp_path: Path, on_machine: Callable[..., PerfRaplMeter]
) -> None:
    assert ids(on_machine(tmp_path / "nowhere")) == ["cpu:package-0", "dram:package-0"]
    tree = PowercapTree(tmp_path / "tree")
    tree.mask()
    assert ids(on_machine(tree.root)) == ["cpu:package-0", "dram:package-0"]


@pytest.mark.parametrize(
    ("powercap", "perf", "used"),
    [
        ("readable", "readable", "rapl"),
        ("readable", "denied", "rapl"),
        ("masked", "readable", "perf_rapl"),
        ("absent", "readable", "perf_rapl"),
        ("masked", "denied", "cpu_model"),
        ("absent", "absent", "cpu_model"),
    ],
)
def test_a_run_uses_the_best_of_the_three_ways_to_a_cpus_energy(
    tmp_path: Path, kernel: Kernel, monkeypatch: pytest.MonkeyPatch, powercap: str, perf: str, used: str
) -> None:
    tree, real = PowercapTree(tmp_path / "tree"), PerfRaplMeter.__init__
    if powercap == "masked":
        tree.mask()
    root = tmp_path if perf == "absent" else machine(tmp_path / "machine")
    kernel.error = OSError(errno.EACCES, "Permission denied") if perf == "denied" else None
    monkeypatch.setattr(PerfRaplMeter, "__init__", lambda self: real(self, root, kernel.open_event))
    classes = {"cpu_model": CpuModelMeter, "perf_rapl": PerfRaplMeter, "rapl": RaplMeter}
    monkeypatch.setattr(opening.registry, "names", lambda group: tuple(classes))
    monkeypatch.setattr(opening.registry, "load", lambda group, name: classes[name])
    folder = tmp_path / "nowhere" if powercap == "absent" else tree.root
    said: list[tuple[str, str]] = []
    monkeypatch.setattr(opening, "QUICK", ("cpu_model", "rapl"))
    settings = Settings(meter_options={"rapl": {"root": str(folder)}})
    clock = OwnedClock()
    sampler = Sampler(settings, clock, Cohort("run-1"), clock.monotonic_ns())
    for meter in opening.open_quick(settings, lambda *note: said.append(note)):
        sampler.take(meter)
    sampler.tick()
    assert [meter.name for meter in sampler.meters] == [used]
    sampler.end(clock.monotonic_ns())
    said += [(note.kind, note.text) for note in sampler.notes]
    told = {text.partition(":")[0] for kind, text in said if kind == "meter"}
    remedies = {"rapl": powercap == "masked", "perf_rapl": perf == "denied" and used != "rapl"}
    assert told == {name for name, is_due in remedies.items() if is_due}


# -- the real call ----------------------------------------------------------------------------------------------------


def test_the_real_call_opens_an_event_that_every_kernel_has() -> None:
    software, cpu_clock_ns = 1, 0
    try:
        descriptor = perf_event_open(software, cpu_clock_ns, 0)
    except OSError as error:
        pytest.skip(f"this kernel refuses: {error}")
    first, second = (int.from_bytes(os.read(descriptor, 8), "little") for _ in range(2))
    os.close(descriptor)
    assert 0 < first < second


def test_the_real_call_says_why_the_kernel_refuses() -> None:
    with pytest.raises(OSError, match="Errno") as refused:
        perf_event_open(2**31 - 1, 0, 0)
    assert refused.value.errno
