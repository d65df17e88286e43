"""LitServe: requests count once, where they come in; its workers' predictions stand beside them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from servers import Host, seen
from worlds import until

from joulegram.host.cohort import runtime_folder
from joulegram.serving.reading import Reader
from joulegram.serving.snapshot import Snapshot
from joulegram.testing.powercap import PowercapTree

litserve = pytest.importorskip("litserve")

from joulegram_serve.litserve import PREDICTIONS, FootprintCallback, _Predictions  # noqa: E402

HERE = Path(__file__).parent


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def predictions(host: Host, service: Any) -> tuple[int, int, float]:
    host.go_on(1.0)
    (row,) = [row for row in seen(service).routes if row.route == PREDICTIONS]
    assert seen(service).in_flight == 0
    assert all(parts.total == 0.0 for parts in row.energy_j.values())
    return row.requests, row.failed, row.items


def test_a_batch_is_one_prediction_of_as_many_requests(host: Host) -> None:
    service = host.serve()
    counting = _Predictions(service)
    batch, predict = counting.sized(list), counting.counted(lambda inputs: [2 * one for one in inputs])
    host.go_on(1.0)
    assert predict(batch((1, 2, 3))) == [2, 4, 6]
    assert predict(batch((4,))) == [8]
    assert predictions(host, service) == (2, 0, 4.0)


def test_every_way_of_predicting_stays_what_it_was_and_counts_until_its_end(host: Host) -> None:
    service = host.serve()
    counting = _Predictions(service)
    host.go_on(1.0)

    def stream(number: int) -> Iterator[int]:
        yield from range(number)

    def handed_out(number: int) -> Iterator[int]:
        return stream(number)

    async def later(number: int) -> int:
        return number

    async def stream_later(number: int) -> AsyncIterator[int]:
        for one in range(number):
            yield one

    async def ask() -> list[int]:
        assert await counting.counted(later)(7) == 7
        return [one async for one in counting.counted(stream_later)(3)]

    for way in (stream, handed_out):
        parts = counting.counted(way)(2)
        assert next(parts) == 0
        host.go_on(0.5)
        assert seen(service).in_flight == 1
        assert list(parts) == [1]
    assert asyncio.run(ask()) == [0, 1, 2]
    assert predictions(host, service) == (4, 0, 4.0)


def test_a_prediction_that_raises_has_failed_and_raises(host: Host) -> None:
    service = host.serve()
    counting = _Predictions(service)
    host.go_on(1.0)

    def broken(_: int) -> None:
        raise RuntimeError("no")

    def broken_stream(_: int) -> Iterator[int]:
        yield 1
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        counting.counted(broken)(1)
    with pytest.raises(RuntimeError, match="no"):
        list(counting.counted(broken_stream)(1))
    assert predictions(host, service) == (2, 2, 2.0)


def test_a_worker_serves_whatever_is_wrong_with_the_callback(caplog: pytest.LogCaptureFixture) -> None:
    callback = pickle.loads(pickle.dumps(FootprintCallback("lit", pue="a lot")))  # as it comes to a worker
    callback.on_after_setup(SimpleNamespace())
    assert "predictions" in caplog.text or "pue" in caplog.text


class Server:
    """LitServe on a port, with its processes."""

    def __init__(self, way: str, log: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        with log.open("wb") as out:
            self._process = subprocess.Popen(
                [sys.executable, str(HERE / "lit_app.py"), str(self.port), way],
                stdout=out, stderr=out, cwd=log.parent, start_new_session=True,
            )  # fmt: skip
        until(self._answers, "answer", 60)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def predict(self, number: int) -> bytes:
        asked = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/predict",
            data=json.dumps({"number": number}).encode(),
            headers={"content-type": "application/json"},
        )
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return bytes(answer.read())

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(10)


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Server]]:
    started: list[Server] = []
    (tmp_path / "powercap").mkdir()
    with PowercapTree(tmp_path / "powercap", "laptop", 60.0).run_live() as tree:
        monkeypatch.setenv("JOULEGRAM_METERS", "rapl")
        monkeypatch.setenv("JOULEGRAM_METER_OPTIONS_RAPL_ROOT", str(tree.root))

        def start(way: str) -> Server:
            started.append(Server(way, tmp_path / "log.txt"))
            return started[-1]

        yield start
        for server in started:
            server.stop()


def looked() -> Snapshot | None:
    folders = list(runtime_folder().glob("serving-*"))
    snapshot = Reader(folders[0]).snapshot() if folders and (folders[0] / "books").exists() else None
    for channel in snapshot.channels.values() if snapshot is not None else ():
        assert snapshot is not None
        together = snapshot.energy_j(channel.id) + channel.pending_j
        assert abs(together - channel.meter_j) <= 1e-9 * max(1.0, channel.meter_j)
    return snapshot


def routes(requests: int) -> dict[str, tuple[int, int, float]]:
    """What each route counted, once as many requests have ended."""

    def counted() -> Snapshot | None:
        snapshot = looked()
        known = snapshot is not None and snapshot.channels and not snapshot.in_flight
        return snapshot if known and sum(row.requests for row in snapshot.routes) >= requests else None  # type: ignore[union-attr]

    snapshot = until(counted, f"{requests} requests", 60)
    return {row.route: (row.requests, row.failed, row.items) for row in snapshot.routes}


def test_a_real_server_counts_its_requests_once_and_its_batches_beside(serve: Callable[[str], Server]) -> None:
    server = serve("batch")
    with ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(server.predict, range(24)))
    assert [json.loads(answer)["number"] for answer in answers] == [2 * number for number in range(24)]
    found = routes(24 + 3)
    assert found["/predict"] == (24, 0, 0.0)
    batches, failed, items = found[PREDICTIONS]
    assert (failed, items) == (0, 24.0)
    assert 3 <= batches < 24


def test_a_real_stream_is_one_prediction(serve: Callable[[str], Server]) -> None:
    server = serve("stream")
    assert server.predict(5) == b"01234"
    found = routes(2)
    assert found == {"/predict": (1, 0, 0.0), PREDICTIONS: (1, 0, 1.0)}
