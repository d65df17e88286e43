"""An application that a real server serves in tests."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse

from joulegram_serve import FootprintMiddleware, current, footprint_app

app = FastAPI()
app.add_middleware(FootprintMiddleware, name="captions", zone="DK-DK1", headers=True)
app.mount("/footprint", footprint_app())


@app.get("/caption/{number}")
def caption(number: int) -> dict[str, int]:
    current().add(tokens=number)
    return {"pid": os.getpid(), "sum": sum(range(10_000))}


@app.get("/health")
async def health() -> int:
    return os.getpid()


@app.get("/boom")
async def boom() -> None:
    raise RuntimeError("boom")


@app.get("/stream/{chunks}")
async def stream(chunks: int) -> StreamingResponse:
    async def tokens() -> AsyncIterator[bytes]:
        for _ in range(chunks):
            current().add(tokens=1)
            yield b"token " * 1_000
            await asyncio.sleep(0.001)

    return StreamingResponse(tokens())


@app.get("/hold")
async def hold(request: Request) -> dict[str, Any]:
    while not await request.is_disconnected():
        await asyncio.sleep(0.005)
    await asyncio.sleep(3600)  # it goes on for nobody
    return {}
