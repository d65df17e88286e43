from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from platforms import HOUR_NS, KWH, SERVER, gpu, host, line, traced

from joulegram.curves.curve import Curve
from joulegram.curves.trace import HostTrace, Trace
from joulegram.impacts.factors import Own
from joulegram.impacts.platform import Impacts, Platform
from joulegram.quantities import Quantity
from joulegram.records import Hardware

FACILITY = Quantity(1.2 * 3.6e6, 3.6e6, 9e6, "measured", "a counter")


def impacts(trace: Trace, own: Own | None = None, zone: str | None = "DK", hours: float = 1.0) -> Impacts:
    return Platform(trace, zone, own).impacts(0, round(hours * HOUR_NS), KWH, FACILITY)


def value(figure: Quantity) -> float:
    assert figure.value is not None, figure
    return figure.value


def test_devices_and_hosts_are_apart_and_sum_to_the_total() -> None:
    found = impacts(traced([gpu(), gpu(name="gpu:B")], [host(reserved=0.25)]))
    parts = {figure.what: figure.embodied_g for figure in found.embodied if figure.part != "building"}
    assert list(parts) == [
        "NVIDIA H100 80GB HBM3 (alpha/gpu:A)",
        "NVIDIA H100 80GB HBM3 (alpha/gpu:B)",
        "server, 64 logical CPUs, 384 GB (alpha)",
    ]
    gpu_g, _, host_g = map(value, parts.values())
    assert gpu_g == pytest.approx(164e3 / 5 / 8766)
    assert host_g == pytest.approx(0.25 * 1048e3 / 5 / 8766, rel=0.01)
    assert found.embodied_g.value == pytest.approx(2 * gpu_g + host_g)
    assert found.embodied_g.high is not None


def test_a_building_without_a_figure_is_not_counted_and_outside_of_the_total() -> None:
    found = impacts(traced([gpu()], [host()]))
    (building,) = [figure for figure in found.embodied if figure.part == "building"]
    assert building.embodied_g.value is None
    assert building.embodied_g.how.startswith("not counted: ")


def test_a_building_with_a_figure_is_in_the_total() -> None:
    without = impacts(traced([gpu()], [host()]))
    found = impacts(traced([gpu()], [host()]), {"host": {"building_kg": 500.0}})
    (building,) = [figure for figure in found.embodied if figure.part == "building"]
    assert value(building.embodied_g) == pytest.approx(500e3 / 5 / 8766)
    assert value(found.embodied_g) == pytest.approx(value(without.embodied_g) + value(building.embodied_g))


def test_an_unknown_device_is_not_counted_by_name_and_leaves_the_total_without_an_upper_bound() -> None:
    found = impacts(traced([gpu("Furnace 3000"), gpu(name="gpu:B")], [host()]))
    unknown = found.embodied[0].embodied_g
    assert unknown.value is None
    assert (
        unknown.how == 'not counted: no embodied_kg is known; in the configuration: impacts."Furnace 3000".embodied_kg'
    )
    assert found.embodied_g.missing == ("Furnace 3000 (alpha/gpu:A)",)
    assert found.embodied_g.high is None
    assert value(found.embodied_g) > 0


def test_a_run_that_recorded_no_hardware_is_not_counted_and_that_is_not_zero() -> None:
    found = impacts(traced([gpu(product="")], [HostTrace("alpha", None, Curve())]))
    assert found.embodied_g.value is found.ewaste_g.value is None
    reasons = [figure.embodied_g.how for figure in found.embodied]
    assert reasons[0] == "not counted: what device it is was not recorded"
    assert reasons[1] == "not counted: what machine it is was not recorded"


def test_nothing_recorded_is_nothing_counted() -> None:
    found = impacts(traced())
    assert found.embodied_g == found.ewaste_g == Quantity.absent("not counted: no device or host was recorded")


def test_a_host_whose_reserved_cores_are_not_known_is_not_counted() -> None:
    found = impacts(traced([], [HostTrace("alpha", SERVER, Curve())]))
    assert found.embodied_g.value is None
    assert "cores was not recorded" in found.embodied_g.how


