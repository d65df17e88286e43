"""The route that a request took, as its application wrote it: never the path, of which clients make up any number.

Routers leave what they found in the scope. A mount moves what it matched from the path to ``root_path``, values and
all, so these are turned back into their names. FastAPI's included routers leave the route without their prefix, and the
whole of it beside.
"""

from __future__ import annotations

from typing import Any

from joulegram_serve.asgi import Scope

UNMATCHED = "unmatched"


def route_of(scope: Scope) -> str:
    """The template of the route that answered, such as ``/items/{id}``; `UNMATCHED` where no router found one.

    Where a router names no route, it is the mount, else the name of the function that answered.
    """
    route = scope.get("route")
    if route is None or hasattr(route, "routes"):  # a mount is one itself: nothing inside of it matched, or told
        return _mount_of(scope, "") or _name(scope.get("endpoint")) or UNMATCHED
    fastapi = scope.get("fastapi")
    whole = fastapi.get("effective_route_context") if fastapi else None
    found = whole if whole is not None and whole.original_route is route else route
    path = getattr(found, "path_format", None) or getattr(route, "path", None)
    if not isinstance(path, str):
        return UNMATCHED
    return (_mount_of(scope, path) + path) or "/" if "app_root_path" in scope else path or "/"


def _mount_of(scope: Scope, inside: str) -> str:
    """What the mounts around matched, with names for values; `inside` is the template of what they left."""
    outermost = scope.get("app_root_path")
    if outermost is None:
        return ""
    prefix = str(scope.get("root_path", "")).removeprefix(outermost)
    values = {name: value for name, value in (scope.get("path_params") or {}).items() if f"{{{name}}}" not in inside}
    named = prefix + "/"
    for name, value in values.items():
        before, found, after = named.partition(f"/{value}/")
        if not found:  # it reads otherwise than it was written (007)
            return "/{mount}"
        named = f"{before}/{{{name}}}/{after}"
    return named.removesuffix("/")


def _name(endpoint: Any) -> str:
    return str(getattr(endpoint, "__name__", ""))
