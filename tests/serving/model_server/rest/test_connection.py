from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving.model_server.rest.connection import Connection
from serving.model_server.rest.messages import Request, Response
from serving.model_server.rest.reader import Limits
from serving.model_server.rest.server import RestServer

GET = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
CHUNKED = b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
POST = b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"


def echo(request: Request, respond: Callable[[Response], None]) -> None:
    """Answers at once with what came."""
    seen = {"method": request.method, "target": request.target, "body": request.body.decode("latin-1")}
    respond(Response(200, json.dumps(seen).encode()))


class Later:
    """Keeps requests until the test answers them."""

    def __init__(self) -> None:
        self.open: list[tuple[Request, Callable[[Response], None]]] = []
        self.cancelled: list[str] = []

    def __call__(self, request: Request, respond: Callable[[Response], None]) -> Callable[[], None]:
        self.open.append((request, respond))
        return lambda: self.cancelled.append(request.target)

    def answer(self, served: Any, body: bytes = b"done") -> None:
        _, respond = self.open.pop(0)
        served.loop.call_soon_threadsafe(respond, Response(200, body))


@pytest.fixture
def wait() -> Callable[[Callable[[], object]], None]:
    def wait(holds: Callable[[], object]) -> None:
        for _ in range(4000):
            if holds():
                return
            time.sleep(0.005)
        raise AssertionError("it does not become true")

    return wait


def seen(response: Any) -> Any:
    return json.loads(response.body)


def error(response: Any) -> str:
    return json.loads(response.body)["error"]


def test_a_connection_is_kept_and_each_request_answered(serve):
    client = serve(echo).client()
    for body in (b"", b"one", b"two"):
        response = client.ask("POST", "/a?b=c", body)
        assert response.status == 200
        assert seen(response) == {"method": "POST", "target": "/a?b=c", "body": body.decode()}
        assert response.headers["content-type"] == "application/json"
        assert response.headers["date"].endswith(" gmt")


def test_pipelined_requests_are_answered_in_order_one_at_a_time(serve, wait):
    later = Later()
    served = serve(later)
    client = served.client()
    client.send(*(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % n for n in range(3)))
    for number in range(3):
        wait(lambda: later.open)
        assert [request.target for request, _ in later.open] == [f"/{number}"]
        later.answer(served, b"%d" % number)
        assert client.receive().body == b"%d" % number


def test_hundreds_of_pipelined_requests_are_answered(serve):
    client = serve(echo, max_pipelined=4).client()
    client.send(*(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % n for n in range(500)))
    assert [seen(client.receive())["target"] for _ in range(500)] == [f"/{n}" for n in range(500)]


def test_a_request_may_come_byte_by_byte(serve):
    client = serve(echo).client()
    for byte in POST % 3 + b"abc":
        client.send(bytes([byte]))
    assert seen(client.receive())["body"] == "abc"


def test_chunked_bodies_with_extensions_and_trailers_are_read(serve):
    client = serve(echo).client()
    client.send(
        b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\nTrailer: x\r\n\r\n",
        GET,
    )
    assert seen(client.receive())["body"] == "abcde"
    assert seen(client.receive())["method"] == "GET"


