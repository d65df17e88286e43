"""Finding and opening the machine's meters: the quick ones at once, the others on the sampler's thread."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from joulegram import registry
from joulegram.config import ConfigError, Settings
from joulegram.extras import MissingExtra
from joulegram.meters import Absent, Denied, Meter, Unneeded, kinds_counted

Say = Callable[[str, str], None]
"""Keeps a note: its kind, its text."""


QUICK = ("cpu_model", "dram_model", "rapl")
"""Those of joulegram's own meters that a run starts with. By name: to load all and ask them takes its first 30 ms."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A meter that is open, under the name of its entry point."""

    name: str
    meter: Meter


@dataclass(frozen=True, slots=True)
class Unopened:
    """Why a meter is not open, in words, with the remedy where there is one."""

    state: Literal["unneeded", "absent", "denied", "broken"]
    why: str


def open_quick(settings: Settings, say: Say) -> list[Opened]:
    """Opens joulegram's own meters that take a moment only, so that a run starts with their first reading."""
    wanted = [name for name in QUICK if settings.meters is None or name in settings.meters]
    found = [(name, kind) for name in wanted if (kind := _find(name, say)) is not None]
    opened: list[Opened] = []
    for name, meter_class in sorted(found, key=lambda pair: pair[1].fallback):
        meter = open_meter(name, meter_class, settings, say)
        if meter is None:
            continue
        if meter.fallback and any(overlap(meter, other.meter) for other in opened):
            meter.close()
            continue
        opened.append(Opened(name, meter))
    return opened


def find_others(settings: Settings, say: Say) -> list[tuple[str, type[Meter]]]:
    """The meters that `open_quick` leaves, fallbacks last: only then is it known what counters there are."""
    names = registry.names(registry.METERS) if settings.meters is None else dict.fromkeys(settings.meters)
    found = [(name, meter) for name in names if name not in QUICK and (meter := _find(name, say))]
    return sorted(found, key=lambda pair: pair[1].fallback)


def overlap(one: Meter, other: Meter) -> bool:
    """Whether two meters count the same kind of channel, or one of them a part of what the other counts."""
    kinds, others = ({channel.kind for channel in meter.channels} for meter in (one, other))
    return bool(kinds_counted(one.channels) & others or kinds & kinds_counted(other.channels))


def open_meter(name: str, meter_class: type[Meter], settings: Settings, say: Say) -> Meter | None:
    """Opens one meter; None, with a note that says why, where it cannot be."""
    found = attempt(meter_class, settings)
    if not isinstance(found, Unopened):
        return found
    if found.state != "unneeded" or settings.meters is not None:
        say("absent" if found.state == "absent" else "meter", f"{name}: {found.why}")
    return None


def load(name: str) -> type[Meter] | Unopened:
    """The class of a meter's entry point."""
    try:
        meter_class: type[Meter] = registry.load(registry.METERS, name)
    except (Exception, SystemExit) as error:  # not installed, or its library is broken
        return Unopened("broken", f"cannot be loaded: {error}")
    return meter_class


def attempt(meter_class: type[Meter], settings: Settings) -> Meter | Unopened:
    """A meter that is open, or why it is not."""
    try:
        return meter_class.open(settings)
    except Unneeded as error:
        return Unopened("unneeded", str(error))
    except Absent as error:
        return Unopened("absent", str(error))
    except Denied as error:
        return Unopened("denied", str(error))
    except (ConfigError, MissingExtra) as error:  # each names its remedy
        return Unopened("broken", str(error))
    except (Exception, SystemExit) as error:  # somebody's driver; whoever asked goes on without it
        return Unopened("broken", f"failed to open: {error!r}")


def _find(name: str, say: Say) -> type[Meter] | None:
    found = load(name)
    if isinstance(found, Unopened):
        say("meter", f"{name}: {found.why}")
        return None
    return found
