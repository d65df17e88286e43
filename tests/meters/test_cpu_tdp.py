"""The table of design powers: which names it knows, and which it leaves alone."""

import csv

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joulegram.meters.cpu_tdp import SOURCES, TABLE, lookup

ROWS = list(csv.DictReader(TABLE.read_text(encoding="utf-8").splitlines()))


@pytest.mark.parametrize(
    ("model_name", "name", "tdp_w", "cores", "threads"),
    [
        ("Intel(R) Xeon(R) CPU E3-1240 V2 @ 3.40GHz", "xeon e3-1240 v2", 69, 4, 8),
        ("Intel(R) Xeon(R) CPU E5-2620 v3 @ 2.40GHz", "xeon e5-2620 v3", 85, 6, 12),
        ("Intel(R) Xeon(R) CPU E5-2670 0 @ 2.60GHz", "xeon e5-2670", 115, 8, 16),
        ("Intel(R) Xeon(R) CPU E5-2650L 0 @ 1.80GHz", "xeon e5-2650l", 70, 8, 16),
        ("Intel(R) Xeon(R) CPU           X5650  @ 2.67GHz", "xeon x5650", 95, None, None),
        ("Intel(R) Xeon(R) Gold 6130 CPU @ 2.10GHz", "xeon gold 6130", 125, 16, 32),
        ("Intel(R) Xeon(R) Platinum 8375C CPU @ 2.90GHz", "xeon platinum 8375c", 300, 32, 64),
        ("Intel(R) Xeon(R) Platinum 8480+", "xeon platinum 8480+", 350, 56, 112),
        ("Intel(R) Xeon(R) CPU Max 9480", "xeon max 9480", 350, 56, 112),
        ("Intel(R) Xeon(R) 6980P", "xeon 6980p", 500, 128, 256),
        ("Intel(R) Xeon(R) 6780E", "xeon 6780e", 330, 144, 144),
        ("Intel(R) Xeon(R) w9-3495X", "xeon w9-3495x", 350, 56, 112),
        ("Intel(R) Core(TM) i7-10700K CPU @ 3.80GHz", "core i7-10700k", 125, 8, 16),
        ("11th Gen Intel(R) Core(TM) i7-1165G7 @ 2.80GHz", "core i7-1165g7", 28, 4, 8),
        ("13th Gen Intel(R) Core(TM) i9-13900K", "core i9-13900k", 125, 24, 32),
        ("Intel(R) Core(TM) Ultra 7 155H", "core ultra 7 155h", 28, 16, 22),
        ("AMD EPYC 8024P 8-Core Processor", "epyc 8024p", 90, 8, 16),
        ("AMD EPYC 7763 64-Core Processor", "epyc 7763", 280, 64, 128),
        ("AMD EPYC 9965 192-Core Processor", "epyc 9965", 500, 192, 384),
        ("AMD Ryzen 5 1600 Six-Core Processor", "ryzen 5 1600", 65, 6, 12),
        ("AMD Ryzen 9 7950X 16-Core Processor            ", "ryzen 9 7950x", 170, 16, 32),
        ("AMD Ryzen 7 PRO 5850U with Radeon Graphics", "ryzen 7 pro 5850u", 15, 8, 16),
        ("AMD Ryzen AI 9 HX 370 w/ Radeon 890M", "ryzen ai 9 hx 370", 28, 12, 24),
        ("AMD Ryzen Threadripper 1950X 16-Core Processor", "ryzen threadripper 1950x", 180, 16, 32),
        ("AMD Ryzen Threadripper PRO 3995WX 64-Cores", "ryzen threadripper pro 3995wx", 280, 64, 128),
    ],
)
def test_a_part_is_found_by_the_name_that_the_system_reports(model_name, name, tdp_w, cores, threads):
    part = lookup(model_name)
    assert part is not None
    assert (part.name, part.tdp_w, part.cores, part.threads) == (name, tdp_w, cores, threads)


@pytest.mark.parametrize(
    "model_name",
    [
        "",
        "AMD EPYC",
        "AMD EPYC-Rome Processor",
        "Intel Xeon Processor (Skylake, IBRS)",
        "Intel(R) Xeon(R) CPU @ 2.20GHz",
        "Intel(R) Xeon(R) Processor @ 2.60GHz",
        "Virtual CPU",
        "QEMU Virtual CPU version 2.5+",
        "Neoverse-N1",
        "Intel(R) Xeon(R) CPU E3-1240 v9 @ 3.40GHz",
        "AMD EPYC 776 64-Core Processor",
        "epyc 7763,280",
        ".*",
    ],
)
def test_a_name_that_is_not_in_the_table_is_not_guessed(model_name):
    assert lookup(model_name) is None


def test_versions_of_one_number_are_different_parts():
    powers = [lookup(f"Intel(R) Xeon(R) CPU E3-1240{v} @ 3.40GHz") for v in ("", " v2", " v3", " v5", " v6")]
    assert [part and part.tdp_w for part in powers] == [80, 69, 80, 80, 72]


@given(st.text())
def test_whatever_a_system_reports_the_answer_is_a_part_or_none(model_name):
    part = lookup(model_name)
    assert part is None or part.tdp_w > 0


@pytest.mark.parametrize(
    "names",
    [
        ["core i5-6500", "core i5-7500", "core i5-8500", "core i5-9500", "core i5-10500", "core i5-11500"],
        ["core i7-12700", "core i7-13700", "core i7-14700", "core ultra 9 285k", "core i3-14100"],
        ["epyc 7601", "epyc 7742", "epyc 7763", "epyc 9654", "epyc 9755", "epyc 4564p"],
        ["xeon gold 6148", "xeon gold 6248", "xeon gold 6348", "xeon gold 6448y", "xeon gold 6548y+", "xeon 6787p"],
        ["ryzen 7 1700", "ryzen 7 2700x", "ryzen 9 3950x", "ryzen 9 5950x", "ryzen 9 7950x", "ryzen 9 9950x"],
    ],
)
def test_every_generation_in_use_is_covered(names):
    assert [name for name in names if lookup(name) is None] == []


def test_every_row_is_found_by_its_own_name():
    assert len(ROWS) >= 300
    assert len({row["name"] for row in ROWS}) == len(ROWS)
    assert [row["name"] for row in ROWS if getattr(lookup(row["name"]), "name", None) != row["name"]] == []


def test_every_row_holds_together():
    for row in ROWS:
        assert 3 <= float(row["tdp_w"]) <= 500, row
        assert row["source"] in SOURCES, row
        assert bool(row["cores"]) == bool(row["threads"]), row
        if row["cores"]:
            # One to two threads a core; a hybrid CPU lies in between.
            assert int(row["cores"]) <= int(row["threads"]) <= 2 * int(row["cores"]), row
