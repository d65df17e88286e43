"""RAPL counters through Linux powercap: the joules of CPU packages and of their DRAM.

Layout and units: Documentation/power/powercap and Documentation/ABI/testing/sysfs-class-powercap in the Linux tree. A
package's counter already holds its cores and its uncore, and DRAM is beside it. ``psys`` holds the packages and
whatever else a board's maker has wired to it, so it is never counted.

A package may be shown more than once: by several interfaces (MSR, TPMI, MMIO), and as a zone per die whose counters are
one (AMD before Linux 6.12, commit 26096aed255f: "powercap/intel_rapl: Fix the energy-pkg event for AMD CPUs").

No maker states how near to the truth these counters are, and studies that measured it (for DRAM Desrochers et al.,
MEMSYS 2016) found offsets of their machines and no factor that holds for others. So the gain is 1, and `how` says why.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations
from math import isnan, nan
from pathlib import Path

from joulegram.config import Settings
from joulegram.meters import Absent, Denied, Meter
from joulegram.records import Channel

POWERCAP = Path("/sys/class/powercap")
UJ_PER_J = 1e6
REFRESH_S = 0.001
"""Intel's Software Developer's Manual, vol. 3, "RAPL Interfaces": the energy status is updated about every 1 ms."""

QUANTUM_J = 2.0**-14
"""The same: an energy status unit is 2^-n J, n told by a register that root alone may read, 61 µJ unless it says else;
15.3 µJ for AMD's and for the DRAM of servers (arch/x86/events/rapl.c in the Linux tree), which this covers."""

INTERFACES = ("intel-rapl", "intel-rapl-tpmi", "intel-rapl-mmio")
"""Control types that show packages (AMD's too), the one to prefer first."""

HEADROOM = 3.0
"""Turbo power is about twice the design power (Core i9-14900K: 125 W and 253 W by Intel's specification), boards go
beyond it, and a limit may be raised while a run goes on."""

CEILING_W = 1000.0
"""Twice the design power of the largest packages (Xeon 6980P and EPYC 9965: 500 W)."""

ACCURACY = "its maker states no accuracy"

_PACKAGE = re.compile(r"(package-\d+)(?:-die-\d+)?")
_TOP_LEVEL = ""
_LOOK_AGAIN_S = 2 * REFRESH_S

_DENIED = (
    "{path} may be read by root alone. Until the next boot: sudo chmod a+r {root}/*/energy_uj. For good: put the line "
    """SUBSYSTEM=="powercap", KERNEL=="*:*", ACTION=="add", RUN+="/bin/chmod a+r /sys%p/energy_uj" """
    "into /etc/udev/rules.d/70-powercap.rules. For one process: CAP_DAC_READ_SEARCH. "
    "(Whoever reads these counters may learn what others compute: CVE-2020-8694.)"
)
_MASKED = (
    "{path} leads nowhere: the container masks powercap. Mount the host's beside it (docker run -v "
    "/sys/devices/virtual/powercap:/powercap:ro -e JOULEGRAM_METER_OPTIONS_RAPL_ROOT=/powercap), or unmask it "
    "(docker: --security-opt systempaths=unconfined; podman: --security-opt unmask=/sys/devices/virtual/powercap)"
)


@dataclass(frozen=True, slots=True)
class Zone:
    """A power zone that is to be counted, as one interface shows it.

    Args:
        folder: where its files are.
        kind: ``cpu`` or ``dram``.
        device: ``package-0``, ``package-0-die-1``; that of the package for its DRAM.
        package: ``package-0``; empty for DRAM that no package holds.
    """

    folder: Path
    kind: str
    device: str
    package: str

    @property
    def of(self) -> tuple[str, str]:
        """What it counts, and of which package."""
        return self.kind, self.package

    @property
    def interface(self) -> str:
        """The control type that shows it."""
        return self.folder.name.partition(":")[0]

    @property
    def range_j(self) -> float | None:
        """What its counter shows at most (J); None where it does not say."""
        return _micro(self.folder / "max_energy_range_uj") or None

    @property
    def max_w(self) -> float:
        """Power that it cannot exceed for long (W), from its limits where it has any that limit."""
        files = (*self.folder.glob("constraint_*_power_limit_uw"), *self.folder.glob("constraint_*_max_power_uw"))
        return min(HEADROOM * max(map(_micro, files), default=0.0), CEILING_W) or CEILING_W


