"""Plain records: what a meter describes, what a recorder emits and what a journal line holds.

Every record is frozen, made of plain types, and stands alone: a line that is lost takes nothing else with it.
`to_line` and `from_line` are the journal's wire format; readers ignore keys and kinds that they do not know.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, Literal, TypeVar

from joulegram.quantities import Method
from joulegram.units import NS_PER_S

Signal = Literal["average", "marginal"]
Basis = Literal["lifecycle", "direct", "unknown"]
Accounting = Literal["location", "market"]
IntensityKind = Literal["measured", "estimated", "forecast", "static"]
Status = Literal["running", "finished", "failed", "interrupted", "lost"]

FORMAT_VERSION = 1

PARTS: Mapping[str, frozenset[str]] = {"soc": frozenset({"gpu", "cpu", "dram", "npu"})}
"""Kinds whose energy a channel of another kind, on the same host, holds already; a ``node`` holds every other."""
NODE = "node"
"""The kind of a channel that counts the whole machine."""
CARDS = frozenset({"gpu", "npu"})
"""Kinds that are also cards of their own: a module holds its own one alone, which bears its name."""

# Names of tallies. FLOPs are tallied by phase, ``flops PHASE``; what is less sure of them, apart: how far those of
# steps that were scaled from a like one may be off, steps not counted, steps with operations of no formula.
FLOPS_IN = "flops "
FLOPS_LESS, FLOPS_MORE = "flops_less", "flops_more"
STEPS_UNCOUNTED, STEPS_OPAQUE = "steps_uncounted", "steps_opaque"

R = TypeVar("R", bound="Record")


class Record:
    """A journal line: a frozen dataclass with a `tag` that names its kind on disk."""

    tag: ClassVar[str]
    __dataclass_fields__: ClassVar[dict[str, Any]]

    def to_line(self) -> str:
        """One self-contained line of JSON, without the newline."""
        values = {"is": self.tag, **{name: getattr(self, name) for name in _names(type(self))}}
        try:
            return _dumped(values)
        except Exception:  # anything may be kept with a span, and its own methods may raise anything
            if "attributes" not in values:
                raise
        return _dumped({**values, "attributes": {str(k): _as_text(v) for k, v in values["attributes"].items()}})


def _dumped(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), default=_plain)


def _as_text(value: Any) -> Any:
    """An attribute's value if JSON can hold it, else its text: it must not cost other records their lines."""
    try:
        _dumped(value)
        return value
    except Exception:
        try:
            return repr(value)
        except Exception:
            return object.__repr__(value)


def _names(record: type[Record]) -> tuple[str, ...]:
    return tuple(entry.name for entry in fields(record))


def _plain(value: Any) -> Any:
    if isinstance(value, Record):
        return {name: getattr(value, name) for name in _names(type(value))}
    if isinstance(value, set | frozenset):
        return list(value)
    # numpy and torch scalars among a span's attributes; an item that is no plain number comes back here
    if getattr(value, "shape", None) == () and not isinstance(item := value.item(), type(value)):
        return item
    return str(value)


@dataclass(frozen=True, slots=True)
class Channel(Record):
    """One counted domain of a host, as its meter describes it.

    Args:
        id: host-local name, ``kind:device`` (``cpu:package-0``, ``gpu:UUID``); with the host's name in front it is
            the channel's identity.
        kind: ``gpu``, ``cpu``, ``dram``, ``soc``, ``node``, …
        method: ``measured`` for a hardware counter, ``modelled`` for a formula.
        how: in words, where the joules come from.
        share: ``cpu`` (static part by reserved cores, dynamic part by CPU time), ``process`` (its meter tells what part
            of the device its run's processes used), ``exclusive`` (all of it: nobody else uses the device) or
            ``undivided`` (all of it, although others may use the device: nobody tells them apart).
        gain_low: least factor by which the true energy may differ from the counted one.
        gain_high: greatest such factor.
        max_w: power that the device cannot exceed for long (W): bounds what a gap may hide; None where unknown.
        idle_w: power with nothing running (W), the static part that reserved cores share; None where unknown.
        wraps_at_j: where the counter starts again from zero (J); None for a counter that does not wrap.
        resolution_s: how often the counter refreshes (s); phases shorter than two refreshes are time-proportional.
        lag_s: how old a reading may be (s): the longest time between two refreshes of the counter. 0 for one that is
            current whenever it is read. Readings of a counter that lags count when they change; what a recorder has
            found out about that takes the place of what the meter said.
        delay_s: how much later than it was so (s) a reading may come, on top of the lag: of a source asked by
            network, or of a counter that refreshes all the time.
        quantum_j: the counter's step (J): a reading may be short of the truth by as much. 0 for one that is too small
            to matter, or not known.
        product: the device's product name, as its driver spells it; empty where its meter does not tell.
    """

    tag: ClassVar[str] = "channel"

    id: str
    kind: str
    method: Method
    how: str
    share: Literal["cpu", "process", "exclusive", "undivided"] = "exclusive"
    gain_low: float = 1.0
    gain_high: float = 1.0
    max_w: float | None = None
    idle_w: float | None = None
    wraps_at_j: float | None = None
    resolution_s: float = 0.05
    lag_s: float = 0.0
    delay_s: float = 0.0
    quantum_j: float = 0.0
    product: str = ""

    @property
    def device(self) -> str:
        """The device that its id names."""
        return self.id.partition(":")[2]

    @property
    def whole(self) -> bool:
        """Whether all of the device's energy is counted as the run's."""
        return self.share in ("exclusive", "undivided")

    @property
    def slack_ns(self) -> int:
        """How far a sample may lie from the moment that its value is of (ns): half the lag, and what it was delayed."""
        return round((self.lag_s / 2 + self.delay_s) * NS_PER_S)


