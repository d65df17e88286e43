"""The machine's clocks, and what a host is called."""

from __future__ import annotations

import pytest

from joulegram.host import clock as clocks
from joulegram.host.clock import Clock, drift_ns
from joulegram.records import Anchor


def test_a_hosts_name_is_safe_in_a_file_name() -> None:
    assert Clock("node-7.cluster").host == "node-7.cluster"
    assert Clock("../up/and away@x").host == ".._up_and_away_x"
    assert Clock("").host == Clock().host


def test_an_anchor_reads_all_clocks_at_once() -> None:
    clock = Clock()
    before, anchor, after = clock.monotonic_ns(), clock.anchor(), clock.monotonic_ns()
    assert before <= anchor.mono_ns <= after
    assert anchor.boot_ns is None or anchor.boot_ns >= anchor.mono_ns
    assert anchor.wall_ns > 1.7e18


def test_a_boot_keeps_its_name() -> None:
    assert Clock().boot == Clock().boot != ""


def test_without_a_kernels_boot_id_the_boot_time_names_it(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setattr(clocks, "_BOOT_ID", tmp_path / "none")  # type: ignore[operator]
    assert Clock().boot == Clock().boot
    assert Clock().boot.endswith("0")


def test_clocks_drift_apart_by_sleep_or_by_being_set() -> None:
    start = Anchor(0, 0, 0)
    assert drift_ns(start, Anchor(100, 100, 100)) == 0
    assert drift_ns(start, Anchor(100, 150, 150)) == 50
    assert drift_ns(start, Anchor(100, 100, 30)) == 70
    assert drift_ns(Anchor(0, None, 0), Anchor(100, None, 120)) == 20
