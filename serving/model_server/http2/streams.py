"""One request and its answer on a connection: a stream, and how its answer goes out within the windows."""

from __future__ import annotations

import asyncio
import collections
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from serving.model_server.http2.frames import (
    DEFAULT_WINDOW,
    HEAD,
    LEAST_FRAME_BYTES,
    MOST_WINDOW,
    ConnectionFault,
    Fault,
    Flag,
    Kind,
    StreamFault,
    frame,
)
from serving.model_server.http2.heads import NO_TABLE

if TYPE_CHECKING:
    from serving.model_server.http2.connection import Connection

_END = Flag.END_HEADERS | Flag.END_STREAM


class Receiver(Protocol):
    """What takes a request. It may answer at any time, in any of these calls."""

    @property
    def is_patient(self) -> bool:
        """Whether the client may take its time with this request, and send more messages."""

    def data(self, chunk: bytes) -> None:
        """A piece of the body has come."""

    def end(self) -> None:
        """The request is whole."""

    def cancel(self) -> None:
        """The client went away or took its request back: no answer is wanted."""

    def late(self) -> None:
        """The request was not sent in time: answer why nothing more is read."""

    def crowd_out(self) -> None:
        """The server holds too many requests: answer that."""

    def stop(self) -> None:
        """The server ends, and will not wait longer: answer that."""


class Stream:
    """A request that is read or answered."""

    __slots__ = (
        "blocked_s",
        "connection",
        "empty_frames",
        "held",
        "is_ended",
        "is_guest",
        "is_headed",
        "is_over",
        "length",
        "number",
        "receivable",
        "received",
        "receiver",
        "start_s",
        "trailers",
        "unsent",
        "window",
    )

    receiver: Receiver

    def __init__(self, connection: Connection, number: int, window: int, receivable: int) -> None:
        """Begins a stream.

        Args:
            connection: whose it is.
            number: of the stream.
            window: bytes of the answer that the client takes.
            receivable: bytes of the request that it may send.
        """
        self.connection = connection
        self.number = number
        self.window = window
        self.receivable = receivable
        self.received = 0  # bytes of the body
        self.held = 0  # of them, those that the owner counts
        self.length = -1  # bytes of the body that the client has announced; -1 for none
        self.empty_frames = 0
        self.is_ended = False  # the request is whole
        self.is_guest = False  # the owner counts it among `open_guests`
        self.is_headed = False  # the answer has begun
        self.is_over = False  # the answer is given, or not wanted
        self.start_s = connection.now()
        self.blocked_s: float | None = None  # since when the client takes none of the answer
        self.unsent: collections.deque[memoryview] | None = None
        self.trailers: bytes | None = None

    def respond(self, head: bytes, data: bytes, trailers: bytes) -> None:
        """Gives the whole answer.

        Args:
            head: block of headers.
            data: body.
            trailers: block of headers after it.
        """
        if not self.is_over:
            self.connection.respond(self, head, data, trailers)

    def send(self, head: bytes, data: bytes) -> None:
        """Gives a part of the answer; `head` goes before the first one."""
        if not self.is_over:
            self.connection.send(self, head, data)

    def finish(self, trailers: bytes) -> None:
        """Ends the answer, after `send` or as the only headers that it has."""
        if not self.is_over:
            self.connection.finish(self, trailers)

    def let_go(self) -> None:
        """Drops what it holds, now that it is over: it and its receiver would wait for the collector otherwise."""
        self.unsent = None
        if hasattr(self, "receiver"):
            del self.receiver


