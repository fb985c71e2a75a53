"""What a person or a program wants of a model's outputs: a label for each item; and which function gives it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from serving.client.errors import ClientError
from serving.client.exchanges import Model, ModelSignature, Tensors
from serving.model_server.errors import Code
from serving.model_server.grpc.tensor_protos import STRING

DIRECT = "predict_"  # functions whose names begin so take what a client has in hand: files, or a table's columns
T = TypeVar("T")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Answer:
    """What a model says of one item.

    Attributes:
        name: the item's: its path, or its place in the request.
        label: the best class; "" where the item could not be read.
        score: its probability, 0 to 1; 0 without a label.
        probabilities: of every class by name; empty where the model gives none.
        value: of a regression; None for others.
        reason: why there is no label; "" where there is.
    """

    name: str
    label: str = ""
    score: float = 0.0
    probabilities: Mapping[str, float] = dataclasses.field(default_factory=dict)
    value: float | None = None
    reason: str = ""

    @property
    def is_answered(self) -> bool:
        """Whether there is a label or a value."""
        return bool(self.label) or self.value is not None


def answers_of(outputs: Tensors, names: Sequence[str]) -> list[Answer]:
    """Makes answers of a model's outputs.

    Args:
        outputs: any of `label`, `score`, `reason`, `value` `[items]`, `probabilities` and `classes` `[items, classes]`.
        names: of the items.

    Raises:
        ClientError: the outputs have not one row for each item.
    """
    wrong = [name for name, array in outputs.items() if array.ndim < 1 or len(array) != len(names)]
    if wrong:
        raise ClientError(Code.INTERNAL, f"outputs must have {len(names)} rows, as many as items; not so: {wrong}")
    return [_answer(outputs, row, name) for row, name in enumerate(names)]


def _answer(outputs: Tensors, row: int, name: str) -> Answer:
    one = {key: array[row] for key, array in outputs.items()}
    probabilities = {}
    if "probabilities" in one and "classes" in one:
        classes = [_text(each) for each in np.atleast_1d(one["classes"])]
        probabilities = dict(zip(classes, np.atleast_1d(one["probabilities"]).astype(float).tolist(), strict=False))
    return Answer(
        name=name,
        label=_text(one.get("label", b"")),
        score=float(one.get("score", 0.0)),
        probabilities=probabilities,
        value=float(np.asarray(one["value"]).reshape(-1)[0]) if "value" in one else None,
        reason=_text(one.get("reason", b"")),
    )


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def file_signature(model: Model, found: Mapping[str, ModelSignature]) -> tuple[Model, str]:
    """Finds the function of a model that takes files, and the name of its input.

    Raises:
        ClientError: there is none, or several and the model does not name one.
    """
    takers = {name: next(iter(one.inputs)) for name, one in found.items() if list(one.inputs.values()) == [STRING]}
    return _chosen(model, takers, found, "one input of strings, the contents of files")


def table_signature(model: Model, found: Mapping[str, ModelSignature], columns: Sequence[str]) -> Model:
    """Finds the function of a model that takes these columns.

    Raises:
        ClientError: there is none, or several and the model does not name one.
    """
    takers = {name: "" for name, one in found.items() if set(one.inputs) == set(columns)}
    return _chosen(model, takers, found, f"the inputs {', '.join(sorted(columns))}")[0]


def _chosen(
    model: Model, takers: Mapping[str, str], found: Mapping[str, ModelSignature], wanted: str
) -> tuple[Model, str]:
    names = [model.signature] if model.signature else [name for name in takers if name.startswith(DIRECT)]
    if len(names) == 1 and names[0] in takers:
        return dataclasses.replace(model, signature=names[0]), takers[names[0]]
    listed = "; ".join(f"{name}({', '.join(one.inputs)})" for name, one in sorted(found.items()) if one.inputs)
    raise ClientError(
        Code.FAILED_PRECONDITION,
        f"{model.name} must have one function {DIRECT}… with {wanted}; it has {listed or 'none'}. "
        "Name another with Model(signature=…), or give its inputs to predict()",
    )


def read_item(item: bytes | Path | str) -> bytes:
    """Returns the contents of a file, or the bytes themselves."""
    return item if isinstance(item, bytes) else Path(item).read_bytes()


def names_of(items: Sequence[bytes | Path | str]) -> list[str]:
    """Returns a name for each item: its path, or its place."""
    return [str(place) if isinstance(item, bytes) else str(item) for place, item in enumerate(items)]


def chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Yields the items in groups of a size; the last may be smaller."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def as_strings(items: Sequence[bytes]) -> np.ndarray:
    """Returns bytes as an object array `[items]`, which NumPy must not take for one string type of fixed width."""
    array = np.empty(len(items), object)
    array[:] = items
    return array
