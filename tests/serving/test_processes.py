"""Real processes that serve: forked, killed in the middle, one after the other, with counters of known power."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from worlds import until

from joulegram.analysis.served import serve_report
from joulegram.host.clock import Clock
from joulegram.host.cohort import runtime_folder
from joulegram.ledger.stored import read_run
from joulegram.serving.reading import Reader
from joulegram.serving.snapshot import Snapshot
from joulegram.session.recorded import open_ledger
from joulegram.testing.powercap import PowercapTree

POWER_W = 60.0
WORKER = """
import json, os, sys
import joulegram

service = joulegram.serve("captions", zone="DK-DK1")
requests = []


def obey(line):
    what, *how = line.split()
    if what == "start":
        service.start()
    elif what == "begin":
        requests.append(service.begin(*how))
        return requests[-1].id
    elif what == "end":
        requests.pop().end(200)
    elif what == "many":
        for _ in range(int(how[0])):
            with service.begin("/many"):
                pass
    elif what == "fork":
        pid = os.fork()
        if pid == 0:
            child = service.begin("/child")
            if requests:
                requests[-1].end(200)  # its parent's request, which is not its own to end
            child.end(200)
            service.close()
            os._exit(0 if child.id else 1)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    elif what == "close":
        service.close()
    elif what == "work":
        return sum(range(int(how[0])))


print("ready", flush=True)
for line in sys.stdin:
    print(json.dumps(obey(line)), flush=True)
"""


class ServingProcess:
    """A process that serves and does as it is told."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.pid = self._process.pid
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def do(self, what: str) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(what + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.communicate()

    def leave(self) -> None:
        self._process.communicate()


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], ServingProcess]]:
    """Starts processes on a host whose package draws a known power."""
    (tmp_path / "powercap").mkdir()
    started: list[ServingProcess] = []
    with PowercapTree(tmp_path / "powercap", "laptop", POWER_W).run_live() as tree:
        monkeypatch.setenv("JOULEGRAM_METERS", "rapl")
        monkeypatch.setenv("JOULEGRAM_METER_OPTIONS_RAPL_ROOT", str(tree.root))

        def start() -> ServingProcess:
            started.append(ServingProcess())
            return started[-1]

        yield start
        for process in started:
            if process._process.poll() is None:
                process.kill()


def seen() -> Snapshot | None:
    """What anybody on this host can read; it adds up."""
    folders = list(runtime_folder().glob("serving-*"))
    if not folders or not (folders[0] / "books").exists():
        return None
    snapshot = Reader(folders[0]).snapshot()
    if snapshot is not None:
        for channel in snapshot.channels.values():
            together = snapshot.energy_j(channel.id) + channel.pending_j
            assert abs(together - channel.meter_j) <= 1e-9 * max(1.0, channel.meter_j)
    return snapshot


def requests(route: str) -> int:
    """How many of a route have ended, as anybody can read."""
    snapshot = seen()
    return sum(row.requests for row in snapshot.routes if row.route == route) if snapshot else 0


def counted() -> bool:
    """Whether there has been a reading."""
    snapshot = seen()
    return snapshot is not None and any(channel.meter_j > 0 for channel in snapshot.channels.values())


def test_two_processes_keep_one_book_and_one_run(server: Callable[[], ServingProcess], tmp_path: Path) -> None:
    one, two = server(), server()
    for process in (one, two):
        process.do("many 300")
    until(lambda: requests("/many") == 600, "counting of both")
    until(counted, "reading")
    snapshot = seen()
    assert snapshot is not None
    assert snapshot.workers == 2
    assert snapshot.owner_pid in (one.pid, two.pid)
    one.do("close")
    two.do("close")
    (run,) = (tmp_path / "ledger").iterdir()
    stored = read_run(run, Clock())
    assert stored is not None
    assert stored.header.stage == "serve"
    assert sum(hour.requests for hour in stored.served() if hour.route == "/many") == 600
    (report,) = serve_report([open_ledger().latest().document()])["runs"]
    everything, (channel,) = report["served"]["total"], report["served"]["channels"]
    assert (everything["requests"], everything["failed"]) == (600, 0)
    told_j = (everything["energy_j"]["value"] or 0.0) + everything["unattributed_j"]["value"]
    assert told_j == pytest.approx(everything["whole_j"]["value"], rel=1e-9)
    assert told_j + channel["untold_j"] == pytest.approx(channel["metered_j"], rel=1e-9)
    assert everything["whole_g"]["value"] > 0


def test_a_killed_owner_is_followed_and_no_joule_and_no_request_is_lost_or_counted_twice(
    server: Callable[[], ServingProcess],
) -> None:
    one, two = server(), server()
    one.do("start")
    until(counted, "reading")
    two.do("begin /across")
    one.do("many 200")
    two.do("many 200")
    until(lambda: requests("/many") == 400, "counting of both")
    before = seen()
    assert before is not None
    assert before.owner_pid == one.pid
    one.kill()
    two.do("many 200")
    two.do("end")

    def followed() -> Snapshot | None:
        now = seen()
        return now if now is not None and now.owner_pid == two.pid and requests("/many") == 600 else None

    first = until(followed, "successor")
    until(lambda: (seen() or first).time_s > first.time_s + 2.0, "second thoughts")
    after = seen()
    assert after is not None
    assert requests("/across") == 1
    assert after.run == before.run
    for name, channel in before.channels.items():
        assert after.channels[name].meter_j >= channel.meter_j
        # The time between the two owners is counted too: all of it, at the package's power.
        if name.endswith("cpu:package-0"):
            elapsed_s = after.time_s - before.time_s
            assert after.channels[name].meter_j - channel.meter_j == pytest.approx(elapsed_s * POWER_W, rel=0.5)


def test_what_a_killed_process_had_in_flight_is_dropped(server: Callable[[], ServingProcess]) -> None:
    one, two = server(), server()
    one.do("start")
    until(counted, "reading")
    two.do("begin /dead")
    until(lambda: (snapshot := seen()) is not None and snapshot.in_flight == 1, "request in flight")
    two.kill()
    until(lambda: (snapshot := seen()) is not None and snapshot.dropped == 1, "dropping")
    snapshot = seen()
    assert snapshot is not None
    assert (snapshot.in_flight, snapshot.workers) == (0, 1)
    assert requests("/dead") == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")
def test_a_forks_child_serves_by_itself_and_leaves_its_parents_requests_alone(
    server: Callable[[], ServingProcess],
) -> None:
    process = server()
    process.do("begin /parent")
    until(counted, "reading")
    assert process.do("fork") == 0
    until(lambda: requests("/child") == 1, "the child's request")
    assert requests("/parent") == 0
    process.do("end")
    until(lambda: requests("/parent") == 1, "the parent's request")
    assert process.do("fork") == 0
    until(lambda: requests("/child") == 2, "another child's request")
