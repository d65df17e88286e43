from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console, RenderableType

from joulegram.quantities import Quantity
from joulegram.report.table import print_run, print_runs, summary_table
from joulegram.units import show_energy, show_flops, show_mass

Json = dict[str, Any]


@pytest.fixture
def shown() -> Callable[..., list[str]]:
    """The lines that a view prints on a terminal of 80 columns."""

    def show(view: Callable[..., RenderableType | None], *arguments: Any, width: int = 80) -> list[str]:
        console = Console(width=width, file=io.StringIO(), color_system=None)
        if view is summary_table:
            console.print(view(*arguments))
        else:
            view(*arguments, console)
        assert isinstance(console.file, io.StringIO)
        return [line.rstrip() for line in console.file.getvalue().splitlines()]

    return show


Shown = Callable[..., list[str]]


def _row(lines: list[str], first: str) -> str:
    return next(line for line in lines if line.split()[:1] == [first])


@pytest.mark.parametrize("view", [print_run, summary_table, lambda document, console: print_runs([document], console)])
@pytest.mark.parametrize("width", [80, 200])
def test_no_line_is_wider_than_80_columns(shown: Shown, document: Json, view: Any, width: int) -> None:
    assert max(cell_len(line) for line in shown(view, document, width=width)) <= 80


def test_totals_come_with_bounds_and_method(shown: Shown, document_of: Callable[[str], Json]) -> None:
    document = document_of("trained")
    energy = document["footprint"]["energy_j"]
    row = _row(shown(print_run, document), "Energy")
    assert show_energy(energy["value"]) in row
    assert show_energy(energy["high"]) in row
    assert row.endswith("modelled")


def split_over_two_bases(document: Json) -> Json:
    """Half of its time is known on the direct basis alone, which its total is on."""
    apart = Quantity(2.5, 1.0, 4.0, "estimated", "the yearly mean").to_json()
    document["price"] |= {
        "basis": "direct",
        "hours": {"settled_s": 13_200, "provisional_s": 0, "yearly_s": 0, "unknown_s": 600, "sources": ["NESO"]},
    }
    document["footprint"]["carbon"] = [
        {"signal": "average", "basis": "direct", "accounting": "location", **document["footprint"]["carbon_g"]},
        {"signal": "average", "basis": "lifecycle", "accounting": "location", **apart},
    ]
    return document


def test_it_tells_which_hours_are_settled_and_carbon_on_two_bases_apart(
    shown: Shown, document_of: Callable[[str], Json]
) -> None:
    document = split_over_two_bases(document_of("trained"))
    lines = shown(print_run, document)
    assert max(cell_len(line) for line in lines) <= 80
    total, apart = lines.index(_row(lines, "Carbon")), lines.index(_row(lines, "CO₂e,"))
    assert apart == total + 1
    assert show_mass(document["footprint"]["carbon_g"]["value"]) in lines[total]
    assert lines[apart].split()[1:5] == ["lifecycle", "basis", "2.50", "g"]
    assert "Grid intensity: NESO, direct basis: 3 h 40 min settled" in "\n".join(lines)


def test_every_epoch_and_phase_is_one_whole_line(shown: Shown, document_of: Callable[[str], Json]) -> None:
    document = document_of("trained")
    document["footprint"]["phases"][0]["flops"] = Quantity(2e9, 2e9, 2e9, "modelled", "").to_json()
    lines = shown(print_run, document)
    for span in document["spans"]:
        row = _row(lines, str(span["index"]))
        assert show_energy(span["footprint"]["energy_j"]["value"]) in row
        assert show_mass(span["footprint"]["carbon_g"]["high"]) in row
    for phase in document["footprint"]["phases"]:
        row = _row(lines, phase["name"])
        assert show_energy(phase["energy_j"]["value"]) in row
        flops = (phase.get("flops") or {}).get("value")
        assert (show_flops(flops) if flops else "–") in row
    assert sum(line.startswith("energy modelled; CO₂e ") for line in lines) == 2  # under each of the tables
    assert "…" not in "".join(lines)


