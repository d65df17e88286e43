"""``joulegram reprice``: stored energy, priced with what is known by now."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from joulegram import config
from joulegram.config import ConfigError, Settings
from joulegram.feeds.annual import resolve
from joulegram.feeds.cache import Cache
from joulegram.feeds.choice import ANNUAL, AUTO
from joulegram.feeds.fetching import Wait
from joulegram.report.words import hours_in_words
from joulegram.session.recorded import OpenLedger, RecordedRun
from joulegram.session.repricing import Repriced, reprice
from joulegram.units import show_mass, utc_s

_AGO = re.compile(r"(\d+)\s*([hdw])")
_UNITS_S = {"h": 3600.0, "d": 86400.0, "w": 7 * 86400.0}


@dataclass(frozen=True, slots=True)
class Changes:
    """What is to be other than recorded.

    Args:
        zone: another zone.
        pue: another PUE.
        basis: another basis.
        intensity: another feed.
        dry: nothing is kept.
    """

    zone: str | None = None
    pue: str | None = None
    basis: str | None = None
    intensity: str | None = None
    dry: bool = False


def since_s(text: str, now_s: float) -> float:
    """The time that a user means: ``7d`` ago, or a date.

    Raises:
        ConfigError: neither.
    """
    ago = _AGO.fullmatch(text.strip())
    if ago:
        return now_s - int(ago[1]) * _UNITS_S[ago[2]]
    try:
        return utc_s(text)
    except ValueError:
        raise ConfigError(f"--since {text!r}: a time ago (12h, 7d, 2w) or a date (2026-06-24) is needed") from None


def chosen_runs(ledger: OpenLedger, ids: Sequence[str], since: float | None) -> Iterator[RecordedRun]:
    """The runs named, or those since a time, or the latest.

    Raises:
        UnknownRun: there is no such run.
    """
    if since is None:
        yield from (ledger.run(run_id) for run_id in ids) if ids else [ledger.latest()]
        return
    for run in ledger.runs():
        if run.started_s < since:
            return
        yield run


def price_again(
    runs: Sequence[RecordedRun] | Iterator[RecordedRun],
    changes: Changes,
    wait: Wait,
    now_s: Callable[[], float] = time.time,
) -> Iterator[dict[str, Any]]:
    """Prices runs again, and keeps the new prices; a plain row for each.

    Raises:
        ConfigError: a change, or the configuration, is not understood.
    """
    given = {"zone": changes.zone, "pue": changes.pue, "basis": changes.basis, "intensity": changes.intensity}
    if changes.zone is not None and resolve(changes.zone) is None:
        raise ConfigError(f"no zone {changes.zone!r} is known (joulegram zones TEXT finds one)")
    settings, cache = config.load(given), Cache.of_user()
    for run in runs:
        if run.status == "running":
            yield {**_named(run), "changed": False, "why": "it is still running, and priced as it goes"}
            continue
        of_run = _named_by(run, settings, changes)
        try:
            done = reprice(
                run,
                of_run,
                wait,
                zone=changes.zone,
                pue=None if changes.pue is None else settings.pue,
                basis=None if changes.basis is None else settings.basis,
                now_s=now_s,
                cache=cache,
            )
        except ConfigError as error:
            if of_run is settings:
                raise
            yield {**_named(run), "changed": False, "why": f"{error} (--intensity names another)"}
            continue
        if done.changed and not changes.dry:
            done.after.keep_price()
        yield _row(done)


def _named_by(run: RecordedRun, settings: Settings, changes: Changes) -> Settings:
    """The settings, with the feed that the run named where the user wants no other feed or place."""
    feed = run.stored.header.intensity
    if changes.intensity is not None or changes.zone is not None or feed in (AUTO, ANNUAL):
        return settings
    return replace(settings, intensity=feed)


def _named(run: RecordedRun) -> dict[str, Any]:
    return {"run": run.id, "name": run.name, "zone": run.zone}


def _row(done: Repriced) -> dict[str, Any]:
    before, after = done.before.footprint(), done.after.footprint()
    return {
        **_named(done.after),
        "changed": done.changed,
        "before": {"basis": done.before.book.basis, "carbon_g": before.carbon_g.to_json()},
        "after": {"basis": done.after.book.basis, "carbon_g": after.carbon_g.to_json()},
        "hours": done.after.hours().to_json(),
        "reason": done.after.book.reason,
        "outages": [outage.describe() for outage in done.outages],
        "not_asked": list(done.passed_over),
        "why": "" if done.changed else "nothing is known that was not",
    }


def print_repriced(rows: Sequence[Mapping[str, Any]], dry: bool, console: Console | None = None) -> None:
    """Prints what became of runs."""
    console = console or Console()
    if not rows:
        console.print("No runs since then.")
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("run", "CO₂e was", "is"):
        table.add_column(heading, justify="left" if heading == "run" else "right", no_wrap=True)
    table.add_column("intensity", overflow="fold")
    for row in rows:
        table.add_row(Text(f"{row['run']}\n{row['name']}"), *_figures(row), Text(_words(row)))
    console.print(table)
    for text in dict.fromkeys(text for row in rows for text in row.get("outages", ())):
        console.print(Text(f"No answer: {text}", style="yellow"))
    for text in dict.fromkeys(text for row in rows for text in row.get("not_asked", ())):
        console.print(Text(f"Not asked: {text}", style="yellow"))
    if dry:
        console.print("Dry run: nothing is kept.")


def _figures(row: Mapping[str, Any]) -> list[str]:
    if "before" not in row:
        return ["–", "–"]
    return [_grams(row["before"]), _grams(row["after"]) if row["changed"] else "the same"]


def _grams(side: Mapping[str, Any]) -> str:
    value = side["carbon_g"]["value"]
    return "missing" if value is None else f"{show_mass(value)}\n{side['basis']}"


def _words(row: Mapping[str, Any]) -> str:
    if "hours" not in row:
        return str(row["why"])
    known = hours_in_words(row["hours"])
    return f"{row['why']}: {known}" if row["why"] else f"{row['reason']}: {known}"
