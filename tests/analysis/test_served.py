from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from served_runs import CPU, GPU, MIDNIGHT_S, Hour, intensity, served_run

from joulegram.analysis.served import NothingServed, serve_report, utilisation
from joulegram.records import Pue
from joulegram.units import J_PER_KWH

Json = dict[str, Any]


def hour(number: int, requests: int, whole_j: float, length_s: float = 3600.0) -> Json:
    return {
        "start_s": MIDNIGHT_S + 3600 * number,
        "length_s": length_s,
        "requests": requests,
        "whole_j": {"value": whole_j},
    }


def told(found: Json) -> str:
    return "\n".join(found["sentences"])


def one(document: Json) -> Json:
    (report,) = serve_report([document])["runs"]
    return dict(report)


def busy_day(ledger: Path, **more: Any) -> Json:
    """A device that draws 100 W whatever it does, and 50 J more for each request; 10 to 230 of these an hour."""
    hours = []
    for number in range(12):
        requests = 10 + 20 * number
        in_flight_j = 360_000.0 * requests / 300
        parts = {"gpu:A": (50.0 * requests, in_flight_j)}
        nobody = {"gpu:A": 360_000.0 - in_flight_j}
        hours.append(Hour(number, requests, parts, nobody, tokens=100.0 * requests))
    return served_run(ledger, hours, intensity(360.0), **more).document()


def test_idle_power_and_what_is_nobodys_are_told_as_parts_of_the_whole(tmp_path: Path) -> None:
    report = one(busy_day(tmp_path))
    whole_j = 12 * 360_000.0 + 50.0 * 1440
    idle = report["idle"]
    assert idle["whole_j"] == pytest.approx(whole_j)
    assert idle["share"] == pytest.approx(12 * 360_000.0 / whole_j)
    assert idle["share"] == pytest.approx(idle["idle_shared_share"] + idle["unattributed_share"])
    assert "98 % of 1.22 kWh was idle power or nobody’s: 39 % was idle power" in told(report)


def test_low_utilisation_costs_what_the_busiest_hours_would_have_saved(tmp_path: Path) -> None:
    found = one(busy_day(tmp_path))["utilisation"]
    busiest = (190 + 210 + 230, 3 * 360_000.0 + 50.0 * 630)
    assert (found["busiest"]["requests"], found["busiest"]["hours"]) == (630, 3)
    assert found["busiest"]["j_per_request"] == pytest.approx(busiest[1] / busiest[0])
    assert found["all"]["j_per_request"] == pytest.approx(3000.0 + 50.0)
    assert found["price_j"] == pytest.approx((3050.0 - busiest[1] / busiest[0]) * 1440)
    assert found["price_share"] == pytest.approx(found["price_j"] / (12 * 360_000.0 + 72_000.0))


def test_where_there_is_too_little_to_tell_what_low_utilisation_costs_that_is_said() -> None:
    few = [hour(n, 100 * (n + 1), 1000.0) for n in range(3)]
    assert "3 hours of at least 30 minutes, and 4 are needed" in utilisation(few)["why"]
    assert "3 hours" in utilisation([*few, hour(3, 5, 10.0, length_s=1200.0)])["why"]
    even = [hour(n, 100 + n, 1000.0) for n in range(24)]
    assert "traffic was even" in utilisation(even)["why"]
    assert utilisation([hour(n, 0, 1000.0) for n in range(24)])["why"] == "no request ended in them"


def test_busy_hours_that_cost_more_are_no_price_of_low_utilisation(tmp_path: Path) -> None:
    hours = [Hour(n, 10 ** (n % 3), {"gpu:A": (float(100 ** (n % 3)), 1.0)}) for n in range(9)]
    report = one(served_run(tmp_path, hours, intensity(360.0)).document())
    assert report["utilisation"]["price_j"] < 0
    assert "low utilisation cost nothing that can be seen" in told(report)


