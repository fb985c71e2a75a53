from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.model_server.errors import Code, ServingError
from serving.model_server.rest.json_text import parse

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


def problem(raw: bytes) -> str:
    """What is wrong with a text; "" for nothing."""
    try:
        parse(raw)
    except ServingError as error:
        return str(error) if error.code is Code.INVALID_ARGUMENT else f"{error.code.name}: {error}"
    return ""


@given(value=JSON)
def test_what_json_says_is_read_as_it_is(value):
    assert parse(json.dumps(value, allow_nan=True).encode()) == value


@given(raw=st.binary(max_size=60) | st.text(alphabet='{}[]",:\\ue0123NaInf-. tr\n', max_size=60).map(str.encode))
def test_whatever_comes_is_a_value_or_an_invalid_argument(raw):
    assert problem(raw)[:18] in {"", "JSON Parse error: "}


@pytest.mark.parametrize(
    ("text", "value"),
    [("Infinity", math.inf), ("-Infinity", -math.inf), ("Inf", math.inf), ("-Inf", -math.inf)],
)
def test_infinities_are_read_in_all_their_spellings(text, value):
    assert parse(f'{{"Inf -NaN": [1, {text}]}}'.encode()) == {"Inf -NaN": [1, value]}


@pytest.mark.parametrize("text", ["NaN", "-NaN"])
def test_not_a_number_is_read(text):
    (value,) = parse(f"[{text}]".encode())
    assert math.isnan(value)


def test_of_values_under_one_key_the_last_counts():
    assert parse(b'{"a": 1, "b": [2], "a": 3}') == {"a": 3, "b": [2]}


def test_what_follows_the_value_is_ignored_and_a_byte_order_mark_too():
    assert parse(b'{"a": 1} and more') == {"a": 1}
    assert parse(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "The document is empty"),
        (b" \n ", "The document is empty"),
        (b"hello", "Invalid value. at offset: 0"),
        (b'{"a": }', "Invalid value. at offset: 6"),
        (b"{a: 1}", "Missing a name for object member. at offset: 1"),
        (b'{"a" 1}', "Missing a colon after a name of object member. at offset: 5"),
        (b'{"a": 1 "b"}', "Missing a comma or } after an object member. at offset: 8"),
        (b'{"a": [1 2]}', "Missing a comma or ] after an array element. at offset: 9"),
        (b'{"\xc3\xa4": [1 2]}', "Missing a comma or ] after an array element. at offset: 10"),
        (b'{"a": "x', "Missing a closing quotation mark in string. at offset: 6"),
        (b'{"a": "\\x"}', "Invalid escape character in string. at offset: 7"),
        (b'{"a": "\\u12"}', "Incorrect hex digit after \\u escape in string. at offset: 8"),
        (b'{"a": "\xff"}', "Invalid encoding in string. at offset: 7"),
        (b"[1e999]", "Number too big to be stored in double."),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
    ],
)
def test_errors_are_worded_as_rapidjson_words_them(text, words):
    with pytest.raises(ServingError) as error:
        parse(text)
    assert str(error.value) == f"JSON Parse error: {words}"


@pytest.mark.parametrize(
    "text",
    [
        b'"' + b'\\"' * 500_000,
        b'["' + b'Inf"' * 250_000,
        b"[Inf" + b" " * 1_000_000,
        b"1" * 1_000_000,
        b"[" + b'"a" ' * 250_000,
    ],
    ids=["escaped quotes", "quotes", "spaces", "digits", "texts"],
)
def test_a_megabyte_that_is_no_json_is_refused(text):  # a reader that looks back at each character takes hours
    with pytest.raises(ServingError, match="^JSON Parse error: "):
        parse(text)
