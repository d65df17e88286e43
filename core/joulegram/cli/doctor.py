"""``joulegram doctor``: what can be measured on this machine, at what quality, and what cannot and why."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from joulegram import __version__, config, registry
from joulegram.config import Settings
from joulegram.feeds.choice import choose
from joulegram.host.clock import Clock
from joulegram.host.cpu import cpus_of
from joulegram.host.processes import affinity, cgroup_quota, cpu_count
from joulegram.host.profile import own, profiles
from joulegram.meters import Meter
from joulegram.recorder.opening import Unopened, attempt, load, overlap
from joulegram.records import Channel
from joulegram.session.books import yearly
from joulegram.session.document import price_part
from joulegram.session.surroundings import ledger_path

_EXTRAS = {
    "analysis": "scipy",
    "entsoe": "entsoe-py",
    "jax": "jax",
    "lightning": "lightning",
    "nvidia": "nvidia-ml-py",
    "parquet": "pyarrow",
    "pyrapl": "pyRAPL",
    "report": "plotly",
    "tensorflow": "tensorflow",
    "zeus": "zeus",
}
READS, WAKES, SAMPLE_S = 20, 20, 0.05


def healthy(findings: dict[str, Any]) -> bool:
    """Whether a run here would be recorded: something counts, and the ledger can be written."""
    return bool(findings["ledger"]["writable"]) and any(meter["state"] == "works" for meter in findings["meters"])


def examine(ledger: str | None = None) -> dict[str, Any]:
    """Everything that the doctor finds, as plain data.

    Raises:
        ConfigError: the configuration is not understood.
    """
    settings = config.load({"ledger": ledger})
    book = yearly(settings.zone, settings.pue, settings.basis, time.time())
    chosen = choose(settings, book.zone, time.time)
    return {
        "schema_version": 1,
        "joulegram": __version__,
        "disabled": config.disabled(),
        "host": _host(),
        "meters": _meters(settings),
        "profile": _profile(),
        "sampling": _sampling(),
        "flops": list(registry.names(registry.FLOPS)),
        "feeds": list(registry.names(registry.FEEDS)),
        "asked": [feed.title for feed in chosen.feeds],
        "not_asked": list(chosen.passed_over),
        "zone": settings.zone,
        "price": {key: value for key, value in price_part(book).items() if key not in ("reason", "made")},
        "configuration": {"file": str(config.user_file()), "exists": os.path.isfile(config.user_file())},
        "ledger": _ledger(ledger_path(settings)),
        "extras": {extra: _installed(package) for extra, package in _EXTRAS.items()},
    }


def _host() -> dict[str, Any]:
    clock = Clock(os.environ.get("JOULEGRAM_HOST"))
    return {
        "name": clock.host,
        "boot": clock.boot,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "cpus": cpu_count(),
        "cpus_allowed": len(affinity(0)),
        "cpu_quota": cgroup_quota(),
        "suspend_visible": clock.anchor().boot_ns is not None,
    }


def _profile() -> dict[str, Any]:
    """What is known of this machine's CPU power from earlier, and where runs keep what they learn of it."""
    mine = own(Clock(os.environ.get("JOULEGRAM_HOST")).host, cpus_of(), profiles())
    return {"learned_in": str(config.learned_file()), "own": None if mine is None else asdict(mine)}


def _meters(settings: Settings) -> list[dict[str, Any]]:
    names = registry.names(registry.METERS) if settings.meters is None else settings.meters
    found = [(name, *_opened(name, settings)) for name in names]
    working = [meter for _, meter, _, _ in found if meter is not None]
    try:
        return [
            {"name": name, "state": state, "why": why, **_told(meter, working)} for name, meter, state, why in found
        ]
    finally:
        for meter in working:
            meter.close()


def _opened(name: str, settings: Settings) -> tuple[Meter | None, str, str]:
    """A meter that has been read once, how it stands, and why."""
    found = load(name)
    meter = found if isinstance(found, Unopened) else attempt(found, settings)
    if isinstance(meter, Unopened):
        return None, "absent" if meter.state == "unneeded" else meter.state, meter.why
    try:
        list(meter.read())
    except Exception as error:
        meter.close()
        return None, "broken", f"its first read failed: {error!r}"
    return meter, "works", ""


def _told(meter: Meter | None, working: Sequence[Meter]) -> dict[str, Any]:
    if meter is None:
        return {"used": False, "read_us": None, "channels": []}
    firmer = any(other.fallback < meter.fallback and overlap(meter, other) for other in working)
    return {"used": not firmer, "read_us": _read_us(meter), "channels": [_channel(c, meter) for c in meter.channels]}


def _channel(channel: Channel, meter: Meter) -> dict[str, Any]:
    return {
        "id": channel.id,
        "kind": channel.kind,
        "method": channel.method,
        "how": channel.how,
        "gain": [channel.gain_low, channel.gain_high],
        "max_w": channel.max_w,
        "idle_w": channel.idle_w,
        "rate_hz": 1 / meter.period_s,
    }


