from __future__ import annotations

import copy
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Json = dict[str, Any]


def _worlds() -> Any:
    """`documents.py` beside this file; under pytest's importlib mode no test folder is on the import path."""
    spec = importlib.util.spec_from_file_location("report_documents", Path(__file__).with_name("documents.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_DOCUMENTS: dict[str, Json] = _worlds().documents()


@pytest.fixture
def document_of() -> Callable[[str], Json]:
    """A run document by name: trained, partial, empty, long or hostile; the caller's own to change."""
    return lambda name: copy.deepcopy(_DOCUMENTS[name])


@pytest.fixture(params=sorted(_DOCUMENTS))
def document(request: pytest.FixtureRequest) -> Json:
    """Each run document in turn."""
    return copy.deepcopy(_DOCUMENTS[request.param])
