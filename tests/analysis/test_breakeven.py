"""When a measure has paid back, from amounts and from documents of known runs."""

from __future__ import annotations

import json
from math import ceil
from pathlib import Path
from typing import Any

import pytest
from compared import quantity, run
from hypothesis import given
from hypothesis import strategies as st
from served_runs import CPU, GPU, Hour, intensity, served_run

from joulegram.analysis.breakeven import NoBreakEven, break_even
from joulegram.quantities import Quantity
from joulegram.units import J_PER_KWH

Json = dict[str, Any]


def by(found: Json, measure: str) -> Json:
    (row,) = [row for row in found["measures"] if row["measure"] == measure]
    return dict(row)


def serving(
    ledger: Path, j_per_request: float, *, run_id: str, spread: float = 0.0, hours: int = 8, **more: Any
) -> Json:
    """The document of a server whose requests cost so much in every other hour, and `spread` more or less."""
    told = [Hour(n, 100, {"gpu:A": (100 * j_per_request * (1 + spread * (-1) ** n), 0.0)}) for n in range(hours)]
    return served_run(ledger, told, intensity(360.0), run=run_id, **more).document()


@pytest.mark.parametrize(
    ("train_kwh", "finetune_kwh", "each_kwh", "millions"),
    [
        (51_686, 7_571, 1.0e-4, 592.6),
        (25_634, 3_242, 7.3e-5, 395.6),
        (17_052, 1_081, 6.2e-5, 292.5),
        (10_505, 543, 5.4e-5, 204.6),
    ],
)
def test_bloomz_costs_as_much_as_its_training_after_the_published_inferences(
    train_kwh: int, finetune_kwh: int, each_kwh: float, millions: float
) -> None:
    """Luccioni, Jernite, Strubell 2024: 7B, 3B, 1.7B and 560M."""
    found = break_even(f"{each_kwh}kWh", "0kWh", [f"{train_kwh}kWh", f"{finetune_kwh}kWh"])
    assert found["requests"]["value"] / 1e6 == pytest.approx(millions, abs=0.051)
    assert found["requests"]["low"] == found["requests"]["high"] == found["requests"]["value"]
    assert found["measure"] == "energy_j"


@given(st.integers(1, 5000), st.integers(1, 50), st.integers(0, 49))
def test_it_is_the_first_request_at_which_serving_and_development_cost_less_than_before(
    development: int, before: int, after: int
) -> None:
    requests = break_even(f"{before}J", f"{after}J", [f"{development}J"])["requests"]
    if after >= before:
        assert (requests["value"], requests["high"]) == (None, None)
        return
    count = 0
    while count * before < development + count * after:
        count += 1
    assert ceil(requests["value"] - 1e-9) == count


@given(st.floats(1, 1e6), st.floats(1, 100), st.floats(0, 0.9), st.floats(0, 1), st.floats(0, 0.4))
def test_bounds_hold_the_value_and_there_is_no_upper_one_where_the_saving_may_be_none(
    development: float, before: float, share: float, off: float, doubt: float
) -> None:
    found = break_even(
        f"{before}J±{doubt * before}", f"{share * before}J", [f"{development}J..{development * (1 + off)}J"]
    )
    requests, saved = found["requests"], by(found, "energy_j")["saving"]
    assert requests["low"] <= requests["value"]
    assert (requests["high"] is None) == (saved["low"] <= 0)
    assert requests["high"] is None or requests["value"] <= requests["high"]
    assert by(found, "energy_j")["verdict"] == ("pays" if saved["low"] > 0 else "never")


def test_carbon_is_by_an_intensity_and_its_break_even_is_that_of_energy_on_one_grid() -> None:
    found = break_even("12J", "8J", ["1kWh"], g_per_kwh=400.0)
    assert by(found, "carbon_g")["development"]["value"] == pytest.approx(400.0)
    assert by(found, "carbon_g")["requests"]["value"] == pytest.approx(found["requests"]["value"]) == 900_000.0
    unpriced = by(break_even("12J", "8J", ["1kWh"]), "carbon_g")
    assert unpriced["verdict"] == "unknown"
    assert unpriced["why"] == "12J, 8J and 1kWh are energy without a place (--g-per-kwh prices it)"


def test_amounts_of_carbon_tell_carbon_alone() -> None:
    found = break_even("2g", "1g", ["1kg"])
    assert (found["measure"], found["requests"]["value"]) == ("carbon_g", 1000.0)
    assert by(found, "energy_j")["verdict"] == "unknown"


