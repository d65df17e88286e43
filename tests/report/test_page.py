from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from joulegram.extras import MissingExtra
from joulegram.report.charts import charts
from joulegram.report.page import render_page, write_page
from joulegram.report.words import TOTALS

Json = dict[str, Any]
VOID = {"meta", "br", "img", "link", "input"}


class _Reader(HTMLParser):
    """Elements with their attributes and own text; complains where they are not properly nested."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None], list[str]]] = []
        self._open: list[tuple[str, list[str]]] = []
        self.feed(page)
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs), []))
        if tag not in VOID:
            self._open.append((tag, self.elements[-1][2]))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        if self._open:
            self._open[-1][1].append(data)

    def text_of(self, **wanted: str) -> str:
        return next("".join(text) for _, has, text in self.elements if wanted.items() <= has.items())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes, _ in self.elements if name == tag]


def _totals(page: _Reader) -> dict[str, tuple[str, str]]:
    """Field → (exact number, text) of the cards."""
    return {
        str(has["data-field"]): (str(has["data-value"]), "".join(text))
        for tag, has, text in page.elements
        if tag == "p" and "data-field" in has
    }


def test_the_page_holds_the_document(document: Json) -> None:
    page = _Reader(render_page(document))
    assert json.loads(page.text_of(id="joulegram-data")) == json.loads(json.dumps(document))


def test_totals_show_the_documents_figures_exactly_and_readably(document: Json) -> None:
    shown = _totals(_Reader(render_page(document)))
    assert set(shown) == {total.field for total in TOTALS}
    for total in TOTALS:
        value = document["footprint"][total.field]["value"]
        number, text = shown[total.field]
        assert (json.loads(number) if number else None) == value
        assert text == ("missing" if value is None else total.show(value))


def test_nothing_on_the_page_asks_the_network(document: Json) -> None:
    reader = _Reader(render_page(document))
    for tag in ("link", "img", "iframe", "object"):
        assert reader.all(tag) == []
    assert not any("src" in attributes for attributes in reader.all("script"))


def test_the_charting_library_is_there_once(document_of: Callable[[str], Json]) -> None:
    page = render_page(document_of("trained"))
    assert len(re.findall(r"\* plotly\.js v", page)) == 1


def test_user_text_stays_text(document_of: Callable[[str], Json]) -> None:
    document = document_of("hostile")
    page = render_page(document)
    assert page.count("<script>") == render_page(document_of("trained")).count("<script>")
    assert "<img src=x" not in page
    assert "\x1b" not in page
    assert "$project ${x}" in page


def test_a_missing_figure_is_called_missing_with_its_reason(document_of: Callable[[str], Json]) -> None:
    page = render_page(document_of("partial"))
    assert "at least 20.2 Wh" in page
    assert "no grid intensity on this basis" in page
    assert "the counter failed with ERROR_NOT_SUPPORTED; not in energy, node energy, facility energy" in page
    assert [chart.id for chart in charts(document_of("partial"))] == ["chart-energy", "chart-power"]


def test_every_figure_says_how_it_was_made(document_of: Callable[[str], Json]) -> None:
    document = document_of("trained")
    page = render_page(document)
    for words in (
        document["footprint"]["energy_j"]["how"],
        document["price"]["pue"]["source"],
        document["price"]["intensity"][0]["source"],
        "average, lifecycle, location",
        "The true figure lies between the two bounds",
        "0.84 s of CPU time",
    ):
        assert words in page


def test_the_page_has_a_section_of_the_platform_with_how_each_figure_was_made(
    document_of: Callable[[str], Json],
) -> None:
    document = document_of("trained")
    page = render_page(document)
    platform = page[page.index('id="platform"') :].partition("</section>")[0]
    for words in (
        "164 kg over 5 y",
        "not counted: no figure is known",
        "Water on site, withdrawal",
        "without server (nodeA)",
    ):
        assert words in platform
    assert 'data-value="20.35"' in platform


def test_the_page_tells_which_hours_are_settled_and_carbon_on_another_basis_apart(
    document_of: Callable[[str], Json],
) -> None:
    document = document_of("trained")
    document["price"] |= {
        "basis": "direct",
        "hours": {"settled_s": 13_200, "provisional_s": 0, "yearly_s": 0, "unknown_s": 600, "sources": ["NESO"]},
    }
    texts = ["".join(text) for tag, _, text in _Reader(render_page(document)).elements if tag == "p"]
    assert any(text.startswith("Grid intensity: NESO, direct basis: 3 h 40 min settled, 10 min 00 s") for text in texts)
    assert any(
        text.startswith("Counted otherwise, and never added to that carbon: CO₂e, lifecycle basis: ") for text in texts
    )


def test_hours_of_one_source_are_one_row(document_of: Callable[[str], Json]) -> None:
    document = document_of("trained")
    first = document["price"]["intensity"][0]
    document["price"]["intensity"] = [
        first | {"g_per_kwh": 100.0 + hour, "start_s": 1772370000.0 + 3600 * hour, "length_s": 3600.0}
        for hour in range(24)
    ]
    page = render_page(document)
    assert "100 – 123" in page
    assert "24 stretches from" in page


def test_tables_have_captions_and_headed_rows(document: Json) -> None:
    reader = _Reader(render_page(document))
    assert len(reader.all("caption")) == len(reader.all("table")) > 0
    assert {attributes.get("scope") for attributes in reader.all("th")} <= {"row", "col"}
    assert reader.all("html") == [{"lang": "en"}]
    assert len(reader.all("h1")) == 1


def test_every_chart_has_its_words(document_of: Callable[[str], Json]) -> None:
    reader = _Reader(render_page(document_of("trained")))
    drawn = [attributes for attributes in reader.all("div") if attributes.get("class") == "chart"]
    assert [attributes["id"] for attributes in drawn] == ["chart-energy", "chart-carbon", "chart-power"]
    for attributes in drawn:
        assert attributes["role"] == "img"
        assert len(attributes["aria-label"] or "") > 60


def test_stacked_phases_reach_the_epochs_energy(document_of: Callable[[str], Json]) -> None:
    document = document_of("trained")
    document["spans"][2]["footprint"]["phases"].pop()
    energy = charts(document)[0]
    for place, span in enumerate(document["spans"]):
        height = sum(trace["y"][place] or 0.0 for trace in energy.data)
        assert height * 3600 == pytest.approx(span["footprint"]["energy_j"]["value"], rel=1e-9)
    assert energy.data[-1]["name"] == "in no phase’s figure"


def test_without_epochs_and_spans_each_phase_has_a_bar(document_of: Callable[[str], Json]) -> None:
    document = document_of("trained") | {"spans": []}
    energy = charts(document)[0]
    assert energy.title == "Energy per phase"
    assert [len(trace["y"]) for trace in energy.data] == [6]


def test_numbers_that_json_has_not_are_null_in_the_page(document_of: Callable[[str], Json]) -> None:
    document = document_of("trained")
    document["run"]["attributes"] = {"loss": float("nan"), "best": float("inf")}
    page = _Reader(render_page(document))
    assert json.loads(page.text_of(id="joulegram-data"))["run"]["attributes"] == {"loss": None, "best": None}


def test_without_plotly_the_error_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, document_of: Callable[[str], Json]
) -> None:
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    with pytest.raises(MissingExtra, match=r'The page needs plotly: pip install "joulegram\[report\]"'):
        render_page(document_of("trained"))


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Callable[[Json], Any]:
    """Opens a document's page in the browser, the logs of earlier pages gone."""

    def visit(document: Json) -> Any:
        browser.get_log("browser")
        browser.get_log("performance")
        browser.get(write_page(document, tmp_path / "page.html").as_uri())
        return browser

    return visit


