"""What the server needs of a loaded model, whatever format it came in."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from tensorflow_serving.apis import get_model_metadata_pb2

Tensors = dict[str, np.ndarray]  # by the signature's names; strings are object arrays of bytes


@dataclasses.dataclass(frozen=True, kw_only=True)
class TensorInfo:
    """One input or output of a signature.

    Attributes:
        dtype: number of `tensorflow.DataType`, such as 1 for DT_FLOAT and 7 for DT_STRING.
        shape: None for a dimension of any size; None in all where the rank is not known.
    """

    dtype: int
    shape: tuple[int | None, ...] | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Signature:
    """One function of a model.

    Attributes:
        name: such as `serving_default`.
        method_name: such as `tensorflow/serving/predict`.
        inputs: what it takes, by name.
        outputs: what it gives, by name.
        is_batchable: whether rows of several requests can be answered together: the first dimension of all inputs and
            outputs is the batch, of any size.
    """

    name: str
    method_name: str
    inputs: Mapping[str, TensorInfo]
    outputs: Mapping[str, TensorInfo]
    is_batchable: bool


class Servable(Protocol):
    """One loaded version of one model."""

    name: str
    version: int
    signatures: Mapping[str, Signature]

    def run(self, signature: str, inputs: Tensors, outputs: Collection[str] | None = None) -> Tensors:
        """Answers in the calling thread; several threads may call at once.

        Args:
            signature: its name; known to be there.
            inputs: of the dtypes of the signature.
            outputs: the names wanted; None for all.

        Raises:
            ServingError: the model cannot compute on these inputs (INVALID_ARGUMENT), or fails.
        """
        ...

    def signature_def_map(self) -> get_model_metadata_pb2.SignatureDefMap:
        """The signatures as GetModelMetadata tells them."""
        ...

    def close(self) -> None:
        """Frees the model; nobody calls `run` any more."""
        ...
