"""When, within an epoch, the budget is looked at: after so many steps, or so much time."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Literal

Every = Literal["epoch"] | int | timedelta


def cadence(every: Every, now_s: Callable[[], float] = time.monotonic) -> Callable[[], bool] | None:
    """Asked after each execution of steps: whether it is time; None for epochs, which need no asking.

    Args:
        every: ``"epoch"``, a number of executions, or a time.
        now_s: the clock (s).

    Raises:
        TypeError: `every` is neither ``"epoch"``, a number nor a `timedelta`.
        ValueError: it is not positive.
    """
    if every == "epoch":
        return None
    if isinstance(every, bool) or not isinstance(every, int | timedelta):
        raise TypeError(f'every = {every!r}: "epoch", a number of steps or a timedelta is needed')
    if (every if isinstance(every, int) else every.total_seconds()) <= 0:
        raise ValueError(f"every = {every!r}: more than none is needed")
    return _after_steps(every) if isinstance(every, int) else _after_s(every.total_seconds(), now_s)


def _after_steps(every: int) -> Callable[[], bool]:
    left = every

    def due() -> bool:
        nonlocal left
        left = left - 1 or every
        return left == every

    return due


def _after_s(every_s: float, now_s: Callable[[], float]) -> Callable[[], bool]:
    since_s = now_s()

    def due() -> bool:
        nonlocal since_s
        if now_s() - since_s < every_s:
            return False
        since_s = now_s()
        return True

    return due
