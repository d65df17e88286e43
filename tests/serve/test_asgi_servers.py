"""Uvicorn on a socket: workers that are killed, clients that leave or do not read, a server that starts again."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from worlds import until

from joulegram.host.clock import Clock
from joulegram.host.cohort import runtime_folder
from joulegram.ledger.stored import read_run
from joulegram.serving.reading import Reader
from joulegram.serving.snapshot import Snapshot
from joulegram.testing.powercap import PowercapTree

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no sockets in files here")

POWER_W = 60.0
HERE = Path(__file__).parent


class OverSocket(http.client.HTTPConnection):
    """HTTP over a socket in a file: no port to be found."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=30)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
        self.sock.connect(str(self.path))


class Uvicorn:
    """A running server."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.socket, self.log = folder / "http.sock", folder / "log.txt"
        self.socket.unlink(missing_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "uvicorn", "served_app:app", "--uds", str(self.socket),
                 "--timeout-graceful-shutdown", "1", *arguments],
                cwd=folder, stdout=log, stderr=log,
            )  # fmt: skip
        until(self.answers, "answer", 60)

    def answers(self) -> bool:
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self.get("/health")[0] == 200
        return False

    def get(self, path: str) -> tuple[int, http.client.HTTPMessage, Any]:
        connection = OverSocket(self.socket)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            body = response.read()
        finally:
            connection.close()
        is_json = response.headers.get_content_type() == "application/json"
        return response.status, response.headers, json.loads(body) if is_json else body

    def begin(self, path: str) -> socket.socket:
        """Asks, and reads nothing."""
        connection = OverSocket(self.socket)
        connection.request("GET", path)
        return connection.sock

    def stop(self, with_signal: int = signal.SIGTERM) -> None:
        self._process.send_signal(with_signal)
        self._process.wait(30)


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the server runs, on a machine whose package draws a known power; a socket's name has to be short."""
    folder = Path(tempfile.mkdtemp(prefix="jg"))
    (folder / "powercap").mkdir()
    shutil.copy(HERE / "served_app.py", folder)
    with PowercapTree(folder / "powercap", "laptop", POWER_W).run_live() as tree:
        monkeypatch.setenv("JOULEGRAM_METERS", "rapl")
        monkeypatch.setenv("JOULEGRAM_METER_OPTIONS_RAPL_ROOT", str(tree.root))
        yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def serve(folder: Path) -> Iterator[Callable[..., Uvicorn]]:
    started: list[Uvicorn] = []

    def start(*arguments: str) -> Uvicorn:
        started.append(Uvicorn(folder, *arguments))
        return started[-1]

    yield start
    for server in started:
        if server._process.poll() is None:
            server.stop()


class Watch:
    """What anybody on this host can read: it adds up, and nothing in it ever falls."""

    def __init__(self) -> None:
        self._last: dict[Any, float] = {}

    def look(self) -> Snapshot | None:
        folders = list(runtime_folder().glob("serving-*"))
        snapshot = Reader(folders[0]).snapshot() if folders and (folders[0] / "books").exists() else None
        if snapshot is None:
            return None
        now: dict[Any, float] = {}
        for channel in snapshot.channels.values():
            together = snapshot.energy_j(channel.id) + channel.pending_j
            assert abs(together - channel.meter_j) <= 1e-9 * max(1.0, channel.meter_j)
            now["meter", channel.id], now["nobody", channel.id] = channel.meter_j, channel.unattributed_j
        for row in snapshot.routes:
            now["requests", row.route], now["tokens", row.route] = row.requests, row.tokens
            for name, parts in row.energy_j.items():
                now["active", row.route, name], now["idle", row.route, name] = parts.active, parts.idle_shared
        assert all(now.get(key, 0.0) >= value for key, value in self._last.items())
        self._last.update(now)
        return snapshot

    def has(self, what: str, condition: Callable[[Snapshot], Any]) -> Snapshot:
        """Waits for it; the snapshot."""

        def looked() -> Snapshot | None:
            snapshot = self.look()
            return snapshot if snapshot is not None and condition(snapshot) else None

        found = until(looked, what, 60)
        assert isinstance(found, Snapshot)
        return found


def requests(snapshot: Snapshot, route: str) -> int:
    return sum(row.requests for row in snapshot.routes if row.route == route)


@pytest.fixture
def watch() -> Watch:
    return Watch()


def test_everything_that_is_asked_is_counted_once_and_adds_up(serve: Callable[..., Uvicorn], watch: Watch) -> None:
    server = serve()
    before = watch.has("reading", lambda seen: any(channel.meter_j > 0 for channel in seen.channels.values()))
    for number in range(50):
        assert server.get(f"/caption/{number}")[0] == 200
    assert server.get("/stream/100")[2] == b"token " * 100_000
    assert server.get("/boom")[0] == 500
    for number in range(20):
        assert server.get(f"/nowhere/{number}")[0] == 404
    after = watch.has("requests", lambda seen: sum(row.requests for row in seen.routes) == 72)
    told = {row.route: (row.requests, row.failed, row.tokens) for row in after.routes}
    assert told == {
        "/caption/{number}": (50, 0, 1225.0), "/stream/{chunks}": (1, 0, 100.0), "/boom": (1, 1, 0.0),
        "unmatched": (20, 0, 0.0),
    }  # fmt: skip
    after = watch.has("more readings", lambda seen: seen.time_s > before.time_s + 3.0)
    (package,) = (name for name in after.channels if name.endswith("cpu:package-0"))
    rise_j = after.channels[package].meter_j - before.channels[package].meter_j
    assert rise_j == pytest.approx(POWER_W * (after.time_s - before.time_s), rel=0.5)


