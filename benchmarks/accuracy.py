"""How near joulegram and other programs come to the truth: unmodified, on the same emulated hardware, in real time.

    python benchmarks/accuracy.py                       five machines, every program: 20 minutes
    python benchmarks/accuracy.py --only h100           those of them that have an H100
    python benchmarks/accuracy.py --full                every load on every GPU, five repeats: a night
    python benchmarks/accuracy.py --programs joulegram Zeus

A machine is a load, a GPU and a RAPL layout. The program under test waits through epochs; each way to measure is used
as its documentation says, one at a time, with the highest priority. The truth is what the hardware used between the
return of a meter's begin and the call of its end. Every program finds the same load and alignment of refreshes.

Where a rival's total is nearer than ours and ours is off by more than 0.1 %, both are repeated, five times in all. A
rival is better if it is nearer by more than 0.1 point, and the 95 % interval of paired differences says so too. The
exit code is 1 if one is, or another target is missed: totals of RAPL within 0.1 %, of a GPU without a counter within
3 %, the truth within the bounds every time. A counter's bounds are those of timing: those here have no gain error.

The rivals are installed into environments of their own (`--venvs`). Needs root, for mounting the powercap tree.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rivals import table
from rivals.contestants import JOULEGRAM, RIVALS, Program, make_environments
from rivals.loads import LOADS
from rivals.machines import DEVICES, LAYOUTS, Machine, cannot_emulate
from rivals.trials import Laboratory
from rivals.verdicts import Cell

CACHE = Path(__file__).parent.parent / "build" / "accuracy"
REPEATS = 5
HIGHEST_PRIORITY = -20
QUICK = (
    Machine("square", "h100", "server"),
    Machine("epochs", "a100", "2-sockets"),
    Machine("constant", "h100", "laptop"),
    Machine("steps", "pascal", "wrapping"),
    Machine("idle", "ideal", "multi-die"),
)


def every_machine() -> list[Machine]:
    """Every load on every GPU; the layouts take turns, each of them with several loads and GPUs."""
    pairs = [(load, device) for load in LOADS for device in DEVICES]
    layouts = list(LAYOUTS)
    return [Machine(*pair, layouts[number % len(layouts)]) for number, pair in enumerate(pairs)]


def run_cell(machine: Machine, programs: Sequence[Program], laboratory: Laboratory, full: bool) -> Cell:
    """Every program once; then again, with ours, those that came near, or all of them."""
    cell = Cell(machine)
    for program in programs:
        cell.add(laboratory.trial(machine, program, 0))
    again = programs if full else [JOULEGRAM, *cell.in_reach()]
    if len(again) > 1:
        for repeat in range(1, REPEATS):
            for program in again:
                if not cell.failure(program):
                    cell.add(laboratory.trial(machine, program, repeat))
    return cell


def main() -> int:
    names = {program.name: program for program in (JOULEGRAM, *RIVALS)}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="every load on every GPU, every program five times")
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="WORD", help="machines with all of these in their name"
    )
    parser.add_argument(
        "--programs", nargs="+", default=list(names), choices=names, metavar="NAME", help=", ".join(names)
    )
    parser.add_argument(
        "--venvs", type=Path, default=CACHE / "venvs", metavar="FOLDER", help="where rivals are installed"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every joule, said and true, to a file")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    options = parser.parse_args()
    if why_not := cannot_emulate():
        sys.exit(f"accuracy.py {why_not}")

    machines = [m for m in (every_machine() if options.full else QUICK) if set(options.only) <= set(str(m).split())]
    if not machines:
        parser.error(f"no machine has all of {', '.join(options.only)} in its name")
    make_environments(options.venvs)
    os.setpriority(os.PRIO_PROCESS, 0, HIGHEST_PRIORITY)  # for the programs too: a busy machine disturbs none of them

    started_s, cells = time.monotonic(), []
    laboratory = Laboratory(CACHE, options.venvs)
    for number, machine in enumerate(machines, 1):
        print(f"{number}/{len(machines)} {machine} …", file=sys.stderr, flush=True)
        cells.append(run_cell(machine, [names[name] for name in options.programs], laboratory, options.full))
        if options.json:
            options.json.write_text(json.dumps([cell.to_json() for cell in cells], indent=1) + "\n", encoding="utf-8")
    print("Error of the total in %; of an epoch: mean of its unsigned error. ± is the mean of 5 repeats.\n")
    print(table.markdown(cells) if options.markdown else table.plain(cells))
    for line in table.failures(cells):
        print(line)
    missed = [line for cell in cells for line in cell.missed()]
    figures = sum(len(cell.own_measured) for cell in cells)
    inside = sum(measured.contained for cell in cells for measured in cell.own_measured)
    print(f"\nThe truth is within the bounds of {inside} of {figures} figures of joulegram's.")
    print(f"It took {(time.monotonic() - started_s) / 60:.0f} minutes.")
    for line in missed:
        print(f"missed: {line}")
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
