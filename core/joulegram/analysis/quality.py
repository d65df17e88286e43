"""Which metric runs are judged by, and whether more or less of it is better."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from joulegram.analysis.points import Point

Better = Literal["higher", "lower"]

_HIGHER = """
acc accuracy top1 top5 f1 fbeta auc auroc roc precision recall map ap iou dice bleu rouge r2 psnr ssim score reward
"""
_LOWER = "loss error err mae mse rmse mape nll perplexity ppl wer cer fid bpc bpb divergence kl"
_BETTER: dict[Better, frozenset[str]] = {"higher": frozenset(_HIGHER.split()), "lower": frozenset(_LOWER.split())}


class CannotCompare(ValueError):
    """The runs, or what is asked of them, leave nothing to compare; the message is for the user."""


@dataclass(frozen=True, slots=True)
class Quality:
    """A metric, which of it is better, and how that is known."""

    metric: str
    better: Better
    how: str

    @property
    def sign(self) -> int:
        """1 where more is better, −1 where less is."""
        return 1 if self.better == "higher" else -1


def quality(points: Sequence[Point], metric: str | None, better: Better | None) -> tuple[Quality | None, str]:
    """What to judge the points by; or None, and why.

    Args:
        points: what is compared.
        metric: the one asked for; by default the only one that any of them logged.
        better: as asked for; by default guessed from the metric's name.

    Raises:
        CannotCompare: no run has the metric asked for, or its name does not tell which is better.
    """
    known = sorted({name for point in points for name in point.metrics})
    listed = ", ".join(known)
    if metric is not None and metric not in known:
        has = f"they have {listed}" if known else "they have none: run.log(accuracy=…) keeps one"
        raise CannotCompare(f"no run has a metric {metric!r}; {has}")
    if metric is None and len(known) != 1:
        return None, f"--metric chooses one of {listed}" if known else "no run has one: run.log(accuracy=…) keeps one"
    name = metric or known[0]
    if better is not None:
        return Quality(name, better, "as given"), ""
    guess = guess_better(name)
    if guess is None and metric is None:
        return None, f"--higher or --lower says which {name} is better"
    if guess is None:
        raise CannotCompare(f"is a higher or a lower {name} better? Its name does not tell: add --higher or --lower")
    return Quality(name, guess, "guessed from its name"), ""


def guess_better(name: str) -> Better | None:
    """Which of a metric is better, by the words in its name; None where they do not tell, or disagree."""
    apart = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", name)
    words = set(re.split(r"[^a-z0-9]+", apart.lower()))
    found: list[Better] = [better for better, known in _BETTER.items() if words & known]
    return found[0] if len(found) == 1 else None
