"""A Kubeflow Pipelines server for tests."""

from __future__ import annotations

import importlib.util
import pathlib

import pytest


@pytest.fixture(scope="session")
def kubeflow_module():
    """The module `kubeflow_server.py` beside this file."""
    pytest.importorskip("kfp")
    spec = importlib.util.spec_from_file_location(
        "kubeflow_server", pathlib.Path(__file__).with_name("kubeflow_server.py")
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def kubeflow(kubeflow_module, monkeypatch):
    """A running server; repetitions follow at once."""
    from pipeline import kubeflow_connection, kubeflow_follow

    monkeypatch.setattr(kubeflow_connection, "BACKOFF_S", 0.0)
    monkeypatch.setattr(kubeflow_follow, "_POLL_S", (0.001, 0.001))
    server = kubeflow_module.Server()
    yield server
    server.close()
