from __future__ import annotations

from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joulegram.analysis.lmdi import decompose, log_mean

NAMES = ("activity", "energy_intensity", "grid_intensity", "pue")
factors = st.fixed_dictionaries({name: st.floats(1e-3, 1e6) for name in NAMES})
with_zeros = st.fixed_dictionaries({name: st.one_of(st.just(0.0), st.floats(1e-3, 1e6)) for name in NAMES})


def check_sum(before: dict[str, float], after: dict[str, float]) -> None:
    start, end = prod(before.values()), prod(after.values())
    parts = sum(decompose(before, after).values())
    assert parts == pytest.approx(end - start, rel=1e-9, abs=1e-12 * max(start, end))


@given(factors, factors)
def test_the_parts_add_up_to_the_change(before: dict[str, float], after: dict[str, float]) -> None:
    check_sum(before, after)


@given(with_zeros, with_zeros)
def test_they_do_so_where_factors_are_zero(before: dict[str, float], after: dict[str, float]) -> None:
    check_sum(before, after)


@given(factors, st.floats(-1e-9, 1e-9))
def test_they_do_so_where_hardly_anything_changed(before: dict[str, float], share: float) -> None:
    after = {name: value * (1 + share) for name, value in before.items()}
    check_sum(before, after)


@given(factors, factors)
def test_going_back_undoes_each_part(before: dict[str, float], after: dict[str, float]) -> None:
    there, back = decompose(before, after), decompose(after, before)
    scale = max(prod(before.values()), prod(after.values()))
    for name in NAMES:
        assert there[name] == pytest.approx(-back[name], rel=1e-9, abs=1e-12 * scale)


@given(factors)
def test_what_does_not_change_has_no_part(before: dict[str, float]) -> None:
    after = {**before, "activity": before["activity"] * 3}
    parts = decompose(before, after)
    assert all(parts[name] == 0.0 for name in NAMES if name != "activity")
    assert parts["activity"] == pytest.approx(2 * prod(before.values()))


def test_the_part_of_a_factor_that_vanishes_is_what_it_tends_to() -> None:
    before, limit = {"a": 3.0, "b": 5.0}, {"a": 0.0, "b": 7.0}
    assert decompose(before, limit) == {"a": -15.0, "b": 0.0}
    nearly = decompose(before, {"a": 1e-300, "b": 7.0})
    assert nearly["a"] == pytest.approx(-15.0, rel=0.01)
    assert decompose({"a": 0.0, "b": 0.0}, {"a": 2.0, "b": 3.0}) == {"a": 3.0, "b": 3.0}
    assert decompose({"a": 0.0, "b": 1.0}, {"a": 1.0, "b": 0.0}) == {"a": 0.0, "b": 0.0}


@given(st.floats(1e-6, 1e6), st.floats(1e-6, 1e6))
def test_the_logarithmic_mean_lies_between_the_geometric_and_the_arithmetic_one(one: float, other: float) -> None:
    mean = log_mean(one, other)
    assert (one * other) ** 0.5 * (1 - 1e-12) <= mean <= (one + other) / 2 * (1 + 1e-12)
    assert mean == pytest.approx(log_mean(other, one))


def test_its_limits() -> None:
    assert log_mean(2.0, 2.0) == 2.0
    assert log_mean(2.0, 0.0) == log_mean(0.0, 0.0) == 0.0
    assert log_mean(2.0, 1.0) == pytest.approx(1 / 0.6931471805599453)


@pytest.mark.parametrize(
    ("before", "after"), [({"a": 1.0}, {"b": 1.0}), ({"a": -1.0}, {"a": 1.0}), ({"a": 1.0}, {"a": float("nan")})]
)
def test_factors_that_make_no_sense_are_refused(before: dict[str, float], after: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="the same factors"):
        decompose(before, after)
