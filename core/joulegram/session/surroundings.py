"""Where runs go, and in which run this process already is."""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

from joulegram.config import ConfigError, Settings
from joulegram.host.clock import Clock
from joulegram.host.launcher import job_run_id
from joulegram.host.processes import process_started

VARIABLE = "JOULEGRAM_RUN"
LEDGER_VARIABLE = "JOULEGRAM_LEDGER"
_LONGEST_ID = 128


def ledger_path(settings: Settings) -> Path:
    """The ledger's folder: as configured, else in the user's data directory.

    Raises:
        ConfigError: the ledger is a URL of a kind that is not supported.
    """
    if settings.ledger is None:
        import platformdirs

        return Path(platformdirs.user_data_dir("joulegram", appauthor=False)) / "ledger"
    if "://" not in settings.ledger:
        return Path(settings.ledger).expanduser().absolute()
    from urllib.parse import unquote, urlsplit

    url = urlsplit(settings.ledger)
    if url.scheme != "file":
        raise ConfigError(f"ledger = {settings.ledger!r}: a ledger is a folder (a path or a file:// URL)")
    return Path(unquote(url.path))


@dataclass(frozen=True, slots=True)
class Surrounding:
    """The run that this process was started in, as the environment tells it.

    Args:
        run: its id.
        joined_pid: the recorder inside whose process tree this process is; None for a fellow rank.
    """

    run: str
    joined_pid: int | None


def surrounding_run(clock: Clock) -> Surrounding | None:
    """The live run around this process; None outside of any.

    The variable holds ``RUN@HOST/PID/START``, as a recorder sets it for its children, or a plain run id, as a user or
    a launcher sets it for all ranks of a job. A recorder of this host that has ended is no surrounding any more.
    """
    given, _, recorder = os.environ.get(VARIABLE, "").partition("@")
    run = safe_run_id(given)
    if not run:
        return None
    host, _, process = recorder.rpartition("/")[0].rpartition("/")
    started = recorder.rpartition("/")[2]
    if not process.isdigit() or host != clock.host:
        return Surrounding(run, None)
    # This very process knows its own live runs; what it was before an exec is over.
    if int(process) == os.getpid() or process_started(int(process)) != started:
        return None
    return Surrounding(run, int(process))


def announce(run: str, clock: Clock) -> str:
    """The variable's value that puts children of this process into `run`."""
    return f"{run}@{clock.host}/{os.getpid()}/{process_started(os.getpid())}"


def safe_run_id(given: str) -> str:
    """A run id of any origin as the name of a folder: it can neither leave the ledger nor hide in it."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", given).lstrip(".")[:_LONGEST_ID]


def new_run_id() -> str:
    """An id for a run of this process's own, or of its launcher's job; ids sort by time."""
    return job_run_id() or f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{os.urandom(3).hex()}"
