"""``joulegram run``: any command as a run, its exit code kept and its signals passed on."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import FrameType
from typing import Any

from joulegram.records import Status
from joulegram.session.live import Run, start
from joulegram.session.recorded import open_ledger
from joulegram.units import show_duration, show_energy, show_mass

_INTERRUPTED = (signal.SIGINT, signal.SIGTERM)


def track_command(command: Sequence[str], given: Mapping[str, Any]) -> int:
    """Runs a command inside a run of its own, or joins the one around; the command's exit code.

    Args:
        command: program and arguments.
        given: arguments of `start`, None where not given.

    Raises:
        ConfigError: an argument or the configuration is not understood.
    """
    settings = {name: value for name, value in given.items() if name != "name"}
    run = start(given["name"] or shlex.join(command)[:80], **settings, attributes={"command": shlex.join(command)})
    try:
        code = _wait_for(command)
    except OSError as error:  # not there, or nothing that can be run
        run.close("failed", error)
        print(f"joulegram: {command[0]}: {error.strerror}", file=sys.stderr)
        return 127 if isinstance(error, FileNotFoundError) else 126
    run.attributes["exit_code"] = code
    run.close(_status(code), None if code == 0 else f"exit code {code}")
    with suppress(Exception):  # a disk that took nothing has been told of already
        _say(run)
    return code


def _wait_for(command: Sequence[str]) -> int:
    """The command's exit code, 128 + the signal's number for one that a signal ended, as shells have it."""
    process = subprocess.Popen(command)

    def pass_on(number: int, _: FrameType | None) -> None:
        process.send_signal(number)

    # Ctrl-C reaches the command by itself: the terminal sends it to the whole foreground group.
    before = {
        signal.SIGINT: signal.signal(signal.SIGINT, signal.SIG_IGN),
        signal.SIGTERM: signal.signal(signal.SIGTERM, pass_on),
    }
    try:
        code = process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return code if code >= 0 else 128 - code


def _status(code: int) -> Status:
    if code == 0:
        return "finished"
    return "interrupted" if code - 128 in _INTERRUPTED else "failed"


def _say(run: Run) -> None:
    if run.ledger is None:
        return  # inert
    footprint = open_ledger(run.ledger).run(run.id).footprint()  # with all that joined it
    energy, carbon = footprint.energy_j.value, footprint.carbon_g.value
    figures = [
        "energy missing" if energy is None else f"{show_energy(energy)} ({footprint.energy_j.method})",
        "carbon missing" if carbon is None else f"{show_mass(carbon)} CO2e ({footprint.carbon_g.method})",
        show_duration(footprint.duration_s),
    ]
    print(f"joulegram: {', '.join(figures)}; joulegram report {run.id}", file=sys.stderr)