def test_what_a_server_saves_is_its_requests_energy_and_the_rate_is_measured(tmp_path: Path) -> None:
    before, after = serving(tmp_path, 12.0, run_id="a-before"), serving(tmp_path, 8.0, run_id="b-after")
    found = break_even(before, after, ["1kWh"])
    row = by(found, "energy_j")
    assert row["saving"]["value"] == pytest.approx(4.0)
    assert found["requests"]["value"] == pytest.approx(900_000.0)
    assert found["rate"] == {"per_day": pytest.approx(2400.0), "how": "as measured after the change"}
    assert row["payback_s"]["value"] == pytest.approx(900_000 / 2400 * 86_400)
    json.dumps(found, allow_nan=False)


def test_the_gain_of_a_counter_that_counted_both_hides_no_saving(tmp_path: Path) -> None:
    """A gain of 5 % either way, and a saving of 3 %."""
    one = break_even(serving(tmp_path, 10.0, run_id="a"), serving(tmp_path, 9.7, run_id="b"), ["1kWh"])
    other = break_even(serving(tmp_path, 10.0, run_id="c"), serving(tmp_path, 9.7, run_id="d", host="beta"), ["1kWh"])
    assert by(one, "energy_j")["verdict"] == "pays"
    assert by(one, "energy_j")["saving"]["low"] == pytest.approx(0.3 * 0.95)
    assert by(other, "energy_j")["verdict"] == "never"
    assert by(other, "energy_j")["why"] == "what meters and prices may be off by is more than the saving"


def test_hours_that_differ_more_than_what_is_saved_make_it_never(tmp_path: Path) -> None:
    found = break_even(
        serving(tmp_path, 10.0, run_id="a", spread=0.3), serving(tmp_path, 9.5, run_id="b", spread=0.3), ["1kWh"]
    )
    row = by(found, "energy_j")
    assert (row["verdict"], row["requests"]["high"]) == ("never", None)
    assert row["why"] == "the saving is not above what is noise"
    assert 0.5 < row["probability"] < 0.9
    assert any("never pays back" in sentence for sentence in found["sentences"])


def test_what_is_dearer_than_before_never_pays(tmp_path: Path) -> None:
    found = break_even(serving(tmp_path, 10.0, run_id="a"), serving(tmp_path, 20.0, run_id="b"), ["1kWh"])
    assert found["requests"] == {"value": None, "low": None, "high": None}
    assert by(found, "energy_j")["why"] == "a request costs more than before"
    assert by(found, "energy_j")["probability"] < 1e-6


def test_a_run_counts_by_the_items_that_it_says_and_one_run_is_as_noisy_as_repeats() -> None:
    before, after = (run(name, power_w=watts) for name, watts in (("slow", 50.0), ("fast", 25.0)))
    before["run"]["attributes"]["items"] = after["run"]["attributes"]["items"] = 1000
    found = break_even(before, after, ["1kJ"])
    assert found["before"]["energy_j"]["value"] == pytest.approx(5.0)
    assert found["before"]["energy_j"]["error"] == pytest.approx(0.16)
    assert found["requests"]["value"] == pytest.approx(400.0)
    assert any("3.2 % is taken" in note for note in found["notes"])
    del after["run"]["attributes"]["items"]
    with pytest.raises(NoBreakEven, match="does not say how many items"):
        break_even(before, after, ["1kJ"])


def test_the_making_of_hardware_counts_where_it_is_known_on_both_sides() -> None:
    before, after, training = run("a"), run("b", power_w=25.0), run("t", power_w=500.0)
    for document, grams in ((before, 20.0), (after, 10.0), (training, 100.0)):
        document["run"]["attributes"]["items"] = 100
        document["footprint"]["embodied_g"] = quantity(grams)
    row = by(break_even(before, after, [training]), "carbon_g")
    operation_g = 100 * 500 / J_PER_KWH * 100
    assert row["development"]["value"] == pytest.approx(operation_g + 100.0)
    assert row["saving"]["value"] == pytest.approx((100 * 25 / J_PER_KWH * 100 + 10) / 100)
    del after["footprint"]["embodied_g"]
    found = break_even(before, after, [training])
    assert by(found, "carbon_g")["saving"]["value"] == pytest.approx(100 * 25 / J_PER_KWH * 100 / 100)
    assert found["embodied"]["in_development"]
    assert not found["embodied"]["in_requests"]
    assert any("it is not counted" in sentence for sentence in found["sentences"])


def test_a_part_that_the_development_lacks_makes_it_a_lower_bound() -> None:
    training = run("t", missing=("a/gpu:A",))
    found = break_even("12J", "8J", [training])
    assert found["requests"]["high"] is None
    assert any("at least" in s and "a/gpu:A" in s for s in found["sentences"])


