from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from served_runs import CPU, GPU, MIDNIGHT_S, WALL, Hour, intensity, served_run

from joulegram.records import Pue
from joulegram.units import J_PER_KWH

Json = dict[str, Any]
KWH = J_PER_KWH


def value(row: Json, field: str) -> float | None:
    figure: float | None = row[field]["value"]
    return figure


def route(served: Json, name: str) -> Json:
    (row,) = [row for row in served["routes"] if row["route"] == name]
    return dict(row)


def test_a_route_is_the_sum_of_its_hours_and_each_of_these_is_priced_by_itself(tmp_path: Path) -> None:
    hours = [
        Hour(0, 10, {"gpu:A": (1.0 * KWH, 0.5 * KWH)}, {"gpu:A": 0.25 * KWH}, tokens=2000.0, failed=1),
        Hour(1, 30, {"gpu:A": (2.0 * KWH, 0.5 * KWH)}, tokens=3000.0),
        Hour(1, 5, {"gpu:A": (0.5 * KWH, 0.0)}, route="/b", nobody={"gpu:A": 0.1 * KWH}),
    ]
    pue = Pue(1.2, 1.2, 1.2, "measured", "as given")
    served = served_run(tmp_path, hours, intensity(100.0, 0), intensity(400.0, 1), pue=pue).document()["served"]
    one = route(served, "/a")
    assert (one["requests"], one["failed"], one["tokens"]) == (40, 1, 5000.0)
    assert value(one, "active_j") == pytest.approx(3.0 * KWH)
    assert value(one, "idle_shared_j") == pytest.approx(1.0 * KWH)
    assert value(one, "energy_j") == pytest.approx(4.0 * KWH)
    assert value(one, "carbon_g") == pytest.approx(1.2 * (1.5 * 100 + 2.5 * 400))
    assert value(one, "j_per_request") == pytest.approx(4.0 * KWH / 40)
    assert value(one, "j_per_1000_tokens") == pytest.approx(4.0 * KWH / 5)
    assert value(one, "g_per_request") == pytest.approx(1.2 * 1150 / 40)
    assert value(route(served, "/b"), "j_per_1000_tokens") is None
    everything = served["total"]
    assert value(everything, "unattributed_j") == pytest.approx(0.35 * KWH)
    assert value(everything, "whole_j") == pytest.approx(4.85 * KWH)
    assert value(everything, "whole_g") == pytest.approx(1.2 * (1.75 * 100 + 3.1 * 400))
    assert [hour["start_s"] for hour in served["hours"]] == [MIDNIGHT_S, MIDNIGHT_S + 3600]
    assert [hour["length_s"] for hour in served["hours"]] == [3600.0, 3600.0]
    assert [value(hour, "g_per_j") for hour in served["hours"]] == pytest.approx([120 / KWH, 480 / KWH])


def test_the_figures_of_a_run_and_of_what_it_served_are_one_where_all_was_told(tmp_path: Path) -> None:
    hours = [Hour(n, 7, {"gpu:A": (900.0 * n, 50.0)}, {"gpu:A": 30.0}) for n in range(4)]
    document = served_run(tmp_path, hours, *(intensity(50.0 + 100 * n, n) for n in range(4))).document()
    everything, footprint = document["served"]["total"], document["footprint"]
    for bound in ("value", "low", "high"):
        assert everything["whole_j"][bound] == pytest.approx(footprint["energy_j"][bound], rel=1e-6)
    assert value(everything, "whole_g") == pytest.approx(value(footprint, "carbon_g"), rel=1e-6)


def test_a_meter_may_be_off_and_a_model_more_so(tmp_path: Path) -> None:
    hours = [Hour(0, 10, {"gpu:A": (1000.0, 200.0), "cpu:model": (300.0, 0.0)})]
    served = served_run(tmp_path, hours, intensity(360.0), channels=(GPU, CPU)).document()["served"]
    energy = route(served, "/a")["energy_j"]
    assert energy["low"] == pytest.approx(0.95 * 1200 + 0.5 * 300)
    assert energy["high"] == pytest.approx(1.05 * 1200 + 2.0 * 300)
    assert energy["method"] == "modelled"
    assert "shared by weight" in energy["how"]
    assert [channel["method"] for channel in served["channels"]] == ["modelled", "measured"]


def test_idle_power_that_is_not_known_is_missing_and_not_zero(tmp_path: Path) -> None:
    hours = [Hour(0, 10, {"gpu:A": (1000.0, 200.0), "cpu:model": (300.0, 0.0)})]
    served = served_run(tmp_path, hours, channels=(GPU, CPU)).document()["served"]
    idle = served["total"]["idle_shared_j"]
    assert (idle["value"], idle["high"], idle["missing"]) == (200.0, None, ["alpha/cpu:model"])
    assert value(served["total"], "energy_j") == 1500.0
    assert [channel["idle_shared_j"] for channel in served["channels"]] == [None, 200.0]


