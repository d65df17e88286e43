"""Whatever a part of an answer is replaced by, there are points of a grid, or one line that says why there are none."""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
from feed_faults import NOW_S, SECRET, source
from hypothesis import given
from hypothesis import strategies as st

from joulegram.feeds import MOST_G_PER_KWH, Feed, Unavailable
from joulegram.feeds.carbonaware import CarbonAwareFeed
from joulegram.feeds.electricitymaps import ElectricityMapsFeed
from joulegram.feeds.prometheus import PrometheusFeed
from joulegram.feeds.watttime import WattTimeFeed

TIME = "2026-06-24T09:00:00Z"

OPTIONS: dict[type[Feed], dict[str, str]] = {
    CarbonAwareFeed: {"signal": "average"},
    ElectricityMapsFeed: {"key": SECRET},
    PrometheusFeed: {"query": "up", "token": SECRET},
    WattTimeFeed: {"user": "ada", "password": SECRET, "region": "CAISO_NORTH"},
}
ANSWERS: dict[type[Feed], Any] = {
    CarbonAwareFeed: [{"time": TIME, "rating": 70, "duration": "00:05:00"}],
    ElectricityMapsFeed: {
        "zone": "GB",
        "history": [{"carbonIntensity": 70, "datetime": TIME, "emissionFactorType": "lifecycle", "isEstimated": False}],
        "temporalGranularity": "hourly",
    },
    PrometheusFeed: {
        "status": "success",
        "data": {"resultType": "matrix", "result": [{"metric": {"location": "GBR"}, "values": [[NOW_S - 600, "70"]]}]},
    },
    WattTimeFeed: {
        "token": "t0ken",
        "data": [{"point_time": TIME, "value": 154.3, "imputed_data_used": False}],
        "meta": {
            "data_point_period_seconds": 300,
            "region": "CAISO_NORTH",
            "signal_type": "co2_moer",
            "units": "lbs_co2_per_mwh",
        },
    },
}
PLAIN = st.one_of(
    st.none(),
    st.booleans(),
    st.text(max_size=5),
    st.sampled_from(["NaN", "9" * 400, "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "true\n"]),
    st.integers(-(10**400), 10**400),
    st.floats(allow_nan=False, allow_infinity=False),
)
ANYTHING = PLAIN | st.lists(PLAIN, max_size=2) | st.dictionaries(st.text(max_size=3), PLAIN, max_size=2)


def places(answer: Any) -> Iterator[tuple[Any, ...]]:
    """The path of keys to each part of an answer."""
    yield ()
    inside = answer.items() if isinstance(answer, dict) else enumerate(answer) if isinstance(answer, list) else ()
    for key, part in inside:
        yield from ((key, *deeper) for deeper in places(part))


def replaced(answer: Any, place: tuple[Any, ...], by: Any) -> Any:
    """An answer with another part at a place."""
    if not place:
        return by
    answer = deepcopy(answer)
    answer[place[0]] = replaced(answer[place[0]], place[1:], by)
    return answer


@pytest.mark.parametrize("kind", OPTIONS, ids=lambda kind: kind.name)
def test_a_part_of_an_answer_may_be_anything(kind: type[Feed]) -> None:
    with source() as host:
        feed = kind({kind.name: {"base_url": host.url, **OPTIONS[kind]}}, None, lambda: NOW_S)

        @given(st.sampled_from(list(places(ANSWERS[kind]))), ANYTHING)
        def check(place: tuple[Any, ...], by: Any) -> None:
            host.body, points, said = replaced(ANSWERS[kind], place, by), [], ""
            try:
                points = feed.history("GB", NOW_S - 7200, NOW_S)
            except Unavailable as error:
                said = str(error)
            assert "\n" not in said
            assert SECRET not in said
            assert all(0 <= p.g_per_kwh <= MOST_G_PER_KWH for p in points)

        host.body = ANSWERS[kind]
        (point,) = feed.history("GB", NOW_S - 7200, NOW_S)
        assert point.g_per_kwh == pytest.approx(70, abs=0.1)
        check()
