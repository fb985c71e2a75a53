from __future__ import annotations

import math

import pytest

from serving.model_server.rest.json_words import quoted, type_word


@pytest.mark.parametrize(
    ("value", "word"),
    [
        (None, "Null"),
        (True, "True"),
        (False, "False"),
        ({}, "Object"),
        ([], "Array"),
        ("", "String"),
        (1, "Number"),
        (1.5, "Number"),
    ],
)
def test_types_have_rapidjsons_names(value, word):
    assert type_word(value) == word


def test_values_are_quoted_with_indented_objects_and_lists_in_one_line():
    assert quoted({"a": [1, 2.5, "x"], "b": {"c": None}}) == (
        '{\n    "a": [1, 2.5, "x"],\n    "b": {\n        "c": null\n    }\n}'
    )
    assert quoted({}) == "{}"
    assert quoted([]) == "[]"


def test_a_long_value_is_cut_off_after_the_token_that_reaches_256_bytes():
    text = quoted(list(range(1000)))
    assert text.startswith("[0, 1, 2")
    assert 256 <= len(text) < 262
    assert quoted("x" * 1000) == f'"{"x" * 1000}"'


def test_quoting_stops_at_a_number_json_cannot_say():
    assert quoted([1, math.nan, 2]) == "[1, "
