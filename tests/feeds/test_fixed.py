"""A number of the user's own as a feed."""

from typing import Any

import pytest
from feed_faults import NOW_S

from joulegram.config import ConfigError
from joulegram.feeds import Unavailable
from joulegram.feeds.fixed import FixedFeed
from joulegram.records import Basis


def feed(wanted: Basis | None = None, **options: Any) -> FixedFeed:
    return FixedFeed({"fixed": options}, wanted, lambda: NOW_S + 600)


@pytest.mark.parametrize("number", [420, 420.0, "420", " 4.2e2 "])
def test_the_number_holds_at_all_times_and_is_its_own_bounds(number: Any) -> None:
    made = feed(g_per_kwh=number)
    latest = made.latest("DE")
    assert (latest.g_per_kwh, latest.low, latest.high) == (420, 420, 420)
    assert (latest.start_s, latest.length_s, latest.zone) == (NOW_S, 3600, "DE")
    assert (latest.kind, latest.signal, latest.basis, latest.settled) == ("static", "average", "unknown", True)
    for points in (made.history("DE", 5.0, 12.0), made.forecast("DE", 5.0, 12.0)):
        assert [(p.g_per_kwh, p.start_s, p.length_s) for p in points] == [(420, 5, 7)]


def test_its_basis_is_the_one_that_is_wanted_unless_it_is_given() -> None:
    assert feed("direct", g_per_kwh=1).latest("DE").basis == "direct"
    assert feed("direct", g_per_kwh=1, basis="lifecycle").latest("DE").basis == "lifecycle"


def test_signal_and_zone_can_be_given() -> None:
    point = feed(g_per_kwh=800, signal="marginal", zone="US-CA").latest("DE")
    assert (point.signal, point.zone) == ("marginal", "US-CA")


def test_zero_is_a_number() -> None:
    assert feed(g_per_kwh="0").latest("DE").g_per_kwh == 0


@pytest.mark.parametrize("number", ["much", "", "nan", "inf", -1, 3001, True, [420]])
def test_what_no_grid_has_is_told_in_one_line(number: Any) -> None:
    with pytest.raises(ConfigError, match=r"^feed option fixed\.g_per_kwh: a number from 0 to 3000 is needed$"):
        feed(g_per_kwh=number)


@pytest.mark.parametrize("options", [{"basis": "both"}, {"signal": "mean"}, {"gramms": 1}])
def test_other_mistakes_are_told_in_one_line(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"^feed option fixed\.\w+: [^\n]+$"):
        feed(g_per_kwh=420, **options)


def test_without_a_number_it_is_not_ready_and_has_no_answer() -> None:
    made = feed()
    assert not made.ready
    assert feed(g_per_kwh=0).ready
    assert made.serves("DE")
    with pytest.raises(Unavailable, match="fixed:420"):
        made.latest("DE")
