"""`tensorflow.serving.PredictionService` over the data plane."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    inference_pb2,
    predict_pb2,
    regression_pb2,
)

from serving.model_server.batch_compute import as_serving_error
from serving.model_server.data_plane import Call, DataPlane
from serving.model_server.errors import Code, ServingError
from serving.model_server.example_methods import CLASSIFY, Examples
from serving.model_server.grpc import calls, results, tensor_protos

if TYPE_CHECKING:
    from serving.model_server.batch_task import Task
    from serving.model_server.example_methods import Classification, Regression
    from serving.model_server.grpc.exchange import Begin, Cancel, Context, Done
    from serving.model_server.servable import Signature, Tensors

_SIGNATURES = "signature_def"
_UNREAD = np.empty(0)  # stands for a tensor under a name that the signature has not: refused by its name, not read


class PredictionService:
    """The methods of the service."""

    def __init__(self, plane: DataPlane, *, as_content: bool = False, reads_ids: bool = False) -> None:
        """Takes what answers.

        Args:
            plane: answers.
            as_content: whether responses hold tensors as `tensor_content`.
            reads_ids: whether clients' names of their requests are wanted, by the request log.
        """
        self._plane = plane
        self._reads_ids = reads_ids
        self._responses = results.PredictResponses(predict_pb2.PredictResponse, as_content=as_content)

    def handlers(self) -> dict[str, Begin]:
        """Returns what answers each method of the service."""
        count = {api: calls.counter(self._plane, api) for api in ("Predict", "Classify", "Regress")}
        return {
            "Predict": partial(self.predict, count["Predict"]),
            "Classify": calls.handler(self.classify, classification_pb2.ClassificationRequest, count["Classify"]),
            "Regress": calls.handler(self.regress, regression_pb2.RegressionRequest, count["Regress"]),
            "MultiInference": calls.handler(self.multi_inference, inference_pb2.MultiInferenceRequest),
            "GetModelMetadata": calls.handler(self.metadata, get_model_metadata_pb2.GetModelMetadataRequest),
        }

    def predict(self, count: calls.Count, data: bytes, context: Context, done: Done) -> Cancel:
        """Answers tensors with tensors; without a task of its own, which would cost as much as reading the request.

        Raises:
            ServingError: the request is refused at once; `done` is not called then.
        """
        call = calls.Call(done, count)
        request = call.parse(predict_pb2.PredictRequest, data)
        try:
            task = self._start(request, context, call)
        except Exception as error:
            refused = as_serving_error(error)
            call.count(refused.code)
            raise refused from error

        def cancel() -> None:
            """Forgets the request."""
            call.count(Code.CANCELLED)
            self._plane.cancel(task)

        return cancel

    def _start(self, request: Any, context: Context, call: calls.Call) -> Task:
        spec = calls.need_spec(request)
        lease = self._plane.lease(calls.model_ref(spec))
        try:
            signature = self._plane.signature(lease, spec.signature_name)
            asked = Call(
                outputs=list(request.output_filter) or None,
                deadline_s=context.deadline_s,
                client_id=calls.client_id(context) if self._reads_ids else "",
                entrypoint="GRPC",
                shape=self._responses.shape(spec.name, lease.version, signature.name),
            )
            return self._plane.start(lease, signature, _read_inputs(request.inputs, signature), asked, call.end)
        except BaseException:
            lease.release()
            raise

    async def classify(self, request: Any, context: Any) -> bytes:
        """Answers tf.Examples with labels and scores."""
        spec = request.model_spec
        with self._plane.lease(calls.model_ref(spec)) as lease:
            call = self._call(context, "Classify")
            rows = await self._plane.classify(lease, spec.signature_name, _read_examples(request.input), call)
            response = classification_pb2.ClassificationResponse()
            results.fill_spec(response.model_spec, spec.name, lease.version, _signature_name(spec))
            results.fill_classifications(response.result, rows)
            return response.SerializeToString()

    async def regress(self, request: Any, context: Any) -> bytes:
        """Answers tf.Examples with a number each."""
        spec = request.model_spec
        with self._plane.lease(calls.model_ref(spec)) as lease:
            call = self._call(context, "Regress")
            values = await self._plane.regress(lease, spec.signature_name, _read_examples(request.input), call)
            response = regression_pb2.RegressionResponse()
            results.fill_spec(response.model_spec, spec.name, lease.version, _signature_name(spec))
            results.fill_regressions(response.result, values)
            return response.SerializeToString()

    async def multi_inference(self, request: Any, context: Any) -> bytes:
        """Answers the same tf.Examples with several signatures of one model."""
        tasks = request.tasks
        first = tasks[0].model_spec if tasks else inference_pb2.InferenceTask().model_spec
        with self._plane.lease(calls.model_ref(first)) as lease:
            _check_tasks(tasks)
            wanted = [(task.model_spec.signature_name, task.method_name) for task in tasks]
            call = self._call(context, "MultiInference")
            answers = await self._plane.multi_inference(lease, wanted, _read_examples(request.input), call)
            response = inference_pb2.MultiInferenceResponse()
            for task, answer in zip(tasks, answers, strict=True):
                result = response.results.add()
                spec = task.model_spec
                results.fill_spec(result.model_spec, spec.name, lease.version, _signature_name(spec))
                if task.method_name == CLASSIFY:
                    results.fill_classifications(result.classification_result, cast("Classification", answer))
                else:
                    results.fill_regressions(result.regression_result, cast("Regression", answer))
            return response.SerializeToString()

    async def metadata(self, request: Any, _context: Any) -> bytes:
        """Tells a model's signatures."""
        spec = calls.need_spec(request)
        if not request.metadata_field:
            raise _invalid("GetModelMetadataRequest must specify at least one metadata_field")
        for field in request.metadata_field:
            if field != _SIGNATURES:
                raise _invalid(f"Metadata field {field} is not supported")
        with self._plane.lease(calls.model_ref(spec)) as lease:
            response = get_model_metadata_pb2.GetModelMetadataResponse()
            results.fill_spec(response.model_spec, lease.name, lease.version)
            response.metadata[_SIGNATURES].Pack(lease.servable.signature_def_map())
            return response.SerializeToString()

    def _call(self, context: Any, api: str) -> Call:
        client_id = calls.client_id(context) if self._reads_ids else ""
        return Call(deadline_s=context.deadline_s, client_id=client_id, api=api, entrypoint="GRPC")


