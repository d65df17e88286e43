"""A run, a comparison, a what-if, what serving cost, or a life cycle as one HTML page that holds all it needs.

That is style, data, charts and the library that draws them.
`page.html` is the page's frame; `sections` fills it and `charts` makes what plotly draws.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from joulegram.extras import MissingExtra
from joulegram.report import sections
from joulegram.report.charts import Chart, charts
from joulegram.report.comparison_page import comparison_body
from joulegram.report.lifecycle_charts import life_cycle_charts
from joulegram.report.lifecycle_page import life_cycle_body
from joulegram.report.markup import Html, escape, join
from joulegram.report.matrix import matrix
from joulegram.report.served_charts import served_charts
from joulegram.report.served_page import served_body
from joulegram.report.whatif_charts import what_if_charts
from joulegram.report.whatif_page import what_if_body
from joulegram.report.words import Document


def write_page(document: Document, path: str | Path) -> Path:
    """Writes the page of a run.

    Args:
        document: a run document.
        path: file to write, its folder too; one that is there is replaced.

    Returns:
        The path written.

    Raises:
        MissingExtra: plotly is not installed.
        OSError: the file cannot be written.
    """
    return _write(render_page(document), path)


def write_comparison_page(found: Document, path: str | Path) -> Path:
    """Writes the page of a comparison; as `write_page`.

    Args:
        found: a comparison, as `joulegram compare --json` prints it.
        path: file to write.
    """
    return _write(render_comparison_page(found), path)


def write_what_if_page(found: Document, path: str | Path) -> Path:
    """Writes the page of a what-if; as `write_page`.

    Args:
        found: a what-if, as `joulegram whatif --json` prints it.
        path: file to write.
    """
    return _write(render_what_if_page(found), path)


def write_served_page(found: Document, path: str | Path) -> Path:
    """Writes the page of what serving cost; as `write_page`.

    Args:
        found: as `joulegram serve-report --json` prints it.
        path: file to write.
    """
    return _write(render_served_page(found), path)


def write_life_cycle_page(found: Document, path: str | Path) -> Path:
    """Writes the page of a life cycle; as `write_page`.

    Args:
        found: a life cycle, as `joulegram lifecycle --json` prints it.
        path: file to write.
    """
    return _write(render_life_cycle_page(found), path)


def render_page(document: Document) -> str:
    """The page of a run as HTML, which needs no network and no other file.

    Args:
        document: a run document; it is also kept whole in the page, in the element ``joulegram-data``.

    Raises:
        MissingExtra: plotly is not installed.
    """
    drawn = charts(document)
    body = join(
        sections.heading(document),
        sections.cards(document),
        sections.efficiency(document),
        sections.figures(document, drawn),
        sections.phase_table(document),
        sections.span_table(document),
        sections.channel_table(document),
        sections.platform_table(document),
        sections.missing(document),
        sections.making(document),
        sections.identity(document),
    )
    return _framed(document["run"]["name"], body, document, drawn)


def render_comparison_page(found: Document) -> str:
    """The page of a comparison as HTML; as `render_page`."""
    drawn = matrix(found)
    return _framed("comparison", comparison_body(found, drawn), found, drawn)


def render_what_if_page(found: Document) -> str:
    """The page of a what-if as HTML; as `render_page`."""
    drawn = what_if_charts(found)
    return _framed("what if", what_if_body(found, drawn), found, drawn)


def render_served_page(found: Document) -> str:
    """The page of what serving cost as HTML; as `render_page`."""
    drawn = served_charts(found["runs"][0]) if len(found["runs"]) == 1 else []
    return _framed("served", served_body(found, drawn), found, drawn)


def render_life_cycle_page(found: Document) -> str:
    """The page of a life cycle as HTML; as `render_page`."""
    drawn = life_cycle_charts(found)
    return _framed("life cycle", life_cycle_body(found, drawn), found, drawn)


def _write(page: str, path: str | Path) -> Path:
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")
    return path


def _framed(title: str, body: Html, data: Document, drawn: Sequence[Chart]) -> str:
    frame = files("joulegram.report").joinpath("page.html").read_text(encoding="utf-8")
    return Template(frame).substitute(
        title=escape(title),
        body=body,
        document=_embedded(data),
        figures=_embedded({chart.id: {"data": chart.data, "layout": chart.layout} for chart in drawn}),
        plotly=_plotly_js(),
    )


def _plotly_js() -> str:
    try:
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise MissingExtra('The page needs plotly: pip install "joulegram[report]"') from error
    return str(get_plotlyjs())


def _embedded(value: Any) -> str:
    """JSON that may stand inside a script element: no text in it can end the element or open a comment."""
    return json.dumps(_finite(value), allow_nan=False, default=str).replace("<", "\\u003c")


def _finite(value: Any) -> Any:
    """`value` with null for what JSON has no number for."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _finite(entry) for key, entry in value.items()}
    return [_finite(entry) for entry in value] if isinstance(value, (list, tuple)) else value