BARS = {
    "trained": {"chart-energy": 4 * 6, "chart-carbon": 4 * 6},
    # Without the missing phase, and with what its epochs have over their phases.
    "partial": {"chart-energy": 4 * 5 + 4},
    "empty": {},
    "long": {"chart-energy": 200 * 6, "chart-carbon": 200 * 6},
    "hostile": {"chart-energy": 4 * 6, "chart-carbon": 4 * 6},
}

COUNT_BARS = """
return Object.fromEntries([...document.querySelectorAll('.chart')].map(
  chart => [chart.id, [...chart.querySelectorAll('.barlayer .point path')].filter(
    bar => bar.getBBox().height > 0).length]).filter(([id]) => id !== 'chart-power'))
"""


@pytest.mark.parametrize("name", BARS)
def test_the_browser_shows_the_figures_and_draws_the_charts(
    opened: Callable[[Json], Any], document_of: Callable[[str], Json], name: str
) -> None:
    document = document_of(name)
    page = opened(document)
    data = json.loads(page.execute_script("return document.getElementById('joulegram-data').textContent"))
    for total in TOTALS:
        card = f"document.querySelector('.cards [data-field={total.field}]')"
        number, text = page.execute_script(f"return [{card}.dataset.value, {card}.textContent]")
        value = data["footprint"][total.field]["value"]
        assert value == document["footprint"][total.field]["value"]
        assert (float(number) if number else None) == value
        assert text == ("missing" if value is None else total.show(value))
    assert page.execute_script(COUNT_BARS) == BARS[name]
    lines = page.execute_script("return document.querySelectorAll('#chart-power .scatterlayer .trace').length")
    assert lines == {"partial": 2, "empty": 0}.get(name, 3)
    assert page.execute_script("return window.hacked") is None
    assert page.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
    assert page.get_log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in page.get_log("performance")]
    requests = [event["params"] for event in events if event["method"] == "Network.requestWillBeSent"]
    # The browser's own start page may still be loading when ours is asked for.
    asked = [request["request"]["url"] for request in requests if request["documentURL"].startswith("file:")]
    assert asked
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []


