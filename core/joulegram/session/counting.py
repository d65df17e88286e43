"""FLOPs of a loop's steps: counted when a kind of step first appears, looked up and added from then on.

Nothing here may break the loop: a step that cannot be counted goes uncounted, with the reason.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Hashable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import asdict
from types import FunctionType
from typing import Any

from joulegram import registry
from joulegram.flops import Count, FlopCounter, Tally, Uncountable
from joulegram.flops.steps import MOST_BUCKETS, MOST_EXACT, Signature, bucket, in_words, scale, signature
from joulegram.host.forking import importing
from joulegram.recorder.recorder import Recorder
from joulegram.records import FLOPS_IN, FLOPS_LESS, FLOPS_MORE, STEPS_OPAQUE, STEPS_UNCOUNTED, StepCount

Amounts = Mapping[str, float]
Key = tuple[Any, ...]
"""What tells steps apart: the context, the phase that they begin in, the signature of their inputs."""

FRAMEWORKS = {"torch": "torch", "jax": "jax", "jaxlib": "jax", "tensorflow": "tensorflow"}
"""Which counter counts the steps of which package."""
_LATER = (inspect.isgeneratorfunction, inspect.iscoroutinefunction, inspect.isasyncgenfunction)
NOT_COUNTED: Amounts = {STEPS_UNCOUNTED: 1.0}
UNKNOWN = object()
"""The context of steps that nobody can count."""
LOOK_AGAIN_S = 1.0
MOST_KNOWN = 4096
"""Signatures whose amounts are kept; of those that were scaled from others there may be any number."""


class StepCounter:
    """Adds the FLOPs of every step between `begin` and `end` to a run; made by `Run.steps`. One loop's thread uses it.

    Args:
        recorder: where they are added.
        stage: what the steps belong to.
        step: what each of them calls; it tells which modules take part.
        way: name of the counter; ``auto`` for that of the step's framework.
        within: makes the context that the step runs in (autocast), for one that is counted without being run.
    """

    def __init__(
        self,
        recorder: Recorder,
        stage: str,
        step: Callable[..., Any],
        way: str,
        within: Callable[[], AbstractContextManager[Any]] = nullcontext,
    ) -> None:
        self._recorder, self._stage, self._step, self._way = recorder, stage, step, way
        self._within = within
        self._counter: FlopCounter | None = None
        self._context: Hashable = None
        self._obstacle: str | None = None
        self._known: dict[Key, Amounts] = {}
        self._counted: dict[Key, tuple[Signature, Amounts]] = {}
        self._told: set[str] = set()
        self._amounts: Amounts | None = None
        self._live: _InPlace | None = None
        self._looked_s = 0.0

    def calls(self, step: Callable[..., Any]) -> None:
        """What the next step calls: one that was made anew, lest the one before keep alive what it closes over."""
        self._step = step

    def restart(self) -> None:
        """What decides, besides its inputs, what a step computes may have changed: training or not, frozen layers."""
        self._context = None

    def restart_now_and_then(self) -> None:
        """The same where nobody knows when a loop begins: to look at all modules takes milliseconds."""
        if time.monotonic() - self._looked_s > LOOK_AGAIN_S:
            self.restart()

    def begin(self, *inputs: Any, **named: Any) -> None:
        """A step begins: it is looked up, or counted if it is the first of its kind.

        Args:
            *inputs: what the step is called with.
            **named: the same, by name.
        """
        try:
            if self._live is not None:  # the step before did not come to its end
                self.cancel()
            if self._context is None:
                self._context = UNKNOWN  # should the look fail, it is not repeated for every step
                self._look(inputs, named)
            if self._context is UNKNOWN:
                self._amounts = NOT_COUNTED
                return
            key = (self._context, self._recorder.current_phase, signature(inputs), signature(named) if named else None)
            self._amounts = self._known.get(key)
            if self._amounts is None:
                self._amounts = self._first(key, inputs, named)
        except Exception as error:
            self._amounts = self._give_up(_in_words(error), signature(()))

    def end(self) -> None:
        """The step is over: its FLOPs are added."""
        try:
            if self._live is not None:
                self._amounts = self._finish(self._live)
            if self._amounts is not None:
                self._recorder.tally(self._amounts)
        except Exception as error:
            self._recorder.tally(self._give_up(_in_words(error), signature(())))
        self._amounts = None

    def cancel(self) -> None:
        """The step did not come to its end: nothing is added."""
        live, self._live, self._amounts = self._live, None, None
        self._recorder.on_phase = None
        if live is not None:
            with suppress(Exception):  # the caller may be on its way out with an exception of its own
                live.close()

    # -- the first step of a kind ---------------------------------------------------------------------------------

    def _look(self, inputs: Iterable[Any], named: Mapping[str, Any]) -> None:
        if any(is_later(self._step) for is_later in _LATER):
            raise Uncountable("a generator or coroutine function computes after it has returned")
        if self._counter is None:
            with importing():
                way = _framework(self._step, [*inputs, *named.values()]) if self._way == "auto" else self._way
                self._counter = registry.load(registry.FLOPS, way)()
            if self._counter.caution and self._way != "auto":
                self._recorder.note("flops", f"flops = {way}: {self._counter.caution}")
        self._looked_s = time.monotonic()
        self._context = (self._counter.context(self._step),)
        self._obstacle = self._counter.obstacle(self._step)

    def _first(self, key: Key, inputs: tuple[Any, ...], named: Mapping[str, Any]) -> Amounts | None:
        """The amounts of a kind of step that is not known yet; None if they are known when this one is over."""
        *kind, inside, by_name = key
        slot, shapes = key, (inside, by_name)
        if len(self._counted) >= MOST_EXACT:
            slot = (*kind, bucket(shapes))
            if slot in self._counted:
                return self._keep(key, _scaled(self._counted[slot][1], *scale(self._counted[slot][0], shapes)))
            if len(self._counted) >= MOST_EXACT + MOST_BUCKETS:
                return self._keep(key, self._give_up(f"more than {MOST_EXACT + MOST_BUCKETS} sizes of inputs", shapes))
        assert self._counter is not None
        if self._obstacle is None:
            self._live = _InPlace(self._counter.counting(self._step), self._recorder.current_phase, key, slot, shapes)
            self._recorder.on_phase = self._live.enter
            return None
        started_s = time.monotonic()
        try:
            with self._within():
                count = self._counter.count(self._step, *inputs, **named)
        except Exception as error:  # whatever it is, it is not tried again for every step
            why = f"{_in_words(error)} ({self._obstacle})"
            return self._keep(key, self._give_up(why, shapes, time.monotonic() - started_s))
        parts = {self._recorder.current_phase: count.flops - count.backward}
        if count.backward:
            parts["backward"] = parts.get("backward", 0) + count.backward
        return self._take(key, slot, shapes, count, parts, time.monotonic() - started_s)

    def _finish(self, live: _InPlace) -> Amounts:
        self._live = None
        self._recorder.on_phase = None
        try:
            count = live.close()
        except Uncountable as reason:
            return self._keep(live.key, self._give_up(str(reason), live.shapes))
        return self._take(live.key, live.slot, live.shapes, count, live.flops, count.overhead_s)

    def _take(
        self,
        key: Key,
        slot: Key,
        shapes: Signature,
        count: Count,
        parts: Mapping[str, int],
        overhead_s: float,
    ) -> Amounts:
        """Keeps what was counted, and says so in the run."""
        amounts = {f"{FLOPS_IN}{phase}": float(flops) for phase, flops in parts.items() if flops}
        amounts = amounts or {f"{FLOPS_IN}{self._recorder.current_phase}": 0.0}
        if count.unknown:
            amounts[STEPS_OPAQUE] = 1.0
        self._counted[slot] = (shapes, amounts)
        self._say(shapes, count.how, overhead_s, count)
        return self._keep(key, amounts)

    def _keep(self, key: Key, amounts: Amounts) -> Amounts:
        if len(self._known) >= MOST_KNOWN:
            self._known.clear()
        self._known[key] = amounts
        return amounts

    def _give_up(self, why: str, shapes: Signature, overhead_s: float = 0.0) -> Amounts:
        if why not in self._told:
            self._told.add(why)
            self._say(shapes, why, overhead_s)
            self._recorder.note("flops", f"FLOPs of {self._stage} steps are missing: {why}")
        return NOT_COUNTED

    def _say(self, shapes: Signature, how: str, overhead_s: float, count: Count | None = None) -> None:
        self._recorder.say(
            StepCount(
                stage=self._stage,
                inputs=in_words(shapes),
                flops=None if count is None else count.flops,
                how=how,
                unknown={} if count is None else count.unknown,
                dtype=None if count is None else count.dtype,
                device=None if count is None else count.device,
                devices=1 if count is None else count.devices,
                end_ns=self._recorder.clock.monotonic_ns(),
                overhead_s=overhead_s,
                layers=[] if count is None else [asdict(layer) for layer in count.layers],
            )
        )


class NoStepCounter(StepCounter):
    """Counts nothing: there is no live run, or nobody wants FLOPs."""

    def __init__(self) -> None:
        """Needs nothing."""

    def calls(self, step: Callable[..., Any]) -> None:
        """Does nothing."""

    def restart(self) -> None:
        """Does nothing."""

    def restart_now_and_then(self) -> None:
        """Does nothing."""

    def begin(self, *inputs: Any, **named: Any) -> None:
        """Does nothing."""

    def end(self) -> None:
        """Does nothing."""

    def cancel(self) -> None:
        """Does nothing."""


class _InPlace:
    """A step that is being counted while it runs, and what of it falls into which phase."""

    def __init__(
        self, counting: AbstractContextManager[Tally], phase: str, key: Key, slot: Key, shapes: Signature
    ) -> None:
        self.key, self.slot, self.shapes = key, slot, shapes
        self.flops: dict[str, int] = {}
        self._phase, self._seen = phase, 0
        self._counting = counting
        self._tally = counting.__enter__()

    def enter(self, phase: str) -> None:
        """From here on what is counted falls into this phase."""
        so_far = self._tally.flops
        self.flops[self._phase] = self.flops.get(self._phase, 0) + so_far - self._seen
        self._phase, self._seen = phase, so_far

    def close(self) -> Count:
        """What was counted in all."""
        self._counting.__exit__(None, None, None)
        self.enter(self._phase)
        return self._tally.count()


def _scaled(amounts: Amounts, best: float, least: float, most: float) -> Amounts:
    scaled = {name: amount * best if name.startswith(FLOPS_IN) else amount for name, amount in amounts.items()}
    flops = sum(amount for name, amount in amounts.items() if name.startswith(FLOPS_IN))
    return {**scaled, FLOPS_LESS: flops * (best - least), FLOPS_MORE: flops * (most - best)}


def kind_of(step: Callable[..., Any]) -> Hashable:
    """What tells callables apart.

    Functions that are made anew for each call, as a lambda in a loop, are of one kind: by their code, by what they
    close over to call, and by the shapes and types of all else that they close over.
    """
    try:
        if isinstance(step, FunctionType) and step.__closure__:
            held = [cell.cell_contents for cell in step.__closure__]
            called = tuple(id(value) for value in held if callable(value))
            kind: Hashable = step.__code__, called, signature([value for value in held if not callable(value)])
        else:
            kind = step.__code__ if isinstance(step, FunctionType) else step
        hash(kind)
    except Exception:  # no hash, an empty cell, or something odd that is closed over
        return id(step)
    return kind


def _in_words(error: Exception) -> str:
    return str(error) if isinstance(error, Uncountable) else f"{type(error).__name__}: {error}"


def _framework(step: Callable[..., Any], inputs: Iterable[Any]) -> str:
    """Name of the counter for a step's framework: of what it is bound to, of its own package, or of its inputs.

    Raises:
        Uncountable: there is none.
    """
    for value in (getattr(step, "__self__", None), step, *_leaves(inputs)):
        for kind in type(value).__mro__:
            way = FRAMEWORKS.get(kind.__module__.partition(".")[0])
            if way is not None:
                return way
    raise Uncountable("neither what it calls nor its inputs are of PyTorch, JAX or TensorFlow")


def _leaves(values: Iterable[Any]) -> Iterable[Any]:
    for value in values:
        if isinstance(value, Mapping):
            yield from _leaves(value.values())
        elif isinstance(value, list | tuple):
            yield from _leaves(value)
        else:
            yield value
