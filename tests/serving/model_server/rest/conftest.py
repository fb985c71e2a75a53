"""An HTTP server in the tests' process, on a loop in a thread of its own, and a client that speaks bytes."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import uvloop

from serving.model_server.rest.connection import Handler
from serving.model_server.rest.reader import Limits
from serving.model_server.rest.server import RestServer


class Client:
    """One connection, byte by byte."""

    def __init__(self, port: int, tls: ssl.SSLContext | None = None) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_hostname="localhost")
        self.buffer = b""

    def send(self, *parts: bytes) -> None:
        self.socket.sendall(b"".join(parts))

    def ask(self, method: str, target: str, body: bytes = b"", **headers: str) -> Response:
        lines = [f"{method} {target} HTTP/1.1", "Host: x", *(f"{k.replace('_', '-')}: {v}" for k, v in headers.items())]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        self.send("\r\n".join(lines).encode("latin-1"), b"\r\n\r\n", body)
        return self.receive(has_body=method != "HEAD")

    def receive(self, *, has_body: bool = True) -> Response:
        """Reads one response."""
        head = self._until(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines if line)
        length = int(headers.get("content-length", 0)) if has_body else 0
        while len(self.buffer) < length:
            self._more()
        body, self.buffer = self.buffer[:length], self.buffer[length:]
        return Response(int(status.split()[1]), headers, body)

    def is_closed(self) -> bool:
        """Waits for what comes next: whether that is the end."""
        try:
            return self.buffer == b"" and self.socket.recv(1) == b""
        except ConnectionResetError:
            return True

    def _until(self, end: bytes) -> bytes:
        while end not in self.buffer:
            self._more()
        head, _, self.buffer = self.buffer.partition(end)
        return head

    def _more(self) -> None:
        data = self.socket.recv(1 << 16)
        if not data:
            raise EOFError(f"the connection ended after {self.buffer!r}")
        self.buffer += data


class Response:
    """What came back."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body


class Served:
    """A server that runs, and its clients."""

    def __init__(self, loop: asyncio.AbstractEventLoop, server: RestServer) -> None:
        self.loop, self.server = loop, server
        self._open = contextlib.ExitStack()

    def client(self, tls: ssl.SSLContext | None = None) -> Client:
        client = Client(self.server.port, tls)
        self._open.callback(client.socket.close)
        return client

    def within(self, awaitable: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(awaitable, self.loop).result(30)

    def stop(self) -> None:
        self._open.close()
        self.within(self.server.stop(0))


Serve = Callable[..., Served]


@pytest.fixture(scope="session")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop that runs in a thread."""
    loop = uvloop.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


@pytest.fixture
def serve(loop: asyncio.AbstractEventLoop) -> Iterator[Serve]:
    """Starts a server: `serve(handler, tls=None, **limits)`."""
    running: list[Served] = []

    def start(handler: Handler, *, tls: ssl.SSLContext | None = None, **limits: Any) -> Served:
        async def listen() -> RestServer:
            server = RestServer(handler, Limits(**limits))
            await server.start("127.0.0.1", 0, tls)
            return server

        served = Served(loop, asyncio.run_coroutine_threadsafe(listen(), loop).result(30))
        running.append(served)
        return served

    yield start
    for served in running:
        served.stop()