def test_a_client_that_leaves_ends_its_request(serve: Callable[..., Uvicorn], watch: Watch) -> None:
    server = serve()
    for path in ("/hold", "/stream/1000000"):
        asked = server.begin(path)
        watch.has("request in flight", lambda seen: seen.in_flight == 1)
        asked.close()
        watch.has("end", lambda seen: seen.in_flight == 0)
    seen = watch.has("both", lambda seen: len(seen.routes) == 2)
    assert (requests(seen, "/hold"), requests(seen, "/stream/{chunks}")) == (1, 1)
    assert (seen.dropped, seen.lost) == (0, 0)
    assert server.get("/caption/1")[0] == 200


def test_a_client_that_does_not_read_holds_up_nobody(serve: Callable[..., Uvicorn], watch: Watch) -> None:
    server = serve()
    slow = [server.begin("/stream/1000000") for _ in range(5)]
    watch.has("slow ones", lambda seen: seen.in_flight == 5)
    for number in range(20):
        assert server.get(f"/caption/{number}")[0] == 200
    watch.has("quick ones", lambda seen: requests(seen, "/caption/{number}") == 20 and seen.in_flight == 5)
    for connection in slow:
        connection.close()
    watch.has("end", lambda seen: seen.in_flight == 0 and requests(seen, "/stream/{chunks}") == 5)


def test_the_access_log_leads_to_what_is_settled(serve: Callable[..., Uvicorn], folder: Path, watch: Watch) -> None:
    config = {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {"footprint": {"()": "joulegram_serve.FootprintFilter"}},
        "formatters": {"access": {"format": "%(message)s footprint=%(footprint_id)s energy_j=%(energy_j)s"}},
        "handlers": {"access": {"class": "logging.StreamHandler", "filters": ["footprint"], "formatter": "access"}},
        "loggers": {"uvicorn.access": {"handlers": ["access"], "level": "INFO", "propagate": False}},
    }
    (folder / "log.json").write_text(json.dumps(config))
    server = serve("--log-config", "log.json")
    _, headers, _ = server.get("/caption/7")
    line = re.search(r'"GET /caption/7 HTTP/1.1" 200 footprint=(\S+) energy_j=(\S+)', server.log.read_text())
    assert line is not None
    assert line[1] == headers["footprint-id"]
    assert re.search(r'"GET /health HTTP/1.1" 200 footprint=None energy_j=None', server.log.read_text())
    status, _, told = until(lambda: (found := server.get(f"/footprint/{line[1]}"))[0] == 200 and found, "figure")
    assert (status, told["id"], told["route"], told["tokens"]) == (200, line[1], "/caption/{number}", 7.0)
    assert told["settled"] is True
    assert watch.look() is not None


def test_killed_workers_and_a_killed_owner_of_the_books(
    serve: Callable[..., Uvicorn], watch: Watch, tmp_path: Path
) -> None:
    server = serve("--workers", "2")
    asked = 0

    def ask(most: int = 200) -> set[int]:
        """Asks until two workers have answered."""
        nonlocal asked
        pids: set[int] = set()
        while len(pids) < 2 and most:
            with contextlib.suppress(OSError, http.client.HTTPException):  # a worker that has just been killed
                _, _, answer = server.get("/caption/1")
                pids.add(answer["pid"])
                asked += 1
            most -= 1
        return pids

    until(lambda: len(ask()) == 2, "two workers", 60)
    first = watch.has("both", lambda seen: seen.workers == 2 and requests(seen, "/caption/{number}") == asked)
    other = (ask() - {first.owner_pid}).pop()
    os.kill(other, signal.SIGKILL)
    until(lambda: len(ask() - {other}) == 2, "new worker", 60)
    second = watch.has("new one", lambda seen: requests(seen, "/caption/{number}") == asked and seen.workers == 2)
    assert second.owner_pid == first.owner_pid
    os.kill(first.owner_pid, signal.SIGKILL)
    until(lambda: len(ask() - {first.owner_pid}) == 2, "another new worker", 60)
    third = watch.has(
        "successor",
        lambda seen: seen.owner_pid != first.owner_pid and requests(seen, "/caption/{number}") == asked
        and seen.workers == 2,
    )  # fmt: skip
    assert third.run == first.run
    server.stop()
    last = watch.look()
    assert last is not None
    (run,) = (tmp_path / "ledger").iterdir()
    stored = read_run(run, Clock())
    assert stored is not None
    assert sum(hour.requests for hour in stored.served() if hour.route == "/caption/{number}") == asked


def test_a_server_that_is_reloaded_goes_on_counting(serve: Callable[..., Uvicorn], watch: Watch, folder: Path) -> None:
    server = serve("--reload", "--reload-delay", "0.1")
    pid = server.get("/caption/1")[2]["pid"]
    before = watch.has("first", lambda seen: requests(seen, "/caption/{number}") == 1)
    os.utime(folder / "served_app.py")

    def reloaded() -> bool:
        with contextlib.suppress(OSError, http.client.HTTPException):
            return bool(server.get("/health")[2] != pid)
        return False

    until(reloaded, "reloading", 60)
    assert server.get("/caption/1")[0] == 200
    after = watch.has("second", lambda seen: requests(seen, "/caption/{number}") == 2)
    assert after.run == before.run
    for name, channel in before.channels.items():
        assert after.channels[name].meter_j >= channel.meter_j
