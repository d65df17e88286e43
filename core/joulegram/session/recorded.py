"""Reading back: runs of a ledger, with footprints worked out from what was stored."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from joulegram import config, pricing
from joulegram.config import Settings
from joulegram.curves.load import Load
from joulegram.curves.trace import RecorderTrace, together
from joulegram.feeds import annual
from joulegram.host.clock import Clock
from joulegram.impacts import factors as impacts
from joulegram.ledger.ledger import Ledger, Summary, UnknownRun
from joulegram.ledger.stored import Recording, StoredRun, write_price
from joulegram.pricing import Footprint, Hours, Pricer
from joulegram.quantities import Quantity
from joulegram.records import Basis, IntensityPoint, Lineage, PriceBook, ServedRequest, SpanRecord
from joulegram.session import surroundings
from joulegram.session.books import yearly
from joulegram.session.document import describe, listed, listed_run
from joulegram.session.served import HOUR_S
from joulegram.units import NS_PER_S

_ORDINARY = frozenset({"start", "late"})
"""Gaps that are no news while they are short: the bounds hold them, and coverage counts them."""


@dataclass(frozen=True, eq=False)
class RecordedSpan:
    """A span read from a ledger.

    Attributes:
        id: unique within the run.
        parent: the span that it was opened in; None for the run itself.
        kind: what sort of interval.
        name: what it is called.
        index: its number among those of its kind.
        attributes: what was kept with it.
        start_s: when it started, in seconds since the run did.
        duration_s: how long it took (s); until the last sign of life for one that was cut off.
        footprint: what it cost.
    """

    id: str
    parent: str | None
    kind: str
    name: str
    index: int | None
    attributes: Mapping[str, Any]
    start_s: float
    duration_s: float
    _pricer: Pricer = field(repr=False)
    _start_ns: int = field(repr=False)
    _end_ns: int = field(repr=False)

    @cached_property
    def footprint(self) -> Footprint:
        """What it cost: its process, that one's fellow ranks, and what was started inside them."""
        return self._pricer.footprint(self._start_ns, self._end_ns)


