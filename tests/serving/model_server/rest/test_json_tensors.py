from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from serving.model_server.batch_task import Answer
from serving.model_server.errors import Code, ServingError
from serving.model_server.rest.json_answers import column_answer, row_answer
from serving.model_server.rest.json_tensors import parse_body, read_tensors, signature_name
from serving.model_server.rest.json_text import parse
from serving.model_server.servable import TensorInfo

NUMBERS = {
    "f4": 1,
    "f8": 2,
    "i4": 3,
    "u1": 4,
    "i2": 5,
    "i1": 6,
    "i8": 9,
    "?": 10,
    "u2": 17,
    "f2": 19,
    "u4": 22,
    "u8": 23,
}
SHAPES = hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=4)


def infos(**dtypes: int) -> dict[str, TensorInfo]:
    return {name: TensorInfo(dtype=dtype, shape=None) for name, dtype in dtypes.items()}


def read(body: Any, **dtypes: int) -> Any:
    return read_tensors(parse_body(body if isinstance(body, bytes) else json.dumps(body).encode()), infos(**dtypes))[0]


def refusal(body: Any, **dtypes: int) -> str:
    with pytest.raises(ServingError) as error:
        read(body, **dtypes)
    assert error.value.code is Code.INVALID_ARGUMENT
    return str(error.value)


@pytest.mark.parametrize("code", NUMBERS)
@given(data=st.data())
def test_arrays_come_back_as_rows_and_as_columns(code, data):
    array = data.draw(hnp.arrays(np.dtype(code), SHAPES, elements=hnp.from_dtype(np.dtype(code), allow_nan=True)))
    answer = Answer({"x": array}, 0, len(array), True, {})
    for written, sent, got in (
        (row_answer(answer), "instances", "predictions"),
        (column_answer(answer), "inputs", "outputs"),
    ):
        values = parse(written)[got]
        (back, is_row) = read_tensors({sent: values}, infos(x=NUMBERS[code]))
        assert is_row is (sent == "instances")
        assert back["x"].dtype == array.dtype
        np.testing.assert_array_equal(back["x"], array)


@given(values=st.lists(st.binary(max_size=20), min_size=1, max_size=5))
def test_bytes_go_in_and_out_as_base64(values):
    sent = [{"b64": base64.b64encode(value).decode()} for value in values]
    array = read({"instances": sent}, x=7)["x"]
    assert array.tolist() == values
    assert read({"inputs": sent}, x=7)["x"].tolist() == values
    assert json.loads(row_answer(Answer({"x_bytes": array}, 0, len(array), True, {})))["predictions"] == sent


@given(values=st.lists(st.text(max_size=20), min_size=1, max_size=5))
def test_texts_are_utf8(values):
    array = read({"instances": values}, x=7)["x"]
    assert array.tolist() == [value.encode() for value in values]
    assert json.loads(row_answer(Answer({"x": array}, 0, len(array), True, {})))["predictions"] == values


def test_rows_may_be_objects_with_a_value_for_each_input():
    rows = [{"a": [1, 2], "b": "x"}, {"b": "y", "a": [3, 4]}]
    tensors = read({"instances": rows}, a=9, b=7)
    assert tensors["a"].tolist() == [[1, 2], [3, 4]]
    assert tensors["b"].tolist() == [b"x", b"y"]


def test_one_input_may_be_named_or_not():
    assert read({"instances": [{"a": 1}, {"a": 2}]}, a=1)["a"].tolist() == [1, 2]
    assert read({"instances": [{"a": {"b64": "eA=="}}]}, a=7)["a"].tolist() == [b"x"]
    assert read({"inputs": {"a": [1, 2]}}, a=1)["a"].tolist() == [1, 2]


def test_columns_may_be_scalars_and_have_further_keys():
    tensors = read({"inputs": {"a": 5, "b": {"b64": "eHk="}, "more": []}}, a=3, b=7)
    assert tensors["a"].shape == ()
    assert tensors["a"] == 5
    assert tensors["b"].item() == b"xy"


def test_empty_lists_are_dimensions_of_size_zero():
    assert read({"inputs": [[], []]}, a=1)["a"].shape == (2, 0)
    assert read({"instances": [[], []]}, a=1)["a"].shape == (2, 0)
    assert read({"inputs": []}, a=7)["a"].shape == (0,)


