"""The factors on values that are no measurement are what hourly series of real grids give."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from joulegram import feeds
from joulegram.curves.series import Series
from joulegram.feeds import fetching

REPOSITORY = Path(__file__).resolve().parents[2]
INTENSITY = REPOSITORY.parent / "shared" / "data" / "intensity"


@pytest.fixture(scope="module")
def spread():
    spec = importlib.util.spec_from_file_location("spread", REPOSITORY / "benchmarks" / "intensity_spread.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def factors(spread):
    if not INTENSITY.exists():
        pytest.skip(f"{INTENSITY} is not here")
    return spread.lag_constants(spread.read(INTENSITY))


def test_forecasts_are_as_good_as_the_same_hour_of_the_day_before(factors):
    assert (factors["FORECAST_LOW"], factors["FORECAST_HIGH"]) == (feeds.FORECAST_LOW, feeds.FORECAST_HIGH)


def test_values_carried_on_are_as_good_as_three_hours_before(factors):
    assert (factors["CARRIED_LOW"], factors["CARRIED_HIGH"]) == (fetching.CARRIED_LOW, fetching.CARRIED_HIGH)


def test_an_hour_beside_a_gap_is_compared_with_no_other(spread):
    """A year in which each hour is twice the one before, started anew each day; the second day is missing."""
    hours = np.arange(8760)
    kept = hours // 24 != 1
    series = Series.of(3600.0 * hours[kept], 3600.0, 2.0 ** (hours[kept] % 24))
    (ratios,) = spread.over_earlier(series, 1)
    assert len(ratios) == kept.sum() - 2
    assert set(ratios) == {2.0, 2.0**-23}
    (days,) = spread.over_earlier(series, 24)
    assert len(days) == kept.sum() - 2 * 24
    assert set(days) == {1.0}
    assert spread.by_grid([series, Series.of([0.0], 3600.0, [1.0])], 24)[0].tolist() == days.tolist()
