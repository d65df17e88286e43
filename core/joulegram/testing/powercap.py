"""A powercap tree whose counters follow a known power, without root and without hardware.

    tree = PowercapTree(tmp_path, "laptop", PowerTrace((0.35, 20.0), (0.35, 100.0)))
    meter = RaplMeter(tree.root)
    tree.update(2.5)  # the counters as they stand after 2.5 s

    with PowercapTree(tmp_path).run_live() as tree:  # follows the monotonic clock
        start_s = time.monotonic()
        ...
        joules = tree.truth_j("intel-rapl:0", start_s, time.monotonic())

Folders, links, files and units are those of the kernel (Documentation/power/powercap in the Linux tree): a class folder
of links into a folder of devices. A layout also says what a right meter makes of each zone.
"""

from __future__ import annotations

import os
import threading
import time
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from types import MappingProxyType

UJ_PER_J = 1_000_000
RANGE_J = 262_143.328850
"""2³² steps of 2⁻¹⁴ J, the range of most packages."""

_START_J, _APART_J = 1_234.567, 9_876.543
_DIGITS = 15
"""Every number is as long as the one that it overwrites, so that no reader meets half of each."""


class PowerTrace:
    """Power over time: steps of seconds and watts, repeated for ever."""

    def __init__(self, *steps: tuple[float, float]) -> None:
        self._watts = [watts for _, watts in steps]
        self._times = [0.0, *accumulate(seconds for seconds, _ in steps)]
        self._joules = [0.0, *accumulate(seconds * watts for seconds, watts in steps)]

    @property
    def peak_w(self) -> float:
        """The most that it draws (W)."""
        return max(self._watts)

    def energy_j(self, time_s: float) -> float:
        """Joules from time 0 to `time_s`."""
        rounds, within_s = divmod(time_s, self._times[-1])
        step = min(bisect_right(self._times, within_s), len(self._watts)) - 1
        begun_j = self._joules[step] + (within_s - self._times[step]) * self._watts[step]
        return rounds * self._joules[-1] + begun_j


@dataclass(frozen=True, slots=True)
class VirtualZone:
    """One zone of a layout.

    Args:
        id: the kernel's name for it, ``intel-rapl:0:1``.
        name: what its file ``name`` says.
        scale: its power, in parts of the trace's.
        channel: the channel that a right meter counts it in; None where counting it would count something twice.
        mirrors: the zone whose counter it shows.
        limited: whether it has power limits.
    """

    id: str
    name: str
    scale: float = 1.0
    channel: str | None = None
    mirrors: str | None = None
    limited: bool = True

    @property
    def folder(self) -> str:
        """Where its files are among the devices."""
        interface, *numbers = self.id.split(":")
        names = [f"{interface}:{':'.join(numbers[: depth + 1])}" for depth in range(len(numbers))]
        return "/".join([interface, *names])


def _package(number: int, name: str = "", scale: float = 1.0, dram: bool = True) -> tuple[VirtualZone, ...]:
    """A server's package, with its DRAM."""
    name = name or f"package-{number}"
    package = VirtualZone(f"intel-rapl:{number}", name, scale, f"cpu:{name}")
    return (package, VirtualZone(f"intel-rapl:{number}:0", "dram", 0.2 * scale, f"dram:{name}"))[: 1 + dram]


def _amd(number: int, scale: float = 1.0) -> tuple[VirtualZone, ...]:
    """A package that shows neither DRAM nor limits."""
    return (
        VirtualZone(f"intel-rapl:{number}", f"package-{number}", scale, f"cpu:package-{number}", limited=False),
        VirtualZone(f"intel-rapl:{number}:0", "core", 0.7 * scale, limited=False),
    )


_CLIENT = (
    VirtualZone("intel-rapl:0:0", "core", 0.7),
    VirtualZone("intel-rapl:0:1", "uncore", 0.1),
    VirtualZone("intel-rapl:1", "psys", 1.5),
)
_PACKAGE = VirtualZone("intel-rapl:0", "package-0", channel="cpu:package-0")
_DIES = tuple(VirtualZone(f"intel-rapl:{n}", f"package-0-die-{n}", mirrors="intel-rapl:0") for n in range(1, 12))

LAYOUTS: Mapping[str, tuple[VirtualZone, ...]] = MappingProxyType(
    {
        "laptop": (_PACKAGE, *_CLIENT, VirtualZone("intel-rapl-mmio:0", "package-0")),
        "mmio_only": (VirtualZone("intel-rapl-mmio:0", "package-0", channel="cpu:package-0"),),
        "server": _package(0),
        "server_no_dram": _package(0, dram=False),
        "server_tpmi": (
            *_package(0),
            VirtualZone("intel-rapl-tpmi:0", "package-0"),
            VirtualZone("intel-rapl-tpmi:0:0", "dram", 0.2),
        ),
        "dram_apart": (*_package(0, dram=False), VirtualZone("intel-rapl:1", "dram", 0.2, "dram:zone-1")),
        "two_sockets": _package(0) + _package(1, scale=0.8),
        "twelve_sockets": tuple(zone for number in range(12) for zone in _package(number, scale=1 - number / 20)),
        "multi_die": _package(0, "package-0-die-0") + _package(1, "package-0-die-1", scale=0.6),
        "mirrored_dies": (VirtualZone("intel-rapl:0", "package-0-die-0", channel="cpu:package-0-die-0"), *_DIES),
        "amd": _amd(0),
        "amd_two_sockets": _amd(0) + _amd(1, scale=0.8),
        "psys_only": (VirtualZone("intel-rapl:0", "psys", 1.5),),
    }
)


