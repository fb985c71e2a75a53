from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.model_server.batch_task import Answer
from serving.model_server.errors import ServingError
from serving.model_server.rest.json_answers import (
    classification_answer,
    column_answer,
    error_answer,
    plain,
    regression_answer,
    row_answer,
    shortened,
)

FINITE = st.floats(width=32, allow_nan=False, allow_infinity=False)


def objects(*values: bytes) -> np.ndarray:
    array = np.empty(len(values), object)
    array[:] = values
    return array


def whole(**tensors: np.ndarray) -> Answer:
    return Answer(tensors, 0, len(next(iter(tensors.values()))), True, {})


def as_tensorflow_serving_writes(value: np.float32) -> float:
    short = float(f"{value:.6g}")
    return short if np.float32(short) == value else float(f"{value:.9g}")


@given(values=st.lists(FINITE, min_size=1, max_size=150))
def test_floats_have_six_digits_where_they_suffice_and_nine_where_not(values):
    array = np.float32(values)
    assert shortened(array).tolist() == [as_tensorflow_serving_writes(value) for value in array]


@pytest.mark.parametrize("exponent", range(-45, 38))
def test_floats_of_every_size_are_rounded_alike_in_small_and_large_arrays(exponent):
    array = np.float32(np.random.default_rng(exponent + 45).uniform(1, 10, 200) * 10.0**exponent)
    assert shortened(array).tolist() == [as_tensorflow_serving_writes(value) for value in array]
    assert shortened(array[:5]).tolist() == shortened(array)[:5].tolist()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.1, b"0.1"),
        (1.0, b"1.0"),
        (0.0, b"0.0"),
        (-0.0, b"-0.0"),
        (0.14366804, b"0.143668041"),
        (16777216.0, b"16777216.0"),
        (1e6, b"1000000.0"),
        (np.nan, b"NaN"),
        (np.inf, b"Infinity"),
        (-np.inf, b"-Infinity"),
    ],
)
def test_one_float_is_written_so(value, text):
    assert row_answer(whole(y=np.float32([value]))) == b'{"predictions": [' + text + b"]}"


def test_doubles_and_integers_keep_all_their_digits():
    assert plain(np.array([0.1234567890123456, 1e300])) == [0.1234567890123456, 1e300]
    assert plain(np.uint64([2**64 - 1])) == [2**64 - 1]
    assert plain(np.array([True, False])) == [True, False]


def test_one_output_is_a_plain_list_and_several_are_objects():
    assert json.loads(row_answer(whole(y=np.int32([[1, 2], [3, 4]])))) == {"predictions": [[1, 2], [3, 4]]}
    assert json.loads(row_answer(whole(b=np.int32([1, 2]), a=objects(b"x", b"y")))) == {
        "predictions": [{"a": "x", "b": 1}, {"a": "y", "b": 2}]
    }
    assert json.loads(column_answer(whole(y=np.int32([1, 2])))) == {"outputs": [1, 2]}
    assert json.loads(column_answer(whole(b=np.int32([1, 2]), a=objects(b"x", b"y")))) == {
        "outputs": {"a": ["x", "y"], "b": [1, 2]}
    }


def test_each_request_of_a_batch_takes_its_rows_of_what_is_written_once():
    memo: dict[str, object] = {}
    tensors = {"y": np.int32([1, 2, 3])}
    assert row_answer(Answer(tensors, 0, 1, False, memo)) == b'{"predictions": [1]}'
    tensors["y"][:] = 0
    assert row_answer(Answer(tensors, 1, 3, False, memo)) == b'{"predictions": [2, 3]}'
    assert column_answer(Answer({"y": np.int32([1, 2, 3])}, 1, 3, False, memo)) == b'{"outputs": [2,3]}'


def test_outputs_named_bytes_are_base64_and_text_that_is_no_utf8_is_replaced():
    assert json.loads(row_answer(whole(image_bytes=objects(b"\xff\x00")))) == {"predictions": [{"b64": "/wA="}]}
    assert json.loads(row_answer(whole(text=objects(b"a\xff")))) == {"predictions": ["a\ufffd"]}


def test_a_scalar_has_no_rows_but_can_be_a_column():
    with pytest.raises(ServingError, match="^Tensor name: y has no shape information $"):
        row_answer(Answer({"y": np.array(1.5)}, 0, 1, True, {}))
    assert column_answer(Answer({"y": np.array(1.5)}, 0, 1, True, {})) == b'{"outputs": 1.5}'


def test_outputs_with_different_numbers_of_rows_are_refused():
    with pytest.raises(ServingError, match="^Tensor name: b has inconsistent batch size: 3 expecting: 2$"):
        row_answer(Answer({"a": np.zeros(2), "b": np.zeros(3)}, 0, 1, True, {}))


def test_complex_numbers_cannot_be_written():
    with pytest.raises(ServingError, match="Failed to write JSON value for tensor type: complex64"):
        row_answer(whole(y=np.complex64([1j])))


def test_labels_and_scores_are_pairs():
    results = [[(b"grass", 0.1), (b"sand", float("nan"))], [(b"", 1.0)]]
    assert classification_answer(results) == b'{"results": [[["grass",0.1],["sand",NaN]],[["",1.0]]]}'
    assert classification_answer([[]]) == b'{"results": [[]]}'


def test_regressions_are_numbers():
    assert regression_answer([0.1, float("inf")]) == b'{"results": [0.1,Infinity]}'


def test_an_error_is_laid_out_as_tensorflow_serving_does():
    assert error_answer('no "x"\n') == b'{\n    "error": "no \\"x\\"\\n"\n}'
    assert json.loads(error_answer("\ud800"))["error"] == "?"
