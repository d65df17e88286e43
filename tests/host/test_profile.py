"""Profiles of CPUs: kept in one file, found again by host and by CPU model."""

from __future__ import annotations

import json
from math import inf, nan
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joulegram.config import profiles_file
from joulegram.host.cpu import Cpus
from joulegram.host.profile import Profile, alike, keep, own, profiles

CPUS = Cpus("Some CPU", 1, 8, virtual=False)


def profile(host: str = "alpha", idle_w: float = 10.0, max_w: float = 50.0, threads: int = 8) -> Profile:
    return Profile(host, CPUS.name, threads, idle_w, max_w, "calibrated against rapl", "2026-01-01")


def test_the_file_is_in_the_users_data_directory_or_where_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert profiles_file() == tmp_path / "data" / "joulegram" / "profiles.json"
    monkeypatch.setenv("JOULEGRAM_PROFILES", str(tmp_path / "ours.json"))
    assert keep(profile()) == tmp_path / "ours.json"
    assert profiles() == [profile()]


def test_a_newer_profile_takes_the_place_of_the_same_machines() -> None:
    for made in (profile(max_w=50), profile("beta"), profile(max_w=60)):
        keep(made)
    assert profiles() == [profile("beta"), profile(max_w=60)]
    assert own("alpha", CPUS, profiles()) == profile(max_w=60)


def test_a_machine_whose_cpus_have_changed_is_another_machine() -> None:
    resized = Cpus(CPUS.name, 1, 4, virtual=True)
    assert own("alpha", resized, [profile()]) is None
    assert alike("alpha", resized, [profile()]) == profile(idle_w=5, max_w=25, threads=4)


def test_its_own_profile_is_not_another_machines() -> None:
    assert alike("alpha", CPUS, [profile()]) is None


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"profiles": [1]}', '{"profiles": [{"host": "alpha"}]}', '{"profiles": [{"threads": "x"}]}'],
)
def test_a_damaged_file_is_told_of_and_counts_as_none(text: str, caplog: pytest.LogCaptureFixture) -> None:
    profiles_file().parent.mkdir(parents=True)
    profiles_file().write_text(text)
    assert profiles() == []
    assert str(profiles_file()) in caplog.text


def test_keys_of_a_later_release_are_ignored() -> None:
    path = keep(profile())
    values = json.loads(path.read_text())
    values["profiles"][0]["colour"] = "red"
    path.write_text(json.dumps(values))
    assert profiles() == [profile()]


@pytest.mark.parametrize(("idle_w", "max_w"), [(-1, 5), (6, 5), (0, inf), (nan, 5), (1, nan)])
def test_powers_that_no_machine_has_are_refused(idle_w: float, max_w: float) -> None:
    with pytest.raises(ValueError, match="idle_w <= max_w"):
        profile(idle_w=idle_w, max_w=max_w)


@given(st.integers(1, 1024), st.integers(1, 1024))
def test_another_machines_power_goes_by_logical_cpus(theirs: int, mine: int) -> None:
    scaled = alike("beta", Cpus(CPUS.name, 1, mine, virtual=False), [profile(threads=theirs)])
    assert scaled is not None
    assert scaled.max_w / mine == pytest.approx(50 / theirs)
    assert scaled.idle_w / scaled.max_w == pytest.approx(10 / 50)
