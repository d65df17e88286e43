"""joulegram for Keras 3: one callback, and every epoch has its energy and carbon, on torch, JAX and TensorFlow.

Example::

    from joulegram_keras import FootprintMonitor

    model.fit(x, y, callbacks=[FootprintMonitor()])

Keras chooses its backend when it is imported; so it is imported here only when the monitor is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from joulegram_keras.monitor import FootprintMonitor as FootprintMonitor

__all__ = ["FootprintMonitor"]


def __getattr__(name: str) -> Any:
    if name != "FootprintMonitor":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from joulegram_keras.monitor import FootprintMonitor

    return FootprintMonitor
