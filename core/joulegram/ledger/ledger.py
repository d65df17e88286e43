"""Finds runs: the newest first, thousands of them in a second, and joins what several hosts recorded.

A listing needs each run's summary, not its curves. A run recorded by one process carries its summary in the last line
of its journal; for the others the first reader works it out and keeps it beside them (`summary.json`), to be used as
long as the files that it was made from are the same.
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from joulegram.host.clock import Clock
from joulegram.ledger.sealed import seal_journal
from joulegram.ledger.stored import PRICE_PREFIX, Recording, StoredRun, read_run
from joulegram.ledger.writer import SEALED_SUFFIX, SUFFIX, free_path
from joulegram.units import NS_PER_S

SUMMARY = "summary.json"
_TAIL = 32_768
_SEAL_LOST_AFTER_S = 86_400.0


class UnknownRun(LookupError):
    """The ledger holds no such run, or several that begin so."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What a listing shows of a run: the ``run`` and ``footprint`` parts of its document, as plain types."""

    run: Mapping[str, Any]
    footprint: Mapping[str, Any]


class Ledger:
    """A folder with a folder for each run.

    Args:
        path: the ledger's folder; need not exist yet.
        clock: which host and boot are this reader's own.
    """

    def __init__(self, path: Path, clock: Clock | None = None) -> None:
        self.path = path
        self.clock = clock or Clock()

    def folder(self, run_id: str) -> Path:
        """Where a run is kept."""
        return self.path / run_id

    def run_ids(self) -> list[str]:
        """Ids of all runs, in no order."""
        try:
            with os.scandir(self.path) as entries:
                return [entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir()]
        except FileNotFoundError:
            return []

    def read(self, run_id: str) -> StoredRun:
        """A run by its id, or by the beginning of it if no other begins so.

        Raises:
            UnknownRun: there is no such run, or more than one.
            MissingExtra: the run is sealed and pyarrow is not installed.
        """
        name = self._whole_id(run_id)
        run = read_run(self.folder(name), self.clock)
        if run is None:
            raise UnknownRun(f"run {name} in {self.path} was cut off before anything was written")
        return run

    def _whole_id(self, run_id: str) -> str:
        if Path(run_id).name == run_id and not run_id.startswith(".") and self.folder(run_id).is_dir():
            return run_id  # without a look at thousands of others
        known = self.run_ids()
        matches = [name for name in known if run_id and name.startswith(run_id)]
        if len(matches) == 1:
            return matches[0]
        if matches:
            raise UnknownRun(f"{len(matches)} runs begin with {run_id!r}: {', '.join(sorted(matches)[:4])}, …")
        raise UnknownRun(f"there is no run {run_id!r} in {self.path} (joulegram runs lists them)")

    def summaries(self, summarise: Callable[[StoredRun], Summary]) -> list[Summary]:
        """A summary of every run, newest first.

        Args:
            summarise: works out a summary that is not at hand.
        """
        found = [summary for run_id in self.run_ids() if (summary := self._summary(run_id, summarise)) is not None]
        return sorted(found, key=lambda summary: (summary.run.get("started") or "", summary.run["id"]), reverse=True)

    def _summary(self, run_id: str, summarise: Callable[[StoredRun], Summary]) -> Summary | None:
        place = f"{self.path}/{run_id}"  # text, not Path: this is done for thousands of runs a second
        try:
            # Most runs are one journal that has ended.
            names = os.listdir(place)
            if len(names) == 1 and (quick := _from_tail(f"{place}/{names[0]}")) is not None:
                return quick
            folder = self.folder(run_id)
            signature = _signature(folder)
            if signature.pop(SUMMARY, None) is not None and (kept := _kept(folder, signature)) is not None:
                return kept
            stored = read_run(folder, self.clock)
            if stored is None:
                return None
            summary = summarise(stored)
        except Exception as error:  # one broken run must not hide the others; it is shown with what is wrong
            return Summary(_unreadable(run_id, error), {})
        if stored.status != "running":
            self._keep(folder, signature, summary)
        return summary

    @staticmethod
    def _keep(folder: Path, signature: Mapping[str, int], summary: Summary) -> None:
        values = {"files": dict(signature), "run": summary.run, "footprint": summary.footprint}
        temporary = folder / f".{SUMMARY}.{os.getpid()}"
        with contextlib.suppress(OSError):  # a ledger that may only be read is summarised again each time
            temporary.write_text(json.dumps(values), encoding="utf-8")
            temporary.replace(folder / SUMMARY)

    def seal(self, run_id: str, summarise: Callable[[StoredRun], Summary]) -> int:
        """Seals a run's ended journals; how many were sealed.

        Raises:
            UnknownRun: there is no such run.
            MissingExtra: pyarrow is not installed.
            OSError: the folder cannot be written.
        """
        folder = self.folder(self._whole_id(run_id))
        before = _signature(folder)
        if not any(name.endswith(SUFFIX) for name in before):
            return 0
        stored = self.read(folder.name)
        for leftover in _leftovers(before):
            with contextlib.suppress(OSError):  # of a sealer that was cut off before it removed the journal
                seal_journal(folder / leftover)
        ended = [r.path for r in stored.recordings if r.path.name.endswith(SUFFIX) and self._is_over(r)]
        if not ended:
            return 0
        summary = summarise(stored)
        sealed = sum(seal_journal(path) is not None for path in ended)
        after = _signature(folder)
        if stored.status != "running" and _recorders(after) == _recorders(before):
            after.pop(SUMMARY, None)
            self._keep(folder, after, summary)
        return sealed

    def _is_over(self, recording: Recording) -> bool:
        """Whether nothing will be added to a journal any more: what comes after it is sealed would be gone."""
        if recording.content.end is not None:
            return True
        silent_s = (self.clock.anchor().wall_ns - recording.content.last.wall_ns) / NS_PER_S
        # A recorder of another host that is not heard of may only be cut off from this disk.
        return recording.header.host == self.clock.host and silent_s > _SEAL_LOST_AFTER_S

    def merge(self, other: Path) -> list[str]:
        """Joins another ledger's runs, or one run's folder, into this one; ids of the runs that gained something.

        A journal that both have is taken whole from whichever holds more of it; nothing is removed anywhere.

        Raises:
            OSError: a folder cannot be read or written.
        """
        folders = [other] if _is_run(other) else [entry for entry in sorted(other.iterdir()) if _is_run(entry)]
        return [folder.name for folder in folders if self._merge_run(folder)]

    def _merge_run(self, theirs: Path) -> bool:
        ours = self.folder(theirs.name)
        ours.mkdir(parents=True, exist_ok=True)
        gained = False
        for path in sorted(theirs.iterdir()):
            if not _counts(path.name):
                continue
            target = _place_for(path, ours)
            if path.name.endswith(SUFFIX) and target.with_suffix(SEALED_SUFFIX).exists():
                continue
            if not target.exists() or target.stat().st_size < path.stat().st_size:
                temporary = ours / f".{path.name}.{os.getpid()}"
                shutil.copyfile(path, temporary)
                temporary.replace(target)
                gained = True
        return gained


