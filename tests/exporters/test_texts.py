"""Text of strangers stays text."""

from __future__ import annotations

import csv
import io

import pytest
import yaml
from exported import HOSTILE
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from joulegram.exporters import texts

anything = st.text(max_size=40) | st.sampled_from(HOSTILE)


@given(anything)
def test_a_line_is_one_line(text: str) -> None:
    line = texts.one_line(text)
    assert len(line.splitlines()) <= 1
    assert line.isprintable()
    assert texts.one_line(line) == line


@given(anything)
@example("true")
@example("1e3")
def test_yaml_reads_it_back(text: str) -> None:
    assert yaml.safe_load(f"a: {texts.yaml(text)}\n") == {"a": texts.one_line(text)}


@given(anything)
def test_a_cell_is_never_a_formula(text: str) -> None:
    cell = texts.cell(text)
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert cell.removeprefix("'") == texts.one_line(text).removeprefix("'")
    out = io.StringIO()
    csv.writer(out).writerow([cell, "next"])
    assert list(csv.reader(io.StringIO(out.getvalue()))) == [[cell, "next"]]


def shown(rendered: str) -> str:
    for entity, sign in (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&amp;", "&")):
        rendered = rendered.replace(entity, sign)
    return rendered


@given(anything)
def test_markdown_shows_it_as_it_is(text: str) -> None:
    rendered = MarkdownIt("commonmark").enable("strikethrough").renderInline(f"x {texts.markdown(text)} x")
    assert shown(rendered) == f"x {texts.one_line(text)} x"


@given(anything)
def test_in_a_table_of_markdown_it_fills_one_cell(text: str) -> None:
    table = f"| a | b |\n|---|---|\n| {texts.markdown(text)} | end |\n"
    html = MarkdownIt("commonmark").enable("table").render(table)
    assert html.count("<td>") == 2
    assert "<td>end</td>" in html


@pytest.mark.parametrize(("text", "latex"), [("50 %_x", r"50 \%\_x"), ("a--b", "a-{}-b"), ("\\", r"\textbackslash{}")])
def test_latex_is_escaped(text: str, latex: str) -> None:
    assert texts.latex(text) == latex


@given(st.lists(anything, max_size=30))
def test_a_listing_is_short_and_hides_no_number(parts: list[str]) -> None:
    told = texts.listing(parts, "\n").splitlines()
    whole = list(dict.fromkeys(filter(None, map(texts.one_line, parts))))
    assert len(told) <= texts.MOST + 1
    if len(whole) <= texts.MOST + 1:
        assert told == whole
    else:
        assert told == [*whole[: texts.MOST], f"{len(whole) - texts.MOST} more"]
