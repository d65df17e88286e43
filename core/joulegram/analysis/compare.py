"""Runs beside each other: who is first by which measure, how measures agree, and where they do not.

The result is plain data: what ``joulegram compare --json`` prints and what the views render.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from joulegram.analysis.noise import FLOOR, Noise, noise
from joulegram.analysis.pareto import front
from joulegram.analysis.points import MEASURES, By, Document, Measure, Point, points
from joulegram.analysis.quality import Better, CannotCompare, Quality, quality
from joulegram.analysis.ranks import Coefficient, Floats, agreement, flipped_pairs, ranks
from joulegram.analysis.sentences import Noises, agreement_sentence, flip_sentence, listing

SCHEMA_VERSION = 1
MOST_TOLD = 5
"""Pairs that are told of in words."""
MOST_FLIPS = 300
"""Pairs of one agreement that are named one by one, the widest apart first; all are counted."""

# By which measure another is thought to be told; sentences about pairs are about these.
_PROXIES = {
    "flops": ("duration_s", "energy_j"),
    "parameters": ("duration_s", "energy_j"),
    "duration_s": ("energy_j",),
    "energy_j": ("carbon_g",),
}
_TOLD_AS_A_WHOLE = (
    ("parameters", "energy_j"),
    ("flops", "energy_j"),
    ("duration_s", "energy_j"),
    ("energy_j", "carbon_g"),
)
_MEASURE = {measure.field: measure for measure in MEASURES}

Json = dict[str, Any]
Columns = dict[str, Floats]
"""Values of all points by measure, NaN where missing."""


def compare(
    documents: Sequence[Document],
    at_equal: Sequence[Document],
    *,
    by: By = "run",
    metric: str | None = None,
    better: Better | None = None,
    repeats: Sequence[Document] = (),
) -> Json:
    """Compares runs, or their epochs.

    Args:
        documents: runs as recorded, each once; those that are still open are left out.
        at_equal: the same runs, their energy priced at one grid intensity.
        by: what a point is: a ``run``, or an ``epoch``.
        metric: the quality to hold costs against; by default the only one that the runs logged.
        better: which of it is better; by default guessed from its name.
        repeats: more runs, which only tell noise where they are of the same set-up as one of `documents`.

    Raises:
        CannotCompare: fewer than two runs, or two epochs, are left to compare; or the metric is not understood.
        MissingExtra: SciPy is not installed.
    """
    if by == "epoch" and metric is not None:
        raise CannotCompare("metrics are kept by run: --metric does not go with --by epoch")
    notes = [f"{_called(d)} is still open and left out" for d in documents if _is_open(d)]
    over = [(d, e) for d, e in zip(documents, at_equal, strict=True) if not _is_open(d)]
    closed, equal = [d for d, _ in over], [e for _, e in over]
    _enough(closed, documents, notes)
    found = points(closed, equal, by)
    if len(found) < 2:
        raise CannotCompare(f"two epochs or more are needed; these runs have {len(found)}")
    notes += [f"{_called(d)} {d['run']['status']}: its figures are of the part that ran" for d in closed if _broke(d)]
    notes += _stages(closed)
    known = {m.field: _column(found, m, notes) for m in MEASURES}
    extra = points(repeats, repeats, by)
    noises = {m.field: _noise(m, found, extra) for m in MEASURES}
    judged, why_not = (None, "it is kept by run, not by epoch") if by == "epoch" else quality(found, metric, better)
    agreements = [_agreement(x, y, found, known, noises) for x, y in combinations(MEASURES, 2)]
    return {
        "schema_version": SCHEMA_VERSION,
        "by": by,
        "points": _rows(found, known, noises),
        "measures": [_column_part(measure, known[measure.field], noises) for measure in MEASURES],
        "agreements": agreements,
        "quality": _fronts(judged, found, extra, known, noises) if judged else {"metric": None, "why": why_not},
        "equal_intensity": _equal(equal[0]),
        "sentences": _sentences(found, known, noises, agreements),
        "notes": notes,
    }


def _enough(closed: Sequence[Document], documents: Sequence[Document], notes: Sequence[str]) -> None:
    if len(closed) >= 2:
        return
    why = f" ({'; '.join(notes)})" if notes else ""
    only = f": {_called(closed[0])} is only one" if closed else ""
    raise CannotCompare(f"two runs that are over are needed{only}{why}")


def _is_open(document: Document) -> bool:
    return bool(document["run"]["status"] == "running")


def _broke(document: Document) -> bool:
    return bool(document["run"]["status"] != "finished")


def _called(document: Document) -> str:
    run = document["run"]
    return f"{run['name']} ({run['id'][:8]})"


def _stages(documents: Sequence[Document]) -> list[str]:
    stages = sorted({document["run"]["stage"] for document in documents})
    return [f"stages of the life cycle are mixed: {listing(stages)}"] if len(stages) > 1 else []


# -- columns ------------------------------------------------------------------------------------------------------


def _column(found: Sequence[Point], measure: Measure, notes: list[str]) -> Floats:
    """One measure of all points, NaN where it is missing or not of the same kind as the others'; says so in `notes`."""
    field = measure.field
    values = np.array([point.figures.get(field, math.nan) for point in found])
    bases = sorted({point.basis for point in found if point.basis and field in point.figures})
    if field == "carbon_g" and len(bases) > 1:
        notes.append(f"carbon is not compared: some runs are priced on the {' and some on the '.join(bases)} basis")
        return np.full(len(found), math.nan)
    whole = [not point.lacking.get(field) for point in found]
    kinds = {point.lacking.get(field, frozenset()) for point in found if field in point.figures}
    if len(kinds) > 1:
        lacking = [(p.label, ", ".join(sorted(p.lacking[field]))) for p, w in zip(found, whole, strict=True) if not w]
        notes += [f"{measure.label} of {label} is not compared: it lacks {parts}" for label, parts in lacking]
        values[~np.array(whole)] = math.nan
    elif kinds and (parts := kinds.pop()):
        notes.append(f"{measure.label} of all lacks {', '.join(sorted(parts))}")
    for reason, labels in _grouped((p.absent[field], p.label) for p in found if field in p.absent):
        notes.append(f"no {measure.label} of {listing(labels)}: {reason}")
    methods = _grouped((p.methods[field], p.label) for p in found if field in p.methods)
    if len(methods) > 1:
        notes.append(f"{measure.label} is {listing([f'{method} for {listing(of)}' for method, of in methods])}")
    return values


