"""Clients that others have written ask the gRPC server: each is answered as by any server of HTTP/2."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import ssl
from collections.abc import Iterator

import grpc
import numpy as np
import pytest
from tensorflow_serving.apis import predict_pb2

from serving.model_server.config_files import Tls
from serving.model_server.grpc.wire import framed
from serving.model_server.http2 import frames
from serving.model_server.tls import HTTP_2, server_context
from tests.serving.model_server.conftest import FakeServable, config_of  # noqa: F401
from tests.serving.model_server.grpc.conftest import Running, Servers, serve  # noqa: F401
from tests.serving.model_server.test_tls import Authority
from tests.serving.robustness.tools import found, said

PREDICT = "/tensorflow.serving.PredictionService/Predict"
LARGE = 30_000_000  # bytes
_UNBOUND = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


@pytest.fixture
def start(serve, config_of, tmp_path):  # noqa: F811
    """Serves a model of pure Python: `start(**GrpcOptions)`."""
    (tmp_path / "m" / "1").mkdir(parents=True)
    (tmp_path / "m" / "1" / "saved_model.pb").write_bytes(b"")
    config = config_of({"m": tmp_path / "m"})
    return lambda **options: serve(lambda name, version, _: FakeServable(name, version), config, **options)


@pytest.fixture
def running(start) -> Running:
    return start()


def request(values=(1.0,)) -> bytes:
    asked = predict_pb2.PredictRequest()
    asked.model_spec.name = "m"
    asked.inputs["x"].dtype = 1
    asked.inputs["x"].tensor_shape.dim.add(size=len(values))
    asked.inputs["x"].tensor_content = np.float32(values).tobytes()
    return asked.SerializeToString()


def predicted(data: bytes) -> np.ndarray:
    tensor = predict_pb2.PredictResponse.FromString(data).outputs["y"]
    return np.frombuffer(tensor.tensor_content, np.float32) if tensor.tensor_content else np.float32(tensor.float_val)


@pytest.fixture
def body(tmp_path) -> Iterator[str]:
    """A file with a request for Predict as gRPC sends it."""
    path = tmp_path / "body"
    path.write_bytes(framed(request()))
    return str(path)


def test_thirty_megabytes_go_both_ways_beside_small_calls(start):
    running = start(as_tensor_content=True, batching={"max_batch_size": LARGE, "max_enqueued_batches": 100})
    values = np.arange(LARGE // 4, dtype=np.float32)
    with grpc.insecure_channel(f"127.0.0.1:{running.server.port}", options=_UNBOUND) as channel:
        ask = channel.unary_unary(PREDICT)
        large = [ask.future(request(values), timeout=60) for _ in range(2)]
        for _ in range(20):
            assert predicted(ask(request([4.0]), timeout=60)).tolist() == [5.0]
        for call in large:
            np.testing.assert_array_equal(predicted(call.result()), values + 1)
    assert (running.server.open_streams, running.server.held_bytes) == (0, 0)


def test_two_hundred_calls_at_once_on_one_connection_are_answered_each_with_its_own(running):
    async def ask_all() -> list[float]:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{running.server.port}") as channel:
            ask = channel.unary_unary(PREDICT)
            answers = await asyncio.gather(*[ask(request([number]), timeout=60) for number in range(200)])
            assert len(running.server.connections) == 1
            return [float(predicted(answer)[0]) for answer in answers]

    assert asyncio.run(ask_all()) == [number + 1 for number in range(200)]


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_a_client_that_compresses_is_answered(running, compression):
    values = np.zeros(100_000)
    with grpc.insecure_channel(f"127.0.0.1:{running.server.port}", compression=compression) as channel:
        assert predicted(channel.unary_unary(PREDICT)(request(values), timeout=30)).tolist() == [1.0] * 100_000


def test_over_a_unix_socket_a_client_is_answered(start, tmp_path):
    path = tmp_path / "s"
    start(socket_path=str(path), any_port=False)
    with grpc.insecure_channel(f"unix:{path}") as channel:
        assert predicted(channel.unary_unary(PREDICT)(request([2.0]), timeout=30)).tolist() == [3.0]


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority("interop")


@pytest.fixture
def secured(start, authority, tmp_path) -> tuple[Running, str]:
    """A server with TLS, and the file with its authority's certificate."""
    key, certificate = authority.issue("localhost")
    tls = Tls(key=key, certificate=certificate, client_authority="", is_client_checked=False)
    path = tmp_path / "authority.pem"
    path.write_text(authority.pem)
    return start(tls=server_context(tls, HTTP_2)), str(path)