def test_work_inside_of_requests_is_told_apart_and_no_total_counts_it(tmp_path: Path) -> None:
    hours = [
        Hour(0, 12, {"gpu:A": (90.0, 30.0)}),
        Hour(0, 4, {"gpu:A": (0.0, 0.0)}, route="within predictions", items=10.0, failed=1),
    ]
    report = one(served_run(tmp_path, hours, intensity(360.0)).document())
    assert report["served"]["total"]["requests"] == 12
    assert [row["route"] for row in report["served"]["routes"]] == ["/a"]
    assert "Within these: 4 predictions of 10 items, 2.5 each, 1 failed." in told(report)
    assert "A request was charged 10.0 J" in told(report)


def test_energy_is_told_beside_traffic(tmp_path: Path) -> None:
    report = one(busy_day(tmp_path))
    assert report["traffic"]["requests_factor"] == pytest.approx(23.0)
    assert report["traffic"]["power_factor"] == pytest.approx((360_000 + 11_500) / (360_000 + 500))
    assert "rose 23 times (10 to 230), energy 1.03 times (100 Wh to 103 Wh)" in told(report)


def test_the_sci_score_holds_all_energy_pue_once_and_embodied_emissions_where_they_are_counted(tmp_path: Path) -> None:
    document = busy_day(tmp_path, pue=Pue(1.5, 1.5, 1.5, "measured", "as given"))
    operation_g = 1.5 * 360.0 * (12 * 360_000.0 + 72_000.0) / J_PER_KWH
    without = one(document)["sci"]
    assert without["operation_g"]["value"] == pytest.approx(operation_g)
    assert without["g_per_request"]["value"] == pytest.approx(operation_g / 1440)
    assert without["g_per_request"]["high"] is None
    assert without["g_per_request"]["missing"] == ["embodied emissions: not counted"]
    assert "M not counted" in told(one(document))
    made = {"value": 144.0, "low": 100.0, "high": 200.0, "method": "estimated", "how": "a table", "missing": []}
    document["footprint"]["embodied_g"] = made
    counted = one(document)["sci"]["g_per_request"]
    assert counted["value"] == pytest.approx(operation_g / 1440 + 0.1)
    assert (counted["method"], counted["missing"]) == ("estimated", [])
    assert "M = 144 g" in told(one(document))


def test_a_run_without_a_price_has_energy_and_no_score(tmp_path: Path) -> None:
    report = one(served_run(tmp_path, [Hour(0, 2, {"gpu:A": (9.0, 1.0)})]).document())
    assert "2 requests, 10.0 J and no carbon, as no price is known" in told(report)
    assert "A request was charged 5.00 J; " in told(report)
    assert "There is no SCI score: no average, location-based, lifecycle intensity is known." in told(report)


def test_a_run_in_which_no_request_ended_says_what_was_counted(tmp_path: Path) -> None:
    found = one(served_run(tmp_path, [Hour(0, 0, {}, {"gpu:A": 7200.0})], intensity(360.0)).document())
    assert found["sentences"] == [
        "No request has ended in 1 h 00 min; 2.00 Wh was counted meanwhile, all of it nobody’s."
    ]


def test_a_run_that_has_told_of_no_hour_and_one_that_did_not_serve_say_so(tmp_path: Path) -> None:
    untold = served_run(tmp_path, []).document()
    assert "No hour of this run has been told yet" in told(one(untold))
    untold["run"]["stage"] = "train"
    with pytest.raises(NothingServed, match="is of stage train and served nothing"):
        serve_report([untold])


def test_a_running_server_is_told_so_far(tmp_path: Path) -> None:
    document = served_run(tmp_path, [Hour(0, 2, {"gpu:A": (9.0, 1.0)})], untold_j=5.0).document()
    document["run"]["status"] = "running"
    assert "It is still running: these are the figures so far" in told(one(document))
    assert "5.00 J of the 15.0 J counted (33 %) is in no hour: of requests in flight" in told(one(document))


def test_what_was_lost_late_or_dropped_is_told(tmp_path: Path) -> None:
    document = served_run(tmp_path, [Hour(0, 2, {"gpu:A": (9.0, 1.0)}, {"gpu:A": 3.0})]).document()
    assert "to be counted" not in told(one(document))
    document["served"]["total"] |= {"lost": 1200, "late": 3, "dropped": 2}
    said = told(one(document))
    assert "1,200 requests found no room to be counted and 2 requests ended with their process" in said
    assert "3 events came late" in said


