"""What runs ran on, from their documents."""

from __future__ import annotations

from typing import Any

import pytest
from exported import document, known

from joulegram.exporters import boamps, codecarbon, methods
from joulegram.exporters.hardware import device_days, devices, in_words

FACTS = {"cpu": "EPYC 7543", "threads": 64, "memory_gb": 512.0}
TOLD = {"task_family": "a", "data_type": "text", "infra_type": "other"}


def named() -> dict[str, Any]:
    """A run whose document tells its hardware."""
    run = document()
    run["platform"] = {
        "convention": "calendar time reserved over lifetime",
        "devices": [{"id": known.GPU, "name": "NVIDIA A100-SXM4-80GB"}],
        "hosts": [{"id": "nodeA", "name": "server", "hardware": FACTS}],
    }
    return run


def test_devices_are_called_by_their_products() -> None:
    assert in_words([named()]) == ["1 GPU (NVIDIA A100-SXM4-80GB), 1 CPU package (EPYC 7543)"]
    assert in_words([document(), document()]) == ["1 GPU, 1 CPU package"]


def test_a_step_names_the_gpu_where_nothing_else_does() -> None:
    run = document()
    run["steps"] = [{"device": "cuda"}, {"device": None}, {"device": "NVIDIA L4"}]
    assert str(devices(run)[0]) == "1 GPU (NVIDIA L4)"


def test_what_another_contains_is_counted_once() -> None:
    run = document()
    run["channels"][0]["inside"] = "nodeA/node:meter"
    assert in_words([run]) == ["1 CPU package"]


def test_devices_are_held_for_days() -> None:
    runs = [document(duration_s=86_400.0), document(duration_s=43_200.0)]
    assert device_days(runs) == {"GPU": pytest.approx(1.5)}
    runs[0]["channels"] = runs[0]["channels"][1:]
    assert device_days(runs) == {"CPU package": 1.0, "GPU": 0.5}


def test_a_group_with_a_missing_part_has_no_energy() -> None:
    gpu, cpu = devices(document("partial"))
    assert gpu.energy_j() is None
    assert cpu.energy_j() == pytest.approx(document()["channels"][1]["energy_j"]["value"])


def test_formats_name_the_products() -> None:
    row = codecarbon.row(named())
    assert (row["cpu_count"], row["cpu_model"], row["ram_total_size"]) == (64, "EPYC 7543", 512.0)
    assert (row["gpu_count"], row["gpu_model"]) == (1, "NVIDIA A100-SXM4-80GB")
    assert '"componentName": "NVIDIA A100-SXM4-80GB"' in boamps.export([named()], **TOLD)


def test_embodied_emissions_are_told_with_their_convention() -> None:
    run = named()
    run["footprint"]["embodied_g"] = known.figure(12.0)
    text = methods.export([run])
    assert "Embodied emissions of the hardware were 12.0 g CO2e" in text
    assert "calendar time reserved over lifetime" in text