def contains(whole: Channel, part: Channel) -> bool:
    """Whether a channel's joules are, on the same host, those of another as well."""
    if whole.kind == NODE:
        return part.kind != NODE
    return part.kind in PARTS.get(whole.kind, ()) and (part.kind not in CARDS or part.device == whole.device)


@dataclass(frozen=True, slots=True)
class Anchor(Record):
    """The three clocks read together: how monotonic time maps to wall time, and where they part.

    Args:
        mono_ns: monotonic clock (ns), stands still while the machine is suspended.
        boot_ns: boot-time clock (ns), runs on while suspended; None where the system has none.
        wall_ns: wall clock (ns since 1970, UTC).
    """

    tag: ClassVar[str] = "anchor"

    mono_ns: int
    boot_ns: int | None
    wall_ns: int


@dataclass(frozen=True, slots=True)
class Header(Record):
    """Who records what: the first line of every journal."""

    tag: ClassVar[str] = "header"

    run: str
    name: str
    project: str | None
    stage: str
    zone: str | None
    host: str
    boot: str
    pid: int
    process_started: str
    rank: int
    start_ns: int
    anchor: Anchor
    enclosing_run: str | None = None
    """Live run in which this separate one was started; its energy is also part of that run's."""
    joined_pid: int | None = None
    """Recorder of the same run (its pid on this host) inside whose process tree this one was started."""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    pue: float | str | None = None
    """What the user said of it; the price that is recorded later holds what that stands for."""
    basis: Basis | None = None
    """What the user said of it; None for that of what the run is priced with."""
    intensity: str = "auto"
    """The feed that the user named, with no option of it but its argument; ``auto`` for none."""
    model: str | None = None
    """What the run works for, makes or serves."""
    version: int = FORMAT_VERSION


@dataclass(frozen=True, slots=True)
class Hardware(Record):
    """What machine a recorder ran on, as far as its making is concerned.

    Args:
        host: the host's name.
        chassis: ``laptop``, ``desktop``, ``server``; empty where the firmware does not tell.
        product: the model's name, as the firmware tells it; empty where it does not.
        cpu: model name of its CPUs.
        sockets: how many of these.
        threads: logical CPUs.
        memory_gb: memory that the system can use (10^9 bytes); None where it is not known.
        virtual: whether a hypervisor lends it.
    """

    tag: ClassVar[str] = "hardware"

    host: str
    chassis: str = ""
    product: str = ""
    cpu: str = ""
    sockets: int = 1
    threads: int = 1
    memory_gb: float | None = None
    virtual: bool = False


