"""A comparison in the terminal and on its page."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from compared import compared, run
from rich.cells import cell_len
from rich.console import Console

from joulegram.report.comparison import show_count
from joulegram.report.comparison_table import print_comparison
from joulegram.report.matrix import matrix
from joulegram.report.page import render_comparison_page, write_comparison_page

Json = dict[str, Any]
HOSTILE = "</script><script>window.hacked=1</script>[bold]\x1b[2J"


def found() -> Json:
    """Three runs; B has fewer FLOPs than A and takes more energy."""
    return compared(
        run("resnet", 100, 50, parameters=2_000_000, flops=2e15, metrics={"acc": 0.9}),
        run("slim", 130, 50, parameters=900_000, flops=1e15, metrics={"acc": 0.91}),
        run("wide", 400, 70, parameters=9_000_000, flops=9e15, metrics={"acc": 0.92}),
    )


def many() -> Json:
    return compared(*(run(f"{HOSTILE * 3}{i}", 100 + i, 50, parameters=60 - i) for i in range(60)))


def epochs() -> Json:
    return compared(run("a", 100, epochs=30), run("b", 300, epochs=30), by="epoch")


def lines(comparison: Json, width: int = 80) -> list[str]:
    console = Console(width=width, file=io.StringIO(), color_system=None)
    print_comparison(comparison, console)
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


@pytest.mark.parametrize("world", [found, many, epochs])
@pytest.mark.parametrize("width", [80, 200])
def test_no_line_is_wider_than_80_columns(world: Any, width: int) -> None:
    assert max(cell_len(line) for line in lines(world(), width)) <= 80


def test_the_table_ranks_every_run_and_says_what_follows() -> None:
    shown = lines(found())
    (figures,) = [i for i, line in enumerate(shown) if line.startswith("B ") and "PFLOP" in line]
    assert shown[figures].split()[:4] == ["B", "900", "k", "1.00"]
    assert shown[figures + 1].split() == ["1.", "1.", "2.", "2.", "2.", "2."]
    text = re.sub(r"\s+", " ", " ".join(shown))
    assert "B needs 50 % fewer FLOPs than A and 30 % more energy" in text
    assert "Not beaten in acc (higher is better, guessed from its name)" in text
    assert "Equal intensity: 200 gCO₂e/kWh" in text
    assert "no repeats: 5 % is assumed" in text


def test_long_comparisons_are_elided_in_the_terminal_and_whole_in_the_data() -> None:
    shown = lines(many())
    assert any("30 more" in line for line in shown)
    assert len(json.loads(_embedded(render_comparison_page(many())))["points"]) == 60


def _embedded(page: str) -> str:
    found = re.search(r'id="joulegram-data">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    return found[1]


def test_the_page_holds_the_comparison() -> None:
    comparison = found()
    assert json.loads(_embedded(render_comparison_page(comparison))) == json.loads(json.dumps(comparison))


def test_the_picture_joins_flipped_pairs_and_no_others() -> None:
    (chart,) = matrix(found())
    joined = {}
    for line in chart.data[::2]:
        joined[line["xaxis"]] = list(zip(line["x"], line["y"], strict=True))
    # FLOPs against time is the third panel: A and B, then a break.
    assert joined["x3"] == [(2e15, 100), (1e15, 130), (None, None)]
    assert joined["x1"] == []


def test_a_comparison_without_two_measures_has_no_picture() -> None:
    same = compared(run("a"), run("b"))
    assert matrix(same) == []
    assert "chart-matrix" not in re.sub(r"<script.*?</script>", "", render_comparison_page(same), flags=re.DOTALL)


@pytest.mark.parametrize(
    ("count", "shown"), [(0, "0"), (999, "999"), (1000, "1 k"), (23_512_000, "23.5 M"), (999_900, "1 M"), (7e9, "7 G")]
)
def test_a_count_is_shown_as_a_person_reads_it(count: float, shown: str) -> None:
    assert show_count(count) == shown


def test_the_browser_draws_every_panel(browser: Any, tmp_path: Path) -> None:
    browser.get_log("browser")
    browser.get(write_comparison_page(found(), tmp_path / "page.html").as_uri())
    assert browser.execute_script("return document.querySelectorAll('#chart-matrix .subplot').length") == 15
    dots = "return document.querySelectorAll('#chart-matrix .scatterlayer .point').length"
    assert browser.execute_script(dots) == 15 * 3
    assert browser.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
    box = "document.querySelector('#chart-matrix .main-svg').getBoundingClientRect()"
    figure = "document.querySelector('#chart-matrix').closest('figure').getBoundingClientRect()"
    assert browser.execute_script(f"return {box}.bottom <= {figure}.bottom && {box}.right <= {figure}.right")
    assert browser.get_log("browser") == []


def test_hostile_names_steer_neither_the_page_nor_the_terminal(browser: Any, tmp_path: Path) -> None:
    browser.get(write_comparison_page(many(), tmp_path / "page.html").as_uri())
    assert browser.execute_script("return window.hacked") is None
    assert "\x1b" not in "".join(lines(many()))
