"""Signatures as a model's file tells them, in the server's own terms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from serving.model_server.servable import Signature, TensorInfo

PREDICT_METHOD = "tensorflow/serving/predict"
INIT_SIGNATURE = "__saved_model_init_op"  # TensorFlow 2 keeps its start-up function among the signatures


def signatures_of(signature_defs: Mapping[str, Any]) -> dict[str, Signature]:
    """Turns `SignatureDef`s into signatures.

    Args:
        signature_defs: by name. What cannot be asked for is left out: the start-up function of TensorFlow 2, and
            signatures with sparse or composite tensors, which no request can hold.

    Returns:
        Signatures by name.
    """
    found = {}
    for name, definition in sorted(signature_defs.items()):
        tensors = [*definition.inputs.values(), *definition.outputs.values()]
        if name == INIT_SIGNATURE or not all(tensor.name for tensor in tensors):
            continue
        inputs = {key: _info(tensor) for key, tensor in sorted(definition.inputs.items())}
        outputs = {key: _info(tensor) for key, tensor in sorted(definition.outputs.items())}
        found[name] = Signature(
            name=name,
            method_name=definition.method_name,
            inputs=inputs,
            outputs=outputs,
            is_batchable=is_batchable(inputs, outputs),
        )
    return found


def is_batchable(inputs: Mapping[str, TensorInfo], outputs: Mapping[str, TensorInfo]) -> bool:
    """Says whether the first dimension of all inputs and outputs is free; not where a shape is not known."""
    return bool(inputs) and all(
        info.shape is not None and len(info.shape) > 0 and info.shape[0] is None
        for info in (*inputs.values(), *outputs.values())
    )


def _info(tensor: Any) -> TensorInfo:
    if tensor.tensor_shape.unknown_rank:
        return TensorInfo(dtype=tensor.dtype, shape=None)
    sizes = (dimension.size for dimension in tensor.tensor_shape.dim)
    return TensorInfo(dtype=tensor.dtype, shape=tuple(None if size < 0 else size for size in sizes))
