"""The same RAPL counters through perf events, for where powercap is denied or absent.

The PMU ``power`` describes itself in sysfs (Documentation/ABI/testing/sysfs-bus-event_source-devices-events in the
Linux tree): its events, what a count is worth, and a CPU of each package, or of each die of one, to read them on. The
kernel adds the hardware's counter up to 64 bits, so nothing wraps.
"""

from __future__ import annotations

import errno
import os
import re
import struct
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import nan
from pathlib import Path
from typing import ClassVar

from joulegram.config import Settings
from joulegram.meters import Absent, Denied, Meter, Unneeded
from joulegram.meters.rapl import ACCURACY, CEILING_W, QUANTUM_J, REFRESH_S, RaplMeter
from joulegram.records import Channel

EVENTS = {"energy-pkg": "cpu", "energy-ram": "dram"}
"""Those of a package and of its DRAM; the others are inside of these, or around them (``energy-psys``)."""

_SHOWN_IN_VAIN = frozenset({"energy-ram"})
"""AMD has none; kernels before "perf/x86/rapl: fix AMD event handling" (5.17) show it all the same."""
_REFUSED = frozenset({errno.EACCES, errno.EPERM})

OpenEvent = Callable[[int, int, int], int]
"""Opens an event on a CPU: the PMU's type, the event's config, the CPU; a descriptor, or OSError."""

_PMU = Path("sys/bus/event_source/devices/power")
_CPUS = Path("sys/devices/system/cpu")
_DENIED = (
    "perf events of the whole machine may not be read. Until the next boot: sudo sysctl kernel.perf_event_paranoid=0 "
    "(for good: in /etc/sysctl.d/). For one process: CAP_PERFMON; in a container: --cap-add PERFMON"
)


@dataclass(frozen=True, slots=True)
class Event:
    """One kind of counter of the PMU: which it is, and what a count is worth (J)."""

    name: str
    config: int
    scale_j: float


class PerfRaplMeter(Meter):
    """One channel per package, or die of one, and per package's DRAM, under the names that `RaplMeter` gives them.

    Args:
        root: what holds ``/sys`` and ``/proc``.
        open_event: opens an event on a CPU.

    Raises:
        Absent: the kernel has no such PMU, or it does not count packages.
        Denied: it has, but not for this user.
    """

    instant: bool = True
    fallback: ClassVar[int] = 1

    def __init__(self, root: Path = Path("/"), open_event: OpenEvent | None = None) -> None:
        open_event = open_event or perf_event_open
        pmu, events, devices = _described(root)
        self._descriptors: list[tuple[int, float]] = []
        self.channels = []
        for device, cpu in devices.items():
            for event in events:
                try:
                    descriptor = open_event(pmu, event.config, cpu)
                except OSError as error:
                    if event.name in _SHOWN_IN_VAIN and error.errno not in _REFUSED:
                        continue
                    self.close()
                    raise _why(error, event, cpu) from None
                self._descriptors.append((descriptor, event.scale_j))
                self.channels.append(_channel(event, device, cpu))

    @classmethod
    def open(cls, settings: Settings) -> PerfRaplMeter:
        """The packages of this machine, unless powercap shows them and no choice of meters was made."""
        if settings.meters is None and _powercap_works(settings):
            raise Unneeded("powercap shows the same counters")
        return cls()

    def read(self) -> Iterable[float]:
        """Joules on each counter since it was opened; NaN where it could not be read."""
        return [_counted_j(descriptor, scale_j) for descriptor, scale_j in self._descriptors]

    def close(self) -> None:
        """Closes the events."""
        while self._descriptors:
            os.close(self._descriptors.pop()[0])


def perf_event_open(pmu: int, config: int, cpu: int) -> int:
    """A descriptor that counts an event on a CPU, whatever runs there.

    Raises:
        OSError: the kernel refuses, or is not one whose call is known here.
    """
    import ctypes  # the C library has no wrapper for this call

    if not sys.platform.startswith("linux") or os.uname().machine != "x86_64":  # the PMU is of x86 alone
        raise OSError(errno.ENOSYS, "perf_event_open is known for Linux on x86-64 alone")
    number, every_process, no_group, close_on_exec = 298, -1, -1, 8
    # struct perf_event_attr, version 0: type, size, config, then period, sample type, read format, flags, …: all 0.
    attributes = struct.pack("=IIQ", pmu, 64, config).ljust(64, b"\0")
    call = ctypes.CDLL(None, use_errno=True).syscall
    arguments = (ctypes.c_long(value) for value in (every_process, cpu, no_group, close_on_exec))
    descriptor: int = call(ctypes.c_long(number), attributes, *arguments)
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return descriptor


