"""What CPUs were once measured to draw: the scale that a model of load lacks.

Profiles are kept in the user's data directory, or where ``JOULEGRAM_PROFILES`` points (a cluster's nodes may share it),
by host and CPU model. Those that runs have learned are in a file of their own: runs write it all the time, and must
not lose, when several end at once, what somebody has taken the time to calibrate.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from math import isfinite
from pathlib import Path

from joulegram.config import learned_file, profiles_file
from joulegram.host.cpu import Cpus
from joulegram.notices import warn


@dataclass(frozen=True, slots=True)
class Profile:
    """Power of one machine's CPUs.

    Args:
        host: the machine.
        cpu: model name of its CPUs, as its system reports it.
        threads: its logical CPUs.
        idle_w: power with nothing running (W).
        max_w: power under full load (W).
        source: ``given``, or what it was calibrated against, in words.
        date: day on which it was made (ISO 8601).
        loads: least and greatest load (0 to 1) that a run learned it from; None for one that was made on purpose.

    Raises:
        ValueError: the powers are none of a machine.
    """

    host: str
    cpu: str
    threads: int
    idle_w: float
    max_w: float
    source: str = "given"
    date: str = ""
    loads: Sequence[float] | None = None

    def __post_init__(self) -> None:
        if not (self.threads > 0 and 0 <= self.idle_w <= self.max_w and isfinite(self.max_w)):
            raise ValueError(f"a profile needs CPUs, and 0 <= idle_w <= max_w: {self}")
        if self.loads is not None and not (len(self.loads) == 2 and 0 <= self.loads[0] < self.loads[1] <= 1):
            raise ValueError(f"loads are the least and the greatest, 0 to 1: {self}")

    def narrower_than(self, loads: Sequence[float]) -> bool:
        """Whether it was learned, and from no wider a range of loads than this one."""
        return self.loads is not None and self.loads[1] - self.loads[0] <= loads[1] - loads[0]


def profiles() -> list[Profile]:
    """Every profile kept: the newest last, those made on purpose after those that were learned."""
    return [*_read(learned_file()), *_read(profiles_file())]


def _read(path: Path) -> list[Profile]:
    """The profiles of a file; one that cannot be understood is told of and counts as none."""
    try:
        entries = json.loads(path.read_bytes())["profiles"]
        known = {entry.name for entry in fields(Profile)}
        return [Profile(**{key: value for key, value in entry.items() if key in known}) for entry in entries]
    except OSError:  # none has been made yet, or it is not ours to read
        return []
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        warn(f"{path} is no file of CPU profiles and is not used: {error!r}")
        return []


def keep(profile: Profile) -> Path:
    """Adds a profile in place of an earlier one of the same machine and CPU; the file it is in.

    Raises:
        OSError: the file cannot be written.
    """
    path = profiles_file() if profile.loads is None else learned_file()
    others = [other for other in _read(path) if (other.host, other.cpu) != (profile.host, profile.cpu)]
    _write(path, [*others, profile])
    return path


def _write(path: Path, kept: Iterable[Profile]) -> None:
    """Replaces the file in one step: a run that starts meanwhile reads the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"version": 1, "profiles": [asdict(profile) for profile in kept]}, indent=1)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text + "\n")
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def own(host: str, cpus: Cpus, kept: Iterable[Profile]) -> Profile | None:
    """The profile of this very machine, as long as it still has the CPUs that it was made of."""
    found = [p for p in kept if (p.host, p.cpu, p.threads) == (host, cpus.name, cpus.threads)]
    return found[-1] if found else None


def alike(host: str, cpus: Cpus, kept: Iterable[Profile]) -> Profile | None:
    """The newest profile of another machine with the same CPU model, for as many CPUs as this one has.

    Power goes by logical CPUs: two sockets draw twice what one does, and a virtual machine has its part of its host.
    """
    found = [p for p in kept if cpus.name and p.cpu == cpus.name and (p.host, p.threads) != (host, cpus.threads)]
    if not found:
        return None
    newest = found[-1]
    part = cpus.threads / newest.threads
    return Profile(
        newest.host,
        newest.cpu,
        cpus.threads,
        newest.idle_w * part,
        newest.max_w * part,
        newest.source,
        newest.date,
        newest.loads,
    )
