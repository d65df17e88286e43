"""The table: a row for each machine and part of it, a column for each program."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import fmean

from rivals.contestants import JOULEGRAM, RIVALS, Program
from rivals.verdicts import PARTS, Cell

PROGRAMS = (JOULEGRAM, *RIVALS)
SHORT = ("joulegram", "Zeus", "Zeus PM", "CodeC.", "c.track.", "eco2AI", "pyRAPL")
WIDTHS = (10, 8, 8, 8, 9, 8, 8)
LABEL = 21


def plain(cells: Sequence[Cell]) -> str:
    """At most 80 columns."""
    lines = [" " * LABEL + "".join(name.rjust(width) for name, width in zip(SHORT, WIDTHS, strict=True))]
    for cell in cells:
        lines.append(str(cell.machine))
        for label, entries in _rows(cell):
            lines.append(f"  {label}".ljust(LABEL) + "".join(e.rjust(w) for e, w in zip(entries, WIDTHS, strict=True)))
    return "\n".join(lines)


def markdown(cells: Sequence[Cell]) -> str:
    lines = [
        f"| load | hardware | figure | {' | '.join(program.name for program in PROGRAMS)} |",
        f"|---|---|---|{'---:|' * len(PROGRAMS)}",
    ]
    for cell in cells:
        for label, entries in _rows(cell):
            hardware = cell.machine.device if label.startswith("gpu") else cell.machine.layout
            lines.append(f"| {cell.machine.load_name} | {hardware} | {label} | {' | '.join(entries)} |")
    return "\n".join(lines)


def failures(cells: Sequence[Cell]) -> Iterator[str]:
    """Why a program said nothing, a line each."""
    for cell in cells:
        for program in PROGRAMS:
            if failure := cell.failure(program):
                yield f"{program.name} on {cell.machine}: failed: {failure}"


def _rows(cell: Cell) -> Iterator[tuple[str, list[str]]]:
    for part in PARTS:
        totals = [_total(cell, program, part) for program in PROGRAMS]
        if any(cell.errors(program, part) for program in PROGRAMS):
            yield part, totals
        if any(cell.epoch_errors(program, part) for program in PROGRAMS):
            yield f"{part}, an epoch", [_epoch(cell, program, part) for program in PROGRAMS]


def _total(cell: Cell, program: Program, part: str) -> str:
    """The signed error (%); of several repeats the mean of what they are off, which has no sign."""
    errors = cell.errors(program, part)
    if not errors:
        return "failed" if cell.failure(program) and part in program.parts else "–"
    return _percent(errors[0], signed=True) if len(errors) == 1 else "±" + _percent(fmean(map(abs, errors)))


def _epoch(cell: Cell, program: Program, part: str) -> str:
    errors = cell.epoch_errors(program, part)
    return _percent(fmean(errors)) if errors else "–"


def _percent(value: float, *, signed: bool = False) -> str:
    text = f"{value:.{1 if abs(value) >= 10 else 2}f}".replace("-", "−")
    if float(text.replace("−", "-")) == 0:
        return "0.00"
    return f"+{text}" if signed and value > 0 else text
