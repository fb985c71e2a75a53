"""A server as a process of its own, what it takes of memory, and clients that speak bytes to it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

REPOSITORY = Path(__file__).parents[3]
PATIENCE_S = 30.0  # whoever is answered later than this counts as hanging
_START_S = 120.0
_STATUS = re.compile(rb"HTTP/1\.1 ([0-9]{3}) ")
_LENGTH = re.compile(rb"\r\nContent-Length: ([0-9]+)\r\n")


class Process:
    """A server; `with` ends it however the test goes."""

    def __init__(self, folder: Path, *arguments: str, has_grpc: bool = True, limit_files: int = 0) -> None:
        """Starts it and waits until it listens.

        Args:
            folder: for its log.
            arguments: flags beside the ports.
            has_grpc: whether it listens for gRPC.
            limit_files: open files it may have; 0 leaves the system's limit.
        """
        self.port, self.grpc_port = free_ports(2)
        self.log = folder / f"log-{self.port}"
        ports = [f"--rest_api_port={self.port}", f"--port={self.grpc_port if has_grpc else 0}"]
        command = [sys.executable, "-m", "serving.model_server.main", *ports, *arguments]
        if limit_files:
            command = ["/bin/sh", "-c", f'ulimit -n {limit_files} && exec "$0" "$@"', *command]
        with self.log.open("wb") as file:
            self.process = subprocess.Popen(
                command, stderr=file, cwd=REPOSITORY, env=dict(os.environ, TF_CPP_MIN_LOG_LEVEL="2")
            )

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    def listening(self) -> Process:
        """Waits until it listens, and returns it."""
        end_s = time.monotonic() + _START_S
        while time.monotonic() < end_s and self.process.poll() is None:
            if self.accepts():
                return self
            time.sleep(0.05)
        raise AssertionError(self.words())

    def accepts(self) -> bool:
        """Whether the REST port takes connections."""
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True

    def words(self) -> str:
        """What it has logged."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def resident_mb(self) -> float:
        """Memory it has, MB."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def open_files(self) -> int:
        """Files and sockets it has open."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def terminate(self) -> int:
        """Ends it as an operator does; returns its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)


class Wire:
    """One connection: sends bytes, and takes responses apart."""

    def __init__(self, port: int, patience_s: float = PATIENCE_S) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=patience_s)
        self.is_over = False  # whether the server has said that it reads no more requests
        self._buffer = b""

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def ask(self, data: bytes) -> tuple[int, bytes]:
        """Sends one request; returns status and body of its answer."""
        self.socket.sendall(data)
        return self.answer()

    def answer(self) -> tuple[int, bytes]:
        """Reads one response.

        Raises:
            EOFError: the connection ended before.
        """
        while b"\r\n\r\n" not in self._buffer:
            self._more()
        head, _, rest = self._buffer.partition(b"\r\n\r\n")
        status, length = _STATUS.match(head), _LENGTH.search(head + b"\r\n")
        assert status is not None, head
        assert length is not None, head
        self._buffer = rest
        self.is_over = b"\r\nConnection: close" in head
        while len(self._buffer) < int(length[1]):
            self._more()
        body, self._buffer = self._buffer[: int(length[1])], self._buffer[int(length[1]) :]
        return int(status[1]), body

    def answers_to_the_end(self) -> list[tuple[int, bytes]]:
        """Reads responses until the server ends the connection, which it must."""
        answers = []
        while True:
            try:
                answers.append(self.answer())
            except (EOFError, ConnectionError):
                return answers

    def _more(self) -> None:
        data = self.socket.recv(1 << 18)
        if not data:
            raise EOFError(f"the connection ended after {self._buffer[:200]!r}")
        self._buffer += data


def post(target: str, body: bytes, *headers: str) -> bytes:
    """Writes a request that is good HTTP."""
    lines = [f"POST {target} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def get(target: str, *headers: str) -> bytes:
    """Writes a GET request."""
    return "\r\n".join([f"GET {target} HTTP/1.1", "Host: x", *headers]).encode("latin-1") + b"\r\n\r\n"


def ask(port: int, data: bytes) -> tuple[int, bytes]:
    """Asks over a connection of its own."""
    with Wire(port) as wire:
        return wire.ask(data)


def predict_request(model: str) -> bytes:
    """Returns the bytes of a PredictRequest with `x = [2.0]`."""
    from tensorflow_serving.apis import predict_pb2

    asked = predict_pb2.PredictRequest()
    asked.model_spec.name = model
    asked.inputs["x"].dtype = 1
    asked.inputs["x"].tensor_shape.dim.add(size=1)
    asked.inputs["x"].float_val.append(2.0)
    return bytes(asked.SerializeToString())


def models_file(path: Path, models: dict[str, Path], more: str = "") -> str:
    """Writes a model configuration file; returns the flag that names it."""
    listed = "".join(
        f'config {{ name: "{name}" base_path: "{base}" model_platform: "tensorflow" {more} }}'
        for name, base in models.items()
    )
    path.write_text(f"model_config_list {{ {listed} }}", encoding="utf-8")
    return f"--model_config_file={path}"


def free_ports(count: int) -> Sequence[int]:
    """Finds ports that nobody listens on."""
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports
