"""How long the list of ten thousand runs takes, from the command's start to its end."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from measure import Figure, seconds_of

import joulegram

RUNS = 10_000
REPEATS = 7

PART = """
import sys, joulegram
with joulegram.track("benchmark", zone="DK", ledger=sys.argv[1]):
    pass
"""


def measure(full: bool) -> Iterator[Figure]:
    del full
    single, ranked = Path("single").absolute(), Path("ranked").absolute()
    _fill(single, _record(single, ranks=1))
    _forget(single)
    cold_s = seconds_of(lambda: _list(single))
    what = f"joulegram runs, {RUNS:,} runs"
    yield Figure(f"{what}, the first time", [cold_s], "s", 1.0, "files not in the page cache")
    yield Figure(f"{what}, again", [seconds_of(lambda: _list(single)) for _ in range(REPEATS)], "s", 1.0)
    json_s = [seconds_of(lambda: _list(single, "--json")) for _ in range(REPEATS)]
    yield Figure(f"{what}, as JSON", json_s, "s", 1.0)

    template = _record(ranked, ranks=2)
    first_ms = seconds_of(lambda: joulegram.open_ledger(ranked).summaries()) * 1e3
    yield Figure(
        "summary of a run of two processes, the first time", [first_ms], "ms", note="then it is kept beside it"
    )
    _fill(ranked, template)
    yield Figure(
        f"{what} of two processes each, again", [seconds_of(lambda: _list(ranked)) for _ in range(3)], "s", 1.0
    )


def _record(ledger: Path, ranks: int) -> Path:
    """The folder of a real run, recorded by as many processes."""
    environment = {**os.environ, "JOULEGRAM_RUN": "20260101-000000-000000"}
    for rank in range(ranks):
        command = [sys.executable, "-c", PART, str(ledger)]
        subprocess.run(command, env={**environment, "RANK": str(rank)}, check=True)
    return next(ledger.iterdir())


def _fill(ledger: Path, template: Path) -> None:
    """Copies of a run under ids of their own, as many as make up the ledger."""
    files = {path.name: path.read_bytes() for path in template.iterdir()}
    for number in range(1, RUNS):
        run_id = f"20260101-000000-{number:06x}"
        folder = ledger / run_id
        folder.mkdir()
        for name, content in files.items():
            (folder / name).write_bytes(content.replace(template.name.encode(), run_id.encode()))
    os.sync()


def _forget(ledger: Path) -> None:
    """Asks the kernel to drop the files from its page cache."""
    for path in ledger.rglob("*.journal"):
        file = os.open(path, os.O_RDONLY)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(file)


def _list(ledger: Path, *options: str) -> None:
    command = [sys.executable, "-m", "joulegram", "runs", "--ledger", str(ledger), *options]
    listed = subprocess.run(command, capture_output=True, check=True).stdout
    # A table shows the newest, and says how many more there are.
    assert listed.count(b"\n") >= RUNS or f"joulegram runs -n {RUNS}".encode() in listed
