"""One synthetic folder per application, made once for all tests here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from applications import discovery
from applications.formats.source import Source
from applications.spec import Application


class Made(NamedTuple):
    """A synthetic folder with what it was made from."""

    application: Application
    source: Source
    path: Path
    truth: dict[str, Any]


@pytest.fixture(scope="session", params=discovery.names())
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    application = discovery.load(request.param)
    source = discovery.source(application)
    path = tmp_path_factory.mktemp("world") / application.model_name
    source.synthesize(str(path), items=600, seed=3)
    return Made(application, source, path, json.loads((path / "truth.json").read_text()))
