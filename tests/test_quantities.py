from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joulegram.quantities import METHODS, Quantity, total, weakest

MEASURED = Quantity(10.0, 9.0, 11.0, "measured", "a counter")
MODELLED = Quantity(5.0, 2.0, 15.0, "modelled", "a formula")
ABSENT = Quantity.absent("no counter")


@st.composite
def quantities(draw: st.DrawFn) -> Quantity:
    if draw(st.integers(0, 4)) == 0:
        return Quantity.absent(draw(st.sampled_from(["no counter", "not read"])))
    low, value, high = sorted(draw(st.tuples(*[st.floats(0, 1e9)] * 3)))
    phrases = draw(st.sampled_from([(), ("a gap",)]))
    method = draw(st.sampled_from(METHODS[:3]))
    return Quantity(value, low, None if phrases or draw(st.booleans()) else high, method, "how", phrases)


named = st.lists(st.tuples(st.sampled_from("abcdef"), quantities()), max_size=6)


@pytest.mark.parametrize(
    ("value", "low", "high", "method"),
    [
        (1.0, 2.0, 3.0, "measured"),
        (4.0, 2.0, 3.0, "measured"),
        (None, None, None, "measured"),
        (1.0, 1.0, 1.0, "missing"),
        (None, 0.0, None, "missing"),
        (1.0, 1.0, 1.0, "guessed"),
        (math.nan, 0.0, 1.0, "measured"),
        (1.0, math.nan, 2.0, "measured"),
        (1.0, 0.0, math.nan, "measured"),
    ],
)
def test_a_quantity_that_contradicts_itself_is_refused(
    value: float | None, low: float | None, high: float | None, method: str
) -> None:
    with pytest.raises(ValueError, match=r"."):
        Quantity(value, low, high, method)  # type: ignore[arg-type]


def test_a_missing_figure_is_null_in_json_and_not_zero() -> None:
    assert json.loads(json.dumps(ABSENT.to_json())) == {
        "value": None, "low": None, "high": None, "method": "missing", "how": "no counter", "missing": [],
    }  # fmt: skip
    assert math.isnan(float(ABSENT))
    assert str(ABSENT) == "missing (no counter)"
    assert str(Quantity.absent("")) == "missing"


def test_a_figure_shows_its_bounds_and_its_method() -> None:
    assert str(MEASURED) == "10 [9 .. 11] measured"
    assert str(Quantity(10.0, None, None, "modelled")) == "10 [? .. ?] modelled"
    assert float(MEASURED) == 10.0


def test_parts_add_as_intervals_and_the_sum_is_as_firm_as_the_weakest() -> None:
    summed = total([("gpu", MEASURED), ("cpu", MODELLED)])
    assert (summed.value, summed.low, summed.high) == (15.0, 11.0, 26.0)
    assert summed.method == "modelled"
    assert summed.how == "a counter; a formula"
    assert summed.missing == ()


def test_a_sum_with_an_absent_part_counts_what_is_there_has_no_upper_bound_and_names_what_is_not() -> None:
    summed = total([("gpu", MEASURED), ("dram", ABSENT), ("cpu", MODELLED)])
    assert (summed.value, summed.low, summed.high) == (15.0, 11.0, None)
    assert summed.method == "modelled"
    assert summed.missing == ("dram",)


def test_what_a_part_misses_the_sum_misses_and_says_once() -> None:
    partial = Quantity(1.0, 1.0, None, "measured", "", ("failed for 3 s",))
    summed = total([("a", partial), ("b", partial), ("c", MEASURED)])
    assert summed.missing == ("failed for 3 s",)
    assert summed.high is None


def test_a_part_without_an_upper_bound_leaves_the_sum_without_one() -> None:
    summed = total([("a", Quantity(1.0, 1.0, None, "measured")), ("b", MEASURED)])
    assert summed.high is None
    assert summed.missing == ()


def test_a_sum_of_absent_parts_is_missing_and_gives_each_reason() -> None:
    summed = total([("gpu", Quantity.absent("denied")), ("cpu", ABSENT), ("dram", Quantity.absent(""))])
    assert summed.method == "missing"
    assert summed.how == "gpu: denied; cpu: no counter; dram"
    assert summed.missing == ("gpu", "cpu", "dram")


def test_a_sum_of_nothing_is_missing_and_not_zero() -> None:
    assert total([], "no meter found a channel") == Quantity.absent("no meter found a channel")


@given(named)
def test_a_sum_holds_the_rules_whatever_its_parts(parts: list[tuple[str, Quantity]]) -> None:
    summed = total(parts)
    present = [q for _, q in parts if q.value is not None]
    if not present:
        assert summed.method == "missing"
        return
    assert summed.value == pytest.approx(sum(q.value for q in present))
    assert summed.low == pytest.approx(sum(q.low for q in present))
    assert summed.method == weakest(q.method for q in present)
    whole = len(present) == len(parts) and all(q.high is not None for q in present)
    assert (summed.high is not None) == (whole and not summed.missing)
    assert {name for name, q in parts if q.value is None} <= set(summed.missing)


@given(st.lists(st.sampled_from(METHODS)))
def test_the_weakest_of_methods_is_the_last_in_their_order(methods: list[str]) -> None:
    expected = METHODS[max((METHODS.index(method) for method in methods), default=3)]
    assert weakest(methods) == expected


@given(quantities())
def test_a_figure_comes_back_from_its_json(quantity: Quantity) -> None:
    assert Quantity.from_json(json.loads(json.dumps(quantity.to_json()))) == quantity


@pytest.mark.parametrize("figure", [None, {}])
def test_a_figure_that_a_document_does_not_hold_is_missing(figure: dict[str, object] | None) -> None:
    assert Quantity.from_json(figure).method == "missing"
