"""The client's own messages must be those of the stubs."""

import subprocess
import sys

import pytest
from google.protobuf import descriptor
from tensorflow.core.framework import tensor_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    predict_pb2,
)
from tensorflow_serving.config import model_server_config_pb2

from serving.client.messages import message

STUBS = {
    "tensorflow.TensorProto": tensor_pb2.TensorProto,
    "tensorflow.serving.SignatureDefMap": get_model_metadata_pb2.SignatureDefMap,
    "tensorflow.SignatureDef": meta_graph_pb2.SignatureDef,
    **{
        f"tensorflow.serving.{name}": getattr(module, name)
        for module, names in {
            predict_pb2: ("PredictRequest", "PredictResponse"),
            get_model_metadata_pb2: ("GetModelMetadataRequest", "GetModelMetadataResponse"),
            get_model_status_pb2: ("GetModelStatusRequest", "GetModelStatusResponse", "ModelVersionStatus"),
            model_management_pb2: ("ReloadConfigRequest", "ReloadConfigResponse"),
            model_server_config_pb2: ("ModelServerConfig", "ModelConfig", "ModelConfigList"),
        }.items()
        for name in names
    },
}
INT32, ENUM = descriptor.FieldDescriptor.TYPE_INT32, descriptor.FieldDescriptor.TYPE_ENUM


def check(ours, theirs):
    """Each field of ours is one of theirs: name, number, type, repetition, packing, and so on inwards."""
    for field in ours.fields:
        other = theirs.fields_by_name[field.name]
        where = f"{theirs.full_name}.{field.name}"
        assert field.number == other.number, where
        assert field.type == (INT32 if other.type == ENUM else other.type), where
        assert (field.is_repeated, field.is_packed) == (other.is_repeated, other.is_packed), where
        if field.message_type is not None:
            assert field.message_type.GetOptions().map_entry == other.message_type.GetOptions().map_entry, where
            check(field.message_type, other.message_type)


@pytest.mark.parametrize("name", STUBS)
def test_each_field_is_the_stubs(name):
    check(message(name).DESCRIPTOR, STUBS[name].DESCRIPTOR)


def test_what_a_client_writes_the_stubs_read():
    request = message("tensorflow.serving.PredictRequest")(output_filter=["a"])
    request.model_spec.version.value = 3
    request.inputs["x"].float_val.extend([1, 2])
    found = predict_pb2.PredictRequest.FromString(request.SerializeToString())
    assert (found.model_spec.version.value, list(found.inputs["x"].float_val)) == (3, [1, 2])


def test_a_client_of_either_kind_imports_no_tensorflow():
    probe = (
        "import sys; from serving.client import Client; from serving.client.messages import message;"
        "message('tensorflow.TensorProto');"
        "[Client(target).close() for target in ('localhost:1', 'http://localhost:1')];"
        "print('tensorflow' in sys.modules, 'tensorflow_serving' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
