"""REST from end to end: a real server over real and fake models, asked by bytes."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving.model_server.auth import Tokens
from serving.model_server.batching import Batcher, BatchingParameters
from serving.model_server.data_plane import DataPlane
from serving.model_server.manager import Manager, ManagerOptions
from serving.model_server.metrics import Metrics
from serving.model_server.rest.routes import RestApi, RestOptions
from serving.model_server.rest.server import RestServer
from serving.model_server.saved_model import Runtime, SavedModelServable
from tests.serving.model_server.rest.conftest import Client

METRICS = "/monitoring/prometheus/metrics"


class Rest:
    """A REST server over models."""

    def __init__(self, loop: asyncio.AbstractEventLoop, manager: Manager, options: RestOptions, batching: Any) -> None:
        self.metrics, self.loop, self.manager = Metrics(), loop, manager

        async def start() -> RestServer:
            self.batcher = Batcher(batching, loop, self.metrics)
            self.api = RestApi(DataPlane(manager, self.batcher, self.metrics), options, loop)
            server = RestServer(self.api.handle)
            await server.start("127.0.0.1", 0)
            return server

        self.server = asyncio.run_coroutine_threadsafe(start(), loop).result(30)

    def client(self) -> Client:
        return Client(self.server.port)

    def ask(self, method: str, target: str, body: Any = None, **headers: str) -> Any:
        client = self.client()
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        response = client.ask(method, target, raw, **headers)
        client.socket.close()
        return response

    def post(self, target: str, body: Any, **headers: str) -> tuple[int, Any]:
        response = self.ask("POST", target, body, **headers)
        return response.status, json.loads(response.body)

    def get(self, target: str) -> tuple[int, Any]:
        response = self.ask("GET", target)
        return response.status, json.loads(response.body)

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self.server.stop(0), self.loop).result(30)
        self.loop.call_soon_threadsafe(self.batcher.close)
        self.api.close()
        self.manager.stop(10)


@pytest.fixture(scope="module")
def start(loop: asyncio.AbstractEventLoop) -> Iterator[Callable[..., Rest]]:
    """Starts a server: `start({"name": base_path}, load=None, batching=None, **options)`."""
    from google.protobuf import text_format
    from tensorflow_serving.config import model_server_config_pb2

    running: list[Rest] = []

    def make(models: Mapping[str, Path], *, load: Any = None, batching: Any = None, **options: Any) -> Rest:
        listed = "".join(
            f'config {{ name: "{name}" base_path: "{path}" model_platform: "tensorflow" '
            "model_version_policy { all {} } }"
            for name, path in models.items()
        )
        config = text_format.Parse(f"model_config_list {{ {listed} }}", model_server_config_pb2.ModelServerConfig())
        manager = Manager(
            load or (lambda *version: SavedModelServable(*version, Runtime())),
            ManagerOptions(poll_wait_s=0, max_load_retries=0),
        )
        manager.start()
        manager.apply(config)
        rest = Rest(loop, manager, RestOptions(**options), batching or BatchingParameters(num_batch_threads=1))
        running.append(rest)
        return rest

    yield make
    for rest in running:
        rest.close()


@pytest.fixture(scope="module")
def rest(start, half_plus_two, labelled, text, work) -> Rest:
    """All tiny models."""
    models = {"half": half_plus_two, "labelled": labelled, "text": text, "work": work}
    return start(models, metrics_path=METRICS)


@pytest.fixture
def fake(start, fake_servable, tmp_path):
    """A server over a model of Python: `fake(run, **options)`."""

    def make(run: Callable[..., Any] | None = None, **options: Any) -> Rest:
        (tmp_path / "m" / "1").mkdir(parents=True)

        def load(name: str, version: int, folder: Path) -> Any:
            servable = fake_servable(name, version)
            if run is not None:
                servable.run = run
            return servable

        return start({"m": tmp_path / "m"}, load=load, **options)

    return make


def test_predict_in_rows_and_columns_by_version_and_without(rest):
    assert rest.post("/v1/models/half:predict", {"instances": [1.0, 2.0, 5.0]}) == (
        200,
        {"predictions": [3.5, 4.0, 5.5]},
    )
    assert rest.post("/v1/models/half/versions/1:predict", {"inputs": {"x": [1.0]}}) == (200, {"outputs": [2.5]})
    assert rest.post("/v1/models/half/versions/1:predict", {"inputs": [1.0]}) == (200, {"outputs": [2.5]})


def test_predict_texts_with_several_outputs(rest):
    rows = ["ab", {"b64": base64.b64encode(b"xyz").decode()}]
    assert rest.post("/v1/models/text:predict", {"instances": rows}) == (
        200,
        {"predictions": [{"bytes": 2, "upper": "AB"}, {"bytes": 3, "upper": "XYZ"}]},
    )


def test_classify_and_regress_take_examples(rest):
    body = {"signature_name": "classify_x_to_y", "examples": [{"x": 1.0}, {"x": 3.0}]}
    assert rest.post("/v1/models/half/versions/1:classify", body) == (200, {"results": [[["", 2.5]], [["", 3.5]]]})
    body = {"signature_name": "regress_x_to_y", "context": {"x": 1.0}, "examples": [{}, {"x": 3.0}]}
    assert rest.post("/v1/models/half/versions/1:regress", body) == (200, {"results": [2.5, 3.5]})
    assert rest.post("/v1/models/labelled:classify", {"examples": [{"id": 2}]}) == (
        200,
        {"results": [[["water", 1.0]]]},
    )


def test_status_is_written_as_tensorflow_serving_writes_it(rest):
    ok = {"error_code": "OK", "error_message": ""}
    two, one = ({"version": version, "state": "AVAILABLE", "status": ok} for version in ("2", "1"))
    assert rest.get("/v1/models/half") == (200, {"model_version_status": [two, one]})
    assert rest.get("/v1/models/half/versions/1") == (200, {"model_version_status": [one]})
    assert rest.get("/v1/models/half/versions/9") == (404, {"error": "Could not find version 9 of model half"})
    assert rest.get("/v1/models/none") == (404, {"error": "Could not find any versions of model none"})
    assert rest.get("/v1/models") == (400, {"error": "Missing model name in request."})


def test_metadata_is_written_as_tensorflow_serving_writes_it(rest):
    status, answer = rest.get("/v1/models/half/metadata")
    assert status == 200
    assert answer["model_spec"] == {"name": "half", "signature_name": "", "version": "2"}
    signature = answer["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert signature["method_name"] == "tensorflow/serving/predict"
    assert signature["inputs"]["x"] == {
        "dtype": "DT_FLOAT",
        "name": "x:0",
        "tensor_shape": {"dim": [{"size": "-1", "name": ""}], "unknown_rank": False},
    }
    assert rest.get("/v1/models/none/metadata") == (404, {"error": "Servable not found for request: Latest(none)"})


@pytest.mark.parametrize(
    ("target", "body", "status", "words"),
    [
        ("/v1/models/none:predict", {"instances": [1]}, 404, "Servable not found for request: Latest(none)"),
        (
            "/v1/models/half/versions/9:predict",
            {"instances": [1]},
            404,
            "Servable not found for request: Specific(half, 9)",
        ),
        ("/v1/models/half/labels/x:predict", {"instances": [1]}, 400, "Unrecognized servable version label: x"),
        (
            "/v1/models/..%2F..%2Fetc:predict",
            {"instances": [1]},
            404,
            "Servable not found for request: Latest(../../etc)",
        ),
        ("/v1/models/none:predict", b"{", 400, "JSON Parse error: Missing a name for object member. at offset: 1"),
        ("/v1/models/half:predict", b"", 400, "JSON Parse error: The document is empty"),
        (
            "/v1/models/half:predict",
            b'{"instances": ["\xff"]}',
            400,
            "JSON Parse error: Invalid encoding in string. at offset: 16",
        ),
        ("/v1/models/half:predict", b"[" * 100_000, 400, "JSON Parse error: nested too deeply"),
        (
            "/v1/models/half:predict",
            {"signature_name": "x", "instances": [1]},
            400,
            'Serving signature name: "x" not found in signature def',
        ),
        ("/v1/models/half:predict", {"instances": [[1, 2]]}, 400, 'input "x" must have the shape [?], got [1, 2]'),
        (
            "/v1/models/half:predict",
            {"instances": ["1"]},
            400,
            "Failed to process element: 0 of 'instances' list. Error: "
            'INVALID_ARGUMENT: JSON Value: "1" Type: String is not of expected type: float',
        ),
        ("/v1/models/text:predict", {"inputs": {}}, 400, "Missing named input: text in 'inputs' object."),
        ("/v1/models/half:classify", {"examples": [{"x": 1}]}, 400, "No classification inputs found in SignatureDef: "),
        (
            "/v1/models/half:regress",
            {"examples": [{"x": 1}], "signature_name": "x"},
            400,
            "No signature was found with the name: x",
        ),
        ("/v1/models/labelled:regress", {"examples": [{"id": 1}]}, 400, "Expected one output Tensor."),
        ("/v1/models/half:explain", {}, 400, "Malformed request: POST /v1/models/half:explain"),
        ("/v2/models/half:predict", {}, 404, "Not found: /v2/models/half:predict. Models are under /v1/models/"),
    ],
)
def test_errors_have_tensorflow_servings_status_and_words(rest, target, body, status, words):
    got, answer = rest.post(target, body)
    assert (got, answer["error"][: len(words)]) == (status, words)


def test_what_the_model_cannot_compute_is_the_clients_fault_and_neighbours_are_answered(rest):
    client, other = rest.client(), rest.client()
    body = json.dumps({"instances": [{"a": 6, "b": 0}]}).encode()
    assert client.ask("POST", "/v1/models/work:predict", body).status == 400
    good = json.dumps({"instances": [{"a": 6, "b": 3}]}).encode()
    assert json.loads(other.ask("POST", "/v1/models/work:predict", good).body) == {"predictions": [2]}


def test_an_output_without_rows_cannot_be_predictions_but_outputs(rest):
    asked = {"signature_name": "total", "instances": [1.0, 2.5]}
    assert rest.post("/v1/models/work:predict", asked) == (
        400,
        {"error": "Tensor name: sum has no shape information "},
    )
    assert rest.post("/v1/models/work:predict", {"signature_name": "total", "inputs": [1.0, 2.5]}) == (
        200,
        {"outputs": 3.5},
    )


def test_other_methods_are_malformed_or_not_implemented(rest):
    assert rest.ask("PUT", "/v1/models/half:predict", {}).status == 400
    assert rest.ask("HEAD", "/v1/models/half").status == 400
    assert rest.get("/v1/models/half:predict") == (400, {"error": "Malformed request: GET /v1/models/half:predict"})
    for method in ("TRACE", "PROPFIND"):
        assert rest.ask(method, "/v1/models/half").status == 501


def test_gzip_bodies_are_read(rest):
    raw = json.dumps({"instances": [2.0]}).encode()
    answer = {"predictions": [4.0]}
    assert rest.post("/v1/models/half:predict", gzip.compress(raw), Content_Encoding="gzip") == (200, answer)
    assert rest.post("/v1/models/half:predict", raw, Content_Encoding="identity") == (200, answer)


@pytest.mark.parametrize(
    ("body", "encoding", "status", "words"),
    [
        (b"{}", "gzip", 400, "the body is not gzip: "),
        (gzip.compress(b"{}", mtime=0)[:-4], "gzip", 400, "the body is not gzip: it ends too early"),
        (gzip.compress(b" " * 200_000, mtime=0), "gzip", 413, "the body must be at most 100000 bytes uncompressed"),
        (b"{}", "br", 415, "Content-Encoding must be gzip or identity, got 'br'"),
    ],
)
def test_bad_encodings_are_refused(fake, body, encoding, status, words):
    got, answer = fake(max_body_bytes=100_000).post("/v1/models/m:predict", body, Content_Encoding=encoding)
    assert (got, answer["error"][: len(words)]) == (status, words)


def test_a_large_body_is_read_and_answered(rest):
    values = [float(n % 100) for n in range(400_000)]
    status, answer = rest.post("/v1/models/half:predict", {"instances": values})
    assert status == 200
    np.testing.assert_array_equal(answer["predictions"], np.array(values) / 2 + 3)


def test_a_large_body_that_is_wrong_is_refused_with_its_place(rest):
    status, answer = rest.post("/v1/models/half:predict", {"instances": [1.0] * 400_000 + ["x"]})
    assert (status, answer["error"][:44]) == (400, "Failed to process element: 400000 of 'instan")


def test_requests_and_answered_latencies_are_counted_and_made_up_names_are_not(rest):
    rest.post("/v1/models/half:predict", {"instances": [1.0]})
    rest.post("/v1/models/made-up:predict", {"instances": [1.0]})
    page = rest.ask("GET", METRICS)
    lines = page.body.decode().splitlines()
    assert page.headers["content-type"].startswith("text/plain")
    assert any(line.startswith(':tensorflow:serving:request_count{model_name="half",status="OK"} ') for line in lines)
    assert any(
        line.startswith(':tensorflow:serving:request_count{model_name="",status="NOT_FOUND"} ') for line in lines
    )
    assert any('request_latency_count{model_name="half",API="predict",entrypoint="REST"}' in line for line in lines)
    assert "made-up" not in page.body.decode()


def test_a_named_request_gets_its_name_back(rest):
    assert rest.ask("GET", "/v1/models/half", x_request_id="abc-1").headers["x-request-id"] == "abc-1"
    assert rest.ask("GET", "/v1/models/none", x_request_id="abc-2").headers["x-request-id"] == "abc-2"
    assert "x-request-id" not in rest.ask("GET", "/v1/models/half", x_request_id="a b").headers
    assert "x-request-id" not in rest.ask("GET", "/v1/models/half", x_request_id="a" * 200).headers


def test_health_and_readiness(fake):
    ready = [True]
    rest = fake(is_ready=lambda: ready[0])
    assert rest.ask("GET", "/healthz").body == b"ok\n"
    assert (rest.ask("GET", "/readyz").status, rest.ask("HEAD", "/readyz").status) == (200, 200)
    ready[0] = False
    assert rest.ask("GET", "/readyz").status == 503
    assert rest.ask("GET", "/healthz").status == 200
    assert rest.ask("GET", METRICS).status == 404  # not asked for


def test_cors_headers_are_sent_where_they_are_asked_for(fake, rest):
    crossed = fake(has_cors=True)
    response = crossed.ask("OPTIONS", "/v1/models/m:predict", Origin="https://example.org")
    assert (response.status, response.body) == (200, b"")
    assert response.headers["access-control-allow-origin"] == "*"
    assert response.headers["access-control-allow-methods"] == "post, get"
    assert crossed.ask("GET", "/v1/models/m").headers["access-control-allow-headers"] == "content-type"
    response = crossed.ask("OPTIONS", "/v1/models/m:predict")
    assert json.loads(response.body) == {"error": "Origin header is missing in CORS preflight"}
    assert response.status == 400
    assert "access-control-allow-origin" not in rest.ask("GET", "/v1/models/half").headers


def test_without_a_token_only_health_answers(fake):
    rest = fake(tokens=Tokens(["0123456789abcdef"]), metrics_path=METRICS)
    for method, target in (("GET", "/v1/models/m"), ("POST", "/v1/models/m:predict"), ("GET", METRICS), ("GET", "/x")):
        response = rest.ask(method, target, {"instances": [1.0]} if method == "POST" else None)
        assert (response.status, response.headers["www-authenticate"]) == (401, "bearer")
    assert rest.ask("GET", "/healthz").status == 200
    good = {"Authorization": "Bearer 0123456789abcdef"}
    for _ in range(2):  # the second time the path is known already
        assert rest.post("/v1/models/m:predict", {"instances": [1.0]}, **good) == (200, {"predictions": [2.0]})
        assert rest.post("/v1/models/m:predict", {"instances": [1.0]})[0] == 401
    assert rest.ask("GET", METRICS, **good).status == 200


def test_a_full_queue_is_429_with_retry_after(fake):
    gate, entered = threading.Event(), threading.Event()

    def run(signature: str, inputs: Any, outputs: Any = None) -> Any:
        entered.set()
        assert gate.wait(20)
        return {"y": inputs["x"]}

    rest = fake(run, batching=BatchingParameters(num_batch_threads=1, max_batch_size=1, max_enqueued_batches=2))
    body = json.dumps({"instances": [1.0]}).encode()
    clients = [rest.client() for _ in range(4)]
    raw = b"POST /v1/models/m:predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    clients[0].send(raw)
    assert entered.wait(20)
    for number, client in enumerate(clients[1:], 1):
        client.send(raw)
        while number < 3 and rest.batcher.queues.waiting_rows() != {"m": number}:
            pass
    response = clients[3].receive()
    assert (response.status, response.headers["retry-after"]) == (429, "1")
    assert json.loads(response.body)["error"].startswith("The batch scheduling queue")
    gate.set()
    assert [client.receive().status for client in clients[:3]] == [200] * 3
    assert rest.metrics.queue_full.value("m") == 1


def test_a_request_that_takes_too_long_is_504(fake):
    gate = threading.Event()
    rest = fake(lambda *_: gate.wait(20) and {}, timeout_s=0.05)
    assert rest.post("/v1/models/m:predict", {"instances": [1.0]}) == (
        504,
        {"error": "Timed out waiting for notification"},
    )
    gate.set()


def test_a_client_that_goes_away_leaves_the_queue(fake):
    gate, entered = threading.Event(), threading.Event()

    def run(signature: str, inputs: Any, outputs: Any = None) -> Any:
        entered.set()
        assert gate.wait(20)
        return {"y": inputs["x"]}

    rest = fake(run)
    body = json.dumps({"instances": [1.0]}).encode()
    raw = b"POST /v1/models/m:predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    first, second = rest.client(), rest.client()
    first.send(raw)
    assert entered.wait(20)
    second.send(raw)
    while rest.batcher.queues.waiting_rows() != {"m": 1}:
        pass
    second.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    second.socket.close()  # with a reset; without one it might only be half closed, and wait for its answer
    while rest.batcher.queues.waiting_rows():
        pass
    gate.set()
    assert first.receive().status == 200
    counted = rest.metrics.request_count
    assert (counted.value("m", "OK"), counted.value("m", "CANCELLED")) == (1, 1)


JSONISH = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.just({"b64": "eA=="}),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["x", "a", "text", "b64"]), inner, max_size=2)
    ),
    max_leaves=6,
)
BODIES = st.dictionaries(
    st.sampled_from(["instances", "inputs", "examples", "signature_name", "context"]), JSONISH, max_size=3
).map(lambda body: json.dumps(body).encode())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300, deadline=None)
@given(
    body=BODIES | st.binary(max_size=40),
    model=st.sampled_from(["half", "text", "work", "labelled", "none"]),
    method=st.sampled_from(["predict", "classify", "regress"]),
)
def test_no_body_is_a_servers_error(rest, body, model, method):
    assert rest.ask("POST", f"/v1/models/{model}:{method}", body).status in {200, 400, 404}
