import threading
import time

import grpc
import numpy as np
import pytest
import tensorflow as tf
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from tensorflow_serving.apis import get_model_status_pb2, predict_pb2

from serving.client import Client, ClientError, Options, Retries
from serving.model_server.config_files import Tls
from serving.model_server.errors import ServingError
from serving.model_server.tls import HTTP_2, server_context
from tests.serving.model_server.test_tls import Authority

CODE = grpc.StatusCode


def request_for(model, values=(1.0,)):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    request.inputs["x"].CopyFrom(tf.make_tensor_proto(np.float32(values)))
    return request


def predict(running, model="m", values=(1.0,), **more):
    response = running.call(
        "PredictionService", "Predict", request_for(model, values), predict_pb2.PredictResponse, **more
    )
    return list(response.outputs["y"].float_val)


@pytest.fixture
def fake_model(fake_servable, config_of, tmp_path):
    """How to load a model without TensorFlow, and a configuration with one version of it."""
    (tmp_path / "m" / "1").mkdir(parents=True)
    (tmp_path / "m" / "1" / "saved_model.pb").write_bytes(b"")

    def make(gate=None):
        return (lambda name, version, _: fake_servable(name, version, gate)), config_of({"m": tmp_path / "m"})

    return make


def test_health_says_whether_the_server_serves(serve, fake_model, until):
    server = serve(*fake_model())
    health = health_pb2_grpc.HealthStub(server.channel)
    for name in ("", "ModelService", "PredictionService", "tensorflow.serving.PredictionService"):
        assert health.Check(health_pb2.HealthCheckRequest(service=name)).status == 1
    server.loop.call_soon_threadsafe(server.server.set_serving, False)
    until(lambda: health.Check(health_pb2.HealthCheckRequest()).status != 1)
    assert health.Check(health_pb2.HealthCheckRequest()).status == health_pb2.HealthCheckResponse.NOT_SERVING
    with pytest.raises(grpc.RpcError) as caught:
        health.Check(health_pb2.HealthCheckRequest(service="no"))
    assert caught.value.code() is CODE.NOT_FOUND


def test_without_health_the_service_is_not_there(serve, fake_model):
    server = serve(*fake_model(), has_health=False)
    with pytest.raises(grpc.RpcError) as caught:
        health_pb2_grpc.HealthStub(server.channel).Check(health_pb2.HealthCheckRequest())
    assert caught.value.code() is CODE.UNIMPLEMENTED


def test_reflection_lists_the_services_and_describes_them(serve, fake_model):
    server = serve(*fake_model())
    ask = reflection_pb2_grpc.ServerReflectionStub(server.channel).ServerReflectionInfo
    listed, *described = ask(
        iter(
            [
                reflection_pb2.ServerReflectionRequest(list_services=""),
                *(
                    reflection_pb2.ServerReflectionRequest(file_containing_symbol=f"tensorflow.serving.{name}")
                    for name in ("PredictionService", "ModelService.GetModelStatus")
                ),
            ]
        )
    )
    assert {one.name for one in listed.list_services_response.service} >= {
        "tensorflow.serving.PredictionService",
        "tensorflow.serving.ModelService",
        "grpc.health.v1.Health",
    }
    for name, one in zip((b"PredictionService", b"ModelService"), described, strict=True):
        assert name in one.file_descriptor_response.file_descriptor_proto[0]


def test_a_token_is_needed_for_all_but_health(serve, fake_model):
    server = serve(*fake_model(), accepts=lambda value: value == "Bearer right")
    assert predict(server, metadata=[("authorization", "Bearer right")]) == [2.0]
    for metadata in ([], [("authorization", "Bearer wrong")]):
        with pytest.raises(grpc.RpcError) as caught:
            predict(server, metadata=metadata)
        assert caught.value.code() is CODE.UNAUTHENTICATED
        assert "authorization: Bearer TOKEN" in caught.value.details()
    assert health_pb2_grpc.HealthStub(server.channel).Check(health_pb2.HealthCheckRequest()).status == 1
    listing = reflection_pb2_grpc.ServerReflectionStub(server.channel).ServerReflectionInfo
    with pytest.raises(grpc.RpcError) as caught:
        list(listing(iter([reflection_pb2.ServerReflectionRequest(list_services="")])))
    assert caught.value.code() is CODE.UNAUTHENTICATED


@pytest.fixture(scope="module")
def authority():
    return Authority("test authority")


@pytest.fixture
def secured(serve, fake_model, authority):
    """Serves with TLS; `secured(True)` asks clients for a certificate, too. Gives the address."""

    def make(is_mutual):
        key, certificate = authority.issue("localhost")
        tls = Tls(key=key, certificate=certificate, client_authority=authority.pem, is_client_checked=is_mutual)
        return f"grpcs://127.0.0.1:{serve(*fake_model(), tls=server_context(tls, HTTP_2)).server.port}"

    return make


def files_of(folder, **texts):
    for name, text in texts.items():
        (folder / name).write_text(text)
    return {f"{name}_file": folder / name for name in texts}


def ask(target, **options):
    once = Options(timeout_s=10, retries=Retries(attempts=1), **options)
    with Client(target, once) as client:
        return client.predict("m", {"x": np.float32([1])})["y"].tolist()


def test_over_tls_a_client_must_know_the_authority(secured, authority, tmp_path):
    target = secured(False)
    assert ask(target, **files_of(tmp_path, ca=authority.pem)) == [2.0]
    with pytest.raises(ClientError, match="UNAVAILABLE"):
        ask(target, **files_of(tmp_path, ca=Authority("another").pem))


