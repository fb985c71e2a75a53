"""The process ends, with or without warning: what is there is answered, and the same versions come back."""

from __future__ import annotations

import json
import signal
import threading
import time

import grpc
import pytest
from tensorflow_serving.apis import predict_pb2

from tests.serving.robustness.servers import PATIENCE_S, Process, Wire, get, models_file, post

pytestmark = pytest.mark.slow

GOOD = post("/v1/models/half:predict", b'{"instances": [2.0]}')
ANSWER = (200, b'{"predictions": [4.0]}')
_ALL = "model_version_policy { all {} }"


def test_a_killed_server_serves_the_same_versions_when_it_is_started_again(half_plus_two, tmp_path, until):
    socket_path = tmp_path / "grpc"
    flags = [
        models_file(tmp_path / "models", {"half": half_plus_two}, _ALL),
        f"--grpc_socket_path={socket_path}",
        f"--request_log_dir={tmp_path / 'log'}",
    ]
    seen = []
    for _ in range(3):
        with Process(tmp_path, *flags) as process, Wire(process.listening().port) as wire:
            assert wire.ask(GOOD) == ANSWER
            assert _by_socket(str(socket_path)) == 4.0
            until(lambda: wire.ask(get("/v1/models/half"))[1].count(b'"AVAILABLE"') == 2)
            seen.append(json.loads(wire.ask(get("/v1/models/half"))[1]))
            wire.socket.sendall(GOOD * 10)
            process.process.send_signal(signal.SIGKILL)
            assert process.process.wait(PATIENCE_S) == -signal.SIGKILL
    versions = [(one["version"], one["state"]) for one in seen[0]["model_version_status"]]
    assert versions == [("2", "AVAILABLE"), ("1", "AVAILABLE")]
    assert seen == seen[:1] * 3


@pytest.mark.parametrize("kind", ["REST", "gRPC"])
def test_sigterm_under_load_answers_everything_that_was_taken_and_then_refuses(half_plus_two, tmp_path, kind):
    with Process(tmp_path, models_file(tmp_path / "models", {"half": half_plus_two})) as process:
        process.listening()
        seen: list[object] = []
        ask_on = _ask_rest if kind == "REST" else _ask_grpc
        threads = [threading.Thread(target=ask_on, args=(process, seen)) for _ in range(8)]
        for thread in threads:
            thread.start()
        time.sleep(1)
        assert process.terminate() == 0
        for thread in threads:
            thread.join(PATIENCE_S)
        assert not any(thread.is_alive() for thread in threads)
        assert set(seen) == {"answered", "refused"}
        assert seen.count("refused") == 8  # each client once, at its end
        assert not process.accepts()
    assert "Traceback" not in process.words()


def test_a_signal_while_models_are_loaded_ends_the_start(work, tmp_path):
    with Process(
        tmp_path, models_file(tmp_path / "models", {f"work{number}": work for number in range(60)})
    ) as process:
        end_s = time.monotonic() + 60
        while process.words().count("Successfully loaded") < 2:
            assert time.monotonic() < end_s, process.words()
            time.sleep(0.02)
        code = process.terminate()
        assert code == 0
        assert process.words().count("Successfully loaded") < 60
        assert "Exporting HTTP/REST API" not in process.words()
    assert "Traceback" not in process.words()


def _ask_rest(process: Process, seen: list[object]) -> None:
    """Asks on one connection until the server says that it is over, then on the next, until none is taken."""
    while True:
        try:
            wire = Wire(process.port)
        except ConnectionRefusedError:
            seen.append("refused")
            return
        with wire:
            try:
                while not wire.is_over:
                    answer = wire.ask(GOOD)
                    seen.append("answered" if answer == ANSWER else answer)
            except (ConnectionError, EOFError) as error:
                seen.append(f"cut: {error}")


def _ask_grpc(process: Process, seen: list[object]) -> None:
    data = _request().SerializeToString()
    with grpc.insecure_channel(f"127.0.0.1:{process.grpc_port}", [("grpc.enable_retries", 0)]) as channel:
        call = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
        while True:
            try:
                answer = predict_pb2.PredictResponse.FromString(call(data, timeout=PATIENCE_S))
                seen.append("answered" if answer.outputs["y"].float_val[0] == 4.0 else answer)
            except grpc.RpcError as error:
                is_refused = error.code() is grpc.StatusCode.UNAVAILABLE
                seen.append("refused" if is_refused else f"{error.code()} {error.details()}")
                return


def _by_socket(path: str) -> float:
    with grpc.insecure_channel(f"unix:{path}") as channel:
        call = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
        answer = predict_pb2.PredictResponse.FromString(call(_request().SerializeToString(), timeout=20))
    return answer.outputs["y"].float_val[0]


def _request() -> predict_pb2.PredictRequest:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "half"
    request.inputs["x"].dtype = 1
    request.inputs["x"].tensor_shape.dim.add(size=1)
    request.inputs["x"].float_val.append(2.0)
    return request