class Outflow:
    """What goes out over one connection."""

    def __init__(self, transport: asyncio.WriteTransport) -> None:
        self.transport = transport
        self.window = DEFAULT_WINDOW
        self.initial_window = DEFAULT_WINDOW
        self.max_frame_bytes = LEAST_FRAME_BYTES
        self.waiting: dict[int, Stream] = {}  # for the connection's window, in turn
        self._before_head = NO_TABLE

    def whole(self, stream: Stream, head: bytes, data: bytes, trailers: bytes) -> bool:
        """Writes an answer in one go if the windows let it pass; says whether they did."""
        size = len(data)
        if stream.is_headed or size > self.window or size > stream.window or size > self.max_frame_bytes:
            return False
        self.window -= size
        if self._before_head:
            head, self._before_head = self._before_head + head, b""
        pack, number = HEAD.pack, stream.number
        self.transport.write(
            b"".join(
                (
                    pack(0, len(head), Kind.HEADERS, Flag.END_HEADERS, number),
                    head,
                    pack(size >> 16, size & 0xFFFF, Kind.DATA, 0, number),
                    data,
                    pack(0, len(trailers), Kind.HEADERS, _END, number),
                    trailers,
                )
            )
        )
        return True

    def head(self, stream: Stream, block: bytes, *, is_last: bool = False) -> None:
        """Writes a block of headers, in as many frames as it takes."""
        block, self._before_head = self._before_head + block, b""
        stream.is_headed = True
        kind, flags = Kind.HEADERS, Flag.END_STREAM if is_last else 0
        while len(block) > LEAST_FRAME_BYTES:
            self.transport.write(frame(kind, flags, stream.number, block[:LEAST_FRAME_BYTES]))
            kind, flags, block = Kind.CONTINUATION, 0, block[LEAST_FRAME_BYTES:]
        self.transport.write(frame(kind, flags | Flag.END_HEADERS, stream.number, block))

    def add(self, stream: Stream, data: bytes) -> None:
        """Has a body's next part sent when `pump` is called, as far as the windows allow."""
        if stream.unsent is None:
            stream.unsent = collections.deque()
        if data:
            stream.unsent.append(memoryview(data))

    def pump(self, stream: Stream, now: Callable[[], float]) -> bool:
        """Writes what the windows let pass; says whether the stream's answer is given to its end."""
        unsent, before = stream.unsent or collections.deque(), self.window
        while unsent:
            size = min(len(unsent[0]), self.window, stream.window, self.max_frame_bytes)
            if size <= 0:
                if stream.blocked_s is None or self.window != before:
                    stream.blocked_s = now()
                self.waiting.pop(stream.number, None)
                if stream.window > 0:
                    self.waiting[stream.number] = stream  # as the last one: others have their turn before
                return False
            self.transport.write(frame(Kind.DATA, 0, stream.number, unsent[0][:size]))
            self.window -= size
            stream.window -= size
            unsent[0] = unsent[0][size:]
            if not unsent[0]:
                unsent.popleft()
        self.waiting.pop(stream.number, None)
        stream.blocked_s = None
        if stream.trailers is None:
            return False
        self.head(stream, stream.trailers, is_last=True)
        return True

    def widen(self, stream: Stream | None, more: int) -> None:
        """Takes a WINDOW_UPDATE of a stream, or None for the connection.

        Raises:
            ConnectionFault: the connection's window grows too large.
            StreamFault: the stream's does.
        """
        if stream is None:
            self.window += more
            if self.window > MOST_WINDOW:
                raise ConnectionFault(Fault.FLOW_CONTROL_ERROR, f"the window must be at most {MOST_WINDOW} bytes")
        else:
            stream.window += more
            if stream.window > MOST_WINDOW:
                raise StreamFault(stream.number, Fault.FLOW_CONTROL_ERROR, "the window is too large")

    def heed(self, window: int | None, frame_bytes: int | None, streams: list[Stream]) -> None:
        """Takes the client's settings; a new window changes those of streams by as much (RFC 9113, 6.9.2).

        Raises:
            ConnectionFault: a stream's window grows too large.
        """
        if frame_bytes is not None:
            self.max_frame_bytes = frame_bytes
        if window is None:
            return
        more, self.initial_window = window - self.initial_window, window
        for stream in streams:
            stream.window += more
            if stream.window > MOST_WINDOW:
                raise ConnectionFault(Fault.FLOW_CONTROL_ERROR, f"the window must be at most {MOST_WINDOW} bytes")
