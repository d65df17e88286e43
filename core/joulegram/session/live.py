"""Tracking: runs, spans and phases of this process, as a context manager, a decorator, or step by step.

Nothing here may break or block what it measures: the caller's thread stamps times; what can fail is caught at this
edge, said once, and leaves a run that records nothing.
"""

from __future__ import annotations

import atexit
import functools
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Hashable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from contextvars import ContextVar
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from joulegram import config
from joulegram.curves.phases import OTHER
from joulegram.host.clock import Clock
from joulegram.host.launcher import rank as launcher_rank
from joulegram.host.processes import process_started
from joulegram.ledger.writer import JournalWriter, free_path
from joulegram.notices import warn
from joulegram.recorder.opening import open_quick
from joulegram.recorder.recorder import Recorder
from joulegram.records import FLOPS_IN, Header, IntensityPoint, Lineage, Note, PriceBook, SpanRecord, Status
from joulegram.session import surroundings
from joulegram.session.prices import Prices
from joulegram.session.sweeps import trial_around
from joulegram.units import NS_PER_S

if TYPE_CHECKING:
    from joulegram.curves.trace import RecorderTrace
    from joulegram.pricing import Footprint, Pricer
    from joulegram.session.counting import StepCounter

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

PRICE_WAIT_S = 1.0
MOST_COUNTERS = 256
FIRST_LOOK_S = 0.01
"""How often a first lap looks whether there are figures."""
# Edges at which meters that take microseconds are read in the caller's thread.
_INSTANT_KINDS = frozenset({"run", "epoch"})
LAP_FIGURES = ("flops", "energy_j", "node_energy_j", "facility_energy_j", "carbon_g", "duration_s")

_current: ContextVar[Span | None] = ContextVar("joulegram_span", default=None)
_counting: ContextVar[Run | None] = ContextVar("joulegram_counting", default=None)
"""The run that counts a step which this thread or task is in."""


class Span:
    """A named interval of a run; a context manager. Spans nest, overlap, and may be closed by another thread.

    Attributes:
        id: unique within the run.
        parent: id of the span that it was opened in; None for the run itself.
        kind: what sort of interval (``epoch``, ``request``, …).
        name: what it is called; its kind by default.
        index: its number among those of its kind.
        attributes: anything that is worth keeping with it; may be added to until it is closed.
        start_ns: when it was opened (monotonic ns).
        end_ns: when it was closed; None while it is open.
    """

    __slots__ = ("_outer", "_run", "attributes", "end_ns", "id", "index", "kind", "name", "parent", "start_ns")

    def __init__(self, run: Run, kind: str, name: str | None, index: int | None, attributes: dict[str, Any]) -> None:
        self._run = run
        self._outer: Span | None = None
        self.id = ""
        self.parent: str | None = None
        self.kind, self.name, self.index, self.attributes = kind, name or kind, index, attributes
        self.start_ns = 0
        self.end_ns: int | None = None

    def open(self) -> Span:
        """Starts the interval now. A span is one interval: again is harmless, and changes nothing."""
        recorder = self._run._live()
        if recorder is None or self.id:
            return self
        self._enter()
        enclosing = self._outer
        while enclosing is not None and (enclosing._run._recorder is not recorder or not enclosing.id):
            enclosing = enclosing._outer
        enclosing = enclosing or self._run._root or self._run._owner._root
        self.parent = enclosing.id if enclosing is not None else None
        self.id = self._run._next_span_id()
        self.start_ns = recorder.clock.monotonic_ns()
        recorder.opened(self)
        recorder.edge(self.start_ns, instantly=self.kind in _INSTANT_KINDS)
        return self

    def close(self) -> None:
        """Ends the interval now; again is harmless."""
        recorder = self._run._recorder
        if self.end_ns is not None or not self.id or recorder is None:
            return
        self.end_ns = recorder.clock.monotonic_ns()
        if recorder.alive:
            recorder.edge(self.end_ns, instantly=self.kind in _INSTANT_KINDS)
            recorder.closed(self)
        self._leave()
        if self.kind == "epoch":
            recorder.flush_soon()

    def _enter(self) -> None:
        self._outer = _innermost()
        _current.set(self)

    def _leave(self) -> None:
        """Out of it, in the thread or task that is in it; others find that it is over when they look."""
        if _current.get() is self:
            _current.set(_innermost())

    def footprint(self) -> Footprint:
        """What it cost so far; never waits. Figures are provisional until `settled`."""
        if self._run._recorder is not None and not self.id:
            from joulegram import pricing

            return pricing.nothing("the span was not opened while its run was live")
        return self._run._footprint_of(self.start_ns, self.end_ns)

    def record(self) -> SpanRecord:
        """The span as it stands now, as plain data."""
        return SpanRecord(
            self.id, self.parent, self.kind, self.name, self.index, self.start_ns, self.end_ns, dict(self.attributes)
        )

    def __enter__(self) -> Span:
        return self.open()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if kind is not None:
            self.attributes.setdefault("status", status_of(error))
        self.close()