def test_who_else_has_a_device_may_leave_nothing_of_it() -> None:
    figure = impacts(traced([gpu(share="undivided")])).embodied[0].embodied_g
    assert figure.low == 0
    assert "not told apart" in figure.how


def test_a_modules_own_gpu_is_the_module() -> None:
    module, inner, card = gpu("GH200", name="soc:A"), gpu(name="gpu:A"), gpu(name="gpu:B")
    parts = [figure.what for figure in impacts(traced([module, inner, card])).embodied if figure.part == "device"]
    assert parts == ["GH200 (alpha/soc:A)", "NVIDIA H100 80GB HBM3 (alpha/gpu:B)"]


def test_cpus_and_memory_are_parts_of_the_host() -> None:
    cpu = replace(gpu(), channel=replace(gpu().channel, id="cpu:0", kind="cpu", product="Xeon"))
    assert [figure.part for figure in impacts(traced([cpu], [host()])).embodied] == ["host", "building"]


@pytest.mark.parametrize(
    ("hardware", "kg", "years"),
    [
        (Hardware("alpha", "laptop", memory_gb=16.0), 180, 4),
        (Hardware("alpha", "desktop", memory_gb=64.0), 400, 6),
        (Hardware("alpha", "server"), 1300, 5),
        (Hardware("alpha", "", memory_gb=64.0), 1300, 5),
        (Hardware("alpha", "server", "p5.48xlarge", memory_gb=2000.0, virtual=True), 5700, 5),
    ],
)
def test_hosts_are_told_by_their_model_or_their_kind(hardware: Hardware, kg: float, years: float) -> None:
    assert impacts(traced([], [host(hardware)])).embodied_g.value == pytest.approx(kg * 1e3 / years / 8766)


def test_a_host_of_unknown_kind_may_be_a_laptop() -> None:
    figure = impacts(traced([], [host(Hardware("alpha"))])).embodied_g
    assert figure.low == pytest.approx(175e3 / 6 / 8766)


def test_the_users_own_factors_come_before_all_others() -> None:
    own = {"host": {"embodied_kg": 4500.0, "lifetime_y": 3.0}, "NVIDIA H100 80GB HBM3": {"embodied_kg": 200.0}}
    device, machine, _ = impacts(traced([gpu()], [host()]), own).embodied
    assert value(device.embodied_g) == pytest.approx(200e3 / 5 / 8766)
    assert value(machine.embodied_g) == pytest.approx(4500e3 / 3 / 8766)
    assert "as set" in machine.embodied_g.how


def test_waste_is_shared_as_making_is_and_names_what_has_no_mass() -> None:
    found = impacts(traced([gpu()], [host()])).ewaste_g
    assert value(found) == pytest.approx(3.0e3 / 5 / 8766)
    assert found.missing == ("server, 64 logical CPUs, 384 GB (alpha)",)
    with_mass = impacts(traced([gpu()], [host()]), {"host": {"mass_kg": 30.0}}).ewaste_g
    assert with_mass.missing == ()
    assert value(with_mass) == pytest.approx(33.0e3 / 5 / 8766)


def test_water_on_site_goes_by_it_energy_and_off_site_by_the_buildings() -> None:
    found = impacts(traced([], [host()]))
    assert [(figure.part, figure.basis) for figure in found.water] == [
        ("onsite", "consumption"), ("offsite", "consumption")
    ]  # fmt: skip
    assert found.water[0].water_l.value == pytest.approx(0.36)
    assert found.water[1].water_l.value == pytest.approx(1.2 * 3.19)


def test_water_that_is_withdrawn_says_so() -> None:
    found = impacts(traced([], [host()]), {"site": {"water": "aws eu-north-1"}})
    assert [figure.basis for figure in found.water] == ["withdrawal", "consumption"]


