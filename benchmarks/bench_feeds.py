"""What following a feed costs a run that goes on, and how long it takes to price a run of a month again."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from measure import Figure, seconds_of

from joulegram.config import Settings
from joulegram.feeds.cache import Cache
from joulegram.feeds.energidataservice import EnergiDataServiceFeed
from joulegram.feeds.fetching import BACK_S, Fetcher, Watch
from joulegram.records import Anchor, Channel, End, Header, IntensityPoint, Knots, PriceBook, Pue
from joulegram.session.prices import LOOK_S
from joulegram.session.recorded import open_ledger
from joulegram.session.repricing import reprice
from joulegram.units import NS_PER_S

STEP_S = 300.0
DAYS = 30
NOW_S = 1_782_295_200.0
START_S = NOW_S - DAYS * 86400
REPEATS = 21

TRACK = """
import sys, time
import joulegram
start = time.perf_counter()
with joulegram.track("benchmark", zone=sys.argv[1], meters=()):
    took = time.perf_counter() - start
    time.sleep(0.3)
print(took)
"""


def points(start_s: float, end_s: float) -> list[IntensityPoint]:
    """As the feed gives them every five minutes, settled."""
    times_s = np.arange(start_s, end_s, STEP_S)
    values = np.random.default_rng(0).uniform(20, 400, len(times_s)).tolist()
    source = EnergiDataServiceFeed.title
    return [
        IntensityPoint(
            g, g, g, "DK-DK1", source, "measured", basis="direct", scope="consumption", start_s=time_s,
            length_s=STEP_S, fetched_s=NOW_S, settled=True,
        )
        for time_s, g in zip(times_s.tolist(), values, strict=True)
    ]  # fmt: skip


def recorded(ledger: Path) -> None:
    """A run of a month with a knot every minute, as its journal."""
    folder = ledger / "20260101-000000-abcdef"
    folder.mkdir(parents=True)
    seconds = np.arange(0, DAYS * 86400 + 1, 60)
    joules = np.concatenate([[0.0], np.cumsum(np.random.default_rng(1).uniform(200, 700, len(seconds) - 1)) * 60])
    curve = ((seconds * NS_PER_S).tolist(), joules.tolist())
    first, last = (Anchor(s * NS_PER_S, s * NS_PER_S, round((START_S + s) * NS_PER_S)) for s in (0, DAYS * 86400))
    records = [
        Header("20260101-000000-abcdef", "a month", None, "train", "DK-DK1", "h", "b", 1, "1", 0, 0, first),
        Channel("gpu:A", "gpu", "measured", "a counter", max_w=1000.0),
        PriceBook(Pue(1.2, 1.2, 1.2, "measured", "as given"), (), "direct"),
        Knots(0, {"node gpu:A": curve, "run gpu:A": curve}),
        End(DAYS * 86400 * NS_PER_S, "finished", last),
    ]
    (folder / "h-0-1.journal").write_text("".join(f"{record.to_line()}\n" for record in records))


def started_ms(zone: str, **environment: str) -> list[float]:
    command = [sys.executable, "-c", TRACK, zone]
    runs = [
        subprocess.run(command, env={**os.environ, **environment}, capture_output=True, check=True) for _ in "1" * 9
    ]
    return [float(run.stdout) * 1e3 for run in runs]


def measure(full: bool) -> Iterator[Figure]:
    del full
    cache = Cache(Path("intensity.sqlite"))
    feed = EnergiDataServiceFeed({}, None, lambda: NOW_S)
    known = points(START_S, NOW_S + STEP_S)
    cache.keep(feed.source, "DK-DK1", known)
    watch = Watch([Fetcher(feed, "DK-DK1", cache, lambda: NOW_S)], NOW_S - BACK_S, lambda: NOW_S)
    watch.news()

    def look() -> None:
        watch.look()
        assert not watch.news()

    looks_ms = [seconds_of(look) * 1e3 for _ in range(REPEATS)]
    note = f"every {LOOK_S:g} s, with two days of five-minute points, nothing due"
    yield Figure("a look at a feed", looks_ms, "ms", note=note)
    cpu_s = time.thread_time()
    for _ in range(REPEATS):
        look()
    share = (time.thread_time() - cpu_s) / REPEATS / LOOK_S * 100
    yield Figure("following a feed: CPU", [share], "% of a core", 0.1)
    kept_s = [seconds_of(lambda: cache.keep(feed.source, "DK-DK1", known[-12:])) * 1e3 for _ in range(REPEATS)]
    yield Figure("keeping an hour of five-minute points in the cache", kept_s, "ms")

    recorded(Path("ledger"))

    def again() -> None:
        run = open_ledger("ledger").run("20260101")
        done = reprice(run, Settings(intensity="energidataservice"), lambda _: False, now_s=lambda: NOW_S, cache=cache)
        assert done.changed
        assert done.after.hours().settled_s > 0.99 * DAYS * 86400

    what = f"pricing a run of {DAYS} days again, {len(known):,} points"
    yield Figure(what, [seconds_of(again) for _ in range(5)], "s", note="from the cache, reading the run included")
    annual = started_ms("GB")
    yield Figure("starting a run, yearly means", annual, "ms")
    yield Figure("starting a run, a feed that does not answer", started_ms("GB", JOULEGRAM_INTENSITY="auto"), "ms")