class Run:
    """A live run, or this process's part of one that it joined. Made by `track` and `start`.

    Attributes:
        id: the run's id; the same for all its ranks and children.
        name: what it is called.
        project: name that groups runs.
        stage: stage of the life cycle.
        model: what it works for, makes or serves.
        zone: grid zone, as given.
        status: ``running`` until it is closed.
    """

    def __init__(self, name: str, settings: config.Settings, attributes: Mapping[str, Any]) -> None:
        self.name = name
        self.project, self.stage, self.zone = settings.project, settings.stage, settings.zone
        self.model = settings.model
        self.attributes: dict[str, Any] = dict(attributes)
        self.id = ""
        self.status: Status = "running"
        self._settings = settings
        self._ledger: Path | None = None
        self._recorder: Recorder | None = None
        self._root: Span | None = None
        self._owner = self
        """The run whose recorder this one uses: itself, or the one that it joined in this process."""
        self._prices: Prices | None = None
        self._marker = Span(self, "run", name, None, {})
        self._span_numbers = count(1)
        self._span_prefix = os.urandom(4).hex()
        self._lapped: dict[str, float] = {}
        self._all_ranks: dict[str, float] = {}
        self._lineage: Lineage | None = None
        self._end_ns: int | None = None
        self._close_lock = threading.Lock()
        self._counters: dict[Hashable, StepCounter] = {}
        """What counts the steps that `count` was called with, for each thread by itself."""

    def __repr__(self) -> str:
        return f"<joulegram run {self.id or '(inert)'} {self.name!r} {self.status}>"

    # -- using it -------------------------------------------------------------------------------------------------

    def span(self, kind: str, name: str | None = None, *, index: int | None = None, **attributes: Any) -> Span:
        """An interval of this run, to be entered or opened.

        Example::

            with run.span("epoch", index=0):
                ...
        """
        return Span(self, kind, name, index, attributes)

    def phase(self, name: str) -> None:
        """From now on this process's loop is in this phase; ``other`` is outside all of them."""
        recorder = self._recorder
        if recorder is not None and recorder.alive:
            recorder.phase(recorder.clock.monotonic_ns(), name)

    @property
    def current_phase(self) -> str:
        """The phase that this process's loop is in."""
        recorder = self._live()
        return recorder.current_phase if recorder is not None else OTHER

    @property
    def recorder(self) -> Recorder | None:
        """What records this process's part of the run; None for an inert run, and once it is over."""
        return self._live()

    @property
    def price_book(self) -> PriceBook | None:
        """What the run is priced with by now; None before there is a price."""
        prices = self._owner._prices
        return prices.book if prices is not None else None

    def intensity(self) -> IntensityPoint | None:
        """Grid carbon intensity of this moment, as far as this run's price is known by now; never waits.

        Returns:
            That of the hour where there is a feed that knows it, else the yearly mean (one without `start_s`); None
            before either is known, and after the run.
        """
        recorder, prices = self._live(), self._owner._prices
        if recorder is None or prices is None:
            return None
        return prices.at(recorder.clock.anchor().wall_ns / NS_PER_S)

    def phases_on(self, device: object) -> None:
        """Says on which device this process's loop computes, before it does: ``cuda:0``, or a framework's own word.

        A loop is ahead of a GPU that works through a queue. The GPU's energy then goes to the phases that the GPU was
        in, by events in the queue, for which nobody waits. The thread that calls this is the one to call `phase`.
        """
        recorder = self._live()
        if recorder is not None:
            recorder.follow_device(device)

    def steps(
        self,
        stage: str,
        step: Callable[..., Any],
        within: Callable[[], AbstractContextManager[Any]] = nullcontext,
    ) -> StepCounter:
        """Counts the FLOPs of a loop's steps: those of each kind once, which is added for every one of them.

        Example::

            steps = run.steps("fit", model.training_step)
            for batch in loader:
                steps.begin(batch)
                loss = model.training_step(batch)
                loss.backward()
                steps.end()

        Args:
            stage: what the steps belong to.
            step: what each of them calls; it tells which modules take part.
            within: makes the context that it is called in (autocast), where `begin` is not called in that.
        """
        from joulegram.session.counting import NoStepCounter, StepCounter

        recorder, way = self._live(), self._settings.flops
        if recorder is None or way == "off":
            return NoStepCounter()
        return StepCounter(recorder, stage, step, way, within)

    def count(self, step: Callable[..., T], *args: Any, **named: Any) -> T:
        """Calls a step and adds its FLOPs to the run; what it returns or raises is untouched.

        What is counted inside of it belongs to it, and is not added again.

        Example::

            loss = run.count(train_step, x, y)

        Args:
            step: what is called: a function, a module, a function compiled by JAX.
            *args: what it is called with.
            **named: the same, by name.
        """
        if _counting.get() is self._owner:
            return step(*args, **named)
        steps = self._counter_of(step)
        steps.restart_now_and_then()
        within = _counting.set(self._owner)
        try:
            steps.begin(*args, **named)
            result = step(*args, **named)
        except BaseException:
            steps.cancel()
            raise
        finally:
            _counting.reset(within)
        steps.end()
        return result

    def _counter_of(self, step: Callable[..., Any]) -> StepCounter:
        from joulegram.session.counting import kind_of

        key = threading.get_ident(), kind_of(step)
        counter = self._counters.get(key)
        if counter is None:
            if len(self._counters) >= MOST_COUNTERS:
                self._counters.clear()
            counter = self._counters[key] = self.steps(getattr(step, "__name__", type(step).__name__), step)
        counter.calls(step)
        return counter

    def add_flops(self, flops: float, phase: str | None = None) -> None:
        """Adds floating-point operations that the caller knows of; a multiply-add is two.

        Args:
            flops: how many.
            phase: what they belong to; the phase that the loop is in by default.

        Raises:
            ValueError: less than none, or no number.
        """
        try:
            number = float(flops)
        except (TypeError, ValueError):
            number = float("nan")
        if not 0 <= number < float("inf"):
            raise ValueError(f"flops = {flops!r}: a number that is not negative is needed")
        recorder = self._live()
        if recorder is not None:
            recorder.tally({f"{FLOPS_IN}{phase or recorder.current_phase}": number})

    def log(self, /, **metrics: float) -> None:
        """Keeps how well the work went, for runs to be compared by: the last value of each metric.

        Example::

            run.log(accuracy=0.93, val_loss=0.21)

        Args:
            **metrics: plain numbers by name. They become the attribute ``metrics`` of the run, also of one joined.

        Raises:
            ValueError: a value is no number.
        """
        for name, value in metrics.items():
            try:
                number = float(value)
            except (TypeError, ValueError):
                raise ValueError(f"{name} = {value!r}: a number is needed") from None
            self._owner.attributes.setdefault("metrics", {})[name] = number

    def footprint(self) -> Footprint:
        """What the run cost so far; never waits. Figures are provisional until `settled`."""
        if self._root is not None:
            return self._root.footprint()
        start_ns = self._recorder.header.start_ns if self._recorder is not None else 0
        return self._footprint_of(start_ns, self._end_ns)

    def lap(self, patience_s: float = 0.0) -> dict[str, float]:
        """What was added since the last lap: plain numbers by name, for loggers; those that are missing are left out.

        Laps sum to the run's total so far, although a counter's last refresh may still be out at any one of them.

        Args:
            patience_s: how long (s) the first lap may wait for there to be figures at all: meters and price are looked
                up meanwhile.
        """
        recorder, until_s = self._live(), time.monotonic() + patience_s
        while recorder is not None and not self._lapped and time.monotonic() < until_s:
            if self.footprint().carbon_g.value:
                break
            time.sleep(FIRST_LOOK_S)
        if recorder is not None:
            recorder.edge(recorder.clock.monotonic_ns(), instantly=True)
        totals = self._totals()
        lap = {name: total - self._lapped.get(name, 0.0) for name, total in totals.items()}
        self._lapped.update(totals)
        return lap

    def book(self, lap: Mapping[str, float]) -> None:
        """Takes in a lap that the ranks of this run have added up: `spent` goes by all of them from then on."""
        for name, value in lap.items():
            self._all_ranks[name] = self._all_ranks.get(name, 0.0) + value

    def spent(self) -> dict[str, float]:
        """Joules, grams and seconds of this run, its ranks as far as they were booked, and all that it continues."""
        totals = {**self._totals(), **self._all_ranks}
        return {
            name: totals.get(name, 0.0) + (getattr(self._lineage, name) if self._lineage else 0.0)
            for name in ("energy_j", "carbon_g", "duration_s")
        }

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps, in plain types: the run's id and what it has spent."""
        return {"run": self.id, **self.spent()}

    def resume(self, state: Mapping[str, Any]) -> None:
        """Continues the run that a `state_dict` was taken from: it is this one's parent, its totals are carried on."""
        if not state.get("run") or state["run"] == self.id:
            return
        self._lineage = Lineage(
            str(state["run"]),
            float(state.get("energy_j", 0.0)),
            float(state.get("carbon_g", 0.0)),
            float(state.get("duration_s", 0.0)),
        )
        recorder = self._live()
        if recorder is not None:
            recorder.say(self._lineage)

    @property
    def parent(self) -> str | None:
        """The run that this one continues."""
        return self._lineage.parent if self._lineage else None

    @property
    def found_zone(self) -> str | None:
        """The grid zone as it was found out, where none was given."""
        prices = self._owner._prices
        return prices.book.zone if prices is not None and prices.book is not None else None

    @property
    def joined(self) -> bool:
        """Whether this is a part of a run that was started around it, in this process or in one above."""
        return self._root is not None

    @property
    def ledger(self) -> Path | None:
        """The ledger's folder; None for an inert run."""
        return self._ledger

    def close(
        self,
        status: Status = "finished",
        error: BaseException | str | None = None,
        last: Callable[[], object] = lambda: None,
    ) -> None:
        """Ends the run, or this process's part of it: waits a second at most for counters to pass its end.

        Again is harmless.

        Args:
            status: ``finished``, ``failed`` or ``interrupted``.
            error: what ended it.
            last: called then, before the journal is closed: what is told of the run only once all of it is counted.
        """
        with self._close_lock:
            if self.status != "running":
                return
            self.status = status
        try:
            self._close(status, error, last)
        except Exception as problem:  # the run is over either way; its journal holds what was recorded
            warn(f"joulegram could not close run {self.id}: {problem!r}")

    # -- inside ---------------------------------------------------------------------------------------------------

    def _as_span(self) -> Span:
        """The span that this run is in the one that it joined."""
        named = {"stage": self.stage} if self.model is None else {"stage": self.stage, "model": self.model}
        return Span(self, "track", self.name, None, {**named, **self.attributes})

    def _live(self) -> Recorder | None:
        recorder = self._recorder
        return recorder if recorder is not None and recorder.alive else None

    def _next_span_id(self) -> str:
        owner = self._owner
        return f"{owner._span_prefix}-{next(owner._span_numbers)}"

    def _footprint_of(self, start_ns: int, end_ns: int | None) -> Footprint:
        from joulegram import pricing

        if self._recorder is None:
            return pricing.nothing("joulegram is disabled" if config.disabled() else "nothing was recorded")
        now_ns = self._owner._end_ns or self._recorder.clock.monotonic_ns()
        return self._pricer(now_ns).footprint(start_ns, now_ns if end_ns is None else end_ns)

    def _pricer(self, now_ns: int) -> Pricer:
        from joulegram import pricing
        from joulegram.curves.trace import together

        prices = self._owner._prices
        book = (prices and prices.book) or pricing.unpriced(self._settings.pue, self._settings.basis)
        return pricing.Pricer(together([self.trace(now_ns)]), book, self._settings.peaks, self._settings.impacts)

    def trace(self, now_ns: int | None = None) -> RecorderTrace:
        """This process's curves so far.

        Raises:
            RuntimeError: the run is inert.
        """
        if self._recorder is None:
            raise RuntimeError("an inert run has no trace")
        return self._recorder.trace(now_ns or self._owner._end_ns or self._recorder.clock.monotonic_ns())

    def _totals(self) -> dict[str, float]:
        footprint = self.footprint()
        figures = {name: getattr(footprint, name) for name in LAP_FIGURES}
        numbers = {name: figure if isinstance(figure, float) else figure.value for name, figure in figures.items()}
        return {name: number for name, number in numbers.items() if number is not None}

    def _close(self, status: Status, error: BaseException | str | None, last: Callable[[], object]) -> None:
        recorder = self._live()
        if recorder is None:
            last()
            return
        if self._root is not None:
            self._root.attributes.update(self.attributes)
            self._root.attributes.setdefault("status", status)
            self._root.close()
        if self._owner is not self:
            last()
            return
        self._end_ns = recorder.clock.monotonic_ns()
        recorder.edge(self._end_ns, instantly=True)
        try:
            recorder.settle(status, self._end_ns)
            last()
            if self._prices is not None:
                self._prices.ready.wait(PRICE_WAIT_S)
                self._prices.end()
        finally:
            _LIVE.remove(self)
            self._marker._leave()
            _tell_children()
        summary = None
        with suppress(Exception):  # a summary only spares readers work
            from joulegram.session.document import live_summary

            summary = live_summary(self)
        text = error if isinstance(error, str) or error is None else f"{type(error).__name__}: {error}"
        recorder.close(text, summary, self.attributes)


