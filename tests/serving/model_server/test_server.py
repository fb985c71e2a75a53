"""The whole server: in this process over both transports, and as a process that is told to end."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
import uvloop
from tensorflow_serving.apis import predict_pb2

from applications.errors import EarthloopError
from serving.model_server import flags, server
from tests.serving.model_server.rest.conftest import Client

METRICS = "/monitoring/prometheus/metrics"


def in_loop(scenario: Callable[..., Any]) -> Any:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(asyncio.wait_for(scenario, 100))


def ask(port: int, method: str, target: str, body: Any = None) -> tuple[int, Any]:
    client = Client(port)
    response = client.ask(method, target, b"" if body is None else json.dumps(body).encode())
    client.socket.close()
    return response.status, response.body


def with_server(arguments: list[str], use: Callable[[server.ModelServer], Any]) -> Any:
    """Runs a server and, in another thread, `use`."""

    async def scenario() -> Any:
        async with server.serving(flags.parse(arguments), any_port=True) as running:
            return await asyncio.to_thread(use, running)

    return in_loop(scenario())


def predict_by_grpc(port: int, value: float) -> float:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "half"
    request.inputs["x"].dtype = 1
    request.inputs["x"].tensor_shape.dim.add(size=1)
    request.inputs["x"].float_val.append(value)
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.unary_unary(
            "/tensorflow.serving.PredictionService/Predict",
            request_serializer=predict_pb2.PredictRequest.SerializeToString,
            response_deserializer=predict_pb2.PredictResponse.FromString,
        )
        return call(request, timeout=20).outputs["y"].float_val[0]


def test_rest_and_grpc_answer_from_the_same_model_and_are_counted_together(half_plus_two, tmp_path):
    monitoring = tmp_path / "monitoring.txt"
    monitoring.write_text("prometheus_config { enable: true }", encoding="ascii")

    def use(running: server.ModelServer) -> None:
        rest = running.rest_port
        assert ask(rest, "POST", "/v1/models/half:predict", {"instances": [2.0]})[1] == b'{"predictions": [4.0]}'
        assert predict_by_grpc(running.grpc_port, 4.0) == 5.0
        assert ask(rest, "GET", "/readyz") == (200, b"ready\n")
        page = ask(rest, "GET", METRICS)[1].decode()
        assert ':tensorflow:serving:request_count{model_name="half",status="OK"} 2' in page
        assert 'request_latency_count{model_name="half",API="Predict",entrypoint="GRPC"} 1' in page
        path = half_plus_two / "2"
        assert f':tensorflow:cc:saved_model:load_attempt_count{{model_path="{path}",status="success"}} 1' in page
        assert 'earthloop_serving_model_version{model_name="half"} 2' in page
        assert 'earthloop_serving_model_ready{model_name="half"} 1' in page
        assert 'earthloop_serving_queue_items{model_name="half"} 0' in page
        assert 'earthloop_serving_queue_capacity_items{model_name="half"} 4096' in page

    arguments = ["--model_name=half", f"--model_base_path={half_plus_two}", f"--monitoring_config_file={monitoring}"]
    with_server(arguments, use)


def test_a_new_version_is_swapped_in_while_requests_go_on(half_plus_two, tmp_path):
    base = tmp_path / "half"
    shutil.copytree(half_plus_two / "1", base / "1")

    def use(running: server.ModelServer) -> None:
        seen, is_over = [], threading.Event()

        def load() -> None:
            client = Client(running.rest_port)
            while not is_over.is_set():
                seen.append(client.ask("POST", "/v1/models/half:predict", b'{"instances": [2.0]}').body)

        thread = threading.Thread(target=load)
        thread.start()
        shutil.copytree(half_plus_two / "2", base / "incoming")
        (base / "incoming").rename(base / "2")
        end = time.monotonic() + 60
        while b'{"predictions": [4.0]}' not in seen and time.monotonic() < end:
            time.sleep(0.01)
        is_over.set()
        thread.join()
        assert set(seen) == {b'{"predictions": [3.0]}', b'{"predictions": [4.0]}'}

    with_server(["--model_name=half", f"--model_base_path={base}"], use)


def test_the_configuration_of_models_is_read_again_and_a_wrong_one_changes_nothing(half_plus_two, tmp_path):
    path = tmp_path / "models.txt"
    model = 'config {{ name: "{}" base_path: "{}" model_platform: "tensorflow" }}'

    def write(*names: str, more: str = "") -> None:
        listed = " ".join(model.format(name, half_plus_two) for name in names)
        path.write_text(f"model_config_list {{ {listed} {more} }}", encoding="utf-8")

    def use(running: server.ModelServer) -> None:
        write("half", more="nonsense: 1")
        time.sleep(1.2)
        assert ask(running.rest_port, "GET", "/v1/models/half")[0] == 200
        write("half", "other")
        end = time.monotonic() + 30
        while ask(running.rest_port, "POST", "/v1/models/other:predict", {"instances": [2.0]})[0] != 200:
            assert time.monotonic() < end
            time.sleep(0.05)

    write("half")
    with_server([f"--model_config_file={path}", "--model_config_file_poll_wait_seconds=1"], use)


def test_a_path_that_leads_nowhere_can_be_mended_in_the_file(half_plus_two, tmp_path):
    path = tmp_path / "models.txt"
    model = 'config {{ name: "{}" base_path: "{}" model_platform: "tensorflow" }}'

    def write(base: Path) -> None:
        listed = model.format("half", half_plus_two) + model.format("other", base)
        path.write_text(f"model_config_list {{ {listed} }}", encoding="utf-8")

    def use(running: server.ModelServer) -> None:
        write(tmp_path / "half_plus_tow")
        end = time.monotonic() + 30
        while running.manager.models() != ["half", "other"]:
            assert time.monotonic() < end
            time.sleep(0.02)
        write(half_plus_two)
        while ask(running.rest_port, "POST", "/v1/models/other:predict", {"instances": [2.0]})[0] != 200:
            assert time.monotonic() < end
            time.sleep(0.05)

    path.write_text(f"model_config_list {{ {model.format('half', half_plus_two)} }}", encoding="utf-8")
    with_server([f"--model_config_file={path}", "--model_config_file_poll_wait_seconds=1"], use)


def test_a_sample_of_requests_is_logged(half_plus_two, tmp_path):
    folder = tmp_path / "log"
    arguments = ["--model_name=half", f"--model_base_path={half_plus_two}", f"--request_log_dir={folder}"]
    with_server(arguments, lambda one: ask(one.rest_port, "POST", "/v1/models/half:predict", {"instances": [2.0]}))
    assert any(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_a_model_that_cannot_be_loaded_ends_the_start(tmp_path):
    (tmp_path / "broken" / "1").mkdir(parents=True)
    arguments = ["--model_name=broken", f"--model_base_path={tmp_path / 'broken'}", "--max_num_load_retries=0"]
    with pytest.raises(EarthloopError, match=r"1 model\(s\) did not become available: .*name: broken version: 1"):
        with_server(arguments, lambda one: None)


def test_a_port_that_is_taken_is_told(half_plus_two):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        options = flags.parse(["--port=0", f"--rest_api_port={port}", f"--model_base_path={half_plus_two}"])

        async def scenario() -> None:
            async with server.serving(options):
                pass

        with pytest.raises(EarthloopError, match=f"the REST port must be free, but 127.0.0.1:{port} cannot be"):
            in_loop(scenario())


class Process:
    """A server as a process of its own."""

    def __init__(self, base: Path, log: Path, *more: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        arguments = [f"--rest_api_port={self.port}", "--port=0", "--model_name=work", f"--model_base_path={base}"]
        self.log = log
        with log.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "serving.model_server.main", *arguments, *more],
                stderr=file,
                cwd=Path(server.__file__).parents[2],
                env=dict(os.environ, TF_CPP_MIN_LOG_LEVEL="2"),
            )

    def wait_until_it_listens(self) -> None:
        end = time.monotonic() + 120
        while time.monotonic() < end and self.process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.1)
        raise AssertionError(self.log.read_text())

    def spin(self, rounds: int) -> Client:
        """Sends a request that takes about a microsecond per round."""
        client = Client(self.port)
        client.socket.settimeout(60)
        body = json.dumps({"signature_name": "spin", "instances": [rounds]}).encode()
        head = f"POST /v1/models/work:predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        client.send(head.encode(), body)
        return client

    def refuses_connections(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return True
        return False


def test_sigterm_answers_what_is_there_and_accepts_nothing_more(work, tmp_path):
    one = Process(work, tmp_path / "log", "--drain_seconds=60")
    try:
        one.wait_until_it_listens()
        client = one.spin(1_000_000)
        time.sleep(0.2)
        one.process.send_signal(signal.SIGTERM)
        end = time.monotonic() + 20
        while not one.refuses_connections() and time.monotonic() < end:
            time.sleep(0.01)
        assert one.refuses_connections()
        response = client.receive()
        assert (response.body, response.headers["connection"]) == (b'{"predictions": [1000000]}', "close")
        assert one.process.wait(30) == 0
    finally:
        one.process.kill()
    assert b"Traceback" not in one.log.read_bytes()


@pytest.mark.slow
def test_a_second_signal_ends_the_process_at_once(work, tmp_path):
    one = Process(work, tmp_path / "log", "--drain_seconds=600")
    try:
        one.wait_until_it_listens()
        one.spin(10_000_000_000)
        time.sleep(0.5)
        one.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        assert one.process.poll() is None
        one.process.send_signal(signal.SIGTERM)
        assert one.process.wait(10) == 128 + signal.SIGTERM
    finally:
        one.process.kill()
