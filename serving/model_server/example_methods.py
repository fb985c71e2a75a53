"""Classify and regress: which signatures can, and what is made of their outputs; texts as TensorFlow Serving's."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from serving.model_server.batch_task import Answer
from serving.model_server.errors import Code, ServingError

if TYPE_CHECKING:
    from serving.model_server.servable import Servable, Signature

CLASSIFY = "tensorflow/serving/classify"
REGRESS = "tensorflow/serving/regress"
INPUTS = "inputs"
_CLASSES, _SCORES, _OUTPUTS = "classes", "scores", "outputs"
_MATRIX_RANK = 2

Classification = list[list[tuple[bytes, float]]]  # for each example its labels (b"" for none) with scores
Regression = list[float]  # for each example


@dataclasses.dataclass(frozen=True)
class ExampleMethod:
    """One of the methods that take tf.Examples.

    Attributes:
        name: as a signature's `method_name`.
        api: as the metrics name it.
        check: refuses a signature that cannot.
        outputs: the signature's outputs that are needed.
        shape: makes the answer.
    """

    name: str
    api: str
    check: Callable[[Servable, Signature], None]
    outputs: Callable[[Signature], Sequence[str]]
    shape: Callable[[Answer], Any]


@dataclasses.dataclass(frozen=True)
class Examples:
    """What classify and regress are asked about.

    Attributes:
        rows: serialized tf.Examples.
        context: a serialized tf.Example that all share; its features are overridden by an example's own. b"" for none.
    """

    rows: Sequence[bytes]
    context: bytes = b""

    def joined(self) -> np.ndarray:
        """Returns objects `[rows]` of bytes, the context in front of each.

        Raises:
            ServingError: there is no example.
        """
        if not self.rows:
            raise _invalid("Input is empty.")
        joined = np.empty(len(self.rows), dtype=object)
        joined[:] = [self.context + row for row in self.rows] if self.context else list(self.rows)
        return joined


def _check_classify(servable: Servable, signature: Signature) -> None:
    if len(signature.inputs) != 1:
        raise _invalid("Expected one input Tensor.")
    if len(signature.outputs) not in {1, 2}:
        raise _invalid(f"Expected one or two output Tensors, found {len(signature.outputs)}")
    if INPUTS not in signature.inputs:
        raise _invalid(f"No classification inputs found in SignatureDef: {_definition(servable, signature)}")
    if not {_CLASSES, _SCORES} & signature.outputs.keys():
        raise _invalid(
            'Expected classification signature outputs to contain at least one of "classes" or "scores". '
            f"Signature was: {_definition(servable, signature)}"
        )


def _check_regress(servable: Servable, signature: Signature) -> None:
    if len(signature.inputs) != 1:
        raise _invalid("Expected one input Tensor.")
    if len(signature.outputs) != 1:
        raise _invalid("Expected one output Tensor.")
    if INPUTS not in signature.inputs:
        raise _invalid(f"No regression inputs found in SignatureDef: {_definition(servable, signature)}")
    if _OUTPUTS not in signature.outputs:
        raise _invalid(f"No regression outputs found in SignatureDef: {_definition(servable, signature)}")


def _classification(answer: Answer) -> Classification:
    tensors = answer.own()
    classes, scores = tensors.get(_CLASSES), tensors.get(_SCORES)
    count = answer.stop - answer.start
    if classes is not None:
        _check_matrix(classes, _CLASSES, "O", count)
    if scores is not None:
        _check_matrix(scores, _SCORES, "f4", count)
    if classes is None:
        return [[(b"", score) for score in row] for row in _rows(scores)]
    if scores is None:
        return [[(label, 0.0) for label in row] for row in _rows(classes)]
    if classes.shape[1] != scores.shape[1]:
        raise _invalid(
            f"Tensors class and score should match in dim_size(1). Got {classes.shape[1]} vs. {scores.shape[1]}"
        )
    pairs = zip(_rows(classes), _rows(scores), strict=True)
    return [list(zip(labels, values, strict=True)) for labels, values in pairs]


def _regression(answer: Answer) -> Regression:
    values = answer.own()[_OUTPUTS]
    count = answer.stop - answer.start
    if not (values.ndim == 1 or (values.ndim == _MATRIX_RANK and values.shape[1] == 1)):
        raise _invalid(
            f"Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got {_shape(values)}"
        )
    if len(values) != count:
        raise _invalid(f"Input batch size did not match output batch size: {count} vs. {len(values)}")
    if values.dtype != np.dtype("f4"):
        raise _invalid(f"Expected output Tensor of DT_FLOAT.  Got: {values.dtype}")
    return list(values.reshape(-1).tolist())


def _check_matrix(values: np.ndarray, name: str, dtype: str, count: int) -> None:
    if values.ndim != _MATRIX_RANK:
        raise _invalid(f"Expected Tensor shape: [batch_size num_classes] but got {_shape(values)}")
    if values.dtype != np.dtype(dtype):
        wanted = "DT_STRING" if dtype == "O" else "DT_FLOAT"
        raise _invalid(f"Expected {name} Tensor of {wanted}. Got: {values.dtype}")
    if len(values) != count:
        raise _invalid(f"Expected {name} output batch size of {count}. Got: {len(values)}")


def _rows(values: np.ndarray | None) -> list[list[Any]]:
    return [] if values is None else values.tolist()


def _shape(values: np.ndarray) -> str:
    return f"[{','.join(map(str, values.shape))}]"


def _definition(servable: Servable, signature: Signature) -> str:
    return str(servable.signature_def_map().signature_def[signature.name])


def _invalid(message: str) -> ServingError:
    return ServingError(Code.INVALID_ARGUMENT, message)


METHODS = {
    CLASSIFY: ExampleMethod(
        name=CLASSIFY,
        api="Classify",
        check=_check_classify,
        outputs=lambda signature: [name for name in (_CLASSES, _SCORES) if name in signature.outputs],
        shape=_classification,
    ),
    REGRESS: ExampleMethod(
        name=REGRESS,
        api="Regress",
        check=_check_regress,
        outputs=lambda signature: [_OUTPUTS],
        shape=_regression,
    ),
}
