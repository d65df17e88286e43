"""WattTime's intensity from a server that speaks its documented format, logins included."""

import base64
from collections.abc import Iterator
from typing import Any

import pytest
from feed_faults import FAULTS, NOW_S, SECRET, assert_survives, source
from hosts import Host

from joulegram.config import ConfigError
from joulegram.feeds import NotAllowed, NotServed, Unavailable
from joulegram.feeds.watttime import WattTimeFeed

TOKEN = "t0ken"
MOER = {
    "data_point_period_seconds": 300,
    "region": "CAISO_NORTH",
    "signal_type": "co2_moer",
    "units": "lbs_co2_per_mwh",
    "warnings": [{"type": "EXAMPLE_WARNING", "message": "an example"}],
    "model": {"date": "2023-03-01", "type": "binned_regression"},
    "generated_at": "2026-06-24T09:55:00+00:00",
    "generated_at_period_seconds": 300,
}


def row(time: str, value: Any, imputed: bool | None = None) -> dict[str, Any]:
    marker = {} if imputed is None else {"imputed_data_used": imputed, "last_updated": "2026-06-24T09:59:00+00:00"}
    return {"point_time": f"2026-06-24T{time}:00+00:00", "value": value, **marker}


def answer(*rows: Any, **meta: Any) -> dict[str, Any]:
    return {"data": list(rows), "meta": {**MOER, **meta}}


PAST = [row("09:50", 870.0, False), row("09:55", 900.0, True)]


@pytest.fixture
def watt() -> Iterator[Host]:
    with source() as made:
        made.paths = {
            "/login": {"token": TOKEN},
            "/v3/historical": answer(*PAST),
            "/v3/forecast": lambda asked: answer(
                *(row(time, 1000) for time in ("10:00", "10:05")[: 1 + int(asked["horizon_hours"][0])])
            ),
        }
        yield made


class Clock:
    now_s = NOW_S

    def __call__(self) -> float:
        return self.now_s


def feed(at: Host, clock: Clock | None = None, **options: Any) -> WattTimeFeed:
    given = {"base_url": at.url, "user": "ada", "password": SECRET, "region": "CAISO_NORTH", **options}
    return WattTimeFeed({"watttime": given}, None, clock or Clock())


def logins(at: Host) -> int:
    return sum(path == "/login" for path, _, _ in at.asked)


def test_the_past_is_in_grams_and_measured_where_nothing_was_imputed(watt: Host) -> None:
    points = feed(watt).history("US-CAL-CISO", NOW_S - 600, NOW_S)
    assert [(p.g_per_kwh, p.kind, p.start_s, p.length_s) for p in points] == [
        (pytest.approx(394.6253619), "measured", NOW_S - 600, 300),
        (pytest.approx(408.233133), "estimated", NOW_S - 300, 300),
    ]
    assert {(p.zone, p.signal, p.basis, p.scope) for p in points} == {("CAISO_NORTH", "marginal", "unknown", "unknown")}
    path, asked, _ = watt.asked[-1]
    assert (path, asked) == (
        "/v3/historical",
        {
            "region": ["CAISO_NORTH"],
            "signal_type": ["co2_moer"],
            "start": ["2026-06-24T09:50:00Z"],
            "end": ["2026-06-24T10:00:00Z"],
            "include_imputed_marker": ["true"],
        },
    )


def test_a_past_without_the_marker_is_not_taken_as_measured(watt: Host) -> None:
    watt.paths["/v3/historical"] = answer(row("09:50", 870.0))
    (point,) = feed(watt).history("US-CAL-CISO", NOW_S - 600, NOW_S)
    assert point.kind == "estimated"


def test_now_is_the_now_cast(watt: Host) -> None:
    latest = feed(watt).latest("US-CAL-CISO")
    assert (latest.g_per_kwh, latest.kind, latest.start_s) == (pytest.approx(453.59237), "estimated", NOW_S)
    assert watt.asked[-1][1]["horizon_hours"] == ["0"]


@pytest.mark.parametrize(("ahead_s", "hours"), [(300, "1"), (86400, "24"), (90_000, "25"), (864_000, "72")])
def test_a_forecast_is_asked_for_in_whole_hours(watt: Host, ahead_s: float, hours: str) -> None:
    points = feed(watt).forecast("US-CAL-CISO", NOW_S + 1, NOW_S + ahead_s)
    assert watt.asked[-1][1]["horizon_hours"] == [hours]
    assert {p.kind for p in points} == {"forecast"}


