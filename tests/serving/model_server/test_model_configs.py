from __future__ import annotations

import pytest
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from serving.model_server.errors import Code, ServingError
from serving.model_server.model_configs import check_name, checked


def config(text: str):
    return text_format.Parse(text, model_server_config_pb2.ModelServerConfig())


@pytest.mark.parametrize("name", ["satellite-landcover", "a", "Ä b", "m.v2", "x" * 200, "_m", "a..b"])
def test_plain_names_are_taken(name):
    check_name(name)


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../x", "/etc/passwd", "a/b", "a\\b", "a:b", ".hidden", "a\x00b", "a\nb", "x" * 201, "ä" * 101],
)
def test_names_that_look_like_paths_are_refused(name):
    with pytest.raises(ServingError, match="a model name must be 1 to 200 bytes") as caught:
        check_name(name)

    assert caught.value.code is Code.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            'config { name: "m" base_path: "/m" model_platform: "tensorflow" }' * 2,
            "Illegal to list model m multiple times in config list",
        ),
        ('config { name: "m" base_path: "m" model_platform: "tensorflow" }', "to have an absolute path or URI"),
        (
            'config { name: "m" base_path: "/m" }',
            "Illegal setting neither ModelServerConfig::model_type (deprecated) nor ModelServerConfig::model_platform, "
            "model name is m",
        ),
        (
            'config { name: "m" base_path: "/m" model_platform: "tensorflow" model_type: TENSORFLOW }',
            "Illegal setting both ModelServerConfig::model_type (deprecated) and ModelServerConfig::model_platform",
        ),
        (
            'config { name: "m" base_path: "/m" model_type: OTHER }',
            "ModelServerConfig::model_type choice 2 not supported",
        ),
        (
            'config { name: "m" base_path: "/m" model_platform: "torch" }',
            "Model m requests unsupported platform torch",
        ),
        ('config { name: "../m" base_path: "/m" model_platform: "tensorflow" }', "a model name must be"),
    ],
)
def test_what_cannot_be_served_is_refused_in_tensorflow_servings_words(text, message):
    with pytest.raises(ServingError) as caught:
        checked(config(f"model_config_list {{ {text} }}"))

    assert caught.value.code is Code.INVALID_ARGUMENT
    assert message in str(caught.value)


def test_a_custom_configuration_is_refused():
    custom = model_server_config_pb2.ModelServerConfig()
    custom.custom_model_config.type_url = "type.example/x"

    with pytest.raises(ServingError, match="Only ModelConfigList is currently supported"):
        checked(custom)


def test_the_deprecated_type_still_means_tensorflow():
    models = checked(config('model_config_list { config { name: "m" base_path: "/m" model_type: TENSORFLOW } }'))

    assert list(models) == ["m"]