class RecordedRun:
    """A run read from a ledger. Figures are worked out from stored curves whenever they are asked for.

    Attributes:
        id: the run's id.
        name: what it was called.
        project: name that groups runs.
        stage: stage of the life cycle.
        model: what it works for, makes or serves.
        attributes: what was kept with it.
        enclosing_run: the live run in which this separate one was started.
    """

    def __init__(self, stored: StoredRun, settings: Settings | None = None, book: PriceBook | None = None) -> None:
        self.stored = stored
        self._settings, self._given_book = settings or Settings(), book
        header = stored.header
        self.id, self.name, self.project = header.run, header.name, header.project
        self.stage, self.model = header.stage, header.model
        self.enclosing_run = header.enclosing_run
        end = stored.root.content.end
        self.attributes: Mapping[str, Any] = {**header.attributes, **(end.attributes if end else {})}
        self.error = end.error if end else None
        self._traces: dict[Path, RecorderTrace] = {}
        self._pricers: dict[tuple[Path, ...], Pricer] = {}

    def __repr__(self) -> str:
        return f"<joulegram run {self.id} {self.name!r} {self.status}>"

    @property
    def status(self) -> str:
        """``running``, ``finished``, ``failed``, ``interrupted`` or ``lost``."""
        return self.stored.status

    @property
    def zone(self) -> str | None:
        """The grid zone that it is priced for; None for unknown."""
        return self.book.zone or self.stored.zone

    @property
    def parent(self) -> str | None:
        """The run that this one continues."""
        return self.lineage.parent if self.lineage else None

    @property
    def lineage(self) -> Lineage | None:
        """The run that this one continues, and what that line of runs had cost when it was left."""
        return self.stored.lineage

    @property
    def started_s(self) -> float:
        """When it started (s since 1970)."""
        trace = self.pricer.trace
        return float(trace.timeline.wall_s([trace.start_ns])[0])

    @property
    def duration_s(self) -> float:
        """How long it took (s); until the last sign of life for a run that is not over."""
        return (self.pricer.trace.end_ns - self.pricer.trace.start_ns) / NS_PER_S

    @property
    def hosts(self) -> list[str]:
        """The hosts that recorded it."""
        return sorted({recording.header.host for recording in self.stored.recordings})

    @property
    def ranks(self) -> int:
        """How many ranks recorded it."""
        return len({recording.header.rank for recording in self.stored.recordings})

    @cached_property
    def book(self) -> PriceBook:
        """What its energy is priced with: its newest price, unless it was given another."""
        if self._given_book is not None:
            return self._given_book
        try:
            return self.stored.book
        except LookupError:
            header = self.stored.header
            why = "no price was recorded: the yearly mean"
            return yearly(self.stored.zone, header.pue, header.basis, time.time(), why)

    @property
    def pricer(self) -> Pricer:
        """Footprints of the whole run."""
        return self._pricer_of(self.stored.root)

    @property
    def load(self) -> Load:
        """Its facility energy over the time since its start: what is laid over other times and places."""
        trace, facility = self.pricer.trace, self.pricer.energy.scaled(self.book.pue.value)
        return Load.of(facility, trace.timeline, trace.start_ns, trace.end_ns)

    def _pricer_of(self, recording: Recording) -> Pricer:
        group = self.stored.group(recording)
        key = tuple(sorted(member.path for member in group))
        if key not in self._pricers:
            reference = next((m for m in group if m is self.stored.root), recording)
            trace = together([self._trace_of(member) for member in group], self._trace_of(reference))
            self._pricers[key] = Pricer(trace, self.book, self._settings.peaks, self._settings.impacts)
        return self._pricers[key]

    def _trace_of(self, recording: Recording) -> RecorderTrace:
        if recording.path not in self._traces:
            self._traces[recording.path] = recording.trace()
        return self._traces[recording.path]

    def footprint(self) -> Footprint:
        """What the whole run cost."""
        trace = self.pricer.trace
        return self.pricer.footprint(trace.start_ns, trace.end_ns)

    def hours(self) -> Hours:
        """How well the grid's intensity at the time of the run is known."""
        trace = self.pricer.trace
        return self.pricer.hours(trace.start_ns, trace.end_ns)

    def length_of_hour_s(self, hour_s: int) -> float:
        """How much (s) of the hour that began at a time (s since 1970) it lasted."""
        start_ns, end_ns = self._hour(hour_s)
        return max(0, end_ns - start_ns) / NS_PER_S

    def grams_per_j(self, hour_s: int) -> Quantity:
        """What a joule of IT energy emitted in an hour (g/J), PUE included.

        Args:
            hour_s: when the hour began (s since 1970); one that the run did not reach is taken whole.
        """
        start_ns, end_ns = self._hour(hour_s)
        if start_ns >= end_ns:
            start_ns, end_ns = self.pricer.trace.timeline.mono_ns([hour_s, hour_s + HOUR_S]).tolist()
        return self.pricer.grams_per_j(start_ns, end_ns)

    def _hour(self, hour_s: int) -> tuple[int, int]:
        """The part of an hour that it lasted (ns), on its clock."""
        trace = self.pricer.trace
        start_ns, end_ns = trace.timeline.mono_ns([hour_s, hour_s + HOUR_S]).tolist()
        return max(start_ns, trace.start_ns), min(end_ns, trace.end_ns)

    def spans(self, kind: str | None = None) -> list[RecordedSpan]:
        """Its spans in the order of their start, of one kind or of all."""
        spans = [self._span(r, s) for r, s in self.stored.spans() if kind is None or s.kind == kind]
        return sorted(spans, key=lambda span: span.start_s)

    def _span(self, recording: Recording, record: SpanRecord) -> RecordedSpan:
        pricer = self._pricer_of(recording)
        # The group's clock is the recording's own, or the root's where the group holds it.
        edges = [record.start_ns, recording.end_ns if record.end_ns is None else record.end_ns]
        own, root = self._trace_of(recording), self._trace_of(self.stored.root)
        if self.stored.root in self.stored.group(recording) and not own.same_clock(root):
            edges = pricer.trace.timeline.mono_ns(own.timeline.wall_s(edges)).tolist()
        start_s = float(own.timeline.wall_s([record.start_ns])[0]) - self.started_s
        if own.same_clock(root):
            start_s = (record.start_ns - self.pricer.trace.start_ns) / NS_PER_S
        return RecordedSpan(
            record.id,
            record.parent,
            record.kind,
            record.name,
            record.index,
            record.attributes,
            start_s,
            (edges[1] - edges[0]) / NS_PER_S,
            pricer,
            *edges,
        )

    def notes(self) -> list[dict[str, str]]:
        """What a reader should know: gaps, meters that failed, clocks that were set, prices that were changed."""
        notes = [{"kind": n.kind, "text": n.text} for r in self.stored.recordings for n in r.content.notes]
        for recording in self.stored.recordings:
            for gap in recording.content.gaps:
                seconds = (gap.end_ns - gap.start_ns) / NS_PER_S
                if seconds < (0.5 if gap.energy_known else 0.1) and gap.why in _ORDINARY:
                    continue
                where = f"{recording.header.host}/{gap.channel}" if gap.channel else recording.header.host
                at_s = (gap.start_ns - recording.header.start_ns) / NS_PER_S
                fate = "its energy is known, not when it was used" if gap.energy_known else "its energy is not known"
                notes.append({"kind": "gap", "text": f"{where}: {gap.why} at {at_s:.1f} s for {seconds:.2f} s; {fate}"})
        if self.book.reason != "as recorded":
            notes.append({"kind": "price", "text": f"priced again: {self.book.reason}"})
        return notes

    def recorder_cost(self) -> tuple[float | None, int | None]:
        """What recording it cost: CPU time (s) and wake-ups; None where no recorder came to its end."""
        ends = [r.content.end for r in self.stored.recordings if r.content.end is not None]
        if not ends:
            return None, None
        return sum(end.recorder_cpu_s for end in ends), sum(end.recorder_wakeups for end in ends)

    def requests(self) -> list[ServedRequest]:
        """What each request cost, where `serve` was told to keep them (``keep_requests=True``)."""
        return self.stored.requests()

    def priced(
        self,
        *,
        reason: str,
        zone: str | None = None,
        pue: float | str | None = None,
        basis: Basis | None = None,
        intensity: tuple[IntensityPoint, ...] | None = None,
    ) -> RecordedRun:
        """The run under another price; nothing is written.

        Args:
            reason: why, for readers.
            zone: another grid zone.
            pue: another PUE.
            basis: ``lifecycle`` or ``direct``.
            intensity: other intensity points, instead of a zone's annual mean.
        """
        points = intensity or (annual.points(zone) if zone is not None else self.book.intensity)
        book = replace(
            self.book,
            intensity=tuple(points),
            pue=self.book.pue if pue is None else pricing.pue_of(pue),
            basis=basis or self.book.basis,
            zone=self.book.zone if zone is None else annual.resolve(zone),
            reason=reason,
            made_s=time.time(),
        )
        return self.under(book)

    def under(self, book: PriceBook) -> RecordedRun:
        """The run under another price book; nothing is written."""
        return RecordedRun(self.stored, self._settings, book)

    def keep_price(self) -> None:
        """Keeps the price that this run is under beside its old ones; the newest is shown.

        Raises:
            OSError: the ledger cannot be written.
        """
        write_price(self.stored.folder, self.book)

    def reprice(
        self,
        *,
        reason: str,
        zone: str | None = None,
        pue: float | str | None = None,
        basis: Basis | None = None,
        intensity: tuple[IntensityPoint, ...] | None = None,
    ) -> RecordedRun:
        """Prices the stored energy again and keeps the new price beside the old ones; the newest is shown.

        Args:
            reason: see `priced`.
            zone: see `priced`.
            pue: see `priced`.
            basis: see `priced`.
            intensity: see `priced`.

        Returns:
            The run under the new price.

        Raises:
            OSError: the ledger cannot be written.
        """
        run = self.priced(reason=reason, zone=zone, pue=pue, basis=basis, intensity=intensity)
        run.keep_price()
        return run

    def document(self) -> dict[str, Any]:
        """The run as plain data, as `joulegram report --json` prints it."""
        return describe(self)


