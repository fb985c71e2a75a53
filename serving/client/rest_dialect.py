"""Questions as REST's JSON, in the columnar format."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import numpy as np

from serving.client.errors import ClientError
from serving.client.exchanges import Exchange, Model, ModelSignature, Tensors, VersionState
from serving.model_server.errors import Code
from serving.model_server.grpc.tensor_protos import NAMES

_NUMBERS = {name: number for number, name in NAMES.items()}


class RestDialect:
    """See `exchanges.Dialect`. Numbers come back as float64 and int64, for JSON does not tell their types."""

    def predict(self, model: Model, inputs: Mapping[str, np.ndarray], outputs: Sequence[str]) -> Exchange[Tensors]:
        """Asks for outputs; REST has no filter, so the others are left out of the answer here."""
        question: dict[str, Any] = {"inputs": {name: _to_json(np.asarray(array)) for name, array in inputs.items()}}
        if model.signature:
            question["signature_name"] = model.signature
        wanted = tuple(outputs)
        return Exchange(f"{_path(model)}:predict", json.dumps(question).encode(), lambda body: _outputs(body, wanted))

    def signatures(self, model: Model) -> Exchange[dict[str, ModelSignature]]:
        """Asks which functions a model has."""
        return Exchange(f"{_path(model)}/metadata", b"", _signatures, verb="GET")

    def status(self, model: Model) -> Exchange[list[VersionState]]:
        """Asks which versions are there."""
        return Exchange(_path(model), b"", _status, verb="GET")

    def reload(self, base_paths: Mapping[str, str]) -> Exchange[None]:
        """REST has no such request.

        Raises:
            ClientError: always.
        """
        raise ClientError(
            Code.UNIMPLEMENTED,
            f"{', '.join(base_paths)} can be loaded over gRPC alone: give the server's gRPC address, host:port",
        )


def _path(model: Model) -> str:
    path = f"/v1/models/{quote(model.name, safe='')}"
    if model.version is not None:
        return f"{path}/versions/{model.version}"
    return f"{path}/labels/{quote(model.label, safe='')}" if model.label else path


def _to_json(array: np.ndarray) -> Any:
    if array.dtype.kind not in "OSU":
        return array.tolist()
    return _strings(array.tolist())


def _strings(value: Any) -> Any:
    if isinstance(value, list):
        return [_strings(item) for item in value]
    return {"b64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value


def _outputs(body: bytes, wanted: tuple[str, ...]) -> Tensors:
    found = _json(body).get("outputs")
    # A signature with one output gives its value alone, without its name.
    named = found if isinstance(found, dict) and "b64" not in found else {wanted[0] if wanted else "outputs": found}
    return {name: _from_json(value) for name, value in named.items() if not wanted or name in wanted}


def _from_json(value: Any) -> np.ndarray:
    plain = _plain(value)
    array = np.asarray(plain)
    return array if array.dtype.kind in "fiub" else np.asarray(plain, object)


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict) and "b64" in value:
        return base64.b64decode(value["b64"])
    return value.encode() if isinstance(value, str) else value


def _signatures(body: bytes) -> dict[str, ModelSignature]:
    found = _json(body)["metadata"]["signature_def"]["signature_def"]
    return {
        name: ModelSignature(_dtypes(one.get("inputs", {})), _dtypes(one.get("outputs", {})))
        for name, one in found.items()
    }


def _dtypes(infos: Mapping[str, Any]) -> dict[str, int]:
    return {name: _NUMBERS.get(info.get("dtype", ""), 0) for name, info in infos.items()}


def _status(body: bytes) -> list[VersionState]:
    return [
        VersionState(int(one["version"]), one["state"], one.get("status", {}).get("error_message", ""))
        for one in _json(body).get("model_version_status", [])
    ]


def _json(body: bytes) -> dict[str, Any]:
    """Parses an answer.

    Raises:
        ClientError: what answered is no model server.
    """
    try:
        found = json.loads(body)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ClientError(
            Code.INTERNAL,
            f"a model server answers with a JSON object, got {body[:80]!r}. Is the address a model server's?",
        )
    return found