@dataclass(frozen=True, slots=True)
class Knots(Record):
    """Pieces of cumulative curves.

    Args:
        curves: curve name → (times in ns after `base_ns`, values). Curve names are ``node CHANNEL`` and
            ``run CHANNEL`` (J), ``phase PHASE CHANNEL`` (J), ``phase_s PHASE`` (s), ``tally NAME`` (what the loop adds
            up: ``flops PHASE``, …), ``busy_s`` and ``own_s`` (core-seconds), and ``reserved_s`` (seconds of the whole
            host: its reserved part of the cores × time).
        tips: curve name → (time, value) of the last sample taken; superseded by later lines.
        until_ns: how far (ns after `base_ns`) every curve that this line does not name, and that has a tip, has gone on
            along the straight from its last knot through its last tip, within the ε of its compression.
    """

    tag: ClassVar[str] = "knots"

    base_ns: int
    curves: Mapping[str, tuple[list[int], list[float]]]
    tips: Mapping[str, tuple[int, float]] = field(default_factory=dict)
    until_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Gap(Record):
    """A stretch of monotonic time in which a channel had no sample.

    Args:
        channel: host-local channel id; empty for all of them (a suspend).
        why: ``start`` (not read yet), ``late``, ``failed``, ``reset``, ``stuck``, ``suspend``.
        energy_known: the counter held on to the energy: only its timing within the gap is unknown.
        slept_ns: time that the monotonic clock left out (a suspend).
    """

    tag: ClassVar[str] = "gap"

    channel: str
    start_ns: int
    end_ns: int
    why: str
    energy_known: bool
    slept_ns: int = 0


@dataclass(frozen=True, slots=True)
class SpanRecord(Record):
    """A named interval; written when it closes, or still open (no `end_ns`) with a flush."""

    tag: ClassVar[str] = "span"

    id: str
    parent: str | None
    kind: str
    name: str
    index: int | None
    start_ns: int
    end_ns: int | None
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class IntensityPoint(Record):
    """Grid carbon intensity of one zone over one stretch of wall time.

    Args:
        g_per_kwh: gCO2e per kWh.
        low: lower bound (gCO2e/kWh).
        high: upper bound (gCO2e/kWh).
        start_s: start of its validity (s since 1970); None for a figure without a time (an annual mean).
        length_s: length of its validity (s); None for a figure without one.
        zone: the zone that it is for, which may be wider than the one asked for.
        kind: ``measured``, ``estimated``, ``forecast`` or ``static``.
        source: who published it, with year or release.
        fetched_s: when its source was asked (s since 1970).
        settled: its source will not correct it any more.
        note: in words, what a reader should know (a fall-back, a stale year).
    """

    tag: ClassVar[str] = "intensity"

    g_per_kwh: float
    low: float
    high: float
    zone: str
    source: str
    kind: IntensityKind
    signal: Signal = "average"
    basis: Basis = "unknown"
    accounting: Accounting = "location"
    scope: Literal["consumption", "generation", "unknown"] = "unknown"
    start_s: float | None = None
    length_s: float | None = None
    fetched_s: float | None = None
    settled: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True)
class Pue(Record):
    """Power usage effectiveness: facility energy over IT energy, its bounds and its source."""

    tag: ClassVar[str] = "pue"

    value: float
    low: float
    high: float
    method: Method
    source: str


@dataclass(frozen=True, slots=True)
class PriceBook(Record):
    """What energy was priced with.

    Args:
        pue: of the building.
        intensity: later points of one time go before earlier ones, those with a time before those without.
        basis: the one that the run's carbon is on.
        reason: why it was made.
        made_s: when (s since 1970).
        zone: the grid zone; None for unknown.
        place: in words, how the zone was found.
    """

    tag: ClassVar[str] = "price"

    pue: Pue
    intensity: tuple[IntensityPoint, ...]
    basis: Basis
    reason: str = "as recorded"
    made_s: float = 0.0
    zone: str | None = None
    place: str = ""

    def plus(self, points: Iterable[IntensityPoint]) -> PriceBook:
        """With more points: one of the same source, kind and start takes the place of an earlier one."""
        kept: dict[tuple[object, ...], IntensityPoint] = {}
        for point in (*self.intensity, *points):
            slot = point.source, point.zone, point.signal, point.basis, point.accounting, point.start_s
            kept.pop(slot, None)  # the later one counts before all that were there
            kept[slot] = point
        return replace(self, intensity=tuple(kept.values()))


@dataclass(frozen=True, slots=True)
class MorePoints(Record):
    """Intensity that became known after the price book before it, or that its feed has corrected."""

    tag: ClassVar[str] = "points"

    intensity: tuple[IntensityPoint, ...]


