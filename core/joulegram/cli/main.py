"""The command's verbs and options, and how a user's mistake is told: one line, exit code 2."""

from __future__ import annotations

import argparse
import gc
import io
import json
import math
import os
import re
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

from joulegram import __version__
from joulegram.config import ConfigError
from joulegram.extras import MissingExtra
from joulegram.ledger.ledger import UnknownRun
from joulegram.session.recorded import OpenLedger, RecordedRun, open_ledger
from joulegram.units import show_duration

IDLE_SHARE, RESUME_S = 0.2, 300.0
"""What a pause is taken to cost, unless the user knows better."""
SHOWN = 50
"""Runs that a table shows unless it is told how many."""
SEAL_WITHIN_S = 0.3
"""`joulegram runs` also seals ended runs, as long as it has not been running for longer than this."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # one that cannot write a sign writes another, and breaks off nothing
            stream.reconfigure(errors="replace")
    options = _parser().parse_args(arguments)
    try:
        return int(options.do(options))
    except (ConfigError, UnknownRun, MissingExtra, ImportError) as error:
        return _complain(error)
    except BrokenPipeError:  # the reader of our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # in words alone: its number means nothing to a reader
        return _complain(f"{error.filename}: {error.strerror}" if error.filename and error.strerror else error)
    except KeyboardInterrupt:
        return 130


def _complain(error: object) -> int:
    print(f"joulegram: {error}", file=sys.stderr)
    return 2


class _Parser(argparse.ArgumentParser):
    """Tells a mistake in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"joulegram: {message} ({self.prog} --help says more)\n")


def _how_many(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"a whole number is needed, not {text!r}")
    return int(text)


def _how_long(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 1 <= seconds <= 3600:
        raise argparse.ArgumentTypeError(f"seconds from 1 to 3600 are needed, not {text!r}")
    return seconds


def _seconds(text: str) -> float:
    found = _DURATION.fullmatch(text.strip().lower())
    seconds = sum(float(n) * unit_s for n, unit_s in zip(found.groups("0"), _UNITS_S, strict=True)) if found else 0.0
    if not seconds > 0:
        raise argparse.ArgumentTypeError(f"a time such as 6h, 90m, 1h30m or 2d is needed, not {text!r}")
    return seconds


_DURATION = re.compile("".join(rf"(?:(\d+(?:\.\d+)?)\s*{unit}\s*)?" for unit in "dhms"))
_UNITS_S = (86_400, 3600, 60, 1)


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = math.nan
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"a share from 0 to 1 is needed, not {text!r}")
    return share


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"a number above zero is needed, not {text!r}")
    return value