def _grouped(pairs: Any) -> list[tuple[str, list[str]]]:
    groups: dict[str, list[str]] = {}
    for key, value in pairs:
        groups.setdefault(key, []).append(value)
    return list(groups.items())


def _noise(measure: Measure, found: Sequence[Point], extra: Sequence[Point]) -> Noise:
    if not measure.varies:
        return Noise(FLOOR, "a count: it does not vary, but less is no difference to speak of")
    return noise(_repeats(found, extra, lambda point: point.figures.get(measure.field)))


def _repeats(found: Sequence[Point], extra: Sequence[Point], figure: Any) -> list[list[float]]:
    """A figure of all points of each set-up that is compared; runs of one alone are compared, and no repeats."""
    if len({point.setup[:-1] for point in found}) < 2:
        return []
    groups: dict[tuple[object, ...], list[float]] = {point.setup: [] for point in found}
    for point in (*found, *extra):
        value = figure(point)
        if value is not None and point.setup in groups:
            groups[point.setup].append(value)
    return list(groups.values())


def _column_part(measure: Measure, values: Floats, noises: Noises) -> Json:
    noise = noises[measure.field]
    return {
        "field": measure.field,
        "label": measure.label,
        "noise": noise.share,
        "noise_how": noise.how,
        "known": int(np.isfinite(values).sum()),
    }


def _rows(found: Sequence[Point], known: Columns, noises: Noises) -> list[Json]:
    ranked = {field: ranks(values, noises[field].share) for field, values in known.items()}
    return [
        {
            "label": point.label,
            "run": point.run,
            "name": point.name,
            "index": point.index,
            **{m.field: point.figures.get(m.field) for m in MEASURES},
            "power_w": point.power_w,
            "intensity": point.intensity,
            "metrics": {name: value for name, value in point.metrics.items() if math.isfinite(value)},
            "ranks": {field: places[i] for field, (places, _) in ranked.items()},
            "tied": {field: tied[i] for field, (_, tied) in ranked.items()},
        }
        for i, point in enumerate(found)
    ]


# -- agreements ---------------------------------------------------------------------------------------------------


