"""Labels of what FastAPI, Starlette and LitServe route: their templates, whatever is asked for."""

from __future__ import annotations

from typing import Any

import pytest
from asgi_driver import get
from hypothesis import given
from hypothesis import strategies as st

from joulegram_serve.routes import route_of

fastapi = pytest.importorskip("fastapi")
pytest.importorskip("starlette")

from starlette.applications import Starlette  # noqa: E402
from starlette.endpoints import HTTPEndpoint  # noqa: E402
from starlette.responses import PlainTextResponse  # noqa: E402
from starlette.routing import Host, Mount, Route, Router  # noqa: E402


async def answers(request: Any) -> PlainTextResponse:
    return PlainTextResponse("here")


async def answers_all(scope: Any, receive: Any, send: Any) -> None:
    await PlainTextResponse("everywhere")(scope, receive, send)


class Answers(HTTPEndpoint):
    async def get(self, request: Any) -> PlainTextResponse:
        return PlainTextResponse("here")


def starlette_app() -> Any:
    return Starlette(
        routes=[
            Route("/items/{id:int}", answers),
            Route("/class/{name}", Answers),
            Mount("/tenant/{id}", routes=[Route("/items/{id}", answers), Route("/", answers)]),
            Mount("/deep", routes=[Mount("/{a}", routes=[Route("/{b}", answers)])]),
            Mount("/files/{at:path}", routes=[Route("/read", answers)]),
            Mount("/number/{n:int}", routes=[Route("/read", answers)]),
            Mount("/raw", answers_all),
            Host("inside.example", Router([Mount("/m/{o}", routes=[Route("/{p}", answers)])])),
            Mount("", routes=[Mount("/last/{x}", routes=[Route("/y", answers)]), Route("/bare", answers)]),
        ]
    )


def fastapi_app() -> Any:
    def item() -> str:
        return "here"

    app, inside, router, inner = fastapi.FastAPI(), fastapi.FastAPI(), fastapi.APIRouter(), fastapi.APIRouter()
    app.get("/")(item)
    app.get("/items/{id}")(item)
    app.get("/files/{at:path}")(item)
    app.add_route("/plain/{q}", answers)
    inner.get("/deep/{y}")(item)
    inner.get("")(item)
    router.get("/predict/{x}")(item)
    router.add_route("/plain/{q}", answers)
    router.mount("/mounted/{w}", Starlette(routes=[Route("/in/{z}", answers)]))
    router.include_router(inner, prefix="/inner/{z}")
    app.include_router(router, prefix="/model/{name}")
    inside.get("/a/{b}")(item)
    inside.add_route("/plain/{c}", answers)
    inside.include_router(router, prefix="/v1")
    app.mount("/sub/{tenant}", inside)
    app.mount("/raw", answers_all)
    return app


@pytest.mark.parametrize(
    ("path", "label"),
    [
        ("/items/3", "/items/{id}"),
        ("/items/three", "unmatched"),
        ("/items/3/", "unmatched"),  # a redirect to where it is
        ("/class/a", "/class/{name}"),
        ("/tenant/acme/items/7", "/tenant/{id}/items/{id}"),
        ("/tenant/tenant/items/items", "/tenant/{id}/items/{id}"),
        ("/tenant/acme/", "/tenant/{id}/"),
        ("/tenant/acme/nothing", "/tenant/{id}"),
        ("/deep/1/1", "/deep/{a}/{b}"),
        ("/files/a/b/c/read", "/files/{at}/read"),
        ("/number/007/read", "/number/{n}/read"),
        ("/raw/anything/at/all", "/raw"),
        ("/last/1/y", "/last/{x}/y"),
        ("/last/1/none", "/last/{x}"),
        ("/bare", "/bare"),
        ("/nothing", "unmatched"),
    ],
)
@pytest.mark.parametrize("root_path", ["", "/api"])
def test_starlettes_routes(path: str, label: str, root_path: str) -> None:
    assert route_of(get(starlette_app(), root_path + path, root_path=root_path).scope) == label


def test_a_mount_that_cannot_be_seen_has_no_name_of_its_own() -> None:
    answer = get(starlette_app(), "/m/secret/x", headers={"host": "inside.example"})
    assert (answer.status, route_of(answer.scope)) == (200, "/{mount}/{p}")


@pytest.mark.parametrize(
    ("path", "label"),
    [
        ("/", "/"),
        ("/items/3", "/items/{id}"),
        ("/files/a/b/c", "/files/{at}"),
        ("/plain/1", "/plain/{q}"),
        ("/model/m/predict/5", "/model/{name}/predict/{x}"),
        ("/model/m/plain/5", "/model/{name}/plain/{q}"),
        ("/model/m/inner/z/deep/9", "/model/{name}/inner/{z}/deep/{y}"),
        ("/model/m/inner/z", "/model/{name}/inner/{z}"),
        ("/model/m/mounted/1/in/2", "/model/{name}/mounted/{w}/in/{z}"),
        ("/model/m/nothing", "unmatched"),
        ("/sub/acme/a/1", "/sub/{tenant}/a/{b}"),
        ("/sub/acme/plain/1", "/sub/{tenant}/plain/{c}"),
        ("/sub/acme/v1/predict/acme", "/sub/{tenant}/v1/predict/{x}"),
        ("/sub/acme/v1/inner/i/deep/d", "/sub/{tenant}/v1/inner/{z}/deep/{y}"),
        ("/sub/acme/docs", "/sub/{tenant}/docs"),
        ("/sub/acme/nothing", "/sub/{tenant}"),
        ("/openapi.json", "/openapi.json"),
        ("/raw/x", "/raw"),
        ("/nothing", "unmatched"),
    ],
)
@pytest.mark.parametrize("root_path", ["", "/api"])
def test_fastapis_routes(path: str, label: str, root_path: str) -> None:
    assert route_of(get(fastapi_app(), root_path + path, root_path=root_path).scope) == label


def test_a_method_that_is_not_allowed_is_of_its_route() -> None:
    answer = get(fastapi_app(), "/items/3", method="POST")
    assert (answer.status, route_of(answer.scope)) == (405, "/items/{id}")


APPS = {"starlette": starlette_app(), "fastapi": fastapi_app()}
PART = st.sampled_from(
    ["items", "tenant", "deep", "files", "raw", "model", "sub", "inner", "predict", "docs", "last", "v1", "", "{b}"]
)


@pytest.mark.parametrize("kind", APPS)
@given(parts=st.lists(st.one_of(PART, st.just("SECRET"), st.just("SECRET\x00")), max_size=6))
def test_no_label_holds_what_a_client_made_up(kind: str, parts: list[str]) -> None:
    label = route_of(get(APPS[kind], "/" + "/".join(parts)).scope)
    assert "SECRET" not in label
    assert label == "unmatched" or label.startswith("/")


def test_litserves_routes() -> None:
    litserve = pytest.importorskip("litserve")

    class Echo(litserve.LitAPI):  # type: ignore[misc,name-defined]
        def setup(self, device: str) -> None: ...

        def predict(self, x: Any) -> Any:
            return x

    server = litserve.LitServer(Echo(api_path="/v1/predict"), accelerator="cpu")
    assert route_of(get(server.app, "/v1/predict").scope) == "/v1/predict"
    assert route_of(get(server.app, "/nothing").scope) == "unmatched"
