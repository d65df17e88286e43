"""pyRAPL as a choice: its readings, on virtual hardware, and what is repaired above them.

The stand-in has what the meter uses of pyRAPL 0.2.3.1, and no more: a module ``pyRAPL`` with

- ``Sensor()``, which may raise PermissionError, FileNotFoundError or ``PyRAPLCantRecordEnergyConsumption``,
- ``Sensor.energy()``: a list of µJ, ``[package 0, dram 0, package 1, dram 1, …]``, −1 for what is not there; it reads
  its files each time, so that OSError and ValueError may come out of it,
- ``PyRAPLException``, which its own exceptions are.
"""

from __future__ import annotations

import builtins
import logging
import os
import sys
from collections.abc import Iterable
from math import isnan
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from worlds import Kept, OwnedClock, recorder

from joulegram.config import Settings
from joulegram.extras import MissingExtra
from joulegram.meters import Absent, Denied, pyrapl
from joulegram.meters.pyrapl import PyRaplMeter
from joulegram.meters.rapl import CEILING_W, zones
from joulegram.testing.powercap import PowercapTree
from joulegram.units import NS_PER_S

CHOSEN = Settings(meters=("pyrapl",))


class PyRAPLException(Exception):
    pass


class Sensor:
    """Shows the zones of a tree as pyRAPL does."""

    def __init__(self, tree: PowercapTree, *places: str | None) -> None:
        self._tree, self._places = tree, places
        self.error: Exception | None = None

    def energy(self) -> list[float]:
        if self.error is not None:
            raise self.error
        return [-1 if zone is None else float(self._tree.file(zone).read_text()) for zone in self._places]


@pytest.fixture
def tree(tmp_path: Path) -> PowercapTree:
    return PowercapTree(tmp_path, "two_sockets", 60.0, range_j=482.0)


@pytest.fixture
def sensor(tree: PowercapTree) -> Sensor:
    return Sensor(tree, "intel-rapl:0", None, "intel-rapl:1", "intel-rapl:1:0")


def installed(monkeypatch: pytest.MonkeyPatch, tree: PowercapTree, made: Any) -> None:
    """Puts a stand-in for pyRAPL where an import finds it, and the tree where powercap is."""
    module: Any = ModuleType("pyRAPL")
    module.PyRAPLException, module.Sensor = PyRAPLException, made
    monkeypatch.setitem(sys.modules, "pyRAPL", module)
    monkeypatch.setattr(pyrapl, "POWERCAP", tree.root)


def ids(meter: PyRaplMeter) -> list[str]:
    return [channel.id for channel in meter.channels]


def test_what_is_not_there_is_no_channel(tree: PowercapTree, sensor: Sensor) -> None:
    meter = PyRaplMeter(sensor, zones(tree.root))
    assert ids(meter) == ["cpu:package-0", "cpu:package-1", "dram:package-1"]
    assert [channel.wraps_at_j for channel in meter.channels] == [482.0, 482.0, 482.0]
    assert [channel.max_w for channel in meter.channels] == pytest.approx([180.0, 144.0, 28.8])
    assert list(meter.read()) == pytest.approx([float(value) / 1e6 for value in sensor.energy() if value >= 0])


def test_wraps_that_pyrapl_does_not_know_are_repaired_above_it(tree: PowercapTree, sensor: Sensor) -> None:
    clock = OwnedClock()
    start_s = clock.monotonic_ns() / NS_PER_S

    class Followed(PyRaplMeter):
        def read(self) -> Iterable[float]:
            tree.update(clock.monotonic_ns() / NS_PER_S)
            return super().read()

    tree.update(start_s)
    made = recorder(clock, Kept(), Followed(sensor, zones(tree.root)))
    made.run_for(40.0)
    made.stop()
    end_s = clock.monotonic_ns() / NS_PER_S
    for channel, zone in (("cpu:package-0", "intel-rapl:0"), ("dram:package-1", "intel-rapl:1:0")):
        values = made.trace(clock.monotonic_ns()).channels[f"alpha/{channel}"].node.values
        assert values[-1] - values[0] == pytest.approx(tree.truth_j(zone, start_s, end_s), rel=1e-4)


