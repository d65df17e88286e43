"""Metrics for Prometheus: an application to mount, or a port of their own.

The figures are the host's, whichever of its processes answers. The text is prometheus_client's, which the extra
``prometheus`` installs; it is loaded when the first metrics are asked for.
"""

from __future__ import annotations

import asyncio
import gzip
from typing import TYPE_CHECKING

import joulegram
from joulegram_serve.asgi import NO_SERVICE, Receive, Scope, Send, answer, service_of

if TYPE_CHECKING:
    from joulegram_serve.collector import FootprintCollector
    from joulegram_serve.metrics_port import MetricsPort

PLAIN = "text/plain; version=0.0.4; charset=utf-8"


def metrics_app(service: joulegram.Service | None = None) -> MetricsApp:
    """An ASGI application that answers Prometheus.

    Example::

        app.add_route("/metrics", metrics_app())

    Args:
        service: that of the middleware around it by default.

    Raises:
        MissingExtra: prometheus_client is not installed.
    """
    return MetricsApp(service)


class MetricsApp:
    """Made by `metrics_app`."""

    def __init__(self, service: joulegram.Service | None) -> None:
        collector_type()
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one scrape. The text is put together in a thread: it is long where there are many routes."""
        if scope["type"] != "http":
            return
        service = service_of(scope, self._service)
        if service is None:
            await answer(scope, send, 503, "text/plain; charset=utf-8", NO_SERVICE)
            return
        told = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        asked = service, told.get(b"accept", ""), told.get(b"accept-encoding", "")
        try:
            asyncio.get_running_loop()
        except RuntimeError:  # trio
            headers, body = exposition(*asked)
        else:
            headers, body = await asyncio.to_thread(exposition, *asked)
        encoded = [(name.encode(), value.encode("latin-1")) for name, value in headers]
        await send({"type": "http.response.start", "status": 200, "headers": encoded})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


def serve_metrics(port: int, service: joulegram.Service, *, address: str = "127.0.0.1") -> MetricsPort:
    """Answers Prometheus on a port of its own, from a thread of this process, until it is closed.

    Every worker of a server may call it with the same port; whichever is asked tells of all.

    Args:
        port: 0 for any that is free.
        service: what `joulegram.serve` returned.
        address: of this machine, where it listens; ``0.0.0.0`` for all. What requests cost can give away what they
            computed: not for everybody.

    Raises:
        ConfigError: nothing can listen there.
        MissingExtra: prometheus_client is not installed.
    """
    from joulegram_serve.metrics_port import MetricsPort

    collector_type()
    service.start()
    return MetricsPort(port, service, address)


def exposition(service: joulegram.Service, accept: str, accept_encoding: str) -> tuple[list[tuple[str, str]], bytes]:
    """Headers and body of an answer.

    Args:
        service: whose figures.
        accept: what the scraper takes: OpenMetrics, which has exemplars, or the older text.
        accept_encoding: whether it takes gzip.
    """
    from prometheus_client import CollectorRegistry, exposition

    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector_type()(service))
    try:
        encoder, content_type = exposition.choose_encoder(accept)
    except (TypeError, ValueError):  # a version that is no number
        encoder, content_type = exposition.generate_latest, PLAIN
    body = encoder(registry)
    headers = [("content-type", content_type)]
    if exposition.gzip_accepted(accept_encoding):
        body = gzip.compress(body, 1)
        headers.append(("content-encoding", "gzip"))
    return [*headers, ("content-length", str(len(body)))], body


def collector_type() -> type[FootprintCollector]:
    """The collector, which is there if prometheus_client is.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        from joulegram_serve.collector import FootprintCollector
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "prometheus_client":
            raise
        raise joulegram.MissingExtra('Metrics need prometheus_client: pip install "joulegram[prometheus]"') from None
    return FootprintCollector
