import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    inference_pb2,
    predict_pb2,
    prediction_log_pb2,
    regression_pb2,
)

from serving.model_server import warm_up
from serving.model_server.log_files import read_requests
from serving.model_server.request_log import LogSettings, RequestLog

SERVICE = "PredictionService"
CODE = grpc.StatusCode


def predict_request(model, inputs, *, signature="", outputs=(), version=None, label=""):
    request = predict_pb2.PredictRequest(output_filter=outputs)
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    if version is not None:
        request.model_spec.version.value = version
    if label:
        request.model_spec.version_label = label
    for name, values in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(values))
    return request


def predict(running, model, inputs, **more):
    request = predict_request(model, inputs, **more)
    return running.call(SERVICE, "Predict", request, predict_pb2.PredictResponse)


def example(**features):
    found = tf.train.Example()
    for name, value in features.items():
        kind = found.features.feature[name]
        (kind.int64_list if isinstance(value, int) else kind.float_list).value.append(value)
    return found


def examples_request(request_class, model, rows, *, signature="", context=None):
    request = request_class()
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    if context is None:
        request.input.example_list.examples.extend(rows)
    else:
        request.input.example_list_with_context.examples.extend(rows)
        request.input.example_list_with_context.context.CopyFrom(context)
    return request


def refusal(running, method, request):
    """The code and text with which a request is refused."""
    with pytest.raises(grpc.RpcError) as caught:
        running.call(SERVICE, method, request, predict_pb2.PredictResponse)
    return caught.value.code(), caught.value.details()


def test_predict_answers_in_typed_fields_and_says_which_model(running):
    response = predict(running, "half_plus_two", {"x": np.float32([1, 2, 5])})
    assert list(response.outputs["y"].float_val) == [3.5, 4.0, 5.5]
    assert response.outputs["y"].tensor_content == b""
    assert (response.model_spec.name, response.model_spec.version.value) == ("half_plus_two", 2)
    assert response.model_spec.signature_name == "serving_default"


def test_a_version_or_a_label_is_answered_by_that_version(running):
    inputs = {"x": np.float32([2])}
    answers = {
        key: list(predict(running, "half_plus_two", inputs, **more).outputs["y"].float_val)
        for key, more in (
            ("1", {"version": 1}),
            ("2", {"version": 2}),
            ("stable", {"label": "stable"}),
            ("canary", {"label": "canary"}),
        )
    }
    assert answers == {"1": [3.0], "2": [4.0], "stable": [3.0], "canary": [4.0]}


def test_the_output_filter_leaves_the_others_out(running):
    inputs = {"text": np.array([b"sand", "Wüste".encode()], object)}
    assert set(predict(running, "text", inputs).outputs) == {"upper", "bytes"}
    only = predict(running, "text", inputs, outputs=["upper"])
    assert set(only.outputs) == {"upper"}
    assert list(only.outputs["upper"].string_val)[:1] == [b"SAND"]


@pytest.mark.parametrize(
    "dtype", ["float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool"]
)
def test_tensors_of_every_dtype_come_back_as_they_were_sent(running, dtype):
    sent = np.array([[0, 1, 1], [1, 0, 1]]).astype(dtype)
    found = tf.make_ndarray(predict(running, "echo", {"x": sent}, signature=dtype).outputs["y"])
    assert found.dtype == sent.dtype
    assert found.tolist() == sent.tolist()


def test_an_empty_batch_is_answered_with_no_rows(running):
    response = predict(running, "half_plus_two", {"x": np.zeros(0, np.float32)})
    assert tf.make_ndarray(response.outputs["y"]).shape == (0,)


def test_as_tensor_content_answers_hold_bytes(serve, load_saved_model, config_of, half_plus_two):
    server = serve(load_saved_model, config_of({"m": half_plus_two}), as_tensor_content=True)
    output = predict(server, "m", {"x": np.float32([1, 2])}).outputs["y"]
    assert list(output.float_val) == []
    assert np.frombuffer(output.tensor_content, np.float32).tolist() == [3.5, 4.0]


