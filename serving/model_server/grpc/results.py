"""Answers of the data plane as the messages of TensorFlow Serving."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from serving.model_server.grpc import tensor_protos

if TYPE_CHECKING:
    from serving.model_server.batch_task import Answer
    from serving.model_server.example_methods import Classification, Regression


_CACHED = 256  # model versions and signatures whose constant bytes are kept


class PredictResponses:
    """Writes PredictResponses; what is the same in all responses of a signature is written once."""

    def __init__(self, response_class: Any, *, as_content: bool) -> None:
        """Takes how tensors are written.

        Args:
            response_class: the stubs' PredictResponse.
            as_content: into `tensor_content`; TensorFlow Serving's default are the typed fields.
        """
        self._class = response_class
        self._as_content = as_content
        self._shapes: dict[tuple[str, int, str], Callable[[Answer], bytes]] = {}

    def shape(self, model: str, version: int, signature: str) -> Callable[[Answer], bytes]:
        """Returns what makes the bytes of a response of an answer, to be called in the worker's thread."""
        key = (model, version, signature)
        shape = self._shapes.get(key)
        if shape is None:
            if len(self._shapes) >= _CACHED:
                self._shapes.clear()
            shape = self._shapes[key] = self._make(key)
        return shape

    def _make(self, key: tuple[str, int, str]) -> Callable[[Answer], bytes]:
        # Messages that are written one after the other are one message: the constant part is joined as bytes.
        head = self._class()
        fill_spec(head.model_spec, *key)
        constant: bytes = head.SerializeToString()
        response_class, as_content = self._class, self._as_content

        def shape(answer: Answer) -> bytes:
            """Writes the response."""
            response = response_class()
            outputs = response.outputs
            for name, array in answer.own().items():
                tensor_protos.fill(outputs[name], array, as_content=as_content)
            return constant + bytes(response.SerializeToString())

        return shape


def fill_spec(spec: Any, model: str, version: int, signature: str = "") -> None:
    """Says in a response which model answered."""
    spec.name = model
    spec.version.value = version
    if signature:
        spec.signature_name = signature


def fill_classifications(result: Any, rows: Classification) -> None:
    """Writes labels and scores of each example; labels that are no UTF-8 keep what of them is."""
    for row in rows:
        add = result.classifications.add().classes.add
        for label, score in row:
            add(label=label.decode("utf-8", "replace"), score=score)


def fill_regressions(result: Any, values: Regression) -> None:
    """Writes the number of each example."""
    for value in values:
        result.regressions.add(value=value)
