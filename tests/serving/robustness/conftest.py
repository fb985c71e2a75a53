"""The tiny models of the model server's tests, and one server of all of them for tests that leave it as it was."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serving.model_server.conftest import echo, half_plus_two, labelled, text, until, work  # noqa: F401
from tests.serving.robustness.servers import Process, models_file


@pytest.fixture(scope="session")
def models(half_plus_two: Path, echo: Path, work: Path, labelled: Path, text: Path) -> dict[str, Path]:  # noqa: F811
    """Base path by name."""
    return {"half": half_plus_two, "echo": echo, "work": work, "labelled": labelled, "text": text}


@pytest.fixture(scope="session")
def server(models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A server of all models, with the defaults of its flags."""
    folder = tmp_path_factory.mktemp("server")
    with Process(folder, models_file(folder / "models", models)) as process:
        yield process.listening()
