"""The door: built-in formats and those of others are found through entry points, and tell mistakes in one line."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from exported import document

from joulegram import exporters, registry
from joulegram.exporters import CannotExport, export, formats

BUILT_IN = ("boamps", "codecarbon", "eu-ai-act", "latex", "methods", "model-card", "sci", "sci-ai")
PACKAGE = '''
"""An exporter of one's own."""

def export(documents, *, greeting="hello"):
    """A line for each run."""
    return "".join(f"{greeting}, {d['run']['name']}: {d['footprint']['energy_j']['value']:.0f} J\\n" for d in documents)
'''


def test_each_built_in_format_comes_through_the_door() -> None:
    assert set(BUILT_IN) <= set(formats())
    for name in BUILT_IN:
        assert callable(registry.load(registry.EXPORTERS, name))


def test_what_a_format_may_be_told_are_its_keyword_arguments() -> None:
    assert exporters.options(registry.load(registry.EXPORTERS, "sci")) == ("unit", "units", "signal")
    assert exporters.options(registry.load(registry.EXPORTERS, "codecarbon")) == ()


def test_an_unknown_format_is_told_with_those_there_are() -> None:
    with pytest.raises(CannotExport, match=r"no format 'xml' \(there are: .*boamps, codecarbon"):
        export("xml", [document()], {})


@pytest.mark.parametrize(("name", "has"), [("sci", "it knows unit, units, signal"), ("codecarbon", "it has none")])
def test_an_unknown_option_is_told_with_those_there_are(name: str, has: str) -> None:
    with pytest.raises(CannotExport, match=rf"{name} has no option 'colour' \({has}\)"):
        export(name, [document()], {"colour": "red"})


def served_by(monkeypatch: pytest.MonkeyPatch, load: Callable[[str, str], Any]) -> None:
    monkeypatch.setattr(registry, "load", load)


def test_an_exporter_that_gives_no_text_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(documents: Sequence[Any]) -> Any:
        return len(documents)

    served_by(monkeypatch, lambda group, name: broken)
    with pytest.raises(CannotExport, match="no text but int"):
        export("theirs", [document()], {})


def test_an_exporter_that_does_not_load_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(group: str, name: str) -> Any:
        raise ModuleNotFoundError("No module named 'theirs'")

    served_by(monkeypatch, load)
    with pytest.raises(CannotExport, match="theirs does not load: No module"):
        export("theirs", [document()], {})


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A package with an exporter, as an installer leaves it."""
    target = tmp_path / "site"
    metadata = target / "their_exporter-1.0.dist-info"
    metadata.mkdir(parents=True)
    (target / "their_exporter.py").write_text(PACKAGE)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: their-exporter\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[joulegram.exporters]\ntheirs = their_exporter:export\n")
    return target


def test_an_exporter_of_anothers_package_is_used(installed: Path) -> None:
    path = os.pathsep.join(filter(None, [str(installed), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path}

    def command(*arguments: str) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "joulegram", *arguments]
        return subprocess.run(line, env=environment, capture_output=True, text=True, timeout=120, check=False)

    ran = command("run", "--name", "their job", "--", sys.executable, "-c", "pass")
    assert ran.returncode == 0, ran.stderr
    told = command("export", "--format", "theirs", "--set", "greeting=good day")
    assert told.stdout.startswith("good day, their job: "), told.stderr
    unknown = command("export", "--format", "xml")
    assert (unknown.returncode, unknown.stdout) == (2, "")
    assert "theirs" in unknown.stderr
    assert unknown.stderr.count("\n") == 1
