"""What serving cost, in the terminal and on its page."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console
from served_runs import CPU, GPU, WALL, Hour, intensity, served_run

from joulegram.analysis.served import serve_report
from joulegram.report.page import render_served_page, write_served_page
from joulegram.report.served_charts import served_charts
from joulegram.report.served_table import print_served

Json = dict[str, Any]
HOSTILE = "</script><script>window.hacked=1</script>[bold]\x1b[2J"


def day(hours: int = 30, **more: Any) -> Json:
    told = [
        Hour(
            n,
            100 * (n % 24 + 1),
            {"gpu:A": (2000.0 * (n % 24 + 1), 900.0 if route else 40_000.0), "cpu:model": (500.0, 0.0)},
            {"gpu:A": 70_000.0, "cpu:model": 9000.0} if not route else {},
            route=name,
            tokens=0.0 if route else 30_000.0,
            failed=n % 2,
        )
        for n in range(hours)
        for route, name in enumerate(("/v1/chat", "/v1/embed"))
    ]
    points = [intensity(100.0 + 10 * n, n) for n in range(hours)]
    ledger = more.pop("ledger")
    return served_run(ledger, told, *points, channels=(GPU, CPU), untold_j=9e3, **more).document()


def busy(ledger: Path) -> list[Json]:
    return [day(ledger=ledger)]


def hostile(ledger: Path) -> list[Json]:
    hours = [
        Hour(
            n,
            10**5,
            {"gpu:A": (1e9, 1e7), "node:plug": (2e9, 0.0)},
            {"gpu:A": 1e7, "node:plug": 1e7} if not r else {},
            f"{HOSTILE}{r}",
            HOSTILE,
            1e9,
        )
        for n in range(2)
        for r in range(40)
    ]
    document = served_run(ledger, hours, intensity(900.0), channels=(GPU, WALL)).document()
    document["run"] |= {"name": HOSTILE * 3, "hosts": [HOSTILE], "status": "running"}
    return [document]


def silent(ledger: Path) -> list[Json]:
    return [served_run(ledger, [Hour(0, 0, {}, {"gpu:A": 5.0})]).document()]


def untold(ledger: Path) -> list[Json]:
    return [served_run(ledger, []).document()]


def uncounted(ledger: Path) -> list[Json]:
    return [served_run(ledger, [Hour(0, 3), Hour(1, 3)], channels=()).document()]


def side_by_side(ledger: Path) -> list[Json]:
    more = [served_run(ledger, [], run="run-3", host="gamma").document()]
    return [day(ledger=ledger), day(ledger=ledger, run="run-2", host="beta" * 20), *more]


WORLDS = [busy, hostile, silent, untold, uncounted, side_by_side]


def lines(found: Json, width: int = 80) -> list[str]:
    console = Console(width=width, file=io.StringIO(), color_system=None)
    print_served(found, console)
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def words(found: Json) -> str:
    return re.sub(r"\s+", " ", " ".join(lines(found)))


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("width", [80, 200])
def test_no_line_is_wider_than_80_columns_and_nothing_steers_the_terminal(
    world: Any, width: int, tmp_path: Path
) -> None:
    shown = lines(serve_report(world(tmp_path)), width)
    assert max(cell_len(line) for line in shown) <= 80
    assert not any("\x1b" in line or line.endswith("…") for line in shown)


@pytest.mark.parametrize("world", WORLDS)
def test_the_page_says_the_sentences_and_holds_the_data_whatever_it_is_called(world: Any, tmp_path: Path) -> None:
    found = serve_report(world(tmp_path))
    page = render_served_page(found)
    assert page.count("<script") == 4
    assert page.count("window.hacked") == page.count("window.hacked=1\\u003c/script>") + page.count(
        "window.hacked=1&lt;/script&gt;"
    )
    data = re.search(r'id="joulegram-data">(.*?)</script>', page, re.DOTALL)
    assert data is not None
    assert json.loads(data[1]) == json.loads(json.dumps(found))
    assert page.count("<li>") == len(found["sentences"])


def test_routes_hours_and_channels_are_in_the_table_with_their_total(tmp_path: Path) -> None:
    shown = lines(serve_report(busy(tmp_path)))
    rows = {line[:13].strip(): line[13:].split() for line in shown}
    assert rows["/v1/chat"][:2] == ["32,100", "15"]
    assert rows["all requests"][:2] == ["64,200", "30"]
    assert rows["all energy"][2:6] == ["1.36", "kWh", "100", "%"]
    assert any(line.startswith("⋮ 14 more") for line in shown)
    assert sum(re.match(r"\d{4}-\d\d-\d\d \d\d:00 ", line) is not None for line in shown) == 16
    assert re.search(r"alpha/cpu:model\s+8.33 Wh\s+unknown\s+75.0 Wh", "\n".join(shown))
    assert words(serve_report(busy(tmp_path / "2"))).count("Grams are each hour’s joules at that hour’s intensity") == 1


def test_each_hour_of_the_page_has_its_figures_and_the_pictures_their_hours(tmp_path: Path) -> None:
    found = serve_report(busy(tmp_path))
    page = render_served_page(found)
    served = found["runs"][0]["served"]
    for hour in served["hours"]:
        assert f'data-field="whole_j_per_request" data-value="{hour["whole_j_per_request"]["value"]!r}"' in page
    requests, energy, by_request = served_charts(found["runs"][0])
    assert requests.data[0]["y"] == [hour["requests"] for hour in served["hours"]]
    worth = 3600.0  # Wh
    stacked = [sum(bars["y"][n] for bars in energy.data) * worth for n in range(30)]
    assert stacked == pytest.approx([hour["whole_j"]["value"] for hour in served["hours"]])
    assert len(by_request.data) == 2
    assert f'id="{by_request.id}"' in page


def test_a_single_hour_is_not_drawn_and_that_is_said(tmp_path: Path) -> None:
    found = serve_report([served_run(tmp_path, [Hour(0, 3, {"gpu:A": (1.0, 1.0)})]).document()])
    assert served_charts(found["runs"][0]) == []
    assert "There is a single hour of the clock: nothing to draw." in render_served_page(found)


def test_hosts_stand_in_one_table_with_the_sum_below(tmp_path: Path) -> None:
    found = serve_report(side_by_side(tmp_path))
    shown = words(found)
    assert "all together 128,400" in shown
    assert "gamma – none told – – – run-3" in shown
    assert "All together" in render_served_page(found)


def test_a_page_is_written_where_it_is_asked_for(tmp_path: Path) -> None:
    written = write_served_page(serve_report(busy(tmp_path / "ledger")), tmp_path / "pages" / "served.html")
    assert written.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_a_browser_draws_the_page_without_a_word_of_complaint(tmp_path: Path, browser: Any) -> None:
    page = write_served_page(serve_report(busy(tmp_path / "ledger")), tmp_path / "served.html")
    browser.get(page.as_uri())
    assert browser.execute_script("return document.querySelectorAll('.chart .main-svg').length") >= 3
    assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []
