"""CPU time of the node and of process trees, and whether a process still lives.

On Linux straight from ``/proc``, which is several times cheaper than the portable way; elsewhere from psutil.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

LINUX = sys.platform.startswith("linux")
_OVER = (b"Z", b"X", b"x")
"""States of a process that has ended and that nobody has waited for yet."""
_TICK_S = 1 / os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 0.01


def cpu_count() -> int:
    """Logical CPUs of the node, whether or not this process may use them."""
    return os.cpu_count() or 1


def process_started(pid: int) -> str | None:
    """Start time of a process as its system tells it: with the pid it names one process of a boot. None if gone."""
    try:
        if LINUX:
            values = _stat_fields(pid)
            return None if values[0] in _OVER else values[19].decode()
        import psutil

        return f"{psutil.Process(pid).create_time():.2f}"
    except Exception:  # gone, or not ours to see: psutil's own exceptions are not importable before it is
        return None


def ancestors(pid: int) -> tuple[int, ...]:
    """Pids above a process, its parent first."""
    found: list[int] = []
    with contextlib.suppress(Exception):  # one of them may leave meanwhile
        while (pid := _parent(pid)) > 0 and pid not in found:
            found.append(pid)
    return tuple(found)


def _parent(pid: int) -> int:
    if LINUX:
        return int(_stat_fields(pid)[1])
    import psutil

    return int(psutil.Process(pid).ppid())


def affinity(pid: int) -> frozenset[int]:
    """CPUs that a process may run on; all of them where the system cannot tell."""
    if hasattr(os, "sched_getaffinity"):
        with contextlib.suppress(OSError):
            return frozenset(os.sched_getaffinity(pid))
    return frozenset(range(cpu_count()))


def cgroup_quota(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> float | None:
    """CPUs' worth of time that this process's control group may use; None without a limit.

    The tightest limit on the way from the process's own group to the root counts (cgroup v2 `cpu.max`, v1
    `cpu.cfs_quota_us`). Source: Documentation/admin-guide/cgroup-v2.rst and scheduler/sched-bwc.rst in the Linux tree.
    """
    quotas = []
    with contextlib.suppress(OSError):
        for line in own.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and "cpu" not in controllers.split(","):
                continue
            mount = root / "cpu" if controllers else root
            group = mount / path.lstrip("/")
            for folder in (group, *group.parents):
                quotas.append(_quota_of(folder))
                if folder == mount:
                    break
    return min((quota for quota in quotas if quota is not None), default=None)


def _quota_of(folder: Path) -> float | None:
    with contextlib.suppress(OSError, ValueError, ZeroDivisionError):
        quota, period = (folder / "cpu.max").read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    with contextlib.suppress(OSError, ValueError, ZeroDivisionError):
        quota_us = int((folder / "cpu.cfs_quota_us").read_text())
        return quota_us / int((folder / "cpu.cfs_period_us").read_text()) if quota_us > 0 else None
    return None


class NodeTimes:
    """Busy core-seconds of the whole node since boot, from a descriptor that stays open.

    Time that a hypervisor gave to others (steal) is nobody's on this node and is left out; guest time is part of user
    time already. Source: Documentation/filesystems/proc.rst.
    """

    def __init__(self) -> None:
        self._file = os.open("/proc/stat", os.O_RDONLY | os.O_CLOEXEC) if LINUX else None

    def busy_s(self) -> float:
        """Core-seconds not idle since boot."""
        if self._file is None:
            import psutil

            times = psutil.cpu_times()
            return float(sum(times)) - times.idle - getattr(times, "iowait", 0.0)
        user, nice, system, _idle, _iowait, irq, softirq = os.pread(self._file, 256, 0).split(None, 8)[1:8]
        return (int(user) + int(nice) + int(system) + int(irq) + int(softirq)) * _TICK_S

    def close(self) -> None:
        """Lets go of the descriptor."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


@dataclass(slots=True)
class _Usage:
    """One look at a process tree: CPU seconds, start and parent of each of its processes."""

    cpu_s: dict[int, float] = field(default_factory=dict)
    started: dict[int, str] = field(default_factory=dict)
    parent: dict[int, int] = field(default_factory=dict)

    def ancestors(self, pid: int) -> Iterator[int]:
        while (pid := self.parent.get(pid, 0)) in self.cpu_s:
            yield pid

    def subtree_s(self, root: int) -> float:
        return sum(s for pid, s in self.cpu_s.items() if pid == root or root in self.ancestors(pid))


