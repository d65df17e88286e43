"""When to run, by what the feeds of a zone say of what was and of what is expected."""

from __future__ import annotations

import time

from joulegram import config
from joulegram.analysis.outlook import DAY_S, CannotPlan
from joulegram.analysis.pausing import Pauses
from joulegram.analysis.saving import DAYS
from joulegram.analysis.when import Plan, plan
from joulegram.feeds import Unavailable
from joulegram.feeds.asking import PointsOf, from_feeds


def when_to_run(
    duration_s: float,
    within_s: float = DAY_S,
    *,
    zone: str | None = None,
    intensity: str | None = None,
    pauses: Pauses | None = None,
) -> Plan:
    """When to run a job so that it is expected to emit least; asks feeds, and waits for them.

    Example::

        plan = joulegram.when_to_run(6 * 3600, zone="GB")
        print(plan.best.start_s, plan.saving)

    Args:
        duration_s: of the job (s).
        within_s: the time (s) from now in which it has to be finished.
        zone: where it runs; as configured by default.
        intensity: the feed, or ``series:PATH``; as configured by default.
        pauses: what pausing costs; None for a job that cannot be paused.

    Raises:
        CannotPlan: the job does not fit, or too little is known of the zone.
        ConfigError: an argument or the configuration is not understood.
    """
    settings = config.load({"zone": zone, "intensity": intensity})
    return in_zone(from_feeds(settings, time.time), settings.zone or "", time.time(), duration_s, within_s, pauses)


def in_zone(
    points_of: PointsOf, zone: str, now_s: float, duration_s: float, within_s: float, pauses: Pauses | None
) -> Plan:
    """The plan for one zone; see `joulegram.analysis.when.plan`."""
    try:
        points = points_of(zone, now_s - DAYS * DAY_S, now_s + max(within_s, DAY_S))
    except Unavailable as error:
        raise CannotPlan(str(error)) from None
    return plan(points, now_s, duration_s, within_s, zone=zone, pauses=pauses)
