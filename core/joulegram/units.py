"""Units: joules, grams, seconds and FLOP inside; what a person reads at the edge.

Constants convert between the two; the `show_*` functions are for tables and pages only, never for files.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from math import ceil

J_PER_KWH = 3.6e6
NS_PER_S = 1_000_000_000

_SI_MASS = ((1e6, "t"), (1e3, "kg"), (1.0, "g"), (1e-3, "mg"), (1e-6, "µg"))
_ENERGY = ((J_PER_KWH * 1e3, "MWh"), (J_PER_KWH, "kWh"), (3.6e3, "Wh"), (1.0, "J"), (1e-3, "mJ"), (1e-6, "µJ"))
_VOLUME = ((1e3, "m³"), (1.0, "L"), (1e-3, "mL"), (1e-6, "µL"))
_POWER = ((1e3, "kW"), (1.0, "W"), (1e-3, "mW"))
_COUNT = (
    (1e21, "ZFLOP"),
    (1e18, "EFLOP"),
    (1e15, "PFLOP"),
    (1e12, "TFLOP"),
    (1e9, "GFLOP"),
    (1e6, "MFLOP"),
    (1.0, "FLOP"),
)


def utc_s(text: str) -> float:
    """Seconds since 1970 of an ISO 8601 time; one that names no offset is in UTC.

    Raises:
        ValueError: it is no time.
    """
    moment = datetime.fromisoformat(text.strip())
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def show_energy(energy_j: float) -> str:
    """Joules as a person reads them: ``show_energy(7200) == '2.00 Wh'``."""
    return _scaled(energy_j, _ENERGY)


def show_mass(mass_g: float) -> str:
    """Grams as a person reads them: ``show_mass(1234) == '1.23 kg'``."""
    return _scaled(mass_g, _SI_MASS)


def show_volume(volume_l: float) -> str:
    """Litres as a person reads them: ``show_volume(0.0123) == '12.3 mL'``."""
    return _scaled(volume_l, _VOLUME)


def show_power(power_w: float) -> str:
    """Watts as a person reads them: ``show_power(83.2) == '83.2 W'``."""
    return _scaled(power_w, _POWER)


def show_flops(flops: float) -> str:
    """Floating-point operations as a person reads them: ``show_flops(2.5e12) == '2.50 TFLOP'``."""
    return _scaled(flops, _COUNT)


def show_duration(duration_s: float) -> str:
    """Seconds as a person reads them: ``'1.20 ms'``, ``'12.1 s'``, ``'3 min 05 s'``, ``'3 d 4 h'``."""
    if 0 < duration_s < 0.0995:
        return f"{_digits(duration_s * 1e3)} ms"
    if duration_s < 59.95:
        return f"{_digits(duration_s)} s"
    minutes, seconds = divmod(round(duration_s), 60)
    if minutes < 60:
        return f"{minutes} min {seconds:02d} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes:02d} min"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h"


def show_long(time_s: float) -> str:
    """A time that may be long: ``'3 d 4 h'``, ``'593 days'``, ``'12 years'``."""
    day_s, year_s = 86_400.0, 365.25 * 86_400.0
    if time_s < 10 * day_s:
        return show_duration(time_s)
    if time_s < 3 * year_s:
        return f"{time_s / day_s:,.0f} days"
    return f"{time_s / year_s:,.0f} years" if time_s < 1e5 * year_s else "> 100,000 years"


def show_count(count: float) -> str:
    """``'12,346'``, ``'592.6 million'``: how many, rounded up where they are counted one by one."""
    for size, word in ((1e12, "trillion"), (1e9, "billion"), (1e6, "million")):
        if count >= size * 0.99995:
            return f"{count / size:,.4g} {word}"
    return f"{ceil(round(count, 6)):,}"


def show_chance(probability: float) -> str:
    """``'97 %'``, ``'more than 99.9 %'``, ``'less than 0.1 %'``: nothing that is estimated is certain."""
    if probability >= 0.9995:
        return "more than 99.9 %"
    return "less than 0.1 %" if probability < 0.0005 else show_percent(probability)


def show_change(change: float, show: Callable[[float], str], beside: float) -> str:
    """``'+1.20 kg'``, ``'−3.40 g'``; ``'±0 g'`` for what rounding alone left of a change.

    Args:
        change: signed, in the unit that `show` takes.
        show: shows a size.
        beside: what it is a change of.
    """
    if abs(change) <= 1e-9 * abs(beside):
        return f"±{show(0.0)}"
    return f"{'−' if change < 0 else '+'}{show(abs(change))}"


def show_percent(share: float) -> str:
    """A share in percent: ``show_percent(0.163) == '16 %'``, ``'1.6 %'``, ``'5 %'``."""
    return f"{100 * share:.2g} %" if share < 0.0995 else f"{100 * share:.0f} %"


def _scaled(value: float, scale: tuple[tuple[float, str], ...]) -> str:
    """`value` in the largest unit that leaves at least 1 before the point; three significant digits."""
    if value == 0:
        return f"0 {next(unit for factor, unit in scale if factor == 1.0)}"
    for factor, unit in scale:
        # 0.9995 and not 1: what rounds up to a unit is shown in it ("1.00 kg", not "1000 g").
        if abs(value) >= factor * 0.9995:
            return f"{_digits(value / factor)} {unit}"
    factor, unit = scale[-1]
    return f"{value / factor:.2g} {unit}"


def _digits(value: float) -> str:
    """Three significant digits without an exponent."""
    if abs(value) >= 99.95:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 9.995 else f"{value:.2f}"
