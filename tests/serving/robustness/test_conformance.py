"""The gRPC port is held to RFC 9113 and RFC 7541 by h2spec."""

from __future__ import annotations

import re

import pytest

from tests.serving.model_server.conftest import config_of  # noqa: F401
from tests.serving.model_server.grpc.conftest import serve  # noqa: F401
from tests.serving.robustness.servers import Process, ask, get
from tests.serving.robustness.test_interop import authority, secured, start  # noqa: F401
from tests.serving.robustness.tools import found, said

pytestmark = pytest.mark.slow
CASES, SKIPPED_MOST = 145, 4
PATH = "/tensorflow.serving.PredictionService/Predict"


def assert_conforms(port: int, *more: str) -> None:
    """Runs all cases against a port."""
    command = (found("h2spec"), "-h", "127.0.0.1", "-p", str(port), "-P", PATH, "-o", "5", *more)
    words = said(*command, timeout_s=540, is_well=False)
    counted = re.search(r"(\d+) tests, (\d+) passed, (\d+) skipped, (\d+) failed", words)
    assert counted is not None, words
    cases, _, skipped, failed = map(int, counted.groups())
    assert failed == 0, words[words.find("Failures") :]
    assert cases == CASES
    assert skipped <= SKIPPED_MOST


def test_the_server_passes_all_of_h2spec(server: Process):
    assert_conforms(server.grpc_port)
    assert ask(server.port, get("/v1/models/half"))[0] == 200
    assert "Traceback" not in server.words()


def test_over_tls_the_server_passes_all_of_h2spec(secured, caplog):  # noqa: F811
    assert_conforms(secured[0].server.port, "-t", "-k")
    assert [record for record in caplog.records if record.levelname in {"WARNING", "ERROR"}] == []
