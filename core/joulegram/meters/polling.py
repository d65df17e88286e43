"""Asking a meter that sits behind a network, without anybody having to wait for it.

A `Poller` asks on a small thread of its own. What it heard last is handed over at once, for as long as it is no older
than the channel's `lag_s` says; where no answer came it is NaN, until one comes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import nan
from typing import Any, ClassVar, Literal

from joulegram.config import ConfigError
from joulegram.meters import Denied, Meter, Unneeded
from joulegram.meters.tally import UNITS, Tally, joules_in, summed, tally
from joulegram.notices import warn
from joulegram.options import Options
from joulegram.records import Channel
from joulegram.units import NS_PER_S
from joulegram.web import Answer, Site, Unanswered

MOST_WAIT_S = 15.0
"""A source that does not answer is asked ever more rarely, down to this."""


# -- asking again and again -----------------------------------------------------------------------------------------

Ask = Callable[[], Mapping[str, float]]
"""Asks once: what each of the source's series shows, in its own unit. Raises Unanswered, or what no patience mends."""


class Poller:
    """Asks again and again on a thread of its own; only that thread, once it runs, touches what it heard.

    Args:
        who: whose warnings these are.
        ask: asks once.
        unit: what the answers are in, one of `UNITS`.
        period_s: from one question to the next (s).
        lag_s: how old the last answer may get (s).
        now_ns: monotonic clock (ns).
    """

    def __init__(
        self,
        who: str,
        ask: Ask,
        unit: str,
        period_s: float,
        lag_s: float,
        now_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.names: list[str] = []
        self._who, self._ask, self._unit = who, ask, unit
        self._period_s, self._lag_s, self._now_ns = period_s, lag_s, now_ns
        self._tallies: list[Tally] = []
        self._latest: tuple[int, list[float]] = (0, [])
        self._failures = 0
        self._said = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"joulegram-{who}", daemon=True)

    def begin(self, names: Sequence[str] = ()) -> None:
        """Asks once, here, and then goes on asking on the thread.

        Args:
            names: the series to keep; all those of the first answer by default.

        Raises:
            Unanswered: there is no answer, and no name is given.
            Exception: what the first question met, and the next would meet again.
        """
        asked_ns = self._now_ns()
        answers: Mapping[str, float] = {}
        try:
            answers = self._ask()
        except Unanswered as error:
            if not names:
                raise
            self._failed(str(error))
        self.names = list(names or answers)
        self._tallies = [tally(self._unit, self._lag_s) for _ in self.names]
        self._take(asked_ns, answers)
        self._thread.start()

    def poll(self) -> None:
        """Asks once."""
        asked_ns = self._now_ns()  # an answer is no older than its question
        answers: Mapping[str, float] = {}
        try:
            answers = self._ask()
            self._failures = 0
        except (Unanswered, Denied, ConfigError) as error:
            self._failed(str(error))
        except Exception as error:  # whatever it is, the source may answer the next time
            self._failed(type(error).__name__)
        self._take(asked_ns, answers)

    def latest(self) -> Sequence[float]:
        """Joules of each series as last heard; NaN where the last question went unanswered, or is too long ago."""
        asked_ns, joules = self._latest
        fresh = self._now_ns() - asked_ns <= self._lag_s * NS_PER_S
        return joules if fresh else [nan] * len(joules)

    def close(self) -> None:
        """Ends the thread, after the question that it may be waiting for."""
        self._ended.set()

    def _run(self) -> None:
        while not self._ended.wait(self._pause_s()):
            self.poll()

    def _pause_s(self) -> float:
        if not self._failures:
            asked_ns, _ = self._latest
            return max(0.0, self._period_s - (self._now_ns() - asked_ns) / NS_PER_S)
        return max(self._period_s, min(MOST_WAIT_S, self._period_s * 2.0 ** (min(self._failures, 20) - 1)))

    def _take(self, asked_ns: int, answers: Mapping[str, float]) -> None:
        series = zip(self._tallies, self.names, strict=True)
        self._latest = (asked_ns, [each.take(asked_ns, answers.get(name, nan)) for each, name in series])

    def _failed(self, why: str) -> None:
        self._failures += 1
        if not self._said and not self._ended.is_set():
            self._said = True
            warn(f"meter {self._who}: {why}; what it counts is missing until it answers")


