"""A what-if in the terminal and on its page."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console
from whatifs import FIRST_S, KnownRun, at, points, year_of_hours

from joulegram.analysis.whatif import what_if
from joulegram.curves.series import HOUR_S
from joulegram.report.page import render_what_if_page, write_what_if_page
from joulegram.report.whatif_charts import what_if_charts
from joulegram.report.whatif_table import print_what_if

Json = dict[str, Any]
HOSTILE = "</script><script>window.hacked=1</script>[bold]\x1b[2J"
ZONES = ("DK-DK1", "FR", "US-CAL-CISO", "PL")


def found(*intensity: str, **more: Any) -> Json:
    """A run of two hours in four zones."""
    more.setdefault("zones", ZONES)
    run = more.pop("run", KnownRun(started_s=FIRST_S + 500 * HOUR_S))
    levels = dict(zip(ZONES, (150.0, 50.0, 300.0, 900.0), strict=True))
    return what_if(
        run,
        intensity=intensity or ("realtime", "monthly", "annual"),
        points_of=lambda zone, *_: points(year_of_hours(len(zone), levels[zone]), f"feed of {zone}", "direct"),
        now_s=lambda: FIRST_S,
        **more,
    )


def everything() -> Json:
    return found(starts_s=[at("2021-06-24T10:00"), at("2035-01-01")])


def yearly() -> Json:
    return found("annual")


def heavy() -> Json:
    return found(run=KnownRun(hours_j=(1e12,) * 30, name=HOSTILE * 5, missing=(HOSTILE,), status="running"))


def feather() -> Json:
    return found(run=KnownRun(hours_j=(0.01,), carbon_g=None))


def lines(asked: Json, width: int = 80) -> list[str]:
    console = Console(width=width, file=io.StringIO(), color_system=None)
    print_what_if(asked, console)
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def words(asked: Json) -> str:
    return re.sub(r"\s+", " ", " ".join(lines(asked)))


@pytest.mark.parametrize("world", [everything, yearly, heavy, feather])
@pytest.mark.parametrize("width", [80, 200])
def test_no_line_is_wider_than_80_columns_and_none_is_cut(world: Any, width: int) -> None:
    shown = lines(world(), width)
    assert max(cell_len(line) for line in shown) <= 80
    assert "…" not in "".join(line for line in shown if not line.startswith(("•", "net", " ")) and "hacked" not in line)


def test_the_table_shows_what_the_result_holds() -> None:
    asked = found("realtime")
    row = asked["rows"][1]
    shown = lines(asked)
    (figures,) = [line.split() for line in shown if re.match(r"FR +\d", line)]
    least, median, most = (float(figures[place]) for place in (1, 5, 9))
    for number, field in (least, "min_g"), (median, "median_g"), (most, "max_g"):
        assert number == pytest.approx(row["by_start"][field], rel=0.01)
    (below,) = [shown[i + 1] for i, line in enumerate(shown) if re.match(r"FR +\d", line)]
    assert below.startswith("realtime · direct")
    assert f"> {row['own']['percentile']:.0f} %" in below


def test_a_yearly_mean_alone_has_no_columns_of_start_hours() -> None:
    said = words(yearly())
    assert "median" not in said
    assert "best start" not in said
    assert "~: the range of single hours around a yearly mean" in said


def test_a_start_that_is_not_known_says_so() -> None:
    assert "2035-01-01 00:00 FR realtime not known" in words(everything())


def test_the_sources_and_the_gaps_are_named() -> None:
    said = words(found("realtime"))
    assert "FR realtime: feed of FR; 8,760 start hours of 2021." in said


def test_monthly_means_have_no_best_start() -> None:
    assert "FR monthly 20" not in words(everything())


def _embedded(page: str) -> Json:
    match = re.search(r'id="joulegram-data">(.*?)</script>', page, re.DOTALL)
    assert match is not None
    return dict(json.loads(match[1]))


def test_the_page_holds_the_result() -> None:
    asked = everything()
    assert _embedded(render_what_if_page(asked)) == json.loads(json.dumps(asked))


def test_the_pictures_draw_what_the_result_holds() -> None:
    asked = everything()
    zones, year = what_if_charts(asked)
    boxes, extremes, means, own = zones.data
    timed = [row for row in asked["rows"] if row["by_start"]]
    assert boxes["median"] == pytest.approx([row["by_start"]["median_g"] / 1e3 for row in timed])
    assert boxes["lowerfence"] == pytest.approx([row["by_start"]["p5_g"] / 1e3 for row in timed])
    assert max(extremes["y"]) == pytest.approx(max(row["by_start"]["max_g"] for row in timed) / 1e3)
    assert means["y"] == pytest.approx([row["at_mean_g"] / 1e3 for row in asked["rows"]])
    assert len(own["x"]) == len(timed)
    hours, rolling, average, mark = year.data
    assert len(hours["y"]) == len(rolling["y"]) == 8760
    assert average["y"] == pytest.approx([asked["over_year"]["at_mean_g"]] * 2)
    assert mark["x"] == [(FIRST_S + 500 * HOUR_S) * 1e3]
    assert hours["y"][500] == pytest.approx(mark["y"][0], rel=1e-4)


def test_a_run_of_another_year_is_not_marked_in_this_one() -> None:
    _, year = what_if_charts(found("realtime", run=KnownRun(started_s=at("2025-01-01"))))
    assert [trace["name"] for trace in year.data] == ["by start hour", "at the mean of 30 days", "at the average"]


@pytest.mark.parametrize("world", [everything, yearly, heavy, feather])
def test_the_browser_draws_it_without_complaint(world: Any, browser: Any, tmp_path: Path) -> None:
    browser.get_log("browser")
    asked = world()
    browser.get(write_what_if_page(asked, tmp_path / "page.html").as_uri())
    is_timed = asked["over_year"] is not None
    charts = browser.execute_script("return document.querySelectorAll('.chart .main-svg').length")
    assert charts > 0
    boxes = browser.execute_script("return document.querySelectorAll('#chart-zones path.box').length")
    assert boxes == (sum(row["by_start"] is not None for row in asked["rows"]) if is_timed else 0)
    assert browser.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
    assert browser.execute_script("return window.hacked") is None
    assert browser.get_log("browser") == []
    assert "\x1b" not in "".join(lines(asked))
