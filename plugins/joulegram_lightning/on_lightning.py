"""The monitor as a callback of the package `lightning`."""

from lightning.pytorch.callbacks import Callback

from joulegram_lightning.monitor import AfterSave, Monitor


class _AfterSave(AfterSave, Callback):
    """Knows when a save is over."""


class FootprintMonitor(Monitor, Callback):
    """Measures what each epoch, and each phase of the loop, costs in energy and carbon; see `Monitor`."""

    _after_save = _AfterSave