def test_the_average_is_another_signal_and_has_a_past_only(watt: Host) -> None:
    watt.paths["/v3/historical"] = answer(*PAST, signal_type="co2_aoer")
    made = feed(watt, signal="co2_aoer")
    assert {p.signal for p in made.history("US-CAL-CISO", NOW_S - 600, NOW_S)} == {"average"}
    assert made.latest("US-CAL-CISO").start_s == NOW_S - 300
    assert {path for path, _, _ in watt.asked} == {"/login", "/v3/historical"}
    assert watt.asked[-1][1]["signal_type"] == ["co2_aoer"]
    with pytest.raises(NotServed, match="no forecasts of the average"):
        made.forecast("US-CAL-CISO", NOW_S, NOW_S + 600)


@pytest.mark.parametrize(
    "meta",
    [
        {"units": "kg_co2_per_mwh"},
        {"units": "percentile"},
        {"units": None},
        {"signal_type": "co2_aoer"},
        {"region": "ERCOT_NORTH"},
    ],
)
def test_another_unit_signal_or_region_is_refused(watt: Host, meta: dict[str, Any]) -> None:
    watt.paths["/v3/historical"] = answer(*PAST, **meta)
    with pytest.raises(Unavailable, match=next(iter(meta))):
        feed(watt).history("US-CAL-CISO", NOW_S - 600, NOW_S)


def test_an_answer_that_says_nothing_of_itself_is_refused(watt: Host) -> None:
    watt.paths["/v3/historical"] = {"data": PAST}
    with pytest.raises(Unavailable, match="units"):
        feed(watt).history("US-CAL-CISO", NOW_S - 600, NOW_S)


def test_the_length_of_a_row_is_the_answers(watt: Host) -> None:
    watt.paths["/v3/historical"] = answer(*PAST, data_point_period_seconds=3600)
    assert {p.length_s for p in feed(watt).history("US-CAL-CISO", NOW_S - 600, NOW_S)} == {3600}


@pytest.mark.parametrize("length", [None, 0, -300, 1e9, "long"])
def test_a_length_that_no_row_has_is_refused(watt: Host, length: Any) -> None:
    watt.paths["/v3/historical"] = answer(*PAST, data_point_period_seconds=length)
    with pytest.raises(Unavailable, match="how long a row holds"):
        feed(watt).history("US-CAL-CISO", NOW_S - 600, NOW_S)


def test_user_and_password_go_to_the_login_alone_and_the_token_to_the_others(watt: Host) -> None:
    feed(watt).latest("US-CAL-CISO")
    (login, _, first), (_, _, second) = watt.asked
    assert login == "/login"
    assert base64.b64decode(first["Authorization"].removeprefix("Basic ")).decode() == f"ada:{SECRET}"
    assert second["Authorization"] == f"Bearer {TOKEN}"


def test_a_token_is_kept_for_half_an_hour(watt: Host) -> None:
    clock = Clock()
    made = feed(watt, clock)
    made.latest("US-CAL-CISO")
    clock.now_s += 28 * 60
    made.latest("US-CAL-CISO")
    assert logins(watt) == 1
    clock.now_s += 2 * 60
    made.latest("US-CAL-CISO")
    assert logins(watt) == 2


def test_a_clock_that_is_set_back_renews_the_token(watt: Host) -> None:
    clock = Clock()
    made = feed(watt, clock)
    made.latest("US-CAL-CISO")
    clock.now_s -= 86400
    made.latest("US-CAL-CISO")
    assert logins(watt) == 2


def _until_the_next_login(watt: Host) -> None:
    """The source refuses what it is asked, but not a login; after that all is well."""
    now_cast = watt.paths["/v3/forecast"]

    def log_in(_: Any) -> Any:
        watt.status, watt.paths["/v3/forecast"] = 200, now_cast
        return {"token": "another"}

    def refuse(_: Any) -> Any:
        watt.status = 401
        return {"error": "expired"}

    watt.paths.update({"/login": log_in, "/v3/forecast": refuse})


