"""A wall meter or smart plug that tells its energy, or its power, as JSON over HTTP.

Named in the user's own configuration. The whole machine's energy, power supply and fans included:

    [meter_options.http]
    url = "http://192.0.2.7/rpc/Switch.GetStatus?id=0"    # Shelly Plus, Pro and later (Gen2 RPC)
    path = "aenergy.total"
    unit = "Wh"

| device | url | path of the counter, unit | path of the power |
|---|---|---|---|
| Shelly, Gen2 and later | ``http://PLUG/rpc/Switch.GetStatus?id=0`` | ``aenergy.total``, ``Wh`` | ``apower`` |
| Shelly Plug, 1PM (Gen1) | ``http://PLUG/status`` | ``meters[0].total``, ``Wmin`` | ``meters[0].power`` |
| Shelly EM, 3EM (Gen1) | ``http://PLUG/status`` | ``emeters[0].total``, ``Wh`` | ``emeters[0].power`` |
| Tasmota | ``http://PLUG/cm?cmnd=Status%208`` | ``StatusSNS.ENERGY.Total``, ``kWh`` | ``StatusSNS.ENERGY.Power`` |

Further options: ``kind``, ``share`` (``exclusive`` or ``cpu``), ``period_s``, ``timeout_s``, ``max_w`` and ``accuracy``
of the plug (0.02 for 2 %), ``wraps_at`` in its unit, ``headers``, ``user`` and ``password``.

A counter is better than a power that has to be summed up, unless its steps are coarse: Tasmota's are of 1 Wh (3600 J)
as it comes (its command ``EnergyRes 5`` makes them 0.01 Wh). A step is the last decimal of the first answer, the whole
unit where none came, and the bounds of every edge hold it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import isnan
from typing import Any

from joulegram.config import Settings
from joulegram.meters.polling import REMOTE_OPTIONS, JsonSource, PolledMeter, Remote
from joulegram.meters.tally import decimals, joules_in, number
from joulegram.options import Options
from joulegram.web import Unanswered

ACCURACY = 0.05
"""Where `accuracy` is not given. Electricity meters are certified to 1 or 2 % (IEC 62053-21, classes 1 and 2), plugs to
nothing: an allowance that no data here could test."""

KNOWN = (*REMOTE_OPTIONS, "path", "headers", "user", "password")

Step = str | int
_STEP = re.compile(r"""\.?([^.\[\]"]+)|\[(\d+)\]|\.?\["([^"]+)"\]""")


class HttpMeter(PolledMeter):
    """One channel: what the plug feeds, the whole machine (kind ``node``) unless the options say otherwise."""

    @classmethod
    def open(cls, settings: Settings) -> HttpMeter:
        """The meter that the user's options describe; one that does not answer yet is missing until it does.

        Raises:
            Absent: no address is configured.
            ConfigError: an option is wrong.
            Denied: it wants a password.
        """
        options = Options("meter", "http", settings.meter_options, KNOWN)
        remote = Remote.read(options, "node", unstated=ACCURACY)
        path = options.text("path")
        try:
            steps = steps_of(path)
        except ValueError as error:
            raise options.wrong("path", str(error)) from None
        source = JsonSource(remote.url, remote.timeout_s, options.texts("headers"), login=options.login())

        places = 0

        def ask() -> Mapping[str, float]:
            nonlocal places
            shown = found(source.get().json(), steps)
            figure = number(shown)
            if isnan(figure):
                raise Unanswered(f"there is no number at {path} in the answer of {source.host}")
            places = max(places, decimals(shown))
            return {source.host: figure}

        poller = remote.poller("http", ask)
        poller.begin([source.host])
        step_j = (joules_in(remote.unit) or 0.0) / 10**places
        return cls(poller, [remote.channel(source.host, f"from {path} at {source.host}", step_j)])


def steps_of(path: str) -> list[Step]:
    """The keys and places on the way to a figure: ``emeters[0].total``, ``["a.b"].c``.

    Raises:
        ValueError: it is no such path.
    """
    steps: list[Step] = []
    position = 0
    while match := _STEP.match(path, position):
        key, place, quoted = match.groups()
        steps.append(int(place) if place is not None else key or quoted)
        position = match.end()
    if not steps or position < len(path):
        raise ValueError("a path such as StatusSNS.ENERGY.Power or emeters[0].total is needed")
    return steps


def found(body: Any, steps: list[Step]) -> Any:
    """What is at the end of a path; None where it leads nowhere."""
    for step in steps:
        try:
            body = body[step]
        except (LookupError, TypeError):
            return None
    return body