def _read_inputs(inputs: Any, signature: Signature) -> Tensors:
    """Reads the tensors of a request, those alone that the signature knows."""
    tensors: Tensors = {}
    repeats = tensor_protos.Repeats()
    for name, proto in inputs.items():
        try:
            tensors[name] = tensor_protos.to_array(proto, repeats) if name in signature.inputs else _UNREAD
        except tensor_protos.TensorProtoError as error:
            raise _invalid(f"tensor parsing error: {name}: {error}") from error
    return tensors


def _read_examples(proto: Any) -> Examples:
    """Returns the Examples of an Input as they were written, and their context."""
    kind = proto.WhichOneof("kind")
    if kind == "example_list_with_context":
        found = proto.example_list_with_context
        rows = [example.SerializeToString() for example in found.examples]
        return Examples(rows, found.context.SerializeToString())
    return Examples([example.SerializeToString() for example in proto.example_list.examples])


def _check_tasks(tasks: Any) -> None:
    """Refuses tasks for several models."""
    for task in tasks:
        if not task.model_spec.name:
            raise _invalid("Found ModelSpec with an empty model name.")
        if task.model_spec.name != tasks[0].model_spec.name:
            raise _invalid("All ModelSpecs in a MultiInferenceRequest must access the same model name.")


def _signature_name(spec: Any) -> str:
    return spec.signature_name or "serving_default"


def _invalid(message: str) -> ServingError:
    return ServingError(Code.INVALID_ARGUMENT, message)
