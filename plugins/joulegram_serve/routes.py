"""The route that a request took, as its application wrote it: never the path, of which clients make up any number.

Routers of Starlette leave what they chose in the scope: the route itself, or its endpoint alone. FastAPI's included
routers leave the route without their prefix, and the whole of it beside. A mount leaves what it matched of the path,
values and all, so its template is looked up among the application's own routes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from joulegram_serve.asgi import Scope

UNMATCHED = "unmatched"
ROUTE = "joulegram.route"
"""Where an application may leave the template of the route that it chose: in its scope, or its environment."""
SOME_MOUNT = "/{mount}"
"""A mount that is not among the routes that can be seen."""
_BELOW = "/{path}"
"""What a mount's template ends with: whatever is below it."""


def route_of(scope: Scope) -> str:
    """The template of the route that answered, such as ``/items/{id}``; `UNMATCHED` where no router found one.

    Below a mount where no route is told, it is the mount.
    """
    told = scope.get(ROUTE)
    if told is not None:
        return str(told)
    route = _included(scope) if "fastapi" in scope else scope.get("route")
    if route is not None and hasattr(route, "routes"):  # a mount, which is one among others on the way
        route = None
    if "app_root_path" in scope:
        mount, routes = _mount(scope)
    else:
        mount, routes = "", None
    if route is None:
        route = _found(scope, _routes(scope.get("router")) if routes is None else routes)
    template = getattr(route, "path_format", None)
    if template.__class__ is not str:
        return mount or _name(scope) or UNMATCHED
    return mount + template or "/"


def _included(scope: Scope) -> Any:
    """The route that was chosen, the whole of it if a router that FastAPI includes chose it."""
    whole = scope["fastapi"].get("effective_route_context")
    if whole is not None:
        whole = getattr(whole, "starlette_route", None) or whole
        endpoint = getattr(whole, "endpoint", None)
        if endpoint is not None and endpoint is scope.get("endpoint"):
            return whole
    return scope.get("route")


def _found(scope: Scope, routes: Iterable[Any]) -> Any:
    """The route of the endpoint that answered."""
    endpoint = scope.get("endpoint")
    if endpoint is None:
        return None
    path = scope["path"].removeprefix(scope.get("root_path", ""))
    for route in routes:
        if getattr(route, "endpoint", None) is endpoint and route.path_regex.match(path):
            return route
    return None


def _mount(scope: Scope) -> tuple[str, Iterator[Any]]:
    """The template of the mounts on the way, and the routes that are below."""
    routes, template = _routes(scope.get("router")), ""
    rest = scope["root_path"].removeprefix(scope["app_root_path"])
    while rest:
        for mount in routes:
            match = mount.path_regex.match(f"{rest}/") if hasattr(mount, "routes") else None
            if match:
                break
        else:
            return SOME_MOUNT, iter(())
        rest = match["path"].removesuffix("/")
        rest = f"/{rest}" if rest else ""
        template += mount.path_format.removesuffix(_BELOW)
        routes = _routes(mount)
    return template, routes


def _routes(router: Any) -> Iterator[Any]:
    """Its routes, those of routers that it includes with their prefixes."""
    for route in getattr(router, "routes", None) or ():
        yield from _whole(route)


def _whole(route: Any) -> Iterator[Any]:
    if hasattr(route, "effective_candidates"):  # a router that FastAPI includes
        for candidate in route.effective_candidates():
            yield from _whole(candidate)
    else:
        route = getattr(route, "starlette_route", None) or route
        if hasattr(route, "path_regex"):  # which a host has not
            yield route


def _name(scope: Scope) -> str:
    """That of the function that answered."""
    return str(getattr(scope.get("endpoint"), "__name__", ""))