def test_over_tls_the_protocol_is_agreed_on_and_an_end_in_the_middle_is_no_fault(secured, caplog):
    running, path = secured
    context = ssl.create_default_context(cafile=path)
    context.check_hostname = False
    context.set_alpn_protocols(["http/1.1", "h2"])
    for _ in range(3):
        plain = socket.create_connection(("127.0.0.1", running.server.port), timeout=20)
        with context.wrap_socket(plain) as connection:
            assert connection.selected_alpn_protocol() == "h2"
            connection.sendall(frames.PREFACE + frames.settings({}) + frames.frame(1, 4, 1, b"\x83\x86\x44\x02/x"))
            assert connection.recv(3) == b"\x00\x00\x18"
    assert [record for record in caplog.records if record.levelname in {"WARNING", "ERROR"}] == []


def test_curl_is_answered(running, body):
    words = said(
        found("curl"), "--silent", "--show-error", "--include", "--http2-prior-knowledge", "--max-time", "20",
        "--header", "content-type: application/grpc", "--header", "te: trailers", "--data-binary", f"@{body}",
        "--output", "-", f"http://127.0.0.1:{running.server.port}{PREDICT}",
    )  # fmt: skip
    assert words.startswith("HTTP/2 200")
    assert "grpc-status: 0" in words


def test_curl_over_tls_is_told_that_this_is_no_page(secured):
    running, path = secured
    words = said(
        found("curl"), "--silent", "--include", "--max-time", "20", "--cacert", path,
        f"https://localhost:{running.server.port}/",
    )  # fmt: skip
    assert words.startswith("HTTP/2 405")
    assert "This port speaks gRPC: POST application/grpc." in words


def test_nghttp_is_answered(running, body):
    words = said(
        found("nghttp"), "--verbose", "--timeout=20", f"--data={body}", "--header=content-type: application/grpc",
        "--header=te: trailers", f"http://127.0.0.1:{running.server.port}{PREDICT}",
    )  # fmt: skip
    assert "grpc-status: 0" in words
    assert ":status: 200" in words


@pytest.mark.slow
@pytest.mark.parametrize("window", ["30", "10"])  # bits: far above an answer, and far below a large one
def test_h2load_has_all_its_calls_answered(running, body, window):
    words = said(
        found("h2load"), "--requests=5000", "--clients=4", "--max-concurrent-streams=50", f"--window-bits={window}",
        f"--data={body}", "--header=content-type: application/grpc", "--header=te: trailers",
        f"http://127.0.0.1:{running.server.port}{PREDICT}",
    )  # fmt: skip
    assert "5000 done, 5000 succeeded, 0 failed, 0 errored, 0 timeout" in words
    assert "status codes: 5000 2xx" in words


@pytest.mark.slow
def test_ghz_asks_reflection_and_has_all_its_calls_answered(running):
    words = said(
        found("ghz"), "--insecure", "--call=tensorflow.serving.PredictionService.Predict", "--total=2000",
        "--concurrency=50", "--connections=2", "--format=json",
        '--data={"model_spec": {"name": "m"}, "inputs": {"x": {"dtype": 1, "tensor_shape": {"dim": [{"size": 1}]}, '
        '"float_val": [1.0]}}}',
        f"127.0.0.1:{running.server.port}",
    )  # fmt: skip
    assert json.loads(words)["statusCodeDistribution"] == {"OK": 2000}


@pytest.mark.slow
def test_ghz_over_tls_has_all_its_calls_answered(secured):
    running, path = secured
    words = said(
        found("ghz"), f"--cacert={path}", "--cname=localhost", "--call=grpc.health.v1.Health.Check", "--total=500",
        "--concurrency=10", "--data={}", f"127.0.0.1:{running.server.port}",
    )  # fmt: skip
    assert re.search(r"\[OK\]\s+500 responses", words), words
