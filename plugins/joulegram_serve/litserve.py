"""What LitServe's inference workers do: how many requests a prediction was for, and how long it took.

Requests are counted where they come in, in LitServe's API processes, by `FootprintMiddleware`; their energy is the
whole host's, so what their worker used is in it. Nothing tells a worker whose request it works on. So its predictions
stand beside the requests, as a route of their own that pays nothing and that no total counts: its ``requests`` are
predictions, its ``items`` the requests in them. Both kinds of process tell times of one clock, and their records meet
in the same books.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from functools import wraps
from inspect import isasyncgenfunction, iscoroutinefunction, isgenerator, isgeneratorfunction
from typing import Any

import litserve

import joulegram
from joulegram_serve.complaints import Complaints
from joulegram_serve.counting import FAILED, made

PREDICTIONS = "within predictions"
"""The route of a worker's predictions."""


class FootprintCallback(litserve.Callback):  # type: ignore[misc]  # litserve has no types
    """Counts the predictions of LitServe's workers, streaming ones until their last part.

    Give it the settings that the middleware has: whichever process is elected counts for all.

    Example::

        settings = {"name": "captions", "zone": "DK-DK1"}
        server = litserve.LitServer(
            api,
            middlewares=[(FootprintMiddleware, settings)],
            callbacks=[FootprintCallback(**settings)],
        )

    Args:
        name: what is served; see `joulegram.serve`.
        **settings: of `joulegram.serve`.
    """

    def __init__(self, name: str | None = None, **settings: Any) -> None:
        self._name, self._settings = name, settings

    def on_after_setup(self, lit_api: Any) -> None:
        """In a worker, once it is ready."""
        try:
            # LitServe kills its workers: whoever answers requests keeps the books, and closes them in time.
            service = made(self._name, {**self._settings, "may_keep_books": False})
            service.start()
            predictions = _Predictions(service)
            lit_api.batch = predictions.sized(lit_api.batch)
            lit_api.predict = predictions.counted(lit_api.predict)
        except Exception as problem:  # the worker serves, whatever its callbacks do
            Complaints("predictions").say_once(problem)


class _Predictions:
    """A worker's predictions. LitServe goes through batches one by one."""

    def __init__(self, service: joulegram.Service) -> None:
        self._service, self._batch_size = service, 1

    def sized(self, batch: Callable[..., Any]) -> Callable[..., Any]:
        """An API's way of making a batch, noting of how many requests it is."""

        @wraps(batch)
        def sized(inputs: Any, *more: Any, **named: Any) -> Any:
            self._batch_size = len(inputs)
            return batch(inputs, *more, **named)

        return sized

    def counted(self, predict: Callable[..., Any]) -> Callable[..., Any]:
        """An API's way of predicting, counted; of the kind that it was, as LitServe goes by that."""

        @wraps(predict)
        def now(*inputs: Any, **named: Any) -> Any:
            prediction = self._begun()
            try:
                found = predict(*inputs, **named)
            except BaseException:
                prediction.end(FAILED)
                raise
            if isgenerator(found):  # a function that hands out another's
                return _through(found, prediction)
            prediction.end(200)
            return found

        @wraps(predict)
        def in_parts(*inputs: Any, **named: Any) -> Iterator[Any]:
            with self._begun():
                yield from predict(*inputs, **named)

        @wraps(predict)
        async def later(*inputs: Any, **named: Any) -> Any:
            with self._begun():
                return await predict(*inputs, **named)

        @wraps(predict)
        async def in_parts_later(*inputs: Any, **named: Any) -> AsyncIterator[Any]:
            with self._begun():
                async for part in predict(*inputs, **named):
                    yield part

        if isasyncgenfunction(predict):
            return in_parts_later
        if iscoroutinefunction(predict):
            return later
        return in_parts if isgeneratorfunction(predict) else now

    def _begun(self) -> joulegram.Request:
        prediction = self._service.begin(PREDICTIONS, weight=0.0)
        prediction.add(items=self._batch_size)
        prediction.status = 200  # for one that raises nothing
        return prediction


def _through(parts: Iterator[Any], prediction: joulegram.Request) -> Iterator[Any]:
    with prediction:
        yield from parts
