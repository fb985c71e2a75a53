"""Values of parameters."""

from __future__ import annotations

import pytest

from applications.errors import StageError, UsageError
from pipeline.replay import values

KINDS = {
    "word": {"parameterType": "STRING", "defaultValue": "tide"},
    "count": {"parameterType": "NUMBER_INTEGER", "defaultValue": 3.0},
    "share": {"parameterType": "NUMBER_DOUBLE", "isOptional": True},
    "flag": {"parameterType": "BOOLEAN", "defaultValue": False},
    "list": {"parameterType": "LIST", "defaultValue": [1.0]},
}


def test_defaults_stand_where_nothing_is_given():
    found = values.pipeline_parameters(KINDS, ["flag=true", "share=0.5", 'list=["a"]', "word=a=b"])
    assert found == {"word": "a=b", "count": 3, "share": 0.5, "flag": True, "list": ["a"]}
    assert isinstance(found["count"], int)


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("count=many", "--param count must be a whole number, got 'many'"),
        ("flag=perhaps", "--param flag must be true or false, got 'perhaps'"),
        ("list={}", "--param list must be a JSON list, got '{}'"),
        ("count", "a parameter must be given as NAME=VALUE, got --param 'count'"),
    ],
)
def test_a_value_of_another_type_is_refused(word, text):
    with pytest.raises(UsageError, match=text):
        values.pipeline_parameters(KINDS, [word])


def test_a_parameter_without_value_and_default_is_refused():
    with pytest.raises(UsageError, match=r"data has none and no default. Give it: --param data=VALUE."):
        values.pipeline_parameters({"data": {"parameterType": "STRING"}}, [])


def test_text_takes_any_value_and_a_number_only_numbers():
    assert values.converted({"a": 1.0}, "STRING", "x") == '{"a":1}'
    assert values.converted(True, "STRING", "x") == "true"
    with pytest.raises(StageError, match="x must be of type NUMBER_INTEGER, got 'three'"):
        values.converted("three", "NUMBER_INTEGER", "x")
    with pytest.raises(StageError, match="x must be of type NUMBER_INTEGER, got True"):
        values.converted(True, "NUMBER_INTEGER", "x")


def test_metadata_come_back_wrapped_and_null_is_refused():
    assert values.through_metadata({"a": [1], "b": {"c": 2}, "d": True, "e": 2.0}, "x") == {
        "a": {"list": [1]},
        "b": {"struct": {"c": 2}},
        "d": 1,
        "e": 2,
    }
    with pytest.raises(StageError, match="x has null for 'a', which the launcher refuses"):
        values.through_metadata({"a": None}, "x")
