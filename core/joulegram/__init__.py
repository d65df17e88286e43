"""joulegram: from joules to grams. The compute, energy and carbon of every epoch and every request.

Example::

    import joulegram

    with joulegram.track("ablation-3", project="resnets", zone="DK-DK1") as run:
        with run.span("epoch", index=0):
            ...
    print(run.footprint().energy_j)

Tracking is loaded at once, so that a run starts without delay; it needs neither NumPy nor anything heavier. Every other
name is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from joulegram.session.live import Run, Span, check_settings, current_run, start, status_of, track
from joulegram.version import __version__

if TYPE_CHECKING:
    from joulegram.analysis.breakeven import NoBreakEven as NoBreakEven
    from joulegram.analysis.breakeven import break_even as break_even
    from joulegram.analysis.expected import when_to_run as when_to_run
    from joulegram.analysis.measures import Unanswerable as Unanswerable
    from joulegram.analysis.outlook import CannotPlan as CannotPlan
    from joulegram.analysis.pausing import Pauses as Pauses
    from joulegram.analysis.whatif import what_if as what_if
    from joulegram.analysis.when import Plan as Plan
    from joulegram.config import ConfigError as ConfigError
    from joulegram.extras import MissingExtra as MissingExtra
    from joulegram.ledger.ledger import UnknownRun as UnknownRun
    from joulegram.pricing import Footprint as Footprint
    from joulegram.quantities import Quantity as Quantity
    from joulegram.records import IntensityPoint as IntensityPoint
    from joulegram.report.page import write_page as write_page
    from joulegram.report.table import print_run as print_run
    from joulegram.report.table import summary_table as summary_table
    from joulegram.serving.service import Request as Request
    from joulegram.serving.service import Service as Service
    from joulegram.serving.service import serve as serve
    from joulegram.serving.snapshot import ChannelTotals as ChannelTotals
    from joulegram.serving.snapshot import Parts as Parts
    from joulegram.serving.snapshot import Result as Result
    from joulegram.serving.snapshot import RouteTotals as RouteTotals
    from joulegram.serving.snapshot import Snapshot as Snapshot
    from joulegram.session.budget import Budget as Budget
    from joulegram.session.recorded import open_ledger as open_ledger

_HOMES = {
    "Budget": "session.budget",
    "CannotPlan": "analysis.outlook",
    "ChannelTotals": "serving.snapshot",
    "ConfigError": "config",
    "Footprint": "pricing",
    "IntensityPoint": "records",
    "MissingExtra": "extras",
    "NoBreakEven": "analysis.breakeven",
    "Parts": "serving.snapshot",
    "Pauses": "analysis.pausing",
    "Plan": "analysis.when",
    "Quantity": "quantities",
    "Request": "serving.service",
    "Result": "serving.snapshot",
    "RouteTotals": "serving.snapshot",
    "Service": "serving.service",
    "Snapshot": "serving.snapshot",
    "Unanswerable": "analysis.measures",
    "UnknownRun": "ledger.ledger",
    "break_even": "analysis.breakeven",
    "open_ledger": "session.recorded",
    "print_run": "report.table",
    "serve": "serving.service",
    "summary_table": "report.table",
    "what_if": "analysis.whatif",
    "when_to_run": "analysis.expected",
    "write_page": "report.page",
}

__all__ = [
    "Budget",
    "CannotPlan",
    "ChannelTotals",
    "ConfigError",
    "Footprint",
    "IntensityPoint",
    "MissingExtra",
    "NoBreakEven",
    "Parts",
    "Pauses",
    "Plan",
    "Quantity",
    "Request",
    "Result",
    "RouteTotals",
    "Run",
    "Service",
    "Snapshot",
    "Span",
    "Unanswerable",
    "UnknownRun",
    "__version__",
    "break_even",
    "check_settings",
    "current_run",
    "open_ledger",
    "print_run",
    "serve",
    "start",
    "status_of",
    "summary_table",
    "track",
    "what_if",
    "when_to_run",
    "write_page",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
