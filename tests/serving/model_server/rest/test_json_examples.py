from __future__ import annotations

import pytest

from serving.model_server.errors import ServingError
from serving.model_server.rest.json_examples import read_examples


def features(serialized: bytes) -> dict[str, list[object]]:
    from tensorflow.core.example import example_pb2

    found = example_pb2.Example.FromString(serialized).features.feature
    return {name: list(getattr(one, one.WhichOneof("kind")).value) for name, one in found.items()}


def test_values_and_lists_become_features_of_their_kind():
    rows = [{"i": 3, "b": True, "f": [0.5, 1.5], "s": "ä", "raw": {"b64": "AP8="}}]
    examples = read_examples({"examples": rows})
    assert [features(row) for row in examples.rows] == [
        {"i": [3], "b": [1], "f": [0.5, 1.5], "s": ["ä".encode()], "raw": [b"\x00\xff"]}
    ]
    assert examples.context == b""


def test_the_context_is_in_front_of_each_example():
    examples = read_examples({"context": {"c": 1}, "examples": [{"x": 1.5}, {"x": 2.5}]})
    assert [features(row) for row in examples.joined()] == [{"c": [1], "x": [1.5]}, {"c": [1], "x": [2.5]}]


def test_a_number_beyond_float32_is_infinite():
    (row,) = read_examples({"examples": [{"x": [1e300, -1e300]}]}).rows
    assert features(row) == {"x": [float("inf"), float("-inf")]}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "JSON Value: {} When method is classify, key 'examples' is expected and was not found"),
        (
            {"examples": 1},
            "JSON Value: {\n    \"examples\": 1\n} Expecting 'examples' value to be an list/array",
        ),
        ({"examples": []}, "JSON Value: {\n    \"examples\": []\n} 'examples' value is an empty array"),
        ({"examples": [1]}, "Example must be JSON object but got JSON Number"),
        ({"examples": [{}], "context": []}, "Example must be JSON object but got JSON Array"),
        ({"examples": [{"x": None}]}, "Feature: x has element with unexpected JSON type: Null"),
        ({"examples": [{"x": [[1]]}]}, "Feature: x has element with unexpected JSON type: Array"),
        ({"examples": [{"x": {"y": 1}}]}, "Feature: x has element with unexpected JSON type: Object"),
        ({"examples": [{"x": [1, 2.5]}]}, "Unexpected element type in feature: x expecting type: int64"),
        ({"examples": [{"x": ["a", 1]}]}, "Unexpected element type in feature: x expecting type: bytes"),
        ({"examples": [{"x": [0.5, 1]}]}, "Unexpected element type in feature: x expecting type: float"),
        ({"examples": [{"x": 2**63}]}, "Feature: x has uint64_t element. Only int64_t is supported."),
        ({"examples": [{"x": {"b64": "%"}}]}, "Unable to base64 decode"),
        ({"examples": [{"\ud800": 1}]}, "JSON Parse error: The surrogate pair in string is invalid."),
        ({"examples": [{"x": 10**400}]}, "JSON Parse error: Number too big to be stored in double."),
    ],
)
def test_errors_are_worded_as_tensorflow_serving_words_them(body, words):
    with pytest.raises(ServingError) as error:
        read_examples(body)
    assert str(error.value) == words
