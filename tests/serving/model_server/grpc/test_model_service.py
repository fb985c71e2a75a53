import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import get_model_status_pb2, model_management_pb2, predict_pb2

SERVICE = "ModelService"
CODE = grpc.StatusCode
AVAILABLE, END = 30, 50


def status_request(model, version=None):
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = model
    if version is not None:
        request.model_spec.version.value = version
    return request


def status(running, *wanted):
    response = running.call(
        SERVICE, "GetModelStatus", status_request(*wanted), get_model_status_pb2.GetModelStatusResponse
    )
    return [(one.version, one.state, one.status.error_code) for one in response.model_version_status]


def refusal(running, method, request):
    with pytest.raises(grpc.RpcError) as caught:
        running.call(SERVICE, method, request, get_model_status_pb2.GetModelStatusResponse)
    return caught.value.code(), caught.value.details()


def test_status_lists_all_versions_newest_first(running):
    assert status(running, "half_plus_two") == [(2, AVAILABLE, 0), (1, AVAILABLE, 0)]
    assert status(running, "half_plus_two", 1) == [(1, AVAILABLE, 0)]


@pytest.mark.parametrize(
    ("request_", "code", "words"),
    [
        (get_model_status_pb2.GetModelStatusRequest(), CODE.INVALID_ARGUMENT, "Missing ModelSpec"),
        (status_request("no"), CODE.NOT_FOUND, "Could not find any versions of model no"),
        (status_request("text", 9), CODE.NOT_FOUND, "Could not find version 9 of model text"),
    ],
)
def test_status_refuses_with_the_words_of_tensorflow_serving(running, request_, code, words):
    assert refusal(running, "GetModelStatus", request_) == (code, words)


def test_a_version_that_cannot_be_loaded_is_reported_with_the_reason(
    serve, load_saved_model, config_of, tmp_path, half_plus_two
):
    base = tmp_path / "m"
    (base / "7").mkdir(parents=True)
    (base / "7" / "saved_model.pb").write_bytes(b"no model")
    (base / "1").symlink_to(half_plus_two / "1")
    server = serve(load_saved_model, config_of({"other": half_plus_two}))
    request = model_management_pb2.ReloadConfigRequest(config=config_of({"m": base}, "model_version_policy { all {} }"))
    server.call(SERVICE, "HandleReloadConfigRequest", request, model_management_pb2.ReloadConfigResponse)
    while any(state != END for version, state, _ in status(server, "m") if version == 7):
        pass
    response = server.call(SERVICE, "GetModelStatus", status_request("m"), get_model_status_pb2.GetModelStatusResponse)
    broken, sound = response.model_version_status
    assert (broken.version, broken.state) == (7, END)
    assert broken.status.error_code != 0
    assert broken.status.error_message
    assert (sound.version, sound.state, sound.status.error_message) == (1, AVAILABLE, "")


def reload(running, config, *metrics):
    request = model_management_pb2.ReloadConfigRequest(config=config, metric_names=metrics)
    return running.call(SERVICE, "HandleReloadConfigRequest", request, model_management_pb2.ReloadConfigResponse)


def answers(running, model):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    request.inputs["x"].CopyFrom(tf.make_tensor_proto(np.float32([1])))
    response = running.call("PredictionService", "Predict", request, predict_pb2.PredictResponse)
    return list(response.outputs["y"].float_val)


def test_a_reload_serves_other_models_when_it_returns(serve, load_saved_model, config_of, half_plus_two, tmp_path):
    (tmp_path / "one").symlink_to(half_plus_two)
    server = serve(load_saved_model, config_of({"first": half_plus_two}))
    response = reload(
        server, config_of({"second": tmp_path / "one"}, "model_version_policy { specific { versions: 1 } }")
    )
    assert (response.status.error_code, response.status.error_message) == (0, "")
    assert answers(server, "second") == [2.5]
    assert server.manager.models() == ["second"]


def test_a_reload_tells_how_much_a_counter_grew(serve, load_saved_model, config_of, half_plus_two):
    server = serve(load_saved_model, config_of({"m": half_plus_two}))
    answers(server, "m")
    name = "/tensorflow/serving/request_count"
    response = reload(server, config_of({"m": half_plus_two}), name, "/no/such/metric")
    assert {one.name: one.int64_value_increase for one in response.metric} == {name: 0, "/no/such/metric": 0}


def test_a_reload_of_something_else_than_a_list_is_refused_and_changes_nothing(running):
    before = running.manager.models()
    request = model_management_pb2.ReloadConfigRequest()
    assert refusal(running, "HandleReloadConfigRequest", request) == (
        CODE.INVALID_ARGUMENT,
        "ServerModelConfig type not supported by HandleReloadConfigRequest. "
        "Only ModelConfigList is currently supported",
    )
    assert running.manager.models() == before


def test_a_reload_with_a_wrong_configuration_is_refused_and_changes_nothing(
    serve, load_saved_model, config_of, half_plus_two
):
    server = serve(load_saved_model, config_of({"m": half_plus_two}))
    twice = config_of({"m": half_plus_two})
    twice.model_config_list.config.add().CopyFrom(twice.model_config_list.config[0])
    with pytest.raises(grpc.RpcError) as caught:
        reload(server, twice)
    assert caught.value.code() is CODE.INVALID_ARGUMENT
    assert caught.value.details() == "Illegal to list model m multiple times in config list"
    assert answers(server, "m") == [3.5]
