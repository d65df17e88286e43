"""The loop as joulegram sees it: one run, its open spans, and the phase that it is in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import signature
from typing import Any, Protocol

import joulegram

FIRST_FIGURE_S = 0.25
"""An epoch may be over before the first sample and the price are there; who monitors a figure expects it even so."""


class Event(Protocol):
    """A mark in an accelerator's queue of work."""

    def query(self) -> bool:
        """Whether the work before it is done."""


class Fence:
    """An edge on an accelerator, which does what the loop asks of it some time later. It asks, and never waits.

    Args:
        mark: puts an event into the accelerator's queue; None where there is no such queue.
    """

    def __init__(self, mark: Callable[[], Event | None]) -> None:
        self._mark = mark
        self._event: Event | None = None
        self._then: Callable[[], object] | None = None

    def when_reached(self, then: Callable[[], object]) -> None:
        """Calls `then` when the work asked for so far is done: now, at a later `poll`, or at the latest `release`."""
        self.release()
        self._event, self._then = self._mark(), then
        if self._event is None or self._event.query():
            self.release()

    def poll(self) -> None:
        """Asks once."""
        if self._event is not None and self._event.query():
            self.release()

    def release(self) -> None:
        """Expects it no longer."""
        then, self._event, self._then = self._then, None, None
        if then is not None:
            then()


def no_mark() -> Event | None:
    """For a device without a queue. A function by name: a Trainer that spawns its ranks pickles its callbacks."""
    return None


class Loop:
    """A run with its spans by kind. Each phase lasts until the next is entered.

    Args:
        run: None to do nothing.
        fence: how the end of an epoch's work is known.
    """

    def __init__(self, run: joulegram.Run | None = None, fence: Fence | None = None) -> None:
        self.run = run
        self.phase = "other"
        self._fence = fence or Fence(no_mark)
        self._spans: dict[str, joulegram.Span] = {}
        self._phase_before_save = "other"
        self._steps: dict[str, Any] = {}
        self._inputs: dict[str, int] = {}
        """How many inputs the steps of each loop take."""
        self._step: Any = None

    @property
    def is_in_epoch(self) -> bool:
        """Whether an epoch is open."""
        return "epoch" in self._spans

    def enter(self, phase: str) -> None:
        """Begins a phase."""
        if self.run is not None:
            self.run.phase(phase)
            self.phase = phase

    def open(self, kind: str, index: int | None = None) -> None:
        """Opens a span."""
        if self.run is not None:
            self._spans[kind] = self.run.span(kind, index=index).open()

    def close(self, kind: str) -> None:
        """Closes a span, if it is open."""
        span = self._spans.pop(kind, None)
        if span is not None:
            span.close()

    def open_epoch(self, index: int) -> None:
        """Opens an epoch; the one before has ended by now."""
        self._fence.release()
        self.open("epoch", index)

    def close_epoch(self) -> None:
        """Closes the epoch as soon as the accelerator is through with it."""
        span = self._spans.pop("epoch", None)
        if span is not None:
            self._fence.when_reached(span.close)

    def begin_loop(self, stage: str, step: Callable[..., Any], within: Callable[[], Any]) -> None:
        """A loop over batches begins, again or for the first time: its steps, in this context, are counted."""
        if self.run is not None:
            if stage not in self._steps:
                self._steps[stage] = self.run.steps(stage, step, within)
                self._inputs[stage] = len(signature(step).parameters)
            self._steps[stage].restart()

    def begin_step(self, stage: str, *inputs: Any) -> None:
        """A batch is about to be used; one before it that was skipped will not be.

        Args:
            stage: the loop that it is of.
            *inputs: the batch, its index, that of its loader: as many of them as a step takes are what it is given.
        """
        if self._step is not None:
            self._step.cancel()
        step = self._step = self._steps.get(stage)
        if step is not None:
            step.begin(*inputs[: self._inputs[stage]])

    def end_step(self) -> None:
        """It has been."""
        if self._step is not None:
            self._step.end()
            self._step = None

    def cancel_step(self) -> None:
        """It will not be used to its end."""
        if self._step is not None:
            self._step.cancel()
            self._step = None

    def begin_save(self) -> None:
        """A checkpoint is about to be written."""
        self._fence.poll()
        if self.phase != "checkpoint":
            self._phase_before_save = self.phase
            self.enter("checkpoint")

    def end_save(self) -> None:
        """It has been; harmless if there was none."""
        if self.phase == "checkpoint":
            self.enter(self._phase_before_save)

    def lap(self) -> Mapping[str, float]:
        """What was added since the last lap; the first waits a moment for there to be figures at all."""
        return self.run.lap(FIRST_FIGURE_S) if self.run is not None else {}

    def end(self, status: Any, error: BaseException | str | None = None) -> None:
        """Ends the run with all that is open, the innermost first; again is harmless."""
        self.cancel_step()
        self._fence.release()
        for kind in reversed(list(self._spans)):
            self.close(kind)
        if self.run is not None:
            self.enter("other")
            self.run.close(status, error)
