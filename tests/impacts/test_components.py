from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from platforms import SERVER

from joulegram.impacts.components import Formulae, server
from joulegram.impacts.factors import Factors
from joulegram.records import Hardware

KG = Formulae(Factors(), "embodied_kg")


def test_components_are_those_of_the_published_formulae() -> None:
    assert KG.cpu(100) == pytest.approx(100 * 0.0197 + 9.14)
    assert KG.ram(32) == pytest.approx(32 / 1.8 * 2.2 + 5.22)
    assert KG.ssd(970) == pytest.approx(970 / 48.5 * 2.2 + 6.34)
    assert KG.power_supplies() == pytest.approx(2 * 2.99 * 24.3)
    metals = Formulae(Factors(), "adpe_kg_sb")
    assert metals.cpu(100) == pytest.approx(100 * 5.87e-9 + 2.04e-2)
    assert metals.ram(18) == pytest.approx(10 * 6.30e-5 + 1.69e-3)


def test_memory_is_what_a_life_cycle_assessment_of_the_same_server_found() -> None:
    assert 12 * KG.ram(32) == pytest.approx(533, rel=0.01)


def test_a_server_of_two_sockets_is_within_what_is_published_of_it() -> None:
    found = server(Factors(), SERVER, "embodied_kg")
    assert found is not None
    made, lacking = found
    assert made.value == pytest.approx(1048, rel=0.01)
    assert made.low < 1050 < 3300 < made.high < 3660
    assert lacking == ()


def test_a_host_of_eight_gpus_is_within_what_is_published_of_it() -> None:
    found = server(Factors(), replace(SERVER, memory_gb=2000.0), "embodied_kg")
    assert found is not None
    assert 2500 < found[0].value < 5700


def test_a_virtual_machine_is_a_part_of_a_server_by_its_memory() -> None:
    half = server(Factors(), Hardware("vm", virtual=True, memory_gb=192.0), "embodied_kg")
    whole = server(Factors(), SERVER, "embodied_kg")
    assert half is not None
    assert whole is not None
    assert half[0].value == pytest.approx(whole[0].value / 2)
    assert "0.5 of a server" in half[0].boundary


def test_what_has_no_formula_is_named() -> None:
    found = server(Factors(), SERVER, "primary_energy_mj")
    assert found is not None
    made, (lacking,) = found
    assert made.value == pytest.approx(2 * (694 * 0.265 + 156) + 12 * (32 / 1.8 * 27.3 + 74))
    assert "board" in lacking
    assert "without board" in made.boundary


def test_without_a_memory_size_nothing_is_put_together() -> None:
    assert server(Factors(), replace(SERVER, memory_gb=None), "embodied_kg") is None


@given(st.integers(1, 8), st.floats(0.5, 8000.0), st.booleans())
def test_bounds_hold_the_value_and_memory_only_adds(sockets: int, memory_gb: float, virtual: bool) -> None:
    hardware = Hardware("h", sockets=sockets, memory_gb=memory_gb, virtual=virtual)
    found = server(Factors(), hardware, "embodied_kg")
    more = server(Factors(), replace(hardware, memory_gb=2 * memory_gb), "embodied_kg")
    assert found is not None
    assert more is not None
    assert 0 < found[0].low < found[0].value < found[0].high
    assert more[0].value > found[0].value
