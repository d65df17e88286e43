"""joulegram for PyTorch Lightning: one callback, and every epoch and phase has its energy and carbon.

Example::

    from joulegram_lightning import FootprintMonitor

    Trainer(callbacks=[FootprintMonitor()])

A second one, `CarbonAwarePause`, pauses a training while the grid is dirty.

Lightning is published as `lightning` and as `pytorch_lightning`, two packages whose classes do not know each other.
The callbacks are built on the one that is imported already, on `lightning` where both or none are. A Trainer of
either package takes a callback of the other in a list.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from joulegram_lightning.on_lightning import CarbonAwarePause as CarbonAwarePause
    from joulegram_lightning.on_lightning import FootprintMonitor as FootprintMonitor

__all__ = ["CarbonAwarePause", "FootprintMonitor"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if "lightning.pytorch" not in sys.modules and "pytorch_lightning" in sys.modules:
        from joulegram_lightning import on_pytorch_lightning

        return getattr(on_pytorch_lightning, name)
    try:
        from joulegram_lightning import on_lightning
    except ModuleNotFoundError as absent:
        if absent.name not in {"lightning", "lightning.pytorch"}:
            raise
        from joulegram_lightning import on_pytorch_lightning

        return getattr(on_pytorch_lightning, name)
    return getattr(on_lightning, name)
