"""``joulegram doctor``: what can be measured on this machine, at what quality, and what cannot and why."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from joulegram import __version__, config, pricing, registry
from joulegram.config import ConfigError, Settings
from joulegram.extras import MissingExtra
from joulegram.host.clock import Clock
from joulegram.host.processes import affinity, cgroup_quota, cpu_count
from joulegram.meters import Absent, Denied, Meter
from joulegram.records import PriceBook
from joulegram.session.document import price_part
from joulegram.session.place import ledger_path

_EXTRAS = {"lightning": "lightning", "report": "plotly", "parquet": "pyarrow"}


def examine(ledger: str | None = None) -> dict[str, Any]:
    """Everything that the doctor finds, as plain data.

    Raises:
        ConfigError: the configuration is not understood.
    """
    settings = config.load({"ledger": ledger})
    points = registry.load(registry.FEEDS, settings.intensity)().points(settings.zone)
    book = PriceBook(pricing.pue_of(settings.pue), tuple(points), settings.basis)
    return {
        "schema_version": 1,
        "joulegram": __version__,
        "disabled": config.disabled(),
        "host": _host(),
        "meters": _meters(settings),
        "flops": list(registry.names(registry.FLOPS)),
        "feeds": list(registry.names(registry.FEEDS)),
        "zone": settings.zone,
        "price": {key: value for key, value in price_part(book).items() if key not in ("reason", "made")},
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


def _meters(settings: Settings) -> list[dict[str, Any]]:
    names = registry.names(registry.METERS) if settings.meters is None else settings.meters
    return [{"name": name, **_meter(name, settings)} for name in names]


def _meter(name: str, settings: Settings) -> dict[str, Any]:
    try:
        meter_class: type[Meter] = registry.load(registry.METERS, name)
        meter = meter_class.open(settings)
    except Absent as error:
        return {"state": "absent", "why": str(error), "channels": []}
    except Denied as error:
        return {"state": "denied", "why": str(error), "channels": []}
    except (ConfigError, MissingExtra) as error:  # each names its remedy
        return {"state": "broken", "why": str(error), "channels": []}
    except Exception as error:  # somebody's driver
        return {"state": "broken", "why": repr(error), "channels": []}
    try:
        list(meter.read())
    except Exception as error:
        return {"state": "broken", "why": f"its first read failed: {error!r}", "channels": []}
    finally:
        meter.close()
    channels = [
        {
            "id": channel.id,
            "kind": channel.kind,
            "method": channel.method,
            "how": channel.how,
            "gain": [channel.gain_low, channel.gain_high],
            "max_w": channel.max_w,
            "idle_w": channel.idle_w,
            "rate_hz": 1 / meter.period_s,
        }
        for channel in meter.channels
    ]
    return {"state": "works", "why": "", "channels": channels}


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
    console.print(Text("FLOPs     " + (", ".join(findings["flops"]) or "missing: no FLOP counter is installed")))
    for point in findings["price"]["intensity"]:
        kind = f"{point['basis']}, {point['kind']}: {point['note']}"
        console.print(Text(f"intensity {point['zone']} {point['g_per_kwh']:g} g/kWh, {kind}"))
    pue = findings["price"]["pue"]
    console.print(Text(f"PUE       {pue['value']:g} [{pue['low']:g} .. {pue['high']:g}]: {pue['source']}"))
    ledger = findings["ledger"]
    console.print(Text(f"ledger    {ledger['path']}{'' if ledger['writable'] else ' (NOT WRITABLE)'}"))
    for extra, found in findings["extras"].items():
        console.print(Text(f"extra     {extra}: " + (found or f'not installed (pip install "joulegram[{extra}]")')))


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
        table.add_row(Text(meter["name"]), Text(meter["state"]), Text("\n".join(said)))
    return table
