"""Figures 1 and 2 of *Efficiency is Not Enough* (arXiv 2309.02065), from what was measured.

    python -m benchmarks.paper                        all of it, into build/paper
    python -m benchmarks.paper --data FOLDER          where ecnas/ and intensity/ lie
    python -m benchmarks.paper --networks 200         counts fewer networks (all take three minutes)

The paper's points are a surrogate's answers for 423,000 models; these are raw runs, some of which that surrogate was
fitted to. What is known here is not the paper's: it was worked out from the same files by other code. Counts the FLOPs
of every network with joulegram, and prints how well each measure of a training ranks another: as reported, then with
CPU energy split among the runs that shared a node. Lays every run over every hour of Denmark's grids, and tells how far
its emissions are from those at the year's average. Exits with 1 where a figure is not as known.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.paper import ecnas, figure1d, figure2
from benchmarks.paper.attribution import OWN, Overcharge, overcharge, reattributed
from benchmarks.paper.correlations import Comparison, Table, beside_known, beside_own, compared, with_own
from benchmarks.paper.ecnas import FIVE, FOUR, SEVEN, Runs
from benchmarks.paper.figure1 import draw
from benchmarks.paper.flops_check import TRAINED, Check, checked, forward, sample, training
from benchmarks.paper.grids import FOLDER, Grid, KnownMean, grids, known_means

OUT = Path("build") / "paper"


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.paper", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", type=Path, default=ecnas.DATA, help=f"folder that holds {ecnas.FOLDER}/ and {FOLDER}/"
    )
    parser.add_argument("--out", type=Path, default=OUT, help=f"folder for pictures and tables ({OUT})")
    parser.add_argument("--networks", type=int, default=sys.maxsize, metavar="N", help="count this many networks only")
    options = parser.parse_args()
    if not ecnas.present(options.data):
        parser.error(f"{options.data} holds no measurements of EC-NAS ({ecnas.FOLDER}/); name their folder: --data")
    hourly = grids(options.data)
    if not figure2.complete(hourly):
        parser.error(
            f"{options.data} lacks hourly intensities of {' or '.join(figure2.ZONES)} in {figure2.YEARS[0]} to "
            f"{figure2.YEARS[-1]} ({FOLDER}/); name their folder: --data"
        )
    options.out.mkdir(parents=True, exist_ok=True)

    spaces = {
        FOUR: reattributed(ecnas.runs(options.data, FOUR)),
        FIVE: reattributed(ecnas.runs(options.data, FIVE)),
        SEVEN: ecnas.runs(options.data, SEVEN),
    }
    comparisons = {title: compared(runs, space) for title, space, runs in _titled(spaces)}
    shared = {space: spaces[space] for space in (FOUR, FIVE)}
    charged = {space: overcharge(runs) for space, runs in shared.items()}
    tables = [beside_known(title, found) for title, found in comparisons.items()]
    tables += [_own_table(runs, space) for space, runs in shared.items()]
    for table in tables:
        print(table.text(), end="\n\n")
    print(_charged_text(charged), end="\n\n")
    _pictures(spaces[FIVE], options.out)
    means = known_means(hourly)
    print(_means_text(means), end="\n\n")
    _regions(hourly, options.out)
    _starts(hourly, [spaces[FOUR], spaces[FIVE]], options.out)

    counted = _count(options.data, options.networks)
    _write(options.out, comparisons, tables, charged, counted)
    return _verdict(comparisons, means, counted)


def _titled(spaces: Mapping[str, Runs]) -> list[tuple[str, str, Runs]]:
    """Title, name in `expected.csv` and runs of everything that coefficients are known of."""
    means = spaces[FOUR].means()
    titled = [(f"4 vertices: {len(means)} model means", f"{FOUR} means", means)]
    for vertices, (space, runs) in zip((4, 5, 7), spaces.items(), strict=True):
        titled.append((f"{vertices} vertices: {len(runs):,} runs", space, runs))
    return titled


def _own_table(runs: Runs, space: str) -> Table:
    pairs = [(comparison, with_own(runs, comparison)) for comparison in compared(runs, space)]
    title = f"{space[0]} vertices, re-attributed"
    return beside_own(title, [(comparison, own) for comparison, own in pairs if own is not None])


def _charged_text(charged: Mapping[str, Overcharge]) -> str:
    """What runs were charged for, and what their nodes used."""
    lines = [f"{'charged over used':28}{'CPU':>13}{'CPU + GPU':>13}{'CPU part: charged, used':>26}"]
    for space, of in charged.items():
        parts = f"{of.cpu_part_charged:.1%}, {of.cpu_part:.1%}"
        lines.append(f"{space[0] + ' vertices, moment by moment':28}{of.cpu:>13.2f}{of.it:>13.2f}{parts:>26}")
        lines.append(f"{space[0] + ' vertices, at mean power':28}{of.cpu_steady:>13.2f}{of.it_steady:>13.2f}")
    return "\n".join(lines)


def _pictures(runs: Runs, out: Path) -> None:
    title = f"EC-NAS, {len(runs):,} measured models of up to 5 vertices, 4 epochs each"
    draw(runs, f"{title}\nas reported", "energy_kwh", "co2_g", out / "figure1.png")
    own = f"{title}\nCPU energy split among the runs that shared a node"
    draw(runs, own, f"{OWN}energy_kwh", f"{OWN}co2_g", out / "figure1-reattributed.png")
    print(f"Pictures: {out}/figure1.png, {out}/figure1-reattributed.png", end="\n\n", flush=True)


def _means_text(means: Sequence[KnownMean]) -> str:
    """Yearly means beside those known beforehand."""
    found = ", ".join(f"{mean.year} {mean.found:.1f} ({mean.known:g})" for mean in means)
    return f"Yearly means of {means[0].zone} in gCO2e/kWh, known ones in brackets:\n{found}"


def _regions(hourly: Sequence[Grid], out: Path) -> None:
    boxes, absent = figure1d.boxes(hourly), figure1d.missing(hourly)
    figure1d.write(boxes, out / "figure1d.csv")
    figure1d.draw(boxes, absent, out / "figure1d.png")
    print(f"Figure 1d: {len(boxes)} years of {len(hourly)} grids, {out}/figure1d.png, {out}/figure1d.csv")
    print(f"Regions of the paper's that the data lack: {', '.join(absent) or 'none'}", end="\n\n", flush=True)


def _starts(hourly: Sequence[Grid], spaces: Sequence[Runs], out: Path) -> None:
    found = figure2.table(hourly, spaces)
    print(figure2.text(found))
    figure2.write(found, hourly, out)
    figure2.draw(hourly, spaces, out / "figure2.png")
    names = ("figure2.png", "figure2.csv", "figure2-intensity.csv")
    print(f"Figure 2: {', '.join(f'{out}/{name}' for name in names)}", end="\n\n", flush=True)


def _count(data: Path, most: int) -> dict[str, list[Check]]:
    """Counts networks, saying how many of them came out exact, and how long it took."""
    graphs = sample(list(ecnas.graphs(data)), most)
    counted = {}
    for what, one, chosen in (
        ("forward", forward, graphs),
        ("forward and backward", training, sample(graphs, TRAINED)),
    ):
        started_s = time.perf_counter()
        counted[what] = checked(one, chosen)
        exact = sum(check.exact for check in counted[what])
        took_s = time.perf_counter() - started_s
        print(f"Parameters and FLOPs {what}: {exact:,} of {len(chosen):,} networks exact, {took_s:.0f} s", flush=True)
    return counted


def _write(
    out: Path,
    comparisons: Mapping[str, list[Comparison]],
    tables: list[Table],
    charged: Mapping[str, Overcharge],
    counted: Mapping[str, list[Check]],
) -> None:
    document: dict[str, Any] = {
        "correlations": {
            title: [{"x": one.x, "y": one.y, **asdict(one.found)} for one in found]
            for title, found in comparisons.items()
        },
        "charged_over_used": {space: asdict(of) for space, of in charged.items()},
        "networks": {
            what: {"counted": len(checks), "exact": sum(check.exact for check in checks)}
            for what, checks in counted.items()
        },
    }
    (out / "figures.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    (out / "tables.md").write_text("\n\n".join(table.markdown() for table in tables) + "\n", encoding="utf-8")
    print(f"Figures: {out}/figures.json, {out}/tables.md")


def _verdict(
    comparisons: Mapping[str, list[Comparison]], means: Sequence[KnownMean], counted: Mapping[str, list[Check]]
) -> int:
    known = sum(len(one.known) for found in comparisons.values() for one in found)
    differing = [
        f"{title}, {one.label}: {', '.join(one.differing)}"
        for title, found in comparisons.items()
        for one in found
        if one.differing
    ]
    differing += [f"{mean.zone} {mean.year}: {mean.found:.1f} gCO2e/kWh" for mean in means if not mean.agrees]
    for line in differing:
        print(f"Not as known: {line}")
    every = "all of" if not differing else "not all of"
    print(f"Coefficients and yearly means as known, but for rounding: {every} {known} and {len(means)}")
    return int(bool(differing) or not all(check.exact for checks in counted.values() for check in checks))


if __name__ == "__main__":
    sys.exit(main())
