"""What a model has cost over its life, from runs of known cost."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lives import entry, story

from joulegram.analysis.entries import Served, alone, summed
from joulegram.analysis.lifecycle import NoLife, lifecycle
from joulegram.quantities import Quantity


def life(*entries: Any, **asked: Any) -> Any:
    return lifecycle(entries, project="p", **asked)


def energies(found: Any) -> dict[str, float]:
    """Joules by part."""
    return {part["part"]: part["energy_j"]["value"] for phase in found["phases"] for part in phase["parts"]}


def test_every_joule_is_in_one_part_of_development_or_deployment() -> None:
    found = life(*story())
    assert energies(found) == pytest.approx({
        "data": 100, "search": 200, "failed": 150, "train": 150, "final": 400, "requests": 600, "idle": 200,
        "retrain": 200,
    })  # fmt: skip
    development, deployment = found["phases"]
    assert (development["energy_j"]["value"], deployment["energy_j"]["value"]) == pytest.approx((1000, 1000))
    assert (development["runs"], deployment["runs"], deployment["requests"]) == (6, 2, 40)
    assert found["total"]["carbon_g"]["value"] == pytest.approx(0.2)


def test_the_multiplier_is_all_of_development_over_the_final_training_and_the_share_that_failed_is_of_it() -> None:
    found = life(*story())
    assert found["multiplier"]["energy_j"]["value"] == pytest.approx(2.5)
    assert found["failed_share"]["energy_j"] == pytest.approx(0.15)
    # The final training is in both: with its bounds at 0.9 and 1.2 times, only the other 600 J are held against it.
    assert found["multiplier"]["energy_j"]["low"] == pytest.approx(1 + 540 / 480)
    assert found["multiplier"]["energy_j"]["high"] == pytest.approx(1 + 720 / 360)
    assert "2.5 times" in " ".join(found["sentences"])


@pytest.mark.parametrize(
    ("final_mwh", "rest_mwh", "times"),
    [
        (0.3724 * 1163, 0.6276 * 1163, 2.685),  # BLOOM: its final run was 37.24 % of the project's 1,163 MWh
        (913, 459, 1.503),  # OLMo: 459 MWh of development beside 913 MWh of final training
    ],
)
def test_published_projects_come_to_their_published_shares(final_mwh: float, rest_mwh: float, times: float) -> None:
    found = life(entry("final", final_mwh * 3.6e9, day=1), entry("rest", rest_mwh * 3.6e9, stage="search"))
    assert found["multiplier"]["energy_j"]["value"] == pytest.approx(times, abs=1e-3)


def test_the_final_training_is_the_one_that_is_served_then_the_latest_and_the_user_may_name_another() -> None:
    runs = [entry("a", model="m-1", day=1), entry("b", day=2), entry("c", status="failed", day=3)]
    assert life(*runs)["final"]["runs"] == ["b"]
    by_model = life(*runs, entry("s", stage="serve", model="m-1", day=4))
    assert (by_model["final"]["runs"], by_model["final"]["how"]) == (["a"], "what serving run s names as its model")
    student = entry("20260101-000000-aa", stage="compress", day=3)
    assert life(*runs, student, entry("s", stage="serve", model=student.id))["final"]["runs"] == [student.id]
    assert life(*runs, entry("s", stage="serve", model="a"))["final"]["runs"] == ["a"]
    assert life(*runs, final="c")["final"]["runs"] == ["c"]
    none = life(entry("d", stage="data"))
    assert (none["multiplier"], none["final"]["runs"]) == (None, [])
    assert "--final RUN" in none["sentences"][1]


def test_a_search_trial_is_no_final_training_however_late_it_is() -> None:
    assert life(entry("a", day=1), entry("t", sweep="wandb:x", day=2))["final"]["runs"] == ["a"]


def test_runs_that_the_final_training_continues_belong_to_it_and_have_not_failed() -> None:
    found = life(
        entry("a", 100, status="interrupted", day=1),
        entry("b", 100, parent="a", status="lost", day=2),
        entry("c", 50, parent="b", day=3),
        entry("d", 30, status="failed", day=0),
    )
    assert energies(found) == pytest.approx({"failed": 30, "final": 250})
    assert found["final"]["runs"] == ["c", "b", "a"]


def test_a_run_inside_another_is_taken_off_that_one() -> None:
    found = life(
        entry("sweep", 1000, stage="search"),
        entry("t0", 300, enclosing_run="sweep", stage="data"),
        entry("t1", 400, enclosing_run="sweep"),
    )
    assert energies(found) == pytest.approx({"search": 300, "data": 300, "final": 400})
    assert found["total"]["energy_j"]["value"] == pytest.approx(1000)
    assert (found["total"]["energy_j"]["low"], found["total"]["energy_j"]["high"]) == pytest.approx((900, 1200))


def test_one_that_lies_in_a_run_of_another_project_counts_here() -> None:
    assert energies(life(entry("t0", 300, enclosing_run="elsewhere"))) == pytest.approx({"final": 300})


def test_carbon_of_another_basis_is_not_added_and_is_told() -> None:
    found = life(entry("a", 1000), entry("b", 1e5), entry("c", 2000, basis="direct"))
    assert found["basis"] == "lifecycle"
    carbon = found["total"]["carbon_g"]
    assert (carbon["value"], carbon["high"]) == (pytest.approx(10.1), None)
    assert carbon["missing"] == ["1 of 3 runs without a figure"]
    assert any("reprice --basis lifecycle" in sentence for sentence in found["sentences"])
    assert found["total"]["energy_j"]["value"] == pytest.approx(103_000)


def test_zones_open_runs_and_missing_figures_are_each_told() -> None:
    found = life(
        entry("a", zone="FR"), entry("b", zone=None), entry("c", None), entry("d", status="running", stage="search")
    )
    said = " ".join(found["sentences"])
    assert "FR" in said
    assert "each one’s grams are those of its own grid" in said
    assert "1 run of unknown place is priced at the world’s average" in said
    assert "Still going on, counted so far: d (d)." in said
    assert found["total"]["energy_j"]["missing"] == ["1 of 4 runs without a figure"]
    assert found["multiplier"]["energy_j"]["why"]
    assert "Embodied carbon is not counted." in said


def test_embodied_carbon_stands_beside_and_says_what_it_lacks() -> None:
    embodied = {"value": 5.0, "low": 4.0, "high": 9.0, "method": "estimated"}
    found = life(entry("a", embodied_g=embodied), entry("b"))
    assert found["total"]["embodied_g"]["value"] == 5.0
    assert found["total"]["embodied_g"]["high"] is None
    assert found["total"]["carbon_g"]["value"] == pytest.approx(0.02)


def test_one_model_alone() -> None:
    runs = [entry("a", 10, model="x"), entry("b", 20, model="y"), entry("c", 40)]
    found = life(*runs, model="x")
    assert (energies(found), found["models"], found["unnamed_runs"]) == ({"final": 10}, ["x", "y"], 1)
    assert "names no model" in found["sentences"][-1]


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"model": "z"}, "its models are: x"),
        ({"final": "elsewhere"}, "run elsewhere is none of project 'p'"),
    ],
)
def test_a_question_without_an_answer_is_told(asked: dict[str, str], says: str) -> None:
    with pytest.raises(NoLife, match=says):
        life(entry("a", model="x"), **asked)
    with pytest.raises(NoLife, match="has no run"):
        life()


def test_a_serving_run_without_books_is_not_split_and_one_that_was_all_requests_is_never_more_than_itself() -> None:
    assert energies(life(entry("s", stage="serve"))) == {"serve": 100}
    found = life(entry("s", 100, stage="serve", served=Served(1, 130.0)))
    assert energies(found) == {"requests": 100, "idle": 0}


def test_carbon_of_requests_is_as_their_books_tell_it_hour_by_hour_and_else_in_proportion() -> None:
    for requests_g, share in (0.009, 0.9), (None, 0.5), (1.0, 1.0):
        found = life(entry("s", 100, stage="serve", served=Served(1, 50.0, requests_g)))
        carbon = {part["part"]: part["carbon_g"]["value"] for part in found["phases"][1]["parts"]}
        assert carbon == pytest.approx({"requests": share * 0.01, "idle": (1 - share) * 0.01})


def test_searches_are_grouped_as_told_and_else_by_process() -> None:
    one = {"process": "alpha/7/1"}
    found = life(*story(), entry("k0", 5, **one), entry("k1", 6, **one), entry("v", 1, stage="evaluate", **one))
    assert [(s["sweep"], s["trials"], s["how"]) for s in found["sweeps"]] == [
        ("optuna:s", 2, "told by its library"),
        ("alpha/7/1", 2, "trainings of one process"),
    ]


def test_an_evaluation_in_a_trial_is_search_and_unknown_stages_are_kept_apart() -> None:
    found = life(
        entry("e", 1, stage="evaluate", sweep="s"), entry("f", 2, stage="evaluate"), entry("g", 4, stage="demo")
    )
    assert energies(found) == {"search": 1, "evaluate": 2, "other": 4}


def test_over_time_each_part_adds_up_to_its_total() -> None:
    found = life(*story())
    times, sums = found["over_time"]["time_s"], found["over_time"]["energy_j"]
    assert times == sorted(times)
    assert {part: values[-1] for part, values in sums.items()} == pytest.approx(energies(found))
    assert all(values == sorted(values) for values in sums.values())
    assert sums["retrain"][len(times) // 2] == 0  # it began on the ninth day


STAGES = ("data", "search", "train", "finetune", "evaluate", "compress", "serve", "idle", "retrain", "other")


@st.composite
def projects(draw: st.DrawFn) -> list[Any]:
    """Runs of any stage and end, some inside of others, some continued."""
    count = draw(st.integers(1, 12))
    runs = []
    for number in range(count):
        earlier = st.none() | st.sampled_from([f"r{n}" for n in range(number)]) if number else st.none()
        runs.append(
            entry(
                f"r{number}",
                # What is inside is less than what is around it.
                draw(st.floats(1e3, 1e4)) / 20**number if number < 6 else None,
                stage=draw(st.sampled_from(STAGES)),
                status=draw(st.sampled_from(("finished", "failed", "running", "lost"))),
                enclosing_run=draw(earlier),
                parent=draw(earlier),
                day=draw(st.floats(0, 30)),
                served=draw(
                    st.none() | st.builds(Served, st.integers(0, 9), st.floats(0, 1e4), st.none() | st.floats(0, 1e3))
                ),
            )
        )
    return runs


@given(projects())
def test_parts_add_up_to_the_whole_and_nothing_is_in_it_twice(runs: list[Any]) -> None:
    found = life(*runs)
    parts = energies(found)
    assert sum(value or 0 for value in parts.values()) == pytest.approx(found["total"]["energy_j"]["value"] or 0)
    ids = {run.id for run in runs}
    outer = sum(run.energy_j for run in runs if run.run["enclosing_run"] not in ids)
    assert found["total"]["energy_j"]["value"] == pytest.approx(outer)
    for phase in found["phases"]:
        for part in phase["parts"]:
            Quantity.from_json(part["energy_j"])  # its bounds hold it
    times = found["multiplier"]
    if times is not None and times["energy_j"]["value"] is not None:
        assert 1 <= times["energy_j"]["low"] <= times["energy_j"]["value"]


def test_the_bounds_of_what_is_alone_and_of_what_is_inside_are_together_those_of_the_outer_run() -> None:
    runs = alone([entry("a", 1000), entry("b", 400, enclosing_run="a"), entry("c", 100, enclosing_run="b")])
    assert [run.energy_j for run in runs] == [600, 300, 100]
    whole = summed(runs, "energy_j")
    assert (whole.low, whole.value, whole.high) == pytest.approx((900, 1000, 1200))
