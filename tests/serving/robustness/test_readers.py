"""Whatever JSON or tensor comes, readers give arrays or say what is wrong: nothing else is raised."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tensorflow.core.framework import tensor_pb2

from serving.model_server.errors import Code, ServingError
from serving.model_server.grpc.tensor_protos import NAMES, TensorProtoError, to_array
from serving.model_server.rest.json_answers import error_answer
from serving.model_server.rest.json_examples import read_examples
from serving.model_server.rest.json_tensors import parse_body, read_tensors, signature_name
from serving.model_server.servable import TensorInfo

_WORDS = st.sampled_from(["instances", "inputs", "examples", "context", "signature_name", "b64", "x", "y", ""])
_NUMBERS = st.integers(-(2**70), 2**70) | st.floats() | st.just(10**400)
_LEAVES = st.none() | st.booleans() | _NUMBERS | st.text(max_size=8) | st.binary(max_size=6).map(lambda raw: raw.hex())
_JSON = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_WORDS | st.text(max_size=3), inner, max_size=4),
    max_leaves=20,
)
_BODIES = st.dictionaries(_WORDS, _JSON, max_size=4) | st.fixed_dictionaries({"instances": st.lists(_JSON, max_size=4)})
_DTYPES = st.sampled_from(sorted(NAMES))
_REFUSED = {Code.INVALID_ARGUMENT, Code.UNIMPLEMENTED}
_MANY = settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


def read_all(raw: bytes, dtypes: tuple[int, ...]) -> None:
    """Reads a body as each method would."""
    infos = {name: TensorInfo(dtype=dtype, shape=None) for name, dtype in zip("xy", dtypes, strict=False)}
    for read in (lambda body: read_tensors(body, infos), read_examples, signature_name):
        try:
            found = read(parse_body(raw))
        except ServingError as error:
            refused = error
        else:
            refused = None
        if refused is not None:
            assert refused.code in _REFUSED
            assert json.loads(error_answer(str(refused)))["error"]
        elif isinstance(found, tuple):
            assert all(isinstance(array, np.ndarray) for array in found[0].values())


@_MANY
@given(body=_BODIES, dtypes=st.tuples(_DTYPES) | st.tuples(_DTYPES, _DTYPES))
def test_any_json_object_is_read_or_refused(body, dtypes):
    read_all(json.dumps(body).encode(), dtypes)


@_MANY
@given(raw=st.binary(max_size=200) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_read_as_json_or_refused(raw):
    read_all(raw, (1,))
    read_all(b'{"instances": [' + raw + b"]}", (7,))


@pytest.mark.parametrize("opening", ["[", '{"x":', '{"instances":[', '[{"":'])
@pytest.mark.parametrize("depth", [100, 900, 20_000, 100_000])
@pytest.mark.parametrize("is_closed", [True, False])
def test_nesting_of_any_depth_is_read_or_refused(opening, depth, is_closed):
    closing = "".join({"[": "]", "{": "}"}[one] for one in reversed(opening) if one in "[{")
    value = opening * depth + "1" + (closing * depth if is_closed else "")
    for around in (
        "%s",
        '{"instances": %s}',
        '{"instances": "x", "y": %s}',
        '{"examples": [{"x": %s}]}',
        '{"inputs": [%s]}',
    ):
        read_all((around % value).encode(), (1,))


@_MANY
@given(
    dtype=st.integers(-1, 30) | _DTYPES,
    shape=st.lists(st.integers(-2, 5) | st.sampled_from([2**31, 2**40, 2**63 - 1, -(2**63)]), max_size=5),
    content=st.binary(max_size=48),
    floats=st.lists(st.floats(width=32), max_size=5),
    integers=st.lists(st.integers(-(2**31), 2**31 - 1), max_size=5),
    texts=st.lists(st.binary(max_size=5), max_size=5),
)
def test_any_tensor_message_is_read_or_refused_and_has_the_shape_it_says(
    dtype, shape, content, floats, integers, texts
):
    proto = tensor_pb2.TensorProto(tensor_content=content, string_val=texts, float_val=floats, int_val=integers)
    proto.dtype = max(dtype, 0)
    proto.half_val.extend(integers)
    proto.scomplex_val.extend(floats)
    for size in shape:
        proto.tensor_shape.dim.add().size = size
    try:
        array = to_array(proto)
    except TensorProtoError:
        return
    assert array.shape == tuple(shape)
