"""The annual table: what it answers for a place, and what it refuses to guess."""

import csv
import importlib.util
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joulegram.feeds import annual
from joulegram.feeds.annual import resolve, search

REPOSITORY = Path(__file__).resolve().parents[2]
DATA = REPOSITORY.parent / "shared" / "data"
COUNTRIES = [zone for zone in search() if len(zone.code) == 2 and zone.code != "EU"]


def points(zone):
    return annual.points(zone)


def lifecycle(zone):
    (point,) = (point for point in points(zone) if point.basis == "lifecycle")
    return point


def test_a_country_gets_its_own_mean_with_the_spread_of_hours_as_bounds():
    (denmark,) = points("DK")
    assert (denmark.g_per_kwh, denmark.zone, denmark.basis) == (114.41, "DK", "lifecycle")
    assert denmark.low == pytest.approx(114.41 * annual.HOURLY_LOW)
    assert denmark.high == pytest.approx(114.41 * annual.HOURLY_HIGH)
    assert (denmark.signal, denmark.accounting, denmark.kind, denmark.scope) == (
        "average",
        "location",
        "static",
        "generation",
    )
    assert denmark.start_s is None
    assert denmark.length_s is None
    assert denmark.note == "annual mean of 2025, Denmark"
    assert denmark.source == "Ember via Our World in Data, 2026-04 release (CC BY 4.0)"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("denmark", "DK"),
        (" dk ", "DK"),
        (" dk-dk1 ", "DK-DK1"),
        ("us-cal-ciso", "US-CAL-CISO"),
        ("in-no", "IN-NO"),
        ("us-ca", "US-CA"),
        ("Côte d'Ivoire", "CI"),
        ("uk", "GB"),
        ("Georgia", "GE"),
        ("california", "US-CA"),
    ],
)
def test_a_zone_is_found_by_code_or_by_english_name_in_any_case(text, code):
    assert resolve(text) == code


@pytest.mark.parametrize(
    "zone", [None, "", "   ", "ZZ", "ZZ-DK", "EU-WEST", "Danmrk", "D", "DKDK1", "DK-", "-", "D-K", "DK1"]
)
def test_an_unknown_zone_gets_the_world_average_between_all_countries_means(zone):
    (world,) = points(zone)
    assert resolve(zone) is None
    assert (world.zone, world.basis, world.kind) == ("WORLD", "lifecycle", "static")
    assert world.low == min(country.g_per_kwh for country in COUNTRIES if country.g_per_kwh > 0)
    assert world.high == max(country.g_per_kwh for country in COUNTRIES)
    assert "unknown" in world.note
    assert "joulegram zones TEXT" in world.note


@given(st.text())
def test_no_text_outside_the_table_ever_becomes_a_country(text):
    if resolve(text) is None:
        assert [point.zone for point in points(text)] == ["WORLD"]
    else:
        prefix = text.strip().upper()[:2]
        assert search(text) or any(prefix == country.code for country in COUNTRIES)


def test_with_no_zone_the_note_says_how_to_set_one():
    assert lifecycle(None).note == (
        'zone unknown: world average; set zone=…, JOULEGRAM_ZONE or "zone" in the configuration '
        "(joulegram zones TEXT finds it)"
    )


def test_a_misspelt_zone_is_told_the_nearest_names():
    assert lifecycle("Denmrak").note.startswith('zone "Denmrak" (nearest: DK Denmark) unknown: world average;')
    assert "nearest" not in lifecycle("qqqqqq").note


def test_to_name_the_world_is_to_name_no_grid():
    assert points("World") == points(None)


@pytest.mark.parametrize(
    ("zone", "country"), [("DK-DK1", "DK"), ("US-CAL-CISO", "US"), ("IN-NO", "IN"), ("CA-QC", "CA")]
)
def test_a_part_of_a_country_falls_back_to_it_says_so_and_is_less_sure(zone, country):
    part, whole = lifecycle(zone), lifecycle(country)
    assert (part.g_per_kwh, part.zone) == (whole.g_per_kwh, country)
    assert f"no lifecycle figure for {zone.upper()}, so its country's is used" in part.note
    assert part.low < whole.low
    assert part.high > whole.high


def test_a_country_is_found_within_the_bounds_of_its_continent():
    europe = lifecycle("Europe")
    assert europe.low < lifecycle("FR").g_per_kwh
    assert europe.high > lifecycle("PL").g_per_kwh


def test_lifecycle_and_direct_figures_stand_apart():
    country, state = points("US-CA")
    assert (country.basis, country.zone, country.g_per_kwh) == ("lifecycle", "US", 384.4)
    assert (state.basis, state.zone, state.g_per_kwh) == ("direct", "US-CA", 179.1)
    assert "EPA eGRID" in state.source
    assert "no lifecycle" not in state.note


def test_what_a_source_does_not_say_about_imports_is_unknown():
    scopes = {zone: points(zone)[-1].scope for zone in ("US-TX", "CA-ON", "AU-NSW", "CN-SH")}
    assert scopes == {"US-TX": "generation", "CA-ON": "consumption", "AU-NSW": "unknown", "CN-SH": "unknown"}


def test_a_stale_or_odd_figure_says_so():
    assert lifecycle("EH").note == "annual mean of 2009, Western Sahara; stale"
    assert "no fossil generation" in lifecycle("CF").note


def test_every_zone_has_one_lifecycle_point_and_at_most_its_own_direct_one():
    for zone in search():
        known = points(zone.code)
        assert [point.basis for point in known] in (["lifecycle"], ["lifecycle", "direct"]), zone
        assert all(0 <= point.low <= point.g_per_kwh <= point.high for point in known), zone
        assert all(point.zone == zone.code for point in known if point.basis == "direct"), zone


def test_search_finds_part_of_a_code_or_a_name_without_case_or_accents():
    assert [zone.code for zone in search("denM")] == ["DK"]
    assert {zone.code for zone in search("georgia")} == {"GE", "US-GA"}
    assert [zone.code for zone in search("CÔTE D")] == ["CI"]
    assert {zone.basis for zone in search("US-EGRID")} == {"direct"}
    assert search("nowhere at all") == []
    assert len(search("")) == 352


def test_the_table_equals_the_one_it_was_made_from():
    original = DATA / "grid_annual.csv"
    if not original.exists():
        pytest.skip(f"{original} is not here")
    with original.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [zone.code for zone in search()] == [row["zone"] for row in rows]
    for zone, row in zip(search(), rows, strict=True):
        assert [zone.name, zone.basis, zone.source, zone.licence, zone.note] == [
            row[column] for column in ("name", "basis", "source", "licence", "note")
        ]
        assert (zone.year, zone.g_per_kwh) == (int(row["year"]), float(row["g_co2e_per_kwh"]))


def test_the_spread_factors_are_what_the_hourly_series_give():
    if not (DATA / "intensity").exists():
        pytest.skip(f"{DATA / 'intensity'} is not here")
    spec = importlib.util.spec_from_file_location("spread", REPOSITORY / "benchmarks" / "intensity_spread.py")
    spread = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(spread)
    factors = spread.constants(DATA / "intensity")
    assert factors == {name: getattr(annual, name) for name in factors}
    assert set(factors) == {"HOURLY_LOW", "HOURLY_HIGH", "PART_LOW", "PART_HIGH"}
