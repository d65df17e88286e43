"""``joulegram calibrate``: what this machine's CPUs draw, idle and under full load, measured once and kept."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from math import isfinite

from rich.console import Console
from rich.table import Table
from rich.text import Text

from joulegram import registry
from joulegram.config import Settings
from joulegram.host.clock import Clock
from joulegram.host.cpu import Cpus, cpus_of
from joulegram.host.full_load import full_load
from joulegram.host.processes import NodeTimes
from joulegram.host.profile import Profile
from joulegram.meters import Absent, Denied, Meter
from joulegram.meters.cpu_model import CpuModel, model_of
from joulegram.records import Channel

LEVEL_S = 50.0
"""How long each of the two levels is measured; with the settling before them that makes two minutes."""
SETTLE_S = 10.0
"""Clocks, voltages and fans follow a change of load with some delay."""
LOOK_S = 0.25
LEAST_RISE = 0.5
"""A line through two loads that are nearer to each other than this says too little about both its ends."""
BY_HAND = "or set idle_w and max_w in the configuration from a wall meter by hand"


class CannotCalibrate(Exception):
    """There is nothing to calibrate against, or the machine was not still enough; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What a calibration does to a machine and sees of it; a test brings its own.

    Args:
        host: its name.
        cpus: its CPUs.
        busy_s: core-seconds not idle since some moment.
        full_load: keeps all its CPUs busy while the block lasts, for so many seconds at most.
        now_s: monotonic time (s).
        sleep: lets so many seconds pass.
    """

    host: str
    cpus: Cpus
    busy_s: Callable[[], float]
    full_load: Callable[[float], AbstractContextManager[None]]
    now_s: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    @classmethod
    @contextmanager
    def here(cls) -> Iterator[Machine]:
        """This machine."""
        node, cpus = NodeTimes(), cpus_of()
        host = Clock(os.environ.get("JOULEGRAM_HOST")).host
        try:
            yield cls(host, cpus, node.busy_s, lambda seconds: full_load(seconds, cpus.threads))
        finally:
            node.close()


@dataclass(frozen=True, slots=True)
class Level:
    """One level of load: what part of all CPUs was busy (0 to 1), and mean power (W)."""

    load: float
    power_w: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """What was measured, and the model before and after it.

    Args:
        reference: name of the meter that measured.
        kind: kind of its channels: ``cpu``, or ``node`` for a meter at the wall.
        idle: the machine left alone.
        full: the machine under full load.
        before: the model as it was.
        profile: what the machine's CPUs draw.
    """

    reference: str
    kind: str
    idle: Level
    full: Level
    before: CpuModel
    profile: Profile


@dataclass(frozen=True, slots=True)
class Reference:
    """A meter that is open, and those of its channels that a model can be held against."""

    name: str
    kind: str
    meter: Meter

    def joules(self) -> dict[Channel, float]:
        """What each of the channels shows now (J).

        Raises:
            CannotCalibrate: the read failed.
        """
        try:
            shown = dict(zip(self.meter.channels, map(float, self.meter.read()), strict=True))
        except Exception as error:  # somebody's driver
            raise CannotCalibrate(f"{self.name} failed while calibrating: {error!r}") from error
        wanted = {channel: value for channel, value in shown.items() if channel.kind == self.kind}
        for channel, value in wanted.items():
            if not isfinite(value):
                raise CannotCalibrate(f"{self.name} failed to read {channel.id} while calibrating")
        return wanted


class Rise:
    """Joules counted by all channels of a reference since the first look, wrap-around repaired."""

    def __init__(self, reference: Reference) -> None:
        self._reference = reference
        self._last = reference.joules()
        self._total_j = 0.0

    def look(self) -> float:
        """The joules by now; has to be called more often than a counter wraps."""
        now = self._reference.joules()
        for channel, value in now.items():
            rise_j = value - self._last[channel]
            if rise_j < 0:
                if channel.wraps_at_j is None:
                    raise CannotCalibrate(f"the counter of {channel.id} began again while calibrating; try once more")
                rise_j += channel.wraps_at_j
            self._total_j += rise_j
        self._last = now
        return self._total_j


def calibrate(settings: Settings, reference: Reference, machine: Machine, seconds: float = LEVEL_S) -> Calibration:
    """Measures both levels, draws the line through them, and closes the reference.

    Args:
        settings: the configuration in force.
        reference: the meter to trust.
        machine: the one to measure.
        seconds: how long to measure each level (s).

    Raises:
        CannotCalibrate: the reference failed, or the machine was too busy.
    """
    before = model_of(settings, machine.host, machine.cpus)
    try:
        machine.sleep(SETTLE_S)
        idle = _level(reference, machine, seconds)
        with machine.full_load(SETTLE_S + 2 * seconds + 60):
            machine.sleep(SETTLE_S)
            full = _level(reference, machine, seconds)
    finally:
        reference.meter.close()
    idle_w, full_w = _ends(idle, full)
    if reference.kind == "node":
        # The wall sees disks, fans and memory as well: of its idle power nobody knows the CPUs' part, but what load
        # adds to it is theirs.
        idle_w, full_w = before.idle_w, before.idle_w + full_w - idle_w
    meter = "wall meter " if reference.kind == "node" else ""
    source, date = f"calibrated against {meter}{reference.name}", datetime.now(UTC).date().isoformat()
    cpus = machine.cpus
    profile = Profile(machine.host, cpus.name, cpus.threads, round(idle_w, 2), round(full_w, 2), source, date)
    return Calibration(reference.name, reference.kind, idle, full, before, profile)


def find_reference(settings: Settings, against: str | None) -> Reference:
    """Opens the meter to calibrate against.

    Args:
        settings: the configuration in force.
        against: name of the meter to trust; by default the first that counts the CPUs' energy.

    Raises:
        CannotCalibrate: none measures the CPUs' energy, or the one that was named measures nothing of use.
    """
    names = registry.names(registry.METERS) if settings.meters is None else settings.meters
    kinds = ("cpu",) if against is None else ("cpu", "node")
    refused = []
    for name in names if against is None else [against]:
        try:
            meter_class: type[Meter] = registry.load(registry.METERS, name)
            if meter_class.fallback:
                continue
            meter = meter_class.open(settings)
        except LookupError as error:
            raise CannotCalibrate(str(error)) from None
        except Exception as error:  # somebody's driver
            if against is not None or isinstance(error, Denied):  # what is merely absent is no news
                refused.append(f"{name}: {error if isinstance(error, Absent | Denied) else repr(error)}")
            continue
        for kind in kinds:
            # A power that is summed up will do as well: both levels are held still.
            if any(channel.kind == kind for channel in meter.channels):
                return Reference(name, kind, meter)
        meter.close()
    raise CannotCalibrate(_nothing(against, refused))


def _nothing(against: str | None, refused: list[str]) -> str:
    why = f" ({'; '.join(refused)})" if refused else ""
    if against is not None:
        return f"{against} measures neither the CPUs' nor the machine's energy here{why}; name another meter, {BY_HAND}"
    return f"no meter measures the CPUs' energy here{why}; name a wall meter (--against METER), {BY_HAND}"


def _level(reference: Reference, machine: Machine, seconds: float) -> Level:
    """Mean power between the first and the last change of the counter: a slow one is between two refreshes else."""
    rise, start_s, busy_s = Rise(reference), machine.now_s(), machine.busy_s()
    changes: list[tuple[float, float]] = []
    while (now_s := machine.now_s()) < start_s + seconds:
        if (joules := rise.look()) > (changes[-1][1] if changes else 0.0):
            changes.append((now_s, joules))
        machine.sleep(LOOK_S)
    load = (machine.busy_s() - busy_s) / (machine.now_s() - start_s) / machine.cpus.threads
    if len(changes) < 2:
        raise CannotCalibrate(f"{reference.name} hardly moved in {seconds:g} s; give it longer (--seconds)")
    (first_s, first_j), (last_s, last_j) = changes[0], changes[-1]
    return Level(min(1.0, load), (last_j - first_j) / (last_s - first_s))


def _ends(idle: Level, full: Level) -> tuple[float, float]:
    """Power (W) at no load and at full load, on the line through both levels."""
    if full.load - idle.load < LEAST_RISE:
        raise CannotCalibrate(
            f"the CPUs were {idle.load:.0%} busy when left alone and {full.load:.0%} under full load, too near to each "
            "other; stop what else runs here, allow this process all CPUs, and try once more"
        )
    slope_w = (full.power_w - idle.power_w) / (full.load - idle.load)
    if slope_w <= 0:
        raise CannotCalibrate(
            f"full load drew {full.power_w:.4g} W and no more than idling ({idle.power_w:.4g} W): that is not a meter "
            "of this machine's CPUs"
        )
    idle_w = max(0.0, idle.power_w - slope_w * idle.load)
    return idle_w, full.power_w + slope_w * (1 - full.load)


def print_calibration(calibration: Calibration, console: Console | None = None) -> None:
    """Prints both levels, and the model before and after."""
    console = console or Console()
    table = Table(box=None, pad_edge=False)
    for heading in ("", "idle", "full load", "from"):
        table.add_column(heading, justify="left" if heading in ("", "from") else "right", overflow="fold")
    idle, full, before, profile = calibration.idle, calibration.full, calibration.before, calibration.profile
    table.add_row("CPUs busy", f"{idle.load:.1%}", f"{full.load:.1%}", Text(f"{profile.threads} × {profile.cpu}"))
    where = "the whole machine" if calibration.kind == "node" else "its CPUs"
    table.add_row("measured", _watts(idle.power_w), _watts(full.power_w), Text(f"{calibration.reference}: {where}"))
    table.add_row("model before", _watts(before.idle_w), _watts(before.full_w), Text(before.how))
    table.add_row("model after", _watts(profile.idle_w), _watts(profile.max_w), Text(profile.source))
    console.print(table)
    if calibration.kind == "node":
        console.print("At the wall only the rise is known to be the CPUs': their idle power is still the model's.")


def _watts(power_w: float) -> str:
    return f"{power_w:.1f} W"
