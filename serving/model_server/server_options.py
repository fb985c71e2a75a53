"""The settings of a model server; each is a flag of the same name."""

from __future__ import annotations

import dataclasses
import functools
import os
from typing import Any

from applications.errors import ConfigError
from serving.model_server.grpc import channel_arguments
from serving.model_server.grpc.channel_arguments import ChannelArguments

_MAX_PORT = 65_535


def _flag(default: Any, text: str, *, is_ours: bool = False) -> Any:
    """Declares a flag: its default, what it does, and whether TensorFlow Serving lacks it."""
    return dataclasses.field(default=default, metadata={"help": text, "is_ours": is_ours})


@dataclasses.dataclass(frozen=True, kw_only=True)
class ServerOptions:
    """Settings of a server; names, units and defaults are those of `tensorflow_model_server` where it has them."""

    # where it listens
    host: str = _flag("127.0.0.1", "address to listen on; 0.0.0.0 for every network of the machine", is_ours=True)
    port: int = _flag(8500, "TCP port for gRPC; 0 for none")
    grpc_socket_path: str = _flag("", "path of a UNIX socket for gRPC; empty for none")
    grpc_channel_arguments: str = _flag("", "arguments for gRPC, such as grpc.max_connection_age_ms=2000,…")
    rest_api_port: int = _flag(0, "TCP port for REST; 0 for none")
    rest_api_timeout_in_ms: int = _flag(30_000, "ms a REST request may take")
    rest_api_enable_cors_support: bool = _flag(False, "answers browsers that come from other sites (CORS)")
    ssl_config_file: str = _flag("", "text-format SSLConfig: TLS for gRPC and for REST, mutual where it asks for it")
    bearer_tokens_file: str = _flag("", "one token a line; without one of them nobody is answered", is_ours=True)
    max_request_bytes: int = _flag(64 << 20, "bytes of the largest request", is_ours=True)
    drain_seconds: int = _flag(30, "s that requests may still take after SIGTERM", is_ours=True)

    # which models
    model_name: str = _flag("default", "name of the one model; not with --model_config_file")
    model_base_path: str = _flag("", "folder with the versions of the one model; not with --model_config_file")
    model_config_file: str = _flag("", "text-format ModelServerConfig: several models, version policies, labels")
    model_config_file_poll_wait_seconds: int = _flag(0, "s between readings of that file; 0 reads it once")
    file_system_poll_wait_seconds: int = _flag(1, "s between looks for new versions; 0 looks once, below 0 never")
    allow_version_labels_for_unavailable_models: bool = _flag(
        False, "a new label may name a version that does not answer yet"
    )
    saved_model_tags: str = _flag("serve", "tags, separated by commas, of the graph to load from a SavedModel")
    prefer_tflite_model: bool = _flag(False, "loads model.tflite instead of saved_model.pb where there is one")
    require_manifest: bool = _flag(False, "loads no version without model.json and its SHA-256 manifest", is_ours=True)

    # how they are loaded
    num_load_threads: int = _flag(0, "versions loaded at the same time; 0 is one, never in the way of requests")
    max_num_load_retries: int = _flag(5, "further tries after a load that failed")
    load_retry_interval_micros: int = _flag(60_000_000, "µs between these tries; below 0 does not wait")
    enable_model_warmup: bool = _flag(True, "replays assets.extra/tf_serving_warmup_requests before a version answers")
    num_request_iterations_for_warmup: int = _flag(0, "times each warm-up request is replayed; 0 is once")

    # how they run
    enable_batching: bool = _flag(
        False, "takes --batching_parameters_file; requests that wait are answered together with or without it"
    )
    batching_parameters_file: str = _flag("", "text-format BatchingParameters; needs --enable_batching")
    batch_requests: bool = _flag(
        True,
        "false computes each request alone and whole: for models in which the rows of a request change one another",
        is_ours=True,
    )
    max_queue_bytes: int = _flag(
        512 << 20, "bytes of inputs that may wait for a batch, all models together", is_ours=True
    )
    tensorflow_intra_op_parallelism: int = _flag(0, "threads within one op; 0 is one, since requests run side by side")
    tensorflow_inter_op_parallelism: int = _flag(0, "ops of one request at the same time; 0 is one")
    tensorflow_session_parallelism: int = _flag(0, "both of the above")
    per_process_gpu_memory_fraction: float = _flag(
        0.0, "share of each GPU's memory taken at once; 0 takes what is needed"
    )
    num_tflite_pools: int = _flag(0, "TFLite interpreters per version, so requests at the same time; 0 is one per core")

    # what they tell
    enable_serialization_as_tensor_content: bool = _flag(False, "Predict answers by gRPC hold tensor_content")
    enable_grpc_healthcheck_service: bool = _flag(False, "the standard health service of gRPC")
    monitoring_config_file: str = _flag("", "text-format MonitoringConfig: whether and where metrics are")
    request_log_dir: str = _flag("", "folder for sampled requests and answers; empty for none", is_ours=True)
    request_log_sampling_rate: float = _flag(
        1.0, "share of requests that are logged, 0 to 1, of models whose logging_config does not say", is_ours=True
    )
    request_log_max_file_mb: int = _flag(64, "MB after which a new log file begins", is_ours=True)
    request_log_max_file_seconds: int = _flag(300, "s after which a new log file begins", is_ours=True)
    version: bool = _flag(False, "prints the versions and exits")
    help: bool = _flag(False, "prints the flags and exits")

    warnings: tuple[str, ...] = dataclasses.field(default=(), metadata={})  # no flag: what the log should say at start

    def __post_init__(self) -> None:
        """Checks what can be checked without reading a file.

        Raises:
            ConfigError: a value is out of its range, or two exclude each other.
        """
        if self.version or self.help:
            return
        self._check_ranges()
        self._check_addresses()
        self._check_models()
        _ = self.channel_arguments  # read now, so that a mistake is told before anything is loaded
        if self.enable_batching and not self.batch_requests:
            raise ConfigError("--enable_batching and --nobatch_requests exclude each other. Leave one of them out.")
        if self.batching_parameters_file and not self.enable_batching:
            raise ConfigError(
                f"--batching_parameters_file={self.batching_parameters_file} is given without --enable_batching. "
                "Add --enable_batching."
            )
        threads = (self.tensorflow_intra_op_parallelism, self.tensorflow_inter_op_parallelism)
        if self.tensorflow_session_parallelism and all(threads):
            raise ConfigError(
                f"--tensorflow_session_parallelism={self.tensorflow_session_parallelism} sets both "
                f"--tensorflow_intra_op_parallelism={threads[0]} and --tensorflow_inter_op_parallelism={threads[1]}; "
                "all three are given. Leave the first out, or the two others."
            )

    @functools.cached_property
    def channel_arguments(self) -> ChannelArguments:
        """What --grpc_channel_arguments changes.

        Raises:
            ConfigError: they cannot be read.
        """
        return channel_arguments.parse(self.grpc_channel_arguments)

    @property
    def intra_op_threads(self) -> int:
        """Threads within one op: the flag for it, or the one for both, or 1."""
        return self.tensorflow_intra_op_parallelism or self.tensorflow_session_parallelism or 1

    @property
    def inter_op_threads(self) -> int:
        """Ops of one request at the same time: the flag for it, or the one for both, or 1."""
        return self.tensorflow_inter_op_parallelism or self.tensorflow_session_parallelism or 1

    @property
    def tags(self) -> tuple[str, ...]:
        """Tags of the graph to load."""
        return tuple(tag.strip() for tag in self.saved_model_tags.split(",") if tag.strip())

    @property
    def tflite_interpreters(self) -> int:
        """TFLite interpreters per version."""
        return self.num_tflite_pools or os.cpu_count() or 1

    def _check_ranges(self) -> None:
        for name, low in _LOWEST.items():
            if getattr(self, name) < low:
                raise ConfigError(f"--{name} must be at least {low}, got {getattr(self, name)}.")
        for name in ("port", "rest_api_port"):
            if getattr(self, name) > _MAX_PORT:
                raise ConfigError(f"--{name} must be at most {_MAX_PORT}, got {getattr(self, name)}.")
        for name in ("request_log_sampling_rate", "per_process_gpu_memory_fraction"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"--{name} must be 0 to 1, got {getattr(self, name)}.")
        if not self.tags:
            raise ConfigError(f"--saved_model_tags must name a tag, got {self.saved_model_tags!r}. The usual is serve.")

    def _check_addresses(self) -> None:
        if not self.port and not self.grpc_socket_path and not self.rest_api_port:
            raise ConfigError("one of --port, --grpc_socket_path and --rest_api_port must be set, else nobody can ask.")
        if self.port and self.port == self.rest_api_port:
            raise ConfigError(f"--port and --rest_api_port must differ, both are {self.port}.")

    def _check_models(self) -> None:
        if not self.model_base_path and not self.model_config_file:
            raise ConfigError(
                "--model_base_path (one model) or --model_config_file (several) must be given, got neither. "
                "The base path is the folder that holds the version folders, such as serving/satellite-landcover."
            )


_LOWEST = {
    "port": 0,
    "rest_api_port": 0,
    "rest_api_timeout_in_ms": 1,
    "max_request_bytes": 1,
    "max_queue_bytes": 1,
    "drain_seconds": 0,
    "model_config_file_poll_wait_seconds": 0,
    "num_load_threads": 0,
    "max_num_load_retries": 0,
    "num_request_iterations_for_warmup": 0,
    "tensorflow_intra_op_parallelism": 0,
    "tensorflow_inter_op_parallelism": 0,
    "tensorflow_session_parallelism": 0,
    "num_tflite_pools": 0,
    "request_log_max_file_mb": 1,
    "request_log_max_file_seconds": 1,
}
