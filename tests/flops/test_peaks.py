from __future__ import annotations

import csv
from itertools import combinations

import pytest

from joulegram.config import PEAK_TYPES
from joulegram.flops.peaks import TABLE, peak


def rate(device: str, dtype: str) -> float | None:
    found = peak(device, dtype, {})
    return None if found is None else found.flop_per_s


@pytest.mark.parametrize(
    ("device", "dtype", "flop_per_s"),
    [
        ("Tesla V100-SXM2-16GB", "float16", 125e12),
        ("Tesla V100-PCIE-32GB", "float32", 14e12),
        ("Tesla T4", "float16", 65e12),
        ("Quadro RTX 6000", "float16", 130.5e12),
        ("NVIDIA RTX 6000 Ada Generation", "bfloat16", 364.2e12),
        ("NVIDIA RTX A6000", "bfloat16", 154.8e12),
        ("NVIDIA GeForce RTX 2080 Ti", "float16", 53.8e12),
        ("NVIDIA GeForce RTX 3090", "bfloat16", 71e12),
        ("NVIDIA A10", "bfloat16", 125e12),
        ("NVIDIA A10G", "bfloat16", 70e12),
        ("NVIDIA A40", "bfloat16", 149.7e12),
        ("A100-SXM4-40GB", "bfloat16", 312e12),
        ("NVIDIA A100-SXM4-80GB", "bfloat16", 312e12),
        ("NVIDIA A100 80GB PCIe", "tf32", 156e12),
        ("NVIDIA A100-PCIE-40GB", "float64", 19.5e12),
        ("NVIDIA H100 80GB HBM3", "bfloat16", 989.4e12),
        ("NVIDIA H100 PCIe", "bfloat16", 756e12),
        ("NVIDIA GH200 480GB", "bfloat16", 990e12),
        ("NVIDIA B200", "bfloat16", 2250e12),
        ("NVIDIA GeForce RTX 5090", "bfloat16", 209.5e12),
        ("AMD Instinct MI300X", "bfloat16", 1307.4e12),
        ("TPU v5 lite", "bfloat16", 197e12),
    ],
)
def test_a_device_is_known_by_the_name_that_its_driver_reports(device: str, dtype: str, flop_per_s: float) -> None:
    assert rate(device, dtype) == pytest.approx(flop_per_s)


def test_an_h200_is_known_by_its_real_name_and_computes_as_an_h100_does() -> None:
    assert rate("NVIDIA H200", "bfloat16") == pytest.approx(rate("NVIDIA H100 80GB HBM3", "bfloat16"), rel=1e-3)


def test_an_nvl_card_counts_once_and_dense() -> None:
    assert rate("NVIDIA H100 NVL", "bfloat16") == rate("NVIDIA H200 NVL", "bfloat16") == pytest.approx(835.5e12)


def test_geforce_cards_multiply_16_bits_at_the_tensor_rate_that_sums_in_float32() -> None:
    plain, tensor = rate("NVIDIA GeForce RTX 4090", "float32"), rate("NVIDIA GeForce RTX 4090", "bfloat16")
    assert (plain, tensor) == (pytest.approx(82.6e12), pytest.approx(165.2e12))


def test_devices_whose_names_begin_alike_are_not_mixed_up() -> None:
    assert [rate(f"NVIDIA {name}", "bfloat16") for name in ("L4", "L40", "L40S")] == [
        pytest.approx(121e12), pytest.approx(181.05e12), pytest.approx(362.05e12)
    ]  # fmt: skip


@pytest.mark.parametrize(
    "device",
    [
        "NVIDIA GeForce RTX 4090 Laptop GPU",
        "NVIDIA GeForce RTX 4090 D",
        "NVIDIA A100-SXM4-40GB MIG 1g.5gb",
        "NVIDIA H100",
        "NVIDIA L400",
        "cpu",
        "",
    ],
)
def test_a_device_that_is_not_in_the_table_has_no_peak(device: str) -> None:
    assert peak(device, "bfloat16", {}) is None


def test_a_type_that_a_device_has_no_rate_for_has_no_peak() -> None:
    assert rate("Tesla V100-SXM2-16GB", "bfloat16") is None
    assert rate("NVIDIA H200", "int64") is None


def test_float32_is_the_plain_rate_and_tf32_its_own_where_there_is_one() -> None:
    assert rate("NVIDIA A100-SXM4-80GB", "float32") == pytest.approx(19.5e12)
    assert rate("NVIDIA A100-SXM4-80GB", "tf32") == pytest.approx(156e12)
    assert rate("Tesla T4", "tf32") == rate("Tesla T4", "float32")


def test_every_layout_of_float8_has_one_rate() -> None:
    assert rate("NVIDIA H200", "float8_e4m3fn") == rate("NVIDIA H200", "float8_e5m2") == pytest.approx(1979e12)


def test_the_users_own_rate_comes_before_the_tables_and_names_any_device() -> None:
    own = {"NVIDIA H200": {"bfloat16": 7.9e14}, "cpu": {"float32": 1e12}}
    found = peak("nvidia h200", "bfloat16", own)
    assert found is not None
    assert (found.flop_per_s, found.source) == (7.9e14, "as set")
    cpu, other = peak("cpu", "tf32", own), peak("NVIDIA H200", "float16", own)
    assert cpu is not None
    assert other is not None
    assert (cpu.flop_per_s, other.flop_per_s) == (1e12, pytest.approx(989.5e12))


def test_every_row_has_a_source_names_of_its_own_and_rates_that_fall_with_precision() -> None:
    with TABLE.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = [name for row in rows for name in row["names"].split("|")]
    assert len(names) == len(set(names))
    for row in rows:
        assert row["source"]
        rates = {kind: float(row[kind]) for kind in PEAK_TYPES if row[kind]}
        assert rates, row
        order = [rates[kind] for kind in ("float64", "float32", "tf32", "bfloat16", "float8", "int8") if kind in rates]
        assert all(slow <= fast for slow, fast in combinations(order, 2)), row
        if {"float16", "bfloat16"} <= rates.keys():
            assert rates["float16"] == rates["bfloat16"]
