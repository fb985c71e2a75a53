import json
import re

import jsonschema
import pytest

from serving.model_server import openapi
from serving.model_server.data_plane import ModelRef
from serving.model_server.rest.paths import METHODS, route

DOCUMENT = openapi.description()
MODELS = [
    (path, verb, operation["operationId"])
    for path, operations in DOCUMENT["paths"].items()
    for verb, operation in operations.items()
    if verb in {"get", "post"} and path.startswith("/v1/")
]


@pytest.mark.parametrize(("path", "verb", "name"), MODELS)
def test_each_path_is_read_by_the_server_as_it_is_described(path, verb, name):
    real = path.replace("{model}", "m").replace("{version}", "3").replace("{label}", "canary")
    found = route(verb.upper(), real)
    assert found.what == re.match("[a-z]+", name)[0]
    assert found.ref == ModelRef("m", 3 if "{version}" in path else None, "canary" if "{label}" in path else None)
    named = [one["$ref"].rpartition("/")[2] for one in DOCUMENT["paths"][path]["parameters"]]
    assert named == re.findall(r"\{(\w+)\}", path)


def test_every_question_of_the_server_is_described_for_every_choice_of_a_version():
    described = {name for _, _, name in MODELS}
    wanted = {*METHODS, "status", "metadata"}
    assert described == {f"{what}{suffix}" for what in wanted for suffix in ("", "OfVersion", "OfLabel")}


def test_every_reference_leads_somewhere():
    for kind, name in re.findall(r'"#/components/(\w+)/(\w+)"', openapi.text()):
        assert name in DOCUMENT["components"][kind]


def test_every_schema_is_one():
    for schema in DOCUMENT["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize(
    ("body", "is_right"),
    [
        ({"instances": [{"image": {"b64": "aA=="}}]}, True),
        ({"inputs": [[1.5]], "signature_name": "s"}, True),
        ({"instances": [1], "inputs": [1]}, False),
        ({"rows": [1]}, False),
    ],
)
def test_a_predict_request_is_rows_or_columns(body, is_right):
    schema = {"$ref": "#/components/schemas/PredictRequest", "components": DOCUMENT["components"]}
    assert jsonschema.Draft202012Validator(schema).is_valid(body) is is_right


def test_the_page_in_the_docs_is_as_the_code_says(project):
    assert json.loads((project / "docs/openapi.json").read_text(encoding="utf-8")) == DOCUMENT


def test_the_refusals_are_those_that_the_page_for_callers_lists(project):
    page = (project / "docs" / "clients.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| [A-Z_]+ \| (\d{3}) \|", page, re.MULTILINE))
    assert set(DOCUMENT["paths"]["/v1/models/{model}:predict"]["post"]["responses"]) - {"200"} == listed
    assert DOCUMENT["paths"]["/v1/models/{model}"]["get"]["summary"].endswith("their states: every version")
