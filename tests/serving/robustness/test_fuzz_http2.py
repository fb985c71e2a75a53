"""Broken HTTP/2, much of it: each connection ends, the log stays clean, nothing is held, and good calls are answered.

The cases come from a seed, so a failure comes again; its message names the case.
"""

from __future__ import annotations

import logging
import os
import random
import socket
import struct
from pathlib import Path

import grpc
import numpy as np
import pytest
from tensorflow_serving.apis import predict_pb2

from serving.model_server.http2 import frames
from serving.model_server.http2.frames import Kind
from tests.serving.model_server.conftest import config_of, fake_servable  # noqa: F401
from tests.serving.model_server.grpc.conftest import Running, serve  # noqa: F401
from tests.serving.robustness import http2_cases
from tests.serving.robustness.servers import predict_request

FUZZ_SEED = 20_261_121
CASES, FEW = 24_000, 600
PATIENCE_S = 20.0
MAX_GROWTH_MB = 20.0
_ABORT = struct.pack("ii", 1, 0)  # SO_LINGER: a reset in place of an end
_LOG = logging.getLogger(__name__)


@pytest.fixture
def running(serve, fake_servable, config_of, tmp_path) -> Running:  # noqa: F811
    """A server with a model of pure Python."""
    (tmp_path / "m" / "1").mkdir(parents=True)
    (tmp_path / "m" / "1" / "saved_model.pb").write_bytes(b"")
    return serve(lambda name, version, _: fake_servable(name, version), config_of({"m": tmp_path / "m"}))


def test_some_broken_conversations_leave_the_server_as_it_was(running, until, caplog):
    with caplog.at_level(logging.INFO):
        answered = speak(running.server.port, FUZZ_SEED, FEW)
    assert_as_before(running, until, caplog)
    assert answered > FEW // 4


@pytest.mark.slow
def test_many_broken_conversations_leave_the_server_as_it_was(running, until, caplog):
    with caplog.at_level(logging.INFO):
        for seed in (1, 2, 3):  # pools fill
            speak(running.server.port, seed, CASES // 20)
        before_mb = resident_mb()
        answered = speak(running.server.port, FUZZ_SEED, CASES)
    assert_as_before(running, until, caplog)
    _LOG.info("%d answers; resident: %.0f MB before, %.0f MB after", answered, before_mb, resident_mb())
    assert answered > CASES // 4
    assert resident_mb() < before_mb + MAX_GROWTH_MB


def speak(port: int, seed: int, count: int) -> int:
    """Has so many broken conversations, each on a connection of its own; returns how many calls were answered."""
    rng, predict, answered = random.Random(seed), predict_request("m"), 0
    for number in range(count):
        data = http2_cases.broken(rng, http2_cases.conversation(rng, predict))
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as connection:
            if rng.random() < 0.1:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
                connection.sendall(data)
                continue
            try:
                connection.sendall(data)
                connection.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # the server has ended it before all was sent
            answered += _read_to_the_end(connection, f"{number} of seed {seed}: {data!r}").count(b"grpc-status")
    return answered


def _read_to_the_end(connection: socket.socket, what: str) -> bytes:
    found = b""
    try:
        while data := connection.recv(1 << 16):
            found += data
    except ConnectionError:
        pass
    except TimeoutError as error:
        raise AssertionError(f"the connection stays open after {what}") from error
    return found


def assert_as_before(running: Running, until, caplog) -> None:
    """Checks that the server answers, holds nothing, and has logged no fault of its own."""
    call = running.channel.unary_unary(
        "/tensorflow.serving.PredictionService/Predict", response_deserializer=predict_pb2.PredictResponse.FromString
    )
    assert np.array(call(predict_request("m"), timeout=PATIENCE_S).outputs["y"].float_val).tolist() == [3.0]
    until(lambda: len(running.server.connections) == 1)  # the channel's
    assert (running.server.open_streams, running.server.held_bytes) == (0, 0)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_conversations_are_good_before_they_are_broken(running):
    rng, predict = random.Random(FUZZ_SEED), predict_request("m")
    for _ in range(50):
        sent = http2_cases.conversation(rng, predict)
        with socket.create_connection(("127.0.0.1", running.server.port), timeout=PATIENCE_S) as connection:
            connection.sendall(frames.PREFACE + b"".join(sent))
            connection.shutdown(socket.SHUT_WR)
            answers = _read_to_the_end(connection, repr(sent))
        reader = frames.FrameReader(frames.MOST_FRAME_BYTES)
        kinds = [kind for kind, *_ in reader.feed(frames.PREFACE + answers)]
        assert kinds[:2] == [Kind.SETTINGS, Kind.WINDOW_UPDATE]
        assert Kind.GOAWAY not in kinds
        assert Kind.RST_STREAM not in kinds


def resident_mb() -> float:
    """Memory of this process, with the server in it, MB."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def test_a_channel_of_grpc_finds_the_server_again_after_noise(running):
    speak(running.server.port, 5, 20)
    assert grpc.channel_ready_future(running.channel).result(10) is None