_LIVE: list[Run] = []
"""Runs of this process that own a recorder, the innermost last."""

_TOLD: dict[str, str | None] = {}
"""The environment of this process before it told its children of a live run."""


def _tell_children() -> None:
    """Puts children of this process into its innermost run; without any, into what this process itself is in."""
    live = [(run, run._recorder) for run in _LIVE if run._recorder is not None]
    if not live:
        for variable, value in _TOLD.items():
            if value is None:
                os.environ.pop(variable, None)
            else:
                os.environ[variable] = value
        _TOLD.clear()
        return
    for variable in (surroundings.VARIABLE, surroundings.LEDGER_VARIABLE):
        _TOLD.setdefault(variable, os.environ.get(variable))
    run, recorder = live[-1]
    os.environ[surroundings.VARIABLE] = surroundings.announce(run.id, recorder.clock)
    os.environ[surroundings.LEDGER_VARIABLE] = str(run._ledger)


def check_settings(**given: Any) -> None:
    """Says at once what `start` would say of these arguments, and of the configuration that they add to.

    Raises:
        ConfigError: an argument, a configuration file or the environment says what joulegram does not understand.
    """
    _settings(given)


def _settings(given: Mapping[str, Any]) -> config.Settings:
    """The settings in force; a feed that is named has to be able to answer, and a table to have what is named."""
    settings = config.load(given)
    if settings.intensity not in ("auto", "annual"):
        from joulegram.feeds.annual import resolve
        from joulegram.feeds.choice import choose

        choose(settings, resolve(settings.zone), time.time)
    if settings.impacts:
        from joulegram.impacts import factors

        factors.check(settings.impacts)
    return settings