def test_small_integers_are_cut_as_tensorflow_serving_cuts_them():
    assert read({"instances": [300, -1]}, x=4)["x"].tolist() == [44, 255]


@pytest.mark.parametrize("text", ["AP8", "AP8=", " A P\n8= ", "AP8."])
def test_base64_may_lack_its_padding_and_hold_white_space(text):
    assert read({"instances": [{"b64": text}]}, x=7)["x"].tolist() == [b"\x00\xff"]


def test_a_number_beyond_float32_is_infinite_and_nan_is_taken():
    assert read(b'{"instances": [1e300, NaN, -Infinity, 3]}', x=1)["x"].tolist()[0] == np.inf
    assert np.isnan(read(b'{"instances": [1e300, NaN, -Infinity, 3]}', x=1)["x"][1])


def test_bfloat16_is_read_and_written():
    array = read({"instances": [1.5, 2]}, x=14)["x"]
    assert array.dtype.name == "bfloat16"
    assert row_answer(Answer({"x": array}, 0, 2, True, {})) == b'{"predictions": [1.5, 2.0]}'


ROW = "Failed to process element: {} of 'instances' list. Error: INVALID_ARGUMENT: "


@pytest.mark.parametrize(
    ("body", "dtypes", "words"),
    [
        (b"[1]", {"a": 1}, "JSON Value: [1] Is not object"),
        ({}, {"a": 1}, "Missing 'inputs' or 'instances' key"),
        (
            {"instances": [1], "inputs": [1]},
            {"a": 1},
            'JSON Value: {\n    "instances": [1],\n    "inputs": [1]\n} Not formatted correctly expecting only one of '
            "'inputs' or 'instances' keys to exist ",
        ),
        (
            {"instances": 1},
            {"a": 1},
            "JSON Value: {\n    \"instances\": 1\n} Expecting 'instances' to be an list/array",
        ),
        ({"instances": []}, {"a": 1}, "JSON Value: {\n    \"instances\": []\n} No values in 'instances' array"),
        (
            {"instances": [1]},
            {"a": 1, "b": 1},
            "instances is a plain list, but expecting list of objects as multiple input tensors required as per "
            "tensorinfo_map",
        ),
        (
            {"inputs": [1]},
            {"a": 1, "b": 1},
            "inputs is a plain value/list, but expecting an object as multiple input tensors required as per "
            "tensorinfo_map",
        ),
        ({"inputs": {"a": 1}}, {"a": 1, "b": 1}, "Missing named input: b in 'inputs' object."),
        ({"instances": [{"a": 1}, 2]}, {"a": 1}, "Expecting object but got list at item 1 of input list"),
        ({"instances": [1, {"a": 1}]}, {"a": 1}, "Expecting value/list but got object at item 1 of input list"),
        (
            {"instances": [{"a": 1, "c": 2}]},
            {"a": 1},
            "Failed to process element: 0 key: c of 'instances' list. Error: INVALID_ARGUMENT: JSON object: does not "
            "have named input: c",
        ),
        (
            {"instances": [{"a": 1}]},
            {"a": 1, "b": 1},
            "Failed to process element: 0 of 'instances' list. JSON object: {\n"
            '    "a": 1\n} keys must be equal to: a,b',
        ),
        ({"instances": [[1, 2], [3]]}, {"a": 1}, ROW.format(1) + "Expecting tensor size: 2 but got: 1"),
        (
            {"instances": [[[1], [2]], [[3, 4]]]},
            {"a": 1},
            ROW.format(1) + "Expecting shape [2,1] but got: [1,2]",
        ),
        (
            {"instances": [[[1, 2], [3]]]},
            {"a": 1},
            ROW.format(0) + "Encountered list at unexpected size: 1 at level: 1 expected size: 2",
        ),
        (
            {"instances": [[1, [2]]]},
            {"a": 1},
            ROW.format(0) + "Encountered list at unexpected level: 1 expected < 1",
        ),
        (
            {"instances": [[[1], 2]]},
            {"a": 1},
            ROW.format(0) + "JSON Value: 2 found at incorrect level: 2 in the JSON DOM. Expected at level: 2",
        ),
        ({"instances": ["x"]}, {"a": 1}, ROW.format(0) + 'JSON Value: "x" Type: String is not of expected type: float'),
        ({"instances": [True]}, {"a": 1}, ROW.format(0) + "JSON Value: true Type: True is not of expected type: float"),
        ({"instances": [1.0]}, {"a": 9}, ROW.format(0) + "JSON Value: 1.0 Type: Number is not of expected type: int64"),
        (
            {"instances": [2**31]},
            {"a": 3},
            ROW.format(0) + "JSON Value: 2147483648 Type: Number is not of expected type: int32",
        ),
        ({"instances": [-1]}, {"a": 23}, ROW.format(0) + "JSON Value: -1 Type: Number is not of expected type: uint64"),
        ({"instances": [1]}, {"a": 10}, ROW.format(0) + "JSON Value: 1 Type: Number is not of expected type: bool"),
        (
            {"instances": [None]},
            {"a": 7},
            ROW.format(0) + "JSON Value: null Type: Null is not of expected type: string",
        ),
        ({"inputs": [1, "x"]}, {"a": 1}, 'JSON Value: "x" Type: String is not of expected type: float'),
        (
            {"inputs": [{"b64": "eA=="}]},
            {"a": 1},
            'JSON Value: {\n    "b64": "eA=="\n} Type: Object is not of expected type: float',
        ),
        (
            {"inputs": [{"b64": 5}]},
            {"a": 7},
            'JSON Value: {\n    "b64": 5\n} not formatted correctly for base64 data',
        ),
        ({"inputs": [{"b64": "%%%"}]}, {"a": 7}, "Unable to base64 decode"),
        ({"inputs": [{"b64": "eHh4e"}]}, {"a": 7}, "Unable to base64 decode"),
        (
            {"inputs": [{"\ud800": "eA=="}]},
            {"a": 7},
            'JSON Value: {\n    "\ud800": "eA=="\n} not formatted correctly for base64 data',
        ),
        ({"inputs": "\ud800"}, {"a": 7}, "JSON Parse error: The surrogate pair in string is invalid."),
        ({"inputs": [10**400]}, {"a": 1}, "JSON Parse error: Number too big to be stored in double."),
        (
            b'{"inputs": ' + b"[" * 65 + b"]" * 65 + b"}",
            {"a": 1},
            "a tensor can have 64 dimensions, got a list nested more deeply",
        ),
    ],
)
def test_errors_are_worded_as_tensorflow_serving_words_them(body, dtypes, words):
    assert refusal(body, **dtypes) == words


