"""Figure 2: the hours of Denmark's grids beside their averages, and what that makes of the emissions of runs.

The paper's is of a surrogate's 423,000 models at chosen starts, with Electricity Maps' intensities every five minutes;
this one is of the measured runs at every hour, with what Energinet declared. As measured, of four epochs, runs take
minutes and meet one hour; stretched to the 108 of a full training, as EC-NAS stretches their energy, they take up to
three and a half.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.paper.ecnas import Floats, Runs
from benchmarks.paper.grids import Grid, write_csv
from benchmarks.paper.starts import Jobs, Laid, jobs, laid, ratios, spread, yearly_mean
from joulegram.curves.series import HOUR_S

ZONES = ("DK-DK1", "DK-DK2")
YEARS = range(2019, 2024)
EPOCHS = (4, 108)
SHOWN = ("DK-DK2", 2022)
"""Where and when the runs were: Copenhagen."""
ROLLING_H = 30 * 24
KNOWN_PART = 0.9
"""Of the hours of a rolling mean that have to be known; 29 February 2020 is not."""
DAY_H = 24
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
AT = np.linspace(0.0, 1.0, 501)
BOX = (0.05, 0.25, 0.5, 0.75, 0.95)

GREY, BLUE, RED = "#bbbbbb", "#004488", "#cc3311"
COLOURS = ("#4477aa", "#66ccee", "#228833", "#ccbb44", "#ee6677")
"""Of each year."""
FOOT = (
    "Intensity: Energinet’s settled declarations (125 % method; direct, consumption with imports; CC BY 4.0), "
    "years in UTC.\n"
    "Runs: {runs:,} measured trainings of EC-NAS-Bench (MIT), stretched from 4 to {epochs} epochs; "
    "energy without PUE. Each is laid over every hour of a year as if it had started there, at even power.\n"
    "Boxes: 25th to 75th percentile with the median; whiskers: 5th and 95th."
)


@dataclass(frozen=True, slots=True)
class Day:
    """A day of a grid in UTC (gCO2e/kWh).

    Args:
        zone: of the grid.
        day: its date.
        mean: of its hours, likewise the least and the greatest.
        mean_30d: of the 30 days around its noon; NaN where less than nine tenths of them is known.
        mean_year: of its year.
    """

    zone: str
    day: str
    mean: float
    min: float
    max: float
    mean_30d: float
    mean_year: float


def danish(grids: Sequence[Grid]) -> list[Grid]:
    """Those of the grids that the figure is of."""
    return [grid for grid in grids if grid.zone in ZONES]


def complete(grids: Sequence[Grid]) -> bool:
    """Whether each of its zones has all of its years."""
    whole = {grid.zone: [year for year, _ in grid.years()] for grid in grids}
    return all(set(YEARS) <= set(whole.get(zone, ())) for zone in ZONES)


def table(grids: Sequence[Grid], spaces: Sequence[Runs]) -> list[Laid]:
    """Every zone and year, for the runs as measured and for full trainings."""
    return [
        laid(grid, year, runs, ratios(grid, year, runs))
        for runs in (jobs(spaces, epochs) for epochs in EPOCHS)
        for grid in danish(grids)
        for year in YEARS
    ]


def days(grid: Grid, years: Iterable[int] = YEARS) -> Iterator[Day]:
    """Every day of some years; one without any known hour is left out."""
    for year in years:
        hourly, mean_year = grid.year(year).reshape(-1, DAY_H), yearly_mean(grid, year)
        start = datetime(year, 1, 1, tzinfo=UTC)
        before_h = (ROLLING_H - DAY_H) // 2
        around = grid.series.hourly(start.timestamp() - HOUR_S * before_h, hourly.size + 2 * before_h)
        rolling = _rolling(around)[::DAY_H]
        for number, (hours, mean_30d) in enumerate(zip(hourly, rolling.tolist(), strict=True)):
            known = hours[~np.isnan(hours)]
            if len(known):
                low, high, mean = float(known.min()), float(known.max()), float(known.mean())
                date = (start + timedelta(days=number)).date().isoformat()
                yield Day(grid.zone, date, mean, low, high, mean_30d, mean_year)


def text(found: Sequence[Laid]) -> str:
    """What the figure says, in 80 columns."""
    headings = "".join(f"{heading:>8}" for heading in ("g/kWh", "least", "5 %", "95 %", "most", ">10 %"))
    lines = [f"{'real-time over yearly average':32}{headings}"]
    for one in found:
        spans = (one.ratio_min, one.ratio_p5, one.ratio_p95, one.ratio_max)
        label = f"{one.zone} {one.year}, {one.epochs} epochs"
        figures = "".join(f"{ratio:8.2f}" for ratio in spans)
        lines.append(f"{label:32}{one.yearly_g_per_kwh:8.1f}{figures}{one.far_part:8.0%}")
    return "\n".join(lines)


def write(found: Sequence[Laid], grids: Sequence[Grid], out: Path) -> None:
    """The numbers behind the picture: figure2.csv and figure2-intensity.csv."""
    write_csv(out / "figure2.csv", [field.name for field in fields(Laid)], [astuple(one) for one in found])
    by_day = [astuple(day) for grid in danish(grids) for day in days(grid)]
    write_csv(out / "figure2-intensity.csv", [field.name for field in fields(Day)], by_day)


def draw(grids: Sequence[Grid], spaces: Sequence[Runs], path: Path) -> None:
    """Writes hours and averages of each grid, and the emissions of full trainings by their start, to a PNG."""
    from matplotlib.figure import Figure  # not pyplot: that needs, and keeps, the state of a display

    runs = jobs(spaces, EPOCHS[-1])
    figure = Figure(figsize=(14, 13))
    layout = figure.add_gridspec(3, 2, left=0.055, right=0.985, top=0.93, bottom=0.115, hspace=0.28, wspace=0.16)
    for row, grid in enumerate(danish(grids)):
        _intensity(figure.add_subplot(layout[row, :]), grid)
        if grid.zone == SHOWN[0]:
            _by_start(figure.add_subplot(layout[2, 0]), grid, SHOWN[1], runs)
    _spreads(figure.add_subplot(layout[2, 1]), danish(grids), runs)
    figure.suptitle("Denmark’s hourly carbon intensity, and the emissions of EC-NAS trainings by when they start")
    figure.text(0.055, 0.025, FOOT.format(runs=len(runs.energy_kwh), epochs=runs.epochs), fontsize=9)
    figure.savefig(path, dpi=150)


def _rolling(hourly: Floats) -> Floats:
    """Means over `ROLLING_H` hours in a row; NaN where less than `KNOWN_PART` of them is known."""
    ones, known = np.ones(ROLLING_H), (~np.isnan(hourly)).astype(float)
    counts = np.convolve(known, ones, mode="valid")
    sums = np.convolve(np.nan_to_num(hourly), ones, mode="valid")
    return np.divide(sums, counts, out=np.full(len(sums), np.nan), where=counts >= KNOWN_PART * ROLLING_H)


def _intensity(axes: Any, grid: Grid) -> None:
    for year in YEARS:
        hourly, mean = grid.year(year), yearly_mean(grid, year)
        times = np.datetime64(f"{year}-01-01") + np.arange(len(hourly)) * np.timedelta64(1, "h")
        first = year == YEARS[0]
        axes.plot(times, hourly, color=GREY, linewidth=0.3, label="hourly" if first else None)
        axes.plot(times[[0, -1]], [mean, mean], color=RED, linewidth=2, label="yearly average" if first else None)
        axes.text(
            times[len(times) // 2],
            -0.03,
            f"{year}: average {mean:.0f}",
            transform=axes.get_xaxis_transform(),
            ha="center",
            va="top",
        )
    found = list(days(grid))
    noons = [np.datetime64(day.day) + np.timedelta64(12, "h") for day in found]
    axes.plot(noons, [day.mean_30d for day in found], color=BLUE, linewidth=1.5, label="rolling mean of 30 days")
    edges = [np.datetime64(f"{year}-01-01") for year in (*YEARS, YEARS[-1] + 1)]
    axes.set_xticks(edges, [""] * len(edges))
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(bottom=0)
    axes.set_title(grid.zone, loc="left", fontweight="bold")
    axes.set_ylabel("carbon intensity (gCO2e/kWh)")
    axes.spines[["top", "right"]].set_visible(False)
    legend = axes.legend(loc="lower right", bbox_to_anchor=(1, 0.99), frameon=False, ncols=3)
    for line in legend.get_lines():
        line.set_linewidth(2)


def _by_start(axes: Any, grid: Grid, year: int, runs: Jobs) -> None:
    """Emissions of all runs over all starts of each month, beside those at the year's average."""
    yearly_g = runs.energy_kwh * yearly_mean(grid, year)
    grams = ratios(grid, year, runs) * yearly_g[:, None]
    starts = np.datetime64(f"{year}-01-01") + np.arange(grams.shape[1]) * np.timedelta64(1, "h")
    months = starts.astype("datetime64[M]")
    boxes = [_box(np.nanquantile(grams[:, months == month], BOX)) for month in np.unique(months)]
    style = {"showfliers": False, "widths": 0.7, "patch_artist": True, "medianprops": {"color": "black"}}
    axes.bxp(boxes, positions=range(12), boxprops={"facecolor": BLUE, "alpha": 0.5}, **style)
    axes.bxp([_box(np.quantile(yearly_g, BOX))], positions=[12.5], boxprops={"facecolor": RED, "alpha": 0.5}, **style)
    axes.axhline(np.median(yearly_g), color=RED, linewidth=1, linestyle=":")
    axes.set_xticks([*range(12), 12.5], [*MONTHS, "at year’s\naverage"])
    axes.set_title(f"Real-time emissions of a run by month of its start, {grid.zone} {year}")
    axes.set_ylabel(f"emissions of a run of {runs.epochs} epochs (gCO2e)")
    axes.set_ylim(bottom=0)
    axes.spines[["top", "right"]].set_visible(False)


def _box(quantiles: Floats) -> dict[str, float]:
    return dict(zip(("whislo", "q1", "med", "q3", "whishi"), quantiles.tolist(), strict=True))


def _spreads(axes: Any, grids: Sequence[Grid], runs: Jobs) -> None:
    """Of each grid and year, what part of all runs and starts has up to which ratio."""
    for grid, line in zip(grids, ("-", "--"), strict=True):
        for year, colour in zip(YEARS, COLOURS, strict=True):
            curve = spread(ratios(grid, year, runs), AT)
            axes.plot(curve, 100 * AT, line, color=colour, label=f"{grid.zone} {year}")
    axes.axvline(1, color=RED, linewidth=1, linestyle=":")
    ticks = [0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10]
    axes.set_xscale("log")
    axes.set_xlim(0.045, 10)
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_ylim(0, 100)
    axes.set_title("Real-time over yearly-average emissions, all runs and starts")
    axes.set_xlabel("real-time emissions ÷ emissions at the year’s average")
    axes.set_ylabel("runs and starts up to it (%)")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper left", frameon=False, fontsize=9)