def test_a_counter_whose_range_nobody_knows_is_not_said_to_wrap(sensor: Sensor) -> None:
    channel = PyRaplMeter(sensor).channels[0]
    assert (channel.wraps_at_j, channel.max_w) == (None, CEILING_W)


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), ValueError("could not convert ''")])
def test_a_reading_that_fails_is_missing(sensor: Sensor, error: Exception) -> None:
    meter = PyRaplMeter(sensor)
    sensor.error = error
    assert [isnan(value) for value in meter.read()] == [True, True, True]
    sensor.error = None
    assert not any(map(isnan, meter.read()))


@pytest.mark.parametrize("settings", [Settings(), Settings(meters=("rapl", "cpu_model"))])
def test_it_is_opened_only_where_it_is_named(
    tree: PowercapTree, sensor: Sensor, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    installed(monkeypatch, tree, lambda: sensor)
    with pytest.raises(Absent, match="only where it is named in meters"):
        PyRaplMeter.open(settings)
    assert ids(PyRaplMeter.open(CHOSEN)) == ["cpu:package-0", "cpu:package-1", "dram:package-1"]


def test_the_extra_is_named_where_pyrapl_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyRAPL", None)
    with pytest.raises(MissingExtra, match=r"joulegram\[pyrapl\]"):
        PyRaplMeter.open(CHOSEN)


@pytest.mark.parametrize(
    ("error", "raised", "text"),
    [
        (PermissionError(13, "Permission denied", "/sys/x/energy_uj"), Denied, "/sys/x/energy_uj"),
        (FileNotFoundError(2, "No such file"), Absent, "No such file"),
        (PyRAPLException("PKG"), Absent, "PKG"),
    ],
)
def test_what_pyrapl_raises_is_told_in_the_words_of_meters(
    tree: PowercapTree, monkeypatch: pytest.MonkeyPatch, error: Exception, raised: type[Exception], text: str
) -> None:
    def refuses() -> Sensor:
        raise error

    installed(monkeypatch, tree, refuses)
    with pytest.raises(raised, match=text):
        PyRaplMeter.open(CHOSEN)


# -- the real one -----------------------------------------------------------------------------------------------------


def test_the_real_pyrapl_is_read_on_a_virtual_tree_and_leaves_the_root_logger_alone(
    tree: PowercapTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    try:
        with pyrapl._root_logger_untouched():
            device_api: Any = pytest.importorskip("pyRAPL.device_api")
        assert logging.getLogger().handlers == []
    finally:
        monkeypatch.undo()
    cpus = tmp_path / "cpu"
    for number in range(2):
        (cpus / f"cpu{number}" / "topology").mkdir(parents=True)
        (cpus / f"cpu{number}" / "topology" / "physical_package_id").write_text(f"{number}\n")
    (cpus / "present").write_text("0-1\n")

    def moved(path: str) -> str:
        moves = {"/sys/class/powercap": tree.root, "/sys/devices/system/cpu": cpus}
        return next((path.replace(old, str(new)) for old, new in moves.items() if path.startswith(old)), path)

    real_exists, real_open = os.path.exists, builtins.open
    monkeypatch.setattr(device_api, "open", lambda path, *mode: real_open(moved(path), *mode), raising=False)
    monkeypatch.setattr(os.path, "exists", lambda path: real_exists(moved(str(path))))
    monkeypatch.setattr(pyrapl, "POWERCAP", tree.root)
    meter = PyRaplMeter.open(CHOSEN)
    assert ids(meter) == ["cpu:package-0", "dram:package-0", "cpu:package-1", "dram:package-1"]
    before_j = list(meter.read())
    tree.update(1.0)
    moved_j = [(after_j - j) % 482.000001 for after_j, j in zip(meter.read(), before_j, strict=True)]
    assert moved_j == pytest.approx([60.0, 12.0, 48.0, 9.6], abs=1e-4)