@pytest.mark.parametrize(
    ("request_", "code", "words"),
    [
        (predict_pb2.PredictRequest(), CODE.INVALID_ARGUMENT, "Missing ModelSpec"),
        (predict_request("", {}, signature="s"), CODE.INVALID_ARGUMENT, "ModelSpec has no name specified."),
        (predict_request("nobody", {}), CODE.NOT_FOUND, "Servable not found for request: Latest(nobody)"),
        (predict_request("text", {}, version=7), CODE.NOT_FOUND, "Servable not found for request: Specific(text, 7)"),
        (predict_request("text", {}, label="x"), CODE.INVALID_ARGUMENT, "Unrecognized servable version label: x"),
        (
            predict_request("text", {}, signature="no"),
            CODE.FAILED_PRECONDITION,
            'Serving signature key "no" not found.',
        ),
        (
            predict_request("text", {}),
            CODE.INVALID_ARGUMENT,
            "input size does not match signature: 0!=1 len({}) != len({text}). Sent extra: {}. "
            "Missing but required: {text}.",
        ),
        (
            predict_request("text", {"text": [b"a"], "b": [1], "a": [1]}),
            CODE.INVALID_ARGUMENT,
            "input size does not match signature: 3!=1 len({a,b,text}) != len({text}). Sent extra: {a,b}. "
            "Missing but required: {}.",
        ),
        (
            predict_request("text", {"text": [b"a"]}, outputs=["lower"]),
            CODE.INVALID_ARGUMENT,
            "output tensor alias not found in signature: lower Outputs expected to be in the set {bytes,upper}.",
        ),
        (
            predict_request("text", {"text": [b"a"]}, outputs=["upper", "upper"]),
            CODE.INVALID_ARGUMENT,
            "duplicate output tensor alias: upper",
        ),
    ],
)
def test_predict_refuses_with_the_words_of_tensorflow_serving(running, request_, code, words):
    assert refusal(running, "Predict", request_) == (code, words)


def test_an_input_under_another_name_is_named(running):
    code, text = refusal(running, "Predict", predict_request("text", {"words": [b"a"]}))
    assert code is CODE.INVALID_ARGUMENT
    assert text.startswith("Signature input alias: text(feed name: ")
    assert "not found in request and no default value provided" in text


def test_a_tensor_that_cannot_be_parsed_is_named(running):
    request = predict_request("text", {"text": [b"a"]})
    request.inputs["text"].tensor_shape.dim[0].size = -3
    code, text = refusal(running, "Predict", request)
    assert code is CODE.INVALID_ARGUMENT
    assert text.startswith("tensor parsing error: text")


def test_a_small_request_with_a_huge_shape_is_refused(running):
    request = predict_request("half_plus_two", {"x": np.float32([1])})
    request.inputs["x"].tensor_content = b""
    request.inputs["x"].tensor_shape.dim[0].size = 1 << 34
    code, text = refusal(running, "Predict", request)
    assert (code, "says 17179869184 values" in text) == (CODE.INVALID_ARGUMENT, True)


def test_a_small_request_of_two_tensors_has_no_more_memory_than_one_of_a_single_tensor(running):
    request = predict_request("work", {})
    for name in ("a", "b"):
        request.inputs[name].CopyFrom(tf.make_tensor_proto(1, shape=[700_000]))  # 2.8 MB each, 4 MiB together
    code, words = refusal(running, "Predict", request)
    assert code is CODE.INVALID_ARGUMENT
    assert "the shape [700000] says 700000 values, but the message holds 1" in words
    assert "Send every value" in words


def test_another_dtype_is_refused(running):
    code, text = refusal(running, "Predict", predict_request("half_plus_two", {"x": [b"one"]}))
    assert (code, "to be float but string is provided" in text) == (CODE.INVALID_ARGUMENT, True)


def test_bytes_that_are_no_request_are_refused_as_such(running):
    code, text = refusal(running, "Predict", b"\xff\xff\xff")
    assert code is CODE.INVALID_ARGUMENT
    assert text.startswith(
        "the request must be a serialized tensorflow.serving.PredictRequest, but its 3 bytes are not"
    )