def test_what_the_platform_took_stands_apart_from_the_operation(
    shown: Shown, document_of: Callable[[str], Json]
) -> None:
    document = document_of("trained")
    lines = shown(print_run, document)
    start = next(number for number, line in enumerate(lines) if line.startswith("platform"))
    section = " ".join(" ".join(lines[start : lines.index("", start)]).split())
    for told in ("20.4 g", "2.75 g", "17.6 g", "not counted: no figure is known", "on site, withdrawal", "off site,"):
        assert told in section
    assert "None of this is in the carbon above" in section
    assert "without server (nodeA)" in section
    document["footprint"]["adpe_kg_sb"] = Quantity(2e-6, 1e-6, 3e-6, "estimated").to_json()
    assert _row(shown(print_run, document), "Metals").split()[3:5] == ["2.00", "mg"]


def test_a_document_without_a_platform_shows_none(shown: Shown, document_of: Callable[[str], Json]) -> None:
    document = document_of("trained")
    del document["footprint"]["embodied_g"], document["platform"]
    assert not any(line.startswith("platform") for line in shown(print_run, document))


def test_of_many_epochs_the_first_and_last_are_shown(shown: Shown, document_of: Callable[[str], Json]) -> None:
    lines = shown(print_run, document_of("long"))
    shown_epochs = [line.split()[0] for line in lines if line[:1].isdigit()]
    assert shown_epochs == [*map(str, range(5)), *map(str, range(195, 200))]
    assert any("190 more" in line for line in lines)


def test_what_is_missing_is_said_with_its_reason_and_never_as_zero(
    shown: Shown, document_of: Callable[[str], Json]
) -> None:
    text = " ".join(" ".join(shown(print_run, document_of("partial"))).split())
    assert "Carbon (CO₂e) missing no grid intensity on this basis missing" in text
    assert "Energy 26.4 Wh at least 20.2 Wh modelled" in text
    assert "ERROR_NOT_SUPPORTED" in text
    assert "lost, provisional" in text
    assert "unknown zone" in text
    assert " 0 g" not in text


def test_a_run_without_anything_read_says_so(shown: Shown, document_of: Callable[[str], Json]) -> None:
    text = " ".join(shown(print_run, document_of("empty")))
    assert "No channel was recorded" in text
    assert "0 J" not in text


def test_markup_and_escape_sequences_in_names_are_shown_as_text(
    shown: Shown, document_of: Callable[[str], Json]
) -> None:
    text = "\n".join(shown(print_run, document_of("hostile")))
    assert "[bold red]" in text
    assert "\x1b" not in text


def test_runs_without_epochs_show_their_outer_spans(shown: Shown, document_of: Callable[[str], Json]) -> None:
    document = document_of("trained")
    for index, span in enumerate(document["spans"]):
        span |= {"kind": "request", "name": "answer", "parent": "s0" if index else None}
    lines = shown(print_run, document)
    assert any(line.startswith("span") for line in lines)
    assert sum(line.startswith("answer ") for line in lines) == 1


def test_the_summary_has_a_row_per_epoch_and_one_for_the_run(shown: Shown, document_of: Callable[[str], Json]) -> None:
    document = document_of("trained")
    lines = shown(summary_table, document)
    assert [line.split()[0] for line in lines[2:-1]] == ["0", "1", "2", "3", "run"]
    assert show_energy(document["footprint"]["energy_j"]["value"]) in lines[-2]
    assert lines[-1] == "energy modelled; CO₂e estimated"


def test_the_listing_has_two_lines_per_run_and_ids_that_tell_them_apart(
    shown: Shown, document_of: Callable[[str], Json]
) -> None:
    entries = []
    for last in "ABC":
        document = document_of("trained")
        document["run"]["id"] = f"0123456789{last}xyz"
        entries.append({"run": document["run"], "footprint": document["footprint"]})
    lines = shown(print_runs, entries)
    assert [line.split()[0] for line in lines[2::2]] == ["0123456789A", "0123456789B", "0123456789C"]
    assert len(lines) == 2 + 2 * 3
    assert "resnet-digits" in lines[2]
    assert lines[3].split() == ["resnets", "finished", "12", "min", "08", "s", "modelled", "estimated"]


def test_an_empty_ledger_is_one_line(shown: Shown) -> None:
    assert shown(print_runs, []) == ["No runs recorded yet."]
