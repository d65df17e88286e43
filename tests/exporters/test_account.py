"""What several runs come to together."""

from __future__ import annotations

from typing import Any

import pytest
from exported import absent, document, figure

from joulegram.exporters import CannotExport, methods
from joulegram.exporters.account import account, intensity_sources, lacking, runs_in_words, stages


def test_runs_add_up_with_their_bounds() -> None:
    whole = account(
        [document(run_id="a", carbon_g=10.0, energy_j=100.0), document(run_id="b", carbon_g=5.0, energy_j=50.0)]
    )
    assert (whole.carbon_g.value, whole.carbon_g.low, whole.carbon_g.high) == pytest.approx((15, 13.5, 16.5))
    assert whole.energy_j.value == 150
    assert whole.g_per_kwh == pytest.approx(15 / (150 / 3.6e6))


def test_a_run_inside_of_another_counts_once() -> None:
    outer, inner = (
        document(run_id="outer", carbon_g=10.0),
        document(run_id="inner", carbon_g=4.0, enclosing_run="outer"),
    )
    assert account([outer, inner]).carbon_g.value == 10
    assert account([inner]).carbon_g.value == 4


def test_carbon_on_two_bases_is_not_added() -> None:
    with pytest.raises(CannotExport, match=r"different bases .*direct.*lifecycle.*reprice"):
        account([document(run_id="a"), document(run_id="b", basis="direct")])


def test_a_run_without_carbon_is_on_no_basis_and_is_named() -> None:
    without = document("partial", run_id="b", basis="direct", name="lost-one")
    whole = account([document(run_id="a", carbon_g=10.0), without])
    assert (whole.basis, whole.carbon_g.value, whole.carbon_g.high) == ("lifecycle", 10, None)
    assert whole.carbon_g.missing
    assert whole.g_per_kwh is None  # not the intensity of anything


def test_nothing_is_missing_and_not_zero() -> None:
    whole = account([document("empty")])
    assert (whole.energy_j.value, whole.carbon_g.value, whole.embodied_g.value) == (None, None, None)
    assert whole.embodied_g.how.startswith("not counted")


def test_embodied_emissions_of_some_runs_are_no_sum_of_all() -> None:
    whole = account([document(run_id="a", embodied_g=3.0), document(run_id="b", name="second")])
    assert (whole.embodied_g.value, whole.embodied_g.high) == (3, None)
    assert whole.embodied_g.missing == ("embodied emissions of second",)


def test_no_run_is_said() -> None:
    with pytest.raises(CannotExport, match="no run"):
        account([])


def tariff(**more: Any) -> dict[str, Any]:
    return {"signal": "average", "basis": "lifecycle", "accounting": "location", **figure(7.0), **more}


def test_market_based_carbon_alone_is_refused() -> None:
    run = document()
    run["footprint"] |= {"carbon_g": absent("nothing"), "carbon": [tariff(accounting="market")]}
    with pytest.raises(CannotExport, match="market-based intensity alone"):
        account([run])


@pytest.mark.parametrize("signal", ["market", "", "Average"])
def test_only_signals_of_the_grid_are_told(signal: str) -> None:
    with pytest.raises(CannotExport, match="average or marginal"):
        account([document()], signal)


def test_marginal_carbon_is_its_own_figure() -> None:
    run = document(carbon_g=10.0)
    run["footprint"]["carbon"] = [tariff(), tariff(signal="marginal", basis="unknown", value=9.0, high=9.0)]
    whole = account([run], "marginal")
    assert (whole.carbon_g.value, whole.basis) == (9, "unknown")
    assert account([document()], "marginal").carbon_g.value is None


def test_runs_that_are_not_over_are_named() -> None:
    whole = account([document(status="running", name="open-one")])
    assert lacking(whole) == ["the rest of open-one, which is still running"]
    assert stages(whole.documents) == {"train, running": 1}


def test_stages_and_times_are_told() -> None:
    runs = [document(run_id="a"), document(run_id="b", status="failed"), document(run_id="c", stage="search")]
    assert runs_in_words(runs) == "3 runs (1 train; 1 train, failed; 1 search) of 36 min 24 s in all"


def test_a_yearly_mean_is_a_source_only_where_it_was_used() -> None:
    run = document()
    hourly = {**run["price"]["intensity"][0], "start_s": 0.0, "source": "the grid"}
    run["price"]["intensity"].append(hourly)
    run["price"]["hours"] = {"yearly_s": 0.0}
    assert intensity_sources(account([run])) == ["the grid"]
    run["price"]["hours"] = {"yearly_s": 60.0}
    assert len(intensity_sources(account([run]))) == 2


def test_what_a_run_continues_is_not_in_it_unless_it_is_among_them() -> None:
    second = document(run_id="b", name="second", parent="a")
    assert lacking(account([second])) == ["run a, which second continues"]
    assert lacking(account([document(run_id="a"), second])) == []


def test_a_thousand_runs_that_lack_the_same_say_so_once() -> None:
    runs = [document("empty", run_id=str(number), name=f"run {number}") for number in range(1000)]
    assert account(runs).energy_j.how == "no channel was read"
    assert len(methods.export(runs)) < 2000
