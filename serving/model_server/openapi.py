"""The REST interface as OpenAPI 3.1: what `docs/openapi.json` holds. `python -m pipeline.reference` writes it."""

from __future__ import annotations

import json
from typing import Any

from serving.model_server.errors import HTTP_STATUS, Code
from serving.model_server.rest.paths import METHODS

Json = dict[str, Any]
METRICS = "/monitoring/prometheus/metrics"  # TensorFlow Serving's default
_MODEL = "/v1/models/{model}"
_CHOICES = {
    "": "the newest version",
    "/versions/{version}": "one version",
    "/labels/{label}": "the version with a label",
}
_REFUSALS = {
    Code.INVALID_ARGUMENT: "The request is malformed, or its tensors are not what the signature asks for.",
    Code.UNAUTHENTICATED: "The server asks for a bearer token.",
    Code.NOT_FOUND: "No such model or version answers.",
    Code.RESOURCE_EXHAUSTED: "More requests wait than may; ask again after `Retry-After` seconds.",
    Code.UNAVAILABLE: "The server is about to end.",
    Code.DEADLINE_EXCEEDED: "The request took longer than `--rest_api_timeout_in_ms`.",
}
_TOO_LARGE = "The body is larger than `--max_request_bytes`."
_ASKS = {
    "predict": ("Answers tensors with tensors", "PredictRequest", "PredictResponse"),
    "classify": ("Answers tf.Examples with labels and scores", "ExamplesRequest", "ClassifyResponse"),
    "regress": ("Answers tf.Examples with a number each", "ExamplesRequest", "RegressResponse"),
}
_LOOKS = {
    "": ("status", "Tells which versions of a model there are, and their states", "ModelStatus"),
    "/metadata": ("metadata", "Tells a model's signatures", "ModelMetadata"),
}
_VALUE_TEXT = (
    'A number, a boolean, a text, `{"b64": …}` for bytes, or nested arrays of one of these. NaN, Infinity and '
    "-Infinity are written as such, which is more than JSON allows."
)


