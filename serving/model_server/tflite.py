"""A TFLite model as something that answers."""

from __future__ import annotations

import queue
import struct
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from serving.allowed_ops import ALLOWED
from serving.model_server.errors import Code, ServingError
from serving.model_server.servable import Signature, Tensors
from serving.model_server.signature_defs import PREDICT_METHOD, signatures_of

if TYPE_CHECKING:
    from tensorflow_serving.apis import get_model_metadata_pb2

FILE_NAME = "model.tflite"
_DEFAULT = "serving_default"
_FLEX = "Flex"  # ops of TensorFlow within a TFLite model, by the names of their own


class TfliteServable:
    """One version of a model, from `model.tflite`; implements `Servable`.

    A request takes an interpreter and gives it back, so as many run at once as there are interpreters; the others wait
    for one.
    """

    def __init__(self, name: str, version: int, folder: Path, interpreters: int) -> None:
        """Loads the model.

        Args:
            name: of the model.
            version: its number.
            folder: holds `model.tflite`.
            interpreters: how many requests may run at once; each has its own working memory.

        Raises:
            ServingError: the file is no TFLite model, or holds an op that may not be served.
        """
        self.name = name
        self.version = version
        self._content = (folder / FILE_NAME).read_bytes()
        check_ops(self._content, folder)
        first = self._interpreter()
        self._signature_defs = _signature_defs(first)
        self._has_signatures = bool(first.get_signature_list())
        self.signatures: Mapping[str, Signature] = signatures_of(self._signature_defs)
        self._free: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for interpreter in (first, *(self._interpreter() for _ in range(interpreters - 1))):
            self._free.put(interpreter)

    def run(self, signature: str, inputs: Tensors, outputs: Collection[str] | None = None) -> Tensors:
        """Answers in the calling thread; see `Servable.run`."""
        interpreter = self._free.get()
        try:
            if self._has_signatures:
                values = interpreter.get_signature_runner(signature)(**inputs)
            else:
                values = _invoke(interpreter, inputs)
            return {name: values[name] for name in (values if outputs is None else outputs)}
        except (RuntimeError, ValueError, TypeError) as error:
            raise ServingError(Code.INVALID_ARGUMENT, str(error)) from error
        finally:
            self._free.put(interpreter)

    def signature_def_map(self) -> get_model_metadata_pb2.SignatureDefMap:
        """The signatures as GetModelMetadata tells them."""
        from tensorflow_serving.apis import get_model_metadata_pb2

        return get_model_metadata_pb2.SignatureDefMap(signature_def=self._signature_defs)

    def close(self) -> None:
        """Frees the interpreters; nobody runs any more."""
        while not self._free.empty():
            self._free.get()

    def _interpreter(self) -> Any:
        import tensorflow as tf

        try:
            interpreter = tf.lite.Interpreter(model_content=self._content, num_threads=1)
            interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise ServingError(
                Code.INVALID_ARGUMENT, f"{FILE_NAME} of model {self.name} cannot be loaded: {error}"
            ) from error
        return interpreter


def check_ops(content: bytes, folder: Path) -> None:
    """Refuses a model that calls what `serving/allowed_ops.py` does not name; TFLite's own ops are all harmless.

    Args:
        content: the model file.
        folder: where it lies, for the error.

    Raises:
        ServingError: FAILED_PRECONDITION with the ops; INVALID_ARGUMENT if it is no TFLite model.
    """
    try:
        custom = _custom_ops(content)
    except (struct.error, IndexError, TypeError, ValueError) as error:
        raise ServingError(
            Code.INVALID_ARGUMENT, f"{folder / FILE_NAME} is no TFLite model ({error}). Convert the model again."
        ) from error
    refused = sorted(code for code in custom if code.startswith(_FLEX) and code.removeprefix(_FLEX) not in ALLOWED)
    if refused:
        raise ServingError(
            Code.FAILED_PRECONDITION,
            f"a model may only compute, but {folder / FILE_NAME} calls {', '.join(refused)}, which "
            "serving/allowed_ops.py does not name. Export it without.",
        )


def _custom_ops(content: bytes) -> set[str]:
    from tensorflow.lite.python import schema_py_generated as schema

    if not schema.Model.ModelBufferHasIdentifier(content, 0):
        raise ValueError(f"it begins with {content[:8]!r}, which is no TFLite file's mark")
    model = schema.Model.GetRootAs(content, 0)
    codes = (model.OperatorCodes(place).CustomCode() for place in range(model.OperatorCodesLength()))
    return {code.decode() for code in codes if code}


def _invoke(interpreter: Any, inputs: Tensors) -> Tensors:
    """Runs a model without signatures, by the names of its tensors."""
    details = {_tensor_name(detail): detail for detail in interpreter.get_input_details()}
    is_resized = False
    for name, value in inputs.items():
        if tuple(details[name]["shape"]) != np.shape(value):
            interpreter.resize_tensor_input(details[name]["index"], np.shape(value))
            is_resized = True
    if is_resized:
        interpreter.allocate_tensors()
    for name, value in inputs.items():
        interpreter.set_tensor(details[name]["index"], value)
    interpreter.invoke()
    return {_tensor_name(one): interpreter.get_tensor(one["index"]) for one in interpreter.get_output_details()}


def _signature_defs(interpreter: Any) -> dict[str, Any]:
    """Describes the signatures as TensorFlow Serving does; one of all tensors where the model has none."""
    names = interpreter.get_signature_list()
    if not names:
        inputs = {_tensor_name(detail): detail for detail in interpreter.get_input_details()}
        outputs = {_tensor_name(detail): detail for detail in interpreter.get_output_details()}
        return {_DEFAULT: _signature_def(inputs, outputs)}
    runners = {name: interpreter.get_signature_runner(name) for name in names}
    return {
        name: _signature_def(runner.get_input_details(), runner.get_output_details())
        for name, runner in runners.items()
    }


def _signature_def(inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> Any:
    from tensorflow.core.protobuf import meta_graph_pb2

    definition = meta_graph_pb2.SignatureDef(method_name=PREDICT_METHOD)
    for details, infos in ((inputs, definition.inputs), (outputs, definition.outputs)):
        for name, detail in details.items():
            infos[name].CopyFrom(_tensor_info(detail))
    return definition


def _tensor_info(detail: Mapping[str, Any]) -> Any:
    import tensorflow as tf
    from tensorflow.core.framework import tensor_shape_pb2
    from tensorflow.core.protobuf import meta_graph_pb2

    # TFLite tells strings as bytes, and the free dimensions in `shape_signature` alone.
    dtype = tf.string if detail["dtype"] in (bytes, np.bytes_) else tf.as_dtype(detail["dtype"])
    sizes = detail["shape_signature"] if len(detail["shape_signature"]) else detail["shape"]
    shape = tensor_shape_pb2.TensorShapeProto(dim=[{"size": int(size)} for size in sizes])
    return meta_graph_pb2.TensorInfo(name=detail["name"], dtype=dtype.as_datatype_enum, tensor_shape=shape)


def _tensor_name(detail: Mapping[str, Any]) -> str:
    return str(detail["name"]).partition(":")[0]
