"""What every meter holds to, checked from outside: for the test suite of whoever writes one.

    def test_my_meter_conforms():
        check_meter(MyMeter.open(Settings()))

Everything that is wrong is told at once, each in a sentence.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf, isfinite, isnan
from numbers import Real
from statistics import median
from typing import get_args, get_type_hints

from joulegram.config import Settings
from joulegram.meters import Absent, Denied, Meter
from joulegram.records import Channel

METHODS = ("measured", "modelled")
SHARES = get_args(get_type_hints(Channel)["share"])
INSTANT_S = 50e-6
"""A read in the caller's thread that takes longer is the last one there."""
LEAST_READS, INSTANT_READS = 3, 51
SLACK_S = 1.0
"""A counter may show at once what it counted this long before it was first read."""
MOST_W = 1e6
"""Nothing that a channel counts draws as much: its readings are no joules."""
_KIND = re.compile(r"[a-z][a-z0-9]*")


class NonConforming(AssertionError):
    """A meter breaks rules.

    Attributes:
        violations: all that were found, a sentence each.
    """

    def __init__(self, meter: str, violations: Sequence[str]) -> None:
        super().__init__("\n".join([f"{meter} does not conform:", *(f"- {violation}" for violation in violations)]))
        self.violations = tuple(violations)


