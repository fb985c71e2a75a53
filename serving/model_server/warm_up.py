"""Replays the requests that a model brings, so that its first client does not wait for what happens only once."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from serving.model_server.batch_task import Answer
from serving.model_server.errors import Code, ServingError
from serving.model_server.example_methods import CLASSIFY, INPUTS, METHODS, REGRESS, ExampleMethod, Examples
from serving.model_server.grpc import tensor_protos
from serving.model_server.input_checks import check_inputs, check_outputs, numpy_type
from serving.model_server.servable import Servable, Signature, Tensors

FILE = Path("assets.extra") / "tf_serving_warmup_requests"  # TFRecords of PredictionLog
MAX_RECORDS = 1000
_DEFAULT = "serving_default"

_LOG = logging.getLogger(__name__)


def replay(servable: Servable, folder: Path, iterations: int = 1) -> int:
    """Answers every warm-up request of a version.

    Args:
        servable: the version, loaded.
        folder: of the version; without the file nothing happens.
        iterations: times each request is answered.

    Returns:
        How many requests there are.

    Raises:
        ServingError: a request cannot be answered, the file is damaged, or holds more than 1000 requests.
    """
    path = folder / FILE
    if not path.is_file():
        return 0
    count = 0
    for record in _records(path):
        count += 1
        if count > MAX_RECORDS:
            raise ServingError(
                Code.INVALID_ARGUMENT, f"Number of warmup records exceeds the maximum ({MAX_RECORDS}) at {path}"
            )
        log = _parsed(record, path)
        for _ in range(iterations):
            answer(servable, log)
    return count


def touch(servable: Servable) -> None:
    """Runs each signature on no rows: what TensorFlow does once, at a graph's first run, takes half a second.

    A model that cannot answer nothing is left as it is.
    """
    for signature in servable.signatures.values():
        if not signature.is_batchable:
            continue
        inputs = {}
        for name, info in signature.inputs.items():
            sizes = [1 if size is None else size for size in (info.shape or ())[1:]]
            inputs[name] = np.empty((0, *sizes), numpy_type(info.dtype))
        try:
            servable.run(signature.name, inputs)
        except ServingError as error:
            _LOG.debug("%s of %s does not answer an empty batch: %s", signature.name, servable.name, error)


def answer(servable: Servable, log: Any) -> None:
    """Answers one `PredictionLog` and forgets the answer; one of no kind is passed over.

    Raises:
        ServingError: as the model or the checks say; UNIMPLEMENTED for kinds that cannot be replayed.
    """
    kind = log.WhichOneof("log_type")
    if kind == "predict_log":
        _predict(servable, log.predict_log.request)
    elif kind == "classify_log":
        request = log.classify_log.request
        _ask(servable, METHODS[CLASSIFY], request.model_spec.signature_name, request.input)
    elif kind == "regress_log":
        request = log.regress_log.request
        _ask(servable, METHODS[REGRESS], request.model_spec.signature_name, request.input)
    elif kind == "multi_inference_log":
        request = log.multi_inference_log.request
        for task in request.tasks:
            method = METHODS.get(task.method_name)
            if method is None:
                raise ServingError(Code.UNIMPLEMENTED, f"Unsupported signature method_name: {task.method_name}")
            _ask(servable, method, task.model_spec.signature_name, request.input)
    elif kind is not None:
        raise ServingError(Code.UNIMPLEMENTED, f"Unsupported log_type for warmup: {kind}")


def _predict(servable: Servable, request: Any) -> None:
    name = request.model_spec.signature_name or _DEFAULT
    signature = servable.signatures.get(name)
    if signature is None:
        raise ServingError(Code.FAILED_PRECONDITION, f'Serving signature key "{name}" not found.')
    check_outputs(signature, request.output_filter)
    try:
        inputs = {key: tensor_protos.to_array(proto) for key, proto in request.inputs.items()}
    except tensor_protos.TensorProtoError as error:
        raise ServingError(Code.INVALID_ARGUMENT, f"tensor parsing error: {error}") from error
    _run(servable, signature, inputs, list(request.output_filter) or None)


def _ask(servable: Servable, method: ExampleMethod, signature_name: str, proto: Any) -> None:
    name = signature_name or _DEFAULT
    signature = servable.signatures.get(name)
    if signature is None:
        raise ServingError(Code.INVALID_ARGUMENT, f"No signature was found with the name: {name}")
    method.check(servable, signature)
    rows = _examples(proto).joined()
    tensors = _run(servable, signature, {INPUTS: rows}, method.outputs(signature))
    method.shape(Answer(tensors=tensors, start=0, stop=len(rows), is_whole=True, memo={}))


def _run(servable: Servable, signature: Signature, inputs: Tensors, outputs: Collection[str] | None) -> Tensors:
    check_inputs(servable, signature, inputs)
    return servable.run(signature.name, inputs, outputs)


def _examples(proto: Any) -> Examples:
    if proto.WhichOneof("kind") == "example_list_with_context":
        context = proto.example_list_with_context
        return Examples([one.SerializeToString() for one in context.examples], context.context.SerializeToString())
    return Examples([one.SerializeToString() for one in proto.example_list.examples])


def _parsed(record: bytes, path: Path) -> Any:
    from google.protobuf.message import DecodeError
    from tensorflow_serving.apis import prediction_log_pb2

    try:
        return prediction_log_pb2.PredictionLog.FromString(record)
    except DecodeError as error:
        raise ServingError(Code.INVALID_ARGUMENT, f"Failed to parse warmup record of {path}: {error}") from error


def _records(path: Path) -> Iterator[bytes]:
    import tensorflow as tf
    from tensorflow.python.lib.io._pywrap_record_io import RecordIterator  # the public one warns that it is old

    try:
        yield from RecordIterator(str(path), "")
    except tf.errors.DataLossError as error:
        raise ServingError(
            Code.DATA_LOSS, f"{error.message}. Please verify your warmup data is in TFRecord format."
        ) from error
