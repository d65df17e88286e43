"""Thermal design power of CPUs by the name that the system reports.

The table is `cpu_tdp.csv` beside this file. Its figures are the vendors' published ones: the design power (Intel's
"processor base power" since the 12th generation) is what cooling is built for under sustained load; a CPU may draw more
for a while. Its `source` column says where a power was taken from:

- ``codecarbon``: cpu_power.csv of codecarbon 3.3.2, MIT licence, © 2019 Mila, BCG Gamma, CometML, Haverford College,
  © 2023 Code Carbon NGO; renamed, and reduced to the families met in servers, workstations and laptops.
- ``intel``, ``amd``: the vendor's product specifications, where codecarbon lacks a part or lists its turbo power.

Cores and threads are the vendors'; they are empty where they were not looked up. Parts that a vendor makes for one
cloud alone are listed only where a power is reported for them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType

# Beside this file and not through importlib.resources, whose import alone takes 15 ms of a run's start.
TABLE = Path(__file__).with_name("cpu_tdp.csv")

SOURCES = MappingProxyType(
    {
        "codecarbon": "codecarbon 3.3.2, cpu_power.csv (MIT)",
        "intel": "Intel product specifications",
        "amd": "AMD product specifications",
    }
)

# What systems add to a marketing name: the generation before it, the clock, the core count or the graphics after it.
_ADDED = re.compile(
    r"""\((?:r|tm)\)                         # Intel(R) Core(TM)
      | ^\d+th\ gen\b                        # 13th Gen Intel(R) Core(TM) i9-13900K
      | @.*$                                 # … CPU @ 3.40GHz
      | \b[a-z0-9]+-cores?\b.*$              # … 64-Core Processor, Six-Core Processor, 64-Cores
      | \b(?:with|w/)\s.*$                   # … with Radeon Graphics, w/ Radeon 890M
      | \b(?:intel|amd|cpu|processor)\b
    """,
    re.VERBOSE,
)
# A Xeon E5 or E7 of before v2 reports itself as version 0: "E5-2670 0".
_VERSION_ZERO = re.compile(r"(?<=\d|[lw]) 0$")


@dataclass(frozen=True, slots=True)
class CpuPart:
    """One row of the table.

    Args:
        name: marketing name in small letters without vendor: ``xeon platinum 8380``, ``epyc 7763``.
        tdp_w: thermal design power of one socket (W).
        cores: physical cores of one socket; None where not known.
        threads: hardware threads of one socket; None where not known.
        source: where the power comes from.
    """

    name: str
    tdp_w: float
    cores: int | None
    threads: int | None
    source: str


@cache
def lookup(model_name: str) -> CpuPart | None:
    """The part that a system's model name names; None where the table has no part of exactly that name.

        lookup("AMD EPYC 7763 64-Core Processor").tdp_w  # 280.0

    Nothing is guessed: a hypervisor's made-up name (``Intel Xeon Processor (Skylake, IBRS)``) or a part that differs
    in its last letter has none.

    Args:
        model_name: "model name" of /proc/cpuinfo, or the same brand string from another system.
    """
    name = _marketing_name(model_name)
    # One search in the text instead of parsing 2,900 rows for the one that is wanted.
    row = re.search(rf"^{re.escape(name)},([^,\n]+),(\d*),(\d*),(\w+)$", _table(), re.MULTILINE)
    if row is None:
        return None
    tdp_w, cores, threads, source = row.groups()
    return CpuPart(
        name, float(tdp_w), int(cores) if cores else None, int(threads) if threads else None, SOURCES[source]
    )


def _marketing_name(model_name: str) -> str:
    """The name as the table spells it: small letters, no vendor, no clock, no core count."""
    return _VERSION_ZERO.sub("", " ".join(_ADDED.sub(" ", model_name.strip().lower()).split()))


@cache
def _table() -> str:
    return TABLE.read_text(encoding="utf-8")
