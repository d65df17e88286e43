"""What CPUs were once measured to draw: the scale that a model of load lacks.

Profiles are kept in one small file in the user's data directory, or where ``JOULEGRAM_PROFILES`` points (a cluster's
nodes may share one), by host and CPU model.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from math import isfinite
from pathlib import Path

from joulegram.config import profiles_file
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

    def __post_init__(self) -> None:
        if not (self.threads > 0 and 0 <= self.idle_w <= self.max_w and isfinite(self.max_w)):
            raise ValueError(f"a profile needs CPUs, and 0 <= idle_w <= max_w: {self}")


def profiles(path: Path | None = None) -> list[Profile]:
    """Every profile kept, the newest last; a file that cannot be understood is told of and counts as none."""
    path = path or profiles_file()
    try:
        entries = json.loads(path.read_bytes())["profiles"]
        known = {entry.name for entry in fields(Profile)}
        return [Profile(**{key: value for key, value in entry.items() if key in known}) for entry in entries]
    except OSError:  # none has been made yet, or it is not ours to read
        return []
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        warn(f"{path} is no file of CPU profiles and is not used: {error!r}")
        return []


def keep(profile: Profile, path: Path | None = None) -> Path:
    """Adds a profile in place of an earlier one of the same machine and CPU; the file it is in.

    Raises:
        OSError: the file cannot be written.
    """
    path = path or profiles_file()
    others = [other for other in profiles(path) if (other.host, other.cpu) != (profile.host, profile.cpu)]
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
        newest.host, newest.cpu, cpus.threads, newest.idle_w * part, newest.max_w * part, newest.source, newest.date
    )