def test_continue_is_sent_before_the_body_is(serve):
    client = serve(echo).client()
    client.send(b"POST /a HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
    assert client.receive().status == 100
    client.send(b"abc")
    assert seen(client.receive())["body"] == "abc"


def test_http_1_0_is_answered_and_closed_unless_it_asks_to_be_kept(serve):
    served = serve(echo)
    client = served.client()
    client.send(b"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert client.receive().headers["connection"] == "keep-alive"
    client.send(b"GET /a HTTP/1.0\r\n\r\n")
    assert client.receive().headers["connection"] == "close"
    assert client.is_closed()


def test_connection_close_is_honoured(serve):
    client = serve(echo).client()
    assert client.ask("GET", "/a", Connection="close").headers["connection"] == "close"
    assert client.is_closed()


def test_head_gives_the_length_and_no_body(serve):
    client = serve(echo).client()
    assert int(client.ask("HEAD", "/a").headers["content-length"]) > 10
    assert client.ask("GET", "/b").status == 200


@pytest.mark.parametrize(
    "raw",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"HELLO\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /a HTTP/9.9\r\n\r\n",
        b"GET /a HTTP/1.1\r\nNo colon\r\n\r\n",
        b"GET /a HTTP/1.1\r\nA\x00b: c\r\n\r\n",
        b"POST /a HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /a HTTP/1.1\r\nContent-Length: 1x\r\n\r\n",
        b"POST /a HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"POST /a HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_what_is_no_http_is_a_bad_request_and_ends_the_connection(serve, raw):
    client = serve(echo).client()
    client.send(raw)
    response = client.receive()
    assert response.status == 400
    assert error(response).startswith("Malformed HTTP request: ")
    assert client.is_closed()


def test_requests_before_a_bad_one_are_answered_first(serve):
    client = serve(echo).client()
    client.send(GET, GET, b"BAD\r\n\r\n")
    assert [client.receive().status for _ in range(3)] == [200, 200, 400]


H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n"


@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_who_asks_for_another_protocol_is_answered_in_this_one_body_and_all(serve, step):
    client = serve(echo).client()
    get, post = GET.replace(b"Host: x\r\n", H2C), POST.replace(b"Host: x\r\n", H2C) % 3
    chunked = CHUNKED.replace(b"\r\n\r\n", b"\r\n" + H2C + b"\r\n") + b"2\r\nde\r\n0\r\n\r\n"
    sent = post + b"abc" + get + chunked + GET
    for start in range(0, len(sent), step):
        client.send(sent[start : start + step])
    found = [seen(client.receive()) for _ in range(4)]
    assert [one["method"] + one["body"] for one in found] == ["POSTabc", "GET", "POSTde", "GET"]


def test_a_request_for_a_tunnel_is_refused(serve):
    client = serve(echo).client()
    client.send(b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n")
    response = client.receive()
    assert (response.status, error(response)) == (400, "this server is no proxy: CONNECT is not supported")


def test_what_comes_after_the_body_is_no_header(serve):
    found = []

    def keep(request: Request, respond: Callable[[Response], None]) -> None:
        found.append(request.headers)
        respond(Response(200, b""))

    client = serve(keep).client()
    client.send(CHUNKED, b"3\r\nabc\r\n0\r\nAuthorization: Bearer x\r\nContent-Encoding: gzip\r\n\r\n")
    client.receive()
    assert found == [{b"transfer-encoding": b"chunked"}]


@pytest.mark.parametrize(
    ("raw", "status", "words"),
    [
        (b"GET /" + b"a" * 5000, 431, "request line and headers must be at most 4096 bytes"),
        (b"GET /a HTTP/1.1\r\nA: " + b"a" * 5000, 431, "request line and headers must be at most 4096 bytes"),
        (b"GET /a HTTP/1.1\r\n" + b"A: b\r\n" * 12, 431, "a request must have at most 10 headers"),
        (POST % 1001, 413, "the body must be at most 1000 bytes, got 1001"),
        (
            CHUNKED + b"100\r\n" + b"a" * 256 + b"\r\n" + b"300\r\n" + b"a" * 768,
            413,
            "the body must be at most 1000 bytes",
        ),
        (
            CHUNKED + b"1;" + b"x" * 7000,
            413,
            "the request must be at most 1000 bytes",
        ),
    ],
)  # fmt: skip
def test_what_is_too_large_is_refused_before_it_is_read(serve, raw, status, words):
    client = serve(echo, max_head_bytes=4096, max_headers=10, max_body_bytes=1000).client()
    client.send(raw)
    response = client.receive()
    assert (response.status, error(response)) == (status, words)
    assert response.headers["connection"] == "close"


def test_a_client_that_still_sends_what_was_refused_can_read_why(serve):
    client = serve(echo, max_body_bytes=1000, linger_s=5).client()
    client.send(POST % 50_000_000)
    for _ in range(100):
        client.send(b"a" * 10_000)
    assert client.receive().status == 413


def test_a_body_of_the_largest_size_is_read(serve):
    client = serve(echo, max_body_bytes=1000).client()
    assert len(seen(client.ask("POST", "/a", b"x" * 1000))["body"]) == 1000


def test_all_connections_together_hold_no_more_than_they_may(serve, wait):
    served = serve(echo, max_total_bytes=3000)
    first, second = served.client(), served.client()
    first.send(POST % 2500, b"a" * 2000)
    wait(lambda: served.server.body_bytes == 2000)
    second.send(POST % 2500, b"b" * 2000)
    response = second.receive()
    assert (response.status, error(response)) == (503, "requests of 3000 bytes are being read already")
    wait(lambda: len(served.server.connections) == 1)
    first.send(b"a" * 500)
    assert len(seen(first.receive())["body"]) == 2500
    assert served.client().ask("POST", "/a", b"c" * 2500).status == 200
    wait(lambda: served.server.body_bytes == 0)


def test_a_connection_that_is_never_without_a_request_holds_those_alone_that_wait(serve, wait):
    later = Later()
    served = serve(later)
    client = served.client()
    client.send(POST % 1000, b"x" * 1000)
    for _ in range(20):
        client.send(POST % 1000, b"x" * 1000)
        wait(lambda: served.server.body_bytes == 2000)
        later.answer(served)
        client.receive()
    assert served.server.body_bytes == 1000


def test_headers_that_come_too_slowly_time_out(serve):
    client = serve(echo, head_timeout_s=0.1).client()
    client.send(b"GET /a HTTP/1.1\r\nHost:")
    response = client.receive()
    assert (response.status, error(response)) == (408, "the request's head was not sent in time")
    assert client.is_closed()


def test_headers_one_by_one_do_not_win_time(serve):
    client = serve(echo, head_timeout_s=0.3).client()
    client.send(b"GET /a HTTP/1.1\r\n")
    client.socket.settimeout(0.05)
    for number in range(200):
        try:
            client.send(b"A%d: b\r\n" % number)
            if client.socket.recv(1, socket.MSG_PEEK):
                break
        except TimeoutError:
            continue
    client.socket.settimeout(20)
    assert client.receive().status == 408


def test_a_body_that_comes_too_slowly_times_out(serve):
    client = serve(echo, body_timeout_s=0.1).client()
    client.send(POST % 10, b"abc")
    response = client.receive()
    assert (response.status, error(response)) == (408, "the request's body was not sent in time")


def test_an_idle_connection_is_closed_without_a_word(serve):
    client = serve(echo, idle_timeout_s=0.1).client()
    assert client.ask("GET", "/a").status == 200
    assert client.is_closed()


def test_a_slow_answer_does_not_time_out(serve, wait):
    later = Later()
    served = serve(later, idle_timeout_s=0.05, head_timeout_s=0.05, body_timeout_s=0.05)
    client = served.client()
    client.send(GET)
    wait(lambda: later.open)
    time.sleep(0.6)
    later.answer(served)
    assert client.receive().body == b"done"


def test_a_half_closed_connection_gets_its_answers(serve, wait):
    later = Later()
    served = serve(later)
    client = served.client()
    client.send(GET, GET)
    client.socket.shutdown(socket.SHUT_WR)
    for _ in range(2):
        wait(lambda: later.open)
        later.answer(served)
        assert client.receive().body == b"done"
    assert client.is_closed()


def test_a_half_closed_connection_without_a_request_is_closed(serve):
    client = serve(echo).client()
    client.send(b"GET /a HTTP/1.1\r\n")
    client.socket.shutdown(socket.SHUT_WR)
    assert client.is_closed()


def test_a_client_that_goes_away_cancels_its_request(serve, wait):
    later = Later()
    served = serve(later)
    client = served.client()
    client.send(GET)
    wait(lambda: later.open)
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.socket.close()
    wait(lambda: later.cancelled)
    assert later.cancelled == ["/a"]
    later.answer(served)  # into nothing
    assert served.client().ask


def test_a_connection_too_many_is_told_so(serve, wait):
    served = serve(echo, max_connections=1)
    first = served.client()
    assert first.ask("GET", "/a").status == 200
    response = served.client().receive()
    assert (response.status, error(response)) == (503, "the server has 1 connections already")
    assert first.ask("GET", "/a").status == 200


def test_a_client_that_reads_nothing_does_not_fill_memory_and_is_cut_off(serve, wait):
    answered = []

    def large(request: Request, respond: Callable[[Response], None]) -> None:
        answered.append(request.target)
        respond(Response(200, b"x" * (1 << 20)))

    served = serve(large, write_timeout_s=0.3, max_pipelined=4)
    client = served.client()
    client.send(*[GET] * 200)
    wait(lambda: not served.server.connections)
    assert len(answered) < 50


@pytest.mark.parametrize("last", [GET, GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")])
def test_a_connection_that_is_to_end_does_not_wait_for_ever_for_its_client_to_read(serve, wait, last):
    def large(request: Request, respond: Callable[[Response], None]) -> None:
        respond(Response(200, b"x" * (16 << 20)))

    served = serve(large, write_timeout_s=0.3, idle_timeout_s=0.3, write_buffer_bytes=32 << 20, body_rate=32 << 20)
    client = served.client()
    client.send(last)
    wait(lambda: served.server.connections)
    wait(lambda: not served.server.connections)
    assert client.socket.recv(8) == b"HTTP/1.1"


class Unread:
    """A transport whose client takes as much as the test says."""

    def __init__(self) -> None:
        self.unsent, self.is_aborted = 0, False

    def write(self, data: bytes) -> None:
        self.unsent += len(data)

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def set_write_buffer_limits(self, high: int) -> None:
        del high

    def close(self) -> None:
        """What is unsent is sent before."""

    def abort(self) -> None:
        self.is_aborted = True


def test_a_client_that_reads_slowly_is_waited_for_as_long_as_it_reads():
    def large(request: Request, respond: Callable[[Response], None]) -> None:
        respond(Response(200, b"x" * (16 << 20)))

    loop, transport = asyncio.new_event_loop(), Unread()
    server = RestServer(large, Limits(write_timeout_s=30, body_rate=64 << 10))
    connection = Connection(server, loop)
    connection.connection_made(transport)
    connection.data_received(GET)
    now = loop.time()
    for _ in range(60):  # 256 KiB every 2 s: two minutes in all, where 30 s are allowed without a byte
        now += 2
        transport.unsent -= 256 << 10
        connection.check(now)
        assert not transport.is_aborted
    connection.check(now + 1000)
    assert transport.is_aborted
    loop.close()


def test_a_handler_that_fails_is_an_internal_error_without_details(serve):
    def fail(request: Request, respond: Any) -> None:
        raise ValueError("secret")

    client = serve(fail).client()
    response = client.ask("GET", "/a")
    assert (response.status, error(response)) == (500, "internal error; the server's log tells more")
    assert client.ask("GET", "/a").status == 500


def test_stopping_answers_what_is_there_and_closes_what_is_idle(serve, wait):
    later = Later()
    served = serve(later)
    idle, busy = served.client(), served.client()
    busy.send(GET)
    wait(lambda: later.open)
    stopping = asyncio.run_coroutine_threadsafe(served.server.stop(20), served.loop)
    assert idle.is_closed()
    with pytest.raises(ConnectionError):
        served.client()
    later.answer(served)
    response = busy.receive()
    assert (response.body, response.headers["connection"]) == (b"done", "close")
    assert busy.is_closed()
    stopping.result(20)


FUZZED: dict[str, Any] = {}  # one server for all examples
PIECES = st.sampled_from(
    [
        *(b"GET ", b"POST ", b"/v1", b" HTTP/1.1\r\n", b"\r\n", b"\r\n\r\n", b"\x00", b"\xff\xfe", b":", b" "),
        *(b"Host: x\r\n", b"Content-Length: 5\r\n", b"hello", b"Transfer-Encoding: chunked\r\n"),
        *(b"5\r\nhello\r\n", b"0\r\n\r\n", b"Expect: 100-continue\r\n"),
    ]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
@given(pieces=st.lists(PIECES | st.binary(max_size=8), max_size=12))
def test_whatever_is_sent_the_server_goes_on(serve, pieces):
    served = FUZZED.get("server") or FUZZED.setdefault("server", serve(echo))
    client = served.client()
    client.send(*pieces)
    client.socket.shutdown(socket.SHUT_WR)
    with contextlib.suppress(ConnectionResetError):  # bytes after the end that nobody has read
        while data := client.socket.recv(1 << 16):
            client.buffer += data
    for line in client.buffer.split(b"\r\n"):
        if line.startswith(b"HTTP/1.1 "):
            assert line.split()[1] in {b"200", b"400", b"100", b"431", b"413"}
    assert served.client().ask("GET", "/a").status == 200
