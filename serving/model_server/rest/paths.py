"""Which model and which question a REST path stands for; as TensorFlow Serving reads it, query and all."""

from __future__ import annotations

import dataclasses
import re
from urllib.parse import unquote

from serving.model_server.data_plane import ModelRef
from serving.model_server.errors import Code, ServingError

_MODEL = r"/v1/models/(?P<name>[^/:]+)"
_CHOICE = r"(?:/versions/(?P<version>[0-9]+)|/labels/(?P<label>[^/:]+))?"
_ASK = re.compile(rf"{_MODEL}{_CHOICE}:(?P<method>classify|regress|predict)", re.IGNORECASE)
_LOOK = re.compile(
    rf"/v1/models(?:/(?P<name>[^/:]+))?{_CHOICE}(?P<metadata>/metadata)?",
    re.IGNORECASE,
)
_ANY = re.compile(r"/v1/.*", re.IGNORECASE)
_MAX_VERSION = 2**63 - 1
METHODS = ("classify", "regress", "predict")


@dataclasses.dataclass(frozen=True, slots=True)
class Route:
    """What a request asks.

    Attributes:
        ref: the model.
        what: "predict", "classify", "regress", "status" or "metadata".
    """

    ref: ModelRef
    what: str


def is_ours(target: str) -> bool:
    """Returns whether a path is below `/v1/` at all."""
    return _ANY.fullmatch(target) is not None


def route(method: str, target: str) -> Route:
    """Reads method and path.

    Args:
        method: HTTP's.
        target: path and query; names are percent-encoded.

    Raises:
        ServingError: INVALID_ARGUMENT; they stand for nothing.
    """
    found = {"POST": _ASK, "GET": _LOOK}.get(method, re.compile(r"(?!)")).fullmatch(target)
    if found is None:
        raise _malformed(method, target)
    parts = found.groupdict()
    version = _version(parts["version"])
    label = unquote(parts["label"], errors="replace") if parts["label"] else None
    ref = ModelRef(unquote(parts["name"] or "", errors="replace"), version, label)
    if method == "POST":
        if parts["method"] not in METHODS:  # the path may be in capitals, the method may not
            raise _malformed(method, target)
        return Route(ref, parts["method"])
    if not ref.name:
        raise ServingError(Code.INVALID_ARGUMENT, "Missing model name in request.")
    # "/METADATA" is read as the path of a status, and so it is answered.
    return Route(ref, "metadata" if parts["metadata"] == "/metadata" else "status")


def _version(text: str | None) -> int | None:
    if text is None:
        return None
    if len(text) > len(str(_MAX_VERSION)) or int(text) > _MAX_VERSION:
        raise ServingError(Code.INVALID_ARGUMENT, f"Failed to convert version: {text} to numeric.")
    return int(text)


def _malformed(method: str, target: str) -> ServingError:
    return ServingError(Code.INVALID_ARGUMENT, f"Malformed request: {method} {target}")
