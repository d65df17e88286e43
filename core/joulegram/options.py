"""Options of a meter or a feed, read into what it works with; a mistake is one line that names the remedy."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from math import isfinite
from typing import Any

from joulegram.config import ConfigError


class Options:
    """The options of one plugin, as its user wrote them in a file or, as text, in the environment.

    A message never holds the value of an option, which may be a secret.

    Args:
        kind: what sort of plugin, ``meter`` or ``feed``.
        name: the plugin's.
        tables: the options of all plugins of that kind, by name.
        known: the options that there are.

    Raises:
        ConfigError: an option is misspelt.
    """

    def __init__(self, kind: str, name: str, tables: Mapping[str, Mapping[str, Any]], known: Collection[str]) -> None:
        self.kind, self.plugin = kind, name
        self._values: Mapping[str, Any] = tables.get(name, {})
        for option in self._values:
            if option not in known:
                nearest = difflib.get_close_matches(option, known, n=1)
                raise self.wrong(option, f"there is no such option; known are {', '.join(nearest or sorted(known))}")

    def wrong(self, name: str, why: str) -> ConfigError:
        """The error of an option."""
        return ConfigError(f"{self.kind} option {self.plugin}.{name}: {why}")

    def given(self, name: str) -> bool:
        """Whether the user set an option."""
        return self._values.get(name) is not None

    def shown(self, name: str) -> str:
        """An option as text, whatever its type."""
        return str(self._values.get(name, ""))

    def text(self, name: str, default: str = "") -> str:
        """A text; empty where there is none."""
        value = self._values.get(name, default)
        if not isinstance(value, str):
            raise self.wrong(name, "a text is needed")
        return value.strip()

    def number(self, name: str, default: float) -> float:
        """A number above zero."""
        number = self.number_or_none(name)
        return default if number is None else number

    def number_or_none(self, name: str) -> float | None:
        """A number above zero; None where there is none."""
        number = self._number(name)
        if number is not None and not (isfinite(number) and number > 0):
            raise self.wrong(name, "a number above 0 is needed")
        return number

    def number_between(self, name: str, least: float, most: float) -> float | None:
        """A number from `least` to `most`; None where there is none."""
        number = self._number(name)
        if number is not None and not least <= number <= most:
            raise self.wrong(name, f"a number from {least:g} to {most:g} is needed")
        return number

    def _number(self, name: str) -> float | None:
        """A number, from text too; NaN for what is none, None where there is none."""
        value = self._values.get(name)
        if value is None:
            return None
        try:
            return float("nan") if isinstance(value, bool) else float(value)
        except (TypeError, ValueError):
            return float("nan")

    def choice(self, name: str, among: Collection[str], default: str = "") -> str:
        """One word of several."""
        word = self.text(name, default)
        if word not in among:
            raise self.wrong(name, f"one of {', '.join(among)} is needed")
        return word

    def texts(self, name: str) -> dict[str, str]:
        """A table of texts; as text, lines of ``name: value``."""
        value = self._values.get(name, {})
        if isinstance(value, str):
            pairs = (line.partition(":") for line in value.splitlines() if line.strip())
            value = {key.strip(): text.strip() for key, _, text in pairs}
        if not isinstance(value, Mapping) or not all(isinstance(text, str) for text in value.values()):
            raise self.wrong(name, "a table of texts is needed")
        return dict(value)

    def login(self) -> tuple[str, str] | None:
        """User and password; None where there is no user."""
        user, password = self.text("user"), self.text("password")
        return (user, password) if user else None
