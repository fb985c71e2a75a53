"""Fixtures that several folders of tests use."""

from __future__ import annotations

import os
import pathlib

import pytest
from hypothesis import settings

from applications.spec import Application

ROOT = pathlib.Path(__file__).resolve().parent.parent

settings.register_profile("untimed", deadline=None)  # a machine that is busy must not fail a property
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def project() -> pathlib.Path:
    """The project's root."""
    return ROOT


@pytest.fixture(scope="session")
def chips() -> Application:
    """An application of small pictures in a folder per class; it has no folder of its own under `applications/`."""
    return Application(
        name="test/chips",
        title="Chips",
        summary="Three classes of small pictures.",
        task="classification",
        modality="image",
        source="applications.formats.image_folder.ImageFolder",
        classes=("grass", "sand", "water"),
    )


@pytest.fixture(scope="session")
def shared_data() -> pathlib.Path:
    """The folder of real data beside the checkout; a test that needs it is skipped where there is none."""
    path = pathlib.Path(os.environ.get("EARTHLOOP_SHARED_DATA") or ROOT.parent / "shared" / "data")
    if not path.is_dir():
        pytest.skip(f"no real data at {path}; EARTHLOOP_SHARED_DATA names another folder")
    return path
