"""CodeCarbon's file: its columns, its units."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from exported import HOSTILE, document, figure, named
from hypothesis import given
from hypothesis import strategies as st

from joulegram.exporters import CannotExport
from joulegram.exporters.codecarbon import export

# Fields of `codecarbon.output_methods.emissions_data.EmissionsData` in CodeCarbon 3.3.2, in their order.
_COLUMNS = """
timestamp project_name run_id experiment_id duration emissions emissions_rate cpu_power gpu_power ram_power cpu_energy
gpu_energy ram_energy energy_consumed water_consumed country_name country_iso_code region cloud_provider cloud_region
os python_version codecarbon_version cpu_count cpu_model gpu_count gpu_model longitude latitude ram_total_size
tracking_mode cpu_utilization_percent gpu_utilization_percent ram_utilization_percent ram_used_gb on_cloud pue wue
"""
COLUMNS = _COLUMNS.split()


def rows(*documents: Any) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(export(documents))))


def test_the_columns_are_codecarbons_in_their_order() -> None:
    assert export([document()]).splitlines()[0].split(",") == COLUMNS


@given(
    st.floats(1e-3, 1e15), st.floats(1e-9, 1e15), st.floats(1e-2, 1e9), st.floats(1.0, 3.0), st.floats(1e-3, 1e12)
)  # fmt: skip
def test_kilograms_and_kilowatt_hours_come_back_as_grams_and_joules(
    energy_j: float, carbon_g: float, duration_s: float, pue: float, gpu_j: float
) -> None:
    run = document(energy_j=energy_j, carbon_g=carbon_g, duration_s=duration_s)
    run["price"]["pue"]["value"] = pue
    run["channels"][0]["energy_j"] = figure(gpu_j)
    (row,) = rows(run)
    assert float(row["energy_consumed"]) * 3.6e6 == pytest.approx(energy_j, rel=1e-12)
    assert float(row["emissions"]) * 1000 == pytest.approx(carbon_g, rel=1e-12)
    assert float(row["emissions_rate"]) * float(row["duration"]) * 1000 == pytest.approx(carbon_g, rel=1e-12)
    # PUE is in CodeCarbon's parts too, and power is energy over time.
    assert float(row["gpu_energy"]) * 3.6e6 == pytest.approx(gpu_j * pue, rel=1e-12)
    assert float(row["gpu_power"]) * float(row["duration"]) == pytest.approx(gpu_j * pue, rel=1e-12)


def test_a_gram_is_a_thousandth_of_a_kilogram() -> None:
    (row,) = rows(document(carbon_g=83.524))
    assert float(row["emissions"]) == pytest.approx(0.083524)


def test_what_is_missing_is_an_empty_cell() -> None:
    (row,) = rows(document("empty"))
    empty = (
        "emissions",
        "emissions_rate",
        "energy_consumed",
        "cpu_energy",
        "gpu_energy",
        "gpu_power",
        "water_consumed",
    )
    assert {row[name] for name in empty} == {""}
    assert {row[name] for name in ("longitude", "latitude", "os", "cpu_model", "on_cloud")} == {""}


def test_a_part_that_was_not_read_is_not_in_its_column() -> None:
    (row,) = rows(document("partial"))
    assert row["gpu_energy"] == ""
    assert float(row["cpu_energy"]) > 0


def test_times_and_places_are_those_of_the_run() -> None:
    (row,) = rows(document(duration_s=60.0))
    assert row["timestamp"] == "2026-03-01T13:03:11"
    assert (row["country_name"], row["country_iso_code"], row["region"]) == ("Denmark", "DNK", "DK1")
    (elsewhere,) = rows(document(zone=None))
    assert (elsewhere["country_name"], elsewhere["country_iso_code"]) == ("", "")


def test_litres_on_site_are_water() -> None:
    run = document(energy_j=3.6e6)
    water = [("offsite", "consumption", 9.0), ("onsite", "withdrawal", 8.0), ("onsite", "consumption", 0.5)]
    run["footprint"]["water_l"] = [{"part": part, "basis": basis, **figure(value)} for part, basis, value in water]
    (row,) = rows(run)
    assert (float(row["water_consumed"]), float(row["wue"])) == (0.5, 0.5)


def test_runs_are_rows_and_bases_do_not_mix() -> None:
    assert [row["run_id"] for row in rows(document(run_id="a"), document(run_id="b"))] == ["a", "b"]
    with pytest.raises(CannotExport, match="bases"):
        export([document(run_id="a"), document(run_id="b", basis="direct")])


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_in_their_cell(name: str) -> None:
    (row,) = rows(named(name))
    assert None not in row  # no cell too many
    assert not any(cell.startswith(("=", "+", "-", "@")) for cell in row.values())
    assert float(row["energy_consumed"]) > 0


def test_pandas_reads_it_as_numbers() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.read_csv(io.StringIO(export([document(run_id="a"), document("empty", run_id="b")])))
    assert frame["emissions"].dtype.kind == "f"
    assert frame["emissions"].isna().tolist() == [False, True]
    assert frame["country_iso_code"].tolist() == ["DNK", "DNK"]