def test_tokens_of_routes_that_told_of_none_are_not_passed_over(tmp_path: Path) -> None:
    hours = [Hour(0, 2, {"gpu:A": (1000.0, 0.0)}, tokens=500.0), Hour(0, 1, {"gpu:A": (50.0, 0.0)}, route="/b")]
    said = told(one(served_run(tmp_path, hours).document()))
    assert "1,000 of 500 tokens were charged 2,100 J, routes that told of none included" in said


def test_hosts_stand_side_by_side_with_their_sum(tmp_path: Path) -> None:
    runs = [
        served_run(tmp_path, [Hour(0, 3, {"gpu:A": (900.0, 0.0)}, {"gpu:A": 100.0})], intensity(360.0), run="r1"),
        served_run(tmp_path, [Hour(0, 1, {"gpu:A": (90.0, 9.0)})], intensity(720.0), run="r2", host="beta"),
    ]
    found = serve_report([run.document() for run in runs])
    assert [report["label"] for report in found["runs"]] == ["alpha", "beta"]
    everything = found["sum"]["total"]
    assert everything["requests"] == 4
    assert everything["whole_j"]["value"] == pytest.approx(1099.0)
    assert everything["whole_g"]["value"] == pytest.approx(0.1 + 0.0198)
    assert everything["j_per_request"]["value"] == pytest.approx(999.0 / 4)
    assert found["sum"]["sci"]["g_per_request"]["value"] == pytest.approx(0.1198 / 4)
    assert "2 runs together: 4 requests, 1,099 J and 120 mg CO₂e." in told(found)


def test_nothing_is_added_up_that_two_runs_counted_and_no_carbon_on_two_bases(tmp_path: Path) -> None:
    hours = [Hour(0, 3, {"gpu:A": (900.0, 0.0)})]
    same = [served_run(tmp_path, hours, intensity(360.0), run=run).document() for run in ("r1", "r2")]
    found = serve_report(same)
    assert [report["label"] for report in found["runs"]] == ["alpha r1", "alpha r2"]
    assert found["sum"] == {
        "why": "alpha/gpu:A is counted by two of these runs at the same time: they are not added up"
    }
    other = served_run(tmp_path, hours, intensity(360.0), run="r3", host="beta").document()
    other["price"]["basis"] = "direct"
    mixed = serve_report([same[0], other])["sum"]["total"]
    assert mixed["whole_j"]["value"] == 1800.0
    assert mixed["whole_g"]["value"] is None
    assert "different bases" in mixed["whole_g"]["how"]


def test_a_run_that_has_told_of_no_hour_is_named_and_not_added(tmp_path: Path) -> None:
    documents = [
        served_run(tmp_path, [Hour(0, 3, {"gpu:A": (900.0, 0.0)})], run="r1").document(),
        served_run(tmp_path, [], run="r2", host="beta").document(),
    ]
    assert "Not in the sum: beta, of which no hour has been told yet." in told(serve_report(documents))
    assert serve_report(documents[1:] * 2)["sum"]["why"] == "no hour has been told yet"


@given(
    st.lists(
        st.builds(
            Hour,
            number=st.integers(0, 30),
            requests=st.integers(0, 10_000),
            joules=st.fixed_dictionaries(
                {},
                optional={name: st.tuples(*[st.floats(0, 1e7)] * 2) for name in ("gpu:A", "cpu:model")},
            ),
            route=st.sampled_from(["/a", "/b", "\x1b[31m<script>"]),
            tokens=st.floats(0, 1e6),
            failed=st.integers(0, 3),
        ),
        max_size=15,
        unique_by=lambda hour: (hour.number, hour.route),
    ),
    st.booleans(),
)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_was_served_there_are_sentences_and_json(
    tmp_path_factory: Any, hours: list[Hour], priced: bool
) -> None:
    points = [intensity(300.0)] if priced else []
    document = served_run(tmp_path_factory.mktemp("ledger"), hours, *points, channels=(GPU, CPU)).document()
    found = serve_report([document])
    assert json.loads(json.dumps(found, allow_nan=False)) == json.loads(json.dumps(found))
    assert found["sentences"]
    assert not any("nan" in sentence or "None" in sentence for sentence in found["sentences"])