def test_a_type_json_cannot_hold_is_unimplemented():
    with pytest.raises(ServingError, match="Conversion of JSON Value: 1 to type: complex64") as error:
        read({"inputs": [1]}, x=8)
    assert error.value.code is Code.UNIMPLEMENTED


def test_the_signature_is_named_by_a_text():
    assert signature_name({}) == ""
    assert signature_name({"signature_name": "s"}) == "s"
    with pytest.raises(ServingError, match="not formatted correctly. 'signature_name' key must be a string value."):
        signature_name({"signature_name": 1})


def outcome(body: Any, dtype: int) -> tuple[int, Any]:
    try:
        return 200, read_tensors(body, infos(a=dtype))[0]["a"].tolist()
    except ServingError as error:
        return error.http_status, str(error)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.just({"b64": "eA=="}),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "b64"]), inner, max_size=2),
    max_leaves=8,
)


@given(value=VALUES, key=st.sampled_from(["instances", "inputs"]), dtype=st.sampled_from([*NUMBERS.values(), 7, 8, 14]))
def test_any_json_is_a_tensor_of_the_asked_type_or_refused(value, key, dtype):
    assert outcome({key: value}, dtype)[0] in {200, 400, 501}


@given(value=st.lists(VALUES, min_size=1, max_size=3), dtype=st.sampled_from([1, 3, 7, 9, 10]))
def test_the_quick_way_and_the_slow_way_read_the_same(value, dtype):
    quick = outcome({"inputs": value}, dtype)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("serving.model_server.rest.json_tensors.quick_array", lambda values, dtype: None)
        assert repr(quick) == repr(outcome({"inputs": value}, dtype))
