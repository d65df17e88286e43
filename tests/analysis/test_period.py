"""Which year's hours are looked at."""

from __future__ import annotations

import numpy as np
import whatifs

from joulegram.analysis.period import Period, periods
from joulegram.curves.series import HOUR_S, Series


def hours_of(start: str, end: str) -> Series:
    starts = np.arange(whatifs.at(start), whatifs.at(end), HOUR_S)
    return Series.of(starts, HOUR_S, np.full(len(starts), 100.0))


def names(*series: Series, wished: tuple[str, ...] = ()) -> list[str]:
    return [period.name for period in periods(series, [whatifs.at(time) for time in wished])]


def test_the_latest_year_that_all_know_is_taken() -> None:
    assert names(hours_of("2017-01-01", "2021-01-01"), hours_of("2019-01-01", "2025-01-01")) == ["2020", "2020"]


def test_the_year_of_a_time_wished_for_goes_first() -> None:
    series = hours_of("2017-01-01", "2021-01-01")
    assert names(series, wished=("2030-05-05", "2018-05-05")) == ["2018"]


def test_a_year_that_lacks_a_day_or_its_last_hour_is_whole() -> None:
    assert names(hours_of("2018-12-31T23:00", "2020-12-31T22:00")) == ["2020"]
    assert names(hours_of("2019-01-01", "2020-10-01")) == ["2019"]


def test_without_a_year_in_common_each_has_its_own() -> None:
    assert names(hours_of("2018-01-01", "2019-01-01"), hours_of("2020-01-01", "2021-01-01")) == ["2018", "2020"]


def test_what_holds_no_year_is_taken_whole() -> None:
    (period,) = periods([hours_of("2020-03-01T05:00", "2020-06-01")])
    assert (period.name, period.hours) == ("2020-03-01 to 2020-05-31", 91 * 24 + 19)
    assert period.end_s == whatifs.at("2020-06-01")


def test_of_what_holds_more_than_a_year_but_no_calendar_year_the_latest_hours_are_taken() -> None:
    (period,) = periods([hours_of("2019-04-01", "2020-08-01")])
    assert (period.hours, period.end_s) == (366 * 24, whatifs.at("2020-08-01"))


def test_a_leap_year_has_its_day() -> None:
    assert (Period.of_year(2020).hours, Period.of_year(2021).hours) == (8784, 8760)
