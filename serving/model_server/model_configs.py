"""Whether a `ModelServerConfig` can be served, checked before anything changes; the texts are TensorFlow Serving's."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from serving.model_server.errors import Code, ServingError
from serving.model_server.sources import local_path

if TYPE_CHECKING:
    from tensorflow_serving.config import model_server_config_pb2

PLATFORM = "tensorflow"
_UNSAFE = re.compile(r"[\x00-\x1f\x7f/\\:]")
_MAX_NAME_BYTES = 200  # the name becomes part of file names of the request log

_LOG = logging.getLogger(__name__)


def check_name(name: str) -> None:
    r"""Refuses a model name that could be taken for a path or for part of a URL.

    Raises:
        ServingError: it is empty, longer than 200 bytes, begins with ".", or holds "/", "\", ":" or a control
            character.
    """
    if not name or name.startswith(".") or _UNSAFE.search(name) or len(name.encode()) > _MAX_NAME_BYTES:
        raise ServingError(
            Code.INVALID_ARGUMENT,
            r"a model name must be 1 to 200 bytes, not begin with '.', and hold no '/', '\', ':' or control "
            f"characters, got {name!r}. Rename it in the model config file or --model_name.",
        )


def checked(config: model_server_config_pb2.ModelServerConfig) -> dict[str, Any]:
    """Checks a configuration.

    Args:
        config: with a list of models.

    Returns:
        `ModelConfig` by name, in the order of the list.

    Raises:
        ServingError: INVALID_ARGUMENT, with the model and what is wrong with it.
    """
    if config.WhichOneof("config") == "custom_model_config":
        raise ServingError(
            Code.INVALID_ARGUMENT,
            "ServerModelConfig type not supported: custom_model_config. Only ModelConfigList is currently supported",
        )
    models: dict[str, Any] = {}
    for model in config.model_config_list.config:
        if model.name in models:
            raise ServingError(
                Code.INVALID_ARGUMENT, f"Illegal to list model {model.name} multiple times in config list"
            )
        check_name(model.name)
        local_path(model.name, model.base_path)
        _check_platform(model)
        models[model.name] = model
    return models


def labels_of(
    models: Mapping[str, Any],
    available: Mapping[str, set[int]],
    before: Mapping[str, Mapping[str, int]],
    *,
    is_early_allowed: bool,
) -> dict[str, dict[str, int]]:
    """Decides which label means which version.

    Args:
        models: `ModelConfig` by name.
        available: versions that answer, by model.
        before: the labels so far.
        is_early_allowed: whether a new label may name a version that does not answer yet; a label that exists is
            never moved to such a version.

    Returns:
        Version by label, by model.

    Raises:
        ServingError: FAILED_PRECONDITION, when a label names a version that does not answer.
    """
    labels: dict[str, dict[str, int]] = {}
    for name, model in models.items():
        for label, version in model.version_labels.items():
            is_moved = before.get(name, {}).get(label, version) != version
            is_early = version not in available.get(name, set())
            if is_early and (is_moved or not is_early_allowed):
                raise ServingError(
                    Code.FAILED_PRECONDITION,
                    f"Request to assign label to version {version} of model {name}, which is not currently available "
                    "for inference",
                )
            labels.setdefault(name, {})[label] = version
    return labels


def _check_platform(model: Any) -> None:
    if model.model_type:
        _LOG.warning("model_type is deprecated; write model_platform: %r for model %s", PLATFORM, model.name)
        if model.model_platform:
            raise ServingError(
                Code.INVALID_ARGUMENT,
                "Illegal setting both ModelServerConfig::model_type (deprecated) and "
                f"ModelServerConfig::model_platform, model name is {model.name}",
            )
        if model.model_type != 1:
            raise ServingError(
                Code.INVALID_ARGUMENT, f"ModelServerConfig::model_type choice {model.model_type} not supported."
            )
        return
    if not model.model_platform:
        raise ServingError(
            Code.INVALID_ARGUMENT,
            "Illegal setting neither ModelServerConfig::model_type (deprecated) nor "
            f"ModelServerConfig::model_platform, model name is {model.name}",
        )
    if model.model_platform != PLATFORM:
        raise ServingError(
            Code.INVALID_ARGUMENT, f"Model {model.name} requests unsupported platform {model.model_platform}"
        )
