"""A gRPC server in the tests' process, on a loop in a thread of its own, as the real one runs."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import grpc
import pytest
import uvloop

from serving.model_server.batching import Batcher, BatchingParameters
from serving.model_server.data_plane import DataPlane
from serving.model_server.grpc.server import GrpcOptions, GrpcServer, start
from serving.model_server.manager import Manager, ManagerOptions
from serving.model_server.metrics import Metrics


@dataclasses.dataclass
class Running:
    """A server that runs, and its parts."""

    server: GrpcServer
    manager: Manager
    metrics: Metrics
    loop: asyncio.AbstractEventLoop
    channel: grpc.Channel

    def call(self, service: str, method: str, request: Any, response_class: Any, **more: Any) -> Any:
        """Calls a method of one of TensorFlow Serving's services."""
        ask = self.channel.unary_unary(
            f"/tensorflow.serving.{service}/{method}",
            request_serializer=lambda one: one if isinstance(one, bytes) else one.SerializeToString(),
            response_deserializer=response_class.FromString,
        )
        return ask(request, timeout=more.pop("timeout", 20), **more)

    def within(self, awaitable: Any) -> Any:
        """Runs something in the server's loop."""
        return asyncio.run_coroutine_threadsafe(awaitable, self.loop).result(30)


Serve = Callable[..., Running]


class Servers:
    """Starts servers and stops them in the end."""

    def __init__(self) -> None:
        self._loop = uvloop.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self._running: list[tuple[Running, Batcher]] = []

    def __call__(
        self,
        load: Any,
        config: Any,
        *,
        batching: Mapping[str, Any] | None = None,
        log: Any = None,
        address: str = "",
        **options: Any,
    ) -> Running:
        """Serves a configuration; options are GrpcOptions'."""
        manager = _manager(load)
        manager.apply(config)
        metrics = Metrics()

        async def begin() -> tuple[GrpcServer, Batcher]:
            batcher = Batcher(BatchingParameters(**(batching or {})), self._loop, metrics)
            plane = DataPlane(manager, batcher, metrics, log)
            settings = GrpcOptions(**{"port": 0, "any_port": True, "reads_ids": log is not None, **options})
            return await start(plane, manager.apply, settings), batcher

        server, batcher = asyncio.run_coroutine_threadsafe(begin(), self._loop).result(30)
        channel = grpc.insecure_channel(address or f"127.0.0.1:{server.port}")
        running = Running(server, manager, metrics, self._loop, channel)
        self._running.append((running, batcher))
        return running

    def close(self) -> None:
        """Stops all."""
        for running, batcher in self._running:
            running.channel.close()
            running.within(running.server.stop(0))
            self._loop.call_soon_threadsafe(batcher.close)
            running.manager.stop(5)
        self._loop.call_soon_threadsafe(self._loop.stop)


def _manager(load: Any) -> Manager:
    manager = Manager(load, ManagerOptions(poll_wait_s=0.05, max_load_retries=0))
    manager.start()
    return manager


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serves a configuration for one test: `serve(load, config, **GrpcOptions)`."""
    servers = Servers()
    yield servers
    servers.close()


@pytest.fixture(scope="session")
def load_saved_model() -> Callable[[str, int, Path], Any]:
    """Loads a version as the server does."""
    from serving.model_server.saved_model import Runtime, SavedModelServable

    runtime = Runtime()
    return lambda name, version, folder: SavedModelServable(name, version, folder, runtime)


@pytest.fixture(scope="module")
def running(
    load_saved_model: Any, half_plus_two: Path, labelled: Path, text: Path, echo: Path, work: Path
) -> Iterator[Running]:
    """A server of all the tiny models, for tests that change nothing."""
    from google.protobuf import text_format
    from tensorflow_serving.config import model_server_config_pb2

    more = {
        "half_plus_two": "model_version_policy { all {} } version_labels { key: 'stable' value: 1 } "
        "version_labels { key: 'canary' value: 2 }"
    }
    listed = "".join(
        f'config {{ name: "{path.name}" base_path: "{path}" model_platform: "tensorflow" {more.get(path.name, "")} }}'
        for path in (half_plus_two, labelled, text, echo, work)
    )
    first = text_format.Parse(
        f"model_config_list {{ {listed.replace(more['half_plus_two'], 'model_version_policy { all {} }')} }}",
        model_server_config_pb2.ModelServerConfig(),
    )
    servers = Servers()
    found = servers(load_saved_model, first)
    found.manager.apply(
        text_format.Parse(f"model_config_list {{ {listed} }}", model_server_config_pb2.ModelServerConfig())
    )
    yield found
    servers.close()
