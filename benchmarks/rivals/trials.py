"""One program on one machine, once: what it said, beside what was true."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rivals.contestants import Program
from rivals.machines import REFRESH_S, Machine, Running

LATE_S = 0.02
"""A program that begins later than this was not ready: it is given more time."""
FIRST_LEAD_S, SPARE_S, MOST_LEAD_S = 9.0, 1.5, 40.0
AFTER_S = 25.0
"""How long a program may take to hand in what it measured."""


@dataclass(frozen=True)
class Measured:
    """Joules of one part over one window, said and true, and the bounds that were given."""

    said_j: float
    true_j: float
    bounds_j: tuple[float, float] | None = None

    @property
    def error(self) -> float:
        """In percent, with its sign."""
        return 100 * (self.said_j / self.true_j - 1)

    @property
    def contained(self) -> bool:
        return self.bounds_j is None or self.bounds_j[0] <= self.true_j <= self.bounds_j[1]


@dataclass(frozen=True)
class Trial:
    """What one program said on one machine: of the whole and of each epoch, by part; or why it said nothing."""

    machine: Machine
    program: Program
    repeat: int
    whole: Mapping[str, Measured] = field(default_factory=dict)
    epochs: Mapping[str, list[Measured]] = field(default_factory=dict)
    failed: str = ""

    @property
    def measured(self) -> Iterator[Measured]:
        yield from self.whole.values()
        for epochs in self.epochs.values():
            yield from epochs


class Laboratory:
    """Runs trials, one at a time.

    Args:
        cache: where the GPU's library is kept.
        environments: where the rivals are installed.
    """

    def __init__(self, cache: Path, environments: Path) -> None:
        self._library, self._environments = cache / "nvml", environments
        self._leads_s: dict[str, float] = {}

    def trial(self, machine: Machine, program: Program, repeat: int) -> Trial:
        """One trial; programs of the same machine and repeat find the same alignment of its refreshes."""
        phase_s = random.Random(f"{machine} {repeat}").uniform(0, REFRESH_S)
        while True:
            lead_s = self._leads_s.get(program.name, FIRST_LEAD_S)
            with tempfile.TemporaryDirectory(prefix="joulegram-accuracy-", ignore_cleanup_errors=True) as folder:
                start_s = time.monotonic() + lead_s
                with Running(machine, Path(folder) / "machine", self._library, start_s, phase_s) as running:
                    report, failed = self._run(running, program, Path(folder), start_s)
                    if report is None:
                        return Trial(machine, program, repeat, failed=failed)
                    needed_s = lead_s - (start_s - report["ready_s"]) + SPARE_S
                    self._leads_s[program.name] = max(self._leads_s.get(program.name, 0.0), needed_s)
                    if report["late_s"] > LATE_S and lead_s < MOST_LEAD_S:
                        continue
                    return _trial(machine, program, repeat, report, running)

    def _run(
        self, running: Running, program: Program, folder: Path, start_s: float
    ) -> tuple[dict[str, Any] | None, str]:
        """What a program reports, or the last line that it wrote before it failed."""
        edges_s = [start_s + edge_s for edge_s in running.machine.load.edges_s]
        plan, errors = folder / "plan.json", folder / "errors"
        plan.write_text(json.dumps({"edges_s": edges_s}))
        report = plan.with_suffix(".report")
        home = {"HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
        variables = program.variables() | home | {"JOULEGRAM_RUNTIME_DIR": str(folder / "runtime")}
        with errors.open("w") as error_stream:
            process = subprocess.Popen(
                running.command(*program.command(self._environments), str(plan)),
                env=variables | running.environment(),
                cwd=folder,
                stdout=subprocess.DEVNULL,
                stderr=error_stream,
                start_new_session=True,
            )
            while process.poll() is None and not report.exists() and time.monotonic() < edges_s[-1] + AFTER_S:
                time.sleep(0.1)
            hung = process.poll() is None and not report.exists()
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # meters leave children behind
            process.wait()
        if report.exists():
            return json.loads(report.read_text()), ""
        lines = [line.strip() for line in errors.read_text().splitlines() if line.strip()]
        return None, "did not come back" if hung else (lines or [f"exit status {process.returncode}"])[-1]


def _trial(machine: Machine, program: Program, repeat: int, report: Mapping[str, Any], running: Running) -> Trial:
    whole = _measured(report["whole"], running)
    epochs: dict[str, list[Measured]] = {}
    if len(machine.load.epochs_s) > 1:
        for epoch in report["epochs"]:
            for part, measured in _measured(epoch, running).items():
                epochs.setdefault(part, []).append(measured)
    return Trial(machine, program, repeat, whole, epochs)


def _measured(window: Mapping[str, Any], running: Running) -> dict[str, Measured]:
    """A window's joules by part; what the machine has not, or the program did not see, is left out."""
    truth_j = running.truth_j(window["start_s"], window["end_s"])
    said_j, bounds_j = window["energy_j"], window["bounds_j"]
    return {
        part: Measured(said_j[part], true_j, tuple(bounds_j[part]) if part in bounds_j else None)
        for part, true_j in truth_j.items()
        if part in said_j
    }
