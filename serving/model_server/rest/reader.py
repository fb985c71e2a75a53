"""Puts requests together from what comes over a connection, and refuses what is too large or no HTTP."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable

import httptools

from serving.model_server.rest.messages import Request


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """What one client may ask of the server's memory and patience."""

    max_body_bytes: int = 64 << 20
    max_total_bytes: int = 1 << 30  # of all connections' requests that are not answered yet
    max_head_bytes: int = 64 << 10  # request line and headers
    max_headers: int = 100
    max_pipelined: int = 32  # requests of one connection that wait for the one before them
    max_connections: int = 4096
    head_timeout_s: float = 10.0  # from the first byte of a request to the end of its headers
    body_timeout_s: float = 20.0  # for a body, and one second more for each `body_rate` bytes that have come
    body_rate: int = 64 << 10  # bytes/s, of requests and responses
    idle_timeout_s: float = 75.0  # between requests
    write_timeout_s: float = 30.0  # to take responses, and one second more for each `body_rate` bytes that are taken
    linger_s: float = 2.0  # for a client to stop sending what was refused
    write_buffer_bytes: int = 1 << 20  # of responses that a client does not take, before its requests wait


class HttpError(Exception):
    """A request that cannot be read on; the connection ends with this status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Part(enum.Enum):
    """What of a request is expected next."""

    START = "start"
    HEAD = "head"
    BODY = "body"


class RequestReader:
    """Reads the requests of one connection.

    Attributes:
        part: what is expected next.
        failure: why no more can be read; requests that were whole before it are good.
        began_s: when `part` became what it is; the body's time does not begin anew with each piece.
        body_bytes: of the body that have come.
        wants_continue: the client waits for `100 Continue` before it sends the body.
    """

    def __init__(self, limits: Limits, now: Callable[[], float]) -> None:
        self.part = Part.START
        self.failure: HttpError | None = None
        self.began_s = now()
        self.body_bytes = 0
        self.wants_continue = False
        self._limits = limits
        self._now = now
        self._parser = httptools.HttpRequestParser(self)
        self._done: list[Request] = []
        self._target = b""
        self._headers: dict[bytes, bytes] = {}
        self._header_count = 0
        self._body: list[bytes] = []
        self._part_bytes = 0  # that have come since it began

    def feed(self, data: bytes) -> list[Request]:
        """Takes what has come and returns the requests that are whole now; see `failure` then."""
        if self.failure is None:
            self._feed(data)
        done, self._done = self._done, []
        return done

    def _feed(self, data: bytes) -> None:
        try:
            self._parse(data)
        except httptools.HttpParserError as error:
            self.failure = self.failure or HttpError(400, f"Malformed HTTP request: {error}")
        # Where a part began is not known to the byte: what came together with a whole request before it is not counted.
        self._part_bytes += 0 if self._done else len(data)
        if self.part is Part.HEAD and self._part_bytes > self._limits.max_head_bytes:
            self._fail(431, f"request line and headers must be at most {self._limits.max_head_bytes} bytes")
        # Extensions and trailers of chunks are no body, but they take time and memory.
        if self.part is Part.BODY and self._part_bytes > 2 * self._limits.max_body_bytes + self._limits.max_head_bytes:
            self._fail(413, f"the request must be at most {self._limits.max_body_bytes} bytes")

    def _parse(self, data: bytes) -> None:
        """Has the parser read; who asks for another protocol, as Java's client does at first, is answered in this one.

        The parser takes what follows such a request for the other protocol's, the request's own body too. So the
        request is read again, without that wish.
        """
        rest: bytes | memoryview = data
        while True:
            try:
                self._parser.feed_data(rest)
                return
            except httptools.HttpParserUpgrade as upgrade:
                request = self._done.pop()
                if request.method == "CONNECT":
                    self._fail(400, "this server is no proxy: CONNECT is not supported")
                    return
                rest = memoryview(rest)[upgrade.args[0] :]
                headers = [b"%b: %b\r\n" % header for header in request.headers.items() if header[0] != b"upgrade"]
                head = b"%b %b HTTP/%b\r\n%b\r\n" % (
                    request.method.encode(), self._target, self._parser.get_http_version().encode(), b"".join(headers)
                )  # fmt: skip
                self._parser = httptools.HttpRequestParser(self)
                self._parser.feed_data(head)

    def _fail(self, status: int, message: str) -> None:
        if self.failure is None:
            self.failure = HttpError(status, message)

    def _enter(self, part: Part) -> None:
        self.part = part
        self.began_s = self._now()
        self._part_bytes = 0

    # What follows is called by the parser. An exception ends the parsing.

    def on_message_begin(self) -> None:
        """A request begins."""
        self._target = b""
        self._headers = {}
        self._header_count = 0
        self._body = []
        self.body_bytes = 0
        self._enter(Part.HEAD)

    def on_url(self, piece: bytes) -> None:
        """A piece of the request line's target has come."""
        self._target += piece
        if len(self._target) > self._limits.max_head_bytes:
            self._stop(431, f"request line and headers must be at most {self._limits.max_head_bytes} bytes")

    def on_header(self, name: bytes, value: bytes | None) -> None:
        """A header has come; or a trailer after the body, which must not change how the request is read."""
        self._header_count += 1
        if self._header_count > self._limits.max_headers:
            self._stop(431, f"a request must have at most {self._limits.max_headers} headers")
        if self.part is Part.HEAD:
            self._headers[name.lower()] = value or b""

    def on_headers_complete(self) -> None:
        """The body is next, if there is one."""
        limit = self._limits.max_body_bytes
        if int(self._headers.get(b"content-length") or 0) > limit:
            self._stop(413, f"the body must be at most {limit} bytes, got {int(self._headers[b'content-length'])}")
        self.wants_continue = self._headers.get(b"expect", b"").lower() == b"100-continue"
        self._enter(Part.BODY)

    def on_body(self, piece: bytes) -> None:
        """A piece of the body has come."""
        self.wants_continue = False
        self.body_bytes += len(piece)
        if self.body_bytes > self._limits.max_body_bytes:
            self._stop(413, f"the body must be at most {self._limits.max_body_bytes} bytes")
        self._body.append(piece)

    def on_message_complete(self) -> None:
        """The request is whole."""
        body = self._body
        request = Request(
            method=self._parser.get_method().decode(),
            target=self._target.decode("utf-8", "replace"),
            headers=self._headers,
            body=body[0] if len(body) == 1 else b"".join(body),
            keeps_alive=self._parser.should_keep_alive(),
            is_old=self._parser.get_http_version() == "1.0",
        )
        self._body = []
        self.body_bytes = 0
        self.wants_continue = False
        self._done.append(request)
        self._enter(Part.START)

    def _stop(self, status: int, message: str) -> None:
        self._fail(status, message)
        raise HttpError(status, message)