def test_hostile_names_are_drawn_as_they_are_spelt(
    opened: Callable[[Json], Any], document_of: Callable[[str], Json]
) -> None:
    page = opened(document_of("hostile"))
    legend = page.execute_script("return document.querySelector('#chart-energy .legendtext').textContent")
    assert legend.startswith("</script><scri…")


def _appearance(page: Any, scheme: str, media: str = "") -> tuple[str, str, str]:
    """Background of the page, colour of its text and of the first chart's labels."""
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": features})
    return tuple(  # type: ignore[return-value]
        page.execute_async_script(
            "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(() => done(["
            "getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color,"
            "getComputedStyle(document.querySelector('#chart-energy .xtick text')).fill])))"
        )
    )


def _contrast(one: str, other: str) -> float:
    """Contrast ratio of two ``rgb(r, g, b)`` colours (WCAG 2.2)."""

    def luminance(colour: str) -> float:
        channels = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_page_and_charts_follow_light_and_dark_and_are_light_in_print(
    opened: Callable[[Json], Any], document_of: Callable[[str], Json]
) -> None:
    page = opened(document_of("trained"))
    try:
        light, dark = _appearance(page, "light"), _appearance(page, "dark")
        assert not set(light) & set(dark)
        for ground, ink, labels in (light, dark):
            assert _contrast(ground, ink) >= 7
            assert _contrast(ground, labels) >= 4.5
        ground, ink, _ = _appearance(page, "dark", "print")
        assert (ground, ink) == ("rgb(255, 255, 255)", light[1])
    finally:
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})


def test_charts_are_redrawn_to_fit_paper_and_back(
    opened: Callable[[Json], Any], document_of: Callable[[str], Json]
) -> None:
    page = opened(document_of("trained"))
    width = "return document.querySelector('#chart-energy .main-svg').getBoundingClientRect().width"
    before = page.execute_script(width)
    page.execute_script("window.dispatchEvent(new Event('beforeprint'))")
    assert page.execute_script(width) == 660
    page.execute_script("window.dispatchEvent(new Event('afterprint'))")
    assert page.execute_script(width) == pytest.approx(before)
