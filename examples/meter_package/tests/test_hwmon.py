"""The meter on a tree like the kernel's."""

from __future__ import annotations

from pathlib import Path

import pytest
from joulegram_hwmon import HwmonMeter

from joulegram.config import Settings
from joulegram.meters import Absent
from joulegram.testing import check_meter, check_opening


def card(root: Path, number: int, driver: str, energy_uj: int | None = 0) -> Path:
    """A card's folder."""
    folder = root / f"hwmon{number}"
    folder.mkdir(parents=True)
    (folder / "name").write_text(f"{driver}\n")
    if energy_uj is not None:
        (folder / "energy1_input").write_text(f"{energy_uj}\n")
    return folder


def options(root: Path) -> Settings:
    return Settings(meter_options={"hwmon": {"root": str(root)}})


def test_it_conforms(tmp_path: Path) -> None:
    card(tmp_path, 0, "xe", 123_000_000)
    card(tmp_path, 1, "i915")
    check_meter(check_opening(HwmonMeter, options(tmp_path)), seconds=0.5)


def test_cards_are_counted_in_joules_and_everything_else_is_left_alone(tmp_path: Path) -> None:
    folder = card(tmp_path, 0, "xe", 5_000_000)
    card(tmp_path, 1, "nvme")
    card(tmp_path, 2, "i915", None)  # an integrated one counts nothing
    meter = HwmonMeter.open(options(tmp_path))
    assert [channel.id for channel in meter.channels] == ["gpu:hwmon0"]
    assert list(meter.read()) == [5.0]
    (folder / "energy1_input").write_text("7500000\n")
    assert list(meter.read()) == [7.5]
    meter.close()


def test_a_machine_without_such_a_card_says_so(tmp_path: Path) -> None:
    with pytest.raises(Absent, match="no card under"):
        check_opening(HwmonMeter, options(tmp_path))
