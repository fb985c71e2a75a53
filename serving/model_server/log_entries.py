"""One entry of the request log: as a `PredictionLog`, and as lines of a table, one per item."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from serving.model_server.batch_task import bytes_of
from serving.model_server.example_methods import CLASSIFY
from serving.model_server.grpc import tensor_protos

if TYPE_CHECKING:
    import pyarrow as pa

    from serving.model_server.servable import Tensors


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inference:
    """What one task of a MultiInference gave.

    Attributes:
        signature: name of the function.
        method: such as `tensorflow/serving/classify`.
        outputs: what the model gave.
    """

    signature: str
    method: str
    outputs: Tensors


@dataclasses.dataclass(frozen=True, kw_only=True)
class Answered:
    """One request that was answered.

    Attributes:
        model: name.
        version: the one that answered.
        signature: name of the function; of MultiInference that of the first task.
        method: `Predict`, `Classify`, `Regress` or `MultiInference`.
        api: `GRPC` or `REST`.
        inputs: what was sent, by the signature's names; serialized Examples for all methods but Predict.
        outputs: what the model gave; nothing where `tasks` hold it.
        client_id: what the client called the request (`x-request-id`); "" where it gave no name.
        latency_s: seconds from the whole request to the whole answer.
        time_s: seconds since 1970, UTC, of the answer.
        tasks: of MultiInference, in the order in which they were asked.
    """

    model: str
    version: int
    signature: str
    method: str
    api: str
    inputs: Tensors
    outputs: Tensors
    client_id: str = ""
    latency_s: float = 0.0
    time_s: float = dataclasses.field(default_factory=time.time)
    tasks: tuple[Inference, ...] = ()

    def bytes(self) -> int:
        """Returns what its tensors take in memory."""
        held = (self.inputs, self.outputs, *(task.outputs for task in self.tasks))
        return sum(bytes_of(array) for tensors in held for array in tensors.values())


def schema() -> pa.Schema:
    """Returns the columns of the table.

    `id` is the client's name of the request, `row` the item's place in it and `rows` their number; `input_sha256` is
    of the bytes that were sent, such as the image file; `label`, `score`, `reason` and `value` are the model's, null
    where it gives none; `latency_ms` is of the whole request. Of MultiInference `signature` names all tasks, separated
    by commas, and the first one that gives a label, a score or a value has the column.
    """
    import pyarrow as pa

    return pa.schema([
        ("time_utc", pa.timestamp("us", tz="UTC")), ("id", pa.string()), ("row", pa.int32()), ("rows", pa.int32()),
        ("model", pa.string()), ("version", pa.int64()), ("signature", pa.string()), ("method", pa.string()),
        ("api", pa.string()), ("latency_ms", pa.float32()), ("input_sha256", pa.string()), ("label", pa.string()),
        ("score", pa.float64()), ("reason", pa.string()), ("value", pa.float64()),
    ])  # fmt: skip


def rows_of(answered: Answered) -> list[dict[str, Any]]:
    """Returns the lines of the table for one request: one per item, or one in all where inputs are no rows."""
    sizes = {array.shape[0] if array.ndim else None for array in answered.inputs.values()}
    size = sizes.pop() if len(sizes) == 1 else None
    rows = 1 if size is None else size
    common = {
        "time_utc": datetime.fromtimestamp(answered.time_s, UTC),
        "id": answered.client_id,
        "rows": rows,
        "model": answered.model,
        "version": answered.version,
        "signature": ",".join(task.signature for task in answered.tasks) or answered.signature,
        "method": answered.method,
        "api": answered.api,
        "latency_ms": answered.latency_s * 1000,
    }
    outputs = _per_row(answered.outputs, rows)
    for task in answered.tasks:
        outputs = _per_row(task.outputs, rows) | outputs
    return [
        {**common, "row": row, "input_sha256": _digest(answered.inputs, None if size is None else row)}
        | {name: values[row] for name, values in outputs.items()}
        for row in range(rows)
    ]


def prediction_log(answered: Answered) -> Any:
    """Returns the entry as a `PredictionLog`; the client's id is its `request_origin`."""
    from tensorflow_serving.apis import prediction_log_pb2

    log = prediction_log_pb2.PredictionLog()
    log.log_metadata.timestamp_secs = int(answered.time_s)
    log.log_metadata.request_origin = answered.client_id
    _name_model(log.log_metadata.model_spec, answered)
    if answered.method == "Predict":
        _name_model(log.predict_log.request.model_spec, answered)
        _name_model(log.predict_log.response.model_spec, answered)
        for tensors, messages in (
            (answered.inputs, log.predict_log.request.inputs),
            (answered.outputs, log.predict_log.response.outputs),
        ):
            for name, array in tensors.items():
                tensor_protos.fill(messages[name], array, as_content=array.dtype != object)
    else:
        _fill_example_log(log, answered)
    return log


