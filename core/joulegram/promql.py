"""What a Prometheus server answers to a query: the envelope of its HTTP API, around series of samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from joulegram.web import Answer, Unanswered

MOST_WORDS = 200
"""Characters of a server's own words that are passed on."""


class BadQuery(Exception):
    """The server cannot read the query, or it is one of another kind: its user has to mend it."""


@dataclass(frozen=True, slots=True)
class Sampled:
    """One series of an answer.

    Args:
        labels: what tells it from others.
        samples: time (s since 1970) and figure of each, as sent: the figure is text; a native histogram has none.
    """

    labels: Mapping[str, str]
    samples: list[tuple[Any, Any]]


def series(answer: Answer, *, ranged: bool = False) -> list[Sampled]:
    """The series of an instant query, or of one over a range; a scalar is one without labels.

    Raises:
        BadQuery: the query is the fault.
        Unanswered: the server could not execute it, or is no Prometheus server.
    """
    envelope = answer.parsed()
    if not isinstance(envelope, Mapping) or envelope.get("status") not in ("success", "error"):
        raise Unanswered(f"{answer.host} does not answer as a Prometheus server does (HTTP {answer.status})")
    if envelope["status"] == "error":
        words = " ".join(f"{envelope.get('errorType')}: {envelope.get('error')}".split())[:MOST_WORDS]
        raise (BadQuery if answer.status == 400 else Unanswered)(f"{answer.host} says {words}")
    data = envelope.get("data")
    kind, result = (data.get("resultType"), data.get("result")) if isinstance(data, Mapping) else (None, None)
    if not isinstance(result, list):
        raise Unanswered(f"{answer.host} answered without a result")
    if kind == "scalar" and not ranged:
        return [Sampled({}, _samples([result]))]
    if kind != ("matrix" if ranged else "vector"):
        raise BadQuery(f"a query of an instant vector is needed, not of a {kind}")
    rows = [row for row in result if isinstance(row, Mapping)]
    return [Sampled(_labels(row), _samples(row.get("values") if ranged else [row.get("value")])) for row in rows]


def _labels(row: Mapping[str, Any]) -> Mapping[str, str]:
    labels = row.get("metric")
    return labels if isinstance(labels, Mapping) else {}


def _samples(pairs: Any) -> list[tuple[Any, Any]]:
    pairs = pairs if isinstance(pairs, list) else []
    return [(pair[0], pair[1]) for pair in pairs if isinstance(pair, list) and len(pair) == 2]
