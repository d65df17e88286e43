"""A run's files put together: who recorded it, what they recorded, how it stands, and what it was priced with."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from joulegram.curves.curve import Curve
from joulegram.curves.timeline import Timeline
from joulegram.curves.trace import RecorderTrace, channel_trace
from joulegram.host.clock import Clock
from joulegram.host.processes import process_started
from joulegram.ledger.journal import JournalContent, read_journal
from joulegram.ledger.sealed import read_sealed
from joulegram.ledger.writer import SEALED_SUFFIX, SUFFIX
from joulegram.records import Header, Lineage, PriceBook, ServedHour, ServedRequest, SpanRecord, Status, from_plain
from joulegram.units import NS_PER_S

SILENCE_S = 60.0
"""A recorder of another host or boot that has not been heard of for this long is lost."""
PRICE_PREFIX = "price-"

# What a run is called whose recorders ended differently: the first of these that any of them has.
_GRAVEST: tuple[Status, ...] = ("running", "failed", "interrupted", "lost", "finished")


@dataclass(frozen=True, slots=True)
class Recording:
    """One process's part of a run, as stored."""

    path: Path
    content: JournalContent

    @property
    def header(self) -> Header:
        """Who recorded."""
        return self.content.header

    def status(self, clock: Clock, now_s: float) -> Status:
        """How it stands: as its end says, else alive if its process is, else by its last sign of life."""
        if self.content.end is not None:
            return self.content.end.status
        return "running" if _lives(self.header, self.content.last.wall_ns / NS_PER_S, clock, now_s) else "lost"

    @property
    def end_ns(self) -> int:
        """When it ended, or was last heard of, on its monotonic clock (ns)."""
        return self.content.end.end_ns if self.content.end else self.content.last.mono_ns

    def trace(self) -> RecorderTrace:
        """Its curves."""
        header, curves = self.header, self.content.curves
        suspends = [gap for gap in self.content.gaps if not gap.channel]
        return RecorderTrace(
            header=header,
            timeline=Timeline(self.content.anchors),
            channels={
                f"{header.host}/{name}": channel_trace(
                    f"{header.host}/{name}",
                    channel,
                    curves,
                    [*(gap for gap in self.content.gaps if gap.channel == name), *suspends],
                    header.start_ns,
                    self.end_ns,
                    moments=[moments for moments in self.content.moments if moments.channel == name],
                )
                for name, channel in self.content.channels.items()
            },
            phase_s={n.removeprefix("phase_s "): c for n, c in curves.items() if n.startswith("phase_s ")},
            phase_n={n.removeprefix("phase_n "): c for n, c in curves.items() if n.startswith("phase_n ")},
            tallies={n.removeprefix("tally "): c for n, c in curves.items() if n.startswith("tally ")},
            counts=tuple(self.content.counts),
            hardware=self.content.hardware,
            reserved_s=curves.get("reserved_s", Curve()),
            start_ns=header.start_ns,
            end_ns=self.end_ns,
        )


def _lives(header: Header, last_heard_s: float, clock: Clock, now_s: float) -> bool:
    if (header.host, header.boot) == (clock.host, clock.boot):
        return process_started(header.pid) == header.process_started
    return now_s - last_heard_s < SILENCE_S


