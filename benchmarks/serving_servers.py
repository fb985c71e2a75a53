"""The servers of `benchmarks/serving.py`: how each is started, and what it costs while it answers."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
PEERS = HERE / "peers"
START_S = 120.0  # what a server may take until it answers
STOP_S = 30.0
_MIB = 1 << 20


@dataclasses.dataclass(frozen=True, kw_only=True)
class System:
    """One server: its command, where it is asked, and what a request with one picture looks like."""

    name: str
    command: Callable[[int, int], list[str]]  # from the ports for REST and gRPC
    path: str
    body: Callable[[bytes], bytes]
    ready: str = ""  # a path that is answered with 200; "" asks with a picture
    has_grpc: bool = False
    folder: Path = ROOT


def systems(version: Path, peers_python: Path | None, extra: Sequence[str] = ()) -> list[System]:
    """Returns our server and, where their environment is named, the peers.

    Args:
        version: the folder of a version, below that of its model.
        peers_python: the interpreter that has the peers' packages.
        extra: further flags for our server.
    """
    name = version.parent.name
    found = [
        System(
            name="earthloop",
            command=lambda rest, grpc: [
                *(sys.executable, "-m", "serving.model_server.main"),
                *(f"--rest_api_port={rest}", f"--port={grpc}"),
                *(f"--model_name={name}", f"--model_base_path={version.parent}"),
                *extra,
            ],
            path=f"/v1/models/{name}:predict",
            body=lambda jpeg: _json(
                {"signature_name": "predict_image", "instances": [{"image": {"b64": _base64(jpeg)}}]}
            ),
            ready=f"/v1/models/{name}/metadata",
            has_grpc=True,
        )
    ]
    if peers_python is None:
        return found

    def peer(name: str, command: list[str], body: Callable[[bytes], bytes]) -> System:
        """Describes a server that takes a REST port as its last word."""
        return System(
            name=name, command=lambda rest, _: [*command, str(rest)], path="/predict", body=body, folder=PEERS
        )

    bento = [str(peers_python), "-m", "bentoml", "serve", "bentoml_service:Landcover", "--host", "127.0.0.1", "--port"]
    return [
        *found,
        peer("litserve", [str(peers_python), "litserve_server.py"], lambda jpeg: _json({"image": _base64(jpeg)})),
        peer("bentoml", bento, lambda jpeg: _json({"images": [_base64(jpeg)]})),
        peer("asyncio", [str(peers_python), "asyncio_server.py"], lambda jpeg: _json({"image": _base64(jpeg)})),
    ]


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


def _base64(jpeg: bytes) -> str:
    return base64.b64encode(jpeg).decode("ascii")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Running:
    """A started server."""

    rest_port: int
    grpc_port: int
    process: psutil.Process

    def _family(self) -> list[psutil.Process]:
        return [self.process, *self.process.children(recursive=True)]

    def cpu_s(self) -> float:
        """Returns CPU seconds of the process and its living children since they started."""
        total = 0.0
        for process in self._family():
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system
        return total

    def resident_mib(self) -> float:
        """Returns MiB of resident memory of the process and its children; shared pages count in each."""
        total = 0
        for process in self._family():
            with contextlib.suppress(psutil.NoSuchProcess):
                total += process.memory_info().rss
        return total / _MIB

    @contextlib.contextmanager
    def watched(self, every_s: float = 0.25) -> Iterator[list[float]]:
        """Yields a list to which resident memory (MiB) is added again and again while the context lasts."""
        samples, is_over = [self.resident_mib()], threading.Event()

        def sample() -> None:
            """Looks again and again until it is over."""
            while not is_over.wait(every_s):
                samples.append(self.resident_mib())

        thread = threading.Thread(target=sample, daemon=True)
        thread.start()
        try:
            yield samples
        finally:
            is_over.set()
            thread.join()


@contextlib.contextmanager
def started(system: System, version: Path, jpeg: bytes, log: Path) -> Iterator[Running]:
    """Runs a server until the context ends, and waits until it answers.

    Raises:
        SystemExit: it ended or did not answer in time; its log is named.
    """
    rest_port, grpc_port = _free_port(), _free_port()
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2", "EARTHLOOP_BENCHMARK_MODEL": str(version)}
    with log.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(
            system.command(rest_port, grpc_port),
            cwd=system.folder,
            env=environment,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    running = Running(rest_port=rest_port, grpc_port=grpc_port, process=psutil.Process(process.pid))
    try:
        _wait(system, running, process, jpeg, log)
        yield running
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            pass
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # what the peers leave behind; the session is this server's alone
        process.wait()


def _wait(system: System, running: Running, process: subprocess.Popen[bytes], jpeg: bytes, log: Path) -> None:
    until = time.monotonic() + START_S
    while not answers(system, running.rest_port, jpeg):
        if process.poll() is not None or time.monotonic() > until:
            raise SystemExit(f"{system.name} must answer within {START_S:.0f} s of its start, and did not; see {log}")
        time.sleep(0.2)


def answers(system: System, port: int, jpeg: bytes) -> bool:
    """Whether one request is answered with 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        if system.ready:
            connection.request("GET", system.ready)
        else:
            connection.request("POST", system.path, system.body(jpeg), {"Content-Type": "application/json"})
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(folder: Path, lock_name: str) -> Path:
    """Makes an environment from a lock file beside this one with uv, where it is not there yet.

    Args:
        folder: where it goes.
        lock_name: of the lock file.

    Returns:
        Its interpreter.

    Raises:
        SystemExit: there is no uv.
    """
    python = folder / "bin" / "python"
    lock = HERE / lock_name
    made_from = folder / lock.name
    if made_from.is_file() and made_from.read_bytes() == lock.read_bytes():
        return python
    uv = shutil.which("uv") or str(ROOT / ".setup" / "tools" / "bin" / "uv")
    if not Path(uv).is_file():
        raise SystemExit(f"what {lock_name} names needs uv, which `make setup` gets; run it")
    base = getattr(sys, "_base_executable", sys.executable)
    subprocess.run([uv, "venv", "--quiet", "--allow-existing", "--python", base, str(folder)], check=True)
    subprocess.run([uv, "pip", "sync", "--quiet", "--require-hashes", "--python", str(python), str(lock)], check=True)
    shutil.copyfile(lock, made_from)
    return python
