import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from serving.client.messages import message
from serving.model_server.grpc import tensor_protos

PLAIN = ["f4", "f8", "i4", "u1", "i2", "i1", "c8", "i8", "?", "u2", "c16", "f2", "u4", "u8"]
SHAPES = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)


def empty():
    return message("tensorflow.TensorProto")()


def sent(array, **how):
    """What arrives of an array that is written, serialized and read."""
    proto = empty()
    tensor_protos.fill(proto, array, **how)
    return tensor_protos.to_array(type(proto).FromString(proto.SerializeToString()))


def claiming(dtype, sizes, **fields):
    proto = empty()
    proto.dtype = dtype
    for size in sizes:
        proto.tensor_shape.dim.add().size = size
    for name, values in fields.items():
        if name == "tensor_content":
            proto.tensor_content = values
        else:
            getattr(proto, name).extend(values)
    return proto


@settings(deadline=None)
@given(array=st.sampled_from(PLAIN).flatmap(lambda dtype: hnp.arrays(dtype, SHAPES)), as_content=st.booleans())
def test_every_number_arrives_as_it_was_sent(array, as_content):
    found = sent(array, as_content=as_content)
    assert found.dtype == array.dtype
    assert found.shape == array.shape
    assert found.tobytes() == array.tobytes()


@settings(deadline=None)
@given(values=st.lists(st.binary(max_size=300), max_size=5), as_content=st.booleans())
def test_every_string_arrives_as_it_was_sent(values, as_content):
    array = np.empty(len(values), object)
    array[:] = values
    assert sent(array, as_content=as_content).tolist() == values


def test_bfloat16_arrives_as_it_was_sent():
    import ml_dtypes

    array = np.array([1.5, -2.0, np.inf], ml_dtypes.bfloat16)
    for as_content in (False, True):
        assert sent(array, as_content=as_content).tobytes() == array.tobytes()


@settings(deadline=None)
@given(array=st.sampled_from(PLAIN).flatmap(lambda dtype: hnp.arrays(dtype, SHAPES)), as_content=st.booleans())
def test_tensorflow_reads_what_is_written(array, as_content):
    import tensorflow as tf
    from tensorflow.core.framework import tensor_pb2

    proto = empty()
    tensor_protos.fill(proto, array, as_content=as_content)
    found = tf.make_ndarray(tensor_pb2.TensorProto.FromString(proto.SerializeToString()))
    assert found.tobytes() == array.tobytes()
    assert found.shape == array.shape


@settings(deadline=None)
@given(array=st.sampled_from(PLAIN).flatmap(lambda dtype: hnp.arrays(dtype, SHAPES)))
def test_what_tensorflow_writes_is_read(array):
    import tensorflow as tf

    found = tensor_protos.to_array(tf.make_tensor_proto(array))
    assert found.tobytes() == array.tobytes()
    assert found.shape == array.shape


def test_a_field_with_fewer_values_repeats_the_last():
    found = tensor_protos.to_array(claiming(1, [2, 3], float_val=[1, 2]))
    assert found.tolist() == [[1, 2, 2], [2, 2, 2]]


def test_a_field_with_more_values_is_cut_off():
    assert tensor_protos.to_array(claiming(9, [2], int64_val=[1, 2, 3])).tolist() == [1, 2]


def test_an_empty_field_is_zeros_or_empty_strings():
    assert tensor_protos.to_array(claiming(3, [2])).tolist() == [0, 0]
    assert tensor_protos.to_array(claiming(7, [2])).tolist() == [b"", b""]


def test_integers_wrap_around_as_in_tensorflow():
    assert tensor_protos.to_array(claiming(4, [3], int_val=[255, 256, -1])).tolist() == [255, 0, 255]


def test_bytes_other_than_0_and_1_are_true():
    assert tensor_protos.to_array(claiming(10, [3], tensor_content=b"\x00\x01\x07")).tolist() == [False, True, True]


def test_big_endian_and_strided_arrays_are_written_in_order():
    assert sent(np.arange(6, dtype=">f4").reshape(2, 3).T).tolist() == [[0, 3], [1, 4], [2, 5]]


@pytest.mark.parametrize("dtype", [1, 7, 9, 18])
def test_a_small_message_that_claims_a_huge_shape_is_refused_without_memory_for_it(dtype):
    proto = claiming(dtype, [1 << 20, 1 << 10])
    tracemalloc.start()
    with pytest.raises(tensor_protos.TensorProtoError, match="says 1073741824 values, but the message holds 0"):
        tensor_protos.to_array(proto)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20


