"""Clients against a fake server of each kind, which answers as it is told and remembers what it was asked."""

import asyncio
import base64
import contextlib
import http.server
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
import pytest
from google.protobuf import any_pb2

from serving.client import AsyncClient, Client, ClientError, Model, Options, Retries
from serving.client.messages import message
from serving.model_server.errors import Code
from serving.model_server.grpc import tensor_protos

LABELS = [b"Forest", b"River"]
QUICK = Options(timeout_s=10, rows_per_request=2, retries=Retries(attempts=3, first_s=0.01, longest_s=0.02))


def answer_of(images):
    """An image is labelled by its first letter; what has another cannot be read."""
    known = [{b"F": 0, b"R": 1}.get(image[:1], -1) for image in images]
    return {
        "label": [LABELS[place] if place >= 0 else b"" for place in known],
        "score": [0.75 if place >= 0 else 0.0 for place in known],
        "reason": [b"" if place >= 0 else b"not an image" for place in known],
        "classes": [LABELS for _ in known],
        "probabilities": [
            [0.75, 0.25] if place == 0 else [0.25, 0.75] if place == 1 else [0.0, 0.0] for place in known
        ],
    }


class Fake:
    """What both fakes know: refusals to come, and requests that came."""

    def __init__(self):
        self.refusals = []
        self.asked = []
        self.headers = []

    def note(self, what, headers):
        self.asked.append(what)
        self.headers.append(headers)
        return self.refusals.pop(0) if self.refusals else None


