"""Lightning's hooks, in words of joulegram: a run, its spans, its phases. Which package's hooks they are is no matter.

What is not obvious from the hooks' names:

- The closure that an optimizer steps with contains the forward and the backward pass. So each hook ends one phase and
  begins the next, in whatever order they come: with accumulated gradients, optimized by hand, or with LBFGS, whose
  repeated forward passes count as the optimizer's.
- An epoch that is resumed in its midst has no `on_train_epoch_start`; its span is opened with its first batch.
- Lightning says when a checkpoint is about to be written, not when it has been. A save happens inside another
  callback's hook; a callback that is appended while the hooks are being called is the last to be called, and by then
  the save is over.
- An epoch's span ends before what is saved or logged at its end. That lies between epochs, and is logged with the next.
- On a failure the other ranks may be gone: only the hooks of a healthy run talk to them, and these do so whether or
  not this rank has anything to say.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import count
from os import PathLike
from typing import Any, Literal, TypeVar
from weakref import WeakSet

import joulegram
from joulegram_lightning.cadence import Every, cadence
from joulegram_lightning.loop import Fence, Loop
from joulegram_lightning.trainers import (
    cuda_mark,
    describe,
    metrics,
    share_run,
    show,
    show_summary,
    summed,
    tell_loggers,
    validates_anywhere,
)

log = logging.getLogger("joulegram")
F = TypeVar("F", bound=Callable[..., Any])

_recording: WeakSet[Monitor] = WeakSet()
"""Monitors of this process with a run that has not ended."""


def harmless(hook: F) -> F:
    """Makes a hook give up recording, instead of raising, when something goes wrong in it."""

    @functools.wraps(hook)
    def safe(self: Monitor, *args: Any, **kwargs: Any) -> Any:
        try:
            return hook(self, *args, **kwargs)
        except Exception as error:
            self.give_up(error)
            return None

    return safe  # type: ignore[return-value]  # wraps keeps the signature


class Monitor:
    """Measures what each epoch, and each phase of the loop, costs in energy and carbon.

    One run is recorded for each call of `fit`, `validate`, `test` and `predict`; inside a `joulegram.track` block it
    joins that block's run. All ranks of a job record into one run.

    Logged at the end of every epoch, to all loggers, the progress bar and `trainer.callback_metrics`: ``energy_j``,
    ``carbon_g``, ``flops``, ``node_energy_j`` and ``facility_energy_j``, of all ranks together. Each is what was added
    since it was logged last, so what a logger holds adds up to the run; what comes after the last epoch is logged when
    the run ends. Where validation does not run once at the end of each epoch (`val_check_interval`,
    `check_val_every_n_epoch`), they are logged at the end of each validation too, for callbacks that look there; if
    nothing was trained since, not again at the epoch's end. Callbacks that monitor them work anywhere in the list.

    Example::

        Trainer(callbacks=[FootprintMonitor()])
        Trainer(callbacks=[FootprintMonitor(zone="DK-DK1", budget_kwh=2), EarlyStopping("energy_j")])

    Args:
        name: what the run is called; the LightningModule's class by default.
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
        every: when to log and to look at the budget within an epoch, besides its end: after a number of training
            batches, or of time (a `timedelta`); not by default (``"epoch"``).
        summary: whether a fit ends with a table of its epochs.
        budget_kwh: most energy (kWh) for this run and those that it was resumed from.
        budget_gco2e: most carbon (gCO2e) for them.
        on_budget: ``stop`` ends training cleanly when a budget is reached, ``warn`` says so and goes on.
        attributes: anything worth keeping with the run.

    Raises:
        ValueError: an argument, a configuration file or the environment says what joulegram does not understand.
        TypeError: an argument is of the wrong kind.
    """

    _after_save: type[Any]
    """`AfterSave` as a callback of the package in use."""

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
        every: Every = "epoch",
        summary: bool = True,
        budget_kwh: float | None = None,
        budget_gco2e: float | None = None,
        on_budget: Literal["stop", "warn"] = "stop",
        attributes: Mapping[str, Any] | None = None,
    ) -> None:
        if name is not None and not isinstance(name, str):
            raise TypeError(f"name = {name!r}: a text is needed")
        if on_budget not in ("stop", "warn"):
            raise ValueError(f'on_budget = {on_budget!r}: "stop" or "warn" is needed')
        self._settings: dict[str, Any] = {
            "project": project, "stage": stage, "model": model, "zone": zone, "pue": pue, "intensity": intensity,
            "basis": basis, "flops": flops, "ledger": ledger, "meters": meters,
        }  # fmt: skip
        joulegram.check_settings(**self._settings)
        self._name, self._summary, self._on_budget = name, summary, on_budget
        self._attributes = dict(attributes or {})
        self._budget = joulegram.Budget(kwh=budget_kwh, gco2e=budget_gco2e)
        self._cadence = cadence(every)
        self._is_automatic = False
        self._clear()

    @classmethod
    def automatic(cls) -> Monitor:
        """One that steps back where the user has given the Trainer one of their own."""
        monitor = cls()
        monitor._is_automatic = True
        return monitor

    def __getstate__(self) -> dict[str, Any]:
        """As it was made: a run stays in its process when a Trainer is copied, or sent to the ranks that it spawns."""
        blank = type(self).__new__(type(self))
        blank._clear()
        return {**vars(self), **vars(blank)}

    @property
    def run(self) -> joulegram.Run | None:
        """The run being recorded, or the last one that was; None before the first and after recording failed."""
        return self._loop.run

    def _clear(self) -> None:
        """As before the first run."""
        self._fitted: joulegram.Run | None = None
        """The last run that trained: what a checkpoint continues, also one saved after an evaluation."""
        self._reset()

    def _reset(self) -> None:
        """As between runs."""
        self._trainer: Any = None
        self._kind = ""
        """``fit``, ``validate``, ``test`` or ``predict``; empty outside of a run that this monitor follows."""
        self._loop = Loop()
        self._trains = False
        self._has_news = True
        self._has_given_up = self._has_told_budget = False
        self._validations = count()

    # -- the run --------------------------------------------------------------------------------------------------

    @harmless
    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        for monitor in list(_recording):  # a callback before it may have raised in its own `on_exception`
            if monitor is self or monitor._trainer.state.status != "running":
                monitor._end("failed", "training ended without a word to its callbacks")
        self._reset()
        if self._is_automatic and any(isinstance(c, Monitor) and c is not self for c in trainer.callbacks):
            return
        self._trainer, self._kind = trainer, str(getattr(stage, "value", stage))
        run = share_run(trainer, functools.partial(self._start, trainer, pl_module))
        if run is None:
            return
        self._loop = Loop(run, Fence(functools.partial(cuda_mark, trainer)))
        self._loop.open(self._kind)
        run.phases_on(trainer.strategy.root_device)
        _recording.add(self)
        if self._kind == "fit":
            self._fitted = run

    def _start(self, trainer: Any, pl_module: Any, run_id: str | None) -> joulegram.Run | None:
        settings: dict[str, Any] = {"stage": None if self._kind == "fit" else "evaluate"}
        settings.update({name: value for name, value in self._settings.items() if value is not None})
        try:
            return joulegram.start(
                self._name or type(pl_module).__name__,
                **settings,
                run_id=run_id,
                rank=trainer.global_rank if trainer.world_size > 1 else None,
                attributes={**describe(trainer, pl_module), **self._attributes},
            )
        except Exception as error:
            self.give_up(error)
            return None

    @harmless
    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        if not self._kind:
            return
        if self._loop.run is not None:
            self._loop.run.log(**metrics(trainer))
        self._end("finished")
        figures = self._lap()  # the counters have passed the end: what is logged adds up to the run
        if self._kind != "predict":
            tell_loggers(trainer, figures, trainer.global_step)
        if trainer.world_size > 1:
            trainer.strategy.barrier()  # all have written what the summary reads
        if self._summary and self._kind == "fit" and trainer.is_global_zero and self._loop.run is not None:
            show_summary(self._loop.run)
        self._kind, self._trainer = "", None

    @harmless
    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        # SIGTERMException is a SystemExit, whose code would read as success.
        is_signal = type(exception).__name__ == "SIGTERMException"
        self._end("interrupted" if is_signal else joulegram.status_of(exception), exception)
        self._kind, self._trainer = "", None

    def _end(self, status: Any, error: BaseException | str | None = None) -> None:
        """Closes what is open; talks to no other rank."""
        _recording.discard(self)
        self._trains = False
        self._loop.end(status, error)
        for callback in [c for c in getattr(self._trainer, "callbacks", ()) if isinstance(c, AfterSave)]:
            self._trainer.callbacks.remove(callback)

    def give_up(self, error: BaseException) -> None:
        """Records nothing more of this run, says so once, and keeps out of the way."""
        _recording.discard(self)
        loop, self._loop = self._loop, Loop()
        if not self._has_given_up:
            self._has_given_up = True
            log.warning("joulegram: recording stops here, training goes on: %s: %s", type(error).__name__, error)
        if loop.run is not None:
            with suppress(Exception):
                loop.cancel_step()
            loop.run.close("failed", error)

    # -- training -------------------------------------------------------------------------------------------------

    @harmless
    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        self._trains = True
        self._loop.enter("data")
        if self._cadence is not None:
            self._cadence.restart()

    @harmless
    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        self._open_epoch(trainer, pl_module)
        self._loop.enter("data")

    def _open_epoch(self, trainer: Any, pl_module: Any) -> None:
        self._loop.open_epoch(trainer.current_epoch)
        self._loop.begin_loop("fit", pl_module.training_step, trainer.precision_plugin.train_step_context)

    @harmless
    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if not self._loop.is_in_epoch:
            self._open_epoch(trainer, pl_module)
        self._loop.enter("forward")
        self._loop.begin_step("fit", batch, batch_idx)

    @harmless
    def on_before_backward(self, trainer: Any, pl_module: Any, loss: Any) -> None:
        self._loop.enter("backward")

    @harmless
    def on_after_backward(self, trainer: Any, pl_module: Any) -> None:
        if not pl_module.automatic_optimization:  # the training step goes on
            self._loop.enter("forward")

    @harmless
    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        self._loop.enter("optimizer")

    @harmless
    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self._loop.end_step()
        self._loop.enter("data")
        self._has_news = True
        if self._cadence is not None and self._cadence.due(trainer.strategy):
            self._log_step(trainer, pl_module)

    @harmless
    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        self._loop.cancel_step()  # a module that skips a batch ends its epoch with it
        self._loop.enter("other")
        self._loop.close_epoch()
        if self._has_news:
            self._log(trainer, pl_module)

    @harmless
    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        self._loop.enter("other")

    # -- validation, test, prediction -----------------------------------------------------------------------------

    @harmless
    def on_sanity_check_start(self, trainer: Any, pl_module: Any) -> None:
        self._loop.open("sanity")
        self._loop.enter("sanity")

    @harmless
    def on_sanity_check_end(self, trainer: Any, pl_module: Any) -> None:
        self._loop.close("sanity")
        self._loop.enter("other")

    @harmless
    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        if self._kind == "validate":
            self._loop.enter("data")
        elif not trainer.sanity_checking:
            self._loop.open("validation", next(self._validations))
            self._loop.enter("validation")
        self._loop.begin_loop("validate", pl_module.validation_step, trainer.precision_plugin.val_step_context)

    @harmless
    def on_validation_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        if self._kind == "validate" or (not trainer.sanity_checking and validates_anywhere(trainer)):
            self._log(trainer, pl_module)

    @harmless
    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        if self._kind == "validate":
            self._loop.enter("other")
        elif not trainer.sanity_checking:
            self._loop.close("validation")
            self._loop.enter("data")

    @harmless
    def _on_evaluation_start(self, trainer: Any, pl_module: Any) -> None:
        self._loop.enter("data")
        step, precision = getattr(pl_module, f"{self._kind}_step"), trainer.precision_plugin
        self._loop.begin_loop(self._kind, step, getattr(precision, f"{self._kind}_step_context"))

    @harmless
    def _on_evaluation_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if self._kind != "fit":
            self._loop.enter("forward")
        self._loop.begin_step("validate" if self._kind == "fit" else self._kind, batch, batch_idx, dataloader_idx)

    @harmless
    def _on_evaluation_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        self._loop.end_step()
        if self._kind != "fit":
            self._loop.enter("data")

    @harmless
    def _on_evaluation_end(self, trainer: Any, pl_module: Any) -> None:
        self._loop.enter("other")

    @harmless
    def on_test_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        self._log(trainer, pl_module)

    on_test_start = on_predict_start = _on_evaluation_start
    on_validation_batch_start = on_test_batch_start = on_predict_batch_start = _on_evaluation_batch_start
    on_validation_batch_end = on_test_batch_end = on_predict_batch_end = _on_evaluation_batch_end
    on_test_end = on_predict_end = _on_evaluation_end

    # -- checkpoints ----------------------------------------------------------------------------------------------

    @property
    def state_key(self) -> str:
        """Two of a kind may not share a Trainer: an automatic one goes by another name."""
        return "FootprintMonitor (automatic)" if self._is_automatic else "FootprintMonitor"

    @harmless
    def state_dict(self) -> dict[str, Any]:
        # Asked for when a save begins, before optimizers are; not for one of weights alone, which goes unnoticed.
        if self._trains:  # a tuner's save, ahead of its trials, is none of training
            self._loop.begin_save()
            if not any(isinstance(callback, AfterSave) for callback in self._trainer.callbacks):
                self._trainer.callbacks.append(self._after_save(self))
        return self._fitted.state_dict() if self._fitted is not None and self._fitted.id else {}

    @harmless
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        # A checkpoint is also loaded to validate, test or predict with; those continue no training.
        if self._kind == "fit" and self._loop.run is not None:
            self._loop.run.resume(state_dict)

    @harmless
    def saved(self) -> None:
        """The hooks in which a checkpoint may have been written have all been called."""
        self._loop.end_save()

    # -- logging and budgets --------------------------------------------------------------------------------------

    def _lap(self) -> dict[str, float]:
        """What was added, on all ranks, since the last lap. A collective, even where this rank has nothing to add."""
        lap: Mapping[str, float] = {}
        try:
            lap = self._loop.lap()
        except Exception as error:
            self.give_up(error)
        self._has_news = False
        figures = summed(lap, self._trainer)
        if self._loop.run is not None and self._trainer.world_size > 1:
            self._loop.run.book(figures)
        return figures

    def _log(self, trainer: Any, pl_module: Any) -> None:
        """Logs the end of an epoch, of training or of an evaluation."""
        if not self._kind:
            return
        figures = self._lap()
        # Lightning asks for values that are alike on all ranks to be synchronised all the same.
        show(trainer, pl_module, figures, on_step=False, on_epoch=True, sync_dist=trainer.world_size > 1)
        self._look_at_budget(trainer)

    def _log_step(self, trainer: Any, pl_module: Any) -> None:
        """Logs within an epoch: past Lightning, which would repeat a step's value at later steps to the loggers."""
        if not self._kind:
            return
        figures = self._lap()
        show(trainer, pl_module, figures, on_step=True, on_epoch=False, logger=False)
        tell_loggers(trainer, figures, max(0, trainer.global_step - 1))  # the step that was just made
        self._look_at_budget(trainer)

    def _look_at_budget(self, trainer: Any) -> None:
        """Stops, or warns, on all ranks as rank 0 decides."""
        if not self._budget or self._kind != "fit":
            return
        run = self._loop.run
        reached = trainer.strategy.broadcast(self._budget.reached(run.spent()) if run is not None else None)
        if reached is None:
            return
        if trainer.is_global_zero and not self._has_told_budget:
            then = "training stops" if self._on_budget == "stop" else "training goes on"
            log.warning("joulegram: %s; %s", reached, then)
        self._has_told_budget = True
        if self._on_budget == "stop":
            trainer.should_stop = True


class AfterSave:
    """Called after all other callbacks, those that write checkpoints among them; leaves when it has been."""

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *_: Any) -> None:
        self._monitor.saved()
        trainer.callbacks.remove(self)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        self._monitor.saved()
        trainer.callbacks.remove(self)
