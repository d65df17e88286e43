"""Text of strangers in the formats of others: names and reasons that must be text there and nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

MOST = 8
"""Things that a sentence lists: a project may have a thousand runs."""

# What a spreadsheet takes for the beginning of a formula.
_FORMULA = ("=", "+", "-", "@")
_MARKDOWN = re.compile(r"([\\`*_\[\]|~$])")
_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "`": r"\textasciigrave{}",
    # What would mean something after a line's end, or a dash.
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
    "�": "?",
    "–": r"\textendash{}",
    "—": r"\textemdash{}",
    "×": r"\ensuremath{\times}",
    "·": r"\ensuremath{\cdot}",
    "−": r"\ensuremath{-}",
    "±": r"\ensuremath{\pm}",
    "≤": r"\ensuremath{\leq}",
    "≥": r"\ensuremath{\geq}",
    "µ": r"\ensuremath{\mu}",
    "…": r"\ldots{}",
    "’": "'",
    "₂": r"\textsubscript{2}",
    "²": r"\textsuperscript{2}",
    "³": r"\textsuperscript{3}",
    "°": r"\textdegree{}",
    "\u202f": "~",
    "\xa0": "~",
}


def one_line(value: object) -> str:
    """Text on one line, without characters that steer a terminal, a page or a parser."""
    return "".join(c if c.isprintable() else " " if c.isspace() else "�" for c in str(value)).strip()


def listing(parts: Iterable[object], joint: str = "; ") -> str:
    """Each part once, on one line; of many the first, and how many more there are."""
    each = list(dict.fromkeys(filter(None, map(one_line, parts))))
    more = [f"{len(each) - MOST} more"] if len(each) > MOST + 1 else []
    return joint.join(each[:MOST] + more if more else each)


def cell(value: object) -> str:
    """Text for a cell of a table that a spreadsheet may open: never a formula."""
    text = one_line(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def yaml(value: object) -> str:
    """Text as a YAML scalar in double quotes, which JSON's strings are too."""
    return json.dumps(one_line(value), ensure_ascii=False)


def markdown(value: object) -> str:
    """Text as itself in Markdown, in a table too."""
    text = one_line(value).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MARKDOWN.sub(r"\\\1", text)


def latex(value: object) -> str:
    """Text as itself in LaTeX."""
    return re.sub("-(?=-)", "-{}", "".join(_LATEX.get(c, c) for c in one_line(value)))  # else a dash is made of two