@dataclass(eq=False)
class StoredRun:
    """A run's folder, read.

    Args:
        folder: the run's folder.
        recordings: at least one; the root first: the recorder that started the run, of lowest rank.
        clock: which host and boot are this reader's own.
    """

    folder: Path
    recordings: Sequence[Recording]
    clock: Clock

    @property
    def root(self) -> Recording:
        """The recorder that started the run."""
        return self.recordings[0]

    @property
    def header(self) -> Header:
        """What the run was started as."""
        return self.root.header

    @cached_property
    def status(self) -> Status:
        """How the run stands: its ranks together, not the children that joined it."""
        ranks = [r for r in self.recordings if r.header.joined_pid is None or r.header.rank > 0]
        now_s = self.clock.anchor().wall_ns / NS_PER_S
        found = {recording.status(self.clock, now_s) for recording in ranks or self.recordings}
        return next(status for status in _GRAVEST if status in found)

    @property
    def zone(self) -> str | None:
        """The grid zone: the root's, else the first that a recorder which joined it was given."""
        return next((r.header.zone for r in self.recordings if r.header.zone), None)

    @property
    def lineage(self) -> Lineage | None:
        """The run that this one continues, as any of its ranks knew it."""
        return next((r.content.lineage for r in self.recordings if r.content.lineage), None)

    @property
    def book(self) -> PriceBook:
        """The newest price: the newest sidecar, else what the run recorded itself.

        Raises:
            LookupError: the run was cut off before it wrote a price.
        """
        for sidecar in sorted(self.folder.glob(f"{PRICE_PREFIX}*.json"), reverse=True):
            with suppress(ValueError, KeyError, TypeError):  # a damaged one does not hide those before it
                return from_plain(PriceBook, json.loads(sidecar.read_bytes()))
        for recording in sorted(self.recordings, key=lambda r: r.header.zone is None):
            if recording.content.book is not None:
                return recording.content.book
        raise LookupError(f"run {self.header.run} holds no price")

    def spans(self) -> list[tuple[Recording, SpanRecord]]:
        """The run's spans: each rank does what the lowest does, so only its spans are listed."""
        lowest = min(recording.header.rank for recording in self.recordings)
        return [
            (recording, span)
            for recording in self.recordings
            if recording.header.rank == lowest
            for span in recording.content.spans
        ]

    def served(self) -> list[ServedHour]:
        """What each route of a server cost in each hour, all hosts together; channels bear their host's name.

        A process that took over the books of another goes on with its sums: the later of two lines counts.
        """
        newest = {
            (record.books, record.hour_s, record.service, record.route): record.on_host(recording.header.host)
            for recording in sorted(self.recordings, key=lambda r: r.header.anchor.wall_ns)
            for record in recording.content.served
        }
        sums: dict[tuple[int, str, str | None], ServedHour] = {}
        for (_, hour_s, service, route), record in newest.items():
            before = sums.get((hour_s, service, route))
            sums[hour_s, service, route] = record if before is None else before.plus(record)
        return sorted(sums.values(), key=lambda record: (record.hour_s, record.service, record.route or ""))

    def requests(self) -> list[ServedRequest]:
        """Each request of a server that was asked to keep them; channels bear their host's name."""
        return [
            record.on_host(recording.header.host)
            for recording in self.recordings
            for record in recording.content.requests
        ]

    def group(self, recording: Recording) -> list[Recording]:
        """The recorders whose joules a span of `recording` counts: itself, its fellow ranks, and what joined them."""
        if recording is self.root:
            return list(self.recordings)
        chosen = [recording, *(r for r in self.recordings if r.header.rank != recording.header.rank)]
        pids = {(r.header.host, r.header.pid) for r in chosen}
        while True:
            joined = [
                r for r in self.recordings if r not in chosen and (r.header.host, r.header.joined_pid) in pids
            ]  # fmt: skip
            if not joined:
                return chosen
            chosen += joined
            pids |= {(r.header.host, r.header.pid) for r in joined}


def read_run(folder: Path, clock: Clock) -> StoredRun | None:
    """A run from its folder; None if nothing whole was written.

    Raises:
        MissingExtra: the run is sealed and pyarrow is not installed.
        OSError: the folder cannot be read.
    """
    recordings = list(_recordings(folder))
    if not recordings:
        return None
    recordings.sort(key=lambda r: (r.header.joined_pid is not None, r.header.rank, r.header.anchor.wall_ns))
    return StoredRun(folder, recordings, clock)


def _recordings(folder: Path) -> Iterable[Recording]:
    names = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    for name in sorted(names):
        path = folder / name
        sealed = path.with_suffix(SEALED_SUFFIX)
        if name.endswith(SEALED_SUFFIX):
            content = read_sealed(path)
        elif name.endswith(SUFFIX) and sealed.name not in names:
            try:
                content = read_journal(path)
            except FileNotFoundError:  # another reader has sealed it since the folder was listed
                path, content = sealed, read_sealed(sealed)
        else:
            continue
        if content is not None:
            yield Recording(path, content)


def write_price(folder: Path, book: PriceBook) -> Path:
    """Adds a price to a run: a new file, never a change to an old one, and the last by name.

    Raises:
        OSError: the folder cannot be written.
    """
    newest = max((path.name for path in folder.glob(f"{PRICE_PREFIX}*.json")), default="")
    known = newest.removeprefix(PRICE_PREFIX)[:20]
    number = max(time.time_ns(), int(known) + 1 if known.isdigit() else 0)  # the wall clock may have been set back
    path = folder / f"{PRICE_PREFIX}{number:020d}-{secrets.token_hex(4)}.json"
    temporary = path.with_name(f".{path.name}")
    temporary.write_text(json.dumps(json.loads(book.to_line()), indent=1), encoding="utf-8")
    temporary.replace(path)
    return path