def _read_us(meter: Meter) -> float:
    """What a read costs (µs), the median of some."""
    took_s = []
    for _ in range(READS):
        started_s = time.perf_counter()
        list(meter.read())
        took_s.append(time.perf_counter() - started_s)
    return statistics.median(took_s) * 1e6


def _sampling() -> dict[str, Any]:
    """How late a thread wakes that wants to sample at 20 Hz, here and now (ms)."""
    late_ms = []
    due_s = time.perf_counter()
    for _ in range(WAKES):
        due_s += SAMPLE_S
        time.sleep(max(0.0, due_s - time.perf_counter()))
        late_ms.append((time.perf_counter() - due_s) * 1e3)
    return {"rate_hz": 1 / SAMPLE_S, "late_ms": {"median": statistics.median(late_ms), "most": max(late_ms)}}


def _ledger(path: Path) -> dict[str, Any]:
    probe = path
    while not probe.exists() and probe != probe.parent:
        probe = probe.parent
    return {"path": str(path), "writable": os.access(probe, os.W_OK)}


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def print_findings(findings: dict[str, Any], console: Console | None = None) -> None:
    """Prints what `examine` found."""
    console = console or Console()
    host = findings["host"]
    quota = "" if host["cpu_quota"] is None else f", quota {host['cpu_quota']:g}"
    console.print(
        Text(f"joulegram {findings['joulegram']} on {host['name']}: {host['system']}, Python {host['python']}")
    )
    console.print(Text(f"CPUs: {host['cpus']} on the node, {host['cpus_allowed']} allowed here{quota}"))
    if findings["disabled"]:
        console.print(Text("JOULEGRAM_DISABLED is set: nothing is recorded", style="bold red"))
    console.print(_meter_table(findings))
    console.print(Text(f"profile   {_profile_in_words(findings['profile'])}"))
    late = findings["sampling"]["late_ms"]
    console.print(Text(f"sampling  late by {late['median']:.2f} ms in the median, {late['most']:.1f} ms at most"))
    console.print(Text("FLOPs     " + (", ".join(findings["flops"]) or "missing: no FLOP counter is installed")))
    console.print(Text(f"feeds     {_feeds_in_words(findings)}"))
    for point in findings["price"]["intensity"]:
        kind = f"{point['basis']}, {point['kind']}: {point['note']}"
        console.print(Text(f"intensity {point['zone']} {point['g_per_kwh']:g} g/kWh, {kind}"))
    pue = findings["price"]["pue"]
    console.print(Text(f"PUE       {pue['value']:g} [{pue['low']:g} .. {pue['high']:g}]: {pue['source']}"))
    own = findings["configuration"]
    console.print(Text(f"settings  {own['file']}{'' if own['exists'] else ' (not there yet)'}"))
    ledger = findings["ledger"]
    console.print(Text(f"ledger    {ledger['path']}{'' if ledger['writable'] else ' (NOT WRITABLE)'}"))
    for extra, found in findings["extras"].items():
        console.print(Text(f"extra     {extra}: " + (found or f'not installed (pip install "joulegram[{extra}]")')))


def _feeds_in_words(findings: dict[str, Any]) -> str:
    asked = ", then ".join(findings["asked"]) or "none is asked: yearly means alone"
    if not findings["asked"] and findings["zone"] is None:
        asked += ", of the world, as the zone is unknown"
    return "; ".join([asked, *(f"not {why}" for why in findings["not_asked"])])


def _profile_in_words(found: dict[str, Any]) -> str:
    mine = found["own"]
    kept = f"what runs learn of CPU power while counters can be read is kept in {found['learned_in']}"
    if mine is None:
        return f"of this machine's CPUs: none yet; {kept}"
    return f"of this machine's CPUs: {mine['idle_w']:g} to {mine['max_w']:g} W ({mine['source']}); {kept}"


def _meter_table(findings: dict[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("meter", "state", "what it says"):
        table.add_column(heading, overflow="fold")
    for meter in findings["meters"]:
        said = [meter["why"]] if meter["why"] else []
        for channel in meter["channels"]:
            low, high = channel["gain"]
            bounds = f", true energy {low:g} to {high:g} times that" if (low, high) != (1.0, 1.0) else ""
            said.append(f"{channel['id']}, {channel['method']}: {channel['how']}{bounds}")
        if meter["channels"]:
            said.append(f"{meter['channels'][0]['rate_hz']:g} Hz, a read takes {meter['read_us']:.3g} µs")
        state = "spare" if meter["state"] == "works" and not meter["used"] else meter["state"]
        table.add_row(Text(meter["name"]), Text(state), Text("\n".join(said)))
    return table