@pytest.mark.parametrize(
    "proto",
    [
        claiming(1, [1 << 21], float_val=[1.0]),  # 8 MiB of numbers
        claiming(10, [1 << 23], bool_val=[True]),  # as many rows
        claiming(7, [1 << 16], string_val=[b"a" * 1000]),  # one string in memory, 65,536 where a model copies them
        claiming(18, [1 << 20]),
    ],
)
def test_a_last_value_that_stands_for_many_megabytes_is_refused(proto):
    with pytest.raises(
        tensor_protos.TensorProtoError,
        match=r"to repeat the last one takes \d+ bytes where 4194304 of 4194304 in a request are left",
    ):
        tensor_protos.to_array(proto)


def test_a_picture_of_one_value_is_read_as_tensorflow_reads_it():
    import tensorflow as tf

    proto = tf.make_tensor_proto(0.5, shape=[1, 512, 512, 3])
    assert len(proto.SerializeToString()) < 40
    found = tensor_protos.to_array(proto)
    assert found.shape == (1, 512, 512, 3)
    assert (found == np.float32(0.5)).all()


def test_all_tensors_of_a_request_share_what_may_be_repeated():
    repeats = tensor_protos.Repeats()
    for _ in range(4):  # the first value of each was sent
        tensor_protos.to_array(claiming(4, [1 << 20], int_val=[7]), repeats)
    with pytest.raises(tensor_protos.TensorProtoError, match="takes 99 bytes where 4 of 4194304 in a request are left"):
        tensor_protos.to_array(claiming(4, [100], int_val=[7]), repeats)


@settings(deadline=None)
@given(sizes=st.lists(st.integers(-(2**63), 2**63 - 1), max_size=40), dtype=st.integers(-5, 130))
def test_no_shape_and_no_type_does_worse_than_being_refused(sizes, dtype):
    try:
        found = tensor_protos.to_array(claiming(dtype, sizes, float_val=[1.0], string_val=[b"a"]))
    except tensor_protos.TensorProtoError:
        return
    assert found.shape == tuple(sizes)
    assert found.nbytes <= tensor_protos.MAX_REPEATED_BYTES


@settings(deadline=None)
@given(content=st.binary(max_size=60), count=st.integers(0, 80), dtype=st.sampled_from([1, 7, 10, 18]))
def test_no_content_does_worse_than_being_refused(content, count, dtype):
    try:
        found = tensor_protos.to_array(claiming(dtype, [count], tensor_content=content))
    except tensor_protos.TensorProtoError:
        return
    assert found.shape == (count,)


@pytest.mark.parametrize(
    ("proto", "text"),
    [
        (claiming(1, [-1]), r"at most 32 sizes of 0 or more, got \[-1\]"),
        (claiming(1, [1] * 33), r"at most 32 sizes"),
        (claiming(1, [2**40, 2**40, 2**40]), "more values than any message could hold"),
        (claiming(0, [1]), "dtype must be one of DT_FLOAT, .*, got number 0"),
        (claiming(21, [1]), "got number 21"),
        (claiming(1, [2], tensor_content=b"1234567"), "must have 8 bytes for 2 values of float32, got 7"),
        (claiming(8, [1], scomplex_val=[1, 2, 3]), "pairs, real and imaginary, got 3 numbers"),
        (claiming(7, [2], tensor_content=b"\x01\x05ab"), "must hold 6 bytes of strings, got 2"),
        (claiming(7, [1], tensor_content=b"\xff"), "ends within the lengths"),
    ],
)
def test_what_is_no_tensor_is_refused_with_the_reason(proto, text):
    with pytest.raises(tensor_protos.TensorProtoError, match=text):
        tensor_protos.to_array(proto)


def test_a_shape_of_unknown_rank_is_refused():
    proto = claiming(1, [])
    proto.tensor_shape.unknown_rank = True
    with pytest.raises(tensor_protos.TensorProtoError, match="must be known, got unknown_rank"):
        tensor_protos.to_array(proto)


@pytest.mark.parametrize("sizes", [[0, 2**63 - 1], [2**40, 0], [2**30, 0, 2**30]])
def test_a_tensor_without_values_has_no_endless_shape_either(sizes):
    with pytest.raises(tensor_protos.TensorProtoError, match="has more values than any message could hold"):
        tensor_protos.to_array(claiming(1, sizes))


def test_an_array_that_no_tensor_can_hold_is_refused():
    with pytest.raises(tensor_protos.TensorProtoError, match="cannot be of NumPy's dtype datetime64"):
        tensor_protos.fill(empty(), np.array(["2026-01-01"], "datetime64[D]"))
    with pytest.raises(tensor_protos.TensorProtoError, match="must hold bytes or text, got int: 3"):
        tensor_protos.fill(empty(), np.array([b"a", 3], object))