class Counter:
    """A zone's counter, on a descriptor that is kept; `error` tells why the last reading failed."""

    def __init__(self, zone: Zone) -> None:
        self.zone = zone
        self.error: OSError | ValueError | None = None
        self._path = zone.folder / "energy_uj"
        self._descriptor: int | None = None

    def read_j(self) -> float:
        """What it shows (J); NaN where it cannot be read now."""
        try:
            if self._descriptor is None:
                self._descriptor = os.open(self._path, os.O_RDONLY)
            shown_uj = int(os.pread(self._descriptor, 32, 0))
        except (OSError, ValueError) as error:
            self.error = error
            self.close()  # a zone that comes back (a package's last CPU went offline) is another file
            return nan
        self.error = None
        return shown_uj / UJ_PER_J

    def close(self) -> None:
        """Closes the descriptor."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class RaplMeter(Meter):
    """One channel per package, or die of one, and per package's DRAM.

    A zone that cannot be read while others can is a channel all the same: one whose energy is missing.

    Args:
        root: the class's folder, or that of its devices.
        wait: lets counters move on, by some refreshes.

    Raises:
        Absent: the kernel shows no package.
        Denied: it does, but not to this user, or not in this container.
    """

    instant: bool = True

    def __init__(self, root: Path = POWERCAP, wait: Callable[[], object] = lambda: time.sleep(_LOOK_AGAIN_S)) -> None:
        found = [Counter(zone) for zone in zones(root)]
        self._counters: list[Counter] = []
        try:
            if not [counter for counter in found if not isnan(counter.read_j())]:
                raise _why_not(found, root)
            self._counters = _without_mirrors(_once(found), wait)
        finally:
            for counter in found:
                if counter not in self._counters:
                    counter.close()
        self.channels = [_channel(counter.zone) for counter in self._counters]

    @classmethod
    def open(cls, settings: Settings) -> RaplMeter:
        """The packages of this machine; ``meter_options.rapl.root`` is for containers that have them elsewhere."""
        return cls(Path(settings.meter_options.get("rapl", {}).get("root", POWERCAP)))

    def read(self) -> Iterable[float]:
        """What each counter shows (J); NaN where it could not be read."""
        return [counter.read_j() for counter in self._counters]

    def close(self) -> None:
        """Closes the descriptors."""
        for counter in self._counters:
            counter.close()


def zones(root: Path = POWERCAP) -> list[Zone]:
    """Every package and DRAM zone, as often as interfaces show it.

    Raises:
        Denied: this user may not even look.
    """
    try:
        found = [zone for interface in INTERFACES for zone in _below(root / interface, _TOP_LEVEL)]
    except PermissionError as error:
        raise Denied(_DENIED.format(path=error.filename or root, root=POWERCAP)) from None
    held = any(zone.kind == "dram" and zone.package for zone in found)
    return [zone for zone in found if zone.package or not held]  # DRAM outside of packages would be theirs again


def _below(folder: Path, holder: str) -> Iterator[Zone]:
    """The zones in a folder and in each other; `holder` is the device that holds them."""
    try:
        names = [name for name in os.listdir(folder) if ":" in name]
    except (FileNotFoundError, NotADirectoryError):
        return
    for name in sorted(names, key=_parts):
        try:
            called = (folder / name / "name").read_text().strip()
        except FileNotFoundError:
            continue
        package = _PACKAGE.fullmatch(called)
        if package is not None:
            yield Zone(folder / name, "cpu", called, package[1])
        elif called == "dram":
            held = _PACKAGE.fullmatch(holder)
            device = holder or f"zone-{name.partition(':')[2]}"
            yield Zone(folder / name, "dram", device, held[1] if held else _TOP_LEVEL)
        yield from _below(folder / name, called)


def _parts(name: str) -> tuple[str, ...]:
    """``intel-rapl:10:1`` in parts that sort by number."""
    interface, *numbers = name.split(":")
    return (interface, *(number.rjust(9) for number in numbers))


def _once(counters: list[Counter]) -> list[Counter]:
    """Each package, and its DRAM, by one interface alone: the first that lets itself be read."""
    orders: dict[tuple[str, str], dict[str, tuple[bool, int]]] = {}
    for counter in counters:
        zone = counter.zone
        order = (counter.error is not None, INTERFACES.index(zone.interface))
        best = orders.setdefault(zone.of, {})
        best[zone.interface] = min(order, best.get(zone.interface, order))
    chosen = {key: min(best, key=lambda interface: best[interface]) for key, best in orders.items()}
    return [c for c in counters if chosen[c.zone.of] == c.zone.interface]


def _without_mirrors(counters: list[Counter], wait: Callable[[], object]) -> list[Counter]:
    """Of a package's dies that are equal now and equally further on a moment later, which is one counter, the first."""
    dies = [(one, other) for one, other in combinations(counters, 2) if one.zone.of == other.zone.of]
    alike = [(one, other) for one, other in dies if _equal(one, other)]
    if alike:
        wait()
    mirrors = [other for one, other in alike if _equal(one, other)]
    return [counter for counter in counters if counter not in mirrors]


def _equal(one: Counter, other: Counter) -> bool:
    """Whether one counter is between two looks at the other; two that stand at zero are not known to be equal."""
    before_j, between_j, after_j = one.read_j(), other.read_j(), one.read_j()
    return 0 < before_j <= between_j <= after_j


def _channel(zone: Zone) -> Channel:
    return Channel(
        id=f"{zone.kind}:{zone.device}",
        kind=zone.kind,
        method="measured",
        how=f"RAPL counter ({zone.folder.name}); {ACCURACY}",
        share="cpu",
        max_w=zone.max_w,
        wraps_at_j=zone.range_j,
        resolution_s=REFRESH_S,
        lag_s=REFRESH_S,
        quantum_j=QUANTUM_J,
    )


def _micro(path: Path) -> float:
    """The base unit's worth of a file that holds micro-units; 0 where it holds nothing of use."""
    try:
        return int(path.read_text()) / UJ_PER_J
    except (OSError, ValueError):
        return 0.0


def _why_not(found: list[Counter], root: Path) -> Absent | Denied:
    """Why no counter of those that were found, if any, can be read."""
    if found:
        error, path = found[0].error, found[0].zone.folder / "energy_uj"
        if isinstance(error, PermissionError):
            return Denied(_DENIED.format(path=path, root=POWERCAP))
        return Absent(f"{path} cannot be read: {error}")
    try:
        names = sorted(os.listdir(root))
    except OSError:
        return Absent(f"there is no {root}: this system shows no RAPL counters, as is usual in virtual machines")
    dangling = [name for name in names if (root / name).is_symlink() and not (root / name).exists()]
    if dangling:
        return Denied(_MASKED.format(path=root / dangling[0]))
    return Absent(f"{root} has no zone called package-N (it has: {', '.join(names) or 'nothing'})")
