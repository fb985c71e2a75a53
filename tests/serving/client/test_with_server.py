"""Clients and the embedded server together, over gRPC and REST."""

import asyncio

import httpx
import jsonschema
import numpy as np
import pytest

from serving.client import AsyncClient, Client, ClientError, Model, Options
from serving.model_server import openapi
from serving.model_server.errors import Code
from serving.model_server.log_files import read_requests
from serving.model_server.server_options import ServerOptions
from tests.serving.client import first_letter
from tests.serving.client.in_thread import start

TOKEN = "a-token-of-enough-letters"


@pytest.fixture(scope="module")
def sites(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sites") / "sites"
    first_letter.save(folder / "3")
    return folder


@pytest.fixture(scope="module")
def server(sites, tmp_path_factory):
    """A server of that model that asks for a token and logs its requests; and how to stop it."""
    folder = tmp_path_factory.mktemp("server")
    (folder / "tokens").write_text(TOKEN + "\n")
    (folder / "tokens").chmod(0o600)
    (folder / "monitoring").write_text("prometheus_config { enable: true }")
    options = ServerOptions(
        model_name="sites",
        model_base_path=str(sites),
        bearer_tokens_file=str(folder / "tokens"),
        monitoring_config_file=str(folder / "monitoring"),
        request_log_dir=str(folder / "log"),
        drain_seconds=2,
    )
    running, stop = start(options)

    def stop_for_test():
        stop()
        return folder / "log"

    running.stop_for_test = stop_for_test
    yield running
    stop()


@pytest.fixture(params=["grpc", "rest"])
def target(request, server):
    return f"127.0.0.1:{server.grpc_port}" if request.param == "grpc" else f"http://127.0.0.1:{server.rest_port}"


def test_files_are_labelled_over_both(target):
    with Client(target, Options(token=TOKEN, rows_per_request=2)) as client:
        found = client.ask("sites", [b"F1", b"?", b"F2"], request_id=f"three-{target[:4]}")
        (version,) = client.status("sites")
    assert [(one.label, one.score, one.reason) for one in found] == [
        ("Forest", 0.75, ""),
        ("", 0.0, "not an image"),
        ("Forest", 0.75, ""),
    ]
    assert found[0].probabilities == {"Forest": 0.75, "River": 0.25}
    assert (version.version, version.state) == (3, "AVAILABLE")


def test_outputs_are_asked_for_by_name_over_both(target):
    with Client(target, Options(token=TOKEN)) as client:
        images = np.array([b"F1"], object)
        found = client.predict(Model("sites", signature="predict_image"), {"image": images}, outputs=["label", "score"])
    assert {name: array.tolist() for name, array in found.items()} == {"label": [b"Forest"], "score": [0.75]}


def test_the_same_awaited(target):
    async def ask():
        async with AsyncClient(target, Options(token=TOKEN, rows_per_request=1)) as client:
            return await client.ask("sites", [b"F1", b"?"])

    assert [one.label for one in asyncio.run(ask())] == ["Forest", ""]


@pytest.mark.parametrize(
    ("token", "model", "code"),
    [("", "sites", Code.UNAUTHENTICATED), (TOKEN, "nobody", Code.NOT_FOUND), (TOKEN, "", None)],
)
def test_refusals_have_the_same_code_over_both(target, token, model, code):
    with Client(target, Options(token=token)) as client, pytest.raises(ClientError) as caught:
        client.predict(model or "sites", {"picture": np.array([b"F"], object)})
    assert caught.value.code in ({code} if code else {Code.FAILED_PRECONDITION, Code.INVALID_ARGUMENT})


def described(path):
    """The OpenAPI description of a path, a validator of one of its schemas, and the path of a real model."""
    document = openapi.description()
    real = path.replace("{model}", "sites").replace("{version}", "3")
    return document["paths"][path], document, real


@pytest.mark.parametrize("path", [path for path in openapi.description()["paths"] if "{label}" not in path])
def test_the_server_answers_each_described_path_as_described(server, path):
    operations, document, real = described(path)
    ((verb, operation),) = ((verb, one) for verb, one in operations.items() if verb in {"get", "post"})
    question = {"signature_name": "predict_image", "instances": [{"image": {"b64": "Rg=="}}]}
    headers = {"authorization": f"Bearer {TOKEN}"}
    answer = httpx.request(
        verb, f"http://127.0.0.1:{server.rest_port}{real}", json=question if verb == "post" else None, headers=headers
    )
    is_refused = real.endswith((":classify", ":regress"))  # the model has no such signature
    assert answer.status_code == (400 if is_refused else 200)
    response = operation["responses"][str(answer.status_code)]
    if "$ref" in response:
        response = document["components"]["responses"][response["$ref"].rpartition("/")[2]]
    for kind, content in response["content"].items():
        assert answer.headers["content-type"].startswith(kind)
        if kind == "application/json":
            schema = {**content["schema"], "components": document["components"]}
            assert list(jsonschema.Draft202012Validator(schema).iter_errors(answer.json())) == []


def test_the_request_log_has_the_clients_names_of_both(server):
    for target in (f"127.0.0.1:{server.grpc_port}", f"http://127.0.0.1:{server.rest_port}"):
        with Client(target, Options(token=TOKEN)) as client:
            client.ask("sites", [b"F1", b"?"], request_id=f"camera-{target[:4]}")
    table = read_requests(server.stop_for_test()).to_pylist()
    mine = [one for one in table if one["id"].startswith("camera-")]
    assert [(one["id"], one["row"], one["label"], one["api"]) for one in mine] == [
        ("camera-127.", 0, "Forest", "GRPC"),
        ("camera-127.", 1, "", "GRPC"),
        ("camera-http", 0, "Forest", "REST"),
        ("camera-http", 1, "", "REST"),
    ]
