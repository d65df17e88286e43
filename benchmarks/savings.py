"""What came true of savings that yesterday's hours promised: how far, and how sure, `joulegram when` may foresee them.

Jobs of some hours within some more, from every fifth hour of real grids, take the start that by the hours of the day
before (and the present one, which is known) emits least. Each saving is foreseen by how alike the seven days before it
were, and held against the intensities that came. `SPREADS`, `UNKNOWN_KEPT` and `UNKNOWN_SPREAD` of
`joulegram.analysis.saving` are from this; fitted on one half of the grids they are held against the other.

    python benchmarks/savings.py --data ../shared/data/intensity
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from joulegram.analysis.saving import DAYS, LEAST_PAIRS, SPREADS, alike
from joulegram.analysis.when import LEAST_SAVING
from joulegram.curves.curve import Values
from joulegram.curves.series import HOUR_S, Series
from joulegram.feeds import FORECAST_HIGH, FORECAST_LOW
from joulegram.feeds.series import read_series

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "intensity"
SHAPES_H = tuple((duration, within) for duration in (1, 3, 6, 12) for within in (12, 24, 48) if within > duration)
"""Hours that a job takes, and within how many it has to be done."""
DAY_H = 24
EVERY_H = 5
"""Prime to the hours of a day: jobs start at all of them."""
COVERED = 0.95


@dataclass(frozen=True, slots=True)
class Jobs:
    """Jobs of one shape on one grid that had a later start to wait for; all of shape (n,).

    Args:
        promised: the saving by yesterday's hours, as a share of starting at once.
        came: what it was.
        moved: share of the work that is done at another time.
        kept: how much of a saving the days before let expect.
        spread: how far their hours were from one another.
        at_once: what starting at once emitted, over the grid's mean.
    """

    promised: Values
    came: Values
    moved: Values
    kept: Values
    spread: Values
    at_once: Values

    @property
    def value(self) -> Values:
        """The saving that is expected."""
        return self.kept * self.promised

    def off(self, kept: Values | float) -> Values:
        """How far what was emitted is from what was expected, as logarithms over what was moved."""
        return np.asarray(np.abs(np.log((1 - self.came) / (1 - kept * self.promised))) / self.moved)

    def saved(self, which: Values | slice = slice(None)) -> tuple[float, float]:
        """What was expected of jobs together, and what came; shares of what they emit if all start at once."""
        weights = self.at_once[which] / self.at_once[which].sum()
        return float(weights @ self.value[which]), float(weights @ self.came[which])


Found = Mapping[str, Sequence[Jobs]]
"""By grid, for each shape."""


def jobs(series: Series, shapes_h: Sequence[tuple[int, int]] = SHAPES_H, *, pausing: bool = False) -> list[Jobs]:
    """What jobs of each shape were promised, and what came.

    Args:
        series: a grid.
        shapes_h: how long jobs take, and within how much time they have to be done (h).
        pausing: whether they run in the hours that promise least, wherever these are; in one stretch otherwise.
    """
    first_s = series.starts_s[0]
    hourly = series.hourly(first_s, int((series.ends_s[-1] - first_s) / HOUR_S))
    most_h = max(within for _, within in shapes_h)
    starts = np.arange(DAYS * DAY_H, len(hourly) - most_h, EVERY_H)
    came = hourly[starts[:, None] + np.arange(most_h)]
    expected = hourly[starts[:, None] - DAY_H + np.arange(most_h) % DAY_H]
    expected[:, 0] = came[:, 0]
    kept, spread, pairs = alike(
        hourly[starts[:, None] - DAYS * DAY_H + np.arange(DAYS * DAY_H)].reshape(-1, DAYS, DAY_H)
    )
    known = (np.nan_to_num(came) > 0).all(axis=1) & (np.nan_to_num(expected) > 0).all(axis=1) & (pairs >= LEAST_PAIRS)
    mean = np.nanmean(hourly)
    choose = _cheapest_hours if pausing else _best_start
    found = []
    for duration, within in shapes_h:
        chosen = choose(expected[:, :within], duration)
        moved = chosen[:, duration:].sum(axis=1) / duration
        at_once = came[:, :duration].sum(axis=1)
        kind = Jobs(
            promised=1 - (expected[:, :within] * chosen).sum(axis=1) / expected[:, :duration].sum(axis=1),
            came=1 - (came[:, :within] * chosen).sum(axis=1) / at_once,
            moved=moved,
            kept=kept,
            spread=spread,
            at_once=at_once / duration / mean,
        )
        found.append(_only(kind, known & (moved > 0)))
    return found


def _best_start(expected: Values, duration: int) -> Values:
    """Which hours a job runs in that starts when the least is expected, shape (n, h)."""
    sums = np.cumsum(np.pad(np.nan_to_num(expected), ((0, 0), (1, 0))), axis=1)
    start = (sums[:, duration:] - sums[:, :-duration]).argmin(axis=1)[:, None]
    hour = np.arange(expected.shape[1])
    return np.asarray((hour >= start) & (hour < start + duration))


def _cheapest_hours(expected: Values, duration: int) -> Values:
    """Which hours are expected to be the lowest, shape (n, h)."""
    place = expected.argsort(axis=1, kind="stable").argsort(axis=1, kind="stable")
    return np.asarray(place < duration)


def _only(kind: Jobs, which: Values) -> Jobs:
    return Jobs(*(getattr(kind, field)[which] for field in Jobs.__dataclass_fields__))


def off_by_own_days(found: Sequence[Jobs]) -> list[Values]:
    """How many spreads of a zone's own days jobs are off."""
    return [kind.off(kind.kept) / np.maximum(kind.spread, 1e-9) for kind in found]


