"""Joules of graphics cards through Linux hwmon: Intel's drivers (i915, xe) count a whole card in `energy1_input`.

The file holds microjoules in 64 bits, so the counter does not wrap. Source: Documentation/hwmon/sysfs-interface.rst and
Documentation/ABI/testing/sysfs-driver-intel-xe-hwmon in the Linux tree.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from joulegram.config import Settings
from joulegram.meters import Absent, Denied, Meter
from joulegram.records import Channel

HWMON = Path("/sys/class/hwmon")
DRIVERS = ("i915", "xe")


class HwmonMeter(Meter):
    """One channel for each card. Option `root`: where to look, instead of `/sys/class/hwmon`."""

    period_s = 0.1

    def __init__(self, cards: list[Path]) -> None:
        self._files = [(card / "energy1_input").open("rb", buffering=0) for card in cards]
        self.channels = [
            Channel(f"gpu:{card.resolve().name}", "gpu", "measured", f"energy counter of {card}") for card in cards
        ]

    @classmethod
    def open(cls, settings: Settings) -> HwmonMeter:
        root = Path(settings.meter_options.get("hwmon", {}).get("root", HWMON))
        cards = [name.parent for name in sorted(root.glob("hwmon*/name")) if name.read_text().strip() in DRIVERS]
        cards = [card for card in cards if (card / "energy1_input").exists()]
        if not cards:
            raise Absent(f"no card under {root} whose driver counts energy ({', '.join(DRIVERS)})")
        try:
            return cls(cards)
        except PermissionError as error:
            raise Denied(f"{error.filename} is closed to this user: chmod a+r {error.filename}") from error

    def read(self) -> Iterator[float]:
        for file in self._files:
            try:
                file.seek(0)
                yield int(file.read()) / 1e6
            except (OSError, ValueError):
                yield float("nan")

    def close(self) -> None:
        for file in self._files:
            file.close()