def test_metals_and_primary_energy_are_counted_only_if_wanted() -> None:
    assert impacts(traced([gpu()], [host()])).indicators == ()
    found = Platform(traced([gpu()], [host()]), "US", {"site": {"adpe": True, "primary_energy": True}})
    named = dict(found.impacts(0, HOUR_NS, KWH, FACILITY).indicators)
    assert list(named) == ["adpe_kg_sb", "primary_energy_mj"]
    electricity = 1.2 * 9.86e-8
    assert value(named["adpe_kg_sb"]) > electricity + 8.95e-3 / 5 / 8766
    assert named["primary_energy_mj"].high is None
    assert "NVIDIA H100 80GB HBM3 (alpha/gpu:A)" in named["primary_energy_mj"].missing
    assert "low" in str(found.to_json()["quality"])
    assert all("of low quality" in figure.how for figure in named.values())


def test_metals_of_electricity_of_an_unknown_zone_are_not_counted() -> None:
    found = impacts(traced([gpu()]), {"site": {"adpe": True}}, zone=None)
    assert "electricity" in dict(found.indicators)["adpe_kg_sb"].missing


def test_an_h100s_metals_are_those_of_ninety_megawatt_hours() -> None:
    own: Own = {"site": {"adpe": True}}
    life = impacts(traced([gpu(hours=5 * 8766)], hours=5 * 8766), own, zone="US", hours=5 * 8766)
    metals = value(dict(life.indicators)["adpe_kg_sb"]) - 1.2 * 9.86e-8
    assert metals / 9.86e-8 == pytest.approx(90e3, rel=0.02)


def test_what_was_assumed_is_told() -> None:
    told = Platform(traced([gpu()], [host()]), "DK").to_json()
    (device,), (machine,) = told["devices"], told["hosts"]
    assert device["factors"]["embodied_kg"]["boundary"] == "cradle to gate"
    assert device["factors"]["lifetime_y"]["value"] == 5
    assert (machine["share"], machine["hardware"]["product"]) == ("by reserved cores", "PowerEdge R740")
    assert "calendar time" in told["convention"]
    assert told["water"]["offsite"]["year"] == 2020


@given(
    st.lists(st.integers(0, HOUR_NS), min_size=0, max_size=6),
    st.lists(st.floats(0, 1e5), min_size=4, max_size=4),
    st.lists(st.floats(0, 1), min_size=4, max_size=4),
)
def test_spans_that_tile_a_run_sum_to_it(cuts_ns: list[int], rises_j: list[float], parts: list[float]) -> None:
    times = [round(quarter * HOUR_NS / 4) for quarter in range(5)]
    node, run, reserved = [0.0], [0.0], [0.0]
    for rise, part in zip(rises_j, parts, strict=True):
        node.append(node[-1] + rise)
        run.append(run[-1] + rise * part)
        reserved.append(reserved[-1] + part * 900)
    shared = gpu(share="process", node=Curve.of(times, node), run=Curve.of(times, run))
    machine = HostTrace("alpha", SERVER, Curve.of(times, reserved))
    platform = Platform(traced([shared, gpu(name="gpu:B")], [machine]), "DK", {"host": {"mass_kg": 30.0}})

    def of(start_ns: int, end_ns: int) -> tuple[float, float]:
        figures = platform.impacts(start_ns, end_ns, KWH, FACILITY)
        return value(figures.embodied_g), value(figures.ewaste_g)

    edges = sorted({0, HOUR_NS, *cuts_ns})
    whole, tiles = of(0, HOUR_NS), [of(start, end) for start, end in pairwise(edges)]
    for total, pieces in zip(whole, zip(*tiles, strict=True), strict=True):
        assert sum(pieces) == pytest.approx(total, rel=1e-9)


def test_the_part_of_a_host_is_that_of_its_cores() -> None:
    whole, quarter = (value(impacts(traced([], [host(reserved=part)])).embodied_g) for part in (1.0, 0.25))
    assert quarter == pytest.approx(whole / 4)
    assert value(impacts(traced([], [HostTrace("alpha", SERVER, line(1, 0.0))])).embodied_g) == 0
