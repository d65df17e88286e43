"""Which measures act where, with what a project of known cost has at stake in each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from lives import entry, story

from joulegram.analysis.levers import Opened, levers
from joulegram.analysis.lifecycle import sort_out
from joulegram.analysis.moving import Movable
from joulegram.curves.load import Load

LOAD = Load(np.array([0.0, 3600.0]), np.array([0.0, 100.0]))
WAITED = Opened(5.0, 20.0, 0.002, Movable(LOAD, 0.0, ("DK", "lifecycle")))
NO_PHASE = replace(WAITED, waiting_s=None, waiting_j=0.0, waiting_g=None)


def nothing(runs: Sequence[Movable]) -> None:
    """A grid of which nothing is known."""


def half(runs: Sequence[Movable]) -> Mapping[str, Any]:
    """A grid on which the best start saves a tenth of a gram for each run."""
    n = len(runs)
    return {
        "runs": n, "of_runs": n, "zones": ["DK"], "start_hours": 24, "own_g": 0.3 * n, "best_g": 0.2 * n,
        "mean_g": 0.25 * n, "worst_g": 0.5 * n,
    }  # fmt: skip


def table(entries: Sequence[Any], opened: Mapping[str, Opened] | None = None, gained: Any = nothing) -> Any:
    found = levers(sort_out(entries, project="p"), opened or {}, gained, project="p")
    return {row["lever"]: row for row in found["rows"]} | {"said": " ".join(found["sentences"])}


def joules(cell: Any) -> dict[str, float]:
    return {item["what"]: item["energy_j"] for item in cell["items"]}


def test_each_lever_holds_the_joules_of_the_stages_that_it_touches() -> None:
    found = table([*story(), entry("student", 50, stage="compress")])
    assert joules(found["data"]["development"]) == pytest.approx({"data stage": 100, "what trains on it": 750})
    assert joules(found["data"]["deployment"]) == pytest.approx({"retraining": 200})
    model = {"search": 200, "other training": 150, "failed or aborted": 150}
    assert joules(found["model"]["development"]) == pytest.approx(model)
    assert joules(found["compression"]["development"]) == pytest.approx({"spent on compressing": 50})
    assert joules(found["compression"]["deployment"]) == pytest.approx({"requests": 600})
    assert joules(found["hardware"]["deployment"]) == pytest.approx({"idle": 200})
    assert found["hardware"]["deployment"]["items"][0]["share"] == pytest.approx(200 / 2050)


def test_without_a_number_there_is_a_dash_and_why() -> None:
    found = table([entry("a")])
    for lever, phase in (
        ("model", "development"), ("model", "deployment"), ("compression", "development"), ("hardware", "development"),
        ("hardware", "deployment"), ("scheduling", "development"), ("scheduling", "deployment"), ("data", "deployment"),
    ):  # fmt: skip
        assert found[lever][phase]["items"] == []
        assert found[lever][phase]["why"]
    assert "serving runs when it is asked" in found["scheduling"]["deployment"]["why"]
    assert "--intensity" in found["scheduling"]["development"]["why"]


def test_time_and_joules_that_waited_are_of_the_runs_that_tell_the_phase() -> None:
    found = table(story(), {"final": WAITED, "first": WAITED, "data": NO_PHASE})
    (waiting,) = found["hardware"]["development"]["items"]
    assert (waiting["duration_s"], waiting["energy_j"], waiting["carbon_g"]) == pytest.approx((10, 40, 0.004))
    assert waiting["how"] == "phase data of 2 runs"
    assert "of the 3 costliest runs" in found["said"]


def test_cooling_and_supply_are_what_pue_adds() -> None:
    plain = entry("a", 100)
    cooled = replace(plain, figures={**plain.figures, "facility_energy_j": plain.part(1.25, 1).figures["energy_j"]})
    (over,) = table([cooled])["hardware"]["development"]["items"]
    assert (over["what"], over["energy_j"]) == ("cooling and supply", pytest.approx(25))
    assert over["carbon_g"] == pytest.approx(0.01 / 5)


def test_the_grid_gives_carbon_and_no_joules_to_runs_that_could_be_moved() -> None:
    inner = entry("inner", 50, enclosing_run="final")
    found = table([*story(), inner], dict.fromkeys(("final", "first", "again", "inner"), WAITED), half)
    (start,) = found["scheduling"]["development"]["items"]
    assert (start["runs"], start["energy_j"]) == (2, None)  # what is inside another moves with it
    assert start["carbon_g"] == pytest.approx(0.2)
    assert found["scheduling"]["deployment"]["items"][0]["runs"] == 1
    assert "600 mg" in found["said"]


def test_a_project_without_energy_says_that_nothing_can_be_said() -> None:
    assert "nothing can be said" in table([entry("a", None)])["said"]