def grpc_server(fake):
    def method(path, data, context):
        refusal = fake.note((path.rpartition("/")[2], data), dict(context.invocation_metadata()))
        if refusal:
            context.abort(getattr(grpc.StatusCode, refusal), "as told")
        return {"Predict": _predict, "GetModelMetadata": _metadata, "GetModelStatus": _status}.get(
            path.rpartition("/")[2], lambda _: b""
        )(data)

    class Handlers(grpc.GenericRpcHandler):
        def service(self, details):
            return grpc.unary_unary_rpc_method_handler(lambda data, context: method(details.method, data, context))

    server = grpc.server(ThreadPoolExecutor(4), handlers=[Handlers()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return f"127.0.0.1:{port}", lambda: server.stop(0)


def _predict(data):
    request = message("tensorflow.serving.PredictRequest").FromString(data)
    response = message("tensorflow.serving.PredictResponse")()
    if "image" in request.inputs:
        outputs = answer_of(tensor_protos.to_array(request.inputs["image"]).tolist())
    else:
        outputs = {name: tensor_protos.to_array(proto) for name, proto in request.inputs.items()}
    for name, values in outputs.items():
        array = np.array(values, object) if name in {"label", "reason", "classes"} else np.asarray(values)
        tensor_protos.fill(response.outputs[name], array)
    return response.SerializeToString()


def _metadata(_):
    signatures = message("tensorflow.serving.SignatureDefMap")()
    for name, inputs in FUNCTIONS.items():
        for key, dtype in inputs.items():
            signatures.signature_def[name].inputs[key].dtype = dtype
    packed = any_pb2.Any()
    packed.value = signatures.SerializeToString()
    response = message("tensorflow.serving.GetModelMetadataResponse")()
    response.metadata["signature_def"].value = packed.value
    return response.SerializeToString()


def _status(_):
    response = message("tensorflow.serving.GetModelStatusResponse")()
    response.model_version_status.add(version=7, state=30)
    return response.SerializeToString()


FUNCTIONS = {
    "serving_default": {"examples": 7},
    "predict_image": {"image": 7},
    "predict_table": {"height": 1, "site": 7},
}
NAMES = {1: "DT_FLOAT", 7: "DT_STRING"}


def rest_server(fake):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.answer(None)

        def do_POST(self):
            self.answer(json.loads(self.rfile.read(int(self.headers["content-length"]))))

        def answer(self, question):
            refusal = fake.note((self.path, question), {key.lower(): value for key, value in self.headers.items()})
            body = {"error": "as told"} if refusal else self.body(question)
            self.send_response(refusal or 200)
            raw = json.dumps(body).encode()
            self.send_header("content-length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def body(self, question):
            if self.path.endswith("/metadata"):
                functions = {
                    name: {"inputs": {key: {"dtype": NAMES[dtype]} for key, dtype in inputs.items()}}
                    for name, inputs in FUNCTIONS.items()
                }
                return {"metadata": {"signature_def": {"signature_def": functions}}}
            if question is None:
                return {"model_version_status": [{"version": "7", "state": "AVAILABLE", "status": {}}]}
            inputs = question["inputs"]
            if "image" not in inputs:
                return {"outputs": inputs}
            found = answer_of([base64.b64decode(one["b64"]) for one in inputs["image"]])
            return {"outputs": json.loads(json.dumps(found, default=bytes.decode))}

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_address[1]}", server.shutdown


class Waiting:
    """An asynchronous client, waited for, so that the same tests are of both kinds."""

    def __init__(self, target, options):
        self.loop = asyncio.new_event_loop()

        async def make():
            return AsyncClient(target, options)

        self.client = self.loop.run_until_complete(make())

    def __getattr__(self, name):
        return lambda *words, **more: self.loop.run_until_complete(getattr(self.client, name)(*words, **more))

    def close(self):
        self.loop.run_until_complete(self.client.close())
        self.loop.close()


@pytest.fixture(params=["grpc", "rest"])
def kind(request):
    return request.param


@pytest.fixture(params=[Client, Waiting])
def ask(request, kind):
    """A client and the fake server it asks; `ask(options)` makes another with other options."""
    fake = Fake()
    target, stop = {"grpc": grpc_server, "rest": rest_server}[kind](fake)
    with contextlib.ExitStack() as stack:
        stack.callback(stop)

        def make(options=QUICK, at=target):
            client = request.param(at, options)
            stack.callback(client.close)
            return client

        yield make, fake


REFUSALS = {"busy": {"grpc": "UNAVAILABLE", "rest": 503}, "wrong": {"grpc": "INVALID_ARGUMENT", "rest": 400}}


def test_files_are_sent_in_groups_and_answered_in_their_order(ask, tmp_path):
    make, fake = ask
    for name, content in (("a.jpg", b"F1"), ("b.jpg", b"R2"), ("c.jpg", b"?")):
        (tmp_path / name).write_bytes(content)
    found = make().ask("landcover", [tmp_path / name for name in ("a.jpg", "b.jpg", "c.jpg")], request_id="cam")
    assert [Path(one.name).name for one in found] == ["a.jpg", "b.jpg", "c.jpg"]
    assert [(one.label, one.score, one.reason) for one in found] == [
        ("Forest", 0.75, ""),
        ("River", 0.75, ""),
        ("", 0.0, "not an image"),
    ]
    assert found[1].probabilities == {"Forest": 0.25, "River": 0.75}
    assert [one.is_answered for one in found] == [True, True, False]
    assert sorted(one["x-request-id"] for one in fake.headers if "x-request-id" in one) == ["cam-0", "cam-1"]


def test_a_table_is_asked_by_its_columns(ask):
    make, fake = ask
    found = make().ask_table("landcover", {"height": [1.0, 2.0, 3.0], "site": ["a", "b", "c"]})
    assert [one.name for one in found] == ["0", "1", "2"]
    assert len(fake.asked) == 3, "the functions once, and two groups of rows"


def test_predict_gives_any_outputs_as_arrays(ask):
    make, _ = ask
    found = make().predict("landcover", {"x": np.float32([[1, 2], [3, 4]]), "s": np.array([b"a", b"b"], object)})
    assert found["x"].tolist() == [[1, 2], [3, 4]]
    assert found["s"].tolist() == [b"a", b"b"]


def test_status_lists_the_versions(ask):
    make, _ = ask
    assert [(one.version, one.state) for one in make().status("landcover")] == [(7, "AVAILABLE")]


def test_a_busy_server_is_asked_again(ask, kind):
    make, fake = ask
    fake.refusals = [REFUSALS["busy"][kind]] * 2
    assert make().status("landcover")[0].version == 7
    assert len(fake.asked) == 3


def test_a_server_that_stays_busy_is_given_up(ask, kind):
    make, fake = ask
    fake.refusals = [REFUSALS["busy"][kind]] * 9
    with pytest.raises(ClientError, match="UNAVAILABLE: as told") as caught:
        make().status("landcover")
    assert caught.value.code is Code.UNAVAILABLE
    assert len(fake.asked) == 3


def test_a_wrong_request_is_not_sent_again(ask, kind):
    make, fake = ask
    fake.refusals = [REFUSALS["wrong"][kind]]
    with pytest.raises(ClientError, match="INVALID_ARGUMENT: as told") as caught:
        make().predict("landcover", {"x": np.float32([1])})
    assert caught.value.code is Code.INVALID_ARGUMENT
    assert len(fake.asked) == 1


def test_a_token_is_sent_as_bearer(ask):
    make, fake = ask
    make(Options(token="abc")).status("landcover")
    assert fake.headers[0]["authorization"] == "Bearer abc"


def test_a_version_or_label_is_asked_for(ask, kind):
    make, fake = ask
    client = make()
    client.predict(Model("m", version=3), {"x": np.float32([1])})
    client.predict(Model("m", label="canary", signature="s"), {"x": np.float32([1])})
    if kind == "rest":
        assert [path for path, _ in fake.asked] == [
            "/v1/models/m/versions/3:predict",
            "/v1/models/m/labels/canary:predict",
        ]
        assert fake.asked[1][1]["signature_name"] == "s"
    else:
        first, second = (
            message("tensorflow.serving.PredictRequest").FromString(data).model_spec for _, data in fake.asked
        )
        assert (first.version.value, second.version_label, second.signature_name) == (3, "canary", "s")


def test_a_model_without_a_fitting_function_says_what_it_has(ask):
    make, _ = ask
    with pytest.raises(
        ClientError, match=r"predict_… with the inputs depth; it has predict_image\(image\); predict_table"
    ):
        make().ask_table("landcover", {"depth": [1.0]})


def test_nobody_at_the_address_is_said_with_the_command_that_starts_a_server(ask, kind):
    make, _ = ask
    nobody = {"grpc": "127.0.0.1:1", "rest": "http://127.0.0.1:1"}[kind]
    with pytest.raises(ClientError, match="127.0.0.1:1 cannot be reached .*earthloop serve"):
        make(QUICK, nobody).status("landcover")


def test_the_port_of_the_other_protocol_is_named_and_not_asked_again(ask, kind):
    make, _ = ask
    other, stop = rest_server(Fake()) if kind == "grpc" else grpc_server(Fake())
    target = {"grpc": other.removeprefix("http://"), "rest": f"http://{other}"}[kind]
    with pytest.raises(ClientError, match="cannot be asked: it speaks another protocol") as caught:
        make(QUICK, target).status("landcover")
    assert not caught.value.may_retry
    stop()


@pytest.fixture
def fake_grpc():
    fake = Fake()
    target, stop = grpc_server(fake)
    yield fake, target
    stop()


def test_a_reload_is_never_sent_twice(fake_grpc):
    fake, target = fake_grpc
    fake.refusals = ["UNAVAILABLE"] * 3
    with Client(target, QUICK) as client, pytest.raises(ClientError, match="UNAVAILABLE"):
        client.reload({"m": "/models/m"})
    assert len(fake.asked) == 1
    request = message("tensorflow.serving.ReloadConfigRequest").FromString(fake.asked[0][1])
    (config,) = request.config.model_config_list.config
    assert (config.name, config.base_path, config.model_platform) == ("m", "/models/m", "tensorflow")


def test_rest_has_no_reload():
    with Client("http://127.0.0.1:1") as client, pytest.raises(ClientError, match="over gRPC alone"):
        client.reload({"m": "/models/m"})


def test_a_queue_that_is_full_over_rest_is_asked_again():
    fake = Fake()
    target, stop = rest_server(fake)
    fake.refusals = [429]
    with Client(target, QUICK) as client:
        assert client.status("landcover")[0].version == 7
    assert len(fake.asked) == 2
    stop()


def test_an_unknown_model_over_rest_is_not_found():
    fake = Fake()
    fake.refusals = [404]
    target, stop = rest_server(fake)
    with Client(target, QUICK) as client, pytest.raises(ClientError, match="NOT_FOUND: as told"):
        client.status("landcover")
    stop()
