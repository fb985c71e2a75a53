import itertools

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tensorflow_serving.apis import predict_pb2

from serving.model_server.batch_task import Answer
from serving.model_server.grpc.results import PredictResponses
from serving.model_server.grpc.tensor_protos import to_array

DTYPES = ["f4", "f8", "i4", "i8", "?", "u1", "f2", "c8", "i2", "u8"]


def batches(dtype):
    return hnp.arrays(dtype, hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4))


def responses(tensors, cuts, **how):
    """The parsed responses of requests that share a batch, cut at these rows."""
    shape = PredictResponses(predict_pb2.PredictResponse, as_content=how.get("as_content", False)).shape("m", 7, "s")
    memo = {}
    rows = [0, *cuts, len(next(iter(tensors.values())))]
    answers = [Answer(tensors, start, stop, False, memo) for start, stop in itertools.pairwise(rows)]
    return [(one, predict_pb2.PredictResponse.FromString(shape(one))) for one in answers]


@settings(deadline=None)
@given(array=st.sampled_from(DTYPES).flatmap(batches), data=st.data())
def test_each_request_has_its_own_rows_of_any_dtype(array, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(array)), max_size=3)))
    for answer, response in responses({"y": array}, cuts):
        mine = array[answer.start : answer.stop]
        found = to_array(response.outputs["y"])
        assert (found.dtype, found.shape, found.tobytes()) == (mine.dtype, mine.shape, mine.tobytes())


@settings(deadline=None)
@given(values=st.lists(st.lists(st.binary(max_size=200), min_size=2, max_size=2), min_size=1, max_size=5))
def test_each_request_has_its_own_strings(values):
    array = np.empty((len(values), 2), object)
    array[:] = values
    for answer, response in responses({"names": array}, range(1, len(values))):
        assert tf.make_ndarray(response.outputs["names"]).tolist() == values[answer.start : answer.stop]


@pytest.mark.parametrize("values", [[0, 127], [0, 128], [-1, 5], [2**40, 3]])
def test_integers_of_every_size_arrive(values):
    (_, first), (_, second) = responses({"y": np.array(values)}, [1])
    assert [list(first.outputs["y"].int64_val), list(second.outputs["y"].int64_val)] == [[values[0]], [values[1]]]


def test_all_outputs_and_the_model_are_in_each_response():
    tensors = {
        "score": np.float32([0.5, 0.25]),
        "größe": np.array([[1, 2], [3, 4]]),
        "label": np.array([b"a", b"b"], object),
    }
    for answer, response in responses(tensors, [1]):
        assert set(response.outputs) == set(tensors)
        assert (response.model_spec.name, response.model_spec.version.value) == ("m", 7)
        assert response.model_spec.signature_name == "s"
        assert list(response.outputs["größe"].int64_val) == tensors["größe"][answer.start].tolist()
        assert [dim.size for dim in response.outputs["größe"].tensor_shape.dim] == [1, 2]


def test_an_answer_that_is_no_rows_is_written_whole():
    tensors = {"sum": np.float32(3)}
    shape = PredictResponses(predict_pb2.PredictResponse, as_content=False).shape("m", 7, "s")
    response = predict_pb2.PredictResponse.FromString(shape(Answer(tensors, 0, 5, True, {})))
    assert tf.make_ndarray(response.outputs["sum"]).tolist() == 3.0


def test_as_tensor_content_the_rows_are_bytes():
    for answer, response in responses({"y": np.float32([1, 2, 3])}, [2], as_content=True):
        assert (
            np.frombuffer(response.outputs["y"].tensor_content, "f4").tolist() == [1, 2, 3][answer.start : answer.stop]
        )


def test_text_among_the_strings_is_written_as_utf_8():
    (_, response), _ = responses({"y": np.array(["ä", b"b"], object)}, [1])
    assert list(response.outputs["y"].string_val) == ["ä".encode()]
