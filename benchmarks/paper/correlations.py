"""How well each measure of a training ranks another, beside figures known beforehand, and after re-attribution.

The coefficients are those of the raw runs. The figures that they are held against (`expected.csv`) were worked out from
the same files by other code, to as many decimals as are written there.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.paper.attribution import OWN
from benchmarks.paper.ecnas import Runs
from joulegram.analysis.ranks import Agreement, agreement

EXPECTED = Path(__file__).with_name("expected.csv")
LABELS = {
    "trainable_params": "parameters",
    "macs_per_image": "MACs",
    "activation_elems_per_image": "activations",
    "n_conv": "convolutions",
    "train_time_s": "training time",
    "total_time_s": "total time",
    "gpu_energy_j": "GPU energy",
    "energy_kwh": "energy",
    "co2_g": "CO2",
    "avg_intensity": "grid intensity",
    "test_accuracy": "accuracy",
    "own_energy_kwh": "own energy",
}
STATISTICS: Mapping[str, tuple[str, Callable[[Agreement], float | None]]] = {
    "kendall": ("Kendall τ", lambda found: found.kendall.value),
    "spearman": ("Spearman ρ", lambda found: found.spearman.value),
    "pearson": ("Pearson r", lambda found: found.pearson.value),
    "flipped_percent": ("flipped %", lambda found: None if found.flip_share is None else 100 * found.flip_share),
}
"""Columns of `expected.csv`: what they are called in a table, and where the figure is."""

Texts = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Known:
    """A figure known beforehand, as written: its decimals say how well."""

    text: str

    @property
    def decimals(self) -> int:
        return len(self.text.partition(".")[2])

    def agrees(self, value: float) -> bool:
        """Whether a value is this one, but for rounding."""
        return abs(value - float(self.text)) <= 0.5 * 10.0**-self.decimals + 1e-12


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two measures of the same runs.

    Args:
        x: column of the one measure.
        y: column of the other.
        found: how they agree.
        known: figures known beforehand, by statistic.
    """

    x: str
    y: str
    found: Agreement
    known: Mapping[str, Known]

    @property
    def label(self) -> str:
        return f"{LABELS[self.x]} – {LABELS[self.y]}"

    def value(self, statistic: str) -> float | None:
        return STATISTICS[statistic][1](self.found)

    @property
    def differing(self) -> list[str]:
        """Statistics that are not as known, by more than rounding."""
        found = {statistic: self.value(statistic) for statistic in self.known}
        return [name for name, value in found.items() if value is None or not self.known[name].agrees(value)]


@dataclass(frozen=True, slots=True)
class Table:
    """Figures for printing: under each statistic two columns.

    Args:
        title: of the table.
        columns: headings of the two.
        rows: a label, then two figures for each statistic.
    """

    title: str
    columns: tuple[str, str]
    rows: Sequence[tuple[str, Texts]]

    def text(self) -> str:
        """80 columns of plain text."""
        names = [name for name, _ in STATISTICS.values()]
        lines = [f"{self.title:28}" + "".join(f"{name:>13}" for name in names)]
        lines.append(" " * 28 + _line(self.columns * len(names)))
        lines += [f"{label:28}{_line(figures)}" for label, figures in self.rows]
        return "\n".join(lines)

    def markdown(self) -> str:
        headings = [f"{name} {column}" for name, _ in STATISTICS.values() for column in self.columns]
        lines = [f"| {self.title} | {' | '.join(headings)} |", "|---|" + "---:|" * len(headings)]
        return "\n".join([*lines, *(f"| {label} | {' | '.join(figures)} |" for label, figures in self.rows)])


def compared(runs: Runs, space: str) -> list[Comparison]:
    """Every pair of measures whose figures are known for these runs, in the order of `expected.csv`."""
    return [Comparison(x, y, _agreement(runs, x, y), known) for x, y, known in expected(space)]


def expected(space: str) -> Iterator[tuple[str, str, Mapping[str, Known]]]:
    """Pairs of columns, and what is known of them in one space."""
    with EXPECTED.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            if row["space"] == space:
                yield row["x"], row["y"], {name: Known(row[name]) for name in STATISTICS if row[name]}


def with_own(runs: Runs, comparison: Comparison) -> Agreement | None:
    """The same pair with a run's own energy in place of what it was charged; None where it is in neither or in one."""
    pair = (comparison.x, comparison.y)
    own = [OWN + column if OWN + column in runs.values else column for column in pair]
    return None if any(column.startswith(OWN) for column in pair) or own == list(pair) else _agreement(runs, *own)


def beside_known(title: str, comparisons: Iterable[Comparison]) -> Table:
    """What is known beside what was found."""
    rows = []
    for comparison in comparisons:
        figures = [
            text
            for statistic in STATISTICS
            for text in _pair(comparison.known.get(statistic), statistic, comparison.value(statistic))
        ]
        rows.append((comparison.label, tuple(figures)))
    return Table(title, ("known", "ours"), rows)


def beside_own(title: str, comparisons: Iterable[tuple[Comparison, Agreement]]) -> Table:
    """What was found with energy as reported beside what was found with the runs' own."""
    rows = [
        (
            comparison.label,
            tuple(
                _figure(statistic, of(found))
                for statistic, (_, of) in STATISTICS.items()
                for found in (comparison.found, own)
            ),
        )
        for comparison, own in comparisons
    ]
    return Table(title, ("rep.", "own"), rows)


def _line(figures: Texts) -> str:
    """Figures in pairs, one set off a little from the next."""
    return "".join(f"{figure:>{6 if place % 2 else 7}}" for place, figure in enumerate(figures))


def _agreement(runs: Runs, x: str, y: str) -> Agreement:
    return agreement(runs[x], runs[y], resamples=0)


def _pair(known: Known | None, statistic: str, value: float | None) -> Texts:
    return ("" if known is None else _figure(statistic, float(known.text), known.decimals)), _figure(statistic, value)


def _figure(statistic: str, value: float | None, decimals: int | None = None) -> str:
    if value is None:
        return "–"
    usual = 1 if statistic == "flipped_percent" else 3
    return f"{value:.{usual if decimals is None else decimals}f}"
