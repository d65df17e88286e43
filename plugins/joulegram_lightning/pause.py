"""Pausing a training while the grid is dirty, and going on when it is cleaner.

Rank 0 looks and decides; what it decides is broadcast every few seconds, so that all ranks pause and go on together
and no collective waits for longer than that. The run stays open: what the machine draws meanwhile is the run's, as its
phase and its spans ``pause``.
"""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import isfinite
from os import PathLike
from typing import Any, TypeVar

import joulegram

log = logging.getLogger("joulegram")
T = TypeVar("T")

POLL_S = 5.0
"""How often a pause looks whether it is over."""
FIRST_S = 5.0
"""How long the start of a training waits for a first intensity, or a plan, which are looked up elsewhere meanwhile."""
GLANCE_S = 0.1
IDLE_SHARE = 0.2
"""Power of a paused training over that of one at work, as plans take it."""


class Pause:
    """Pauses a training at its start, and between epochs, while carbon intensity is high.

    It needs to know the hour: where only a yearly mean is known (no zone, no feed) nothing is paused, which is said
    once. Listed before a `FootprintMonitor`, a pause lies between two epochs; after it, in the epoch that follows.

    Example::

        Trainer(callbacks=[CarbonAwarePause(threshold=250), FootprintMonitor(zone="GB")])
        Trainer(callbacks=[CarbonAwarePause(windows=(6 * 3600, 24 * 3600)), FootprintMonitor(zone="GB")])

    Args:
        threshold: pauses while intensity is above this (gCO2e/kWh).
        windows: pauses outside of the best times for a training that takes the first of these (s) and has to be
            finished within the second (s), as they are expected when it starts. Once they are over it goes on.
        max_pause_s: longest time (s) that all pauses of one training may take together.
        checkpoint: where to save a checkpoint at an epoch's end that a pause is to follow; nowhere by default.
        intensity: asked for the intensity of now, or None; by default the run that is live.
        plan: asked for the best times; by default `joulegram.when_to_run` for the run's zone.
        now_s: wall clock (s since 1970).
        sleep: lets seconds pass.

    Raises:
        ValueError: there is neither a threshold nor windows, or a number makes no sense.
    """

    def __init__(
        self,
        threshold: float | None = None,
        *,
        windows: tuple[float, float] | None = None,
        max_pause_s: float = 12 * 3600.0,
        checkpoint: str | PathLike[str] | None = None,
        intensity: Callable[[], joulegram.IntensityPoint | None] | None = None,
        plan: Callable[[float, float], joulegram.Plan] | None = None,
        now_s: Callable[[], float] = time.time,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        if threshold is None and windows is None:
            raise ValueError("a threshold (gCO2e/kWh), or windows, are needed")
        if windows is not None:
            duration_s, within_s = windows
            if not _number("windows", duration_s) <= _number("windows", within_s):
                raise ValueError(f"windows = {windows!r}: a duration, and a time that is no shorter, are needed")
        self._threshold = None if threshold is None else _number("threshold", threshold)
        self._windows, self._most_s = windows, _number("max_pause_s", max_pause_s)
        self._checkpoint = checkpoint
        self._intensity = intensity or _of_the_run
        self._ask_plan = plan
        self._now_s, self._sleep = now_s, sleep
        self._clear()

    def __getstate__(self) -> dict[str, Any]:
        """As it was made: plans stay in their process when a Trainer is copied, or sent to ranks that it spawns."""
        blank = type(self).__new__(type(self))
        blank._clear()
        return {**vars(self), **vars(blank)}

    @property
    def paused_s(self) -> float:
        """How long (s) this training has been paused so far, as rank 0 counts."""
        return self._paused_s

    def _clear(self) -> None:
        self._paused_s = 0.0
        self._stretches: tuple[tuple[float, float], ...] | None = None
        self._told: set[str] = set()

    # -- hooks ----------------------------------------------------------------------------------------------------

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        self._clear()
        if trainer.is_global_zero:
            self._harmlessly(self._look_ahead)
        self._pause(trainer)

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        self._pause(trainer)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        # A checkpoint can be continued from an epoch's end, not from the next one's beginning.
        if self._checkpoint is not None and self._reason(trainer) is not None:
            self._harmlessly(trainer.save_checkpoint, self._checkpoint)

    # -- pausing --------------------------------------------------------------------------------------------------

    def _pause(self, trainer: Any) -> None:
        """Returns when it is time to go on, on all ranks."""
        why = self._reason(trainer)
        if why is None:
            return
        self._tell(trainer, f"training pauses: {why}")
        begun_s, before_s = self._now_s(), self._paused_s
        run = joulegram.current_run()
        phase = run.current_phase if run is not None else ""
        with _as_a_pause(run, phase):
            while why is not None:
                self._sleep(POLL_S)
                self._paused_s = before_s + self._now_s() - begun_s
                why = self._reason(trainer)
        self._tell(trainer, f"training goes on after a pause of {self._now_s() - begun_s:,.0f} s")

    def _reason(self, trainer: Any) -> str | None:
        """Why to pause now, or None, as rank 0 sees it. A collective: every rank calls it as often."""
        why = self._harmlessly(self._why, trainer) if trainer.is_global_zero else None
        if trainer.world_size > 1:
            why = trainer.strategy.broadcast(why)
        return why if why is None else str(why)

    def _why(self, trainer: Any) -> str | None:
        if trainer.should_stop or getattr(trainer, "received_sigterm", False):
            return None
        why = self._above_threshold() or self._outside_windows()
        if why is not None and self._paused_s >= self._most_s:
            self._tell_once(f"training has been paused for {self._most_s:,.0f} s, and pauses no more")
            return None
        return why

    def _above_threshold(self) -> str | None:
        if self._threshold is None:
            return None
        point = self._hour()
        if point is None:
            self._tell_once("no intensity of the hour is known, so nothing is paused (a zone with a feed is needed)")
            return None
        if point.g_per_kwh <= self._threshold:
            return None
        return f"{point.g_per_kwh:.0f} gCO2e/kWh in {point.zone} is above {self._threshold:g}"

    def _outside_windows(self) -> str | None:
        if not self._stretches:
            return None
        now_s = self._now_s()
        is_over = now_s >= self._stretches[-1][1]
        if is_over or any(start <= now_s < end for start, end in self._stretches):
            return None
        start_s = next(start for start, _ in self._stretches if start > now_s)
        return f"a better time begins in {start_s - now_s:,.0f} s"

    # -- looking ahead --------------------------------------------------------------------------------------------

    def _look_ahead(self) -> None:
        """Waits a moment for what other threads look up: a plan, and a first intensity. Either may come later."""
        if self._windows is not None:
            ask = functools.partial(self._ask_plan or _planner(), *self._windows)
            thread = threading.Thread(
                target=self._harmlessly, args=(self._plan, ask), name="joulegram-plan", daemon=True
            )
            thread.start()
            thread.join(FIRST_S)
        until_s = self._now_s() + FIRST_S
        while self._threshold is not None and self._hour() is None and self._now_s() < until_s:
            self._sleep(GLANCE_S)

    def _plan(self, ask: Callable[[], joulegram.Plan]) -> None:
        plan = ask()
        self._stretches = (plan.paused or plan.best).stretches

    def _hour(self) -> joulegram.IntensityPoint | None:
        """The intensity of this hour. A yearly mean is none: it will be the same after any pause."""
        point = self._intensity()
        return point if point is not None and point.start_s is not None else None

    # -- never in the way -----------------------------------------------------------------------------------------

    def _harmlessly(self, do: Callable[..., T], *given: Any) -> T | None:
        """Calls something whose failure is said and no reason for training to end."""
        try:
            return do(*given)
        except Exception as error:
            self._tell_once(f"{error}" if isinstance(error, ValueError) else f"{type(error).__name__}: {error}")
            return None

    def _tell_once(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            log.warning("joulegram: CarbonAwarePause: %s", text)

    @staticmethod
    def _tell(trainer: Any, text: str) -> None:
        if trainer.is_global_zero:
            log.warning("joulegram: %s", text)


@contextmanager
def _as_a_pause(run: joulegram.Run | None, phase: str) -> Iterator[None]:
    """What is drawn meanwhile is the run's, as a pause; afterwards its loop is in the phase that it was in."""
    if run is None:
        yield
        return
    span = run.span("pause").open()
    run.phase("pause")
    try:
        yield
    finally:
        run.phase(phase)
        span.close()


def _of_the_run() -> joulegram.IntensityPoint | None:
    run = joulegram.current_run()
    return run.intensity() if run is not None else None


def _planner() -> Callable[[float, float], joulegram.Plan]:
    """Plans where the run is. Called in the loop's thread: an import elsewhere could be cut short by a fork."""
    run, pauses = joulegram.current_run(), joulegram.Pauses(idle_share=IDLE_SHARE)
    return functools.partial(joulegram.when_to_run, zone=run.zone if run is not None else None, pauses=pauses)


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not (isfinite(value) and value > 0):
        raise ValueError(f"{name} = {value!r}: a positive number is needed")
    return float(value)
