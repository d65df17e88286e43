"""Joules out of a Prometheus server, for virtual machines and pods whose host exports them.

Scaphandre and Kepler measure on the host what a guest cannot see. A query picks the series that are this machine's, in
the user's own configuration:

    [meter_options.prometheus]
    url = "http://prometheus:9090"
    query = 'sum(kepler_vm_cpu_joules_total{vm_name="trainer", zone="package"})'
    unit = "joules"
    kind = "cpu"

Of Kepler one zone has to be picked: its packages contain its cores. Scaphandre tells a power, in ``microwatts``:
``scaph_process_power_consumption_microwatts`` of the guest's process.

A query with several series needs ``label``, the name of the label that tells them apart; each is a channel then.
``scrape_s`` is how often the server scrapes the exporter: a figure may be that old. ``token`` is a bearer token; what
may be set of every meter behind a network is told in `joulegram.meters.http_meter`.

Wire format: the instant query of Prometheus's HTTP API, /api/v1/query.
"""

from __future__ import annotations

from collections.abc import Mapping

from joulegram import promql
from joulegram.config import Settings
from joulegram.meters.polling import REMOTE_OPTIONS, JsonSource, PolledMeter, Remote
from joulegram.meters.tally import number
from joulegram.options import Options
from joulegram.web import Answer, Unanswered

KNOWN = (*REMOTE_OPTIONS, "query", "label", "scrape_s", "token", "headers", "user", "password")

DEFAULT_SCRAPE_S = 60.0
"""`scrape_interval` where a server's configuration does not set it."""


class PrometheusMeter(PolledMeter):
    """One channel for each series of a query."""

    @classmethod
    def open(cls, settings: Settings) -> PrometheusMeter:
        """The meter that the user's options describe, asked once.

        Without a label there is one channel, and a server that does not answer yet is missing until it does.

        Raises:
            Absent: no address is configured.
            ConfigError: an option is wrong, or the server cannot read the query.
            Denied: the server wants a token.
            Unanswered: the server did not answer, and only it knows the series.
        """
        options = Options("meter", "prometheus", settings.meter_options, KNOWN)
        scrape_s = options.number("scrape_s", DEFAULT_SCRAPE_S)
        remote = Remote.read(options, "cpu", unstated=0.0, refresh_s=scrape_s)
        query, label = options.text("query"), options.text("label")
        if not query:
            raise options.wrong("query", "a PromQL query is needed")
        source = JsonSource(
            f"{remote.url.rstrip('/')}/api/v1/query",
            remote.timeout_s,
            options.texts("headers"),
            options.text("token"),
            options.login(),
        )
        poller = remote.poller(
            "prometheus", lambda: _named(_found(source.get(parameters={"query": query}), options), label, options)
        )
        poller.begin([] if label else [""])
        where = f"from the Prometheus query {query} at {source.host}"
        return cls(poller, [remote.channel(name or "prometheus", where) for name in poller.names])


def _found(answer: Answer, options: Options) -> list[tuple[Mapping[str, str], float]]:
    """Labels and figure of each series; NaN where it is none (the API writes ``NaN`` and ``+Inf`` as text)."""
    try:
        series = promql.series(answer)
    except promql.BadQuery as error:
        raise options.wrong("query", str(error)) from None
    return [(each.labels, number(each.samples[-1][1] if each.samples else None)) for each in series]


def _named(series: list[tuple[Mapping[str, str], float]], label: str, options: Options) -> Mapping[str, float]:
    """The figures by the label that tells them apart.

    Raises:
        ConfigError: it does not tell them apart.
        Unanswered: there is no series: the exporter is gone, or has not been scraped yet.
    """
    if not series:
        raise Unanswered("the query finds no series")
    named = {labels.get(label, ""): figure for labels, figure in series}
    if len(named) < len(series):
        why = f"{len(series)} series are not told apart by it: name a label that does, or sum() them in the query"
        raise options.wrong("label", why)
    return named
