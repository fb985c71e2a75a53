"""Frames of HTTP/2 (RFC 9113, 4 and 6): what comes over a connection is cut into them, what goes is put together."""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterator

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
LEAST_FRAME_BYTES = 16_384  # every peer takes frames of this size
MOST_FRAME_BYTES = (1 << 24) - 1
MOST_WINDOW = (1 << 31) - 1
DEFAULT_WINDOW = 65_535
MOST_STREAM = (1 << 31) - 1
_MOST_TEXT = 500  # bytes of a GOAWAY's message
HEAD = struct.Struct(">BHBBI")  # size in three bytes, kind, flags, number of the stream
_SETTING = struct.Struct(">HI")
_NUMBER = struct.Struct(">I")


class Kind:
    """Types of frames: plain numbers, too."""

    DATA = 0
    HEADERS = 1
    PRIORITY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PUSH_PROMISE = 5
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8
    CONTINUATION = 9


class Flag:
    """Flags of frames: plain numbers, as an enum's `&` takes a microsecond. ACK is on SETTINGS and PING."""

    END_STREAM = 0x1
    ACK = 0x1
    END_HEADERS = 0x4
    PADDED = 0x8
    PRIORITY = 0x20


class Setting(enum.IntEnum):
    """Settings that this server says or heeds."""

    ENABLE_PUSH = 2
    MAX_CONCURRENT_STREAMS = 3
    INITIAL_WINDOW_SIZE = 4
    MAX_FRAME_SIZE = 5
    MAX_HEADER_LIST_SIZE = 6


class Fault(enum.IntEnum):
    """Error codes of RST_STREAM and GOAWAY."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    ENHANCE_YOUR_CALM = 11


class ConnectionFault(Exception):
    """What the peer did ends the connection."""

    def __init__(self, fault: Fault, message: str) -> None:
        super().__init__(message)
        self.fault = fault


class StreamFault(Exception):
    """What the peer did ends one stream; the connection goes on."""

    def __init__(self, stream: int, fault: Fault, message: str) -> None:
        super().__init__(message)
        self.stream = stream
        self.fault = fault


class FrameReader:
    """Cuts what comes over a connection into frames."""

    def __init__(self, max_frame_bytes: int) -> None:
        """Takes the bytes a frame's payload may have; the peer was told them."""
        self.is_begun = False  # the preface has come
        self._max_bytes = max_frame_bytes
        self._rest = bytearray()
        self._needed = len(PREFACE)

    def feed(self, data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
        """Yields kind, flags, number of the stream and payload of each frame that is whole now.

        Raises:
            ConnectionFault: this is no HTTP/2, or a frame is too large.
        """
        if self._rest:
            self._rest += data
            if len(self._rest) < self._needed:
                return
            data, self._rest = bytes(self._rest), bytearray()
        position, end = 0, len(data)
        if not self.is_begun:
            position = self._begin(data)
        while end - position >= HEAD.size and self.is_begun:
            high, low, kind, flags, stream = HEAD.unpack_from(data, position)
            size = high << 16 | low
            if size > self._max_bytes:
                raise ConnectionFault(
                    Fault.FRAME_SIZE_ERROR, f"a frame must have at most {self._max_bytes} bytes, got {size}"
                )
            after = position + HEAD.size + size
            if after > end:
                self._needed = after - position
                break
            yield kind, flags, stream & MOST_STREAM, data[position + HEAD.size : after]
            position = after
        else:
            self._needed = HEAD.size if self.is_begun else len(PREFACE)
        if position < end:
            self._rest += data[position:]

    def _begin(self, data: bytes) -> int:
        """Looks for the preface; returns the bytes it took."""
        if not PREFACE.startswith(data[: len(PREFACE)]):
            raise ConnectionFault(Fault.PROTOCOL_ERROR, "the client does not speak HTTP/2 with prior knowledge")
        self.is_begun = len(data) >= len(PREFACE)
        return len(PREFACE) if self.is_begun else 0


def frame(kind: int, flags: int, stream: int, payload: bytes | memoryview = b"") -> bytes:
    """Puts a frame together."""
    size = len(payload)
    return HEAD.pack(size >> 16, size & 0xFFFF, kind, flags, stream) + payload


def settings(values: dict[Setting, int]) -> bytes:
    """Returns a SETTINGS frame."""
    return frame(Kind.SETTINGS, 0, 0, b"".join(_SETTING.pack(name, value) for name, value in values.items()))


def read_settings(payload: bytes) -> dict[int, int]:
    """Reads the payload of a SETTINGS frame.

    Raises:
        ConnectionFault: a value is outside what it may be.
    """
    if len(payload) % _SETTING.size:
        raise ConnectionFault(Fault.FRAME_SIZE_ERROR, f"SETTINGS must be pairs of 6 bytes, got {len(payload)} bytes")
    found: dict[int, int] = dict(_SETTING.iter_unpack(payload))
    _check_setting(found, Setting.ENABLE_PUSH, 0, 1, Fault.PROTOCOL_ERROR)
    _check_setting(found, Setting.INITIAL_WINDOW_SIZE, 0, MOST_WINDOW, Fault.FLOW_CONTROL_ERROR)
    _check_setting(found, Setting.MAX_FRAME_SIZE, LEAST_FRAME_BYTES, MOST_FRAME_BYTES, Fault.PROTOCOL_ERROR)
    return found


def _check_setting(found: dict[int, int], name: Setting, least: int, most: int, fault: Fault) -> None:
    value = found.get(name, least)
    if not least <= value <= most:
        raise ConnectionFault(fault, f"{name.name} must be {least} to {most}, got {value}")


def window_update(stream: int, more_bytes: int) -> bytes:
    """Returns a frame that lets the peer send more; stream 0 is the connection."""
    return frame(Kind.WINDOW_UPDATE, 0, stream, _NUMBER.pack(more_bytes))


def reset(stream: int, fault: Fault) -> bytes:
    """Returns a frame that ends a stream at once."""
    return frame(Kind.RST_STREAM, 0, stream, _NUMBER.pack(fault))


def go_away(last_stream: int, fault: Fault, message: str = "") -> bytes:
    """Returns a frame that says which streams are still answered, and why; of a long text its beginning."""
    text = message.encode("utf-8", "replace")[:_MOST_TEXT]
    return frame(Kind.GOAWAY, 0, 0, _NUMBER.pack(last_stream) + _NUMBER.pack(fault) + text)


def number_of(payload: bytes) -> int:
    """Returns the 31-bit number that a payload of four bytes is.

    Raises:
        ConnectionFault: it has another size.
    """
    if len(payload) != _NUMBER.size:
        raise ConnectionFault(Fault.FRAME_SIZE_ERROR, f"the frame must have 4 bytes, got {len(payload)}")
    return int(_NUMBER.unpack(payload)[0]) & MOST_STREAM


def unpadded(payload: bytes, flags: int) -> bytes:
    """Returns the payload of DATA or HEADERS without padding.

    Raises:
        ConnectionFault: there is more padding than payload.
    """
    if not flags & Flag.PADDED:
        return payload
    if not payload or payload[0] >= len(payload):
        raise ConnectionFault(Fault.PROTOCOL_ERROR, "padding must fit into the frame")
    return payload[1 : len(payload) - payload[0]]
