"""The measurements of EC-NAS: 2,805 trainings of 4- and 5-vertex cells and 4,310 of 7-vertex cells on CIFAR-10.

These are the raw runs of four epochs each (Bakhtiarifard, Igel and Selvan, arXiv 2210.06015). The 423,000 models in the
figures of *Efficiency is Not Enough* (arXiv 2309.02065) are not: their energy comes from a network fitted to the 4,310
runs of seven vertices, and was stretched from 4 epochs to up to 108. Energy as reported holds a PUE of 1.59, and each
run was charged both sockets of a node that others were using too (`attribution`).
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from joulegram.units import NS_PER_S

Floats = npt.NDArray[np.float64]
Times = npt.NDArray[np.int64]

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
FOLDER = "ecnas"
PUE = 1.59
"""As in `energy_kwh` and `co2_g`; the joules of components are without."""

FOUR, FIVE, SEVEN = "4V9E", "5V9E", "7V9E"
WORDS = ("space", "model_hash", "device", "start", "stop")
"""Columns that hold no number."""


@dataclass(frozen=True, slots=True)
class Graph:
    """A cell of NAS-Bench-101, and what a network of such cells holds and computes.

    Args:
        matrix: 1 where the row's vertex feeds the column's; upper triangular.
        operations: of each vertex; the first is the input, the last the output.
        params: trainable parameters.
        macs: multiply-accumulates of convolutions and the dense layer, forward, for one image.
    """

    matrix: tuple[tuple[int, ...], ...]
    operations: tuple[str, ...]
    params: int
    macs: int


@dataclass(frozen=True, slots=True, eq=False)
class Runs:
    """Runs, or models that each stand for the mean of their runs.

    Args:
        values: n numbers for each column of the file, by the column's name.
        models: the hash of each run's architecture.
        nodes: the machine of each run, as far as the name of its GPU tells: drivers of different age name it
            differently.
        starts_ns: start on the local clock (ns since 1970 there).
        stops_ns: end.
    """

    values: Mapping[str, Floats]
    models: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()
    starts_ns: Times | None = None
    stops_ns: Times | None = None

    def __len__(self) -> int:
        return len(next(iter(self.values.values())))

    def __getitem__(self, column: str) -> Floats:
        return self.values[column]

    def with_values(self, **columns: Floats) -> Runs:
        """The same runs with columns added or replaced."""
        return replace(self, values={**self.values, **columns})

    def means(self) -> Runs:
        """One row for each model: the mean of its runs."""
        names, which = np.unique(np.array(self.models), return_inverse=True)
        counts = np.bincount(which)
        means = {column: np.bincount(which, values) / counts for column, values in self.values.items()}
        return Runs(means, tuple(names.tolist()))


def present(data: Path) -> bool:
    """Whether a folder of data holds these measurements."""
    return (data / FOLDER / "measurements_4v5v.csv").is_file()


def runs(data: Path, space: str) -> Runs:
    """Every run of one space, in the order of the file. The 7-vertex file has neither times nor carbon."""
    if space == SEVEN:
        return Runs(_numbers(_rows(data, "measurements_7v.csv")))
    rows = [row for row in _rows(data, "measurements_4v5v.csv") if row["space"] == space]
    return Runs(
        _numbers(rows),
        tuple(row["model_hash"] for row in rows),
        tuple(row["device"] for row in rows),
        np.array([_local_ns(row["start"]) for row in rows]),
        np.array([_local_ns(row["stop"]) for row in rows]),
    )


def graphs(data: Path) -> Iterator[Graph]:
    """The 2,532 cells of up to five vertices, then those of the 4,310 runs of seven."""
    four_and_five = json.loads((data / FOLDER / "graphs_4v5v.json").read_text(encoding="utf-8"))
    for cell in four_and_five.values():
        yield _graph(cell, cell["trainable_params"])
    for cell in json.loads((data / FOLDER / "graphs_7v.json").read_text(encoding="utf-8")):
        yield _graph(cell, cell["params"])


def _graph(cell: Mapping[str, Any], params: int) -> Graph:
    return Graph(tuple(map(tuple, cell["matrix"])), tuple(cell["ops"]), params, cell["macs_per_image"])


def _rows(data: Path, name: str) -> list[dict[str, str]]:
    with (data / FOLDER / name).open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def _numbers(rows: Sequence[Mapping[str, str]]) -> dict[str, Floats]:
    return {column: np.array([float(row[column]) for row in rows]) for column in rows[0] if column not in WORDS}


def _local_ns(text: str) -> int:
    """Time on the local clock. No run of these spans a change of the clocks, so differences are true."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * NS_PER_S
