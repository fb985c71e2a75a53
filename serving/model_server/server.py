"""The embedded model server as one process: all parts put together, started, drained and stopped.

One loop reads and writes for REST and gRPC alike; models compute in the batcher's threads. A first SIGTERM or SIGINT
drains: health says no, no connection is accepted, what is there is answered, for `--drain_seconds` at most. A second
one ends the process at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gc
import importlib
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from applications.errors import EarthloopError
from serving.model_server import config_files, monitoring
from serving.model_server.auth import read_tokens
from serving.model_server.batching import Batcher, BatchingParameters
from serving.model_server.data_plane import DataPlane
from serving.model_server.grpc import server as grpc_server
from serving.model_server.loading import Loader, LoadOptions
from serving.model_server.manager import Manager, ManagerOptions
from serving.model_server.metrics import Metrics
from serving.model_server.open_files import most_connections
from serving.model_server.request_log import LogSettings, RequestLog
from serving.model_server.rest.reader import Limits
from serving.model_server.rest.routes import RestApi, RestOptions
from serving.model_server.rest.server import RestServer
from serving.model_server.saved_model import Runtime
from serving.model_server.tls import HTTP_2, server_context

if TYPE_CHECKING:
    from tensorflow_serving.config import model_server_config_pb2

    from serving.model_server.server_options import ServerOptions

_MS = 1e-3
_MICROS = 1e-6
_UNLOAD_S = 10.0  # for models to go when the server ends
_LOG = logging.getLogger(__name__)


class ModelServer:
    """A server that runs, or did."""

    def __init__(self, options: ServerOptions, loop: asyncio.AbstractEventLoop) -> None:
        """Puts the parts together; `start` starts them.

        Args:
            options: settings.
            loop: for requests.

        Raises:
            ConfigError: a file named by the settings is wrong.
        """
        self.options = options
        self.is_draining = False
        self.metrics = Metrics()
        self._loop = loop
        self._tokens = read_tokens(options.bearer_tokens_file) if options.bearer_tokens_file else None
        self._tls = config_files.read_tls(options.ssl_config_file) if options.ssl_config_file else None
        self._monitoring = (
            config_files.read_monitoring(options.monitoring_config_file)
            if options.monitoring_config_file
            else config_files.Monitoring()
        )
        self._log = _request_log(options, self.metrics)
        on_event = partial(monitoring.count_event, self.metrics)
        self.manager = Manager(Loader(_load_options(options), on_event), _manager_options(options), on_event)
        self._batcher = Batcher(_batching(options), loop, self.metrics)
        monitoring.watch(self.metrics, self.manager, self._batcher.queues)
        self.plane = DataPlane(self.manager, self._batcher, self.metrics, self._log)
        self._api = RestApi(self.plane, self._rest_options(), loop)
        self._most_connections = most_connections(Limits.max_connections)  # of each transport
        limits = Limits(max_body_bytes=options.max_request_bytes, max_connections=self._most_connections)
        self._rest = RestServer(self._api.handle, limits)
        self._grpc: grpc_server.GrpcServer | None = None
        self._reloading: asyncio.Task[None] | None = None

    @property
    def rest_port(self) -> int:
        """TCP port of REST; 0 for none."""
        return self._rest.port

    @property
    def grpc_port(self) -> int:
        """TCP port of gRPC; 0 for none."""
        return self._grpc.port if self._grpc else 0

    async def start(self, *, any_port: bool = False) -> None:
        """Loads the models, then listens.

        Args:
            any_port: both transports listen on ports that the system chooses, for tests.

        Raises:
            EarthloopError: a model cannot be loaded, or a port is taken.
        """
        options = self.options
        self.manager.start()
        await asyncio.to_thread(self.apply, self._models())
        if options.model_config_file and options.model_config_file_poll_wait_seconds:
            self._reloading = self._loop.create_task(self._reload_often())
        if options.port or options.grpc_socket_path or any_port:
            self._grpc = await grpc_server.start(self.plane, self.apply, self._grpc_options(any_port=any_port))
            _LOG.info("Running gRPC ModelServer at %s:%d ...", options.host, self._grpc.port)
        if options.rest_api_port or any_port:
            context = server_context(self._tls) if self._tls else None
            await self._listen(0 if any_port else options.rest_api_port, context)
            _LOG.info("Exporting HTTP/REST API at:%s:%d ...", options.host, self._rest.port)

    async def _listen(self, port: int, context: object) -> None:
        try:
            await self._rest.start(self.options.host, port, context)  # type: ignore[arg-type]
        except OSError as error:
            raise EarthloopError(
                f"the REST port must be free, but {self.options.host}:{port} cannot be listened on ({error}). "
                "Stop what uses it, or give another with --rest_api_port."
            ) from error

    def apply(self, config: model_server_config_pb2.ModelServerConfig, *, is_waiting: bool = True) -> None:
        """Serves the models of a configuration; waits for those that are new, so not for the loop's thread.

        Args:
            config: the models.
            is_waiting: whether to return only when those that are new answer.

        Raises:
            ServingError: as `Manager.apply`.
        """
        log = self._log
        on_accept = partial(log.apply, config) if log is not None else None
        self.manager.apply(config, is_waiting=is_waiting, on_accept=on_accept)

    async def stop(self, grace_s: float) -> None:
        """Takes nothing new, answers what is there, and frees everything.

        Args:
            grace_s: seconds that requests may still take.
        """
        self.is_draining = True
        if self._reloading is not None:
            self._reloading.cancel()
        stops = [self._rest.stop(grace_s)]
        if self._grpc is not None:
            stops.append(self._grpc.stop(grace_s))
        await asyncio.gather(*stops, return_exceptions=True)
        self._batcher.close()
        self._api.close()
        await asyncio.to_thread(self.manager.stop, _UNLOAD_S)
        if self._log is not None:
            await asyncio.to_thread(self._log.close)

    def _models(self) -> model_server_config_pb2.ModelServerConfig:
        options = self.options
        if options.model_config_file:
            return config_files.read_models(options.model_config_file)
        return config_files.one_model(options.model_name, options.model_base_path)

    async def _reload_often(self) -> None:
        """Reads the models' configuration again and again; one that is wrong changes nothing.

        It waits for no model: the next reading may be what mends a path that leads nowhere.
        """
        while True:
            await asyncio.sleep(self.options.model_config_file_poll_wait_seconds)
            try:
                await asyncio.to_thread(lambda: self.apply(self._models(), is_waiting=False))
            except EarthloopError as error:
                _LOG.error("%s stays without effect: %s", self.options.model_config_file, error)

    def _rest_options(self) -> RestOptions:
        options = self.options
        return RestOptions(
            timeout_s=options.rest_api_timeout_in_ms * _MS,
            metrics_path=self._monitoring.path if self._monitoring.is_enabled else "",
            has_cors=options.rest_api_enable_cors_support,
            tokens=self._tokens,
            is_ready=lambda: self.manager.is_ready and not self.is_draining,
            max_body_bytes=options.max_request_bytes,
        )

    def _grpc_options(self, *, any_port: bool) -> grpc_server.GrpcOptions:
        options = self.options
        arguments = options.channel_arguments
        limits = dataclasses.replace(arguments.limits, max_connections=self._most_connections)
        return grpc_server.GrpcOptions(
            port=0 if any_port else options.port,
            host=options.host,
            any_port=any_port,
            socket_path=options.grpc_socket_path,
            tls=server_context(self._tls, HTTP_2) if self._tls else None,
            accepts=self._tokens.accept if self._tokens else None,
            max_message_bytes=options.max_request_bytes,
            arguments=dataclasses.replace(arguments, limits=limits),
            as_tensor_content=options.enable_serialization_as_tensor_content,
            has_health=options.enable_grpc_healthcheck_service,
            reads_ids=self._log is not None,
        )


def run(options: ServerOptions, on_start: Callable[[ModelServer], None] | None = None) -> None:
    """Serves until SIGTERM or SIGINT.

    Args:
        options: settings.
        on_start: called with the server when it answers.

    Raises:
        EarthloopError: the server cannot start.
    """
    import uvloop

    for warning in options.warnings:
        _LOG.warning("%s", warning)
    _import_tensorflow()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(options, on_start))


def _import_tensorflow() -> None:
    """Imports what all models need, and spares the garbage collector from going through it ever again.

    Each time it did, nobody was answered for 0.2 s. Models are loaded later, so they are still collected when they go.
    """
    importlib.import_module("tensorflow")
    gc.collect()
    gc.freeze()


async def _serve(options: ServerOptions, on_start: Callable[[ModelServer], None] | None) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, partial(_end, ended, number))
    server = ModelServer(options, loop)
    try:
        starting, ending = loop.create_task(server.start()), loop.create_task(ended.wait())
        await asyncio.wait({starting, ending}, return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            _LOG.info("told to end before all models were loaded")
            starting.cancel()
            return
        starting.result()
        if on_start is not None:
            on_start(server)
        await ending
        _LOG.info("draining for at most %d s", options.drain_seconds)
    finally:
        await server.stop(options.drain_seconds)


@contextlib.asynccontextmanager
async def serving(options: ServerOptions, *, any_port: bool = False) -> AsyncIterator[ModelServer]:
    """Runs a server in the running loop, and drains it at the end.

    Args:
        options: settings.
        any_port: for tests, as in `ModelServer.start`.

    Raises:
        EarthloopError: it cannot start.
    """
    server = ModelServer(options, asyncio.get_running_loop())
    try:
        await server.start(any_port=any_port)
        yield server
    finally:
        await server.stop(options.drain_seconds)


def _end(ended: asyncio.Event, number: int) -> None:
    if ended.is_set():
        os._exit(128 + number)
    ended.set()


def _batching(options: ServerOptions) -> BatchingParameters:
    parameters = (
        config_files.read_batching(options.batching_parameters_file)
        if options.batching_parameters_file
        else BatchingParameters()
    )
    return dataclasses.replace(
        parameters, max_queue_bytes=options.max_queue_bytes, batches_requests=options.batch_requests
    )


def _load_options(options: ServerOptions) -> LoadOptions:
    return LoadOptions(
        runtime=Runtime(
            tags=options.tags,
            intra_op_threads=options.intra_op_threads,
            inter_op_threads=options.inter_op_threads,
            gpu_memory_fraction=options.per_process_gpu_memory_fraction,
        ),
        is_manifest_required=options.require_manifest,
        prefers_tflite=options.prefer_tflite_model,
        tflite_interpreters=options.tflite_interpreters,
        is_warm_up_enabled=options.enable_model_warmup,
        warm_up_iterations=options.num_request_iterations_for_warmup or 1,
    )


def _manager_options(options: ServerOptions) -> ManagerOptions:
    return ManagerOptions(
        poll_wait_s=options.file_system_poll_wait_seconds,
        load_threads=options.num_load_threads or 1,
        max_load_retries=options.max_num_load_retries,
        retry_interval_s=options.load_retry_interval_micros * _MICROS,
        are_early_labels_allowed=options.allow_version_labels_for_unavailable_models,
    )


def _request_log(options: ServerOptions, metrics: Metrics) -> RequestLog | None:
    """Returns the log where there is a folder for it, or where a model's own `logging_config` may name files."""
    if not options.request_log_dir and not options.model_config_file:
        return None
    return RequestLog(
        LogSettings(
            folder=Path(options.request_log_dir) if options.request_log_dir else None,
            sampling_rate=options.request_log_sampling_rate,
            max_file_bytes=options.request_log_max_file_mb * 1_000_000,
            max_file_s=options.request_log_max_file_seconds,
        ),
        metrics,
    )