def test_a_token_that_is_not_taken_any_more_is_renewed_once(watt: Host) -> None:
    made = feed(watt)
    made.latest("US-CAL-CISO")
    _until_the_next_login(watt)
    assert made.latest("US-CAL-CISO").g_per_kwh == pytest.approx(453.59237)
    assert logins(watt) == 2
    assert watt.asked[-1][2]["Authorization"] == "Bearer another"


def _refused(watt: Host, status: int, body: Any) -> None:
    """Logins go well, nothing else does."""

    def answered(status: int, body: Any) -> Any:
        watt.status = status
        return body

    watt.paths = {
        "/login": lambda _: answered(200, {"token": TOKEN}),
        "/v3": lambda _: answered(status, body),
    }


def test_a_new_token_that_is_not_taken_is_not_renewed_again(watt: Host) -> None:
    _refused(watt, 401, {"error": "no"})
    made = feed(watt)
    for expected in (1, 2):
        with pytest.raises(NotAllowed, match="token"):
            made.latest("US-CAL-CISO")
        assert logins(watt) == expected


@pytest.mark.parametrize(
    ("status", "body", "kind", "said"),
    [
        (403, {"error": "forbidden"}, NotAllowed, "the plan of this WattTime account .* co2_moer of CAISO_NORTH"),
        (400, {"error": "invalid", "message": "no such region"}, NotServed, "invalid: no such region"),
        (404, b"", NotServed, "knows nothing"),
        (429, b"", Unavailable, "too often"),
        (500, b"", Unavailable, "HTTP 500"),
    ],
)
def test_what_the_source_says_is_told_apart(
    watt: Host, status: int, body: Any, kind: type[Unavailable], said: str
) -> None:
    _refused(watt, status, body)
    with pytest.raises(Unavailable, match=said) as caught:
        feed(watt).latest("US-CAL-CISO")
    assert type(caught.value) is kind
    assert logins(watt) == 1


@pytest.mark.parametrize("status", [401, 403])
def test_a_wrong_password_is_told_without_it(watt: Host, status: int) -> None:
    watt.status = status
    with pytest.raises(NotAllowed, match="does not know this user and password") as caught:
        feed(watt).latest("US-CAL-CISO")
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("said", [{}, {"token": None}, {"token": ""}, [], None, b"<html>"])
def test_a_login_without_a_token_is_no_answer(watt: Host, said: Any) -> None:
    watt.paths["/login"] = said
    with pytest.raises(Unavailable):
        feed(watt).latest("US-CAL-CISO")


@pytest.mark.parametrize("figure", [-1, 10_000, "much", None, True])
def test_figures_that_no_grid_has_are_left_out(watt: Host, figure: Any) -> None:
    watt.paths["/v3/historical"] = answer(row("09:50", figure, False), PAST[1])
    assert len(feed(watt).history("US-CAL-CISO", NOW_S - 600, NOW_S)) == 1


def test_nothing_emits_nothing(watt: Host) -> None:
    watt.paths["/v3/historical"] = answer(row("09:50", 0, False))
    assert [p.g_per_kwh for p in feed(watt).history("US-CAL-CISO", NOW_S - 600, NOW_S)] == [0]


@pytest.mark.parametrize("fault", FAULTS)
def test_faults(watt: Host, fault: str) -> None:
    assert_survives(fault, watt, feed(watt), "US-CAL-CISO")


def test_without_a_region_it_serves_nothing_and_says_what_to_do(watt: Host) -> None:
    made = feed(watt, region="")
    assert not made.ready
    assert not made.serves("US-CAL-CISO")
    with pytest.raises(NotServed, match=r"set feeds\.watttime\.region"):
        made.latest("US-CAL-CISO")
    assert not watt.asked
    assert feed(watt).serves("US-CAL-CISO")


def test_without_user_and_password_it_is_not_ready(watt: Host) -> None:
    assert feed(watt).ready
    assert not feed(watt, password=None).ready
    assert not WattTimeFeed({}, None, Clock()).ready


def test_regions_and_signals_are_kept_apart(watt: Host) -> None:
    options: list[dict[str, str]] = [{}, {"region": "ERCOT_NORTH"}, {"signal": "co2_aoer"}]
    assert len({feed(watt, **other).source for other in options}) == 3


def test_a_signal_that_there_is_not_is_told_in_one_line(watt: Host) -> None:
    with pytest.raises(ConfigError, match=r"^feed option watttime\.signal: one of co2_moer, co2_aoer is needed$"):
        feed(watt, signal="health_damage")