def coverage(off: Sequence[Values], within: float) -> float:
    """Share of the jobs that are off by no more; each shape weighs the same."""
    return float(np.mean([(kind <= within).mean() for kind in off]))


def least_that_covers(grids: Sequence[Sequence[Values]], step: float) -> float:
    """The least width, in whole steps, that holds 95 % of the jobs; each grid weighs the same."""
    steps = 1
    while np.mean([coverage(off, steps * step) for off in grids]) < COVERED:
        steps += 1
    return round(steps * step, 6)


def kept_of(found: Sequence[Jobs]) -> float:
    """Share of what was promised on a grid that came true, in what was emitted."""
    promised, came = (sum(kind.at_once @ getattr(kind, field) for kind in found) for field in ("promised", "came"))
    return float(came / promised)


def constants(found: Found) -> dict[str, float]:
    """The figures that savings are foreseen by.

    Of a grid whose days are not known, what the median grid keeps is expected, with the spread of the most restless.
    """
    spreads = least_that_covers([off_by_own_days(kinds) for kinds in found.values()], 0.1)
    kept = round(float(np.median([kept_of(kinds) for kinds in found.values()])), 2)
    off = [[kind.off(kept) / spreads for kind in kinds] for kinds in found.values()]
    spread = max(least_that_covers([grid], 0.01) for grid in off)
    return {"SPREADS": spreads, "UNKNOWN_KEPT": kept, "UNKNOWN_SPREAD": spread}


