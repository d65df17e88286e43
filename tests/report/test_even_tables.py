"""Tables of break-even, rebound and budget, of what they seldom show."""

from __future__ import annotations

from typing import Any

import pytest
from rich.console import Console

from joulegram.analysis.breakeven import break_even
from joulegram.analysis.rebound import rebound
from joulegram.analysis.windows import HOUR_S, Hour, Window
from joulegram.report.breakeven_table import print_break_even
from joulegram.report.rebound_table import print_rebound

Json = dict[str, Any]


def printed(show: Any, found: Json) -> str:
    console = Console(width=80)
    with console.capture() as capture:
        show(found, console)
    return capture.get()


def window(first: int, volume: float, energy_j: float, carbon_g: float | None, hours: int = 2) -> Window:
    rows = [
        Hour(HOUR_S * (first + n), HOUR_S, volume, energy_j, energy_j * 2, energy_j, carbon_g) for n in range(hours)
    ]
    return Window(rows, ("s (run)",), frozenset({"DK"}), frozenset({"lifecycle"}), frozenset({"gpu"}))


@pytest.mark.parametrize(
    ("before", "after", "development"),
    [
        ("12J", "13J", ["1kWh"]),
        ("12J±3", "11J±3", ["1kWh"]),
        ("1e3kWh", "1e-9J", ["1e3GWh"]),
        ("3g", "1g", ["4t"]),
        ("0J", "0J", ["0J"]),
    ],
)
def test_every_break_even_fits_80_columns(before: str, after: str, development: list[str]) -> None:
    shown = printed(print_break_even, break_even(before, after, development, per_day=1e-3, retrain_every_s=1e9))
    assert max(map(len, shown.splitlines())) <= 80
    assert "…" not in shown


@pytest.mark.parametrize(
    ("after", "said"),
    [
        (window(9, 10.0, 100.0, None), "Not in grams, as carbon is not known of every hour"),
        (window(9, 10.0, 5e9, 1e9), "undefined"),
        (window(9, 1e12, 1e9, 1e4), "backfire"),
        (window(9, 1.0, 1.0, 0.5), "more was saved than the measure alone would have"),
    ],
)
def test_every_rebound_fits_80_columns_and_shows_the_total(after: Window, said: str) -> None:
    before = window(0, 10.0, 200.0, 1.0)
    shown = printed(print_rebound, rebound(before, after))
    flat = " ".join(shown.split())
    assert said in flat
    assert "energy a day" in shown
    assert max(map(len, shown.splitlines())) <= 80
