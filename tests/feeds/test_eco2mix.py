"""France's intensity from a server that speaks the documented format of Open Data Réseaux Énergies."""

from collections.abc import Iterator
from typing import Any

import pytest
from feed_faults import FAULTS, NOW_S, assert_survives, source
from hosts import Host

from joulegram.feeds import NotServed, Unavailable
from joulegram.feeds.eco2mix import Eco2mixFeed

DATASETS = "/api/explore/v2.1/catalog/datasets"
REAL_TIME, CONSOLIDATED = f"{DATASETS}/eco2mix-national-tr/records", f"{DATASETS}/eco2mix-national-cons-def/records"


def answer(*rows: tuple[str, Any]) -> dict[str, Any]:
    return {
        "total_count": len(rows),
        "results": [{"date_heure": time, "taux_co2": figure} for time, figure in rows],
    }


@pytest.fixture
def odre() -> Iterator[Host]:
    with source() as made:
        made.paths = {
            REAL_TIME: answer(
                ("2026-06-24T09:15:00+00:00", 15), ("2026-06-24T09:30:00+00:00", 16), ("2026-06-24T09:45:00+00:00", 17)
            ),
            CONSOLIDATED: answer(("2026-03-01T00:00:00+00:00", 40), ("2026-03-01T00:30:00+00:00", 41)),
        }
        yield made


def feed(at: Host) -> Eco2mixFeed:
    return Eco2mixFeed({"eco2mix": {"base_url": at.url}}, None, lambda: NOW_S)


MARCH_S = 1_772_323_200.0  # 2026-03-01T00:00Z


def test_quarter_hours_are_measured_direct_and_of_generation(odre: Host) -> None:
    points = feed(odre).history("FR", NOW_S - 1800, NOW_S)
    assert [(p.g_per_kwh, p.start_s, p.length_s) for p in points] == [(16, NOW_S - 1800, 900), (17, NOW_S - 900, 900)]
    assert {(p.zone, p.kind, p.signal, p.basis, p.scope, p.settled) for p in points} == {
        ("FR", "measured", "average", "direct", "generation", False)
    }


def test_the_question_leaves_out_rows_without_a_figure_and_fits_a_page(odre: Host) -> None:
    feed(odre).history("FR", NOW_S - 86400, NOW_S)
    path, query, _ = odre.asked[-1]
    assert path == REAL_TIME
    assert query["limit"] == ["100"]
    assert query["order_by"] == ["date_heure"]
    assert query["where"] == [
        "taux_co2 is not null and date_heure > '2026-06-23T09:45:00+00:00' and date_heure < '2026-06-24T10:00:00+00:00'"
    ]
    assert feed(odre).reach.history_s / 900 < 100


def test_the_latest_is_the_newest_quarter_hour(odre: Host) -> None:
    latest = feed(odre).latest("FR")
    assert (latest.g_per_kwh, latest.start_s, latest.low, latest.high) == (17, NOW_S - 900, 17, 17)


def test_the_past_is_of_consolidated_half_hours_and_settled(odre: Host) -> None:
    points = feed(odre).history("FR", MARCH_S, MARCH_S + 3600)
    assert [(p.g_per_kwh, p.length_s, p.settled) for p in points] == [(40, 1800, True), (41, 1800, True)]
    assert [path for path, _, _ in odre.asked] == [CONSOLIDATED]


def test_what_is_not_consolidated_yet_is_still_in_real_time(odre: Host) -> None:
    odre.paths = {REAL_TIME: answer(("2026-05-20T09:00:00+00:00", 22)), CONSOLIDATED: answer()}
    start_s = NOW_S - 35 * 86400 - 3600
    assert [(p.g_per_kwh, p.length_s) for p in feed(odre).history("FR", start_s, start_s + 3600)] == [(22, 900)]


def test_a_night_with_an_hour_twice_in_french_time_has_all_its_hours(odre: Host) -> None:
    night_s = 1_761_436_800.0  # 2025-10-26T00:00Z
    odre.paths[CONSOLIDATED] = answer(("2025-10-26T02:30:00+02:00", 1), ("2025-10-26T02:30:00+01:00", 2))
    points = feed(odre).history("FR", night_s, night_s + 7200)
    assert [(p.g_per_kwh, p.start_s) for p in points] == [(1, night_s + 1800), (2, night_s + 5400)]


@pytest.mark.parametrize("figure", ["ND", None, -1, 10_000])
def test_figures_that_are_none_are_left_out(odre: Host, figure: Any) -> None:
    odre.paths[REAL_TIME] = answer(("2026-06-24T09:30:00+00:00", figure), ("2026-06-24T09:45:00+00:00", "17"))
    assert [p.g_per_kwh for p in feed(odre).history("FR", NOW_S - 1800, NOW_S)] == [17]


@pytest.mark.parametrize("fault", FAULTS)
def test_faults(odre: Host, fault: str) -> None:
    assert_survives(fault, odre, feed(odre), "FR")


def test_nothing_for_two_hours_is_no_figure_for_now(odre: Host) -> None:
    odre.paths = {REAL_TIME: answer()}
    with pytest.raises(Unavailable, match="no figure for now"):
        feed(odre).latest("FR")


def test_it_serves_france_and_makes_no_forecasts(odre: Host) -> None:
    made = feed(odre)
    assert made.ready
    assert [made.serves(zone) for zone in ("FR", "FR-COR", "DE")] == [True, False, False]
    with pytest.raises(NotServed, match="makes no forecasts"):
        made.forecast("FR", NOW_S, NOW_S + 3600)
    with pytest.raises(NotServed, match="not for DE"):
        made.latest("DE")
    assert odre.asked == []
