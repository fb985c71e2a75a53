"""gRPC's own bytes on HTTP/2: messages with their prefix, time-outs, statuses as trailers.

As in the specification "gRPC over HTTP2" of the gRPC project.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator

from serving.model_server.errors import Code, ServingError
from serving.model_server.http2 import heads

PREFIX_BYTES = 5
_PREFIX = struct.Struct(">BI")
_UNITS_S = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_TIMEOUT = re.compile(rb"(\d{1,8})([HMSmun])\Z")
_PLAIN = frozenset(range(0x20, 0x7F)) - {ord("%")}  # bytes of a status' text that stand for themselves
_MAX_TEXT = 1024  # bytes of a status' text; TensorFlow Serving cuts it there
_WINDOW_BITS = {b"gzip": 16 + zlib.MAX_WBITS, b"deflate": zlib.MAX_WBITS}
_OF_ALL = [
    (b":status", b"200"),
    (b"content-type", b"application/grpc"),
    (b"grpc-accept-encoding", b"identity, deflate, gzip"),
]

HEAD = heads.block(_OF_ALL)
OK = heads.block([(b"grpc-status", b"0")])


def status(code: Code, text: str, *, is_alone: bool = False) -> bytes:
    """Writes how a call ended.

    Args:
        code: of the status.
        text: for people; cut where TensorFlow Serving cuts it.
        is_alone: the block is all of the answer, without headers before it.

    Returns:
        A block of headers.
    """
    message = text.encode("utf-8", "replace")
    if len(message) > _MAX_TEXT:  # between two characters
        message = message[:_MAX_TEXT].decode("utf-8", "ignore").encode() + b"...TRUNCATED"
    fields = [(b"grpc-status", b"%d" % code), (b"grpc-message", _percent(message))]
    return heads.block([*_OF_ALL, *fields] if is_alone else fields)


def http_status(number: int) -> bytes:
    """Writes the answer to what is no gRPC."""
    return heads.block([(b":status", b"%d" % number), (b"content-type", b"text/plain")])


def _percent(text: bytes) -> bytes:
    return b"".join(bytes([byte]) if byte in _PLAIN else b"%%%02X" % byte for byte in text)


def timeout_s(text: bytes | None) -> float | None:
    """Reads `grpc-timeout`.

    Returns:
        Seconds, or None where there is none.

    Raises:
        ServingError: INVALID_ARGUMENT, it is none.
    """
    if text is None:
        return None
    found = _TIMEOUT.match(text)
    if found is None:
        raise ServingError(
            Code.INVALID_ARGUMENT,
            f"grpc-timeout must be at most 8 digits and one of H, M, S, m, u and n, got {text[:40]!r}",
        )
    return int(found[1]) * _UNITS_S[found[2]]


def framed(message: bytes) -> bytes:
    """Puts the prefix before a message."""
    return _PREFIX.pack(0, len(message)) + message


class MessageReader:
    """Takes messages out of the pieces of a request."""

    def __init__(self, max_bytes: int, encoding: bytes) -> None:
        """Takes the limits.

        Args:
            max_bytes: of a message, compressed or not.
            encoding: `grpc-encoding` of the request.
        """
        self._max_bytes = max_bytes
        self._encoding = encoding
        self._pieces = bytearray()
        self._needed = PREFIX_BYTES

    @property
    def is_between(self) -> bool:
        """Whether no message has begun that is not whole."""
        return not self._pieces

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Yields the messages that are whole now, uncompressed.

        Raises:
            ServingError: as `split` and `unpacked`.
        """
        for is_packed, message in self.split(piece):
            yield self.unpacked(message) if is_packed else message

    def split(self, piece: bytes) -> Iterator[tuple[bool, bytes]]:
        """Yields the messages that are whole now, as they came, and before each whether it is compressed.

        Raises:
            ServingError: RESOURCE_EXHAUSTED, one is too large.
        """
        if not self._pieces and len(piece) >= PREFIX_BYTES:  # almost always: the whole message in one piece
            packed, size = _PREFIX.unpack_from(piece)
            if len(piece) == PREFIX_BYTES + size <= self._max_bytes:
                yield bool(packed), piece[PREFIX_BYTES:]
                return
        self._pieces += piece
        while len(self._pieces) >= self._needed:
            packed, size = _PREFIX.unpack_from(self._pieces)
            if size > self._max_bytes:
                raise too_large("Received", size, self._max_bytes)
            self._needed = PREFIX_BYTES + size
            if len(self._pieces) < self._needed:
                return
            message = bytes(memoryview(self._pieces)[PREFIX_BYTES : self._needed])
            del self._pieces[: self._needed]
            self._needed = PREFIX_BYTES
            yield bool(packed), message

    def unpacked(self, message: bytes) -> bytes:
        """Uncompresses a message.

        Raises:
            ServingError: RESOURCE_EXHAUSTED where it becomes too large, UNIMPLEMENTED for an encoding that is not
                known, INTERNAL, as gRPC has it, for one that is broken or that the call's headers do not name.
        """
        bits = _WINDOW_BITS.get(self._encoding)
        if bits is None:
            raise ServingError(
                Code.INTERNAL if self._encoding == b"identity" else Code.UNIMPLEMENTED,
                f"a compressed message must have grpc-encoding gzip or deflate, got {self._encoding[:40]!r}",
            )
        unpacker = zlib.decompressobj(bits)
        try:
            content = unpacker.decompress(message, self._max_bytes + 1)
        except zlib.error as error:
            raise ServingError(Code.INTERNAL, f"the message cannot be uncompressed: {error}") from error
        if len(content) > self._max_bytes:
            raise too_large("Received", len(content), self._max_bytes)
        if not unpacker.eof:
            raise ServingError(Code.INTERNAL, "the compressed message ends too early")
        return content


def too_large(done: str, size: int, max_bytes: int) -> ServingError:
    """Returns what is said of a message that was received or sent and is above its limit."""
    return ServingError(
        Code.RESOURCE_EXHAUSTED, f"{done} message larger than max ({size} vs. {max_bytes}); send fewer rows at a time"
    )
