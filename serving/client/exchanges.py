"""A question to a server and how its answer is read, before any connection: so all clients ask alike."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Generic, Protocol, TypeVar

import numpy as np

T = TypeVar("T")
Tensors = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Model:
    """Which model answers.

    Attributes:
        name: as the server knows it.
        version: number; None for the newest.
        label: instead of a version, such as `canary`.
        signature: name of the function; "" for the default, or the one that fits where a client can tell.
    """

    name: str
    version: int | None = None
    label: str = ""
    signature: str = ""


@dataclasses.dataclass(frozen=True)
class ModelSignature:
    """One function of a model.

    Attributes:
        inputs: number of `tensorflow.DataType` by name.
        outputs: likewise.
    """

    inputs: Mapping[str, int]
    outputs: Mapping[str, int]


@dataclasses.dataclass(frozen=True)
class VersionState:
    """One version of a model on the server.

    Attributes:
        version: number.
        state: START, LOADING, AVAILABLE, UNLOADING or END.
        message: why it cannot be loaded; "" where it can.
    """

    version: int
    state: str
    message: str = ""


@dataclasses.dataclass(frozen=True)
class Exchange(Generic[T]):
    """One question.

    Attributes:
        path: of the gRPC method, or of the URL.
        body: of the request.
        read: makes the answer of the response's body.
        verb: of HTTP.
        is_safe: whether it may be sent twice.
        request_id: what the request log calls it; "" for no name.
    """

    path: str
    body: bytes
    read: Callable[[bytes], T]
    verb: str = "POST"
    is_safe: bool = True
    request_id: str = ""


class Dialect(Protocol):
    """How questions are written: gRPC's messages or REST's JSON."""

    def predict(self, model: Model, inputs: Mapping[str, np.ndarray], outputs: Sequence[str]) -> Exchange[Tensors]:
        """Asks for outputs; all where none is named."""
        ...

    def signatures(self, model: Model) -> Exchange[dict[str, ModelSignature]]:
        """Asks which functions a model has."""
        ...

    def status(self, model: Model) -> Exchange[list[VersionState]]:
        """Asks which versions are there."""
        ...

    def reload(self, base_paths: Mapping[str, str]) -> Exchange[None]:
        """Asks to serve these models and no others."""
        ...


STATES = {0: "UNKNOWN", 10: "START", 20: "LOADING", 30: "AVAILABLE", 40: "UNLOADING", 50: "END"}
