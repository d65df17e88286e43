"""Keras's hooks, in words of joulegram: a run, its spans, its phases.

What is not obvious from the hooks' names:

- `evaluate` calls the same hooks when `fit` calls it, for validation, as when the user does.
- A batch's end has no hook here: one would make Keras wait for JAX in every step, and slow down what is measured.
- Keras calls no hook when an exception, or Ctrl-C, ends a loop. One in a step is seen where the step is (`watch`);
  after any other the run is closed when the next loop begins, or the process ends.
- Each epoch ends with its metrics read from the device: its span holds all that was asked for in it.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import count
from math import nan
from os import PathLike
from typing import Any, Literal, TypeVar
from weakref import WeakSet, ref

import keras

import joulegram
from joulegram_keras.backup import Backup, backup_among
from joulegram_keras.cadence import Every, cadence
from joulegram_keras.loop import Loop
from joulegram_keras.models import describe, device_of, numbers, show_summary
from joulegram_keras.ranks import Ranks, ranks
from joulegram_keras.stack import caller_of, is_running
from joulegram_keras.watch import WATCHES, Watch

log = logging.getLogger("joulegram")
F = TypeVar("F", bound=Callable[..., Any])

FIGURES = ("energy_j", "carbon_g", "flops")
"""What every epoch's logs hold."""
_FUNCTIONS = {
    "fit": "train_function",
    "validation": "test_function",
    "evaluate": "test_function",
    "predict": "predict_function",
}
_PHASES = {"fit": "train"}
"""What steps are called, where it is not what the loop is called."""

_recording: WeakSet[FootprintMonitor] = WeakSet()
"""Monitors of this process with a run that has not ended."""


def harmless(hook: F) -> F:
    """Makes a hook give up recording, instead of raising, when something goes wrong in it."""

    @functools.wraps(hook)
    def safe(self: FootprintMonitor, *args: Any, **kwargs: Any) -> Any:
        try:
            return hook(self, *args, **kwargs)
        except Exception as error:
            self.give_up(error)
            return None

    return safe  # type: ignore[return-value]  # wraps keeps the signature


