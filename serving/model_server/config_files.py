"""Reads the configuration files of a server: text-format messages, as `tensorflow_model_server` reads them."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from google.protobuf import text_format

from applications.errors import ConfigError, near_name
from serving.model_server.batch_queues import BatchingParameters
from serving.model_server.config_protos import BatchingParametersProto, MonitoringConfigProto, SSLConfigProto

if TYPE_CHECKING:
    from tensorflow_serving.config import model_server_config_pb2

METRICS_PATH = "/monitoring/prometheus/metrics"
_PLACE = re.compile(r"^(?P<line>[0-9]+):(?P<column>[0-9]+) : ")
_UNKNOWN = re.compile(r'Message type "[\w.]+" has no field named "(?P<name>\w+)"')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Monitoring:
    """What `--monitoring_config_file` says.

    Attributes:
        is_enabled: whether metrics can be read.
        path: where, on the REST port.
    """

    is_enabled: bool = False
    path: str = METRICS_PATH


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tls:
    """What `--ssl_config_file` says; all PEM.

    Attributes:
        key: private key of the server.
        certificate: of the server, with its chain.
        client_authority: certificates that sign clients; empty for the system's.
        is_client_checked: whether a client must show a certificate (mutual TLS).
    """

    key: str = dataclasses.field(repr=False)
    certificate: str
    client_authority: str = ""
    is_client_checked: bool = False


def read_models(path: str | Path) -> model_server_config_pb2.ModelServerConfig:
    """Reads `--model_config_file`; what it means is checked by the manager.

    Raises:
        ConfigError: with file and line.
    """
    from tensorflow_serving.config import model_server_config_pb2

    config = _read(Path(path), model_server_config_pb2.ModelServerConfig(), "--model_config_file")
    if config.WhichOneof("config") == "custom_model_config":
        raise ConfigError(
            f"{path} must list its models in model_config_list, got custom_model_config, which needs code of its own."
        )
    return config


def one_model(name: str, base_path: str | Path) -> model_server_config_pb2.ModelServerConfig:
    """Makes the configuration that `--model_name` and `--model_base_path` stand for.

    Args:
        name: of the model.
        base_path: its folder; a relative one is below the working folder.

    Returns:
        One model of which the newest version is served.
    """
    from tensorflow_serving.config import model_server_config_pb2

    path = str(base_path)
    config = model_server_config_pb2.ModelServerConfig()
    config.model_config_list.config.add(
        name=name, base_path=path if "://" in path else str(Path(path).absolute()), model_platform="tensorflow"
    )
    return config


def read_batching(path: str | Path) -> BatchingParameters:
    """Reads `--batching_parameters_file`; what it does not name stays as it is without a file.

    As in TensorFlow Serving, whoever says how requests wait limits a single one, too; without a file none is limited.

    Raises:
        ConfigError: with file and line, or the parameter that is out of its range.
    """
    message = _read(Path(path), BatchingParametersProto(), "--batching_parameters_file")
    if message.HasField("max_execution_batch_size"):
        raise ConfigError(
            f"max_execution_batch_size in {path} is not known here: no batch is larger than max_batch_size, and a "
            "request that is larger is split. Give max_batch_size this value and leave the other out."
        )
    values: dict[str, Any] = {}
    for field, value in message.ListFields():
        is_wrapped = field.message_type is not None
        values[field.name] = (
            tuple(value) if field.name == "allowed_batch_sizes" else value.value if is_wrapped else value
        )
    try:
        return BatchingParameters(**values, limits_requests=True)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def read_monitoring(path: str | Path) -> Monitoring:
    """Reads `--monitoring_config_file`.

    Raises:
        ConfigError: with file and line, or a path that does not begin with "/".
    """
    message = _read(Path(path), MonitoringConfigProto(), "--monitoring_config_file")
    prometheus = message.prometheus_config
    if prometheus.path and not prometheus.path.startswith("/"):
        raise ConfigError(
            f"prometheus_config.path in {path} must begin with '/', got {prometheus.path!r}. The usual one is "
            f"{METRICS_PATH!r}."
        )
    return Monitoring(is_enabled=prometheus.enable, path=prometheus.path or METRICS_PATH)


def read_tls(path: str | Path) -> Tls:
    """Reads `--ssl_config_file`.

    Raises:
        ConfigError: with file and line, or what it lacks.
    """
    message = _read(Path(path), SSLConfigProto(), "--ssl_config_file")
    for name in ("server_key", "server_cert"):
        if "-----BEGIN" not in getattr(message, name):
            raise ConfigError(f"{name} in {path} must be PEM text, from -----BEGIN to its END line.")
    if "ENCRYPTED" in message.server_key:
        raise ConfigError(
            f"server_key in {path} must not be encrypted: nobody is there to type its pass phrase. Decrypt it with: "
            "openssl pkey -in KEY -out PLAIN_KEY"
        )
    return Tls(
        key=message.server_key,
        certificate=message.server_cert,
        client_authority=message.custom_ca,
        is_client_checked=message.client_verify,
    )


def _read(path: Path, message: Any, flag: str) -> Any:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{flag} must name a text file that can be read, got {path} ({error}).") from error
    try:
        return text_format.Parse(text, message)
    except text_format.ParseError as error:
        raise ConfigError(_explained(path, message, flag, str(error))) from error


def _explained(path: Path, message: Any, flag: str, words: str) -> str:
    """Puts a parser's words behind file and line, and guesses a typing error."""
    place = _PLACE.match(words)
    where = f"{path}:{place['line']}:{place['column']}" if place else f"{path}"
    said = words[place.end() :].strip("'") if place else words
    unknown = _UNKNOWN.search(words)
    hint = near_name(unknown["name"], _field_names(message.DESCRIPTOR)) if unknown else ""
    return f"{where}: {said}{hint} {flag} takes a text-format {message.DESCRIPTOR.name}."


def _field_names(descriptor: Any, seen: frozenset[str] = frozenset()) -> list[str]:
    names = []
    for field in descriptor.fields:
        names.append(field.name)
        inner = field.message_type
        if inner is not None and inner.full_name not in seen:
            names.extend(_field_names(inner, seen | {inner.full_name}))
    return sorted(set(names))