def halves(found: Found) -> list[tuple[list[str], list[str]]]:
    """Grids to fit on, and those to check on: every other one, and the other way round."""
    one, other = sorted(found)[::2], sorted(found)[1::2]
    return [(one, other), (other, one)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of hourly series (time, g_co2e_per_kwh)")
    options = parser.parse_args()
    known = {path.stem: read_series(path) for path in sorted(options.data.glob("*.csv"))}
    if not known:
        parser.error(f"{options.data} holds no series")
    found = {name: jobs(series) for name, series in known.items()}
    _print_grids(found)
    _print_kept(found)
    _print_halves(found)
    _print_worst_case(found)
    paused = [off_by_own_days(jobs(series, pausing=True)) for series in known.values()]
    print(
        f"\nWith pauses that cost nothing, {SPREADS} spreads hold {_mean(coverage(off, SPREADS) for off in paused):.1%}"
    )
    print()
    for name, figure in constants(found).items():
        print(f"{name} = {figure:g}")


def _print_grids(found: Found) -> None:
    print("Savings in % of starting at once, all shapes together; how many wait by the advice, and how these fared")
    head = ("", "promised", "expected", "came", "within", "waits", "sure", "expected", "came")
    print("{:42}{:>9}{:>9}{:>6}{:>8}  {:>6}{:>6}{:>9}{:>6}".format(*head))
    for name, kinds in found.items():
        every = _together(kinds)
        off = coverage(off_by_own_days(kinds), SPREADS)
        sure = every.value > 1 - np.exp(-SPREADS * every.moved * every.spread)
        waits = sure | (every.value >= LEAST_SAVING)
        promised = float(every.at_once @ every.promised / every.at_once.sum())
        (value, came), (value_of, came_of) = every.saved(), every.saved(waits)
        left = (promised, value, came, off, waits.mean(), sure.mean(), value_of, came_of)
        print("{:42}{:9.1f}{:9.1f}{:6.1f}{:8.1f}  {:6.0f}{:6.0f}{:9.1f}{:6.1f}".format(name, *(100 * x for x in left)))


def _print_kept(found: Found) -> None:
    print("\nShare of savings that the days before let expect, and share that came; all grids")
    every = _together([kind for kinds in found.values() for kind in kinds])
    for low in np.arange(0, 1, 0.1):
        which = (every.kept >= low) & (every.kept < low + 0.1 + (low > 0.85))
        weights = every.at_once[which] * every.promised[which]
        kept, came = (float(weights @ share / weights.sum()) for share in (every.kept[which], _share(every)[which]))
        print(f"  {low:.1f} – {low + 0.1:.1f}: {which.mean():5.1%} of the jobs, expected {kept:4.0%}, came {came:4.0%}")


def _print_halves(found: Found) -> None:
    print("\nFitted on one half of the grids, held against the other: how many of its jobs came within their interval")
    for fitted, checked in halves(found):
        figures = constants({name: found[name] for name in fitted})
        spreads, kept, spread = figures.values()
        own = {name: coverage(off_by_own_days(found[name]), spreads) for name in checked}
        unknown = {name: coverage([k.off(kept) for k in found[name]], spreads * spread) for name in checked}
        print(f"  {figures}, from {', '.join(name.split('_')[0] for name in fitted)}")
        for words, covered in (("by own days", own), ("if their days were not known", unknown)):
            least = min(covered, key=lambda name: covered[name])
            print(f"    {words}: {_mean(covered.values()):.1%}; least {least.split('_')[0]} {covered[least]:.1%}")
    for place, shape in enumerate(SHAPES_H):
        off = [off_by_own_days(kinds)[place] for kinds in found.values()]
        print(f"  {shape[0]:2} h within {shape[1]:2} h: {coverage(off, SPREADS):.1%}")


def _print_worst_case(found: Found) -> None:
    """What single hours' bounds are worth, one schedule's hours at their lowest and the other's at their highest."""
    every = _together([kind for kinds in found.values() for kind in kinds])
    least = 1 - (1 - every.promised) * FORECAST_HIGH / FORECAST_LOW
    sure = (least > 0) & (every.moved == 1)
    below, lost = (every.came[sure] < least[sure]).mean(), (every.came[sure] < 0).mean()
    promised = every.promised[sure].min()
    print(
        f"\nBy the worst of single hours' bounds {sure.sum()} jobs are sure to save (promised {promised:.0%} or more):"
    )
    print(f"  {below:.0%} came out below the lower bound, {lost:.0%} emitted more than at once")


def _share(every: Jobs) -> Values:
    return np.divide(every.came, every.promised, out=np.zeros_like(every.came), where=every.promised > 0)


def _together(kinds: Sequence[Jobs]) -> Jobs:
    return Jobs(*(np.concatenate([getattr(kind, field) for kind in kinds]) for field in Jobs.__dataclass_fields__))


def _mean(shares: object) -> float:
    return float(np.mean(list(shares)))  # type: ignore[call-overload]


if __name__ == "__main__":
    main()