class FootprintMonitor(keras.callbacks.Callback):  # type: ignore[misc]  # Keras declares no types
    """Measures what each epoch costs in compute, energy and carbon.

    One run is recorded for each call of `fit`, `evaluate` and `predict` that it is given to; inside a
    `joulegram.track` block it joins that block's run. Validation inside `fit` is a span of its epoch. All processes of
    a job record into one run, and log the figures of all of them together; each has to be given a monitor.

    Every epoch's logs gain ``energy_j``, ``carbon_g`` and ``flops``: they are in the progress bar, in
    ``History.history``, and in what EarlyStopping, ModelCheckpoint, CSVLogger and TensorBoard see **if these are listed
    after the monitor**. Each is what was added since the epoch before was logged, so they add up to the run. One that
    is missing (a device without a meter, a step that cannot be counted) is NaN, not zero; EarlyStopping takes NaN for
    an epoch without improvement.

    Phases are ``train`` and ``validation`` in `fit`, ``evaluate`` and ``predict`` elsewhere; on the torch backend also
    ``data``, waiting for batches. JAX and TensorFlow fetch them inside of the step.

    Example::

        model.fit(x, y, callbacks=[FootprintMonitor()])
        model.fit(x, y, callbacks=[FootprintMonitor(zone="DK-DK1"), EarlyStopping("energy_j", mode="min")])

    Args:
        name: what the run is called; the model's name by default.
        project: name that groups runs.
        stage: stage of the life cycle; for `fit` as configured (``train``), else ``evaluate``.
        model: what the run works for or makes, for the life cycle of a project: a name of your own.
        zone: grid zone (``joulegram zones TEXT`` finds it); unknown by default, priced at the world's average.
        pue: facility energy over IT energy, or ``datacenter`` for the survey's mean.
        intensity: name of the feed of grid carbon intensity.
        basis: ``lifecycle`` or ``direct``: which emissions of a grid ``carbon_g`` counts.
        flops: how steps are counted: ``auto`` by their framework's counter, ``off`` not at all, or a counter's name.
        ledger: folder in which runs are kept.
        meters: names of the meters to open; all that are found by default.
        again: what another `fit` does: ``new`` starts a run, ``continue`` one that has the one before as its parent and
            carries its totals on.
        prefix: put before the names in the logs.
        every: when to look at the budget within an epoch, besides its end: after a number of executions of steps, or of
            time (a `timedelta`); not by default (``"epoch"``), and never in a job of several processes.
        summary: whether a fit ends with a table of its epochs.
        budget_kwh: most energy (kWh) for this run and those that it continues.
        budget_gco2e: most carbon (gCO2e) for them.
        on_budget: ``stop`` ends training cleanly when a budget is reached, ``warn`` says so and goes on.
        attributes: anything worth keeping with the run.

    Raises:
        ValueError: an argument, a configuration file or the environment says what joulegram does not understand.
        TypeError: an argument is of the wrong kind.
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
        ledger: str | PathLike[str] | None = None,
        meters: tuple[str, ...] | list[str] | None = None,
        again: Literal["new", "continue"] = "new",
        prefix: str = "",
        every: Every = "epoch",
        summary: bool = True,
        budget_kwh: float | None = None,
        budget_gco2e: float | None = None,
        on_budget: Literal["stop", "warn"] = "stop",
        attributes: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        for argument, text in (("name", name), ("prefix", prefix)):
            if text is not None and not isinstance(text, str):
                raise TypeError(f"{argument} = {text!r}: a text is needed")
        if again not in ("new", "continue"):
            raise ValueError(f'again = {again!r}: "new" or "continue" is needed')
        if on_budget not in ("stop", "warn"):
            raise ValueError(f'on_budget = {on_budget!r}: "stop" or "warn" is needed')
        self._settings: dict[str, Any] = {
            "project": project, "stage": stage, "model": model, "zone": zone, "pue": pue, "intensity": intensity,
            "basis": basis, "flops": flops, "ledger": ledger, "meters": meters,
        }  # fmt: skip
        joulegram.check_settings(**self._settings)
        cadence(every)
        self._name, self._again, self._prefix, self._every = name, again, prefix, every
        self._summary, self._on_budget = summary, on_budget
        self._attributes = dict(attributes or {})
        self._budget = joulegram.Budget(kwh=budget_kwh, gco2e=budget_gco2e)
        self._clear()

    def __getstate__(self) -> dict[str, Any]:
        """As it was made: a run, and a model, stay where they are when a callback is copied or sent elsewhere."""
        blank = type(self).__new__(type(self))
        keras.callbacks.Callback.__init__(blank)
        blank._clear()
        return {**vars(self), **vars(blank)}

    @property
    def run(self) -> joulegram.Run | None:
        """The run being recorded, or the last one that was; None before the first and after recording failed."""
        return self._loop.run

    def _clear(self) -> None:
        """As before the first run."""
        self._fitted: joulegram.Run | None = None
        """The last run that trained."""
        self._reset()

    def _reset(self) -> None:
        """As between runs."""
        self._kind = ""
        """``fit``, ``evaluate`` or ``predict``; empty outside of a loop that this monitor follows."""
        self._followed: Any = None
        """The model of that loop. Keras's own `model` waits for JAX whenever it is asked for."""
        self._caller: ref[Any] | None = None
        """The CallbackList of that loop, as long as there is one."""
        self._is_keras_loop = False
        self._steps_per_epoch: int | None = None
        self._loop = Loop()
        self._watches: dict[str, Watch] = {}
        self._ranks = Ranks()
        self._backup: Backup | None = None
        self._has_logs = self._has_given_up = self._has_told_budget = False
        self._metrics: dict[str, float] = {}
        self._validations = count()
        self._phase_around = "other"

    # -- the run --------------------------------------------------------------------------------------------------

    def _begin(self, kind: str) -> None:
        """A loop of the user's begins."""
        for monitor in list(_recording):
            if monitor is self or not monitor._is_followed():
                monitor._end("failed", "it ended without a word to its callbacks")
        self._reset()
        self._kind, self._followed = kind, self._model
        self._steps_per_epoch = (self.params or {}).get("steps")
        caller = caller_of(self)
        if caller is not None:
            self._caller = ref(caller)
            self._is_keras_loop = is_running(caller)
        self._ranks = ranks()
        run = self._ranks.share_run(self._start)
        if run is None:
            return
        self._loop = Loop(run)
        self._has_logs = bool(run.id)
        _recording.add(self)
        self._loop.open(kind)
        run.phases_on(device_of(self._followed))

    def _start(self, run_id: str | None) -> joulegram.Run | None:
        settings: dict[str, Any] = {"stage": None if self._kind == "fit" else "evaluate"}
        settings.update({name: value for name, value in self._settings.items() if value is not None})
        model, params = self._followed, (self.params or {}) if self._kind == "fit" else {}
        try:
            return joulegram.start(
                self._name or getattr(model, "name", None) or type(model).__name__,
                **settings,
                run_id=run_id,
                rank=self._ranks.rank,
                attributes={**describe(model, params), **self._attributes},
            )
        except Exception as error:
            self.give_up(error)
            return None

    def _is_followed(self) -> bool:
        """Whether the loop that it follows goes on; of a loop that is not one of Keras's that is not known."""
        if not self._kind or not self._is_keras_loop:
            return bool(self._kind)
        caller = self._caller() if self._caller is not None else None
        return caller is not None and is_running(caller)

    def _finish(self) -> None:
        """The loop has come to its end."""
        run = self._loop.run
        if run is not None:
            run.log(**self._metrics)
        self._end("finished")
        if self._summary and self._kind == "fit" and run is not None and not self._ranks.rank:
            show_summary(run)
        self._kind, self._followed = "", None

    def _fail(self, error: BaseException) -> None:
        """A step ended with an exception, which ends the loop."""
        self._end(joulegram.status_of(error), error)
        self._kind, self._followed = "", None

    def _end(self, status: Any, error: BaseException | str | None = None) -> None:
        """Closes what is open."""
        _recording.discard(self)
        for watch in self._watches.values():
            watch.detach()
        self._loop.end(status, error)

    def give_up(self, error: BaseException) -> None:
        """Records nothing more of this run, says so once, and keeps out of the way."""
        _recording.discard(self)
        loop, self._loop = self._loop, Loop()
        if not self._has_given_up:
            self._has_given_up = True
            log.warning("joulegram: recording stops here, training goes on: %s: %s", type(error).__name__, error)
        watches, self._watches = self._watches, {}
        with suppress(Exception):
            for watch in watches.values():
                watch.detach()
        if loop.run is not None:
            loop.run.close("failed", error)

    # -- steps ----------------------------------------------------------------------------------------------------

    def _follow_steps(self, kind: str) -> None:
        """A loop over batches begins."""
        run, backend, phase = self._loop.run, keras.backend.backend(), _PHASES.get(kind, kind)
        if run is None or not run.id:
            return
        tells_data = backend == "torch" and kind != "validation"
        if kind not in self._watches and backend in WATCHES:
            self._watches[kind] = WATCHES[backend](
                self._loop,
                run,
                self._model,
                _FUNCTIONS[kind],
                kind,
                phases=(phase, "data") if tells_data else None,
                failed=self._fail,
                gives_up=self.give_up,
                executed=self._budget_cadence() if kind == "fit" else None,
            )
        self._loop.enter("data" if tells_data else phase)
        if kind in self._watches:
            self._watches[kind].attach(self._most_steps(kind))

    def _leave_steps(self, kind: str) -> Mapping[str, int]:
        """It is over: its steps and samples."""
        watch = self._watches.get(kind)
        if watch is None:
            return {}
        watch.settle()
        watch.detach()
        return watch.take()

    def _most_steps(self, kind: str) -> int | None:
        """Steps of a whole loop, as far as Keras knows; of the validation that `fit` calls it tells no callback."""
        if kind == "fit":
            return self._steps_per_epoch
        if self._caller is not None and self._kind == "fit" and caller_of(self) is self._caller():
            return getattr(getattr(self._model, "_eval_epoch_iterator", None), "num_batches", None)
        return (self.params or {}).get("steps")

    # -- training -------------------------------------------------------------------------------------------------

    @harmless
    def on_train_begin(self, logs: Any = None) -> None:
        before = self._fitted
        self._begin("fit")
        run = self._loop.run
        if run is None or not run.id:
            return
        self._backup = backup_among(getattr(caller_of(self), "callbacks", ()))
        restored = self._backup.restored() if self._backup is not None else None
        if restored is not None:
            run.resume(restored)
        elif self._again == "continue" and before is not None:
            run.resume(before.state_dict())
        self._fitted = run

    @harmless
    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if self._kind == "fit":
            self._loop.open("epoch", epoch)
            self._follow_steps("fit")

    @harmless
    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if self._kind != "fit":
            return
        if logs is not None:
            self._metrics = numbers(logs)
            if self._has_logs:
                logs.update({self._prefix + name: nan for name in FIGURES})
        seen = self._leave_steps("fit")
        self._loop.enter("other")
        self._loop.close("epoch", **seen)
        lap, reached = self._ranks.together(self._lap(), self._book)
        if self._ranks.rank:
            self._book(lap)
        if logs is not None and self._has_logs:
            logs.update({self._prefix + name: lap[name] for name in FIGURES if name in lap})
        if self._backup is not None and self._loop.run is not None and not self._ranks.rank:
            self._backup.keep(self._loop.run.state_dict())
        self._act_on(reached)

    @harmless
    def on_train_end(self, logs: Any = None) -> None:
        if self._kind == "fit":
            self._finish()

    # -- validation, evaluation, prediction -----------------------------------------------------------------------

    @harmless
    def on_test_begin(self, logs: Any = None) -> None:
        self._begin_inside("validation") if self._is_inside() else self._begin_alone("evaluate")

    @harmless
    def on_test_end(self, logs: Any = None) -> None:
        self._end_alone("evaluate", logs) if self._kind == "evaluate" else self._end_inside("validation")

    @harmless
    def on_predict_begin(self, logs: Any = None) -> None:
        self._begin_inside("predict") if self._is_inside() else self._begin_alone("predict")

    @harmless
    def on_predict_end(self, logs: Any = None) -> None:
        self._end_alone("predict", logs) if self._kind == "predict" else self._end_inside("predict")

    def _is_inside(self) -> bool:
        """Whether a `fit` is under way in which this loop begins."""
        return self._kind == "fit" and self._is_followed()

    def _begin_alone(self, kind: str) -> None:
        self._begin(kind)
        self._follow_steps(kind)

    def _end_alone(self, kind: str, logs: Any) -> None:
        self._metrics = numbers(logs or {})
        self._loop.close(kind, **self._leave_steps(kind))
        self._finish()

    def _begin_inside(self, kind: str) -> None:
        if "fit" in self._watches:
            self._watches["fit"].settle()
        self._phase_around = self._loop.phase
        self._loop.open(kind, next(self._validations) if kind == "validation" else None)
        self._follow_steps(kind)

    def _end_inside(self, kind: str) -> None:
        self._loop.close(kind, **self._leave_steps(kind))
        self._loop.enter(self._phase_around)

    # -- figures and budgets --------------------------------------------------------------------------------------

    def _lap(self) -> dict[str, float]:
        """What this process has added since the last lap. The other ranks wait for it, whatever goes wrong here."""
        try:
            lap = self._loop.lap()
            return {name: lap[name] for name in FIGURES if name in lap}
        except Exception as error:
            self.give_up(error)
            return {}

    def _book(self, lap: Mapping[str, float]) -> str | None:
        """Takes in the figures of all ranks; in words, which limit they have reached."""
        run = self._loop.run
        if run is None:
            return None
        if self._ranks.size > 1:
            run.book(lap)
        return self._budget.reached(run.spent()) if self._budget else None

    def _budget_cadence(self) -> Callable[[], None] | None:
        """Looks at the budget when it is time; None where epochs' ends will do, the only times that all ranks share."""
        due = cadence(self._every)
        if due is None or not self._budget or self._ranks.size > 1:
            return None

        def executed() -> None:
            run = self._loop.run
            if run is not None and due():
                self._act_on(self._budget.reached(run.spent()))

        return executed

    def _act_on(self, reached: str | None) -> None:
        """Stops, or warns, if a limit has been reached."""
        if reached is None:
            return
        if not self._has_told_budget and not self._ranks.rank:
            then = "training stops" if self._on_budget == "stop" else "training goes on"
            log.warning("joulegram: %s; %s", reached, then)
        self._has_told_budget = True
        if self._on_budget == "stop":
            self._followed.stop_training = True