def summarise(stored: StoredRun) -> Summary:
    """What a listing shows of a run."""
    run = RecordedRun(stored)
    return Summary(listed_run(run), listed(run.footprint()))


class OpenLedger:
    """A ledger, read.

    Example::

        ledger = joulegram.open_ledger()
        for run in ledger.runs(project="resnets"):
            print(run.name, run.footprint().energy_j)
    """

    def __init__(self, path: Path, settings: Settings | None = None) -> None:
        self._settings = settings
        self.files = Ledger(path, Clock(os.environ.get("JOULEGRAM_HOST")))

    def __repr__(self) -> str:
        return f"<joulegram ledger {self.files.path}>"

    @property
    def path(self) -> Path:
        """The ledger's folder."""
        return self.files.path

    def run(self, run_id: str) -> RecordedRun:
        """A run by its id, or by the beginning of it if no other begins so.

        Raises:
            UnknownRun: there is no such run, or more than one.
        """
        return RecordedRun(self.files.read(run_id), self._settings)

    def runs(
        self, *, project: str | None = None, stage: str | None = None, status: str | None = None
    ) -> Iterator[RecordedRun]:
        """Runs, newest first, of one project, stage or status or of all."""
        wanted = {"project": project, "stage": stage, "status": status}
        for summary in self.summaries():
            if summary.run["status"] != "unreadable" and all(
                value is None or summary.run.get(key) == value for key, value in wanted.items()
            ):
                with suppress(UnknownRun):  # removed meanwhile
                    yield self.run(str(summary.run["id"]))

    def summaries(self) -> list[Summary]:
        """What a listing shows of each run, newest first; quick for thousands of runs."""
        return self.files.summaries(summarise)

    def latest(self) -> RecordedRun:
        """The run that started last.

        Raises:
            UnknownRun: the ledger is empty.
        """
        for run in self.runs():
            return run
        raise UnknownRun(f"there are no runs yet in {self.path}")

    def seal(self, run_id: str) -> int:
        """Turns a run's ended journals into Parquet; how many.

        Raises:
            MissingExtra: pyarrow is not installed.
        """
        return self.files.seal(run_id, summarise)

    def merge(self, other: str | os.PathLike[str]) -> list[str]:
        """Joins another ledger's runs, or one run's folder, into this one; ids of the runs that gained something."""
        return self.files.merge(Path(other))


def open_ledger(where: str | os.PathLike[str] | None = None) -> OpenLedger:
    """Opens a ledger for reading.

    Args:
        where: its folder or file:// URL; by default the configured one, else the one in the user's data directory.

    Raises:
        ConfigError: the place is not understood.
    """
    settings = config.load({"ledger": where})
    impacts.check(settings.impacts)
    return OpenLedger(surroundings.ledger_path(settings), settings)
