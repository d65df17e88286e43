from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from joulegram.quantities import Quantity
from joulegram.report.charts import thinned
from joulegram.report.markup import Html, tag
from joulegram.report.words import (
    absences,
    carbon_apart,
    elide,
    grid_in_words,
    moment,
    plain,
    quantity,
    shorten,
    show_bounds,
    show_share,
)
from joulegram.units import show_energy

Json = dict[str, Any]


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (3600.0, 36_000.0, "1.00 – 10.0 Wh"),
        (360.0, 36_000.0, "360 J – 10.0 Wh"),
        (3600.0, None, "at least 1.00 Wh"),
        (None, 36_000.0, "at most 10.0 Wh"),
        (None, None, "no bounds known"),
        (7200.0, 7200.001, "within rounding"),
    ],
)
def test_bounds_name_each_unit_once_and_an_open_end_as_open(low: float | None, high: float | None, words: str) -> None:
    assert show_bounds(Quantity(7200.0, low, high, "measured"), show_energy) == words


def test_a_figure_that_the_document_does_not_hold_is_missing_and_not_zero() -> None:
    assert quantity(None) == quantity({}) == Quantity.absent("not recorded")


def test_only_the_whole_reads_as_a_hundred_percent() -> None:
    assert [show_share(share) for share in (1.0, 0.99999, 0.5, 0.0, None)] == [
        "100 %",
        "99.9 %",
        "50.0 %",
        "0.0 %",
        "–",
    ]


def test_text_of_a_user_loses_what_would_steer_a_terminal() -> None:
    assert plain("a\x1b[2Jb\nc\u202ed\ud800") == "a�[2Jb c�d�"


@given(st.text(), st.integers(5, 30))
def test_shortened_text_keeps_both_ends_and_its_width(text: str, width: int) -> None:
    short = shorten(text, width)
    assert len(short) == min(len(text), width)
    assert short[:1] == text[:1]
    assert short[-1:] == text[-1:]


@given(st.integers(0, 60))
def test_what_is_left_out_and_what_is_shown_are_all_there_is(count: int) -> None:
    head, left_out, tail = elide(range(count), 20, 5)
    assert len(head) + left_out + len(tail) == count
    assert (left_out > 0) == (count > 20)


def test_times_are_read_in_utc_from_text_or_seconds() -> None:
    assert moment("2026-03-01T14:02:11+01:00") == moment("2026-03-01T13:02:11Z") == moment(1772370131)
    assert moment(None) is moment("") is None


def test_an_absent_part_is_listed_once_with_its_reason_and_the_totals_that_lack_it(
    document_of: Callable[[str], Json],
) -> None:
    found = dict(absences(document_of("partial")))
    gpu = next(what for what in found if "gpu:" in what)
    assert found[gpu] == ("the counter failed with ERROR_NOT_SUPPORTED; not in energy, node energy, facility energy")
    assert found["Carbon"] == "no grid intensity on this basis"
    assert "no sample for the first 9.1 s" in found["gap"]


def test_totals_missing_for_one_reason_are_listed_together(document_of: Callable[[str], Json]) -> None:
    assert absences(document_of("empty"))[0] == (
        "Energy, node energy, facility energy, carbon",
        "no channel was read",
    )


def hours(settled_s: float = 0, provisional_s: float = 0, yearly_s: float = 0, unknown_s: float = 0) -> Json:
    sources = ["NESO"] if settled_s or provisional_s else []
    return {
        "settled_s": settled_s,
        "provisional_s": provisional_s,
        "yearly_s": yearly_s,
        "unknown_s": unknown_s,
        "sources": sources,
    }


@pytest.mark.parametrize(
    ("known", "words"),
    [
        (hours(settled_s=13_200), "NESO, lifecycle basis: 3 h 40 min settled."),
        (hours(13_200, 1200), "NESO, lifecycle basis: 3 h 40 min settled, 20 min 00 s may still be corrected ("),
        (hours(13_200, 0, 60), "3 h 40 min settled, 1 min 00 s at the yearly mean (joulegram reprice"),
        (hours(13_200, 0, 0, 60), "3 h 40 min settled, 1 min 00 s without a figure on that basis ("),
        (hours(yearly_s=60), "the yearly mean of DK-DK1 (151 g/kWh), lifecycle basis, for all of the run."),
    ],
)
def test_the_hours_of_a_price_are_told_by_how_well_they_are_known(
    document_of: Callable[[str], Json], known: Json, words: str
) -> None:
    document = document_of("trained")
    document["price"]["hours"] = known
    assert words in grid_in_words(document)


def test_a_yearly_mean_names_who_would_tell_the_hours_once_the_run_is_over(document_of: Callable[[str], Json]) -> None:
    document = document_of("trained")
    document["price"] |= {"hours": hours(yearly_s=60), "feeds": ["NESO"]}
    assert f"NESO would tell its hours (joulegram reprice {document['run']['id']})" in grid_in_words(document)
    document["run"]["status"] = "running"
    assert "reprice" not in grid_in_words(document)


def test_a_document_that_tells_of_no_hours_has_no_word_on_them(document_of: Callable[[str], Json]) -> None:
    assert grid_in_words(document_of("trained")) == ""


def test_carbon_on_another_basis_is_apart_where_the_total_lacks_hours_or_a_feed_gave_it(
    document_of: Callable[[str], Json],
) -> None:
    document = document_of("trained")
    assert carbon_apart(document) == []
    document["price"]["hours"] = hours(60, unknown_s=60)
    assert [label for label, _ in carbon_apart(document)] == ["CO₂e, marginal"]
    document["price"]["basis"] = "direct"
    assert [label for label, _ in carbon_apart(document)] == ["CO₂e, lifecycle basis", "CO₂e, marginal"]
    document["price"]["hours"] = hours(60)
    assert carbon_apart(document) == []
    document["price"]["intensity"][0] |= {"start_s": 0.0, "length_s": 3600.0}
    assert [label for label, _ in carbon_apart(document)] == ["CO₂e, lifecycle basis"]


def test_markup_escapes_text_and_attributes_and_nothing_twice() -> None:
    inner = tag("b", "<&>", title="\"'><")
    assert inner == '<b title="&quot;&#x27;&gt;&lt;">&lt;&amp;&gt;</b>'
    assert tag("p", inner, class_=None, data_field="x") == f'<p data-field="x">{inner}</p>'
    assert isinstance(inner, Html)


@given(
    st.lists(st.tuples(st.floats(0.01, 10), st.none() | st.floats(0, 1000)), min_size=1, max_size=60),
    st.integers(1, 20),
)
def test_a_thinned_power_line_keeps_its_energy(steps: list[tuple[float, float | None]], most: int) -> None:
    edges = np.concatenate(([0.0], np.cumsum([length for length, _ in steps])))
    power = np.array([np.nan if watts is None else watts for _, watts in steps])
    thin_edges, thin = thinned(edges, power, most)
    assert len(thin) <= max(most, 1)
    assert len(thin_edges) == len(thin) + 1
    if not np.isnan(power).any():
        assert np.dot(thin, np.diff(thin_edges)) == pytest.approx(np.dot(power, np.diff(edges)), rel=1e-9, abs=1e-9)
    known = power[~np.isnan(power)]
    if known.size == 0:
        assert np.isnan(thin).all()
    else:
        assert np.nanmax(thin) <= known.max() * (1 + 1e-6) + 1e-6
