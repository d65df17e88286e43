"""joulegram for inference servers: one middleware, and every request has its energy and carbon.

Example::

    from joulegram_serve import FootprintMiddleware, current

    app = FastAPI()
    app.add_middleware(FootprintMiddleware, name="captions", zone="DK-DK1")

    @app.post("/caption")
    async def caption(image: bytes):
        text = model(image)
        current().add(tokens=len(text))
        return text

It is pure ASGI and imports no framework: FastAPI, Starlette, LitServe, Ray Serve's ingress, BentoML and vLLM take it.
`FootprintWSGI` is the same for WSGI; `joulegram_serve.grpc` has interceptors, `joulegram_serve.litserve` a callback for
LitServe's workers, `joulegram_serve.django` Django's routes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from joulegram_serve.access_log import FootprintFilter
from joulegram_serve.context import current
from joulegram_serve.look_up import footprint_app
from joulegram_serve.metrics import collector_type, metrics_app, serve_metrics
from joulegram_serve.middleware import FootprintMiddleware
from joulegram_serve.telemetry import FootprintTelemetry
from joulegram_serve.wsgi import FootprintWSGI

if TYPE_CHECKING:
    from joulegram_serve.collector import FootprintCollector as FootprintCollector

__all__ = [
    "FootprintCollector", "FootprintFilter", "FootprintMiddleware", "FootprintTelemetry", "FootprintWSGI", "current",
    "footprint_app", "metrics_app", "serve_metrics",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """What needs a library that may not be there."""
    if name == "FootprintCollector":
        return collector_type()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