def _growth(text: str) -> float:
    number, percent = text.strip().removesuffix("%"), text.strip().endswith("%")
    try:
        growth = float(number) / (100 if percent else 1)
    except ValueError:
        growth = math.nan
    if not -1 < growth < math.inf:
        raise argparse.ArgumentTypeError(f"a growth such as 10% or 0.1 is needed, not {text!r}")
    return growth


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="joulegram",
        description="From joules to grams: what machine learning costs in compute, energy and carbon.",
    )
    parser.add_argument("--version", action="version", version=f"joulegram {__version__}")
    verbs = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    run = verbs.add_parser("run", help="track any command", description="Track any command; its exit code is kept.")
    run.add_argument("--name", help="what the run is called; the command by default")
    for name in ("project", "stage", "model", "zone", "pue", "basis"):
        run.add_argument(f"--{name}")
    run.add_argument("--intensity", metavar="FEED", help="a feed by name; the zone's own by default, annual for none")
    run.add_argument("command", nargs=argparse.REMAINDER, metavar="-- COMMAND …", help="the command and its arguments")
    run.set_defaults(do=_run)

    runs = verbs.add_parser("runs", help="list runs, newest first")
    for name in ("project", "stage", "model", "status"):
        runs.add_argument(f"--{name}", help=f"only runs of this {name}")
    runs.add_argument(
        "-n", "--most", type=_how_many, metavar="N", help=f"at most N runs; a table shows {SHOWN} by default"
    )
    runs.set_defaults(do=_runs)

    report = verbs.add_parser("report", help="show what a run cost")
    report.add_argument("run", nargs="?", metavar="RUN", help="its id or the beginning of it; the latest by default")
    report.add_argument("--html", metavar="FILE", help="write a page that works offline, instead of a table")
    report.set_defaults(do=_report)

    compare = verbs.add_parser(
        "compare", help="which of several runs costs least, by every measure, and where they disagree"
    )
    compare.add_argument("run", nargs="*", metavar="RUN", help="two ids or more, or the beginnings of them")
    compare.add_argument("--project", metavar="P", help="all finished runs of a project instead")
    compare.add_argument("--stage", default="train", metavar="S", help="of the project's runs; train by default")
    compare.add_argument("--by", choices=("run", "epoch"), default="run", help="compare runs, or their epochs")
    compare.add_argument("--metric", metavar="NAME", help="the quality that runs logged, to hold costs against")
    better = compare.add_mutually_exclusive_group()
    for direction in ("higher", "lower"):
        better.add_argument(
            f"--{direction}",
            dest="better",
            action="store_const",
            const=direction,
            help=f"a {direction} metric is better",
        )
    compare.add_argument(
        "--zone", metavar="Z", help="price all at this zone's mean intensity; their own, or the world's"
    )
    compare.add_argument("--html", metavar="FILE", help="write a page with the picture, instead of a table")
    compare.set_defaults(do=_compare)

    served = verbs.add_parser(
        "serve-report", help="what a server’s requests cost, by route and hour, and what its idle times did"
    )
    served.add_argument(
        "run", nargs="*", metavar="RUN", help="ids or the beginnings of them; the latest that served by default"
    )
    served.add_argument("--project", metavar="P", help="all of a project’s runs that served, side by side, instead")
    served.add_argument("--html", metavar="FILE", help="write a page with pictures, instead of a table")
    served.set_defaults(do=_serve_report)

    again = verbs.add_parser(
        "reprice",
        help="price runs again with what is known of the grid by now",
        description="Fetches the intensity of a run's hours and prices its stored energy again; the old price stays.",
    )
    again.add_argument("run", nargs="*", metavar="RUN", help="ids or the beginnings of them; the latest by default")
    again.add_argument("--since", metavar="TIME", help="all runs since then: 12h, 7d, 2w ago, or a date")
    for name, what in (("zone", "grid zone"), ("pue", "PUE"), ("basis", "basis: lifecycle or direct")):
        again.add_argument(f"--{name}", help=f"another {what} than the run's own")
    again.add_argument("--intensity", metavar="FEED", help="a feed by name; the zone's own by default")
    again.add_argument("--dry-run", action="store_true", help="keep nothing")
    again.set_defaults(do=_reprice)

    whatif = verbs.add_parser(
        "whatif", help="what a run would have cost elsewhere, at another time, or by another measure of the grid"
    )
    whatif.add_argument("run", nargs="?", metavar="RUN", help="its id or the beginning of it; the latest by default")
    whatif.add_argument(
        "--zone", action="append", default=[], metavar="Z", help="a grid zone; may be given again; its own by default"
    )
    whatif.add_argument(
        "--start",
        action="append",
        default=[],
        metavar="T",
        help="a start besides all hours of a year: 2026-06-24T10:00Z, or now; may be given again",
    )
    whatif.add_argument(
        "--intensity",
        action="append",
        default=[],
        metavar="I",
        help="annual (default), realtime, monthly, or series:PATH for files of your own; may be given again",
    )
    whatif.add_argument("--html", metavar="FILE", help="write a page with pictures, instead of a table")
    whatif.set_defaults(do=_whatif)

    life = verbs.add_parser(
        "lifecycle", help="what a project's model has cost over its life, failed runs included: development, deployment"
    )
    life.add_argument("project", metavar="PROJECT", help="its name (joulegram runs lists it)")
    life.add_argument("--model", metavar="M", help="only runs that name this model")
    life.add_argument("--final", metavar="RUN", help="the final training; by rule unless given (docs/lifecycle.md)")
    life.add_argument("--html", metavar="FILE", help="write a page with pictures, instead of a table")
    life.set_defaults(do=_lifecycle)

    lever = verbs.add_parser("levers", help="which measures act where in a project, and how much is at stake in each")
    lever.add_argument("project", metavar="PROJECT", help="its name (joulegram runs lists it)")
    lever.add_argument("--model", metavar="M", help="only runs that name this model")
    lever.add_argument("--final", metavar="RUN", help="the final training; by rule unless given (docs/lifecycle.md)")
    lever.add_argument(
        "--intensity",
        action="append",
        default=[],
        metavar="I",
        help="hours to choose starts from: realtime, or series:PATH; those that runs are priced with by default",
    )
    lever.set_defaults(do=_levers)

    export = verbs.add_parser(
        "export", help="runs in a format that others ask for: model card, BoAmps, CodeCarbon, EU AI Act, SCI, papers"
    )
    export.add_argument("run", nargs="*", metavar="RUN", help="ids or the beginnings of them; the latest by default")
    export.add_argument("--project", metavar="P", help="all runs of a project instead, failed ones too")
    export.add_argument("--stage", metavar="S", help="of the project's runs, only those of this stage")
    export.add_argument("--format", metavar="NAME", help="which; without it, those that there are are listed")
    export.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="what a format wants to know; may be given again",
    )
    export.add_argument("--out", metavar="FILE", help="write a file, instead of to the terminal")
    export.set_defaults(do=_export)

    doctor = verbs.add_parser("doctor", help="what can be measured on this machine, and what cannot")
    doctor.epilog = "Exit code: 0 where a run would be recorded, 1 where not."
    doctor.set_defaults(do=_doctor)

    even = verbs.add_parser(
        "breakeven",
        help="after how many requests an efficiency measure has paid back what it took",
        description="BEFORE, AFTER and DEVELOPMENT are runs (ids or the beginnings of them), or amounts such as "
        "59257kWh, 1.0e-4kWh, 12J±1J or 50kg.",
    )
    even.add_argument("--before", required=True, metavar="BEFORE", help="what a request cost")
    even.add_argument("--after", required=True, metavar="AFTER", help="what it costs with the measure in place")
    even.add_argument(
        "--development", required=True, nargs="+", action="extend", metavar="D", help="what the measure took, all of it"
    )
    even.add_argument("--route", metavar="R", help="of the runs that served; all routes by default")
    even.add_argument("--rate", type=_positive, metavar="PER_DAY", help="requests a day; as measured by default")
    even.add_argument("--retrain-every", type=_seconds, metavar="D", help="the development is done again: 30d, 12h")
    even.add_argument("--g-per-kwh", type=_positive, metavar="G", help="prices amounts of energy")
    even.add_argument("--json", action="store_true", help="machine-readable output")
    even.add_argument("--ledger", metavar="PATH", help="another ledger than the configured one")
    even.set_defaults(do=_breakeven)

    back = verbs.add_parser(
        "rebound", help="whether more use has eaten what an efficiency measure saved, and what a change is made of"
    )
    back.add_argument("run", nargs="*", metavar="RUN", help="two that served, before and after; or one, with --at")
    back.add_argument("--project", metavar="P", help="all of its servers, and its development, with --at")
    back.add_argument("--at", metavar="TIME", help="when it changed: 2026-06-24T10:00Z")
    back.add_argument("--since", metavar="TIME", help="where the window before begins; the first hour by default")
    back.add_argument("--until", metavar="TIME", help="where the window after ends; the last hour by default")
    back.add_argument("--route", metavar="R", help="of the servers; all routes by default")
    back.add_argument("--per", choices=("requests", "tokens", "items"), default="requests", help="what is counted")
    back.add_argument(
        "--exogenous-growth", type=_growth, metavar="G", help="that would have come without the measure: 10%% or 0.1"
    )
    back.add_argument("--json", action="store_true", help="machine-readable output")
    back.add_argument("--ledger", metavar="PATH", help="another ledger than the configured one")
    back.set_defaults(do=_rebound)

    budget = verbs.add_parser("budget", help="what a project has spent of a month’s budget, and where that leads")
    budget.epilog = "Exit code: 0 within the budget, 1 over it, 2 where that cannot be told."
    budget.add_argument("project", metavar="PROJECT", help="its name (joulegram runs lists it)")
    budget.add_argument("--carbon", metavar="C", help="most carbon: 50kg; as configured by default")
    budget.add_argument("--energy", metavar="E", help="most energy: 100kWh; as configured by default")
    budget.add_argument("--month", metavar="M", help="2026-11; this one by default, by UTC")
    budget.add_argument("--strict", action="store_true", help="exit code 1 also near the budget, or at risk")
    budget.add_argument("--json", action="store_true", help="machine-readable output")
    budget.add_argument("--ledger", metavar="PATH", help="another ledger than the configured one")
    budget.set_defaults(do=_budget)

    calibrate = verbs.add_parser("calibrate", help="measure once what this machine's CPUs draw, in two minutes")
    calibrate.add_argument("--against", metavar="METER", help="the meter to trust; by default one that counts the CPUs")
    calibrate.add_argument("--seconds", type=_how_long, metavar="S", help="how long to measure idle, and full load")
    calibrate.add_argument("--dry-run", action="store_true", help="keep nothing")
    calibrate.set_defaults(do=_calibrate)

    zones = verbs.add_parser("zones", help="find a grid zone or a cloud region, or tell where this machine is")
    zones.add_argument("text", nargs="?", default="", metavar="TEXT", help="part of a code, a name or a location")
    zones.add_argument("--here", action="store_true", help="where this machine is, and how that was found out")
    zones.set_defaults(do=_zones)

    when = verbs.add_parser("when", help="when a job would emit least, and how sure that is")
    wait = verbs.add_parser("wait", help="sleep until a job would emit least")
    wait.epilog = "Exit code: 0 when it is time, 130 after Ctrl-C."
    for verb in (when, wait):
        verb.add_argument(
            "--duration", required=True, type=_seconds, metavar="D", help="of the job: 6h, 90m, 1h30m, 2d"
        )
        verb.add_argument(
            "--within", type=_seconds, default=86_400.0, metavar="D", help="it has to be finished in this time; 24h"
        )
        verb.add_argument("--intensity", metavar="NAME", help="the feed, or series:PATH; that of the zone")
        verb.add_argument("--json", action="store_true", help="machine-readable output")
    when.add_argument("--zone", action="append", metavar="Z", help="repeat it to lay zones beside each other")
    wait.add_argument("--zone", action="append", metavar="Z", help="as configured")
    when.add_argument(
        "--idle",
        type=_share,
        default=IDLE_SHARE,
        metavar="SHARE",
        help=f"power while paused over power at work; {IDLE_SHARE:g}",
    )
    when.add_argument(
        "--resume",
        type=_seconds,
        default=RESUME_S,
        metavar="D",
        help=f"work that is repeated after a pause; {RESUME_S / 60:g}m",
    )
    when.add_argument("--stretch", type=_seconds, default=0.0, metavar="D", help="shortest time between two pauses")
    wait.add_argument("--max-wait", type=_seconds, metavar="D", help="wait no longer than this")
    when.set_defaults(do=_when)
    wait.set_defaults(do=_wait)

    seal = verbs.add_parser("seal", help="turn ended runs into Parquet")
    seal.add_argument("run", nargs="*", metavar="RUN", help="ids; all ended runs by default")
    seal.set_defaults(do=_seal)

    merge = verbs.add_parser("merge", help="join runs that other hosts recorded in ledgers of their own")
    merge.add_argument("folder", nargs="+", metavar="FOLDER", help="a ledger, or one run's folder in it")
    merge.set_defaults(do=_merge)

    for verb in (runs, report, compare, served, again, whatif, life, lever, doctor, zones):
        verb.add_argument("--json", action="store_true", help="machine-readable output")
    for verb in (run, runs, report, compare, served, again, whatif, life, lever, export, doctor, seal, merge):
        verb.add_argument("--ledger", metavar="PATH", help="another ledger than the configured one")
    return parser