def _place_for(theirs: Path, ours: Path) -> Path:
    """Where a file of another ledger belongs: a journal of our own that only happens to have its name stays."""
    if not theirs.name.endswith(SUFFIX):
        return ours / theirs.name
    stem = theirs.name.removesuffix(SUFFIX)
    for known in (ours / theirs.name, *sorted(ours.glob(f"{glob.escape(stem)}.*{SUFFIX}"))):
        if known.exists() and _first_line(known) == _first_line(theirs):
            return known
    return free_path(ours, stem) if (ours / theirs.name).exists() else ours / theirs.name


def _first_line(journal: Path) -> bytes:
    """Its header, which no other recording shares."""
    with journal.open("rb") as file:
        return file.readline()


def _leftovers(names: Iterable[str]) -> list[str]:
    """Journals that have been sealed but are still there."""
    known = set(names)
    return [n for n in known if n.endswith(SUFFIX) and n.removesuffix(SUFFIX) + SEALED_SUFFIX in known]


def _recorders(signature: Mapping[str, int]) -> set[str]:
    """What a run's figures come from, sealed or not."""
    return {name.removesuffix(SUFFIX).removesuffix(SEALED_SUFFIX) for name in signature if _counts(name)}


def _kept(folder: Path, signature: Mapping[str, int]) -> Summary | None:
    """The summary kept beside a run; None where it was made from other files or is damaged."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        kept = json.loads((folder / SUMMARY).read_bytes())
        if kept["files"] == signature:
            return Summary(kept["run"], kept["footprint"])
    return None


def _counts(name: str) -> bool:
    return name.endswith((SUFFIX, SEALED_SUFFIX)) or name.startswith(PRICE_PREFIX)


def _is_run(folder: Path) -> bool:
    return folder.is_dir() and any(_counts(path.name) for path in folder.iterdir())


def _signature(folder: Path) -> dict[str, int]:
    """Names and sizes (bytes) of the files that a summary depends on; the summary's own name if it is there."""
    sizes = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            if (_counts(entry.name) or entry.name == SUMMARY) and not entry.name.startswith("."):
                with contextlib.suppress(FileNotFoundError):  # a journal that another reader has just sealed
                    sizes[entry.name] = 0 if entry.name == SUMMARY else entry.stat().st_size
    return sizes


def _from_tail(journal: str) -> Summary | None:
    """The summary that an ended journal carries in its last line, without reading what comes before."""
    if not journal.endswith(SUFFIX):
        return None
    try:
        file = os.open(journal, os.O_RDONLY)
    except FileNotFoundError:  # another reader has just sealed it
        return None
    try:
        os.lseek(file, max(0, os.fstat(file).st_size - _TAIL), os.SEEK_SET)
        last = os.read(file, _TAIL).rstrip().rpartition(b"\n")[2]
    finally:
        os.close(file)
    if not last.startswith(b'{"is":"end"'):
        return None
    summary = json.loads(last.decode()).get("summary")
    return Summary(summary["run"], summary["footprint"]) if summary else None


def _unreadable(run_id: str, error: Exception) -> dict[str, Any]:
    known = (
        "project",
        "stage",
        "model",
        "sweep",
        "trial",
        "process",
        "zone",
        "basis",
        "started",
        "duration_s",
        "ranks",
    )
    unknown = dict.fromkeys(known)
    return {"id": run_id, "name": "", "status": "unreadable", **unknown, "hosts": [], "error": str(error)}