def _agreement(x: Measure, y: Measure, found: Sequence[Point], known: Columns, noises: Noises) -> Json:
    agreed = agreement(known[x.field], known[y.field], noises[x.field].share, noises[y.field].share)
    return {
        "x": x.field,
        "y": y.field,
        "points": agreed.points,
        "kendall": _plain(agreed.kendall),
        "spearman": _plain(agreed.spearman),
        "pearson": _plain(agreed.pearson),
        "pairs": agreed.pairs,
        "flipped": agreed.flipped,
        "tied": agreed.tied,
        "flip_share": agreed.flip_share,
        "flips": [[found[i].label, found[j].label] for _, i, j in _widest(x.field, y.field, known, noises)],
    }


def _plain(coefficient: Coefficient) -> Json:
    return {"value": coefficient.value, "low": coefficient.low, "high": coefficient.high}


def _widest(x: str, y: str, known: Columns, noises: Noises) -> list[tuple[float, int, int]]:
    """Flipped pairs, the widest apart first: by the lesser of their two ratios, as a logarithm, which leads each."""
    pairs = flipped_pairs(known[x], known[y], noises[x].share, noises[y].share)
    apart = np.min([np.abs(np.diff(np.log(known[field])[pairs], axis=1)[:, 0]) for field in (x, y)], axis=0)
    widest = np.argsort(-apart, kind="stable")[:MOST_FLIPS]
    return [(float(apart[row]), *pairs[row].tolist()) for row in widest]


# -- quality and words --------------------------------------------------------------------------------------------


def _fronts(judged: Quality, found: Sequence[Point], extra: Sequence[Point], known: Columns, noises: Noises) -> Json:
    """For each cost, the points that no other beats."""
    quality = judged.sign * np.array([point.metrics.get(judged.metric, math.nan) for point in found])
    repeated = noise(_repeats(found, extra, lambda point: _positive(point.metrics.get(judged.metric))), floor=0.0)
    fronts = {}
    for field, costs in known.items():
        if np.isfinite(costs).any():
            unbeaten = front(costs, quality, noises[field].share, repeated.share)
            fronts[field] = [point.label for point, is_unbeaten in zip(found, unbeaten, strict=True) if is_unbeaten]
    return {
        "metric": judged.metric,
        "better": judged.better,
        "how": judged.how,
        "noise": repeated.share,
        "noise_how": repeated.how,
        "fronts": fronts,
    }


def _positive(value: float | None) -> float | None:
    """A value that noise can be a share of."""
    return value if value is not None and 0 < value < math.inf else None


def _sentences(found: Sequence[Point], known: Columns, noises: Noises, agreements: Sequence[Json]) -> list[str]:
    """How measures order the points as a whole, then the most telling pairs."""
    agreed = {(a["x"], a["y"]): a for a in agreements}
    told = [
        agreement_sentence(_MEASURE[x], _MEASURE[y], a["pairs"], a["flipped"], a["tied"])
        for x, y in _TOLD_AS_A_WHOLE
        if (a := agreed[x, y])["pairs"]
    ]
    # Of time only where the energy of a pair is in order.
    flips = sorted(_flips(known, noises), key=lambda flip: (flip[-1] == "duration_s", -flip[0]))
    seen: set[tuple[frozenset[tuple[object, ...]], bool]] = set()
    for _, i, j, x, y in flips:
        about = frozenset({found[i].setup[:-1], found[j].setup[:-1]}), y == "carbon_g"
        if about not in seen and len(seen) < MOST_TOLD:
            seen.add(about)
            told.append(flip_sentence(found[i], found[j], _MEASURE[x], _MEASURE[y], noises))
    return told


def _flips(known: Columns, noises: Noises) -> Iterator[tuple[float, int, int, str, str]]:
    """Pairs that flip between a measure and one that it is thought to tell, with how wide apart they are."""
    for x, told in _PROXIES.items():
        for y in told:
            yield from ((apart, i, j, x, y) for apart, i, j in _widest(x, y, known, noises))


def _equal(document: Document) -> Json:
    """What all runs were priced at for the comparison at equal intensity."""
    price = document.get("price") or {}
    basis = price.get("basis")
    chosen = [
        point
        for point in price.get("intensity", ())
        if (point["signal"], point["basis"], point["accounting"]) == ("average", basis, "location")
    ]
    point = chosen[0] if chosen else {}
    return {"basis": basis, **{name: point.get(name) for name in ("zone", "g_per_kwh", "source", "note")}}