def test_what_another_channel_contains_is_shown_and_not_added(tmp_path: Path) -> None:
    hours = [Hour(0, 10, {"gpu:A": (1000.0, 0.0), "node:plug": (1500.0, 0.0)}, {"gpu:A": 5.0, "node:plug": 9.0})]
    served = served_run(tmp_path, hours, intensity(360.0), channels=(GPU, WALL)).document()["served"]
    assert value(served["total"], "energy_j") == 1500.0
    assert value(served["total"], "unattributed_j") == 9.0
    assert value(served["total"], "whole_g") == pytest.approx(1509.0 * 1e-4)
    inside = {channel["id"]: channel["inside"] for channel in served["channels"]}
    assert inside == {"alpha/gpu:A": "alpha/node:plug", "alpha/node:plug": None}


def test_what_no_price_or_no_counter_tells_is_missing_and_never_zero(tmp_path: Path) -> None:
    unpriced = served_run(tmp_path / "1", [Hour(0, 10, {"gpu:A": (1000.0, 0.0)})]).document()["served"]
    assert value(unpriced["total"], "energy_j") == 1000.0
    assert value(unpriced["total"], "carbon_g") is None
    uncounted = served_run(tmp_path / "2", [Hour(0, 10)], intensity(360.0)).document()["served"]
    assert uncounted["total"]["requests"] == 10
    assert value(uncounted["total"], "whole_j") is None
    assert value(uncounted["total"], "j_per_request") is None
    half = [Hour(n, 10, {"gpu:A": (1000.0, 0.0)}) for n in range(2)]
    partly = served_run(tmp_path / "3", half, intensity(360.0, 1)).document()["served"]["total"]["carbon_g"]
    assert partly["value"] == pytest.approx(0.1)
    assert partly["high"] is None
    assert partly["missing"] == ["hours without an intensity"]


def test_where_no_request_ended_none_was_charged_which_is_not_missing(tmp_path: Path) -> None:
    hours = [Hour(0, 0, {}, {"gpu:A": 5.0}), Hour(1, 2, {"gpu:A": (8.0, 1.0)})]
    served = served_run(tmp_path, hours, intensity(100.0)).document()["served"]
    assert [value(hour, "energy_j") for hour in served["hours"]] == [0.0, 9.0]
    assert value(served["hours"][0], "carbon_g") == 0.0
    assert value(served["hours"][0], "j_per_request") is None


def test_hours_in_which_nothing_was_used_are_priced_by_their_time(tmp_path: Path) -> None:
    hours = [Hour(0, 4, {"gpu:A": (10.0, 0.0)}), Hour(1, 1)]
    served = served_run(tmp_path, hours, intensity(100.0, 0), intensity(300.0, 1)).document()["served"]
    assert value(served["hours"][1], "g_per_j") == pytest.approx(300.0 / KWH)


def test_what_was_counted_and_told_of_no_hour_is_told(tmp_path: Path) -> None:
    served = served_run(tmp_path, [Hour(0, 4, {"gpu:A": (10.0, 0.0)})], untold_j=7.0).document()["served"]
    (channel,) = served["channels"]
    assert (channel["metered_j"], channel["untold_j"]) == (17.0, 7.0)


def test_only_runs_that_served_tell_of_it(tmp_path: Path) -> None:
    assert "served" not in served_run(tmp_path, []).document()


@given(
    st.lists(
        st.builds(
            Hour,
            number=st.integers(0, 5),
            requests=st.integers(0, 1000),
            joules=st.fixed_dictionaries(
                {"gpu:A": st.tuples(*[st.floats(1, 1e6)] * 2), "cpu:model": st.tuples(*[st.floats(1, 1e6)] * 2)}
            ),
            route=st.sampled_from("abc"),
            service=st.sampled_from("xy"),
        ),
        min_size=1,
        max_size=20,
        unique_by=lambda hour: (hour.number, hour.service, hour.route),
    )
)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_routes_services_and_hours_each_add_up_to_all(tmp_path_factory: Any, hours: list[Hour]) -> None:
    points = [intensity(100.0 * (n + 1), n) for n in range(6)]
    ledger = tmp_path_factory.mktemp("ledger")
    served = served_run(ledger, hours, *points, channels=(GPU, CPU)).document()["served"]
    for field in ("active_j", "idle_shared_j", "energy_j", "carbon_g"):
        for rows in ("routes", "services", "hours"):
            parts = sum(value(row, field) or 0.0 for row in served[rows])
            assert parts == pytest.approx(value(served["total"], field), rel=1e-9, abs=1e-9)
            quantity = served["total"][field]
            assert quantity["low"] <= quantity["value"]
            assert quantity["high"] is None or quantity["value"] <= quantity["high"]
    for rows in ("routes", "services", "hours"):
        assert sum(row["requests"] for row in served[rows]) == served["total"]["requests"]
