"""The messages a client sends and reads, without TensorFlow.

The stubs of `tensorflow-serving-api` import all of TensorFlow, which takes seconds and a gigabyte of packages; a client
needs a handful of messages. They are described here, in a pool of their own, so that they never meet the stubs' in one
process; a test compares each field's name, number and type with the stubs'. Enums are described as the integers they
are on the wire.
"""

from __future__ import annotations

import functools
from typing import Any

from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, message_factory, wrappers_pb2

_FIELD = descriptor_pb2.FieldDescriptorProto
# Each line: a message, then its fields as name=number:type; "*" repeated, "{}" a map from strings.
_TENSORFLOW = """
TensorShapeProto.Dim size=1:int64 name=2:string
TensorShapeProto dim=2:*.tensorflow.TensorShapeProto.Dim unknown_rank=3:bool
TensorProto dtype=1:int32 tensor_shape=2:.tensorflow.TensorShapeProto version_number=3:int32 tensor_content=4:bytes \
 float_val=5:*float double_val=6:*double int_val=7:*int32 string_val=8:*bytes scomplex_val=9:*float \
 int64_val=10:*int64 bool_val=11:*bool dcomplex_val=12:*double half_val=13:*int32 uint32_val=16:*uint32 \
 uint64_val=17:*uint64
TensorInfo name=1:string dtype=2:int32 tensor_shape=3:.tensorflow.TensorShapeProto
SignatureDef inputs=1:{}.tensorflow.TensorInfo outputs=2:{}.tensorflow.TensorInfo method_name=3:string
"""
_SERVING = """
ModelSpec name=1:string version=2:.google.protobuf.Int64Value signature_name=3:string version_label=4:string
PredictRequest model_spec=1:.tensorflow.serving.ModelSpec inputs=2:{}.tensorflow.TensorProto output_filter=3:*string
PredictResponse outputs=1:{}.tensorflow.TensorProto model_spec=2:.tensorflow.serving.ModelSpec
GetModelStatusRequest model_spec=1:.tensorflow.serving.ModelSpec
StatusProto error_code=1:int32 error_message=2:string
ModelVersionStatus version=1:int64 state=2:int32 status=3:.tensorflow.serving.StatusProto
GetModelStatusResponse model_version_status=1:*.tensorflow.serving.ModelVersionStatus
GetModelMetadataRequest model_spec=1:.tensorflow.serving.ModelSpec metadata_field=2:*string
GetModelMetadataResponse model_spec=1:.tensorflow.serving.ModelSpec metadata=2:{}.google.protobuf.Any
SignatureDefMap signature_def=1:{}.tensorflow.SignatureDef
ModelConfig name=1:string base_path=2:string model_platform=4:string
ModelConfigList config=1:*.tensorflow.serving.ModelConfig
ModelServerConfig model_config_list=1:.tensorflow.serving.ModelConfigList
ReloadConfigRequest config=1:.tensorflow.serving.ModelServerConfig
ReloadConfigResponse status=1:.tensorflow.serving.StatusProto
"""


def message(name: str) -> Any:
    """Returns the class of a message.

    Args:
        name: with its package, such as `tensorflow.serving.PredictRequest`.
    """
    return _classes()[name]


@functools.cache
def _classes() -> dict[str, Any]:
    pool = descriptor_pool.DescriptorPool()
    for known in (any_pb2, wrappers_pb2):
        pool.AddSerializedFile(known.DESCRIPTOR.serialized_pb)
    names = [f"tensorflow.{name}" for name in _add_file(pool, "tensorflow", _TENSORFLOW, ())]
    uses = ("google/protobuf/any.proto", "google/protobuf/wrappers.proto", "earthloop/tensorflow.proto")
    names += [f"tensorflow.serving.{name}" for name in _add_file(pool, "tensorflow.serving", _SERVING, uses)]
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(name)) for name in names}


def _add_file(pool: descriptor_pool.DescriptorPool, package: str, text: str, uses: tuple[str, ...]) -> list[str]:
    """Adds the messages of a text to the pool; returns their names."""
    file = descriptor_pb2.FileDescriptorProto(
        name=f"earthloop/{package}.proto", package=package, syntax="proto3", dependency=uses
    )
    names = []
    for line in text.strip().splitlines():
        name, *fields = line.split()
        names.append(name)
        owner, _, nested = name.rpartition(".")
        described = _described(file, owner).nested_type.add(name=nested) if owner else _described(file, name)
        for field in fields:
            _add_field(described, f".{package}.{name}", field)
    pool.AddSerializedFile(file.SerializeToString())
    return names


def _described(file: Any, name: str) -> Any:
    """Finds or adds a message of a file."""
    return next((found for found in file.message_type if found.name == name), None) or file.message_type.add(name=name)


def _add_field(described: Any, full_name: str, text: str) -> None:
    name, _, rest = text.partition("=")
    number, _, kind = rest.partition(":")
    is_map, is_repeated = kind.startswith("{}"), kind.startswith("*")
    label = _FIELD.LABEL_REPEATED if is_map or is_repeated else _FIELD.LABEL_OPTIONAL
    field = described.field.add(name=name, number=int(number), label=label)
    if is_map:
        entry = described.nested_type.add(name=f"{name.title().replace('_', '')}Entry")
        entry.options.map_entry = True
        entry.field.add(name="key", number=1, label=_FIELD.LABEL_OPTIONAL, type=_FIELD.TYPE_STRING)
        _set_type(entry.field.add(name="value", number=2, label=_FIELD.LABEL_OPTIONAL), kind[2:])
        _set_type(field, f"{full_name}.{entry.name}")
    else:
        _set_type(field, kind.removeprefix("*"))


def _set_type(field: Any, kind: str) -> None:
    if kind.startswith("."):
        field.type, field.type_name = _FIELD.TYPE_MESSAGE, kind
    else:
        field.type = getattr(_FIELD, f"TYPE_{kind.upper()}")