def start(
    name: str | None = None,
    *,
    project: str | None = None,
    stage: str | None = None,
    model: str | None = None,
    zone: str | None = None,
    pue: float | str | None = None,
    intensity: str | None = None,
    basis: str | None = None,
    flops: str | None = None,
    ledger: str | os.PathLike[str] | None = None,
    meters: tuple[str, ...] | list[str] | None = None,
    separate: bool = False,
    run_id: str | None = None,
    rank: int | None = None,
    attributes: Mapping[str, Any] | None = None,
) -> Run:
    """Starts a run, or joins the one that is live around this process; end it with `Run.close`.

    Where a context manager fits, use `track`; the arguments are the same but for `run_id` and `rank`.

    Args:
        name: see `track`.
        project: see `track`.
        stage: see `track`.
        model: see `track`.
        zone: see `track`.
        pue: see `track`.
        intensity: see `track`.
        basis: see `track`.
        flops: see `track`.
        ledger: see `track`.
        meters: see `track`.
        separate: see `track`.
        run_id: id that all ranks of a job agreed on.
        rank: of this process among them; what the launcher says by default.
        attributes: see `track`.

    Raises:
        ConfigError: an argument, a configuration file or the environment says what joulegram does not understand.
    """
    given = {
        "project": project, "stage": stage, "model": model, "zone": zone, "pue": pue, "intensity": intensity,
        "basis": basis, "flops": flops, "ledger": ledger, "meters": meters,
    }  # fmt: skip
    if config.disabled():
        inert = config.Settings(project=project, stage=stage or "train", model=model, zone=zone)
        return Run(name or "run", inert, attributes or {})
    trial = trial_around()
    if trial is not None:
        attributes = {"sweep": trial.sweep, "trial": trial.trial, **(attributes or {})}
        if stage is None and config.origin("stage") is None:
            given["stage"] = "search"
    run = Run(name or "run", _settings(given), attributes or {})
    try:
        _begin(run, name, separate, run_id, launcher_rank() if rank is None else rank)
    except config.ConfigError:
        raise
    except Exception as problem:  # whatever is wrong with this machine, the user's work goes on
        warn(f"joulegram records nothing: {problem!r}")
    return run


