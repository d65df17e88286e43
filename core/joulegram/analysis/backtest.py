"""What choosing a start by some rule would have saved, judged by the intensities that came.

A rule decides on what it expected and is scored on what happened. Its regret is the share of what perfect foresight
would have saved that it left: 0 for the oracle, 1 for a job that starts when it always does, more for a rule that does
harm. Days that follow each other are alike, so the intervals come from resampling blocks of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from joulegram.analysis.outlook import DAY_S
from joulegram.curves.curve import Values
from joulegram.curves.series import HOUR_S, Series

FORECAST_NOISE = 0.05
"""Standard deviation of a good forecast's error, as a share of the hour's intensity."""
BLOCK_S = 7 * DAY_S
"""Jobs of a week are resampled together."""
RESAMPLES = 1000
INTERVAL = (0.025, 0.975)
TAIL = 0.05

Choices = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Score:
    """How a rule did.

    Args:
        rule: what it is called.
        saving: what all jobs emitted less than at their usual start, as a share.
        saving_bounds: its 95 % bootstrap interval.
        promised: the saving by what the rule expected; None for a rule that expects nothing.
        regret: (realised − oracle) / (usual − oracle).
        regret_bounds: its 95 % bootstrap interval.
        worse_share: share of the jobs that emitted more than at their usual start.
        tail: what one job in twenty saved at most; negative where it lost.
        jobs: how many there were.
    """

    rule: str
    saving: float
    saving_bounds: tuple[float, float]
    promised: float | None
    regret: float
    regret_bounds: tuple[float, float]
    worse_share: float
    tail: float
    jobs: int


def backtest(series: Series, usual_s: Values, offsets_s: Values, duration_s: float, *, seed: int = 0) -> list[Score]:
    """Scores every rule on the same jobs; those whose hours, or yesterday's, are not all known are left out.

    Args:
        series: what the intensities were.
        usual_s: when each job starts if nobody chooses (s since 1970), shape (n,).
        offsets_s: starts to choose from, by how much (s) they lie after the usual one, in order, shape (k,). All of a
            job has to lie within a day, or yesterday's hours would not be known when it is decided.
        duration_s: of each job (s).
        seed: of random starts, forecast errors and resamples.

    Raises:
        ValueError: the jobs are longer than a day with their choice, 0 is not among the offsets, or no job is known.
    """
    if offsets_s[-1] - offsets_s[0] + duration_s > DAY_S or 0.0 not in offsets_s:
        raise ValueError("offsets with 0 among them, that leave a job within a day, are needed")
    random = np.random.default_rng(seed)
    starts = np.add.outer(usual_s, offsets_s)
    noisy = 1 + FORECAST_NOISE * random.standard_normal(len(series))
    realised = window_means(series, starts, duration_s)
    yesterday = window_means(series, starts - DAY_S, duration_s)
    forecast = window_means(Series(series.starts_s, series.ends_s, series.g_per_kwh * noisy), starts, duration_s)
    known = ~np.isnan(realised + yesterday).any(axis=1)
    if not known.any():
        raise ValueError("of no job all hours, and yesterday's, are known")
    realised, yesterday, forecast = realised[known], yesterday[known], forecast[known]
    usual = int(np.flatnonzero(offsets_s == 0.0)[0])
    count = len(realised)
    judged = _Judge(realised, usual, _blocks(usual_s[known], seed))
    return [
        judged.score("usual start", np.full(count, usual)),
        judged.score("earliest start", np.zeros(count, np.int64)),
        judged.score("random start", random.integers(len(offsets_s), size=count)),
        judged.score("yesterday's hours", yesterday.argmin(axis=1), yesterday),
        judged.score(f"forecast ± {FORECAST_NOISE:.0%}", forecast.argmin(axis=1), forecast),
        judged.score("perfect foresight", realised.argmin(axis=1), realised),
    ]


def window_means(series: Series, starts_s: Values, duration_s: float) -> Values:
    """Mean intensity (gCO2e/kWh) of windows that begin at these times, in their shape; NaN where not all is known."""
    edges = np.stack([starts_s, starts_s + duration_s], axis=-1)
    return np.asarray(series.means(edges.ravel())[::2].reshape(starts_s.shape))


class _Judge:
    """What came of each choice.

    Args:
        realised: of each start to choose from (gCO2e/kWh), shape (n, k).
        usual: which of the k is the usual one.
        samples: which jobs are in each resample, shape (RESAMPLES, n).
    """

    def __init__(self, realised: Values, usual: int, samples: Choices) -> None:
        self._realised, self._at = realised, usual
        self._usual, self._oracle = realised[:, usual], realised.min(axis=1)
        self._samples = samples

    def score(self, rule: str, chosen: Choices, expected: Values | None = None) -> Score:
        got = self._realised[np.arange(len(chosen)), chosen]
        saved = 1 - np.divide(got, self._usual, out=np.ones_like(got), where=self._usual > 0)
        promised = None if expected is None else 1 - float(expected.min(axis=1).sum() / expected[:, self._at].sum())
        return Score(
            rule=rule,
            saving=float(_saving(got.sum(), self._usual.sum())),
            saving_bounds=_interval(_saving(self._resampled(got), self._resampled(self._usual))),
            promised=promised,
            regret=float(_regret(got.sum(), self._oracle.sum(), self._usual.sum())),
            regret_bounds=_interval(_regret(*map(self._resampled, (got, self._oracle, self._usual)))),
            worse_share=float((got > self._usual * (1 + 1e-9)).mean()),
            tail=float(np.quantile(saved, TAIL)),
            jobs=len(got),
        )

    def _resampled(self, values: Values) -> Values:
        """Sums of each resample, shape (RESAMPLES,)."""
        return np.asarray(values[self._samples].sum(axis=1))


def _blocks(usual_s: Values, seed: int) -> Choices:
    """Which jobs are in each resample: blocks of those that follow each other, the last one followed by the first."""
    count = len(usual_s)
    block = 1 if count < 2 else min(count, max(1, round(BLOCK_S / float(np.median(np.diff(usual_s))))))
    firsts = np.random.default_rng(seed).integers(count, size=(RESAMPLES, -(-count // block)))
    return np.asarray((np.add.outer(firsts, np.arange(block)).reshape(RESAMPLES, -1)[:, :count]) % count)


def _saving(got: Values, usual: Values) -> Values:
    return np.asarray(1 - got / usual)


def _regret(got: Values, oracle: Values, usual: Values) -> Values:
    """0 where there was nothing to be gained and nothing was lost."""
    possible, left = np.asarray(usual - oracle), np.asarray(got - oracle)
    matters = possible > 1e-9 * np.asarray(usual)
    return np.asarray(np.where(matters, left / np.where(matters, possible, 1.0), 0.0))


def _interval(values: Values) -> tuple[float, float]:
    low, high = np.quantile(values, INTERVAL)
    return float(low), float(high)


def hours(first: int, last: int) -> Values:
    """Offsets (s) at every full hour from one to another."""
    return np.asarray(HOUR_S * np.arange(first, last + 1), float)