def test_an_error_of_the_model_is_the_clients_and_a_long_text_is_cut(running):
    code, text = refusal(running, "Predict", predict_request("work", {"a": [1], "b": [0]}))
    assert code is CODE.INVALID_ARGUMENT
    assert "division by zero" in text.lower()
    names = {f"{place}{'x' * 100}": [1] for place in range(30)}
    _, text = refusal(running, "Predict", predict_request("text", names))
    assert len(text) == 1024 + len("...TRUNCATED")
    assert text.endswith("...TRUNCATED")


def test_classify_gives_labels_and_scores(running):
    rows = [example(id=2), example(id=0)]
    request = examples_request(classification_pb2.ClassificationRequest, "labelled", rows)
    response = running.call(SERVICE, "Classify", request, classification_pb2.ClassificationResponse)
    found = [[(one.label, one.score) for one in row.classes] for row in response.result.classifications]
    assert found == [[("water", 1.0)], [("grass", 0.0)]]
    assert (response.model_spec.version.value, response.model_spec.signature_name) == (1, "serving_default")


def test_a_context_is_shared_by_all_examples(running):
    request = examples_request(
        classification_pb2.ClassificationRequest, "labelled", [example(), example()], context=example(id=1)
    )
    response = running.call(SERVICE, "Classify", request, classification_pb2.ClassificationResponse)
    assert [row.classes[0].label for row in response.result.classifications] == ["sand", "sand"]


def test_regress_gives_a_number_each(running):
    rows = [example(x=1.0), example(x=4.0)]
    request = examples_request(regression_pb2.RegressionRequest, "half_plus_two", rows, signature="regress_x_to_y")
    response = running.call(SERVICE, "Regress", request, regression_pb2.RegressionResponse)
    assert [one.value for one in response.result.regressions] == [3.5, 5.0]
    assert response.model_spec.signature_name == "regress_x_to_y"


@pytest.mark.parametrize(
    ("method", "request_", "words"),
    [
        ("Classify", examples_request(classification_pb2.ClassificationRequest, "labelled", []), "Input is empty."),
        (
            "Classify",
            examples_request(classification_pb2.ClassificationRequest, "labelled", [example(id=1)], signature="no"),
            "No signature was found with the name: no",
        ),
        (
            "Regress",
            examples_request(regression_pb2.RegressionRequest, "text", [example(x=1.0)]),
            "Expected one output Tensor.",
        ),
        (
            "Classify",
            examples_request(classification_pb2.ClassificationRequest, "work", [example(x=1.0)]),
            "Expected one input Tensor.",
        ),
        ("Classify", classification_pb2.ClassificationRequest(), "ModelSpec has no name specified."),
    ],
)
def test_examples_are_refused_with_the_words_of_tensorflow_serving(running, method, request_, words):
    assert refusal(running, method, request_) == (CODE.INVALID_ARGUMENT, words)


def multi_request(*tasks):
    request = inference_pb2.MultiInferenceRequest()
    for model, signature, method in tasks:
        task = request.tasks.add(method_name=f"tensorflow/serving/{method}")
        task.model_spec.name = model
        task.model_spec.signature_name = signature
    request.input.example_list.examples.append(example(x=2.0))
    return request


def test_multi_inference_answers_each_task_in_order(running):
    request = multi_request(
        ("half_plus_two", "regress_x_to_y", "regress"), ("half_plus_two", "classify_x_to_y", "classify")
    )
    first, second = running.call(SERVICE, "MultiInference", request, inference_pb2.MultiInferenceResponse).results
    assert first.regression_result.regressions[0].value == 4.0
    assert second.classification_result.classifications[0].classes[0].score == 4.0
    assert [first.model_spec.signature_name, second.model_spec.signature_name] == ["regress_x_to_y", "classify_x_to_y"]
    assert first.model_spec.version.value == 2


