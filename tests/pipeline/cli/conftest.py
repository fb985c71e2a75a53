"""A data folder, and the fake runner in the real one's place."""

from __future__ import annotations

import pathlib
import sys

import pytest
from click.testing import CliRunner

from applications import discovery
from pipeline.cli import main as entry
from pipeline.cli import run as run_module

APP = "satellite/landcover"
FAKE = pathlib.Path(__file__).with_name("fake_runner.py")


@pytest.fixture
def chips(tmp_path):
    """A folder per class with five files each; nobody reads them here."""
    for name in discovery.load(APP).classes:
        (tmp_path / "chips" / name).mkdir(parents=True)
        for number in range(5):
            (tmp_path / "chips" / name / f"{number}.jpg").write_bytes(b"jpeg")
    return tmp_path / "chips"


@pytest.fixture
def fake(monkeypatch, project):
    """Puts the fake runner in the real one's place; returns its path."""
    monkeypatch.setenv("PYTHONPATH", str(project))
    monkeypatch.setattr(run_module, "RUNNER", (sys.executable, str(FAKE)))
    return FAKE


@pytest.fixture
def earthloop(tmp_path, monkeypatch, capsys):
    """Runs one command line in an empty folder; returns its exit code and what it printed."""
    (tmp_path / "here").mkdir(exist_ok=True)
    monkeypatch.chdir(tmp_path / "here")

    def call(*words):
        capsys.readouterr()
        code = entry.main([str(word) for word in words])
        printed = capsys.readouterr()
        return code, printed.out + printed.err

    return call


@pytest.fixture
def invoke():
    """Click's own runner."""
    return CliRunner()
