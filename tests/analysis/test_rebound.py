"""Rebound, from simulated services whose saving and growth are known."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lives import entry
from served_runs import CPU, GPU, MIDNIGHT_S, Hour, intensity, served_run

from joulegram.analysis.developing import developed
from joulegram.analysis.rebound import NoRebound, offset_of, rebound
from joulegram.analysis.resampling import DRAWS, drawn_sums
from joulegram.analysis.windows import Window, window
from joulegram.records import Pue
from joulegram.units import J_PER_KWH

Json = dict[str, Any]
positive = st.floats(0.01, 1e4)


def serving(
    ledger: Path,
    run: str,
    j_per_request: float | Sequence[float],
    per_hour: int,
    *,
    g_per_kwh: float = 360.0,
    hours: int = 4,
    first: int = 0,
    pue: float = 1.0,
    **more: Any,
) -> Json:
    """The document of a server of known cost and use."""
    each = [j_per_request] * hours if isinstance(j_per_request, float) else list(j_per_request)
    told = [
        Hour(first + n, per_hour, {"gpu:A": (per_hour * cost, 0.0)}, tokens=10.0 * per_hour)
        for n, cost in enumerate(each)
    ]
    book = Pue(pue, pue, pue, "measured", "as given")
    return served_run(ledger, told, intensity(g_per_kwh), run=run, pue=book, **more).document()


def between(before: Json, after: Json, per: str = "requests", **how: Any) -> Json:
    return rebound(window([before], per), window([after], per), unit=per, **how)


@given(positive, positive, positive, st.floats(0.01, 1.0), st.floats(-0.5, 2.0))
def test_it_is_what_a_simulated_service_used_of_what_it_could_have_saved(
    e0: float, v0: float, v1: float, share: float, exogenous: float
) -> None:
    e1 = e0 * (1 - share)
    found = offset_of(e0, e1, v0, v1, exogenous)
    endogenous = v1 / v0 - 1 - exogenous
    potential, actual = (e0 - e1) * v0, e0 * v0 - e1 * v0 * (1 + endogenous)
    assert found["value"] == pytest.approx(1 - actual / potential, rel=1e-6, abs=1e-6)
    assert found["potential_j_per_day"] == pytest.approx(potential)
    assert found["actual_j_per_day"] == pytest.approx(actual, rel=1e-6, abs=1e-6 * e0 * v0)


@given(positive, positive, positive, st.floats(0.01, 0.99))
def test_more_is_used_than_before_just_where_growth_is_above_the_threshold(
    e0: float, v0: float, v1: float, share: float
) -> None:
    e1 = e0 * (1 - share)
    found = offset_of(e0, e1, v0, v1)
    if abs(e1 * v1 - e0 * v0) > 1e-9 * e0 * v0:
        assert (found["verdict"] == "backfire") == (e1 * v1 > e0 * v0) == (found["growth"] > found["backfires_above"])


@given(positive, positive, positive, st.floats(1.0, 5.0))
def test_without_a_saving_it_is_undefined(e0: float, v0: float, v1: float, times: float) -> None:
    found = offset_of(e0, e0 * times, v0, v1)
    assert (found["value"], found["verdict"]) == (None, "undefined")
    assert found["why"].startswith("one costs")


def test_two_servers_are_two_windows_and_the_total_stands_beside_the_cost_of_one(tmp_path: Path) -> None:
    before = serving(tmp_path, "a", 10.0, 100, g_per_kwh=400.0)
    after = serving(tmp_path, "b", 5.0, 150, g_per_kwh=300.0, first=24, pue=1.2)
    found = between(before, after)
    assert found["word"] == "activity offset"
    assert found["service"]["saving"] == pytest.approx(0.5)
    assert found["service"]["growth"] == pytest.approx(0.5)
    assert found["service"]["value"] == pytest.approx(0.5)
    assert found["service"]["backfires_above"] == pytest.approx(1.0)
    assert found["before"]["energy_j"] == pytest.approx(4000.0)
    assert found["after"]["energy_j_per_day"] == pytest.approx(24 * 750.0)
    assert "In total 6.67 Wh a day became 5.00 Wh" in found["sentences"][0]
    change = found["change"]
    grams = [24 * 1000 / J_PER_KWH * 400, 24 * 750 / J_PER_KWH * 1.2 * 300]
    assert (change["unit"], change["before"], change["after"]) == ("g a day", *map(pytest.approx, grams))
    assert sum(change["parts"].values()) == pytest.approx(grams[1] - grams[0], rel=1e-9)
    assert {name: part > 0 for name, part in change["parts"].items()} == {
        "activity": True, "energy_intensity": False, "grid_intensity": False, "pue": True,
    }  # fmt: skip
    json.dumps(found, allow_nan=False)


def test_growth_that_would_have_come_anyway_is_taken_off_and_makes_it_a_rebound(tmp_path: Path) -> None:
    before, after = serving(tmp_path, "a", 10.0, 100), serving(tmp_path, "b", 5.0, 150, first=24)
    found = between(before, after, exogenous=0.5)
    assert (found["word"], found["service"]["value"]) == ("rebound", pytest.approx(0.0, abs=1e-12))
    assert between(before, after, exogenous=0.2)["service"]["value"] == pytest.approx(0.3)
    assert "(of 50 %, 20 % would have come anyway)" in between(before, after, exogenous=0.2)["sentences"][1]


def test_windows_of_different_length_are_compared_by_the_day(tmp_path: Path) -> None:
    found = between(serving(tmp_path, "a", 10.0, 100, hours=2), serving(tmp_path, "b", 5.0, 100, hours=20, first=24))
    assert found["service"]["growth"] == pytest.approx(0.0)
    assert found["change"]["parts"]["activity"] == pytest.approx(0.0, abs=1e-12)


def test_one_service_is_parted_at_a_time_by_whole_hours(tmp_path: Path) -> None:
    document = serving(tmp_path, "a", [10.0, 10.0, 7.0, 5.0, 5.0], 100, hours=5)
    at_s = MIDNIGHT_S + 2.5 * 3600
    before, after = window([document], "requests", until_s=at_s), window([document], "requests", at_s)
    found = rebound(before, after)
    assert (found["before"]["hours"], found["after"]["hours"]) == (2, 2)
    assert found["service"]["saving"] == pytest.approx(0.5)


def test_servers_of_the_same_hours_add_up(tmp_path: Path) -> None:
    documents = [serving(tmp_path, name, 10.0, 100, host=name) for name in ("one", "two")]
    both = window(documents, "requests")
    assert both is not None
    assert (len(both.hours), both.sum("volume"), both.days) == (4, 800.0, pytest.approx(4 / 24))


def test_enough_hours_give_an_interval_that_holds_the_truth(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    sides = [
        serving(tmp_path, name, (cost * rng.normal(1, 0.1, 48)).tolist(), volume, hours=48, first=first)
        for name, cost, volume, first in (("a", 10.0, 100, 0), ("b", 5.0, 150, 48))
    ]
    row = between(*sides)["service"]
    assert row["low"] < 0.5 < row["high"]
    assert row["high"] - row["low"] < 0.2
    assert row["low"] <= row["value"] <= row["high"]
    assert between(*sides)["service"] == row  # the draws are the same each time


def test_a_saving_within_noise_has_no_interval(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    sides = [
        serving(tmp_path, name, (cost * rng.normal(1, 0.3, 48)).tolist(), 100, hours=48, first=first)
        for name, cost, first in (("a", 10.0, 0), ("b", 9.8, 48))
    ]
    row = between(*sides)["service"]
    assert (row["low"], row["high"]) == (None, None)
    assert row["interval"] == "no interval: the saving is not above what is noise"


def test_drawn_hours_keep_their_mean_and_spread() -> None:
    values = np.random.default_rng(4).normal(5.0, 1.0, (200, 1))
    sums = drawn_sums(values.tolist(), 0)
    assert sums.shape == (DRAWS, 1)
    assert sums.mean() == pytest.approx(values.sum(), rel=0.005)
    assert sums.std() == pytest.approx(200**0.5, rel=0.35)


def test_tokens_may_be_counted_in_the_place_of_requests(tmp_path: Path) -> None:
    found = between(serving(tmp_path, "a", 10.0, 100), serving(tmp_path, "b", 5.0, 100, first=24), per="tokens")
    assert found["before"]["j_per_unit"] == pytest.approx(1.0)
    with pytest.raises(NoRebound, match="no items were told before the change"):
        between(serving(tmp_path, "c", 10.0, 100), serving(tmp_path, "d", 5.0, 100, first=24), per="items")


def test_mixed_bases_leave_grams_out_and_two_places_are_told(tmp_path: Path) -> None:
    before, after = serving(tmp_path, "a", 10.0, 100), serving(tmp_path, "b", 5.0, 100, first=24)
    after["price"]["basis"], after["run"]["zone"] = "direct", "FR"
    found = between(before, after)
    assert "different bases (direct, lifecycle)" in found["change"]["why"]
    assert found["change"]["unit"] == "kWh a day"
    assert sum(found["change"]["parts"].values()) == pytest.approx(found["change"]["change"])
    assert "Before it ran in DK-DK1, after in FR: the grid’s part holds the move." in found["sentences"]


def test_an_open_run_and_other_devices_are_told(tmp_path: Path) -> None:
    before = serving(tmp_path, "a", 10.0, 100)
    hours = [Hour(24, 100, {"gpu:A": (500.0, 0.0), "cpu:model": (100.0, 0.0)})]
    after = served_run(tmp_path, hours, intensity(360.0), run="b", channels=(GPU, CPU)).document()
    after["run"]["status"] = "running"
    said = between(before, after)["sentences"]
    assert any("is still running" in sentence for sentence in said)
    assert any("Before, gpu was counted, after, cpu and gpu" in sentence for sentence in said)


def of(before: Window | None, after: Window | None) -> Callable[[], Json]:
    return lambda: rebound(before, after)


def test_what_has_no_answer_says_why(tmp_path: Path) -> None:
    one = window([serving(tmp_path, "a", 10.0, 100)], "requests")
    later = window([serving(tmp_path, "b", 5.0, 100, first=24)], "requests")
    none = window([serving(tmp_path, "c", 5.0, 0, first=24)], "requests")
    for ask, word in (
        (of(None, later), "no server has told of an hour before the change"),
        (of(one, None), "no server has told of an hour after the change"),
        (of(one, none), "no request ended after the change"),
        (of(later, one), "the other way round"),
    ):
        with pytest.raises(NoRebound, match=word):
            ask()
    with pytest.raises(NoRebound, match="nothing is left"):
        rebound(one, later, exogenous=-1.0)


# -- development --------------------------------------------------------------------------------------------------


def test_more_trials_of_cheaper_runs_are_the_rebound_of_developing() -> None:
    """A run takes half of what it did, and there are three times as many a week."""
    runs = [entry(f"slow-{n}", 100.0, day=n) for n in range(14)]
    runs += [entry(f"trial-{n}", 50.0, day=14 + n / 3, stage="search", sweep="s", trial=str(n)) for n in range(42)]
    runs.append(entry("serving", 1e6, stage="serve", day=3))
    first_s, day_s = runs[0].start_s, 86_400.0
    found = developed(runs, first_s + 14 * day_s, now_s=first_s + 28 * day_s)
    assert (found["before"]["runs_per_week"], found["after"]["runs_per_week"]) == (7.0, 21.0)
    assert (found["before"]["setups"], found["after"]["setups"]) == (14, 42)
    assert found["offset"]["value"] == pytest.approx(2.0)
    assert (found["before"]["energy_j_per_week"], found["after"]["energy_j_per_week"]) == (700.0, 1050.0)
    said = rebound(None, None, development=found)["sentences"]
    assert any("7 runs a week became 21" in sentence for sentence in said)


def test_repeats_are_one_set_up() -> None:
    runs = [entry("same", 100.0, day=n) for n in range(10)]
    found = developed(runs, runs[5].start_s, now_s=runs[9].start_s + 86_400.0)
    assert (found["before"]["runs"], found["before"]["setups"]) == (5, 1)


@pytest.mark.parametrize(
    ("at_day", "word"), [(0.5, "less than a day"), (2000.0, "less than a day"), (3.0, "no run after the change")]
)
def test_development_that_cannot_be_compared_says_why(at_day: float, word: str) -> None:
    runs = [entry(f"r{n}", 100.0, day=n) for n in range(3)]
    found = developed(runs, runs[0].start_s + at_day * 86_400.0, now_s=runs[0].start_s + 10 * 86_400.0)
    assert word in found["why"]
    with pytest.raises(NoRebound, match=word):
        rebound(None, None, development=found)
