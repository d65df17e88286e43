"""pyRAPL as a choice, for whoever has to agree with figures that were taken with it; `rapl` is the better meter.

Its readings are used and its `Measurement` is not, so that wrap-around, which it does not know, is repaired as for any
other counter. Its other limits stay: it finds nothing on machines of several dies per package or with a CPU offline,
stops looking at the first zone number that is missing, takes one failed reading for the failure of all, and never
closes a file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from math import nan
from typing import Any

from joulegram.config import Settings
from joulegram.extras import MissingExtra
from joulegram.meters import Absent, Denied, Meter, Unneeded
from joulegram.meters.rapl import ACCURACY, CEILING_W, POWERCAP, QUANTUM_J, REFRESH_S, UJ_PER_J, Zone, zones
from joulegram.records import Channel

KINDS = ("cpu", "dram")
"""Of each socket pyRAPL shows two values in turn, its package's and its DRAM's; −1 for what a machine does not have."""


class PyRaplMeter(Meter):
    """One channel per socket, and per socket's DRAM, under the names that `RaplMeter` gives them.

    Args:
        sensor: a ``pyRAPL.Sensor``.
        found: the same zones as powercap shows them, which know where counters wrap; pyRAPL does not tell.
    """

    def __init__(self, sensor: Any, found: Sequence[Zone] = ()) -> None:
        self._sensor = sensor
        values = list(sensor.energy())
        self._places = [place for place, value in enumerate(values) if value >= 0]
        known = {f"{zone.kind}:{zone.device}": zone for zone in reversed(found)}
        self.channels = [_channel(place, known) for place in self._places]

    @classmethod
    def open(cls, settings: Settings) -> PyRaplMeter:
        """The sensor of pyRAPL, where ``meters`` names it.

        Raises:
            Absent: it is not named, or pyRAPL finds nothing.
            Denied: root alone may read the counters.
            MissingExtra: pyRAPL is not installed.
        """
        if "pyrapl" not in (settings.meters or ()):
            raise Unneeded("used only where it is named in meters; the meter rapl counts the same")
        with _root_logger_untouched():
            try:
                pyrapl: Any = import_module("pyRAPL")
            except ImportError:
                raise MissingExtra('the meter pyrapl needs pyRAPL: pip install "joulegram[pyrapl]"') from None
        try:
            return cls(pyrapl.Sensor(), zones(POWERCAP))
        except PermissionError as error:
            raise Denied(f"pyRAPL may not read {error.filename}; the meter rapl names the remedy") from None
        except (OSError, ValueError, pyrapl.PyRAPLException) as error:
            raise Absent(f"pyRAPL finds no counters that it knows: {error!r}") from None

    def read(self) -> Iterable[float]:
        """What each counter shows (J); NaN for all of them where one could not be read."""
        try:
            values = self._sensor.energy()
        except (OSError, ValueError):
            return [nan] * len(self._places)
        return [values[place] / UJ_PER_J for place in self._places]


def _channel(place: int, known: dict[str, Zone]) -> Channel:
    socket, which = divmod(place, len(KINDS))
    name = f"{KINDS[which]}:package-{socket}"
    zone = known.get(name)
    return Channel(
        id=name,
        kind=KINDS[which],
        method="measured",
        how=f"RAPL counter through pyRAPL; {ACCURACY}",
        share="cpu",
        max_w=zone.max_w if zone else CEILING_W,
        wraps_at_j=zone.range_j if zone else None,
        resolution_s=REFRESH_S,
        lag_s=REFRESH_S,
        quantum_j=QUANTUM_J,
    )


@contextmanager
def _root_logger_untouched() -> Iterator[None]:
    """Importing pyRAPL warns of other packages through the root logger, which sets that up for the whole program."""
    import logging

    root, silence = logging.getLogger(), logging.NullHandler()
    root.addHandler(silence)
    try:
        yield
    finally:
        root.removeHandler(silence)
