"""joulegram for inference servers: one ASGI middleware, and every request has its energy and carbon.

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
"""

from joulegram_serve.access_log import FootprintFilter
from joulegram_serve.context import current
from joulegram_serve.look_up import footprint_app
from joulegram_serve.middleware import FootprintMiddleware

__all__ = ["FootprintFilter", "FootprintMiddleware", "current", "footprint_app"]
