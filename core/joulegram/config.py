"""Configuration: defaults < user file < project's pyproject < environment < arguments.

A cloned project must not be able to send a user's key, or anything else, to an address of its choosing: what may name
an address, a key or a look-up of the user's place is taken from the user alone.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from typing import Any, get_args

from joulegram import registry
from joulegram.amounts import energy_in_j, mass_in_g
from joulegram.notices import warn
from joulegram.records import Basis

PREFIX = "JOULEGRAM_"

# Set by joulegram itself or read before there are settings; not settings.
_OTHER_VARIABLES = frozenset({"RUN", "DISABLED", "AUTO", "HOST", "RUNTIME_DIR", "CONFIG", "PROFILES"})
# A project's pyproject.toml may not set these.
_USERS_ALONE = frozenset({"feeds", "meter_options", "ip_lookup"})
_TABLES = frozenset({"budgets", "feeds", "impacts", "meter_options", "peaks"})
PEAK_TYPES = ("float64", "float32", "tf32", "float16", "bfloat16", "float8", "int8")
"""What a peak rate is told for."""
SITE = "site"
"""The place, among what impacts are told of; the others are ``host`` and devices by name."""
IMPACT_FACTORS: Mapping[str, str] = {
    "embodied_kg": "kg CO2e",
    "building_kg": "kg CO2e",
    "lifetime_y": "y",
    "mass_kg": "kg",
    "adpe_kg_sb": "kg Sb",
    "primary_energy_mj": "MJ",
    "onsite_l_per_kwh": "L/kWh",
    "offsite_l_per_kwh": "L/kWh",
    "adpe_kg_sb_per_kwh": "kg Sb/kWh",
    "primary_energy_mj_per_kwh": "MJ/kWh",
}
"""Factors of impacts that may be set, with their units; those per kWh are of the site, the others of hardware."""
WATER_BASES = ("consumption", "withdrawal")
# In a TOML header, as a key of its own line, or further on in a line whose key is `tool`.
_OUR_NAME = rb"""(?m)^\s*(?:\[.*joulegram|(["']?)joulegram\1\s*[.=]|(["']?)tool\2\s*[.=].*joulegram)"""


class ConfigError(ValueError):
    """The configuration says what joulegram does not understand; the message names the place and the remedy."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be configured, with its default.

    Args:
        ledger: folder in which runs are kept; None for the user's data directory.
        project: name that groups runs.
        stage: stage of the life cycle that a run belongs to.
        model: what a run works for, makes or serves.
        zone: grid zone (``DK``, ``DK-DK1``, ``US-CA``); None for unknown, priced at the world's average.
        pue: facility energy over IT energy: a number, ``datacenter`` for the survey's mean, None for unknown.
        intensity: feed that knows the grid's carbon intensity: ``auto`` for the one of the zone, or its name
            (``neso``, ``series:PATH``, ``fixed:420``, ``annual`` for yearly means and no network).
        basis: ``lifecycle`` or ``direct``: which of a grid's emissions `carbon_g` counts; None for what its feed gives.
        flops: how steps are counted: ``auto`` by their framework's counter, ``off`` not at all, or a counter's name.
        meters: names of the meters to open; None for all that are found.
        idle_w: the machine's CPU power with nothing running (W), once known.
        max_w: the machine's CPU power under full load (W), once known.
        feeds: options of the intensity feeds by name, addresses and keys among them.
        meter_options: options of the meters by name.
        ip_lookup: whether the place may be looked up from the IP address.
        peaks: peak rates of devices of your own (FLOP/s), by product name and then type (`PEAK_TYPES`).
        impacts: factors of your own (`IMPACT_FACTORS`) by device, for ``host`` and for ``site``; and what is counted.
        budgets: most ``carbon`` (``"50kg"``) and ``energy`` (``"100kWh"``) of a month, by project; once read,
            `carbon_g` and `energy_j`.
    """

    ledger: str | None = None
    project: str | None = None
    stage: str = "train"
    model: str | None = None
    zone: str | None = None
    pue: float | str | None = None
    intensity: str = "auto"
    basis: Basis | None = None
    flops: str = "auto"
    meters: tuple[str, ...] | None = None
    idle_w: float | None = None
    max_w: float | None = None
    feeds: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    meter_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    ip_lookup: bool = False
    peaks: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    impacts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    budgets: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


_NAMES = tuple(entry.name for entry in fields(Settings))


def disabled() -> bool:
    """Whether ``JOULEGRAM_DISABLED`` makes everything inert.

    Raises:
        ConfigError: it says neither yes nor no.
    """
    return bool(_understood("disabled", os.environ.get(f"{PREFIX}DISABLED", ""), "environment"))


def load(arguments: Mapping[str, Any] | None = None, folder: Path | None = None) -> Settings:
    """The settings in force.

    Args:
        arguments: what the caller was given; None values are not set.
        folder: where the search for a pyproject.toml starts; the working directory by default.

    Raises:
        ConfigError: a key is misspelt or a value is not understood; the message names the nearest right one.
    """
    settings = Settings()
    for where, values in _sources(folder):
        settings = _applied(settings, values, where)
    given = {name: value for name, value in (arguments or {}).items() if value is not None}
    settings = _applied(settings, given, "argument")
    if (settings.idle_w is None) != (settings.max_w is None):
        raise ConfigError(
            "idle_w and max_w, the machine's CPU power at rest and under full load, go together: set both"
        )
    if settings.idle_w is not None and settings.max_w is not None and settings.max_w < settings.idle_w:
        raise ConfigError(f"max_w = {settings.max_w:g} W is less than idle_w = {settings.idle_w:g} W")
    return settings


def origin(name: str, folder: Path | None = None) -> str | None:
    """Where a setting in force was set, arguments apart: ``environment``, or a file; None for its default.

    Args:
        name: the setting's.
        folder: see `load`.
    """
    return next((where for where, values in reversed([*_sources(folder)]) if name in values), None)


def user_file() -> Path:
    """The user's own configuration file, whether or not it exists."""
    chosen = os.environ.get("JOULEGRAM_CONFIG")
    if chosen:
        return Path(chosen)
    import platformdirs

    return Path(platformdirs.user_config_dir("joulegram", appauthor=False)) / "config.toml"


def profiles_file() -> Path:
    """Where calibrations of CPUs are kept, whether or not the file exists."""
    chosen = os.environ.get("JOULEGRAM_PROFILES")
    if chosen:
        return Path(chosen)
    import platformdirs

    return Path(platformdirs.user_data_dir("joulegram", appauthor=False)) / "profiles.json"


def learned_file() -> Path:
    """Where runs keep what they learned of CPUs, beside those, whether or not the file exists."""
    return profiles_file().with_suffix(".learned.json")


def _sources(folder: Path | None) -> Iterable[tuple[str, Mapping[str, Any]]]:
    own = user_file()
    if os.path.isfile(own):  # Path.is_file raises where a folder above may not be looked into
        yield str(own), _read_toml(own)
    project = _project_file(folder)
    if project is not None and _may_configure_us(project):
        yield str(project), _harmless(_project_table(project), project)
    yield "environment", _environment()


def _project_file(folder: Path | None) -> Path | None:
    try:
        folder = (folder or Path.cwd()).absolute()
    except OSError:  # the working directory has been removed
        return None
    candidates = (above / "pyproject.toml" for above in (folder, *folder.parents))
    return next((candidate for candidate in candidates if os.path.isfile(candidate)), None)


def _may_configure_us(project: Path) -> bool:
    """Whether a pyproject.toml is worth parsing, which takes longer than the whole start of a run.

    A dependency on joulegram makes no table: a header or a key has to bear the name.
    """
    try:
        text = project.read_bytes()
    except OSError:
        return False
    return b"joulegram" in text and re.search(_OUR_NAME, text) is not None


def _project_table(project: Path) -> Mapping[str, Any]:
    tool = _read_toml(project).get("tool")
    table = tool.get("joulegram", {}) if isinstance(tool, Mapping) else {}
    if not isinstance(table, Mapping):
        raise ConfigError(f"{project}: [tool.joulegram] must be a table")
    return table


def _read_toml(path: Path) -> Mapping[str, Any]:
    import tomllib

    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ConfigError(f"{path} cannot be read as TOML: {error}") from None


def _harmless(values: Mapping[str, Any], project: Path) -> Mapping[str, Any]:
    """A project's values without those that only the user may set."""
    refused = [name for name in values if name in _USERS_ALONE]
    ledger = str(values.get("ledger", ""))
    if "://" in ledger or ledger.startswith(("//", r"\\")):  # the last two are network shares on Windows
        refused.append("ledger")
    for name in refused:
        _say_ignored(project, name)
    return {name: value for name, value in values.items() if name not in refused}


@cache
def _say_ignored(project: Path, name: str) -> None:
    """Warns once, however often the configuration is read."""
    warn(
        f"{project}: [tool.joulegram] {name} is ignored: addresses, keys and look-ups are taken from "
        f"{user_file()} or the environment only"
    )


def _environment() -> Mapping[str, Any]:
    values: dict[str, Any] = {}
    for variable, text in os.environ.items():
        name = variable.removeprefix(PREFIX)
        if name == variable or name in _OTHER_VARIABLES or not text.strip():  # set to nothing is not set
            continue
        table = next((table for table in _TABLES if name.startswith(table.upper() + "_")), None)
        if table is None:
            values[name.lower()] = text
        else:  # JOULEGRAM_FEEDS_NAME_BASE_URL: the first word after the table is the plugin's name
            plugin, _, option = name[len(table) + 1 :].lower().partition("_")
            values.setdefault(table, {}).setdefault(plugin, {})[option] = text
    return values


def _applied(settings: Settings, values: Mapping[str, Any], where: str) -> Settings:
    changes: dict[str, Any] = {}
    for name, value in values.items():
        if name not in _NAMES:
            raise ConfigError(_misspelt(name, where))
        understood = _understood(name, value, where)
        changes[name] = _laid_over(getattr(settings, name), understood) if name in _TABLES else understood
    return replace(settings, **changes)


def _laid_over(earlier: Mapping[str, Mapping[str, Any]], later: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Tables of options, a later option before an earlier one of the same plugin."""
    return {plugin: {**earlier.get(plugin, {}), **later.get(plugin, {})} for plugin in (*earlier, *later)}


def _misspelt(name: str, where: str) -> str:
    import difflib

    shown = (lambda key: PREFIX + key.upper()) if where == "environment" else str
    known = (*_NAMES, *(other.lower() for other in _OTHER_VARIABLES)) if where == "environment" else _NAMES
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    remedy = f"did you mean {shown(nearest[0])}?" if nearest else f"known are: {', '.join(map(shown, _NAMES))}"
    return f"{where}: there is no setting {shown(name)}; {remedy}"


def _understood(name: str, value: Any, where: str) -> Any:
    """`value` as the setting's type."""
    try:
        return _READERS.get(name, _text)(value)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{where}: {name} = {value!r}: {error}") from None


def _text(value: Any) -> str:
    if not isinstance(value, str | os.PathLike):
        raise TypeError("a text is needed")
    return os.fspath(value)


def _number(value: Any) -> float:
    """A number, from a text too; NaN, which is in no range, for anything else."""
    try:
        return float("nan") if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        return float("nan")


def _watts(value: Any) -> float:
    watts = _number(value)
    if not 0 <= watts < 1e6:
        raise ValueError("watts between 0 and a million are needed")
    return watts


def _pue(value: Any) -> float | str:
    if isinstance(value, str) and value.lower() in {"datacenter", "datacentre"}:
        return "datacenter"
    pue = _number(value)
    if not 1 <= pue < 10:
        raise ValueError("a number from 1.0 to 10 (facility energy over IT energy), or the word datacenter, is needed")
    return pue


def _basis(value: Any) -> str:
    if value not in get_args(Basis)[:2]:
        raise ValueError("the basis is lifecycle or direct")
    return str(value)


def _names(value: Any) -> tuple[str, ...]:
    if not isinstance(value, str | list | tuple):
        raise TypeError("a list of names is needed")
    listed = value.split(",") if isinstance(value, str) else value
    return tuple(_text(name).strip() for name in listed if _text(name).strip())


def _truth(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word in {"1", "true", "yes", "on"}:
        return True
    if word in {"", "0", "false", "no", "off"}:
        return False
    raise ValueError("yes or no is needed")


def _table(value: Any) -> Mapping[str, Mapping[str, Any]]:
    if not isinstance(value, Mapping) or not all(isinstance(options, Mapping) for options in value.values()):
        raise TypeError("a table of tables is needed, one for each plugin")
    return value


def _peaks(value: Any) -> Mapping[str, Mapping[str, float]]:
    if not isinstance(value, Mapping) or not all(isinstance(rates, Mapping) for rates in value.values()):
        raise TypeError('a table is needed for each device: "My device" = { bfloat16 = 9.9e14 }')
    return {
        device: {kind: _peak(device, kind, rate) for kind, rate in rates.items()} for device, rates in value.items()
    }


def _peak(device: str, kind: str, value: Any) -> float:
    if kind not in PEAK_TYPES:
        raise ValueError(f"{device} has a rate for {kind}; known are: {', '.join(PEAK_TYPES)}")
    flop_per_s = _number(value)
    if not 1e6 <= flop_per_s < 1e20:
        raise ValueError(f"{device} needs its rate for {kind} in FLOP/s, such as 9.9e14")
    return flop_per_s


def _impacts(value: Any) -> Mapping[str, Mapping[str, Any]]:
    if not isinstance(value, Mapping) or not all(isinstance(options, Mapping) for options in value.values()):
        raise TypeError('a table is needed for each: "My device" = { embodied_kg = 150 }, host = {…}, site = {…}')
    return {
        name: {option: _impact(name, option, given) for option, given in options.items()}
        for name, options in value.items()
    }


def _impact(name: str, option: str, value: Any) -> Any:
    readers = _SITE_OPTIONS if name == SITE else {}
    factors = [factor for factor in IMPACT_FACTORS if factor.endswith("_per_kwh") == (name == SITE)]
    if option not in factors and option not in readers:
        raise ValueError(f"{name} has no {option}; known are: {', '.join([*factors, *readers])}")
    if option in readers:
        return readers[option](value)
    amount, least = _number(value), 0.01 if option == "lifetime_y" else 0.0
    if not least <= amount < 1e9:
        raise ValueError(f"{name} needs its {option} as a number ({IMPACT_FACTORS[option]}) of {least:g} or more")
    return amount


def _water_basis(value: Any) -> str:
    if value not in WATER_BASES:
        raise ValueError(f"water is counted as {' or '.join(WATER_BASES)}")
    return str(value)


def _budgets(value: Any) -> Mapping[str, Mapping[str, float]]:
    if not isinstance(value, Mapping) or not all(isinstance(limits, Mapping) for limits in value.values()):
        raise TypeError('a table is needed for each project: captions = { carbon = "50kg", energy = "100kWh" }')
    return {
        project: dict(_budget(project, name, given) for name, given in limits.items())
        for project, limits in value.items()
    }


def _budget(project: str, name: str, value: Any) -> tuple[str, float]:
    if name not in _LIMITS:
        raise ValueError(f"{project} has a budget of {name}; known are: {', '.join(_LIMITS)}")
    field_name, read = _LIMITS[name]
    limit = read(_text(value))
    if not limit:
        raise ValueError(f"the budget of {project} has to be above zero")
    return field_name, limit


def _plugin(group: str, name: str) -> str:
    """The name of an installed plugin; those of other packages are looked for only where it is none of ours."""
    if name not in registry.own_names(group) and name not in (offer := registry.names(group)):
        raise ValueError(f"there is none of that name; there are: {', '.join(offer)}")
    return name


def _meters(value: Any) -> tuple[str, ...]:
    return tuple(_plugin(registry.METERS, name) for name in _names(value))


def _feed(value: Any) -> str:
    """``auto``, a feed's name, or that and what it is asked with, ``series:PATH``."""
    text = _text(value)
    return text if text == "auto" or _plugin(registry.FEEDS, text.partition(":")[0]) else ""


def _flops(value: Any) -> str:
    if value in ("auto", "off"):
        return str(value)
    if value is False:  # `off` without quotes, in some formats
        return "off"
    return _plugin(registry.FLOPS, _text(value))


_SITE_OPTIONS: dict[str, Any] = {
    "water": _text,
    "onsite_basis": _water_basis,
    "offsite_basis": _water_basis,
    "hydro": _truth,
    "adpe": _truth,
    "primary_energy": _truth,
}
_LIMITS: Mapping[str, tuple[str, Callable[[str], float]]] = {
    "carbon": ("carbon_g", mass_in_g),
    "energy": ("energy_j", energy_in_j),
}
_READERS: dict[str, Any] = {
    "budgets": _budgets,
    "intensity": _feed,
    "pue": _pue,
    "basis": _basis,
    "flops": _flops,
    "meters": _meters,
    "idle_w": _watts,
    "max_w": _watts,
    "feeds": _table,
    "meter_options": _table,
    "ip_lookup": _truth,
    "peaks": _peaks,
    "impacts": _impacts,
    "disabled": _truth,
}
