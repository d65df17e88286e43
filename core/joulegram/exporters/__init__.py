"""Disclosure: a run, or several together, in the formats that others ask for.

An exporter is a function: documents of runs in (as `joulegram report --json` prints them, oldest first), text out. It
measures nothing and prices nothing. What it needs to know beyond the documents it takes as keyword arguments, all of
them text with a default; on the command line they are given as ``--set NAME=VALUE``. It is found by the name of its
entry point in the group `joulegram.exporters`, the built-in ones through the same door as anyone else's::

    [project.entry-points."joulegram.exporters"]
    my-format = "my_package.my_format:export"
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from joulegram import registry

Document = Mapping[str, Any]
Exporter = Callable[..., str]


class CannotExport(ValueError):
    """What was asked for cannot be told in that format; the message says why and what to do."""


def formats() -> tuple[str, ...]:
    """Names of the formats on offer."""
    return registry.names(registry.EXPORTERS)


def export(name: str, documents: Sequence[Document], given: Mapping[str, str]) -> str:
    """Runs in a format.

    Args:
        name: of the format.
        documents: of the runs, oldest first.
        given: what the format wants to know beyond them, by name.

    Raises:
        CannotExport: there is no such format, it knows no such option, or it cannot tell these runs.
    """
    exporter = _load(name)
    known = options(exporter)
    for option in given:
        if option not in known:
            has = f"it knows {', '.join(known)}" if known else "it has none"
            raise CannotExport(f"{name} has no option {option!r} ({has})")
    text = exporter(documents, **given)
    if not isinstance(text, str):
        raise CannotExport(f"the exporter {name} gave no text but {type(text).__name__}: it is broken")
    return text


def options(exporter: Exporter) -> tuple[str, ...]:
    """What an exporter may be told: the names of its keyword arguments."""
    keyword = inspect.Parameter.KEYWORD_ONLY
    return tuple(name for name, p in inspect.signature(exporter).parameters.items() if p.kind is keyword)


def _load(name: str) -> Exporter:
    try:
        found: Exporter = registry.load(registry.EXPORTERS, name)
    except LookupError:
        raise CannotExport(f"there is no format {name!r} (there are: {', '.join(formats()) or 'none'})") from None
    except (ImportError, AttributeError, SyntaxError) as error:
        raise CannotExport(f"the exporter {name} does not load: {error}") from None
    return found
