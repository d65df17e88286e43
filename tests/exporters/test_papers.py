"""A methods paragraph, and a table in LaTeX that a small reader of LaTeX finds whole."""

from __future__ import annotations

import re

import pytest
from exported import HOSTILE, document, named
from hypothesis import example, given
from hypothesis import strategies as st

from joulegram.exporters import CannotExport, latex, methods
from joulegram.exporters.texts import latex as escaped

# Commands that the table may use: any other came from a name.
_COMMANDS = r"""
    \begin \end \centering \toprule \midrule \bottomrule \caption \textsubscript \textsuperscript \times \cdot \pm
    \ensuremath \geq \leq \mu \ldots \textbackslash \textasciitilde \textasciicircum \textless \textgreater \textbar
    \textasciigrave \textendash \textemdash \textdegree
"""
COMMANDS = set(_COMMANDS.split())
TOKEN = re.compile(r"\\[A-Za-z]+|\\.|.", re.DOTALL)


def tokens(text: str) -> list[str]:
    """LaTeX in tokens, without its comment."""
    return TOKEN.findall("\n".join(line for line in text.splitlines() if not line.startswith("%")))


def check(text: str) -> list[list[str]]:
    """Holds a table against LaTeX's grammar; the cells of its rows.

    Braces and dollars match, environments nest, no command is strange, nothing that needs an escape lacks it.
    """
    depth, environments, in_math = 0, [], False
    found = tokens(text)
    for at, token in enumerate(found):
        if token.startswith("\\") and len(token) > 2:
            assert token in COMMANDS, token
        if token in (r"\begin", r"\end"):
            name = re.match(r"\{(\w+)\}", "".join(found[at + 1 : at + 20]))
            assert name is not None
            if token == r"\begin":
                environments.append(name[1])
            else:
                assert environments.pop() == name[1]
        if token == "$":
            in_math = not in_math
        if token == r"\\":  # its star and its argument may stand on the next line
            assert not re.match(r"\s*[\[*]", "".join(found[at + 1 :]))
        depth += (token == "{") - (token == "}")
        assert depth >= 0
        assert token not in {"#", "%", "~"}
        assert token not in {"_", "^"} or in_math
    assert (depth, environments, in_math) == (0, [], False)
    body = text.partition(r"\toprule")[2].partition(r"\bottomrule")[0]
    rows = [row.strip().removeprefix(r"\midrule") for row in re.split(r"\\\\\s*\n", body)]
    return [re.split(r"(?<!\\)&", row) for row in rows if row]


def test_a_table_has_a_row_for_each_run_and_their_total() -> None:
    one, two = document(run_id="a", energy_j=3.6e6, carbon_g=151.0), document(run_id="b", energy_j=7.2e6, flops=1.5e15)
    head, *rows = check(latex.export([one, two]))
    assert len(head) == 6
    assert [row[0].strip() for row in rows] == ["resnet-digits", "resnet-digits", "Total"]
    assert [row[3].strip() for row in rows] == ["1 (0.9--1.1)", "2 (1.8--2.2)", "3 (2.7--3.3)"]
    assert rows[0][4].strip() == "151 (136--166)"
    assert rows[1][5].strip().startswith(r"$1.5\times10^{15}$")


def test_one_run_has_no_total() -> None:
    assert len(check(latex.export([document()]))) == 2


def test_what_is_missing_is_a_dash() -> None:
    _, row = check(latex.export([document("partial")]))
    assert (row[4].strip(), row[5].strip()) == ("--", "--")
    assert r"$\geq$" in row[3]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_leave_the_table_whole(name: str) -> None:
    assert {len(row) for row in check(latex.export([named(name), document(run_id="b")]))} == {6}


@given(st.text(max_size=30))
def test_any_name_leaves_the_table_whole(name: str) -> None:
    assert {len(row) for row in check(latex.export([named(name), document(run_id="b")]))} == {6}


@given(st.text(alphabet=r"\{}$&#%_~^<>|\"'`[]*-ab ", max_size=20))
@example("---")
def test_what_is_special_to_latex_is_escaped(text: str) -> None:
    check(rf"\begin{{table}}{escaped(text)}\end{{table}}")
    assert not re.match(r"\s*[\[*]", escaped(text))
    assert "--" not in escaped(text)


def test_the_paragraph_tells_method_bounds_and_source() -> None:
    text = methods.export([document(energy_j=3.6e6, carbon_g=151.0)])
    assert text.count("\n") == 1
    assert (
        "IT energy, the runs' own share of their machines, was 1.00 kWh (between 900 Wh and 1.10 kWh; measured)" in text
    )
    assert "151 g CO2e (between 136 g CO2e and 166 g CO2e; modelled), 151 gCO2e/kWh on average" in text
    assert "average intensity, lifecycle basis, location-based" in text
    assert "yearly mean of DK-DK1, Annual table of zones, 2024" in text
    assert "PUE of 1 (none given: 1.0 assumed)" in text
    assert "not counted" in text


def test_the_paragraph_says_what_is_not_in_it() -> None:
    text = methods.export([document("partial")])
    assert "Operational emissions (average intensity, lifecycle basis, location-based) were missing (no grid" in text
    assert "Not in these figures: nodeA/gpu:GPU-" in text
    assert "still running" in methods.export([document(status="running")])


def test_bases_do_not_mix_in_a_paragraph() -> None:
    with pytest.raises(CannotExport, match="bases"):
        methods.export([document(run_id="a"), document(run_id="b", basis="direct")])
