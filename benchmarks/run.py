"""Measures speed and size, and prints one table.

    python benchmarks/run.py                  all of it
    python benchmarks/run.py span import      bench_span.py and bench_import.py
    python benchmarks/run.py --full           a simulated day where a part of it does by default

Each benchmark is a file `bench_NAME.py` with a function `measure(full)` that yields figures. It runs in a process and a
folder of its own, so that none inherits another's imports, heap or configuration.
"""

from __future__ import annotations

import argparse
import importlib
import json
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from measure import Figure
from rich.console import Console
from rich.table import Table
from rich.text import Text

HERE = Path(__file__).parent
COLUMNS = ("what", "target", "median", "quartiles", "")


def benchmarks() -> list[str]:
    return [path.stem.removeprefix("bench_") for path in sorted(HERE.glob("bench_*.py"))]


def measured(name: str, full: bool) -> list[Figure]:
    """One benchmark's figures, measured in an empty folder with a ledger and a configuration of its own."""
    with tempfile.TemporaryDirectory(prefix="joulegram-bench-", ignore_cleanup_errors=True) as folder:
        for variable in [name for name in os.environ if name.startswith("JOULEGRAM_")]:
            del os.environ[variable]
        os.environ["XDG_DATA_HOME"] = os.environ["XDG_CONFIG_HOME"] = os.environ["XDG_CACHE_HOME"] = folder
        os.environ["JOULEGRAM_INTENSITY"] = "annual"  # no benchmark asks the network
        os.environ["JOULEGRAM_RUNTIME_DIR"] = f"{folder}/runtime"
        os.environ["OMP_NUM_THREADS"] = "1"
        os.chdir(folder)
        figures = list(importlib.import_module(f"bench_{name}").measure(full))
        os.chdir(HERE)
        return figures


def row(figure: Figure) -> tuple[str, str, str, str, str]:
    low, high = figure.spread
    what = f"{figure.what} ({figure.note})" if figure.note else figure.what
    target = "" if figure.most is None else f"≤ {_number(figure.most)} {figure.unit}".rstrip()
    return (
        what,
        target,
        f"{_number(figure.median)} {figure.unit}".rstrip(),
        "" if len(figure.values) < 2 else f"{_number(low)} – {_number(high)}",
        figure.verdict,
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def show(figures: Sequence[Figure]) -> None:
    table = Table(header_style="bold")
    for name in COLUMNS:
        table.add_column(name, justify="left" if name == "what" else "right")
    colours = {"ok": "green", "over": "red"}
    for figure in figures:
        table.add_row(*map(Text, row(figure)), style=colours.get(figure.verdict))
    Console(width=max(100, Console().width)).print(table)


def markdown(figures: Sequence[Figure]) -> str:
    lines = [f"| {' | '.join(COLUMNS)} |", "|---|---:|---:|---:|---|"]
    return "\n".join([*lines, *(f"| {' | '.join(row(figure))} |" for figure in figures)])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[*benchmarks(), []], metavar="NAME", help=", ".join(benchmarks()))
    parser.add_argument("--full", action="store_true", help="simulate whole days")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to a file")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    options = parser.parse_args()

    figures: list[Figure] = []
    broken = False
    for name in options.names or benchmarks():
        print(f"{name} …", file=sys.stderr, flush=True)
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            try:
                figures += pool.apply(measured, (name, options.full))
            except Exception as error:  # one broken benchmark must not hide the others
                broken = True
                print(f"bench_{name}.py: {error!r}", file=sys.stderr)
    if options.json:
        options.json.write_text(json.dumps([figure.to_json() for figure in figures], indent=1) + "\n", encoding="utf-8")
    if options.markdown:
        print(markdown(figures))
    else:
        show(figures)
    return int(broken or any(figure.verdict == "over" for figure in figures))


if __name__ == "__main__":
    sys.exit(main())
