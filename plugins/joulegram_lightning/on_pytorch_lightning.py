"""The monitor, and the pause, as callbacks of the package `pytorch_lightning`."""

from pytorch_lightning.callbacks import Callback

from joulegram_lightning.monitor import AfterSave, Monitor
from joulegram_lightning.pause import Pause


class _AfterSave(AfterSave, Callback):
    """Knows when a save is over."""


class FootprintMonitor(Monitor, Callback):
    """Measures what each epoch, and each phase of the loop, costs in energy and carbon; see `Monitor`."""

    _after_save = _AfterSave


class CarbonAwarePause(Pause, Callback):
    """Pauses a training at its start, and between epochs, while carbon intensity is high; see `Pause`."""
