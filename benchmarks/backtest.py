"""What choosing a start would have saved on real grids, by rule, judged by the intensities that came.

A nightly job of an hour at 01:00 local time that may start up to 2, 4, 6 or 8 hours earlier or later; and a job of 6
hours that may start at any hour and has to be finished within 24.

    python benchmarks/backtest.py --data ../shared/data/intensity
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np

from joulegram.analysis.backtest import Score, backtest, hours
from joulegram.curves.curve import Values
from joulegram.curves.series import HOUR_S, Series
from joulegram.feeds.series import read_series

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "intensity"
FLEXIBILITY_H = (2, 4, 6, 8)
LONG_H, WITHIN_H = 6, 24
EVERY_H = 5
"""Prime to the hours of a day: jobs start at all of them."""

# Germany 2020, perfect foresight, from the series published with Let's Wait Awhile (Wiesner et al., Middleware 2021).
PUBLISHED_DE_2020 = (0.026, 0.037, 0.073, 0.135)

PLACES = {
    "DE": "Europe/Berlin", "DK": "Europe/Copenhagen", "ES": "Europe/Madrid", "FR": "Europe/Paris",
    "GB": "Europe/London", "NL": "Europe/Amsterdam", "PL": "Europe/Warsaw", "SE": "Europe/Stockholm",
    "US-CAL": "America/Los_Angeles", "US-TEX": "America/Chicago",
}  # fmt: skip
"""Whose clock a series' nights go by, by the beginning of its name."""


def nights(place: str, year: int) -> Values:
    """01:00 local time of every day of a year (s since 1970)."""
    first = datetime(year, 1, 1, 1, tzinfo=ZoneInfo(place))
    days = (first + timedelta(days=day) for day in range(366))
    return np.array([day.timestamp() for day in days if day.year == year])


def nightly(series: Series, place: str, year: int) -> list[list[Score]]:
    """Scores of a nightly job for each flexibility."""
    return [backtest(series, nights(place, year), hours(-most, most), HOUR_S) for most in FLEXIBILITY_H]


def any_hour(series: Series) -> list[Score]:
    """Scores of a long job that would start at once, at every fifth hour of a series."""
    starts = np.arange(series.starts_s[0] + 24 * HOUR_S, series.ends_s[-1] - WITHIN_H * HOUR_S, EVERY_H * HOUR_S)
    return backtest(series, starts, hours(0, WITHIN_H - LONG_H), LONG_H * HOUR_S)


def place_of(name: str) -> str:
    return next(place for start, place in PLACES.items() if name.startswith(start))


def row(score: Score) -> str:
    """One rule in 100 columns."""
    saving, regret = ((f"{100 * v:6.1f}", f"{100 * a:6.1f} – {100 * b:5.1f}") for v, (a, b) in _bounded(score))
    promised = "" if score.promised is None else f"{100 * score.promised:.1f}"
    tail = f"{100 * score.worse_share:6.0f} {100 * score.tail:8.1f}"
    return f"{score.rule:20}{promised:>9} {saving[0]} {saving[1]:>15} {regret[0]} {regret[1]:>15} {tail}"


HEAD = f"{'':20}{'promised':>9} {'saved':>6} {'95 %':>15} {'regret':>6} {'95 %':>15} {'worse':>6} {'1 in 20':>8}   (%)"


def _bounded(score: Score) -> tuple[tuple[float, tuple[float, float]], ...]:
    return (score.saving, score.saving_bounds), (score.regret, score.regret_bounds)


def named(scores: Sequence[Score], rule: str) -> Score:
    return next(score for score in scores if score.rule.startswith(rule))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of hourly series (time, g_co2e_per_kwh)")
    parser.add_argument("--year", type=int, default=2020, help="of the nights; 2020")
    options = parser.parse_args()
    known = {path.stem: read_series(path) for path in sorted(options.data.glob("*.csv"))}
    if not known:
        parser.error(f"{options.data} holds no series")
    _print_nights(known, options.year)
    _print_germany(known)
    _print_any_hour(known)


def _print_nights(known: dict[str, Series], year: int) -> None:
    print(f"01:00 every night of {year}, an hour, saved in % by perfect foresight and by yesterday's hours")
    print(f"{'':42}" + "".join(f"   ± {most} h      " for most in FLEXIBILITY_H))
    for name, series in known.items():
        scores = nightly(series, place_of(name), year)
        pairs = [(named(of, "perfect").saving, named(of, "yesterday").saving) for of in scores]
        print(f"{name:42}" + "".join(f"{100 * best:6.1f} {100 * own:6.1f}  " for best, own in pairs))


def _print_germany(known: dict[str, Series]) -> None:
    name = next((name for name in known if name.startswith("DE_2020")), None)
    if name is None:
        return
    print("\nGermany 2020, nights, every rule; published: from the series of Let's Wait Awhile, another one")
    for most, published, scores in zip(
        FLEXIBILITY_H, PUBLISHED_DE_2020, nightly(known[name], PLACES["DE"], 2020), strict=True
    ):
        print(f"\n± {most} h, {scores[0].jobs} nights; perfect foresight published {100 * published:.1f} %\n{HEAD}")
        print("\n".join(map(row, scores)))


def _print_any_hour(known: dict[str, Series]) -> None:
    print(f"\n{LONG_H} h within {WITHIN_H} h, from any hour, against starting at once")
    kept = []
    for name, series in known.items():
        scores = any_hour(series)
        yesterday = named(scores, "yesterday")
        kept.append(yesterday.saving / (yesterday.promised or np.nan))
        print(f"\n{name}, {scores[0].jobs} jobs\n{HEAD}")
        print("\n".join(row(score) for score in scores if score.rule != "earliest start"))
    print(f"\nOf what yesterday's hours promised, so much came true: {min(kept):.0%} to {max(kept):.0%}", end="")
    print(f", median {np.median(kept):.0%}")


if __name__ == "__main__":
    main()