def test_a_multi_inference_is_one_record_of_the_log_that_a_warm_up_can_replay(
    serve, load_saved_model, config_of, half_plus_two, tmp_path
):
    log = RequestLog(LogSettings(folder=tmp_path))
    server = serve(load_saved_model, config_of({"m": half_plus_two}), log=log)
    request = multi_request(("m", "regress_x_to_y", "regress"), ("m", "classify_x_to_y", "classify"))
    answer = server.call(SERVICE, "MultiInference", request, inference_pb2.MultiInferenceResponse)
    log.close()
    (record,) = tf.data.TFRecordDataset([str(path) for path in tmp_path.glob("*.tfrecord")]).as_numpy_iterator()
    entry = prediction_log_pb2.PredictionLog.FromString(record)
    assert entry.multi_inference_log.response == answer
    with server.manager.lease("m") as lease:
        warm_up.answer(lease.servable, entry)
    (line,) = read_requests(tmp_path).to_pylist()
    assert (line["method"], line["value"], line["score"]) == ("MultiInference", 4.0, 4.0)


@pytest.mark.parametrize(
    ("tasks", "code", "words"),
    [
        ((), CODE.INVALID_ARGUMENT, "ModelSpec has no name specified."),
        (
            (("half_plus_two", "regress_x_to_y", "regress"), ("", "a", "regress")),
            CODE.INVALID_ARGUMENT,
            "Found ModelSpec with an empty model name.",
        ),
        (
            (("half_plus_two", "regress_x_to_y", "regress"), ("text", "a", "regress")),
            CODE.INVALID_ARGUMENT,
            "All ModelSpecs in a MultiInferenceRequest must access the same model name.",
        ),
        (
            (("half_plus_two", "regress_x_to_y", "regress"), ("half_plus_two", "regress_x_to_y", "classify")),
            CODE.INVALID_ARGUMENT,
            "Duplicate evaluation of signature: regress_x_to_y",
        ),
        (
            (("half_plus_two", "no", "regress"),),
            CODE.INVALID_ARGUMENT,
            "Requested signature not found in model graph: no",
        ),
        (
            (("half_plus_two", "regress_x_to_y", "predict"),),
            CODE.UNIMPLEMENTED,
            "Unsupported signature method_name: tensorflow/serving/predict",
        ),
    ],
)
def test_multi_inference_refuses_with_the_words_of_tensorflow_serving(running, tasks, code, words):
    assert refusal(running, "MultiInference", multi_request(*tasks)) == (code, words)


def metadata_request(model, *fields):
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=fields)
    request.model_spec.name = model
    return request


def test_metadata_tells_the_signatures_and_the_version(running):
    response = running.call(
        SERVICE,
        "GetModelMetadata",
        metadata_request("text", "signature_def"),
        get_model_metadata_pb2.GetModelMetadataResponse,
    )
    found = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(found)
    assert found.signature_def["serving_default"].inputs["text"].dtype == tf.string.as_datatype_enum
    assert (response.model_spec.name, response.model_spec.version.value) == ("text", 1)


@pytest.mark.parametrize(
    ("request_", "code", "words"),
    [
        (get_model_metadata_pb2.GetModelMetadataRequest(), CODE.INVALID_ARGUMENT, "Missing ModelSpec"),
        (
            metadata_request("text"),
            CODE.INVALID_ARGUMENT,
            "GetModelMetadataRequest must specify at least one metadata_field",
        ),
        (metadata_request("text", "weights"), CODE.INVALID_ARGUMENT, "Metadata field weights is not supported"),
        (metadata_request("no", "signature_def"), CODE.NOT_FOUND, "Servable not found for request: Latest(no)"),
    ],
)
def test_metadata_refuses_with_the_words_of_tensorflow_serving(running, request_, code, words):
    assert refusal(running, "GetModelMetadata", request_) == (code, words)


def test_requests_are_counted_by_model_and_status_and_unknown_models_have_no_label(running):
    counted = running.metrics.request_count
    before = [counted.value(*key) for key in (("text", "OK"), ("text", "INVALID_ARGUMENT"), ("", "NOT_FOUND"))]
    predict(running, "text", {"text": [b"a"]})
    refusal(running, "Predict", predict_request("text", {}))
    refusal(running, "Predict", predict_request("made up", {}))
    after = [counted.value(*key) for key in (("text", "OK"), ("text", "INVALID_ARGUMENT"), ("", "NOT_FOUND"))]
    assert [now - then for now, then in zip(after, before, strict=True)] == [1, 1, 1]
    assert counted.value("made up", "NOT_FOUND") == 0