def _begin(run: Run, name: str | None, separate: bool, run_id: str | None, rank: int) -> None:
    around = current_run()
    if around is not None and not separate:
        run._recorder, run._ledger, run.id = around._recorder, around._ledger, around.id
        run._owner = around._owner
        run._root = run._as_span().open()
        return
    clock = Clock(os.environ.get("JOULEGRAM_HOST"))
    surrounding = surroundings.surrounding_run(clock)
    enclosing = around.id if around else surrounding.run if surrounding else None
    if separate or surrounding is None:
        # Made up even where one is given: each rank counts the runs of its launcher's job.
        made_id = surroundings.new_run_id()
        run.id = surroundings.safe_run_id(run_id or "") or made_id
    else:
        run.id = surrounding.run
    joined_pid = surrounding.joined_pid if surrounding and not separate else None
    run._ledger = surroundings.ledger_path(run._settings)
    if joined_pid is not None and os.environ.get(surroundings.LEDGER_VARIABLE):
        run._ledger = Path(os.environ[surroundings.LEDGER_VARIABLE])  # parts of a run belong together
    notes: list[tuple[str, str]] = []
    opened = open_quick(run._settings, lambda kind, text: notes.append((kind, text)))
    anchor = clock.anchor()
    header = Header(
        run=run.id,
        name=run.name,
        project=run.project,
        stage=run.stage,
        model=run.model,
        zone=run.zone,
        host=clock.host,
        boot=clock.boot,
        pid=os.getpid(),
        process_started=str(process_started(os.getpid())),
        rank=rank,
        start_ns=anchor.mono_ns,
        anchor=anchor,
        pue=run._settings.pue,
        basis=run._settings.basis,
        intensity=run._settings.intensity,
        enclosing_run=enclosing if separate else None,
        joined_pid=joined_pid,
        attributes=run.attributes,
    )
    path = free_path(run._ledger / run.id, f"{clock.host}-{header.rank}-{header.pid}")
    run._recorder = Recorder(header, run._settings, JournalWriter(path), clock, opened)
    for kind, text in notes:
        run._recorder.note(kind, text)
    _LIVE.append(run)
    run._marker._enter()
    run._recorder.edge(anchor.mono_ns, instantly=True)
    if joined_pid is not None:
        run._root = run._as_span().open()
    _tell_children()
    recorder, wall_s = run._recorder, lambda: clock.anchor().wall_ns / NS_PER_S

    def note(kind: str, text: str) -> None:
        recorder.say(Note(clock.monotonic_ns(), kind, text))

    run._prices = Prices(run.id, run._settings, recorder.say, note, anchor.wall_ns / NS_PER_S, wall_s)
    run._prices.start()


