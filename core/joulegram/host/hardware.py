"""What machine this is, as far as its making is concerned: kind of case, CPUs, memory.

Chassis types: SMBIOS specification (DMTF DSP0134), "System enclosure or chassis types". Nothing that tells one machine
from another of its kind, such as a serial number, is read.
"""

from __future__ import annotations

from pathlib import Path

from joulegram.host.cpu import CPUINFO, cpus_of
from joulegram.records import Hardware

DMI = Path("/sys/class/dmi/id")
MEMINFO = Path("/proc/meminfo")

_CHASSIS = {
    **dict.fromkeys((8, 9, 10, 14, 30, 31, 32), "laptop"),
    **dict.fromkeys((3, 4, 5, 6, 7, 13, 15, 16, 24, 35, 36), "desktop"),
    **dict.fromkeys((17, 23, 25, 28, 29), "server"),
}


def hardware_of(host: str, dmi: Path | None = None, cpuinfo: Path = CPUINFO, meminfo: Path = MEMINFO) -> Hardware:
    """What the system tells of its machine; what it does not tell is empty or None.

    Args:
        host: the host's name.
        dmi: folder of what the firmware says; that of this machine by default.
        cpuinfo: the CPUs.
        meminfo: the memory.
    """
    cpus, told = cpus_of(cpuinfo), dmi or DMI
    return Hardware(
        host=host,
        chassis=_CHASSIS.get(_number(_said(told / "chassis_type")), ""),
        product=_said(told / "product_name"),
        cpu=cpus.name,
        sockets=cpus.sockets,
        threads=cpus.threads,
        memory_gb=_memory_gb(meminfo),
        virtual=cpus.virtual,
    )


def _memory_gb(meminfo: Path) -> float | None:
    for line in _said(meminfo).splitlines():
        key, _, value = line.partition(":")
        if key == "MemTotal":
            kib = _number(value.split()[0] if value.split() else "")
            return kib * 1024 / 1e9 if kib else None
    return None


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else 0


def _said(file: Path) -> str:
    """The beginning of a file of the system; nothing where it is not there, or not for us to read."""
    try:
        with file.open(encoding="utf-8", errors="replace") as lines:
            return lines.read(256).strip()
    except OSError:
        return ""