@dataclass(frozen=True, slots=True)
class StepCount(Record):
    """What one kind of step computes, counted once; or why it could not be counted.

    Args:
        stage: what the step belongs to (``fit``, ``validate``, the name of a function).
        inputs: shapes and types of what it was given, in words.
        flops: floating-point operations of one step; None where they could not be counted.
        how: in words, how they were counted, or why they were not.
        unknown: operations that have no formula, with how often one step calls them: `flops` is then a lower bound.
        dtype: what most of the operations compute in; None for none.
        device: what they run on; None for none.
        devices: on how many of these.
        end_ns: when the counting was over (monotonic ns).
        overhead_s: time (s), up to then, that counting itself took.
        layers: what each module has of it (`joulegram.flops.Layer`), where that was asked for.
    """

    tag: ClassVar[str] = "step"

    stage: str
    inputs: str
    flops: int | None
    how: str
    unknown: Mapping[str, int] = field(default_factory=dict)
    dtype: str | None = None
    device: str | None = None
    devices: int = 1
    end_ns: int = 0
    overhead_s: float = 0.0
    layers: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True)
class PhaseMoments(Record):
    """Sums over a channel's counter intervals since the recording's start, of which later ones and earlier subtract.

    Args:
        channel: host-local channel id.
        time_ns: up to when (monotonic ns).
        count: intervals that no visit to a phase fills by more than half; the others are set aside.
        phases: names of the phases so far, in the order in which they were first entered.
        aside_j: joules of those set aside in each phase, split by time (J).
        unclear_j: joules of those set aside that more than one phase is in, in full for each of these (J).
        spent_s: seconds in each phase in the others.
        split_j: joules of all in each phase, split by time (J).
        products: of z zᵀ of the others, z being an interval's joules and its seconds in each phase: the rows of its
            lower triangle.
    """

    tag: ClassVar[str] = "moments"

    channel: str
    time_ns: int
    count: int
    phases: list[str]
    aside_j: list[float]
    unclear_j: list[float]
    spent_s: list[float]
    split_j: list[float]
    products: list[list[float]]


WITHIN = "within "
"""How the routes of work inside of requests begin."""


@dataclass(frozen=True, slots=True)
class ServedHour(Record):
    """What a route of a server has cost in one hour, as far as it is settled: newer lines go before older ones.

    Lines of one hour and route that come from other books add up. Energy is of the hour in which it was charged, a
    second or so after a request's end.

    Args:
        books: whose sums they are: several processes of a host keep the same ones, one after the other.
        hour_s: when the hour began (s since 1970).
        service: the service's name.
        route: its route; None for what is nobody's on this host.
        requests: that ended.
        failed: of these, with a status of 500 or more.
        tokens: as told by the application.
        flops: the same.
        items: the same.
        energy_j: host-local channel id → joules shared by weight, and joules of idle power.
        unattributed_j: host-local channel id → joules that are nobody's.
        lost: on this host, requests that were not counted as there was no room for their beginning; their energy is
            nobody's.
        late: on this host, events that came after their time had been settled.
        dropped: on this host, requests whose process ended before they did; their energy is nobody's.
    """

    tag: ClassVar[str] = "served"

    books: str
    hour_s: int
    service: str
    route: str | None
    requests: int = 0
    failed: int = 0
    tokens: float = 0.0
    flops: float = 0.0
    items: float = 0.0
    energy_j: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    unattributed_j: Mapping[str, float] = field(default_factory=dict)
    lost: int = 0
    late: int = 0
    dropped: int = 0

    @property
    def is_within(self) -> bool:
        """Whether it tells of work inside of requests (a worker's batches), which no total counts as requests."""
        return self.route is not None and self.route.startswith(WITHIN)

    def since(self, before: ServedHour | None) -> ServedHour:
        """What was added to sums that grow."""
        return self if before is None else self._with(before, -1)

    def plus(self, other: ServedHour) -> ServedHour:
        """Both together."""
        return self._with(other, 1)

    def on_host(self, host: str) -> ServedHour:
        """The same, its channels named with their host."""
        return replace(
            self,
            energy_j={f"{host}/{name}": parts for name, parts in self.energy_j.items()},
            unattributed_j={f"{host}/{name}": value for name, value in self.unattributed_j.items()},
        )

    def _with(self, other: ServedHour, sign: int) -> ServedHour:
        nothing = (0.0, 0.0)
        channels = {**self.energy_j, **other.energy_j}
        return replace(
            self,
            requests=self.requests + sign * other.requests,
            failed=self.failed + sign * other.failed,
            tokens=self.tokens + sign * other.tokens,
            flops=self.flops + sign * other.flops,
            items=self.items + sign * other.items,
            energy_j={
                name: (mine[0] + sign * theirs[0], mine[1] + sign * theirs[1])
                for name in channels
                for mine, theirs in [(self.energy_j.get(name, nothing), other.energy_j.get(name, nothing))]
            },
            unattributed_j={
                name: self.unattributed_j.get(name, 0.0) + sign * other.unattributed_j.get(name, 0.0)
                for name in {**self.unattributed_j, **other.unattributed_j}
            },
            lost=self.lost + sign * other.lost,
            late=self.late + sign * other.late,
            dropped=self.dropped + sign * other.dropped,
        )


