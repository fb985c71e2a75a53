"""Malformed requests for gRPC: messages that are bent, bytes that are no messages."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    predict_pb2,
    regression_pb2,
)

from tests.serving.robustness.mutation import mutated

_PREDICTION, _MODEL = "/tensorflow.serving.PredictionService/", "/tensorflow.serving.ModelService/"
_NAMES = ("half", "echo", "work", "text", "labelled", "", "none", "../half", "é", "x" * 3000, "\x00")
_SIGNATURES = (
    "",
    "serving_default",
    "float32",
    "string",
    "bool",
    "int8",
    "uint64",
    "regress_x_to_y",
    "total",
    "no",
    "é\n",
)
_INPUTS = ("x", "a", "b", "text", "inputs", "", "none", "é")
_SIZES = (0, 1, 2, 3, 7, -1, -(2**63), 2**31, 2**40, 2**63 - 1)
_FIELDS: dict[str, tuple[Any, ...]] = {
    "float_val": (0.0, 1.5, float("nan"), float("inf")),
    "double_val": (0.0, -1e308),
    "int_val": (0, -(2**31), 2**31 - 1, 70_000),
    "int64_val": (0, -(2**63)),
    "string_val": (b"", b"\xff\xfe", b"a" * 500),
    "bool_val": (True, False),
    "half_val": (0, 70_000, -1),
    "uint32_val": (0, 2**32 - 1),
    "uint64_val": (2**64 - 1,),
    "scomplex_val": (1.0,),
    "dcomplex_val": (1.0,),
}
Case = tuple[str, bytes]  # method and message


def case(rng: random.Random) -> Case:
    """Makes the name of a method and the bytes of its request."""
    method, make = rng.choice(_MAKERS)
    message = make(rng).SerializeToString()
    kind = rng.random()
    if kind < 0.3:
        message = mutated(rng, message)
    elif kind < 0.35:
        message = rng.randbytes(rng.randint(0, 300))
    elif kind < 0.37:
        method, message = _PREDICTION + rng.choice(("predict", "Nothing", "")), b""
    return method, message


def _predict(rng: random.Random) -> Any:
    request = predict_pb2.PredictRequest()
    _fill_spec(rng, request.model_spec)
    for _ in range(rng.choice((0, 1, 1, 1, 2))):
        _fill_tensor(rng, request.inputs[rng.choice(_INPUTS)])
    if rng.random() < 0.1:
        request.output_filter.extend(rng.choice((["y"], ["y", "y"], ["none"], [""])))
    return request


def _fill_spec(rng: random.Random, spec: Any) -> None:
    spec.name = rng.choice(_NAMES[:5] if rng.random() < 0.9 else _NAMES)
    if rng.random() < 0.6:
        spec.signature_name = rng.choice(_SIGNATURES)
    if rng.random() < 0.1:
        spec.version.value = rng.choice((0, 1, 2, -1, 2**63 - 1))
    elif rng.random() < 0.05:
        spec.version_label = rng.choice(("", "stable", "é"))


def _fill_tensor(rng: random.Random, tensor: Any) -> None:
    tensor.dtype = rng.choice((1, 2, 3, 4, 5, 6, 7, 9, 10, 14, 17, 19, 22, 23, 0, 8, 18, 20, 21, 101, 107, 9999))
    for _ in range(rng.choice((0, 1, 1, 1, 2, 3, 40))):
        tensor.tensor_shape.dim.add().size = rng.choice(_SIZES[:5] if rng.random() < 0.9 else _SIZES)
    tensor.tensor_shape.unknown_rank = rng.random() < 0.03
    if rng.random() < 0.3:
        tensor.tensor_content = rng.randbytes(rng.choice((0, 1, 4, 8, 12, 56)))
    for _ in range(rng.choice((0, 1, 1, 2))):
        field = rng.choice(tuple(_FIELDS))
        getattr(tensor, field).extend(rng.choice(_FIELDS[field]) for _ in range(rng.choice((0, 1, 2, 3, 7, 100))))


def _examples(make: Callable[[], Any]) -> Callable[[random.Random], Any]:
    def fill(rng: random.Random) -> Any:
        request = make()
        _fill_spec(rng, request.model_spec)
        _fill_input(rng, request.input)
        return request

    return fill


def _fill_input(rng: random.Random, given: Any) -> None:
    kind = rng.randrange(4)
    if kind == 0:
        return
    found = given.example_list if kind == 1 else given.example_list_with_context
    for _ in range(rng.choice((0, 1, 2))):
        _fill_features(rng, found.examples.add().features.feature)
    if kind == 2:
        _fill_features(rng, given.example_list_with_context.context.features.feature)


def _fill_features(rng: random.Random, features: Any) -> None:
    for _ in range(rng.randint(0, 3)):
        feature = features[rng.choice(("x", "id", "", "é"))]
        kind = rng.randrange(4)
        if kind == 0:
            feature.float_list.value.extend([1.0] * rng.choice((0, 1, 2)))
        elif kind == 1:
            feature.int64_list.value.extend([rng.choice((0, 2, 7, -(2**63)))] * rng.choice((0, 1, 2)))
        elif kind == 2:
            feature.bytes_list.value.append(rng.randbytes(5))


def _several(rng: random.Random) -> Any:
    request = inference_pb2.MultiInferenceRequest()
    for _ in range(rng.choice((0, 1, 2, 3))):
        task = request.tasks.add(
            method_name=rng.choice(("tensorflow/serving/classify", "tensorflow/serving/regress", "x"))
        )
        _fill_spec(rng, task.model_spec)
    _fill_input(rng, request.input)
    return request


def _metadata(rng: random.Random) -> Any:
    request = get_model_metadata_pb2.GetModelMetadataRequest()
    _fill_spec(rng, request.model_spec)
    request.metadata_field.extend(rng.choice(([], ["signature_def"], ["none"], ["signature_def", ""])))
    return request


def _status(rng: random.Random) -> Any:
    request = get_model_status_pb2.GetModelStatusRequest()
    _fill_spec(rng, request.model_spec)
    return request


_MAKERS: tuple[tuple[str, Callable[[random.Random], Any]], ...] = (
    *((_PREDICTION + "Predict", _predict),) * 4,
    (_PREDICTION + "Classify", _examples(classification_pb2.ClassificationRequest)),
    (_PREDICTION + "Regress", _examples(regression_pb2.RegressionRequest)),
    (_PREDICTION + "MultiInference", _several),
    (_PREDICTION + "GetModelMetadata", _metadata),
    (_MODEL + "GetModelStatus", _status),
)