class PolledMeter(Meter):
    """A meter whose joules a poller hears of.

    Args:
        poller: one that has begun.
        channels: one for each of its series, in their order.
    """

    # What was heard is looked at this often; the network is asked at the poller's own period.
    period_s: ClassVar[float] = 0.5

    def __init__(self, poller: Poller, channels: Sequence[Channel]) -> None:
        self._poller = poller
        self.channels = channels

    def read(self) -> Iterable[float]:
        """Joules as last heard."""
        return self._poller.latest()

    def close(self) -> None:
        """Ends the asking."""
        self._poller.close()


# -- asking once ----------------------------------------------------------------------------------------------------


class JsonSource(Site):
    """A site that a meter asks."""

    def get(self, *asked: Any, **named: Any) -> Answer:
        """Asks once; the arguments are those of a `Site`.

        Raises:
            Denied: the source wants a key, or another one.
            Unanswered: there was no answer in time, or it sends us elsewhere.
        """
        answer = super().get(*asked, **named)
        if answer.status in (401, 403):
            raise Denied(f"{self.host} wants a key, or another one (HTTP {answer.status})")
        return answer


# -- the options of such a meter ------------------------------------------------------------------------------------

REMOTE_OPTIONS = ("url", "unit", "kind", "share", "period_s", "timeout_s", "max_w", "accuracy", "wraps_at")


@dataclass(frozen=True, slots=True)
class Remote:
    """What every meter behind a network is told.

    Args:
        url: where to ask.
        unit: what the figures are in, one of `UNITS`.
        period_s: from one question to the next (s).
        timeout_s: how long an answer may take (s).
        template: the channel, but for its name; of its how, what is known of its accuracy.
    """

    url: str
    unit: str
    period_s: float
    timeout_s: float
    template: Channel

    @classmethod
    def read(cls, options: Options, kind: str, unstated: float, refresh_s: float = 0.0) -> Remote:
        """The options, checked.

        Args:
            options: the meter's.
            kind: of its channels, where the options do not say.
            unstated: accuracy to take, as a part of the figure, where the options state none.
            refresh_s: how old the source's own figures may be (s).

        Raises:
            Absent: no address is configured.
            ConfigError: an option is wrong.
        """
        url = options.text("url")
        if not url:
            raise Unneeded(f"no address is configured (meter option {options.plugin}.url)")
        if not url.startswith(("http://", "https://")):
            raise options.wrong("url", "an address that begins with http:// or https:// is needed")
        unit = options.choice("unit", UNITS)
        period_s = options.number("period_s", 1.0)
        timeout_s = options.number("timeout_s", 5.0)
        accuracy = options.number("accuracy", unstated)
        if accuracy >= 1:
            raise options.wrong("accuracy", "a part of the figure is needed, 0.02 for 2 %")
        template = Channel(
            id="",
            kind=options.text("kind", kind),
            method="measured",
            how=_accuracy(options, accuracy),
            share=_SHARES[options.choice("share", tuple(_SHARES), "exclusive")],
            gain_low=1 - accuracy,
            gain_high=1 + accuracy,
            max_w=options.number_or_none("max_w"),
            wraps_at_j=_wraps_at_j(options, unit),
            resolution_s=max(period_s, refresh_s),
            lag_s=refresh_s + period_s + timeout_s,
            # An answer comes up to a time-out after it was so, and is of a refresh since the question before that.
            delay_s=refresh_s + period_s + 2 * timeout_s,
        )
        return cls(url, unit, period_s, timeout_s, template)

    def channel(self, device: str, where: str, quantum_j: float = 0.0) -> Channel:
        """The channel of one series.

        Args:
            device: its name.
            where: in words, where its figures come from.
            quantum_j: the step of its counter (J).
        """
        template, counter = self.template, joules_in(self.unit) is not None
        how = f"its {'counter' if counter else 'power'}, {where}{template.how}"
        made = replace(template, id=f"{template.kind}:{device}", how=how, quantum_j=quantum_j)
        return made if counter else summed(replace(made, quantum_j=0.0))

    def poller(self, who: str, ask: Ask) -> Poller:
        """One that asks as told."""
        return Poller(who, ask, self.unit, self.period_s, self.template.lag_s)


def _accuracy(options: Options, accuracy: float) -> str:
    if options.given("accuracy"):
        return ""
    return f"; accuracy unknown, taken as ±{accuracy:.0%}" if accuracy else "; accuracy unknown"


_SHARES: dict[str, Literal["exclusive", "cpu"]] = {"exclusive": "exclusive", "cpu": "cpu"}


def _wraps_at_j(options: Options, unit: str) -> float | None:
    wraps_at, factor = options.number_or_none("wraps_at"), joules_in(unit)
    if wraps_at is None:
        return None
    if factor is None:
        raise options.wrong("wraps_at", "a power does not wrap around, only a counter does")
    return wraps_at * factor
