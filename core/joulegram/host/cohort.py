"""Which processes of this host record the same run: its ranks and the children that joined it.

Each recorder keeps one small file in a folder of the run under the host's runtime directory, so that no rank counts
another's CPU time or reserved cores as its own: what one accounts for itself begins with its joining and ends with its
leaving, and both are in its file.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from joulegram.host.processes import affinity, ancestors, process_started


def runtime_folder() -> Path:
    """Folder of this host, and of nobody else's, for short-lived files."""
    chosen = os.environ.get("JOULEGRAM_RUNTIME_DIR")
    if chosen:
        return Path(chosen)
    user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
    return Path(tempfile.gettempdir()) / f"joulegram-{user}"


@dataclass(frozen=True, slots=True)
class Member:
    """A recorder of a run, as its fellow recorders on this host see it.

    Args:
        pid: its process.
        started: when that started, as its system tells it.
        ancestors: pids above it, its parent first.
        cpus: CPUs that it may run on.
        joined_ns: since when it records (monotonic ns).
        joined_s: CPU time (s) that its process tree had used by then.
        left_ns: when it stopped; None while it records.
        left_s: CPU time (s) that its process tree had used by then.
        earlier_s: CPU time (s) that its process accounted for when it recorded before: a process may come again.
    """

    pid: int
    started: str
    ancestors: tuple[int, ...]
    cpus: tuple[int, ...]
    joined_ns: int
    joined_s: float
    left_ns: int | None = None
    left_s: float | None = None
    earlier_s: float = 0.0

    def accounted_s(self, tree_s: float) -> float:
        """CPU time (s) that it accounts for, when its tree has used `tree_s` by now."""
        return self.earlier_s + max(0.0, (tree_s if self.left_s is None else self.left_s) - self.joined_s)

    @property
    def lives(self) -> bool:
        """Whether its process still runs."""
        return process_started(self.pid) == self.started


class Cohort:
    """The recorders of one run on this host.

    A runtime folder that cannot be written leaves a cohort of one: figures stay right for a single process.
    """

    def __init__(self, run_id: str, folder: Path | None = None) -> None:
        self._folder = (folder or runtime_folder()) / run_id
        self._me: Member | None = None
        self._read: dict[str, tuple[tuple[int, int], Member]] = {}

    def join(self, now_ns: int, tree_s: float) -> None:
        """Says that this process records from now on, and what its tree's CPU time (s) was before."""
        pid = os.getpid()
        cpus = tuple(sorted(affinity(0)))
        me = Member(pid, str(process_started(pid)), ancestors(pid), cpus, now_ns, tree_s)
        before = self.others().get(pid)
        if before is not None and before.started == me.started:
            me = replace(me, earlier_s=before.accounted_s(before.joined_s))
        self._me = me
        self._write(me)

    def leave(self, now_ns: int, tree_s: float) -> None:
        """Says that this process records no longer, and what its tree's CPU time (s) is now."""
        if self._me is None:
            return
        self._write(replace(self._me, left_ns=now_ns, left_s=tree_s))
        if all(other.left_ns is not None or not other.lives for other in self.others().values()):
            self._remove()

    def others(self) -> Mapping[int, Member]:
        """The run's other recorders on this host by pid, those that left included."""
        found: dict[int, Member] = {}
        with contextlib.suppress(OSError), os.scandir(self._folder) as entries:
            for entry in entries:
                if not entry.name.endswith(".json"):
                    continue
                with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
                    member = self._member(entry)
                    if self._me is None or (member.pid, member.started) != (self._me.pid, self._me.started):
                        found[member.pid] = member
        return found

    def _member(self, file: os.DirEntry[str]) -> Member:
        """What a file says; of hundreds that came and went, each is read once."""
        status = file.stat()
        version = (status.st_ino, status.st_mtime_ns)
        known = self._read.get(file.name)
        if known is not None and known[0] == version:
            return known[1]
        values = json.loads(Path(file.path).read_bytes())
        member = Member(**{**values, "ancestors": tuple(values["ancestors"]), "cpus": tuple(values["cpus"])})
        self._read[file.name] = (version, member)
        return member

    def _write(self, member: Member) -> None:
        path = self._folder / f"{member.pid}-{member.started}.json"
        with contextlib.suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            temporary = path.with_suffix(".new")
            temporary.write_text(json.dumps(asdict(member)))
            temporary.replace(path)

    def _remove(self) -> None:
        with contextlib.suppress(OSError):
            for path in self._folder.iterdir():
                path.unlink(missing_ok=True)
            self._folder.rmdir()