def test_over_mutual_tls_the_server_must_know_the_clients_authority(secured, authority, tmp_path):
    target = secured(True)
    for issuer, is_known in ((authority, True), (Authority("another"), False)):
        key, cert = issuer.issue("client")
        files = files_of(tmp_path, ca=authority.pem, cert=cert, key=key)
        if is_known:
            assert ask(target, **files) == [2.0]
        else:
            with pytest.raises(ClientError, match="UNAVAILABLE"):
                ask(target, **files)
    with pytest.raises(ClientError, match="UNAVAILABLE"):
        ask(target, **files_of(tmp_path, ca=authority.pem))


def test_a_socket_serves_beside_the_port(serve, fake_model, tmp_path):
    path = f"{tmp_path}/s"
    server = serve(*fake_model(), socket_path=path, address=f"unix:{path}")
    assert predict(server) == [2.0]


def test_a_request_above_the_limit_is_refused_and_the_next_is_answered(serve, fake_model):
    server = serve(*fake_model(), max_message_bytes=10_000)
    with pytest.raises(grpc.RpcError) as caught:
        predict(server, values=np.zeros(5_000))
    assert caught.value.code() is CODE.RESOURCE_EXHAUSTED
    assert predict(server) == [2.0]


def test_a_full_queue_refuses_with_the_words_of_tensorflow_serving(serve, fake_model):
    gate = threading.Event()
    server = serve(*fake_model(gate), batching={"max_batch_size": 1, "max_enqueued_batches": 1, "num_batch_threads": 1})
    ask = server.channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
    waiting = [ask.future(request_for("m").SerializeToString(), timeout=20) for _ in range(8)]
    refused = next(call for call in waiting if _refused(call))
    assert refused.exception().code() is CODE.UNAVAILABLE
    assert refused.exception().details() == "The batch scheduling queue to which this task was submitted is full"
    gate.set()
    answered = [call for call in waiting if call.exception(20) is None]
    assert answered


def _refused(call):
    try:
        return call.exception(1) is not None
    except grpc.FutureTimeoutError:
        return False


def test_a_deadline_that_passes_in_the_queue_ends_the_request_and_frees_its_place(serve, fake_model):
    gate = threading.Event()
    server = serve(*fake_model(gate))
    with pytest.raises(grpc.RpcError) as caught:
        predict(server, timeout=0.2)
    assert caught.value.code() is CODE.DEADLINE_EXCEEDED
    gate.set()
    assert predict(server) == [2.0]


def test_a_cancelled_request_gives_its_model_back(serve, fake_model, config_of, tmp_path):
    gate = threading.Event()
    server = serve(*fake_model(gate))
    ask = server.channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
    calls = [ask.future(request_for("m").SerializeToString(), timeout=20) for _ in range(4)]
    time.sleep(0.2)  # let them arrive; the assertions below hold for those that have not, too
    for call in calls:
        call.cancel()
    gate.set()
    assert predict(server) == [2.0]
    assert server.manager.stop(10), "a lease was not given back"


def test_a_call_under_way_is_answered_when_the_server_stops_and_later_ones_are_told_to_go_elsewhere(serve, fake_model):
    gate, entered = threading.Event(), threading.Event()
    load, config = fake_model(gate)

    def telling(*which):
        servable = load(*which)
        run = servable.run
        servable.run = lambda *asked: entered.set() or run(*asked)
        return servable

    server = serve(telling, config)
    ask = server.channel.unary_unary(
        "/tensorflow.serving.PredictionService/Predict", response_deserializer=predict_pb2.PredictResponse.FromString
    )
    call = ask.future(request_for("m").SerializeToString(), timeout=20)
    assert entered.wait(10)
    stopping = threading.Thread(target=lambda: server.within(server.server.stop(10)))
    stopping.start()
    look = server.channel.unary_unary("/tensorflow.serving.ModelService/GetModelStatus")
    asked = get_model_status_pb2.GetModelStatusRequest(model_spec={"name": "m"}).SerializeToString()
    while (code := look.future(asked, timeout=20).code()) is grpc.StatusCode.OK:
        pass
    assert code is grpc.StatusCode.UNAVAILABLE
    gate.set()
    assert list(call.result().outputs["y"].float_val) == [2.0]
    stopping.join(10)


def test_a_fault_of_the_server_is_internal_and_says_what(serve, fake_model, config_of, tmp_path):
    load, config = fake_model()

    def broken(name, version, folder):
        servable = load(name, version, folder)
        servable.run = lambda *_: (_ for _ in ()).throw(RuntimeError("broken inside"))
        return servable

    server = serve(broken, config)
    with pytest.raises(grpc.RpcError) as caught:
        predict(server)
    assert caught.value.code() in {CODE.INTERNAL, CODE.UNKNOWN}
    assert "broken inside" in caught.value.details()


def test_a_taken_port_is_refused_with_the_way_out(serve, fake_model):
    taken = serve(*fake_model()).server.port
    with pytest.raises(ServingError, match=rf"127.0.0.1:{taken} cannot be listened on .* give another with --port"):
        serve(*fake_model(), port=taken, any_port=False)


def test_a_server_without_port_and_socket_is_refused(serve, fake_model):
    with pytest.raises(ServingError, match="At least one of --port or --grpc_socket_path"):
        serve(*fake_model(), any_port=False)