def _innermost() -> Span | None:
    """The innermost span, or marker of a run, that this thread or task is in and that is not over."""
    span = _current.get()
    while span is not None and (span.end_ns is not None or span._run._live() is None):
        span = span._outer
    return span


def current_run() -> Run | None:
    """The live run that this thread or task is in, else the one that is live around all of the process."""
    span = _innermost()
    if span is not None:
        return span._run
    # A thread that was started on its own is in what is live around all of the process.
    return next((run for run in _LIVE if run._live() is not None), None)


class track:
    """Tracks what a block or a function costs; inside a live run it joins that as a span.

    Example::

        with joulegram.track("ablation-3", project="resnets", stage="train", zone="DK-DK1") as run:
            with run.span("epoch", index=0):
                ...
        print(run.footprint().energy_j)

        @joulegram.track("preprocess", stage="data")
        def prepare(): ...

    Args:
        name: what the run is called; a function's own name by default.
        project: name that groups runs.
        stage: stage of the life cycle (``data``, ``search``, ``train``, ``finetune``, ``evaluate``, ``compress``,
            ``serve``, ``idle``, ``retrain``).
        model: what the run works for, makes or serves; a name of your own, or the id of the run that made it.
        zone: grid zone (``joulegram zones TEXT`` finds it); unknown by default, priced at the world's average.
        pue: facility energy over IT energy, or ``datacenter`` for the survey's mean.
        intensity: feed that knows the grid's carbon intensity: ``auto``, the one of the zone, by default; or a name
            (``neso``, ``series:PATH``, ``fixed:420``; ``annual`` for yearly means and no network).
        basis: ``lifecycle`` or ``direct``: which emissions of a grid `carbon_g` counts; what the feed gives by default.
        flops: how steps are counted: ``auto`` by their framework's counter, ``off`` not at all, or a counter's name.
        ledger: folder in which the run is kept.
        meters: names of the meters to open; all that are found by default.
        separate: do not join: a run of its own, whose energy is also part of the enclosing run's.
        attributes: anything worth keeping with the run.

    Raises:
        ConfigError: on entry, when an argument or the configuration says what joulegram does not understand.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        project: str | None = None,
        stage: str | None = None,
        model: str | None = None,
        zone: str | None = None,
        pue: float | str | None = None,
        intensity: str | None = None,
        basis: str | None = None,
        flops: str | None = None,
        ledger: str | os.PathLike[str] | None = None,
        meters: tuple[str, ...] | list[str] | None = None,
        separate: bool = False,
        attributes: Mapping[str, Any] | None = None,
    ) -> None:
        self._name = name
        self._given: dict[str, Any] = {
            "project": project, "stage": stage, "model": model, "zone": zone, "pue": pue, "intensity": intensity,
            "basis": basis, "flops": flops, "ledger": ledger, "meters": meters, "separate": separate,
            "attributes": attributes,
        }  # fmt: skip
        self._runs: list[Run] = []

    def __enter__(self) -> Run:
        run = start(self._name, **self._given)
        self._runs.append(run)
        return run

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._runs.pop().close(status_of(error), None if status_of(error) == "finished" else error)

    def __call__(self, function: F) -> F:
        """Tracks every call of a function; what it returns, raises or yields is untouched."""

        def again() -> track:
            return track(self._name or getattr(function, "__name__", "function"), **self._given)

        import inspect

        if inspect.isasyncgenfunction(function):
            return _tracked_stream(again, function)  # type: ignore[return-value]  # as below
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def tracked(*args: Any, **kwargs: Any) -> Any:
                with again():
                    return await function(*args, **kwargs)

        elif inspect.isgeneratorfunction(function):

            @functools.wraps(function)
            def tracked(*args: Any, **kwargs: Any) -> Any:
                with again():
                    return (yield from function(*args, **kwargs))

        else:

            @functools.wraps(function)
            def tracked(*args: Any, **kwargs: Any) -> Any:
                with again():
                    return function(*args, **kwargs)

        return tracked  # type: ignore[return-value]  # wraps keeps the signature


def _tracked_stream(again: Callable[[], track], function: Callable[..., Any]) -> Callable[..., Any]:
    """An asynchronous generator function, tracked: what is sent or thrown into it reaches it."""

    @functools.wraps(function)
    async def tracked(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        stream = function(*args, **kwargs)
        with again(), suppress(StopAsyncIteration):
            item = await anext(stream)
            while True:
                try:
                    sent = yield item
                except GeneratorExit:
                    await stream.aclose()
                    raise
                except BaseException as error:
                    item = await stream.athrow(error)
                else:
                    item = await stream.asend(sent)

    return tracked


def status_of(error: BaseException | None) -> Status:
    """How a run ended that this exception, or none, left."""
    if error is None or isinstance(error, GeneratorExit):
        return "finished"
    if type(error).__name__ == "TrialPruned":  # Optuna's: a search has seen enough of a trial, which is no failure
        return "finished"
    if isinstance(error, SystemExit):
        return "finished" if error.code in (None, 0) else "failed"
    if isinstance(error, KeyboardInterrupt) or type(error).__name__ == "CancelledError":
        return "interrupted"
    return "failed"


def _close_left_open() -> None:
    for run in reversed(_LIVE[:]):
        run.close("failed", "the process ended with the run still open")


def _forget_after_fork() -> None:
    _LIVE.clear()
    _TOLD.clear()
    _current.set(None)


atexit.register(_close_left_open)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)
