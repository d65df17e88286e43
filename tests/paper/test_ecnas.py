"""The figures of the paper on real measurements: networks, coefficients, and energy that was charged to several."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.paper import ecnas
from benchmarks.paper.attribution import overcharge, reattributed, shared_cpu_j, steady_cpu_j
from benchmarks.paper.cells import network, vertex_channels
from benchmarks.paper.correlations import Known, beside_known, compared, with_own
from benchmarks.paper.ecnas import FIVE, FOUR, SEVEN, Graph, Runs
from benchmarks.paper.figure1 import draw
from benchmarks.paper.flops_check import forward, sample, training
from joulegram.units import NS_PER_S

measured = pytest.mark.skipif(not ecnas.present(ecnas.DATA), reason=f"{ecnas.DATA / ecnas.FOLDER} is not here")

CONV = "conv3x3-bn-relu"


@pytest.fixture(scope="module")
def spaces() -> dict[str, Runs]:
    four, five = (reattributed(ecnas.runs(ecnas.DATA, space)) for space in (FOUR, FIVE))
    return {FOUR: four, f"{FOUR} means": four.means(), FIVE: five, SEVEN: ecnas.runs(ecnas.DATA, SEVEN)}


def on_one_node(*spans: tuple[float, float, float]) -> Runs:
    """Runs by (start s, end s, mean CPU power W), none of which used a GPU."""
    starts_s, ends_s, power_w = np.array(spans).T
    energy_j = power_w * (ends_s - starts_s)
    return Runs(
        {"cpu_energy_j": energy_j, "gpu_energy_j": np.zeros(len(spans)), "avg_intensity": np.full(len(spans), 100.0)},
        nodes=("node",) * len(spans),
        starts_ns=(starts_s * NS_PER_S).astype(np.int64),
        stops_ns=(ends_s * NS_PER_S).astype(np.int64),
    )


# -- networks -------------------------------------------------------------------------------------------------------


def test_the_output_s_channels_are_divided_evenly_and_the_first_vertices_take_the_rest() -> None:
    three_to_the_output = [[0, 1, 1, 1, 0], [0, 0, 0, 0, 1], [0, 0, 0, 0, 1], [0, 0, 0, 0, 1], [0] * 5]
    assert vertex_channels(three_to_the_output, 64, 128) == [64, 43, 43, 42, 128]


def test_a_vertex_is_as_wide_as_the_widest_that_it_feeds() -> None:
    matrix = [[0, 1, 0, 0, 0], [0, 0, 1, 1, 0], [0, 0, 0, 0, 1], [0, 0, 0, 0, 1], [0] * 5]
    assert vertex_channels(matrix, 16, 33) == [16, 17, 17, 16, 33]


def test_a_network_of_one_convolution_a_cell_holds_and_computes_what_it_does_by_hand() -> None:
    """Per cell a projection of n to m channels and a convolution of m to m; each has 2 m more for its normalisation."""
    widths = [
        (128, 128),
        (128, 128),
        (128, 128),
        (128, 256),
        (256, 256),
        (256, 256),
        (256, 512),
        (512, 512),
        (512, 512),
    ]
    places = [32 * 32] * 3 + [16 * 16] * 3 + [8 * 8] * 3
    weights = [n * m + 9 * m * m for n, m in widths]
    params = 27 * 128 + 2 * 128 + sum(weights) + sum(4 * m for _, m in widths) + 512 * 10 + 10
    macs = 27 * 128 * 32 * 32 + sum(w * p for w, p in zip(weights, places, strict=True)) + 512 * 10
    graph = Graph(((0, 1, 0), (0, 0, 1), (0, 0, 0)), ("input", CONV, "output"), params, macs)
    assert forward(graph).exact
    assert training(graph).exact
    assert not forward(Graph(graph.matrix, graph.operations, params, macs + 1)).exact


def test_a_network_of_every_kind_of_vertex_learns() -> None:
    matrix = ((0, 1, 1, 0, 1), (0, 0, 0, 1, 1), (0, 0, 0, 1, 0), (0, 0, 0, 0, 1), (0, 0, 0, 0, 0))
    model = network(Graph(matrix, ("input", "conv1x1-bn-relu", "maxpool3x3", CONV, "output"), 0, 0))
    scores = model(torch.rand(2, 3, 32, 32))
    scores.sum().backward()
    assert scores.shape == (2, 10)
    assert all(values.grad is not None for values in model.parameters())


@measured
def test_networks_hold_the_parameters_and_compute_the_macs_that_their_graphs_say() -> None:
    graphs = list(ecnas.graphs(ecnas.DATA))
    assert len(graphs) == 2_532 + 4_310
    assert [graph for graph in sample(graphs, 20) if not forward(graph).exact] == []
    assert [graph for graph in sample(graphs, 3) if not training(graph).exact] == []


# -- coefficients ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value", "agrees"),
    [
        (".651", 0.6514, True),
        (".651", 0.6516, False),
        (".78", 0.7751, True),
        ("-.10", -0.102, True),
        ("17.2", 17.3, False),
    ],
)
def test_a_known_figure_is_known_to_its_last_decimal(text: str, value: float, agrees: bool) -> None:
    assert Known(text).agrees(value) is agrees


@measured
@pytest.mark.parametrize("space", [f"{FOUR} means", FOUR, FIVE, SEVEN])
def test_coefficients_are_as_known_but_for_rounding(spaces: dict[str, Runs], space: str) -> None:
    comparisons = compared(spaces[space], space)
    assert comparisons
    assert {one.label: one.differing for one in comparisons if one.differing} == {}


@measured
def test_energy_is_what_its_parts_add_up_to_times_the_pue(spaces: dict[str, Runs]) -> None:
    five = spaces[FIVE]
    parts_kwh = ecnas.PUE * (five["gpu_energy_j"] + five["cpu_energy_j"]) / 3.6e6
    assert five["energy_kwh"] == pytest.approx(parts_kwh, rel=5e-4)


@measured
def test_tables_are_80_columns_wide_at_most(spaces: dict[str, Runs]) -> None:
    text = beside_known("4 vertices: 273 runs", compared(spaces[FOUR], FOUR)).text()
    assert max(map(len, text.splitlines())) <= 80


@measured
def test_a_picture_is_written(spaces: dict[str, Runs], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    draw(spaces[FOUR], "Four vertices", "own_energy_kwh", "own_co2_g", tmp_path / "figure.png")
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


# -- energy that was charged to several -----------------------------------------------------------------------------


def test_a_run_alone_on_its_node_used_all_that_it_was_charged() -> None:
    assert shared_cpu_j(on_one_node((0, 10, 50.0), (10, 30, 80.0))).tolist() == pytest.approx([500, 1600])


def test_runs_together_on_a_node_share_its_power_while_they_overlap() -> None:
    """100 W for 30 s: the first has it alone for 10 s, both share 10 s, the second has the last 10 s."""
    runs = on_one_node((0, 20, 100.0), (10, 30, 100.0))
    assert shared_cpu_j(runs).tolist() == pytest.approx([1500, 1500])
    assert reattributed(runs)["own_energy_kwh"].sum() == pytest.approx(1.59 * 3000 / 3.6e6)
    assert overcharge(runs).cpu == pytest.approx(4 / 3)


def test_runs_on_other_nodes_share_nothing() -> None:
    both = on_one_node((0, 20, 100.0), (0, 20, 60.0))
    apart = Runs(both.values, nodes=("one", "other"), starts_ns=both.starts_ns, stops_ns=both.stops_ns)
    assert shared_cpu_j(apart).tolist() == pytest.approx([2000, 1200])


spans = st.tuples(st.integers(0, 100), st.integers(1, 50)).map(lambda span: (span[0], span[0] + span[1], 75.0))


@given(st.lists(spans, min_size=1, max_size=12))
def test_runs_that_all_report_the_node_s_power_together_used_it_for_as_long_as_any_ran(
    found: list[tuple[int, int, float]],
) -> None:
    busy_s = len({second for start, end, _ in found for second in range(start, end)})
    runs = on_one_node(*found)
    assert shared_cpu_j(runs).sum() == pytest.approx(75.0 * busy_s)
    assert steady_cpu_j(runs) == pytest.approx(75.0 * busy_s)
    assert np.all(shared_cpu_j(runs) <= runs["cpu_energy_j"] * (1 + 1e-9))


@measured
@pytest.mark.parametrize(("space", "cpu", "it"), [(FOUR, "3.25", "1.39"), (FIVE, "3.08", "1.36")])
def test_runs_were_charged_three_times_what_the_cpus_used(
    spaces: dict[str, Runs], space: str, cpu: str, it: str
) -> None:
    """Known with each node at its mean power; moment by moment its lonely hours count as the cheaper ones they were."""
    charged = overcharge(spaces[space])
    assert Known(cpu).agrees(charged.cpu_steady)
    assert Known(it).agrees(charged.it_steady)
    assert charged.cpu_steady < charged.cpu < 1.03 * charged.cpu_steady
    assert 0.39 < charged.cpu_part_charged < 0.41
    assert 0.17 < charged.cpu_part < 0.18


@measured
def test_re_attribution_moves_the_ranks_of_every_pair_that_holds_energy(spaces: dict[str, Runs]) -> None:
    pairs = {one.label: with_own(spaces[FOUR], one) for one in compared(spaces[FOUR], FOUR)}
    assert pairs["parameters – MACs"] is None
    assert pairs["energy – own energy"] is None
    own = pairs["MACs – energy"]
    assert own is not None
    assert own.kendall.value == pytest.approx(0.697, abs=5e-4)
