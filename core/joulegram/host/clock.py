"""Time is (host, boot, monotonic nanoseconds); wall time hangs on anchors.

The clock is passed in everywhere, so that a test can own it.
"""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

from joulegram.records import Anchor

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Clock:
    """The machine's own clocks, and what says which machine and which boot they belong to.

    Attributes:
        host: name of this host, safe in file names; channels and journals carry it.
        boot: identity of this boot: monotonic times compare only within one.
    """

    def __init__(self, host: str | None = None) -> None:
        self.host = _safe_name(host or _host_name())
        self.boot = _boot_id()

    def monotonic_ns(self) -> int:
        """Monotonic time (ns); stands still while the machine is suspended."""
        return time.monotonic_ns()

    def anchor(self) -> Anchor:
        """The three clocks, read together."""
        mono_ns = time.monotonic_ns()
        boot_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else None
        return Anchor(mono_ns, boot_ns, time.time_ns())


def drift_ns(before: Anchor, after: Anchor) -> int:
    """How far another clock ran apart from the monotonic one between two anchors (ns): the farther of the two."""
    awake_ns = after.mono_ns - before.mono_ns
    slept_ns = 0
    if before.boot_ns is not None and after.boot_ns is not None:
        slept_ns = after.boot_ns - before.boot_ns - awake_ns
    return max(abs(slept_ns), abs(after.wall_ns - before.wall_ns - awake_ns))


def _host_name() -> str:
    if hasattr(os, "uname"):
        return os.uname().nodename
    import platform

    return platform.node()


def _safe_name(name: str) -> str:
    # A dash separates host, rank and pid in a journal's file name from the right, so it may stay in the host's.
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name) or "host"


def _boot_id() -> str:
    """Kernel boot id; elsewhere the boot time in whole tens of seconds, which clock slew does not move."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        import psutil

        return f"{os.name}-{round(psutil.boot_time(), -1):.0f}"
