"""Peak rates of devices by the type computed in: what a rate that was reached is held against.

The table is `peaks.csv` beside this file, in TFLOP/s (1e12): the vendors' figures for dense matrix products, summed in
float32 where 16 bits or fewer are multiplied, of one device as programs see it. Never with sparsity, never of a pair of
cards. `float32` is multiplied as such; `tf32` is what float32 may be multiplied in where a framework allows it, and on
a device that has none, float32's own rate. CPUs are not in it: theirs depends on clocks that no table knows.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from joulegram.config import PEAK_TYPES
from joulegram.host.products import plain_name

TABLE = Path(__file__).with_name("peaks.csv")


@dataclass(frozen=True, slots=True)
class Peak:
    """The most that a device computes.

    Args:
        flop_per_s: dense floating-point operations (or, for int8, integer ones) per second.
        source: who says so.
    """

    flop_per_s: float
    source: str


def peak(device: str, dtype: str, own: Mapping[str, Mapping[str, float]]) -> Peak | None:
    """The peak rate of a device; None where neither the user nor a vendor's table tells it.

        peak("NVIDIA H200", "bfloat16", {}).flop_per_s  # 9.895e14

    Nothing is guessed from a part of a name: a laptop's or a partitioned GPU of a known name has none.

    Args:
        device: its product name, as its driver spells it.
        dtype: what it multiplies in: one of `PEAK_TYPES`, or a float8 of any layout.
        own: the user's own rates (FLOP/s), which come first.
    """
    kind = "float8" if dtype.startswith("float8") else dtype
    name = plain_name(device)
    mine = next((rates for each, rates in own.items() if plain_name(each) == name), {})
    for each in (kind, "float32") if kind == "tf32" else (kind,):
        if each in mine:
            return Peak(mine[each], "as set")
        if found := _table().get(name, {}).get(each):
            return found
    return None


@cache
def _table() -> Mapping[str, Mapping[str, Peak]]:
    with TABLE.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {
        name: {kind: Peak(float(row[kind]) * 1e12, row["source"]) for kind in PEAK_TYPES if row[kind]}
        for row in rows
        for name in row["names"].split("|")
    }
