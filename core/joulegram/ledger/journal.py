"""A journal, read: whatever is torn off its end, all before it is whole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from joulegram.curves.curve import Curve
from joulegram.records import (
    Anchor,
    Channel,
    End,
    Gap,
    Hardware,
    Header,
    Heartbeat,
    IntensityPoint,
    Knots,
    Lineage,
    MorePoints,
    Note,
    PhaseMoments,
    PriceBook,
    Record,
    ServedHour,
    ServedRequest,
    SpanRecord,
    StepCount,
    from_line,
)  # fmt: skip


@dataclass(slots=True, eq=False)
class JournalContent:
    """What a journal says, whichever way it is kept.

    Args:
        header: who recorded.
        records: everything but knots, heartbeats and what later lines superseded, in order.
        curves: cumulative curves by name, the last sample taken included.
        anchors: the clocks, read together from time to time, in order; at least once.
    """

    header: Header
    records: list[Record]
    curves: Mapping[str, Curve]
    anchors: list[Anchor]

    @property
    def last(self) -> Anchor:
        """The last sign of life."""
        return self.anchors[-1]

    @property
    def end(self) -> End | None:
        """How the recording ended; None while it goes on, or when it was cut off."""
        return next((record for record in reversed(self.records) if isinstance(record, End)), None)

    @property
    def channels(self) -> dict[str, Channel]:
        """Channels by host-local id."""
        return {record.id: record for record in self.records if isinstance(record, Channel)}

    @property
    def hardware(self) -> Hardware | None:
        """What machine it ran on; None where nobody told."""
        return next((record for record in reversed(self.records) if isinstance(record, Hardware)), None)

    @property
    def gaps(self) -> list[Gap]:
        """All gaps."""
        return [record for record in self.records if isinstance(record, Gap)]

    @property
    def spans(self) -> list[SpanRecord]:
        """All spans, in the order in which they started."""
        return sorted((r for r in self.records if isinstance(r, SpanRecord)), key=lambda span: span.start_ns)

    @property
    def notes(self) -> list[Note]:
        """What a reader should know."""
        return [record for record in self.records if isinstance(record, Note)]

    @property
    def counts(self) -> list[StepCount]:
        """The kinds of step that were counted."""
        return [record for record in self.records if isinstance(record, StepCount)]

    @property
    def served(self) -> list[ServedHour]:
        """What routes of a server have cost, hour by hour."""
        return [record for record in self.records if isinstance(record, ServedHour)]

    @property
    def requests(self) -> list[ServedRequest]:
        """Each request of a server that was asked to keep them."""
        return [record for record in self.records if isinstance(record, ServedRequest)]

    @property
    def moments(self) -> list[PhaseMoments]:
        """The sums that tell short phases apart."""
        return [record for record in self.records if isinstance(record, PhaseMoments)]

    @property
    def book(self) -> PriceBook | None:
        """What the run was priced with when it was recorded."""
        book: PriceBook | None = None
        more: list[IntensityPoint] = []
        for record in self.records:
            if isinstance(record, PriceBook):
                book, more = record, []
            elif isinstance(record, MorePoints):
                more += record.intensity
        return book.plus(more) if book and more else book

    @property
    def lineage(self) -> Lineage | None:
        """The run that this one continues."""
        return next((record for record in reversed(self.records) if isinstance(record, Lineage)), None)


def read_journal(path: Path) -> JournalContent | None:
    """A journal's content; None if not even its header was written.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        return content_of(record for record in map(from_line, file) if record is not None)


def content_of(records: Iterable[Record]) -> JournalContent | None:
    """A journal's content from its records, in order."""
    header: Header | None = None
    kept: dict[object, Record] = {}
    pieces: dict[str, tuple[list[int], list[float]]] = {}
    tips: dict[str, tuple[int, float]] = {}
    reached: dict[str, int] = {}
    anchors: list[Anchor] = []
    for record in records:
        match record:
            case Header():
                header = header or record
                anchors.append(record.anchor)
            case Knots():
                _take_knots(record, pieces, tips, reached)
            case Heartbeat():
                anchors.append(record.anchor)
            case SpanRecord():
                kept[record.id] = record  # the later of two lines knows the span's end
            case ServedHour():  # the later of two lines knows more of the hour
                kept[record.books, record.hour_s, record.service, record.route] = record
            case _:
                if isinstance(record, End):
                    anchors.append(record.anchor)
                kept[len(kept) if isinstance(record, PriceBook | MorePoints | Lineage | End) else record.to_line()] = (
                    record
                )
    if header is None:
        return None
    in_time = sorted(set(anchors), key=lambda anchor: (anchor.mono_ns, anchor.wall_ns))
    return JournalContent(header, list(kept.values()), _curves(pieces, tips, reached), in_time)


def _take_knots(
    record: Knots,
    pieces: dict[str, tuple[list[int], list[float]]],
    tips: dict[str, tuple[int, float]],
    reached: dict[str, int],
) -> None:
    if record.until_ns is not None:
        reached.update(dict.fromkeys(tips, record.base_ns + record.until_ns))
    for name, (times, values) in record.curves.items():
        known_times, known_values = pieces.setdefault(name, ([], []))
        known_times.extend(time_ns + record.base_ns for time_ns in times)
        known_values.extend(values)
    for name, (time_ns, value) in record.tips.items():
        tips[name] = (time_ns + record.base_ns, value)
        reached.pop(name, None)


def _curves(
    pieces: Mapping[str, tuple[list[int], list[float]]],
    tips: Mapping[str, tuple[int, float]],
    reached: Mapping[str, int],
) -> dict[str, Curve]:
    """Curves from their knots; each ends at its last tip, or where it had gone on to from there in a straight line."""
    curves = {}
    for name, (times, values) in pieces.items():
        tip = tips.get(name)
        if tip is not None and times and tip[0] > times[-1]:
            end_ns = max(tip[0], reached.get(name, tip[0]))
            values.append(tip[1] + (tip[1] - values[-1]) * ((end_ns - tip[0]) / (tip[0] - times[-1])))
            times.append(end_ns)
        curves[name] = Curve.of(times, values)
    return curves
