from __future__ import annotations

import copy
import importlib.util
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

Json = dict[str, Any]
CHROMIUM, DRIVER = "/usr/bin/chromium", "/usr/bin/chromedriver"


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


def _browser(profile: Path) -> Any:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--window-size=1200,900",
        f"--user-data-dir={profile}",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(options=options, service=Service(DRIVER))


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    if not shutil.which(CHROMIUM) and not os.environ.get("CI"):
        pytest.skip("chromium is not installed here")
    driver = _browser(tmp_path_factory.mktemp("chromium"))
    yield driver
    driver.quit()
