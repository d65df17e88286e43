"""The table of cloud regions: where each is, and what its provider says of its buildings."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from joulegram.feeds import annual
from joulegram.place import address, regions

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


def test_every_zone_of_the_table_is_one_that_can_be_priced() -> None:
    for row in regions.search():
        assert annual.resolve(row.country) == row.country, row
        assert row.grid is None or annual.resolve(row.grid) == row.grid, row
        assert row.zone == (row.grid or row.country)
        assert row.zone[:2] == row.country[:2], row


def test_a_region_is_found_by_provider_and_exact_name() -> None:
    stockholm, ohio = regions.find("aws", "eu-north-1"), regions.find("aws", "us-gov-east-1")
    assert stockholm is not None
    assert ohio is not None
    assert (stockholm.zone, stockholm.country, stockholm.pue, stockholm.year) == ("SE-SE3", "SE", 1.1, 2024)
    assert (ohio.zone, ohio.grid, ohio.pue) == ("US-OH", None, None)
    assert regions.find("gcp", "eu-north-1") is None
    assert regions.find("aws", "EU-NORTH-1") is None


def test_search_looks_in_provider_name_and_location_in_any_case() -> None:
    assert [row.title for row in regions.search("us-east-1")] == ["AWS us-east-1"]
    assert [row.title for row in regions.search("EUROPE-WEST4")] == ["Google Cloud europe-west4"]
    assert {row.provider for row in regions.search("scaleway")} == {"scaleway"}
    assert {row.title for row in regions.search("frankfurt")} == {
        "AWS eu-central-1", "Azure germanywestcentral", "Google Cloud europe-west3",
    }  # fmt: skip
    assert [row.title for row in regions.search(" aws eu-west-1 ")] == ["AWS eu-west-1"]
    assert len(regions.search()) == 167


def test_a_published_pue_is_a_years_estimate_of_that_region() -> None:
    pue = regions.pue_of("aws", "eu-west-1")
    assert pue is not None
    assert (pue.value, pue.low, pue.high, pue.method) == (1.11, 1.11, 1.11, "estimated")
    assert pue.source == "AWS eu-west-1, 2024, as its provider published"


@pytest.mark.parametrize(
    ("provider", "region", "value", "low", "high", "said"),
    [
        ("aws", "eu-west-3", 1.15, 1.07, 1.46, "AWS's average over all regions, 2024: none is published for eu-west-3"),
        ("gcp", "mars-north1", 1.09, 1.07, 1.16, "none is published for mars-north1"),
        ("azure", "uksouth", 1.17, 1.11, 1.35, "fiscal year 2025"),
        ("azure", None, 1.17, 1.11, 1.35, "its region is not known"),
        ("azure", "polandcentral", 1.12, 1.11, 1.35, "a design value"),
    ],
)
def test_what_was_not_seen_in_a_region_is_bounded_by_what_its_provider_has_seen(
    provider: str, region: str | None, value: float, low: float, high: float, said: str
) -> None:
    pue = regions.pue_of(provider, region)
    assert pue is not None
    assert (pue.value, pue.low, pue.high, pue.method) == (value, low, high, "estimated")
    assert said in pue.source


def test_a_provider_that_publishes_nothing_has_no_pue() -> None:
    assert regions.pue_of("scaleway", "fr-par") is None
    assert regions.pue_of("nobody", "x") is None


def test_every_pue_of_the_table_is_one() -> None:
    for row in regions.search():
        assert (row.pue is None) == (row.year is None)
        pue = regions.pue_of(row.provider, row.region)
        assert pue is None or 1 <= pue.low <= pue.value <= pue.high < 2


def test_countries_that_an_address_may_be_in_are_those_with_an_annual_intensity() -> None:
    known = {zone.code for zone in annual.search() if annual.resolve(zone.code) and len(zone.code) == 2}
    assert known - {"EU"} == address.COUNTRIES


def test_the_table_equals_the_one_it_was_made_from() -> None:
    original = DATA / "cloud_regions.csv"
    if not original.exists():
        pytest.skip(f"{original} is not here")
    with original.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    carried = list(csv.DictReader(regions.TABLE.read_text(encoding="utf-8").splitlines()))
    assert carried == [{column: row[column] for column in carried[0]} for row in rows]