def _described(root: Path) -> tuple[int, list[Event], dict[str, int]]:
    """The PMU's type, its events that are to be counted, and the CPU to read each device on."""
    pmu = root / _PMU
    try:
        kind, cpus = int((pmu / "type").read_text()), cpus_of((pmu / "cpumask").read_text())
    except (OSError, ValueError):
        raise Absent(f"there is no perf PMU {pmu}, as is usual in virtual machines") from None
    events = [event for name in EVENTS if (event := _event(pmu / "events", name)) is not None]
    if not events or events[0].name != "energy-pkg":
        raise Absent(f"{pmu} does not count packages")
    return kind, events, _devices(root, cpus)


def _event(folder: Path, name: str) -> Event | None:
    """An event as the PMU describes it; None where it has none of that name in joules."""
    try:
        config = re.fullmatch(r"event=(0x[0-9a-f]+|\d+)", (folder / name).read_text().strip())
        scale_j = float((folder / f"{name}.scale").read_text())
        unit = (folder / f"{name}.unit").read_text().strip()
    except (OSError, ValueError):
        return None
    return Event(name, int(config[1], 0), scale_j) if config is not None and unit == "Joules" else None


def cpus_of(mask: str) -> list[int]:
    """``0,18-19`` as numbers."""
    spans = [part.partition("-") for part in mask.strip().split(",")]
    return [cpu for first, _, last in spans for cpu in range(int(first), int(last or first) + 1)]


def _devices(root: Path, cpus: list[int]) -> dict[str, int]:
    """The packages, or their dies where one has several CPUs to be read on, and the CPU of each."""
    places = {cpu: root / _CPUS / f"cpu{cpu}" / "topology" for cpu in cpus}
    packages = {cpu: f"package-{_number(place / 'physical_package_id')}" for cpu, place in places.items()}
    alike = Counter(packages.values())
    devices: dict[str, int] = {}
    for cpu, package in packages.items():
        die = f"-die-{_number(places[cpu] / 'die_id')}" if alike[package] > 1 and not _is_amd(root) else ""
        devices.setdefault(package + die, cpu)
    return devices


def _is_amd(root: Path) -> bool:
    """Whether a die shows the counter of its whole package, as AMD's and Hygon's do.

    Source: "perf/x86/rapl: Fix the energy-pkg event for AMD CPUs", Linux 6.12; older kernels show it once per die.
    """
    try:
        with (root / "proc" / "cpuinfo").open() as info:
            first = info.read(400)
    except OSError:
        return False
    return "AuthenticAMD" in first or "HygonGenuine" in first


def _number(path: Path) -> int:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return 0


def _channel(event: Event, device: str, cpu: int) -> Channel:
    kind = EVENTS[event.name]
    return Channel(
        id=f"{kind}:{device}",
        kind=kind,
        method="measured",
        how=f"RAPL counter through perf ({event.name} on CPU {cpu}); {ACCURACY}",
        share="cpu",
        max_w=CEILING_W,
        resolution_s=REFRESH_S,
        lag_s=REFRESH_S,
        quantum_j=QUANTUM_J,
    )


def _counted_j(descriptor: int, scale_j: float) -> float:
    try:
        count = os.read(descriptor, 8)
    except OSError:
        return nan
    return int.from_bytes(count, sys.byteorder) * scale_j if len(count) == 8 else nan


def _powercap_works(settings: Settings) -> bool:
    try:
        RaplMeter.open(settings).close()
    except (Absent, Denied):
        return False
    return True


def _why(error: OSError, event: Event, cpu: int) -> Absent | Denied:
    if error.errno in _REFUSED:
        return Denied(_DENIED)
    return Absent(f"{event.name} cannot be opened on CPU {cpu}: {error}")
