"""What counting requests costs: the caller's thread, the owner of the books, and whoever reads them."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator

import psutil
from measure import Figure, seconds_of

import joulegram
from joulegram.records import Channel
from joulegram.serving.accounts import Accounts
from joulegram.units import NS_PER_S

BATCHES = 60
PER_BATCH = 200
PER_SECOND = 2_000
IN_FLIGHT = 256
ROUTES = 20
CHANNELS = 4

# Another process of the same host, which starts first and therefore keeps the books.
OWNER = """
import sys
import joulegram
service = joulegram.serve("owner")
service.start()
while service.snapshot() is None:
    pass
print("ready", flush=True)
sys.stdin.read()
service.close()
"""


def measure(full: bool) -> Iterator[Figure]:
    yield from _virtual()
    with subprocess.Popen([sys.executable, "-c", OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        owner.stdout.readline()
        with joulegram.serve("worker") as service:
            yield Figure(
                "begin + end of a request, several processes", _each_us(_requests(service)), "µs", 10.0,
                "this process does not keep the books",
            )  # fmt: skip
    with joulegram.serve("alone") as service:
        time.sleep(1.0)
        yield Figure(
            "begin + end of a request, one process", _each_us(_requests(service)), "µs", 3.0, "it keeps the books too"
        )
        yield from _under_load(service, 60.0 if full else 10.0)


def _requests(service: joulegram.Service) -> Callable[[], None]:
    def batch() -> None:
        for _ in range(PER_BATCH):
            service.begin("/caption").end(200)

    return batch


def _each_us(batch: Callable[[], None]) -> list[float]:
    times_us = []
    for _ in range(BATCHES):
        times_us.append(seconds_of(batch) / PER_BATCH * 1e6)
        time.sleep(0.03)
    return times_us


def _virtual() -> Iterator[Figure]:
    """A minute of requests in virtual time: nothing but the books."""
    books, flying = Accounts(), deque[int]()
    names = [f"gpu:{number}" for number in range(CHANNELS)]
    for name in names:
        books.open(Channel(name, "gpu", "measured", "a counter"), "", 0)
    events, work_s, step_ns = 0, [], NS_PER_S // PER_SECOND
    key = 0
    for second in range(60):
        started_s = time.perf_counter()
        for request in range(PER_SECOND):
            now_ns = second * NS_PER_S + request * step_ns
            key += 1
            books.begin(now_ns, key, 1.0 + key % 7)
            flying.append(key)
            if len(flying) > IN_FLIGHT:
                key_of = flying.popleft()
                books.end(now_ns, key_of, "s", f"/{key_of % ROUTES}", 200)
        for name in names:
            for tenth in range(10):
                start_ns = second * NS_PER_S + tenth * NS_PER_S // 10
                books.use(name, start_ns, start_ns + NS_PER_S // 10, 31.7 + tenth / 3, 4.1, 0.3)
        books.settle((second + 1) * NS_PER_S)
        work_s.append(time.perf_counter() - started_s)
        events += 2 * PER_SECOND
    off = []
    for totals in books.channel_totals("host").values():
        charged = sum(row.energy_j[totals.id].total for row in books.route_totals("host", str) if row.energy_j)
        off.append(abs(charged + totals.pending_j + totals.unattributed_j - totals.meter_j) / totals.meter_j)
    yield Figure(
        "an event in the books", [s / (2 * PER_SECOND) * 1e6 for s in work_s], "µs",
        note=f"{CHANNELS} channels, {IN_FLIGHT} in flight",
    )  # fmt: skip
    yield Figure("parts and pending against the meter", [max(off)], "", 1e-9, f"{events:,} events in virtual time")


def _under_load(service: joulegram.Service, seconds: float) -> Iterator[Figure]:
    """2,000 requests each second in real time, 256 in flight."""
    flying = deque[joulegram.Request]()
    process = psutil.Process()
    begun, taken_s = 0, time.thread_time()
    started_s = time.monotonic()
    others_s = time.process_time() - taken_s
    rss = [0.0]
    while (now_s := time.monotonic() - started_s) < seconds:
        while begun < now_s * PER_SECOND:
            flying.append(service.begin(f"/{begun % ROUTES}", 1.0 + begun % 7))
            begun += 1
            if len(flying) > IN_FLIGHT:
                flying.popleft().end(200)
        if len(rss) <= now_s:
            rss.append(process.memory_info().rss / 2**20)
        time.sleep(0.001)
    others_s = time.process_time() - time.thread_time() - others_s
    note = f"{PER_SECOND:,} requests/s, {IN_FLIGHT} in flight, {seconds:g} s"
    yield Figure("the books' owner and its recorder", [100 * others_s / seconds], "% of a core", note=note)
    yield Figure("memory gained since the third second", [rss[-1] - rss[min(3, len(rss) - 1)]], "MiB", 4.0, note)
    yield Figure(
        "reading a snapshot", [seconds_of(service.snapshot) * 1e3 for _ in range(20)], "ms", note="in flight included"
    )
    last = flying[-1]
    yield Figure("a provisional figure", [seconds_of(last.footprint) * 1e6 for _ in range(200)], "µs")
    while flying:
        flying.popleft().end(200)
    snapshot = service.snapshot()
    while snapshot is None or snapshot.in_flight or any(channel.pending_j for channel in snapshot.channels.values()):
        time.sleep(0.1)
        snapshot = service.snapshot()
    yield Figure("a settled figure", [seconds_of(last.footprint) * 1e6 for _ in range(200)], "µs")
    yield Figure("lost requests", [float(snapshot.lost)], "", 0.0, note)
    off = [
        abs(snapshot.energy_j(channel.id) + channel.pending_j - channel.meter_j) / channel.meter_j
        for channel in snapshot.channels.values()
    ]
    yield Figure("parts and pending against the meter, in real time", [max(off)], "", 1e-9, note)