def description() -> Json:
    """Returns the OpenAPI document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Model server",
            "version": "1",
            "summary": "TensorFlow Serving's REST interface, as `earthloop serve` and TensorFlow Serving answer it.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "http://localhost:8501", "description": "earthloop serve"}],
        "security": [{}, {"bearer": []}],
        "paths": _paths(),
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            "parameters": _parameters(),
            "schemas": _schemas(),
            "responses": {code.name: _error(text) for code, text in _REFUSALS.items()},
        },
    }


def text() -> str:
    """Returns the document as it is kept in the repository."""
    return json.dumps(description(), indent=2, ensure_ascii=False) + "\n"


def _paths() -> Json:
    paths: Json = {}
    for choice, which in _CHOICES.items():
        names = ["model", *(name for name in ("version", "label") if f"{{{name}}}" in choice)]
        shared = {"parameters": [_reference("parameters", name) for name in names]}
        suffix = {"": "", "/versions/{version}": "OfVersion", "/labels/{label}": "OfLabel"}[choice]
        for end, (what, summary, schema) in _LOOKS.items():
            of = "every version" if what == "status" and not choice else which
            paths[f"{_MODEL}{choice}{end}"] = {**shared, "get": _get(f"{what}{suffix}", f"{summary}: {of}", schema)}
        for method in METHODS:
            summary, asked, answered = _ASKS[method]
            question = _post(f"{method}{suffix}", f"{summary}: {which}", asked, answered)
            paths[f"{_MODEL}{choice}:{method}"] = {**shared, "post": question}
    plain = {
        "/healthz": "The process answers (this server alone)",
        "/readyz": "Every model has a version that answers (this server alone)",
        METRICS: "Metrics in Prometheus' text format; the path is set by --monitoring_config_file",
    }
    paths |= {path: {"get": _get_text(path.strip("/").replace("/", "-"), summary)} for path, summary in plain.items()}
    return paths


def _get(name: str, summary: str, schema: str) -> Json:
    refusals = (Code.INVALID_ARGUMENT, Code.UNAUTHENTICATED, Code.NOT_FOUND)
    return {"operationId": name, "summary": summary, "responses": {"200": _content(schema), **_refusals(*refusals)}}


def _get_text(name: str, summary: str) -> Json:
    answered = {"description": summary, "content": {"text/plain": {"schema": {"type": "string"}}}}
    refused = {"503": {"description": "Not ready"}} if name == "readyz" else {}
    return {"operationId": name, "summary": summary, "responses": {"200": answered, **refused}}


def _post(name: str, summary: str, asked: str, answered: str) -> Json:
    return {
        "operationId": name,
        "summary": summary,
        "parameters": [_reference("parameters", "request_id")],
        "requestBody": {"required": True, "content": {"application/json": {"schema": _reference("schemas", asked)}}},
        "responses": {"200": _content(answered), **_refusals(*_REFUSALS), "413": _error(_TOO_LARGE)},
    }


def _content(schema: str) -> Json:
    return {
        "description": "The answer",
        "content": {"application/json": {"schema": _reference("schemas", schema)}},
    }


def _refusals(*codes: Code) -> Json:
    return {str(HTTP_STATUS[code]): _reference("responses", code.name) for code in codes}


def _error(words: str) -> Json:
    return {"description": words, "content": {"application/json": {"schema": _reference("schemas", "Error")}}}


def _reference(kind: str, name: str) -> Json:
    return {"$ref": f"#/components/{kind}/{name}"}


def _parameters() -> Json:
    def parameter(name: str, schema: Json, words: str, *, place: str = "path") -> Json:
        """Describes one parameter; those of the path are required."""
        return {"name": name, "in": place, "required": place == "path", "schema": schema, "description": words}

    word = {"type": "string", "pattern": "^[^/:]+$"}
    return {
        "model": parameter("model", word, "Name of the model"),
        "version": parameter("version", {"type": "integer", "format": "int64", "minimum": 0}, "Number of the version"),
        "label": parameter("label", word, "Label of a version, from the server's configuration"),
        "request_id": parameter(
            "x-request-id",
            {"type": "string", "maxLength": 128},
            "What the request log calls the request, so that true labels can be joined later; sent back",
            place="header",
        ),
    }


def _object(required: tuple[str, ...], **properties: Json) -> Json:
    return {"type": "object", "required": list(required), "properties": properties}


def _array(items: Json, **more: Any) -> Json:
    return {"type": "array", "items": items, **more}


def _schemas() -> Json:
    value, named = (
        _reference("schemas", "Value"),
        {"type": "object", "additionalProperties": _reference("schemas", "Value")},
    )
    signature = {"type": "string", "default": "serving_default"}
    return {
        "Value": {"description": _VALUE_TEXT},
        "PredictRequest": {
            "oneOf": [
                {
                    **_object(("instances",), signature_name=signature, instances=_array(value, minItems=1)),
                    "title": "Rows",
                },
                {**_object(("inputs",), signature_name=signature, inputs=value), "title": "Columns"},
            ]
        },
        "PredictResponse": {
            "oneOf": [
                {**_object(("predictions",), predictions=_array(value)), "title": "Rows"},
                {**_object(("outputs",), outputs=value), "title": "Columns"},
            ]
        },
        "ExamplesRequest": _object(
            ("examples",), signature_name=signature, context=named, examples=_array(named, minItems=1)
        ),
        "ClassifyResponse": _object(("results",), results=_array(_array(_array({}, minItems=2, maxItems=2)))),
        "RegressResponse": _object(("results",), results=_array({"type": "number"})),
        "ModelStatus": _object(("model_version_status",), model_version_status=_array(_version_status())),
        "ModelMetadata": _object(
            ("model_spec", "metadata"),
            model_spec=_object(("name",), name={"type": "string"}, version={"type": "string"}),
            metadata=_object((), signature_def={"type": "object"}),
        ),
        "Error": _object(("error",), error={"type": "string"}),
    }


def _version_status() -> Json:
    states = ["UNKNOWN", "START", "LOADING", "AVAILABLE", "UNLOADING", "END"]
    status = _object((), error_code={"type": "string"}, error_message={"type": "string"})
    return _object(
        ("version", "state"), version={"type": "string"}, state={"type": "string", "enum": states}, status=status
    )
