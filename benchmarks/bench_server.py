"""A real server on loopback under load from another process: what the middleware adds, and whether its books hold."""

from __future__ import annotations

import json
import math
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from measure import Figure, mean_interval_95

LOAD = Path(__file__).with_name("load.py")
PAIRS = 24
PAIR_S, PAIR_RATE, PAIR_WAIT_S = 3.0, 400.0, 0.005
RATE, WAIT_S = 2_000.0, 0.128
"""2,000 requests each second that last 128 ms: 256 in flight."""


def measure(full: bool) -> Iterator[Figure]:
    yield from _latency(PAIRS if full else 20)
    yield from _load(60.0 if full else 20.0)


def _latency(pairs: int) -> Iterator[Figure]:
    with _server("noop") as plain, _server("footprint") as counting:
        for port in (plain, counting):
            _ask(port, PAIR_RATE, 1.0, PAIR_WAIT_S)
        logs: dict[str, list[float]] = {"p50": [], "p99": []}
        p99_ms: list[float] = []
        for pair in range(pairs):
            order = (plain, counting) if pair % 2 else (counting, plain)
            found = {port: _ask(port, PAIR_RATE, PAIR_S, PAIR_WAIT_S) for port in order}
            for name, share in (("p50", 0.50), ("p99", 0.99)):
                with_, without = (_quantile(found[port]["latencies_s"], share) for port in (counting, plain))
                logs[name].append(math.log(with_ / without))
            p99_ms.append(_quantile(found[plain]["latencies_s"], 0.99) * 1e3)
    note = f"{pairs} pairs, {PAIR_RATE:g} requests/s of {PAIR_WAIT_S * 1e3:g} ms"
    yield Figure("p99 latency with a middleware that does nothing", p99_ms, "ms", note=note)
    for name, most in (("p50", None), ("p99", 10.0)):
        low, high = (100 * (math.exp(edge) - 1) for edge in mean_interval_95(logs[name]))
        mean = 100 * (math.exp(statistics.fmean(logs[name])) - 1)
        yield Figure(
            f"{name} latency against it: upper end of the 95 % interval", [high], "%", most,
            f"mean {mean:+.1f} %, interval {low:+.1f} to {high:+.1f} %",
        )  # fmt: skip


def _load(seconds: float) -> Iterator[Figure]:
    with _server("footprint") as port:
        _ask(port, 50.0, 2.0, 0.01)
        before = _settled(port)  # books of a server that has just stopped are gone on with
        asking = _asking(port, RATE, seconds, WAIT_S)
        began_s = time.monotonic()
        off, rss_mib = [], []
        while asking.poll() is None and time.monotonic() - began_s < seconds:
            time.sleep(1.0)
            told = _told(port)
            off.append(max(told["off"], default=0.0))
            rss_mib.append(told["rss_mib"])
        done = json.loads(asking.communicate()[0])
        after = _settled(port)
    note = f"{done['sent'] / seconds:,.0f} requests/s, up to {done['in_flight']} in flight, {seconds:g} s"
    unknown = done["sent"] - (after["requests"] - before["requests"])
    yield Figure("requests without an answer", [float(done["failed"])], "", 0.0, note)
    yield Figure("requests that the books do not know", [float(abs(unknown) + after["lost"])], "", 0.0, note)
    yield Figure("parts and pending against the meter, each second", [max([*off, *after["off"]])], "", 1e-9, note)
    yield Figure("memory gained since the third second", [rss_mib[-1] - rss_mib[2]], "MiB", 8.0, note)
    yield Figure("the server's process", [100 * (after["cpu_s"] - before["cpu_s"]) / seconds], "% of a core", note=note)
    yield Figure("p99 latency beyond what the handler waits", [_p99_ms(done, WAIT_S)], "ms", note=note)


def _p99_ms(done: dict[str, Any], wait_s: float) -> float:
    return 1e3 * (_quantile(done["latencies_s"], 0.99) - wait_s)


def _quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


@contextmanager
def _server(which: str) -> Iterator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, str(LOAD), "serve", which, str(port)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as server:
        try:
            for _ in range(200):
                try:
                    told = _told(port)
                except OSError:
                    time.sleep(0.1)
                    continue
                if which == "noop" or told.get("off"):
                    break
                time.sleep(0.1)
            yield port
        finally:
            assert server.stdin is not None
            server.stdin.close()
            server.wait(20.0)


def _told(port: int) -> dict[str, Any]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/told", timeout=10.0) as answer:
        return json.loads(answer.read())


def _settled(port: int) -> dict[str, Any]:
    """What the books say once nothing is in flight or pending any more."""
    for _ in range(200):
        told = _told(port)
        if not told["in_flight"] and not told["pending_j"]:
            break
        time.sleep(0.1)
    return told


def _asking(port: int, rate: float, seconds: float, wait_s: float) -> subprocess.Popen[str]:
    command = [sys.executable, str(LOAD), "ask", str(port), str(rate), str(seconds), str(wait_s)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _ask(port: int, rate: float, seconds: float, wait_s: float) -> dict[str, Any]:
    return json.loads(_asking(port, rate, seconds, wait_s).communicate()[0])
