"""Requests and responses of HTTP/1.1, and how a response is written."""

from __future__ import annotations

import dataclasses
import email.utils
import http
import time
from collections.abc import Sequence

JSON = b"application/json"
_REASONS = {status.value: status.phrase.encode() for status in http.HTTPStatus} | {499: b"Client Closed Request"}
Header = tuple[bytes, bytes]


@dataclasses.dataclass(slots=True)
class Request:
    """One request, received whole.

    Attributes:
        method: such as `POST`.
        target: as it stands in the request line: path and query, still percent-encoded.
        headers: by name in small letters; of a header that is given twice, the last value.
        body: as sent, still compressed where `content-encoding` says so.
        keeps_alive: whether the client will send more.
        is_old: HTTP/1.0.
    """

    method: str
    target: str
    headers: dict[bytes, bytes]
    body: bytes
    keeps_alive: bool
    is_old: bool = False


@dataclasses.dataclass(slots=True)
class Response:
    """One response.

    Attributes:
        status: HTTP status.
        body: all of it.
        content_type: of the body.
        headers: beside length, type, date and connection.
    """

    status: int
    body: bytes
    content_type: bytes = JSON
    headers: Sequence[Header] = ()


class Writer:
    """Writes responses; keeps the date, which changes once a second."""

    def __init__(self) -> None:
        self._date = b""
        self._date_s = 0

    def head(self, response: Response, *, connection: bytes) -> bytes:
        """Returns all before the body.

        Args:
            response: what to write.
            connection: `close`, `keep-alive`, or b"" to leave the header out.
        """
        now_s = int(time.time())
        if now_s != self._date_s:
            self._date_s = now_s
            self._date = email.utils.formatdate(now_s, usegmt=True).encode()
        more = b"".join([b"%b: %b\r\n" % header for header in response.headers]) if response.headers else b""
        if connection:
            more += b"Connection: %b\r\n" % connection
        return b"HTTP/1.1 %d %b\r\nContent-Type: %b\r\nDate: %b\r\nContent-Length: %d\r\n%b\r\n" % (
            response.status,
            _REASONS.get(response.status, b"Unknown"),
            response.content_type,
            self._date,
            len(response.body),
            more,
        )