@dataclass(frozen=True, slots=True)
class ServedRequest(Record):
    """What one request has cost, where a server was asked to keep each.

    Args:
        id: unlike any other's of this host.
        service: the service's name.
        route: its route.
        end_ns: when it ended (monotonic ns of the host).
        duration_s: from its beginning.
        status: as its protocol has it; 0 for none.
        tokens: as told by the application.
        flops: the same.
        items: the same.
        energy_j: channel id → joules shared by weight, and joules of idle power; channels without a reading left out.
    """

    tag: ClassVar[str] = "request"

    id: str
    service: str
    route: str
    end_ns: int
    duration_s: float
    status: int = 0
    tokens: float = 0.0
    flops: float = 0.0
    items: float = 0.0
    energy_j: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def on_host(self, host: str) -> ServedRequest:
        """The same, its channels named with their host."""
        return replace(self, energy_j={f"{host}/{name}": parts for name, parts in self.energy_j.items()})


@dataclass(frozen=True, slots=True)
class Lineage(Record):
    """What this run continues: the run before it and what that line of runs had cost when it was left."""

    tag: ClassVar[str] = "lineage"

    parent: str
    energy_j: float
    carbon_g: float
    duration_s: float


@dataclass(frozen=True, slots=True)
class Note(Record):
    """Something a reader should know: a meter that failed, a clock step, a warning that was shown."""

    tag: ClassVar[str] = "note"

    mono_ns: int
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Heartbeat(Record):
    """Still alive: the last line of every flush."""

    tag: ClassVar[str] = "beat"

    anchor: Anchor


@dataclass(frozen=True, slots=True)
class End(Record):
    """The recorder stopped by itself, how, and what its own work cost."""

    tag: ClassVar[str] = "end"

    end_ns: int
    status: Status
    anchor: Anchor
    error: str | None = None
    recorder_cpu_s: float = 0.0
    recorder_wakeups: int = 0
    summary: Mapping[str, Any] | None = None
    """The run's footprint as its own process saw it, for listings (`Footprint.to_json`)."""
    attributes: Mapping[str, Any] = field(default_factory=dict)


_RECORDS: tuple[type[Record], ...] = (
    Header, Hardware, Channel, Anchor, Knots, Gap, SpanRecord, PriceBook, MorePoints, StepCount, PhaseMoments,
    ServedHour, ServedRequest, Lineage, Note, Heartbeat, End,
)  # fmt: skip
_BY_TAG = {record.tag: record for record in _RECORDS}
_NESTED: dict[str, type[Record]] = {"anchor": Anchor, "pue": Pue}


def from_line(line: str | bytes) -> Record | None:
    """The record of a journal line; None for a torn line or one of an unknown kind."""
    try:
        values = json.loads(line)
        return from_plain(_BY_TAG[values["is"]], values)
    except (ValueError, KeyError, TypeError):
        return None


def from_plain(record: type[R], values: Mapping[str, Any]) -> R:
    """A record from plain types, unknown keys ignored.

    Raises:
        TypeError: a required key is missing.
    """
    known = {name: values[name] for name in _names(record) if name in values}
    for name, nested in _NESTED.items():
        if isinstance(known.get(name), Mapping):
            known[name] = from_plain(nested, known[name])
    if record in (PriceBook, MorePoints):
        known["intensity"] = tuple(from_plain(IntensityPoint, point) for point in known["intensity"])
    if record in (ServedHour, ServedRequest):
        known["energy_j"] = {name: tuple(parts) for name, parts in known.get("energy_j", {}).items()}
    if record is Knots:  # JSON knows no tuples
        known["curves"] = {name: (times, values) for name, (times, values) in known["curves"].items()}
        known["tips"] = {name: (time_ns, value) for name, (time_ns, value) in known.get("tips", {}).items()}
    return record(**known)