def check_meter(
    meter: Meter,
    seconds: float = 1.0,
    *,
    now_s: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Reads an open meter for a while, as a recorder would, and closes it.

    Args:
        meter: the meter; it is closed afterwards.
        seconds: how long to read it (s); long enough for its counter to move.
        now_s: the clock that reads are timed with (s).
        sleep: lets so many seconds pass on that clock.

    Raises:
        NonConforming: it breaks rules; the message lists all that were found.
    """
    found = list(_meter(meter, seconds, now_s, sleep))
    if found:
        raise NonConforming(type(meter).__name__, found)


def check_opening(meter_class: type[Meter], settings: Settings | None = None) -> Meter:
    """Opens a meter as a recorder would.

    Args:
        meter_class: the class that the entry point names.
        settings: the configuration; all defaults unless given.

    Raises:
        Absent: there is nothing to read here, and the meter says so as it should.
        Denied: this user may not read it, and the meter says so as it should.
        NonConforming: it opens in no such way; the message says what is wrong.
    """
    try:
        return meter_class.open(settings or Settings())
    except (Absent, Denied) as refusal:
        text = str(refusal)
        if not text.strip() or len(text.splitlines()) != 1:
            raise NonConforming(
                meter_class.__name__, [f"{type(refusal).__name__} says in one line what is missing, not {text!r}"]
            ) from refusal
        raise
    except Exception as error:
        wrong = f"open() raises Absent or Denied where it cannot measure, not {error!r}"
        raise NonConforming(meter_class.__name__, [wrong]) from error


def _meter(meter: Meter, seconds: float, now_s: Callable[[], float], sleep: Callable[[float], None]) -> Iterator[str]:
    missing = [name for name in ("channels", "period_s", "instant", "fallback", "read", "described", "shares", "close")
               if not hasattr(meter, name)]  # fmt: skip
    if missing:
        yield f"a meter has {', '.join(missing)}"
        return
    yield from _rhythm(meter)
    described: list[object] = list(meter.channels)
    channels = [channel for channel in described if isinstance(channel, Channel)]
    if len(channels) < len(described):
        yield f"channels are joulegram.records.Channel, not {described!r}"
    else:
        yield from _channels(channels, model=meter.fallback == 2)
    if len(channels) == len(described) and _is_number(meter.period_s, 0) and meter.period_s > 0:
        yield from _reads(meter, channels, seconds, now_s, sleep)
        yield from _reads_elsewhere(meter)
        yield from _shares(meter, channels)
    yield from _closing(meter)


def _is_number(value: object, least: float = -inf, most: float = inf) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value) and least <= value <= most


def _is_real(value: object) -> bool:
    """Whether it is a number, NumPy's included."""
    return isinstance(value, Real)


# -- what a meter says of itself ------------------------------------------------------------------------------------


def _rhythm(meter: Meter) -> Iterator[str]:
    if not _is_number(meter.period_s) or meter.period_s <= 0:
        yield f"period_s is a number of seconds above 0, not {meter.period_s!r}"
    instant: object = meter.instant
    if not isinstance(instant, bool):
        yield f"instant is True or False, not {instant!r}"
    if meter.fallback not in range(3):
        yield f"fallback is 0, 1 for a second way to the same counters, or 2 for a model, not {meter.fallback!r}"


def _channels(channels: Sequence[Channel], *, model: bool) -> Iterator[str]:
    if not channels:
        yield "a meter without channels raises Absent from open() instead"
    ids = [channel.id for channel in channels]
    for twice in sorted({name for name in ids if ids.count(name) > 1}):
        yield f"{twice}: ids are unique, and this one names {ids.count(twice)} channels"
    for channel in channels:
        for wrong in (*_identity(channel), *_certainty(channel, model=model), *_figures(channel)):
            yield f"{channel.id}: {wrong}"


def _identity(channel: Channel) -> Iterator[str]:
    kind, colon, device = channel.id.partition(":")
    if not (colon and device and kind == channel.kind and not re.search(r"\s", channel.id)):
        yield f"an id has the form kind:device without spaces, here {channel.kind}:…"
    if not _KIND.fullmatch(channel.kind):
        yield f"a kind is one word in small letters (gpu, cpu, dram, soc, node, …), not {channel.kind!r}"
    if not channel.how.strip() or len(channel.how.splitlines()) != 1:
        yield "how says in one line where the joules come from"
    if channel.share not in SHARES:
        yield f"share is one of {', '.join(SHARES)}, not {channel.share!r}"


def _certainty(channel: Channel, *, model: bool) -> Iterator[str]:
    if channel.method not in METHODS:
        yield f"method is one of {', '.join(METHODS)}, not {channel.method!r}"
    if model and channel.method == "measured":
        yield "a model's method is not measured"
    low, high = channel.gain_low, channel.gain_high
    if not (_is_number(low, 0, 1) and low > 0 and _is_number(high, 1)):
        yield f"0 < gain_low <= 1 <= gain_high, not {low!r} and {high!r}"
    elif channel.method == "modelled" and low == high:
        yield "a model has gain bounds: its figure is not a counter's"


def _figures(channel: Channel) -> Iterator[str]:
    for name in ("max_w", "wraps_at_j"):
        value = getattr(channel, name)
        if value is not None and not (_is_number(value) and value > 0):
            yield f"{name} is a number above 0, or None, not {value!r}"
    if channel.idle_w is not None and not _is_number(channel.idle_w, 0):
        yield f"idle_w is a number from 0 on, or None, not {channel.idle_w!r}"
    elif channel.idle_w is not None and _is_number(channel.max_w) and channel.idle_w > (channel.max_w or 0):
        yield f"idle_w is not above max_w, as {channel.idle_w:g} is above {channel.max_w:g}"
    if not _is_number(channel.resolution_s) or channel.resolution_s <= 0:
        yield f"resolution_s is a number of seconds above 0, not {channel.resolution_s!r}"
    for name, unit in (("lag_s", "seconds"), ("delay_s", "seconds"), ("quantum_j", "joules")):
        if not _is_number(getattr(channel, name), 0):
            yield f"{name} is a number of {unit} from 0 on, not {getattr(channel, name)!r}"


# -- what it does ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Reading:
    """One read: when it began, how long it took (s), and what it gave (J)."""

    time_s: float
    took_s: float
    values: tuple[float, ...]


class _Broken(Exception):
    """A read that gives no readings; the message says why."""


def _read(meter: Meter, now_s: Callable[[], float]) -> _Reading:
    start_s = now_s()
    try:
        values = tuple(meter.read())
    except Exception as error:
        raise _Broken(f"read() gives NaN where a reading failed and raises nothing, not {error!r}") from error
    took_s = now_s() - start_s
    if len(values) != len(meter.channels):
        raise _Broken(f"read() gives a float for each channel: {len(meter.channels)}, not {len(values)}")
    strange = [value for value in values if isinstance(value, bool) or not _is_real(value)]
    if strange:
        raise _Broken(f"read() gives floats, not {strange[0]!r}")
    return _Reading(start_s, took_s, values)


def _reads(
    meter: Meter,
    channels: Sequence[Channel],
    seconds: float,
    now_s: Callable[[], float],
    sleep: Callable[[float], None],
) -> Iterator[str]:
    readings: list[_Reading] = []
    start_s = now_s()
    try:
        while now_s() - start_s < seconds or len(readings) < LEAST_READS:
            readings.append(_read(meter, now_s))
            sleep(max(0.0, meter.period_s - readings[-1].took_s))
        quick = [_read(meter, now_s) for _ in range(INSTANT_READS)] if meter.instant else []
    except _Broken as broken:
        yield str(broken)
        return
    yield from _durations(meter, readings, quick)
    readings += quick
    for number, channel in enumerate(channels):
        points = [(reading.time_s, float(reading.values[number])) for reading in readings]
        for wrong in _values(channel, points):
            yield f"{channel.id}: {wrong}"


def _durations(meter: Meter, readings: Sequence[_Reading], quick: Sequence[_Reading]) -> Iterator[str]:
    took_s = median(reading.took_s for reading in readings)
    if took_s > meter.period_s:
        yield f"a read takes no longer than period_s ({meter.period_s:g} s), and this one's takes {took_s:.3g} s"
    if quick and (took_s := median(reading.took_s for reading in quick)) > INSTANT_S:
        yield f"an instant meter is read in {INSTANT_S * 1e6:.0f} µs, and this one in {took_s * 1e6:.0f} µs"


def _values(channel: Channel, points: Sequence[tuple[float, float]]) -> Iterator[str]:
    good = [(time_s, value) for time_s, value in points if not isnan(value)]
    if not good:
        yield "every reading failed (NaN)"
        return
    values = [value for _, value in good]
    if min(values) < 0:
        yield f"a reading is joules from 0 on, or NaN where it failed, not {min(values):g}"
    if max(values) == inf:
        yield "a reading is finite, or NaN where it failed"
        return
    if channel.wraps_at_j is not None and max(values) > channel.wraps_at_j:
        yield f"it shows {max(values):g} J, and wraps at {channel.wraps_at_j:g} J"
    yield from _course(channel, good)


def _course(channel: Channel, points: Sequence[tuple[float, float]]) -> Iterator[str]:
    """A counter never falls but by a wrap, and rises no faster than its device can draw."""
    max_w = channel.max_w if _is_number(channel.max_w) and channel.max_w else MOST_W
    hidden_s = SLACK_S + (channel.lag_s if _is_number(channel.lag_s, 0) else 0.0)
    risen_j = 0.0
    for (before_s, before_j), (after_s, after_j) in pairwise(points):
        rise_j = after_j - before_j
        if rise_j < 0 and channel.wraps_at_j is None:
            yield f"a counter without wraps_at_j never falls, as here from {before_j:.9g} J to {after_j:.9g} J"
            return
        if rise_j < 0:
            rise_j += channel.wraps_at_j or 0.0
            if not 0 <= rise_j <= max_w * (after_s - before_s + hidden_s):
                yield f"it fell from {before_j:.9g} J to {after_j:.9g} J, which is no wrap at {channel.wraps_at_j:g} J"
                return
        risen_j += rise_j
    elapsed_s = points[-1][0] - points[0][0]
    if risen_j > max_w * (elapsed_s + hidden_s):
        most = f"max_w is {max_w:g} W" if channel.max_w else "no device draws that"
        yield f"it rose by {risen_j:.4g} J in {elapsed_s:.3g} s, and {most}: are these joules?"


def _reads_elsewhere(meter: Meter) -> Iterator[str]:
    """A recorder reads on a thread of its own, and on another one when a read does not come back."""
    failed: list[str] = []

    def read() -> None:
        try:
            _read(meter, time.perf_counter)
        except _Broken as broken:
            failed.append(f"read from another thread: {broken}")

    thread = threading.Thread(target=read, name="another thread")
    thread.start()
    thread.join()
    yield from failed


def _shares(meter: Meter, channels: Collection[Channel]) -> Iterator[str]:
    if all(channel.share != "process" for channel in channels):
        return
    try:
        shares = list(meter.shares([os.getpid()]))
    except Exception as error:
        yield f"shares() raises nothing, not {error!r}"
        return
    if len(shares) != len(channels):
        yield f"shares() gives a part for each channel: {len(channels)}, not {len(shares)}"
    if not all(_is_number(share, 0, 1) for share in shares):
        yield f"shares() gives parts from 0 to 1, not {shares!r}"


def _closing(meter: Meter) -> Iterator[str]:
    for which in ("close()", "a second close()"):
        try:
            meter.close()
        except Exception as error:
            yield f"{which} raises nothing, not {error!r}"
            return
