"""Runs of known figures, compared."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from compared import compared, footprint, quantity, repriced, run
from hypothesis import given
from hypothesis import strategies as st

from joulegram.analysis.compare import compare
from joulegram.analysis.quality import CannotCompare

Json = dict[str, Any]
BUSY = {"data": 0.04, "forward": 0.36, "backward": 0.6}


def agreed(found: Json, x: str, y: str) -> Json:
    return next(a for a in found["agreements"] if (a["x"], a["y"]) == (x, y))


def column(found: Json, name: str) -> list[Any]:
    return [point[name] for point in found["points"]]


def told(found: Json, *words: str) -> str:
    """The one sentence with all of these words."""
    (sentence,) = [s for s in found["sentences"] if all(word in s for word in words)]
    return str(sentence)


def test_a_pair_is_told_of_by_its_energy_where_that_flips_and_else_by_its_time() -> None:
    a, b = run("a", 100, 50, flops=1e12), run("b", 150, 50, flops=0.8e12)
    assert "50 % more energy" in told(compared(a, b), "needs")
    assert "50 % more time" in told(compared(a, run("b", 150, 33, flops=0.8e12)), "needs")


def test_runs_are_ranked_by_every_measure_and_those_within_the_noise_share_a_rank() -> None:
    found = compared(
        run("a", 100, 50, parameters=1000, flops=4e9),
        run("b", 103, 50, parameters=500, flops=3e9),
        run("c", 200, 50, parameters=2000, flops=2e9),
    )
    assert [p["label"] for p in found["points"]] == ["A", "B", "C"]
    assert [p["ranks"]["duration_s"] for p in found["points"]] == [1, 1, 3]
    assert [p["tied"]["duration_s"] for p in found["points"]] == [True, True, False]
    assert [p["ranks"]["parameters"] for p in found["points"]] == [2, 1, 3]
    assert [p["ranks"]["flops"] for p in found["points"]] == [3, 2, 1]


def test_a_pair_flips_where_fewer_flops_come_with_more_energy() -> None:
    found = compared(run("a", 100, 50, flops=1e12), run("b", 120, 50, flops=0.8e12), run("c", 300, 50, flops=3e12))
    pair = agreed(found, "flops", "energy_j")
    assert (pair["pairs"], pair["flipped"], pair["tied"]) == (3, 1, 0)
    assert pair["flips"] == [["A", "B"]]
    assert "Of 3 pairs, 1 (33 %) is in another order by energy than by FLOPs." in found["sentences"]


def test_a_difference_within_the_noise_is_a_tie_and_flips_nothing() -> None:
    found = compared(run("a", 100, 50, flops=1e12), run("b", 104, 50, flops=0.5e12))
    pair = agreed(found, "flops", "energy_j")
    assert (pair["flipped"], pair["tied"]) == (0, 1)
    assert not [sentence for sentence in found["sentences"] if "needs" in sentence]


def test_waiting_for_data_is_the_reason_where_the_longer_time_was_spent_in_it() -> None:
    found = compared(
        run("a", 100, 50, flops=1e12, phases=BUSY),
        run("b", 109, 50, flops=0.82e12, phases={"data": 0.31, "forward": 0.26, "backward": 0.43}),
    )
    assert told(found, "FLOPs", "more energy") == (
        "B needs 18 % fewer FLOPs than A and 9 % more energy: it takes 9 % longer, and it spends 31 % of its "
        "time waiting for data, A 4 %."
    )


def test_power_is_the_reason_where_the_time_is_not() -> None:
    found = compared(run("a", 100, 50, flops=1e12), run("b", 90, 80, flops=0.8e12))
    assert told(found, "fewer FLOPs", "more energy").endswith("44 % more energy: it draws 80.0 W on average, A 50.0 W.")


def test_a_slower_pace_is_the_reason_where_computing_took_the_longer_time() -> None:
    found = compared(run("a", 100, 50, flops=1e12, phases=BUSY), run("b", 150, 50, flops=0.8e12, phases=BUSY))
    assert told(found, "fewer FLOPs", "more energy").endswith(
        "it takes 50 % longer, and it computes 5.56 GFLOP a second, A 10.4 GFLOP."
    )


def test_no_reason_is_made_up_where_no_phase_was_measured() -> None:
    found = compared(run("a", 100, 50, parameters=10), run("b", 150, 34, parameters=5))
    assert told(found, "fewer parameters", "more time") == "B needs 50 % fewer parameters than A and 50 % more time."


def test_a_dirtier_hour_is_not_taken_for_less_efficiency() -> None:
    found = compared(run("a", 100, 50, intensity=95), run("b", 90, 50, intensity=210))
    assert agreed(found, "energy_j", "carbon_g")["flipped"] == 1
    assert agreed(found, "energy_j", "carbon_equal_g")["flipped"] == 0
    assert column(found, "carbon_equal_g") == pytest.approx([100 * 50 / 3.6e6 * 200, 90 * 50 / 3.6e6 * 200])
    assert told(found, "needs", "carbon") == (
        "B needs 10 % less energy than A and 99 % more carbon: its electricity was of 210 gCO₂e/kWh, that of A of 95."
    )


def test_missing_flops_are_missing_and_drop_out_of_their_column_alone() -> None:
    found = compared(run("a", 100, flops=1e12), run("b", 150), run("c", 200, flops=2e12))
    assert column(found, "flops") == [1e12, None, 2e12]
    assert [p["ranks"]["flops"] for p in found["points"]] == [1, None, 2]
    assert agreed(found, "flops", "energy_j")["pairs"] == 1
    assert agreed(found, "duration_s", "energy_j")["pairs"] == 3
    assert "no FLOPs of B: no step was counted" in found["notes"]


def test_energy_that_lacks_a_part_is_not_compared_with_whole_energy() -> None:
    found = compared(run("a", 100), run("b", 50, missing=("host/gpu:A",)), run("c", 120))
    assert [p["ranks"]["energy_j"] for p in found["points"]] == [1, None, 2]
    assert "energy of B is not compared: it lacks gpu" in found["notes"]


def test_energy_that_lacks_the_same_part_everywhere_is_compared_and_it_is_said() -> None:
    found = compared(run("a", 100, missing=("one/gpu:A",)), run("b", 50, missing=("two/gpu:B",)))
    assert [p["ranks"]["energy_j"] for p in found["points"]] == [2, 1]
    assert "energy of all lacks gpu" in found["notes"]


def test_carbon_on_different_bases_is_never_compared() -> None:
    found = compared(run("a", 100), run("b", 50, basis="direct"))
    assert [p["ranks"]["carbon_g"] for p in found["points"]] == [None, None]
    assert [p["ranks"]["carbon_equal_g"] for p in found["points"]] == [2, 1]
    assert any("some runs are priced on the direct and some on the lifecycle basis" in note for note in found["notes"])


def test_methods_that_differ_are_told() -> None:
    modelled = run("b", 150)
    modelled["footprint"]["energy_j"]["method"] = "modelled"
    assert "energy is measured for A and modelled for B" in compared(run("a", 100), modelled)["notes"]


def test_repeats_of_a_set_up_tell_the_noise_whether_compared_or_not() -> None:
    repeats = [run("a", seconds) for seconds in (90, 100, 110, 95, 105)]
    found = compared(run("a", 100), run("b", 112), repeats=repeats)
    (noise,) = [m for m in found["measures"] if m["field"] == "duration_s"]
    deviation = np.std([100, 90, 100, 110, 95, 105], ddof=1) / 100
    assert noise["noise"] == pytest.approx(2.8 * deviation)
    assert noise["noise_how"] == "from 6 repeats of 1 set-up"
    assert [p["tied"]["duration_s"] for p in found["points"]] == [True, True]


def test_runs_of_one_set_up_alone_are_compared_and_no_repeats() -> None:
    found = compared(run("a", 100, flops=1e9), run("a", 112, flops=1e9))
    assert [p["ranks"]["duration_s"] for p in found["points"]] == [1, 2]
    assert "no repeats" in found["measures"][2]["noise_how"]


@pytest.mark.parametrize("change", [{"parameters": 7}, {"flops": 9e9}], ids=["parameters", "FLOPs"])
def test_runs_of_one_name_but_another_set_up_are_no_repeats(change: Json) -> None:
    same: Json = {"parameters": 5, "flops": 1e9}
    found = compared(run("a", 100, **same), run("a", 300, **(same | change)))
    assert "no repeats" in found["measures"][2]["noise_how"]


def test_the_front_against_a_metric_differs_by_cost() -> None:
    found = compared(
        run("a", 100, parameters=100, metrics={"val_acc": 0.9}),
        run("b", 200, parameters=50, metrics={"val_acc": 0.9}),
        run("c", 300, parameters=200, metrics={"val_acc": 0.8}),
    )
    quality = found["quality"]
    assert (quality["metric"], quality["better"], quality["how"]) == ("val_acc", "higher", "guessed from its name")
    assert quality["fronts"]["energy_j"] == ["A"]
    assert quality["fronts"]["parameters"] == ["B"]
    assert "flops" not in quality["fronts"]


def test_what_is_better_can_be_given() -> None:
    pair = run("a", 100, metrics={"loss": 1.0}), run("b", 200, metrics={"loss": 2.0})
    assert compared(*pair)["quality"]["fronts"]["energy_j"] == ["A"]
    assert compared(*pair, better="higher")["quality"]["fronts"]["energy_j"] == ["A", "B"]


def test_of_several_metrics_none_is_chosen_by_itself() -> None:
    pair = run("a", metrics={"loss": 1.0, "acc": 0.5}), run("b", metrics={"acc": 0.6})
    assert compared(*pair)["quality"] == {"metric": None, "why": "--metric chooses one of acc, loss"}
    assert compared(*pair, metric="loss")["quality"]["metric"] == "loss"


def test_epochs_are_points_of_their_own() -> None:
    found = compared(run("a", 100, epochs=2), run("b", 300, epochs=3), by="epoch")
    assert column(found, "label") == ["A·0", "A·1", "B·0", "B·1", "B·2"]
    assert column(found, "duration_s") == pytest.approx([50, 50, 100, 100, 100])


@pytest.mark.parametrize(
    ("documents", "how", "said"),
    [
        ([run("a")], {}, "two runs that are over are needed: a (id-of-a) is only one"),
        ([run("a"), run("b", status="running")], {}, "b (id-of-b) is still open and left out"),
        ([run("a"), run("b")], {"metric": "f1"}, "no run has a metric 'f1'; they have none: run.log(accuracy=…)"),
        ([run("a", metrics={"x": 1}), run("b")], {"metric": "x"}, "add --higher or --lower"),
        ([run("a"), run("b")], {"by": "epoch"}, "two epochs or more are needed; these runs have 0"),
        ([run("a", epochs=2), run("b")], {"by": "epoch", "metric": "f1"}, "does not go with --by epoch"),
    ],
)
def test_what_cannot_be_compared_is_told_in_one_line(documents: list[Json], how: Json, said: str) -> None:
    with pytest.raises(CannotCompare) as error:
        compared(*documents, **how)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_run_that_failed_is_compared_and_it_is_said() -> None:
    found = compared(run("a"), run("b", status="failed"), run("c", status="running"))
    assert column(found, "name") == ["a", "b"]
    assert found["notes"][:2] == [
        "c (id-of-c) is still open and left out",
        "b (id-of-b) failed: its figures are of the part that ran",
    ]


def test_runs_without_energy_are_still_ranked_by_the_rest() -> None:
    silent = run("b", 50, flops=1e9)
    silent["footprint"] |= {name: quantity(None, "no meter") for name in ("energy_j", "facility_energy_j", "carbon_g")}
    found = compare([run("a", 100), silent], [repriced(run("a", 100)), silent])
    assert column(found, "energy_j") == [5000.0, None]
    assert [p["ranks"]["duration_s"] for p in found["points"]] == [2, 1]
    assert "no energy of B: no meter" in found["notes"]


def test_words_are_of_five_pairs_at_most_and_of_each_pair_of_set_ups_once() -> None:
    runs = [run(f"r{i}", 100 * 1.2**i, flops=1e12 / 1.2**i) for i in range(8)]
    repeated = [run("r0", 100.5, flops=1e12), run("r7", 100 * 1.2**7, flops=1e12 / 1.2**7)]
    found = compared(*runs, *repeated)
    pairs = [sentence for sentence in found["sentences"] if "needs" in sentence]
    assert len(pairs) == 5
    assert pairs[0].startswith(("H needs 72 % fewer FLOPs than A", "J needs 72 % fewer FLOPs than A",
                                "H needs 72 % fewer FLOPs than I", "J needs 72 % fewer FLOPs than I"))  # fmt: skip
    assert len([s for s in pairs if "72 % fewer" in s]) == 1


@given(
    st.lists(st.tuples(st.floats(1, 1e4), st.floats(1, 500), st.none() | st.floats(1, 1e15)), min_size=2, max_size=6)
)
def test_any_runs_give_plain_data_whose_parts_agree(figures: list[tuple[float, float, float | None]]) -> None:
    runs = [run(f"r{i}", seconds, watts, flops=flops) for i, (seconds, watts, flops) in enumerate(figures)]
    found = json.loads(json.dumps(compared(*runs), allow_nan=False))
    for pair in found["agreements"]:
        assert len(pair["flips"]) == pair["flipped"]
        assert pair["points"] == sum(p[pair["x"]] is not None and p[pair["y"]] is not None for p in found["points"])
    for measure in found["measures"]:
        places = [p["ranks"][measure["field"]] for p in found["points"] if p[measure["field"]] is not None]
        assert not places or min(places) == 1


def test_a_metric_that_is_no_number_is_none() -> None:
    found = compared(run("a", metrics={"loss": math.nan}), run("b", metrics={"loss": 1.0}))
    assert column(found, "metrics") == [{}, {"loss": 1.0}]
    assert found["quality"]["fronts"]["energy_j"] == ["B"]


def test_a_footprint_without_phases_or_efficiency_will_do() -> None:
    bare = run("b", 150)
    bare["footprint"] = {k: v for k, v in footprint(150, 50).items() if k not in ("phases", "efficiency", "flops")}
    assert column(compared(run("a"), bare), "flops") == [None, None]