def _run(options: argparse.Namespace) -> int:
    from joulegram.cli.wrap import track_command

    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        print("joulegram: which command? joulegram run -- COMMAND …", file=sys.stderr)
        return 2
    given = {
        name: getattr(options, name)
        for name in ("name", "project", "stage", "model", "zone", "pue", "intensity", "basis", "ledger")
    }
    return track_command(command, given)


@contextmanager
def _uncollected() -> Iterator[None]:
    """No garbage collection meanwhile: among ten thousand summaries it takes a fifth of the time, and frees nothing."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@_uncollected()
def _runs(options: argparse.Namespace) -> int:
    started_s = time.monotonic()
    ledger = open_ledger(options.ledger)
    wanted = {name: getattr(options, name) for name in ("project", "stage", "model", "status")}
    found = [
        {"run": summary.run, "footprint": summary.footprint}
        for summary in ledger.summaries()
        if all(value is None or summary.run.get(name) == value for name, value in wanted.items())
    ][: options.most]
    if options.json:
        # A run on each line: JSON with every value on its own takes ten times as long.
        lines = ",\n".join(json.dumps(entry, allow_nan=False) for entry in found)
        print(f'{{"schema_version": 1, "runs": [\n{lines}\n]}}')
    else:
        from joulegram.report.table import print_runs

        shown = found if options.most is not None else found[:SHOWN]
        print_runs(shown)
        if len(shown) < len(found):
            print(f"… and {len(found) - len(shown):,} older runs (joulegram runs -n {len(found)})")
    sys.stdout.flush()
    _seal_while_it_is_quick(ledger, [str(entry["run"]["id"]) for entry in found], started_s)
    return 0


def _seal_while_it_is_quick(ledger: OpenLedger, run_ids: Sequence[str], started_s: float) -> None:
    for run_id in run_ids:
        if time.monotonic() - started_s > SEAL_WITHIN_S:
            return
        try:
            ledger.seal(run_id)
        except MissingExtra:
            return  # a favour, not what was asked for
        except (OSError, LookupError):
            continue


def _report(options: argparse.Namespace) -> int:
    ledger = open_ledger(options.ledger)
    run: RecordedRun = ledger.run(options.run) if options.run else ledger.latest()
    document = run.document()
    if options.html:
        from joulegram.report.page import write_page

        print(write_page(document, options.html))
    elif options.json:
        _print_json(document)
    else:
        from joulegram.report.table import print_run

        print_run(document)
    sys.stdout.flush()
    with suppress(MissingExtra, OSError, LookupError):  # a ledger that may only be read is read all the same
        ledger.seal(run.id)
    return 0


def _compare(options: argparse.Namespace) -> int:
    from joulegram.analysis.quality import CannotCompare
    from joulegram.cli.compare import Question, answer

    asked = ("project", "stage", "by", "zone", "metric", "better")
    question = Question(options.run, *(getattr(options, name) for name in asked))
    try:
        found = answer(open_ledger(options.ledger), question)
    except CannotCompare as error:
        return _complain(error)
    if options.html:
        from joulegram.report.page import write_comparison_page

        print(write_comparison_page(found, options.html))
    elif options.json:
        _print_json(found)
    else:
        from joulegram.report.comparison_table import print_comparison

        print_comparison(found)
    return 0


def _serve_report(options: argparse.Namespace) -> int:
    from joulegram.analysis.served import NothingServed
    from joulegram.cli.served import answer

    if options.run and options.project:
        return _complain("name runs, or say --project, not both")
    try:
        found = answer(open_ledger(options.ledger), options.run, options.project)
    except NothingServed as error:
        return _complain(error)
    if options.html:
        from joulegram.report.page import write_served_page

        print(write_served_page(found, options.html))
    elif options.json:
        _print_json(found)
    else:
        from joulegram.report.served_table import print_served

        print_served(found)
    return 0


def _reprice(options: argparse.Namespace) -> int:
    from joulegram.cli.patience import patient
    from joulegram.cli.reprice import Changes, chosen_runs, price_again, print_repriced, since_s

    if options.run and options.since:
        return _complain("name runs, or say --since, not both")
    since = None if options.since is None else since_s(options.since, time.time())
    changes = Changes(options.zone, options.pue, options.basis, options.intensity, options.dry_run)
    rows = list(price_again(chosen_runs(open_ledger(options.ledger), options.run, since), changes, patient()))
    if options.json:
        _print_json({"schema_version": 1, "kept": not options.dry_run, "runs": rows})
    else:
        print_repriced(rows, options.dry_run)
    return 0


def _whatif(options: argparse.Namespace) -> int:
    from joulegram.analysis.measures import Unanswerable
    from joulegram.cli.whatif import answer

    ledger = open_ledger(options.ledger)
    run: RecordedRun = ledger.run(options.run) if options.run else ledger.latest()
    try:
        found = answer(run, options.zone, options.start, options.intensity)
    except Unanswerable as error:
        return _complain(error)
    if options.html:
        from joulegram.report.page import write_what_if_page

        print(write_what_if_page(found, options.html))
    elif options.json:
        _print_json(found)
    else:
        from joulegram.report.whatif_table import print_what_if

        print_what_if(found)
    return 0


@_uncollected()
def _lifecycle(options: argparse.Namespace) -> int:
    from joulegram.analysis.lifecycle import NoLife
    from joulegram.cli.lifecycle import answer

    try:
        found = answer(open_ledger(options.ledger), options.project, options.model, options.final)
    except NoLife as error:
        return _complain(error)
    if options.html:
        from joulegram.report.page import write_life_cycle_page

        print(write_life_cycle_page(found, options.html))
    elif options.json:
        _print_json(found)
    else:
        from joulegram.report.lifecycle_table import print_life_cycle

        print_life_cycle(found)
    return 0


@_uncollected()
def _levers(options: argparse.Namespace) -> int:
    from joulegram.analysis.lifecycle import NoLife
    from joulegram.analysis.measures import Unanswerable
    from joulegram.cli.levers import answer

    asked = (getattr(options, name) for name in ("project", "model", "final", "intensity"))
    try:
        found = answer(open_ledger(options.ledger), *asked)
    except (NoLife, Unanswerable) as error:
        return _complain(error)
    if options.json:
        _print_json(found)
    else:
        from joulegram.report.levers_table import print_levers

        print_levers(found)
    return 0


def _export(options: argparse.Namespace) -> int:
    from joulegram.cli.export import Wish, answer, given, write
    from joulegram.exporters import CannotExport

    try:
        wish = Wish(options.run, options.project, options.stage, options.format, given(options.set))
        write(answer(open_ledger(options.ledger), wish), options.out)
    except CannotExport as error:
        return _complain(error)
    return 0


def _doctor(options: argparse.Namespace) -> int:
    from joulegram.cli.doctor import examine, healthy, print_findings

    findings = examine(options.ledger)
    if options.json:
        _print_json(findings)
    else:
        print_findings(findings)
    return 0 if healthy(findings) else 1


def _breakeven(options: argparse.Namespace) -> int:
    from joulegram.analysis.breakeven import NoBreakEven
    from joulegram.cli.breakeven import answer

    try:
        found = answer(
            open_ledger(options.ledger),
            options.before,
            options.after,
            options.development,
            route=options.route,
            per_day=options.rate,
            retrain_every_s=options.retrain_every,
            g_per_kwh=options.g_per_kwh,
        )
    except NoBreakEven as error:
        return _complain(error)
    if options.json:
        _print_json(found)
    else:
        from joulegram.report.breakeven_table import print_break_even

        print_break_even(found)
    return 0


def _rebound(options: argparse.Namespace) -> int:
    from joulegram.analysis.rebound import NoRebound
    from joulegram.cli.rebound import Windows, answer

    asked = Windows(*(getattr(options, name) for name in ("run", "project", "at", "since", "until", "route")))
    try:
        found = answer(open_ledger(options.ledger), asked, options.per, options.exogenous_growth)
    except NoRebound as error:
        return _complain(error)
    if options.json:
        _print_json(found)
    else:
        from joulegram.report.rebound_table import print_rebound

        print_rebound(found)
    return 0


@_uncollected()
def _budget(options: argparse.Namespace) -> int:
    from joulegram.analysis.budgets import NoBudget
    from joulegram.cli.budget import answer, exit_code

    asked = (getattr(options, name) for name in ("project", "carbon", "energy", "month"))
    try:
        found = answer(open_ledger(options.ledger), *asked)
    except NoBudget as error:
        return _complain(error)
    if options.json:
        _print_json(found)
    else:
        from joulegram.report.budget_table import print_budget

        print_budget(found)
    return exit_code(found, options.strict)


def _calibrate(options: argparse.Namespace) -> int:
    from joulegram import config
    from joulegram.cli.calibrate import (
        LEVEL_S,
        SETTLE_S,
        CannotCalibrate,
        Machine,
        calibrate,
        find_reference,
        print_calibration,
    )  # fmt: skip
    from joulegram.host.profile import keep

    settings, seconds = config.load(), options.seconds or LEVEL_S
    try:
        reference = find_reference(settings, options.against)
        took = show_duration(2 * (SETTLE_S + seconds))
        print(f"Against {reference.name}, for {took}: this machine left alone, then with all CPUs busy …", flush=True)
        with Machine.here() as machine:
            calibration = calibrate(settings, reference, machine, seconds)
    except CannotCalibrate as error:
        return _complain(error)
    print_calibration(calibration)
    print("Dry run: nothing is kept." if options.dry_run else f"Kept in {keep(calibration.profile)}")
    if settings.idle_w is not None and settings.max_w is not None:
        print("The configuration's own idle_w and max_w still go first.")
    return 0


def _zones(options: argparse.Namespace) -> int:
    if options.here:
        from joulegram.cli.here import here, print_here

        if options.text:
            return _complain("zones takes a text or --here, not both")
        found = here()
        if options.json:
            _print_json(found)
        else:
            print_here(found)
        return 0
    from joulegram.cli.zones import matches, print_zones

    if not options.json:
        return print_zones(options.text)
    matching = matches(options.text)
    _print_json(matching)
    return 0 if matching["zones"] or matching["regions"] else 1


def _when(options: argparse.Namespace) -> int:
    from joulegram.analysis.outlook import CannotPlan
    from joulegram.analysis.pausing import Pauses
    from joulegram.cli.when import Job, answer

    job = Job(options.duration, options.within, Pauses(options.idle, options.resume, options.stretch))
    try:
        found = answer(job, options.zone, options.intensity)
    except CannotPlan as error:
        return _complain(error)
    if options.json:
        _print_json(found)
    else:
        from joulegram.report.when_table import print_plans

        print_plans(found)
    return 0


def _wait(options: argparse.Namespace) -> int:
    from joulegram.analysis.outlook import CannotPlan
    from joulegram.cli.when import Job, answer, wait_until

    if len(options.zone or ()) > 1:
        return _complain("one --zone is needed: the one that this machine is in")
    longest_s = math.inf if options.max_wait is None else options.max_wait + options.duration
    try:
        found = answer(Job(options.duration, min(options.within, longest_s)), options.zone, options.intensity)
    except CannotPlan as error:
        return _complain(error)
    if options.json:
        _print_json(found)
    else:
        print(*found["sentences"], sep="\n")
    sys.stdout.flush()
    return wait_until(found["zones"][0]["start_s"])


def _seal(options: argparse.Namespace) -> int:
    ledger = open_ledger(options.ledger)
    ids = options.run or [
        str(s.run["id"]) for s in ledger.summaries() if s.run["status"] not in ("running", "unreadable")
    ]
    sealed = code = 0
    for run_id in ids:
        try:
            sealed += ledger.seal(run_id)
        except OSError as error:  # one run's damage is no reason to leave the others
            code = _complain(error)
    print(f"{sealed} journal{'' if sealed == 1 else 's'} sealed")
    return code


def _merge(options: argparse.Namespace) -> int:
    ledger = open_ledger(options.ledger)
    for folder in options.folder:
        gained = ledger.merge(folder)
        print(f"{folder}: {len(gained)} run{'' if len(gained) == 1 else 's'} joined")
    return 0


def _print_json(value: Any) -> None:
    json.dump(value, sys.stdout, indent=1, allow_nan=False)
    print()
