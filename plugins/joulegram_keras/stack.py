"""Which loop calls a callback, and whether it goes on. Keras tells a callback neither; the stack does.

An exception ends a `fit` without a word to its callbacks. But each `fit` makes a CallbackList of its own and calls its
callbacks through that; a `fit` that goes on has it on the stack of some thread.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any

_LOOPS = frozenset({"fit", "evaluate", "predict"})


def caller_of(callback: Any) -> Any:
    """The CallbackList that calls a hook of this callback now; None if it is called in another way."""
    for frame in _up(sys._getframe(1)):
        names = frame.f_code.co_varnames
        caller = frame.f_locals.get("self") if names and names[0] == "self" else None
        callbacks = getattr(caller, "callbacks", None)
        if isinstance(callbacks, list) and any(one is callback for one in callbacks):
            return caller
    return None


def is_running(callbacks: Any) -> bool:
    """Whether some thread is in a `fit`, `evaluate` or `predict` with this CallbackList."""
    return any(
        frame.f_code.co_name in _LOOPS and frame.f_locals.get("callbacks") is callbacks
        for innermost in sys._current_frames().values()
        for frame in _up(innermost)
    )


def _up(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back
