"""Header blocks: HPACK (RFC 7541) and what RFC 9113, 8, wants of a request's headers.

A client that asks the same again and again sends the same few bytes, each an index into the table that both sides keep.
Such a block is read once and remembered until the table changes: reading it anew costs more than all else that is done
for a small call's frames.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import hpack

from serving.model_server.http2.frames import ConnectionFault, Fault
from serving.model_server.http2.limits import Limits

_REQUEST = {b":method", b":scheme", b":path", b":authority"}
_NEEDED = (b":method", b":scheme", b":path")
_OF_CONNECTION = {b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"}
_NAME = re.compile(rb":?[!#$%&'*+\-.^_`|~0-9a-z]+\Z")
_BAD_VALUE = re.compile(rb"[\x00\r\n]")
_CONTINUES = 0x80  # another byte of the number follows
_REMEMBERED, _REMEMBERED_BYTES = 64, 1024  # blocks, and bytes of each
_LITERAL_MOST = 127  # bytes whose length fits into the seven bits of one byte
NO_TABLE = b"\x20"  # begins the first block that is sent: this side keeps no table


class HeadError(Exception):
    """Headers that no request may have."""


class Head:
    """Headers of a request.

    Attributes:
        fields: by name; values of the same name are joined with commas, cookies and all.
    """

    __slots__ = ("fields",)

    def __init__(self, fields: Mapping[bytes, bytes]) -> None:
        self.fields = fields

    def text(self, name: bytes) -> str:
        """Returns a header's value, "" where it is not there."""
        return self.fields.get(name, b"").decode("utf-8", "replace")


class HeadReader:
    """Reads the header blocks of one connection, in their order."""

    def __init__(self, max_bytes: int) -> None:
        """Takes the bytes that the headers of a request may have, each with the 32 that RFC 9113 adds."""
        self._decoder = hpack.Decoder(max_header_list_size=max_bytes)
        self._known: dict[bytes, Head] = {}
        self._is_changed = False  # the table, by the newest block

    def read(self, block: bytes) -> Head:
        """Reads the headers of a request.

        Raises:
            ConnectionFault: the block cannot be read, so that the table is lost, or is too large.
            HeadError: the headers are not a request's.
        """
        head = self._known.get(block)
        if head is None:
            head = Head(_checked(self.decode(block)))
            if len(self._known) < _REMEMBERED and len(block) <= _REMEMBERED_BYTES and not self._is_changed:
                self._known[block] = head
        return head

    def decode(self, block: bytes) -> list[tuple[bytes, bytes]]:
        """Reads a block without looking at what it says, as trailers and refused requests need it for the table.

        Raises:
            ConnectionFault: as `read`.
        """
        table = self._decoder.header_table
        before = table.maxsize, len(table.dynamic_entries), next(iter(table.dynamic_entries), None)
        try:
            fields: list[tuple[bytes, bytes]] = list(self._decoder.decode(block, raw=True))
        except hpack.OversizedHeaderListError as error:
            raise ConnectionFault(Fault.ENHANCE_YOUR_CALM, str(error)) from error
        except (hpack.HPACKError, IndexError, ValueError) as error:
            raise ConnectionFault(Fault.COMPRESSION_ERROR, f"the headers cannot be read: {error}") from error
        newest = next(iter(table.dynamic_entries), None)
        # Whatever is put into the table becomes its newest entry, an object of its own.
        self._is_changed = before[:2] != (table.maxsize, len(table.dynamic_entries)) or before[2] is not newest
        if self._is_changed:
            self._known.clear()
        return fields


class HeadParts:
    """A header block that comes in several frames.

    Attributes:
        stream: whose it is.
        flags: of its first frame.
    """

    def __init__(self, limits: Limits, stream: int, flags: int) -> None:
        self.stream = stream
        self.flags = flags
        self._limits = limits
        self._block = bytearray()
        self._empty_frames = 0

    def add(self, part: bytes) -> None:
        """Takes the next part.

        Raises:
            ConnectionFault: there is too much, or too often nothing.
        """
        self._block += part
        self._empty_frames += not part
        if len(self._block) > self._limits.max_head_bytes or self._empty_frames > self._limits.max_empty_frames:
            raise ConnectionFault(
                Fault.ENHANCE_YOUR_CALM,
                f"headers must be at most {self._limits.max_head_bytes} bytes, and at most "
                f"{self._limits.max_empty_frames} of their frames empty",
            )

    def joined(self) -> bytes:
        """Returns the whole block."""
        return bytes(self._block)


def _checked(fields: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Returns a request's headers by name.

    Raises:
        HeadError: RFC 9113, 8.2 and 8.3, forbid them.
    """
    found: dict[bytes, bytes] = {}
    is_pseudo_over = False
    for name, value in fields:
        check_field(name, value)
        if name.startswith(b":"):
            if is_pseudo_over or name in found or name not in _REQUEST:
                raise HeadError(f"the pseudo-header {name!r} must not be there, or not there")
        else:
            is_pseudo_over = True
        found[name] = found[name] + b"," + value if name in found else value
    for name in _NEEDED:
        if not found.get(name):
            raise HeadError(f"a request must have {name.decode()}")
    return found


def check_field(name: bytes, value: bytes) -> None:
    """Checks one header or trailer.

    Raises:
        HeadError: RFC 9113, 8.2, forbids it.
    """
    if not _NAME.match(name) or name in _OF_CONNECTION or (name == b"te" and value != b"trailers"):
        raise HeadError(f"HTTP/2 has no header {name[:40]!r} with this value")
    if _BAD_VALUE.search(value):
        raise HeadError(f"the value of {name[:40]!r} must not hold line ends or NUL")


def check_trailers(fields: Iterable[tuple[bytes, bytes]]) -> None:
    """Checks what a client sends after its body.

    Raises:
        HeadError: RFC 9113, 8.1 and 8.2, forbid it.
    """
    for name, value in fields:
        check_field(name, value)
        if name.startswith(b":"):
            raise HeadError(f"trailers must not have the pseudo-header {name!r}")


def block(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Writes headers as literals that no table remembers: what is constant can be sent as constant bytes."""
    return b"".join(b"\x00" + _literal(name) + _literal(value) for name, value in fields)


def _literal(text: bytes) -> bytes:
    """Writes a string: its length in seven bits and more bytes of seven (RFC 7541, 5.1 and 5.2), then itself."""
    size = len(text)
    if size < _LITERAL_MOST:
        return bytes([size]) + text
    size -= _LITERAL_MOST
    length = bytearray([_LITERAL_MOST])
    while size > _LITERAL_MOST:
        length.append(size & _LITERAL_MOST | _CONTINUES)
        size >>= 7
    length.append(size)
    return bytes(length) + text