@dataclass(slots=True)
class ProcessTree:
    """CPU seconds of this process and all its descendants, those that came and went included.

    A descendant that moved to another parent keeps what it had used, and no sum ever falls. Owned by one thread, the
    sampler's.

    Attributes:
        total_s: of the whole tree, at the last look.
        root_s: of its root alone and the children that it waited for, at the last look.
    """

    root: int = field(default_factory=os.getpid)
    total_s: float = 0.0
    root_s: float = 0.0
    _moved_s: float = 0.0
    _last: _Usage = field(default_factory=_Usage)
    _subtrees_s: dict[int, float] = field(default_factory=dict)

    def look(self, subtrees: Iterable[int] = ()) -> Mapping[int, float]:
        """Looks at the tree now.

        Args:
            subtrees: pids of descendants whose own trees are wanted.

        Returns:
            CPU seconds of each wanted subtree; of one that is gone, as it was last seen.
        """
        usage = _tree_usage(self.root)
        for pid in self._last.cpu_s.keys() - usage.cpu_s.keys():
            if process_started(pid) == self._last.started[pid]:
                self._moved_s += self._last.cpu_s[pid]
        self._last = usage
        self.root_s = usage.cpu_s.get(self.root, self.root_s)
        self.total_s = max(self.total_s, sum(usage.cpu_s.values()) + self._moved_s)
        for pid in subtrees:
            if pid in usage.cpu_s:
                self._subtrees_s[pid] = max(self._subtrees_s.get(pid, 0.0), usage.subtree_s(pid))
        return self._subtrees_s

    def outside(self, subtrees: Collection[int]) -> frozenset[int]:
        """Pids of the tree, at the last look, that are in none of these subtrees."""
        usage = self._last
        return frozenset(
            pid for pid in usage.cpu_s if pid not in subtrees and not any(a in subtrees for a in usage.ancestors(pid))
        )


def _tree_usage(root: int) -> _Usage:
    usage = _Usage()
    parents = {root: 0, **dict(_descendants(root))}
    for pid, parent in parents.items():
        with contextlib.suppress(Exception):  # it may leave between the look at the tree and the look at it
            cpu_s, started = _look_at(pid)
            usage.cpu_s[pid] = own_cpu_s() if pid == os.getpid() else cpu_s
            usage.started[pid], usage.parent[pid] = started, parent
    return usage


def own_cpu_s() -> float:
    """This process and its waited-for descendants; finer than the scheduler tick that other processes' times have."""
    times = os.times()
    return time.process_time() + times.children_user + times.children_system


def _look_at(pid: int) -> tuple[float, str]:
    """CPU seconds of a process and its waited-for children, and its start as `process_started` tells it."""
    if LINUX:
        values = _stat_fields(pid)
        return sum(int(value) for value in values[11:15]) * _TICK_S, values[19].decode()
    import psutil

    process = psutil.Process(pid)
    times = process.cpu_times()
    children_s = getattr(times, "children_user", 0) + getattr(times, "children_system", 0)
    return float(times.user + times.system + children_s), f"{process.create_time():.2f}"


def _stat_fields(pid: int) -> list[bytes]:
    """``/proc/PID/stat`` from its third field on: the name before may hold spaces and brackets."""
    file = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(file, 1024).rpartition(b")")[2].split()
    finally:
        os.close(file)


def _descendants(root: int) -> Iterable[tuple[int, int]]:
    """(pid, parent) of every living descendant, parents first."""
    if LINUX:
        return _walk(root, _listed_children if _kernel_lists_children() else _scanned_children())
    import psutil

    with contextlib.suppress(psutil.Error):
        return [(child.pid, child.ppid()) for child in psutil.Process(root).children(recursive=True)]
    return []


def _walk(root: int, children: Callable[[int], Iterable[int]]) -> Iterator[tuple[int, int]]:
    for child in children(root):
        yield child, root
        yield from _walk(child, children)


def _kernel_lists_children() -> bool:
    """Whether the kernel was built with CONFIG_PROC_CHILDREN, which spares the scan of all processes."""
    pid = os.getpid()
    return os.path.exists(f"/proc/{pid}/task/{pid}/children")


def _listed_children(pid: int) -> Iterator[int]:
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError):
                yield from map(int, _content(f"/proc/{pid}/task/{task}/children").split())


def _content(path: str) -> bytes:
    """All of a file of the kernel's, for a third of what `open` costs."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return b"".join(iter(lambda: os.read(file, 1 << 16), b""))
    finally:
        os.close(file)


def _scanned_children() -> Callable[[int], Iterable[int]]:
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError, IndexError):
                children.setdefault(int(_stat_fields(int(name))[1]), []).append(int(name))
    return lambda pid: children.get(pid, ())
