"""Meters: one file per source of joules, found through the entry point group ``joulegram.meters``.

A meter is what differs between sources and nothing else: what is there, how it is read, how sure it is. Everything
common (wrap-around, gaps, threads, shares) is above it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Sequence
from typing import ClassVar

from joulegram.config import Settings
from joulegram.records import PARTS, Channel


class Absent(Exception):
    """The source is not on this machine; the message says what was looked for."""


class Unneeded(Absent):
    """Nothing that a run is short of: a source that nobody asked for, or of devices that this machine does not have."""


class Denied(Exception):
    """The source is there but this user may not read it; the message names the exact remedy."""


class Meter(ABC):
    """Reads the cumulative joules of one or more channels.

    Attributes:
        channels: what it counts, in the order of `read`.
        period_s: how often to read it (s).
        instant: a read takes some microseconds, 200 at most with cold caches, and may run in the caller's thread at run
            and epoch edges.
        fallback: 0 for one that is used wherever it is found. Any other is opened later, and used only where no meter
            of a lower number counts a kind of channel that it counts: 1 for a second way to a counter, 2 for a model.
    """

    channels: Sequence[Channel]
    period_s: ClassVar[float] = 0.05
    instant: bool = False
    fallback: ClassVar[int] = 0

    @classmethod
    def open(cls, settings: Settings) -> Meter:
        """A meter for this machine.

        Raises:
            Absent: there is nothing to read.
            Denied: this user may not read it.
        """
        del settings
        return cls()

    @abstractmethod
    def read(self) -> Iterable[float]:
        """Joules on each channel's counter, in the order of `channels`; NaN where a read failed."""

    def described(self) -> Sequence[Channel]:
        """The channels, as far as they are known by now: a meter may find out more of them while it is read.

        Asked after each read in the recorder's own thread, so it may take longer than a read. What is new in `how` is
        said once.
        """
        return self.channels

    def shares(self, pids: Collection[int]) -> Sequence[float]:
        """What part of each channel's energy since the last call was used by these processes, 0 to 1.

        Asked at about 1 Hz, of channels whose `share` is ``process``.
        """
        del pids
        return [1.0] * len(self.channels)

    def close(self) -> None:  # noqa: B027 - not every meter holds something open
        """Lets go of what the meter holds open."""


def kinds_counted(channels: Iterable[Channel]) -> set[str]:
    """Kinds of channel that need no model where these count: their own, and those that they hold."""
    kinds = {channel.kind for channel in channels}
    return kinds.union(*(PARTS.get(kind, frozenset()) for kind in kinds))