def test_training_again_pays_where_enough_requests_come_in_between() -> None:
    asked = ("12J", "8J", ["1kWh"])
    often = by(break_even(*asked, per_day=1000.0, retrain_every_s=30 * 86_400.0), "energy_j")["retraining"]
    seldom = by(break_even(*asked, per_day=1000.0, retrain_every_s=1000 * 86_400.0), "energy_j")["retraining"]
    assert (often["pays"], seldom["pays"]) == (False, True)
    assert often["requests_between"] == pytest.approx(30_000)
    year = often["per_year"]
    assert year["trainings"] == pytest.approx(365.25 / 30)
    assert year["total_after"] == pytest.approx(365.25 / 30 * J_PER_KWH + 365_250 * 8)
    assert year["total_before"] == pytest.approx(365_250 * 12)
    doubtful = break_even("12J±2", "8J±2", ["1kWh"], per_day=1000.0, retrain_every_s=900 * 86_400.0)
    assert by(doubtful, "energy_j")["retraining"]["pays"] is None


def test_grams_of_two_bases_are_not_mixed_and_two_grids_are_told() -> None:
    before, after = run("a"), run("b", power_w=25.0, basis="direct")
    for document in (before, after):
        document["run"]["attributes"]["items"] = 100
    assert "different bases (direct, lifecycle)" in by(break_even(before, after, ["1kJ"]), "carbon_g")["why"]
    after["price"]["basis"] = "lifecycle"
    after["run"]["zone"] = "FR"
    assert any("a part is the grid’s" in note for note in break_even(before, after, ["1kJ"])["notes"])


def test_runs_that_still_go_on_are_named(tmp_path: Path) -> None:
    training = run("t", status="running")
    found = break_even("12J", "8J", [training])
    assert any("t (id-of-t) is still running" in sentence for sentence in found["sentences"])


@pytest.mark.parametrize(
    ("given_", "word"),
    [
        ({"development": []}, "what did the development take"),
        ({"before": "12"}, "is no amount"),
        ({"per_day": 0.0}, "above zero, not 0"),
        ({"retrain_every_s": 86_400.0}, "--rate says it"),
    ],
)
def test_a_question_without_an_answer_says_why(given_: Json, word: str) -> None:
    asked = {"before": "12J", "after": "8J", "development": ["1kJ"], **given_}
    with pytest.raises(NoBreakEven, match=word):
        break_even(**asked)


def test_a_server_without_requests_has_no_cost_of_one(tmp_path: Path) -> None:
    idle = served_run(tmp_path, [Hour(0, 0, {"gpu:A": (0.0, 0.0)}, nobody={"gpu:A": 50.0})], channels=(GPU,)).document()
    with pytest.raises(NoBreakEven, match="no request has ended"):
        break_even(idle, "1J", ["1kJ"])


def test_a_run_is_not_developed_twice() -> None:
    training, inner = run("t"), run("u")
    with pytest.raises(NoBreakEven, match="named twice"):
        break_even("12J", "8J", [training, training])
    inner["run"]["enclosing_run"] = training["run"]["id"]
    with pytest.raises(NoBreakEven, match="recorded inside"):
        break_even("12J", "8J", [training, inner])


def test_a_figure_read_back_is_the_same() -> None:
    figure = Quantity(1.0, 0.5, None, "modelled", "a formula", ("a part",))
    assert Quantity.from_json(figure.to_json()) == figure
    assert Quantity.from_json(None).value is None


def test_where_models_hide_a_saving_it_is_said_that_they_do(tmp_path: Path) -> None:
    """Ten per cent less, by a formula that may be off by half or twice."""
    sides = []
    for name, cost in (("a", 10.0), ("b", 9.0)):
        hours = [Hour(n, 100, {"cpu:model": (100 * cost, 0.0)}) for n in range(6)]
        sides.append(served_run(tmp_path, hours, intensity(360.0), run=name, channels=(CPU,)).document())
    row = by(break_even(*sides, ["1kWh"]), "energy_j")
    assert (row["verdict"], row["why"]) == ("never", "what meters and prices may be off by is more than the saving")


def test_other_devices_than_before_are_told(tmp_path: Path) -> None:
    hours = [Hour(0, 100, {"gpu:A": (100.0, 0.0), "cpu:model": (100.0, 0.0)})]
    before = served_run(tmp_path, hours, intensity(360.0), run="a", channels=(GPU, CPU)).document()
    found = break_even(before, serving(tmp_path, 1.0, run_id="b"), ["1kWh"])
    assert any("Before, cpu and gpu was counted, after, gpu" in sentence for sentence in found["sentences"])
