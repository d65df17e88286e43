"""Which CPUs this machine has, as its system reports them."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from joulegram.host.processes import cpu_count

CPUINFO = Path("/proc/cpuinfo")


class Cpus(NamedTuple):
    """The CPUs of one machine.

    Args:
        name: model name as the system reports it; empty where it reports none.
        sockets: how many of them there are.
        threads: logical CPUs of the machine.
        virtual: whether a hypervisor lends them.
    """

    name: str
    sockets: int
    threads: int
    virtual: bool


def cpus_of(cpuinfo: Path = CPUINFO, threads: int | None = None) -> Cpus:
    """The CPUs that a /proc/cpuinfo tells of; elsewhere what Python knows of them."""
    threads = threads or cpu_count()
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:  # not Linux
        import platform

        return Cpus(platform.processor(), 1, threads, virtual=False)
    pairs = [(key.strip(), value.strip()) for key, _, value in (line.partition(":") for line in lines)]
    name = next((value for key, value in pairs if key == "model name"), "")
    sockets = len({value for key, value in pairs if key == "physical id"}) or 1
    virtual = any(key == "flags" and "hypervisor" in value.split() for key, value in pairs)
    return Cpus(name, sockets, threads, virtual)
