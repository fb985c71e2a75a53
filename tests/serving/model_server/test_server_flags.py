"""What flags change about a server that runs, over gRPC and REST; over a model of pure Python."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tensorflow_serving.apis import predict_pb2

from serving.client import Client, ClientError, Model, Options, Retries
from serving.model_server import server
from serving.model_server.batching import BatchingParameters
from serving.model_server.errors import Code, ServingError
from serving.model_server.loading import LoadOptions
from serving.model_server.manager import ManagerOptions
from serving.model_server.request_log import LogSettings
from serving.model_server.saved_model import Runtime
from tests.serving.model_server.rest.conftest import Client as Wire
from tests.serving.model_server.test_server import METRICS, ask, with_server

TOKEN = "a-token-of-enough-letters"
Use = Callable[[server.ModelServer], None]


def addresses(running: server.ModelServer) -> tuple[str, str]:
    return f"127.0.0.1:{running.grpc_port}", f"http://127.0.0.1:{running.rest_port}"


def predict(address: str, *values: float, model: Model | str = "m", **options: Any) -> list[float]:
    with Client(address, Options(timeout_s=20, retries=Retries(attempts=1), **options)) as client:
        (found,) = client.predict(model, {"x": np.float32(values)}).values()  # REST does not name a single output
    return found.tolist()


def refusals(running: server.ModelServer, *values: float, **more: Any) -> list[str]:
    """The codes with which gRPC and REST refuse a request."""
    codes = []
    for address in addresses(running):
        with pytest.raises(ClientError) as caught:
            predict(address, *values, **more)
        codes.append(caught.value.code.name)
    return codes


class Models:
    """Versions 1 and 2 of models that answer `x + version`, and how a server loads them.

    Attributes:
        run: what computes instead, if anything does.
        load: what loads instead.
        options: the LoadOptions that the server gave.
    """

    def __init__(self, servable: Callable[..., Any]) -> None:
        self.run: Callable[..., Any] | None = None
        self.load: Callable[..., Any] = servable
        self.options = LoadOptions()

    def loader(self, options: LoadOptions, _on_event: object) -> Callable[..., Any]:
        self.options = options

        def load(name: str, version: int, folder: Path) -> Any:
            servable = self.load(name, version)
            servable.run = self.run or servable.run
            return servable

        return load


@pytest.fixture
def models(fake_servable, monkeypatch) -> Models:
    """What the servers of a test load."""
    found = Models(fake_servable)
    monkeypatch.setattr(server, "Loader", found.loader)
    return found


@pytest.fixture
def serve(models, tmp_path):
    """Serves versions 1 and 2 of `m`: `serve(use, *flags)`."""
    for version in ("1", "2"):
        (tmp_path / "m" / version).mkdir(parents=True)

    def start(use: Use, *flags: str) -> None:
        named = ("--model_name=m", f"--model_base_path={tmp_path / 'm'}")
        with_server([*flags] if any("model_config_file=" in flag for flag in flags) else [*named, *flags], use)

    return start


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_requests_of_both_transports_are_computed_in_one_batch(serve, models, until, tmp_path):
    batching = written(tmp_path / "batching", "num_batch_threads { value: 1 }")
    monitoring = written(tmp_path / "monitoring", "prometheus_config { enable: true }")
    gate, entered, rows = threading.Event(), threading.Event(), []

    def run(signature: str, inputs: Any, outputs: Any = None) -> Any:
        rows.append(sorted(inputs["x"].tolist()))
        entered.set()
        assert gate.wait(30)
        return {"y": inputs["x"] * 2}

    def use(running: server.ModelServer) -> None:
        grpc, rest = addresses(running)
        waiting = b'earthloop_serving_queue_items{model_name="m"} 3\n'
        with ThreadPoolExecutor(3) as pool:
            try:
                first = pool.submit(predict, rest, 1.0)
                assert entered.wait(30)
                others = [pool.submit(predict, grpc, 2.0, 3.0), pool.submit(predict, rest, 4.0)]
                until(lambda: waiting in ask(running.rest_port, "GET", METRICS)[1])
            finally:
                gate.set()
            assert [one.result() for one in (first, *others)] == [[2.0], [4.0, 6.0], [8.0]]

    models.run = run
    serve(use, "--enable_batching", f"--batching_parameters_file={batching}", f"--monitoring_config_file={monitoring}")
    assert rows == [[1.0], [2.0, 3.0, 4.0]]


def config(tmp_path: Path, *names: str, more: str = "") -> str:
    """The flag for a file of models that all lie in the same folder."""
    common = f'base_path: "{tmp_path}/m" model_platform: "tensorflow" {more}'
    listed = " ".join(f'config {{ name: "{name}" {common} }}' for name in names)
    return f"--model_config_file={written(tmp_path / 'models', f'model_config_list {{ {listed} }}')}"


def test_labels_choose_a_version_over_both_transports(serve, tmp_path):
    flag = config(tmp_path, "m", more="model_version_policy { all {} } version_labels { key: 'stable' value: 1 }")

    def use(running: server.ModelServer) -> None:
        for address in addresses(running):
            assert predict(address, 1.0) == [3.0]
            assert predict(address, 1.0, model=Model("m", label="stable")) == [2.0]
            assert predict(address, 1.0, model=Model("m", version=1)) == [2.0]
        assert refusals(running, 1.0, model=Model("m", label="canary")) == ["INVALID_ARGUMENT"] * 2

    serve(use, flag, "--allow_version_labels_for_unavailable_models")


def test_a_request_above_the_limit_is_refused_over_both_transports_and_the_next_is_answered(serve):
    def use(running: server.ModelServer) -> None:
        assert refusals(running, *[1.5] * 10_000) == ["RESOURCE_EXHAUSTED"] * 2
        body = {"instances": [1.5] * 10_000}
        assert ask(running.rest_port, "POST", "/v1/models/m:predict", body)[0] == 413
        for address in addresses(running):
            assert predict(address, 1.0) == [3.0]

    serve(use, "--max_request_bytes=20000")


def test_a_tokens_file_is_asked_by_both_transports(serve, tmp_path):
    tokens = written(tmp_path / "tokens", f"{TOKEN}\n")

    def use(running: server.ModelServer) -> None:
        assert refusals(running, 1.0) == ["UNAUTHENTICATED"] * 2
        assert refusals(running, 1.0, token=f"{TOKEN}x") == ["UNAUTHENTICATED"] * 2
        for address in addresses(running):
            assert predict(address, 1.0, token=TOKEN) == [3.0]

    serve(use, f"--bearer_tokens_file={tokens}")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has more than one address of its own")
@pytest.mark.parametrize(("flags", "is_open"), [([], False), (["--host=0.0.0.0"], True)])
def test_other_addresses_of_the_machine_are_listened_to_only_if_that_is_asked_for(serve, flags, is_open):
    def use(running: server.ModelServer) -> None:
        for port in (running.grpc_port, running.rest_port):
            socket.create_connection(("127.0.0.1", port), 10).close()
            if is_open:
                socket.create_connection(("127.0.0.2", port), 10).close()
            else:
                with pytest.raises(ConnectionRefusedError):
                    socket.create_connection(("127.0.0.2", port), 10)

    serve(use, *flags)


def test_a_socket_is_served_beside_the_port(serve, tmp_path):
    def use(running: server.ModelServer) -> None:
        assert predict(f"unix:{tmp_path}/s", 1.0) == predict(addresses(running)[0], 1.0) == [3.0]

    serve(use, f"--grpc_socket_path={tmp_path}/s")


def test_a_rest_request_takes_no_longer_than_it_may(serve, models):
    gate = threading.Event()
    models.run = lambda *_: gate.wait(30) and {"y": np.float32([1])}

    def use(running: server.ModelServer) -> None:
        answer = ask(running.rest_port, "POST", "/v1/models/m:predict", {"instances": [1.0]})
        assert answer == (504, b'{\n    "error": "Timed out waiting for notification"\n}')
        gate.set()

    serve(use, "--rest_api_timeout_in_ms=50")


def test_a_request_that_outlasts_the_drain_is_given_up(serve, models, monkeypatch):
    monkeypatch.setattr(server, "_UNLOAD_S", 0.1)
    gate, entered, waiting = threading.Event(), threading.Event(), []

    def run(*_: Any) -> Any:
        entered.set()
        assert gate.wait(60)
        return {"y": np.float32([1])}

    def use(running: server.ModelServer) -> None:
        waiting.append(Wire(running.rest_port))
        body = b'{"instances": [1.0]}'
        waiting[0].send(b"POST /v1/models/m:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n", body)
        assert entered.wait(30)

    models.run = run
    serve(use, "--drain_seconds=0")
    assert not gate.is_set()
    assert waiting[0].is_closed()
    gate.set()


@pytest.mark.parametrize(("flags", "origin"), [([], None), (["--rest_api_enable_cors_support"], "*")])
def test_browsers_of_other_sites_are_answered_only_if_that_is_asked_for(serve, flags, origin):
    def use(running: server.ModelServer) -> None:
        headers = Wire(running.rest_port).ask("GET", "/v1/models/m").headers
        assert headers.get("access-control-allow-origin") == origin

    serve(use, *flags)


@pytest.mark.parametrize(
    ("flags", "content", "values"),
    [([], b"", [3.5]), (["--enable_serialization_as_tensor_content"], np.float32([3.5]).tobytes(), [])],
)
def test_answers_hold_typed_fields_or_content(serve, flags, content, values):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "m"
    request.inputs["x"].dtype = 1
    request.inputs["x"].tensor_shape.dim.add(size=1)
    request.inputs["x"].float_val.append(1.5)

    def use(running: server.ModelServer) -> None:
        with grpc.insecure_channel(addresses(running)[0]) as channel:
            call = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
            answer = predict_pb2.PredictResponse.FromString(call(request.SerializeToString(), timeout=20))
        assert (answer.outputs["y"].tensor_content, list(answer.outputs["y"].float_val)) == (content, values)

    serve(use, *flags)


@pytest.mark.parametrize("flags", [[], ["--enable_grpc_healthcheck_service"]])
def test_health_is_told_by_grpc_only_if_that_is_asked_for(serve, flags):
    def use(running: server.ModelServer) -> None:
        with grpc.insecure_channel(addresses(running)[0]) as channel:
            check = health_pb2_grpc.HealthStub(channel).Check
            if flags:
                assert check(health_pb2.HealthCheckRequest(), timeout=20).status == 1
            else:
                with pytest.raises(grpc.RpcError) as caught:
                    check(health_pb2.HealthCheckRequest(), timeout=20)
                assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED

    serve(use, *flags)


def test_models_are_loaded_as_the_flags_say(serve, models):
    flags = (
        "--saved_model_tags=serve,gpu --tensorflow_intra_op_parallelism=3 --tensorflow_inter_op_parallelism=2 "
        "--per_process_gpu_memory_fraction=0.5 --prefer_tflite_model --num_tflite_pools=7 --require_manifest "
        "--noenable_model_warmup --num_request_iterations_for_warmup=4"
    )
    serve(lambda _: None, *flags.split())
    assert models.options == LoadOptions(
        runtime=Runtime(tags=("serve", "gpu"), intra_op_threads=3, inter_op_threads=2, gpu_memory_fraction=0.5),
        is_manifest_required=True,
        prefers_tflite=True,
        tflite_interpreters=7,
        is_warm_up_enabled=False,
        warm_up_iterations=4,
    )


@pytest.mark.parametrize(("retries", "is_served"), [(2, True), (1, False)])
def test_a_load_that_fails_is_tried_again_as_often_as_the_flags_say(serve, models, retries, is_served):
    servable, failures = models.load, iter([True, True])

    def load(name: str, version: int) -> Any:
        if next(failures, False):
            raise ServingError(Code.UNAVAILABLE, "not yet")
        return servable(name, version)

    def use(running: server.ModelServer) -> None:
        assert predict(addresses(running)[0], 1.0) == [3.0]

    models.load = load
    flags = (f"--max_num_load_retries={retries}", "--load_retry_interval_micros=-1")
    if is_served:
        serve(use, *flags)
    else:
        with pytest.raises(ServingError, match="1 model\\(s\\) did not become available: .*not yet"):
            serve(use, *flags)


def test_as_many_versions_are_loaded_at_a_time_as_the_flag_says(serve, models, tmp_path):
    servable, together = models.load, threading.Barrier(2)

    def load(name: str, version: int) -> Any:
        together.wait(20)  # fails where the other one is not loaded meanwhile
        return servable(name, version)

    models.load = load
    serve(lambda _: None, config(tmp_path, "one", "two"), "--num_load_threads=2", "--max_num_load_retries=0")


@pytest.fixture
def given(monkeypatch) -> Callable[[str], list[Any]]:
    """What a server gives a part as its settings: `given("Batcher")`, before it starts."""

    def watch(name: str) -> list[Any]:
        seen: list[Any] = []
        part = getattr(server, name)
        monkeypatch.setattr(server, name, lambda *parts: seen.extend(parts) or part(*parts))
        return seen

    return watch


def test_new_versions_are_looked_for_as_often_as_the_flag_says(serve, given):
    seen = given("Manager")
    serve(lambda _: None, "--file_system_poll_wait_seconds=7")
    assert ManagerOptions(poll_wait_s=7) in seen


def test_what_may_wait_is_limited_in_bytes(serve, given):
    seen = given("Batcher")
    serve(lambda _: None, "--max_queue_bytes=4096")
    assert BatchingParameters(max_queue_bytes=4096) in seen


def test_a_request_is_computed_alone_and_whole_where_the_flag_says_so(serve, given):
    seen = given("Batcher")
    serve(lambda _: None, "--nobatch_requests")
    assert BatchingParameters(batches_requests=False) in seen


def test_the_request_log_is_as_its_flags_say(serve, given, tmp_path):
    seen = given("RequestLog")
    flags = "--request_log_sampling_rate=0.5 --request_log_max_file_mb=2 --request_log_max_file_seconds=60"
    serve(lambda _: None, f"--request_log_dir={tmp_path}/log", *flags.split())
    assert LogSettings(folder=tmp_path / "log", sampling_rate=0.5, max_file_bytes=2_000_000, max_file_s=60) in seen