def _fill_example_log(log: Any, answered: Answered) -> None:
    field = {"Classify": "classify_log", "Regress": "regress_log"}.get(answered.method, "multi_inference_log")
    request, response = getattr(log, field).request, getattr(log, field).response
    for array in answered.inputs.values():
        for example in array.reshape(-1).tolist():
            request.input.example_list.examples.add().ParseFromString(example)
    for task in answered.tasks:
        asked, given = request.tasks.add(method_name=task.method), response.results.add()
        _name_model(asked.model_spec, answered, task.signature)
        _name_model(given.model_spec, answered, task.signature)
        if task.method == CLASSIFY:
            _fill_classifications(given.classification_result, task.outputs)
        else:
            _fill_regressions(given.regression_result, task.outputs)
    if field == "multi_inference_log":
        return
    _name_model(request.model_spec, answered)
    _name_model(response.model_spec, answered)
    if field == "classify_log":
        _fill_classifications(response.result, answered.outputs)
    else:
        _fill_regressions(response.result, answered.outputs)


def _fill_regressions(result: Any, outputs: Tensors) -> None:
    for value in outputs["outputs"].reshape(-1).tolist():
        result.regressions.add(value=value)


def _fill_classifications(result: Any, outputs: Tensors) -> None:
    classes, scores = (outputs.get(name) for name in ("classes", "scores"))
    for row in range(len(next(iter(outputs.values())))):
        found = result.classifications.add().classes
        labels = itertools.repeat(b"") if classes is None else classes[row].tolist()
        values = itertools.repeat(0.0) if scores is None else scores[row].tolist()
        for label, score in zip(labels, values, strict=False):  # one of them may be endless
            found.add(label=label, score=score)


def _name_model(spec: Any, answered: Answered, signature: str = "") -> None:
    spec.name = answered.model
    spec.version.value = answered.version
    spec.signature_name = signature or answered.signature


def _per_row(outputs: Tensors, rows: int) -> dict[str, list[Any]]:
    """Returns the outputs that are one word or number per item, for the columns that are there for them."""
    found: dict[str, list[Any]] = {}
    for name, column in (("label", "label"), ("score", "score"), ("reason", "reason"), ("value", "value"),
                         ("outputs", "value"), ("classes", "label"), ("scores", "score")):  # fmt: skip
        array = outputs.get(name)
        if array is None or array.size != rows or (array.dtype == object) != (column in ("label", "reason")):
            continue
        if array.dtype.kind == "c":
            continue
        if array.dtype != object:
            array = array.astype(np.float64)  # the column's type: one number that is not would cost the whole file
        values = array.reshape(-1).tolist()
        found[column] = [value.decode("utf-8", "replace") if isinstance(value, bytes) else value for value in values]
    return found


def _digest(inputs: Tensors, row: int | None) -> str:
    """Returns the SHA-256 of an item: of the bytes themselves where one string was sent, so of the file."""
    digest = hashlib.sha256()
    for name, array in sorted(inputs.items()):
        values = array if row is None else array[row]
        if len(inputs) > 1:
            digest.update(f"{name}\0".encode())
        if isinstance(values, np.ndarray):
            digest.update(b"".join(values.reshape(-1).tolist()) if values.dtype == object else values.tobytes())
        else:
            digest.update(values if isinstance(values, bytes) else np.asarray(values).tobytes())
    return digest.hexdigest()
