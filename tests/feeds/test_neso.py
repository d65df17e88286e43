"""Great Britain's intensity from a server that speaks NESO's documented format."""

from collections.abc import Iterator
from typing import Any

import pytest
from feed_faults import FAULTS, NOW_S, assert_survives, source
from hosts import Host

from joulegram.config import ConfigError
from joulegram.feeds import Unavailable
from joulegram.feeds.neso import NesoFeed


def slot(start: str, end: str, forecast: int | None, actual: int | None = None) -> dict[str, Any]:
    figures = {"forecast": forecast, "actual": actual, "index": "moderate"}
    return {"from": start, "to": end, "intensity": figures}


PAST = slot("2026-06-24T09:00Z", "2026-06-24T09:30Z", 266, 263)
LATE = slot("2026-06-24T09:30Z", "2026-06-24T10:00Z", 250)
RUNNING = slot("2026-06-24T10:00Z", "2026-06-24T10:30Z", 240)
NEXT = slot("2026-06-24T10:30Z", "2026-06-24T11:00Z", 230)


@pytest.fixture
def neso() -> Iterator[Host]:
    with source() as made:
        made.body = {"data": [PAST, LATE, RUNNING, NEXT]}
        yield made


def feed(at: Host, **options: Any) -> NesoFeed:
    return NesoFeed({"neso": {"base_url": at.url, **options}}, None, lambda: NOW_S)


def test_half_hours_with_an_actual_figure_are_measured_and_the_others_forecast(neso: Host) -> None:
    points = feed(neso).history("GB", NOW_S - 3600, NOW_S)
    assert [(p.g_per_kwh, p.kind, p.start_s, p.length_s) for p in points] == [
        (263, "measured", NOW_S - 3600, 1800),
        (250, "forecast", NOW_S - 1800, 1800),
    ]
    assert {(p.zone, p.signal, p.basis, p.scope, p.fetched_s) for p in points} == {
        ("GB", "average", "direct", "consumption", NOW_S)
    }
    assert neso.asked[-1][0] == "/intensity/2026-06-24T09:00Z/2026-06-24T10:00Z"


def test_the_latest_is_the_running_half_hour_and_a_forecast_bears_the_bounds_of_one(neso: Host) -> None:
    latest = feed(neso).latest("GB")
    assert (latest.g_per_kwh, latest.kind, latest.settled) == (240, "forecast", False)
    assert latest.low < 240 < latest.high


def test_a_day_later_an_actual_figure_is_settled(neso: Host) -> None:
    later = NesoFeed({"neso": {"base_url": neso.url}}, None, lambda: NOW_S + 2 * 86400)
    past, late = later.history("GB", NOW_S - 3600, NOW_S)
    assert (past.settled, late.settled) == (True, False)


@pytest.mark.parametrize(
    ("options", "end"),
    [({"region": 3}, "/regionid/3"), ({"region": "13"}, "/regionid/13"), ({"postcode": "rg10"}, "/postcode/RG10")],
)
@pytest.mark.parametrize("wrapped", [True, False], ids=["a list", "an object"])
def test_a_region_has_its_forecasts_alone(neso: Host, options: dict[str, Any], end: str, wrapped: bool) -> None:
    row = {key: value for key, value in LATE.items() if key != "intensity"}
    part = {"regionid": 3, "data": [{**row, "intensity": {"forecast": 199, "index": "low"}, "generationmix": []}]}
    neso.body = {"data": [part] if wrapped else part}
    (point,) = feed(neso, **options).history("GB", NOW_S - 1800, NOW_S)
    assert (point.g_per_kwh, point.kind) == (199, "forecast")
    assert neso.asked[-1][0] == f"/regional/intensity/2026-06-24T09:30Z/2026-06-24T10:00Z{end}"


@pytest.mark.parametrize("options", [{"region": 18}, {"region": "north"}, {"postcode": "RG10 9QX"}])
def test_a_part_that_there_is_not_is_told_in_one_line(neso: Host, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"^feed option neso\.(region|postcode): "):
        feed(neso, **options)


@pytest.mark.parametrize("figure", [-1, 10_000, "much", None])
def test_half_hours_with_figures_that_no_grid_has_are_left_out(neso: Host, figure: Any) -> None:
    neso.body = {"data": [slot("2026-06-24T09:00Z", "2026-06-24T09:30Z", figure, figure), LATE]}
    assert [p.g_per_kwh for p in feed(neso).history("GB", NOW_S - 3600, NOW_S)] == [250]


def test_a_row_twice_counts_once_and_the_last_is_right(neso: Host) -> None:
    neso.body = {"data": [slot("2026-06-24T09:00Z", "2026-06-24T09:30Z", 266, 300), PAST]}
    assert [p.g_per_kwh for p in feed(neso).history("GB", NOW_S - 3600, NOW_S)] == [263]


@pytest.mark.parametrize("fault", FAULTS)
def test_faults(neso: Host, fault: str) -> None:
    assert_survives(fault, neso, feed(neso), "GB")


def test_how_long_the_source_wants_to_be_left_alone_is_passed_on(neso: Host) -> None:
    neso.status, neso.headers = 429, {"Retry-After": "197"}
    with pytest.raises(Unavailable) as caught:
        feed(neso).latest("GB")
    assert caught.value.retry_s == 197


def test_it_serves_great_britain_alone() -> None:
    made = NesoFeed({}, None, lambda: NOW_S)
    assert made.ready
    assert [made.serves(zone) for zone in ("GB", "GB-ENG", "DE", "US-CA")] == [True, True, False, False]
