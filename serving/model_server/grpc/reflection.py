"""`grpc.reflection.v1alpha.ServerReflection`: clients such as grpcurl ask it what can be called, and how."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterable
from typing import Any

from google.protobuf import descriptor_pool
from grpc_reflection.v1alpha import reflection, reflection_pb2

from serving.model_server.grpc import calls

NAME = reflection.SERVICE_NAME


class Reflection:
    """Answers the questions of one conversation after the other."""

    def __init__(self, services: Iterable[str]) -> None:
        """Takes the names of the services that there are."""
        _describe_services()
        self._servicer = reflection.ReflectionServicer([*services, NAME], pool=_MethodPool())

    def reply(self, message: bytes) -> bytes:
        """Answers one question."""
        request = calls.parse(reflection_pb2.ServerReflectionRequest, message)
        (answer,) = self._servicer.ServerReflectionInfo(iter([request]), None)
        return bytes(answer.SerializeToString())


class _MethodPool:
    """The pool of descriptors, which also finds the file of a method: clients such as ghz ask reflection for one."""

    def __init__(self) -> None:
        self._pool = descriptor_pool.Default()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)

    def FindFileContainingSymbol(self, symbol: str) -> Any:
        """Finds the file of a message, a service or a method."""
        try:
            return self._pool.FindFileContainingSymbol(symbol)
        except KeyError:
            service, _, method = symbol.rpartition(".")
            if method not in self._pool.FindServiceByName(service).methods_by_name:
                raise
            return self._pool.FindFileContainingSymbol(service)


def _describe_services() -> None:
    """Has the descriptors of the two services in the pool, where reflection looks for them.

    Their modules are of an old generator and stumble over today's protobuf at their ends; what is wanted of them is in
    the pool by then.
    """
    for name in ("prediction_service_pb2", "model_service_pb2"):
        with contextlib.suppress(AttributeError):
            importlib.import_module(f"tensorflow_serving.apis.{name}")
