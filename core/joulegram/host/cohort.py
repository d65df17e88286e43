"""Which processes of this host record the same run: its ranks and the children that joined it.

Each recorder keeps one small file in a folder of the run under the host's runtime directory, so that no rank counts
another's CPU time or reserved cores as its own. The file's name says who; its content, written on leaving, how much
CPU time that one has accounted for itself.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from joulegram.host.processes import process_started


def runtime_folder() -> Path:
    """Folder of this host, and of nobody else's, for short-lived files."""
    chosen = os.environ.get("JOULEGRAM_RUNTIME_DIR")
    if chosen:
        return Path(chosen)
    user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
    return Path(tempfile.gettempdir()) / f"joulegram-{user}"


class Cohort:
    """The recorders of one run on this host.

    A runtime folder that cannot be written leaves a cohort of one: figures stay right for a single process.
    """

    def __init__(self, run_id: str, folder: Path | None = None) -> None:
        self._folder = (folder or runtime_folder()) / run_id
        self._mine = self._folder / f"{os.getpid()}-{process_started(os.getpid())}"
        with contextlib.suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._mine.touch()

    def others(self) -> dict[int, float | None]:
        """Pid → CPU seconds at its end (s) for one that left, None for one that still records."""
        found: dict[int, float | None] = {}
        with contextlib.suppress(OSError):
            for entry in os.listdir(self._folder):
                pid, _, started = entry.partition("-")
                if entry == self._mine.name or not pid.isdigit():
                    continue
                final_s = self._final_s(entry)
                if final_s is not None or process_started(int(pid)) == started:
                    found[int(pid)] = final_s
        return found

    def _final_s(self, entry: str) -> float | None:
        with contextlib.suppress(OSError, ValueError):
            return float((self._folder / entry).read_text())
        return None

    def leave(self, tree_s: float) -> None:
        """Says how much CPU time (s) this process's whole tree had used when its recording stopped."""
        with contextlib.suppress(OSError):
            self._mine.write_text(repr(tree_s))
            if all(final_s is not None for final_s in self.others().values()):
                self._remove()

    def _remove(self) -> None:
        for entry in os.listdir(self._folder):
            (self._folder / entry).unlink(missing_ok=True)
        self._folder.rmdir()
