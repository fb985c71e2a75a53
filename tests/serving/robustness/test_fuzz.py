"""Malformed requests, many: each is refused or answered in time, none is called the server's fault, nothing is left.

The cases come from a seed, so a failure comes again; its message names the case. `FUZZ_SEED` is the only knob.
"""

from __future__ import annotations

import asyncio
import collections
import logging
import random
import socket
import threading
from collections.abc import Iterator

import grpc
import pytest
import uvloop

from serving.model_server import flags
from serving.model_server.server import ModelServer, serving
from tests.serving.robustness import grpc_cases, rest_cases
from tests.serving.robustness.servers import PATIENCE_S, Process, Wire, ask, models_file, post

FUZZ_SEED = 20_240_817
QUESTIONS, NOISES, CALLS = 75_000, 10_000, 25_000  # together more than 10⁵
FEW_QUESTIONS, FEW_NOISES, FEW_CALLS = 1_600, 200, 400
PIPELINED = 16  # requests sent before the first answer is read; the server takes 32
AT_ONCE = 32  # gRPC calls
MAX_GROWTH_MB = 30.0
_OUR_FAULT = {
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.DATA_LOSS,
}
_LOG = logging.getLogger(__name__)
_GOOD = post("/v1/models/half:predict", b'{"instances": [2.0]}')


@pytest.fixture(scope="module")
def here(models, tmp_path_factory) -> Iterator[ModelServer]:
    """A server in this process, which starts sooner."""
    options = flags.parse([models_file(tmp_path_factory.mktemp("here") / "models", models), "--drain_seconds=1"])
    loop = uvloop.new_event_loop()
    started: list[ModelServer] = []
    is_started, is_over = threading.Event(), asyncio.Event()

    async def serve() -> None:
        async with serving(options, any_port=True) as running:
            started.append(running)
            is_started.set()
            await is_over.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    assert is_started.wait(60)
    yield started[0]
    loop.call_soon_threadsafe(is_over.set)
    thread.join(30)


def test_some_malformed_rest_requests_are_the_clients_fault(here):
    codes = ask_questions(here.rest_port, FUZZ_SEED, FEW_QUESTIONS) + send_noise(here.rest_port, FUZZ_SEED, FEW_NOISES)
    assert sum(codes.values()) >= FEW_QUESTIONS
    assert {200, 400, 404} <= codes.keys()
    assert ask(here.rest_port, _GOOD) == (200, b'{"predictions": [4.0]}')


def test_some_malformed_grpc_calls_are_the_clients_fault(here):
    codes = make_calls(here.grpc_port, FUZZ_SEED, FEW_CALLS)
    assert {grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND} <= codes.keys()
    assert ask(here.rest_port, _GOOD) == (200, b'{"predictions": [4.0]}')


@pytest.mark.slow
def test_a_hundred_thousand_malformed_requests_leave_the_server_as_it_was(models, tmp_path):
    with Process(tmp_path, models_file(tmp_path / "models", models)) as process:
        process.listening()
        for seed in (1, 2):  # caches and pools fill
            all_kinds(process, seed, QUESTIONS // 20, NOISES // 20, CALLS // 20)
        before_mb, before_files = process.resident_mb(), process.open_files()
        codes = all_kinds(process, FUZZ_SEED, QUESTIONS, NOISES, CALLS)
        after_mb = process.resident_mb()
        assert process.process.poll() is None
        assert ask(process.port, _GOOD) == (200, b'{"predictions": [4.0]}')
        assert process.open_files() <= before_files + 2
        _LOG.info("%s; resident: %.0f MB before, %.0f MB after", dict(codes), before_mb, after_mb)
        assert after_mb < before_mb + MAX_GROWTH_MB
        assert process.terminate() == 0
    assert "Traceback" not in process.words()


@pytest.mark.slow
def test_noise_on_the_grpc_port_ends_connections_and_nothing_else(server):
    rng = random.Random(FUZZ_SEED)
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    for number in range(300):
        frame = rng.randbytes(rng.choice((1, 9, 60, 400)))
        noise = (preface if rng.random() < 0.7 else b"") + frame
        with socket.create_connection(("127.0.0.1", server.grpc_port), timeout=PATIENCE_S) as connection:
            connection.sendall(noise)
            connection.shutdown(socket.SHUT_WR)
            _read_to_the_end(connection, f"noise {number} on gRPC")
    make_calls(server.grpc_port, FUZZ_SEED, 50)


def all_kinds(process: Process, seed: int, questions: int, noises: int, calls: int) -> collections.Counter:
    """Sends all kinds of malformed requests; returns how often each code was answered."""
    return (
        ask_questions(process.port, seed, questions)
        + send_noise(process.port, seed, noises)
        + make_calls(process.grpc_port, seed, calls)
    )


def ask_questions(port: int, seed: int, count: int) -> collections.Counter:
    """Asks over one connection, which each question must leave open."""
    rng = random.Random(seed)
    codes: collections.Counter = collections.Counter()
    with Wire(port) as wire:
        for start in range(0, count, PIPELINED):
            batch = [rest_cases.question(rng) for _ in range(min(PIPELINED, count - start))]
            wire.socket.sendall(b"".join(batch))
            for data in batch:
                try:
                    status, body = wire.answer()
                except (EOFError, OSError) as error:
                    raise AssertionError(f"{error!r} in place of an answer, among {batch}") from error
                assert status < 500 or b"is not supported; use GET or POST" in body, (data, status, body)
                assert status == 200 or body.startswith(b'{\n    "error": "'), (data, status, body)
                codes[status] += 1
    return codes


def send_noise(port: int, seed: int, count: int) -> collections.Counter:
    """Sends what is hardly HTTP, each over a connection of its own, and waits for its end."""
    rng = random.Random(seed)
    codes: collections.Counter = collections.Counter()
    for _ in range(count):
        noise = rest_cases.noise(rng)
        with Wire(port) as wire:
            try:
                wire.socket.sendall(noise)
                wire.socket.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # refused before it was sent whole
            answers = wire.answers_to_the_end()
        for status, body in answers:
            assert status < 500 or b"is not supported; use GET or POST" in body, (noise, status, body)
            codes[status] += 1
        codes["closed"] += not answers
    return codes


def make_calls(port: int, seed: int, count: int) -> collections.Counter:
    """Calls over gRPC."""
    rng = random.Random(seed)
    codes: collections.Counter = collections.Counter()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        for start in range(0, count, AT_ONCE):
            cases = [grpc_cases.case(rng) for _ in range(min(AT_ONCE, count - start))]
            calls = [channel.unary_unary(method).future(data, timeout=PATIENCE_S) for method, data in cases]
            for case, call in zip(cases, calls, strict=True):
                assert call.code() not in _OUR_FAULT, (case, call.code(), call.details())
                codes[call.code()] += 1
    return codes


def _read_to_the_end(connection: socket.socket, what: str) -> None:
    try:
        while connection.recv(1 << 16):
            pass
    except ConnectionError:
        pass
    except TimeoutError as error:
        raise AssertionError(f"{what} keeps its connection open") from error