class PowercapTree:
    """A powercap tree in a folder; its clock is the caller's (`update`), or the monotonic one (`run_live`).

    Args:
        path: an empty folder.
        layout: one of `LAYOUTS`.
        power: what a whole package draws (W), or its trace; the other zones draw their parts of it.
        range_j: where the counters start again from zero (J).
        start_j: what the first counter shows at time 0 (J).
        apart_j: how much further each next one is (J): on a real machine no two are alike.
    """

    def __init__(
        self,
        path: Path,
        layout: str = "server",
        power: float | PowerTrace = 60.0,
        *,
        range_j: float = RANGE_J,
        start_j: float = _START_J,
        apart_j: float = _APART_J,
    ) -> None:
        self.root = path / "class" / "powercap"
        self.zones = {zone.id: zone for zone in LAYOUTS[layout]}
        self._devices = path / "devices" / "virtual" / "powercap"
        self._trace = power if isinstance(power, PowerTrace) else PowerTrace((1.0, power))
        self._range_uj = round(range_j * UJ_PER_J)
        own = (zone.id for zone in self.zones.values() if zone.mirrors is None)
        self._start_j = {zone: start_j + number * apart_j for number, zone in enumerate(own)}
        self._files = {zone.id: self._make(zone) for zone in self.zones.values()}
        self.update(0.0)

    @property
    def channels(self) -> dict[str, str]:
        """The channels that a right meter finds, and the zone that each counts."""
        return {zone.channel: zone.id for zone in self.zones.values() if zone.channel is not None}

    def file(self, zone: str, name: str = "energy_uj") -> Path:
        """One of a zone's files."""
        return self._devices / self.zones[zone].folder / name

    def truth_j(self, zone: str, start_s: float, end_s: float) -> float:
        """What a zone consumed from `start_s` to `end_s` (J)."""
        return self.zones[zone].scale * (self._trace.energy_j(end_s) - self._trace.energy_j(start_s))

    def update(self, time_s: float) -> None:
        """Lets every counter show what it shows at `time_s`."""
        for name, descriptor in self._files.items():
            zone = self.zones[self.zones[name].mirrors or name]
            shown_uj = int((self._start_j[zone.id] + zone.scale * self._trace.energy_j(time_s)) * UJ_PER_J)
            os.pwrite(descriptor, b"%0*d\n" % (_DIGITS, shown_uj % (self._range_uj + 1)), 0)

    @contextmanager
    def run_live(self, period_s: float = 0.001) -> Iterator[PowercapTree]:
        """Follows the monotonic clock (s), on a thread, for programs that are not ours to drive."""
        stop = threading.Event()
        self.update(time.monotonic())
        thread = threading.Thread(target=self._follow, args=(stop, period_s), name="powercap-tree", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            stop.set()
            thread.join()

    def mask(self) -> None:
        """Hides the devices behind an empty folder, as containers do: the class's links lead nowhere."""
        self._devices.rename(self._devices.with_name("masked"))
        self._devices.mkdir()

    def close(self) -> None:
        """Lets go of the files, which stay as they are."""
        while self._files:
            os.close(self._files.popitem()[1])

    def _follow(self, stop: threading.Event, period_s: float) -> None:
        while not stop.wait(period_s):
            self.update(time.monotonic())

    def _make(self, zone: VirtualZone) -> int:
        """Makes a zone's folder, files and link; the descriptor of its counter."""
        folder = self._devices / zone.folder
        folder.mkdir(parents=True)
        self._link(zone.folder.partition("/")[0])
        self._link(zone.folder)
        for name, value in self._contents(zone).items():
            (folder / name).write_text(f"{value}\n")
        return os.open(folder / "energy_uj", os.O_WRONLY | os.O_CREAT, 0o444)

    def _link(self, device: str) -> None:
        """Links the class to a device, and the device to its class."""
        link, back = self.root / device.rpartition("/")[2], self._devices / device / "subsystem"
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink():
            link.symlink_to(Path("../../devices/virtual/powercap") / device)
            back.symlink_to(os.path.relpath(self.root, back.parent))

    def _contents(self, zone: VirtualZone) -> dict[str, object]:
        contents: dict[str, object] = {"name": zone.name, "enabled": 1, "max_energy_range_uj": self._range_uj}
        if zone.limited:
            peak_uw = round(zone.scale * self._trace.peak_w * UJ_PER_J)
            contents |= {
                "constraint_0_name": "long_term",
                "constraint_0_power_limit_uw": peak_uw,
                "constraint_0_max_power_uw": peak_uw,
                "constraint_0_time_window_us": 27_983_872,
            }
        return contents
