"""What each frame of a client means: RFC 9113, 5 and 6, for the server's side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from serving.model_server.http2 import frames
from serving.model_server.http2.book import Book, Owner
from serving.model_server.http2.frames import ConnectionFault, Fault, Flag, Kind, Setting, StreamFault
from serving.model_server.http2.heads import Head, HeadError, HeadParts, HeadReader, check_trailers
from serving.model_server.http2.patience import Patience
from serving.model_server.http2.streams import Outflow, Stream

if TYPE_CHECKING:
    from serving.model_server.http2.connection import Connection

PING_BYTES = 8
LAST_PING = b"going..."  # its answer says that the client has read the first GOAWAY
_PRIORITY_BYTES = 5
_LENGTH_DIGITS = 18  # that a content-length may have


class Intake:
    """Takes the frames of one connection in their order.

    Attributes:
        has_settings: whether the client's SETTINGS have come.
    """

    def __init__(self, connection: Connection, owner: Owner, book: Book, out: Outflow, patience: Patience) -> None:
        """Takes the connection and its parts."""
        self.has_settings = False
        self._connection = connection
        self._owner = owner
        self._book = book
        self._out = out
        self._patience = patience
        self._limits = owner.limits
        self._heads = HeadReader(owner.limits.max_head_bytes)
        self._window = owner.limits.connection_window_bytes  # that the client may send
        self._parts: HeadParts | None = None  # of headers that are not whole

    def take(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        """Takes a frame.

        Raises:
            ConnectionFault: it ends the connection.
            StreamFault: it ends one stream.
        """
        if self._parts is not None and (kind != Kind.CONTINUATION or number != self._parts.stream):
            raise ConnectionFault(Fault.PROTOCOL_ERROR, "headers must go on in CONTINUATION frames")
        if not self.has_settings and kind != Kind.SETTINGS:
            raise ConnectionFault(Fault.PROTOCOL_ERROR, "the first frame must be SETTINGS")
        if kind < len(_TAKE):
            _TAKE[kind](self, flags, number, payload)

    # Bodies.

    def _take_data(self, flags: int, number: int, payload: bytes) -> None:
        size = len(payload)
        self._count_received(size)
        stream = self._book.open.get(number)
        if stream is None or stream.is_ended:
            self._take_for_closed(number)
            return
        data = frames.unpadded(payload, flags) if flags & Flag.PADDED else payload
        stream.receivable -= size
        if stream.receivable < 0:
            raise StreamFault(number, Fault.FLOW_CONTROL_ERROR, "more was sent than the window lets pass")
        self._take_body(stream, data, is_last=bool(flags & Flag.END_STREAM))

    def _take_body(self, stream: Stream, data: bytes, *, is_last: bool) -> None:
        limits, receiver = self._limits, stream.receiver
        stream.received += len(data)
        if not receiver.is_patient:
            stream.held += len(data)
            self._owner.held_bytes += len(data)
        if data:
            if not stream.is_over:
                receiver.data(data)
        elif not is_last:
            stream.empty_frames += 1
            if stream.empty_frames > limits.max_empty_frames:
                raise ConnectionFault(Fault.ENHANCE_YOUR_CALM, "too many frames without data")
        if is_last:
            self._end(stream)
        elif not stream.is_over:
            if self._owner.held_bytes > limits.max_total_bytes and not receiver.is_patient:
                receiver.crowd_out()
            elif stream.receivable < limits.stream_window_bytes // 2:
                more = limits.stream_window_bytes - stream.receivable
                stream.receivable += more
                self._out.transport.write(frames.window_update(stream.number, more))

    def _count_received(self, size: int) -> None:
        """Lets the client send on, on the whole connection."""
        whole = self._limits.connection_window_bytes
        self._window -= size
        if self._window < 0:
            raise ConnectionFault(Fault.FLOW_CONTROL_ERROR, "more was sent than the connection's window lets pass")
        if self._window < whole // 2:
            self._out.transport.write(frames.window_update(0, whole - self._window))
            self._window = whole

    def _end(self, stream: Stream) -> None:
        stream.is_ended = True
        if stream.length not in {-1, stream.received}:
            raise StreamFault(
                stream.number, Fault.PROTOCOL_ERROR, f"{stream.length} bytes announced, got {stream.received}"
            )
        if not stream.is_over:
            stream.receiver.end()

    def _take_for_closed(self, number: int) -> None:
        """Judges a frame for a stream that is not open: fine if it was ended here and the client cannot know yet."""
        if number == 0 or number > self._book.last:
            raise ConnectionFault(Fault.PROTOCOL_ERROR, f"the stream {number} is not open")
        if not self._book.is_sent_on(number):
            raise StreamFault(number, Fault.STREAM_CLOSED, "the stream is over")

    # Headers.

    def _take_headers(self, flags: int, number: int, payload: bytes) -> None:
        if number % 2 == 0:
            raise ConnectionFault(Fault.PROTOCOL_ERROR, f"a request cannot have the number {number}")
        block = payload
        if flags & (Flag.PADDED | Flag.PRIORITY):
            block = frames.unpadded(payload, flags)
            if flags & Flag.PRIORITY:
                block = _without_priority(number, block)
        if flags & Flag.END_HEADERS:
            self._take_block(number, flags, block)
        else:
            self._parts = HeadParts(self._limits, number, flags)
            self._parts.add(block)
            self._patience.block_s = self._connection.now()

    def _take_continuation(self, flags: int, _number: int, payload: bytes) -> None:
        parts = self._parts
        if parts is None:
            raise ConnectionFault(Fault.PROTOCOL_ERROR, "CONTINUATION must follow HEADERS")
        parts.add(payload)
        if flags & Flag.END_HEADERS:
            self._parts = self._patience.block_s = None
            self._take_block(parts.stream, parts.flags, parts.joined())

    def _take_block(self, number: int, flags: int, block: bytes) -> None:
        book = self._book
        stream = book.open.get(number)
        if stream is not None:
            self._take_trailers(stream, flags, block)
        elif number <= book.last:
            self._heads.decode(block)
            is_sent_on = book.is_sent_on(number)
            if is_sent_on is None:
                raise ConnectionFault(Fault.PROTOCOL_ERROR, f"numbers of streams must grow, got {number}")
            if not is_sent_on:
                raise ConnectionFault(Fault.STREAM_CLOSED, f"the stream {number} is over")
        else:
            book.last = number
            try:
                head = self._heads.read(block)
            except HeadError as error:
                raise StreamFault(number, Fault.PROTOCOL_ERROR, str(error)) from error
            self._open(number, head, is_whole=bool(flags & Flag.END_STREAM))

    def _open(self, number: int, head: Head, *, is_whole: bool) -> None:
        book, limits = self._book, self._limits
        if book.last_answered is not None:  # the client was told, and asks elsewhere
            book.remember(number, is_sent_on=True)
            return
        if len(book.open) >= limits.max_streams:
            raise StreamFault(number, Fault.REFUSED_STREAM, f"at most {limits.max_streams} requests at a time")
        stream = Stream(self._connection, number, self._out.initial_window, limits.stream_window_bytes)
        length = head.fields.get(b"content-length")
        if length is not None:
            if not length.isdigit() or len(length) > _LENGTH_DIGITS:
                raise StreamFault(number, Fault.PROTOCOL_ERROR, "content-length must be a number")
            stream.length = int(length)
        stream.is_ended = is_whole
        book.add(stream)
        try:
            self._owner.open(stream, head)
        except BaseException:
            book.forget(stream)
            raise
        if is_whole:
            self._end(stream)

    def _take_trailers(self, stream: Stream, flags: int, block: bytes) -> None:
        fields = self._heads.decode(block)
        if stream.is_ended:
            raise StreamFault(stream.number, Fault.STREAM_CLOSED, "the request has ended")
        if not flags & Flag.END_STREAM:
            raise StreamFault(stream.number, Fault.PROTOCOL_ERROR, "headers after the body must end the request")
        try:
            check_trailers(fields)
        except HeadError as error:
            raise StreamFault(stream.number, Fault.PROTOCOL_ERROR, str(error)) from error
        self._end(stream)

    # What is about streams or the connection.

    def _take_priority(self, _flags: int, number: int, payload: bytes) -> None:
        if number == 0:
            raise ConnectionFault(Fault.PROTOCOL_ERROR, "PRIORITY must name a stream")
        if len(payload) != _PRIORITY_BYTES:
            raise StreamFault(number, Fault.FRAME_SIZE_ERROR, "PRIORITY must have 5 bytes")
        if frames.number_of(payload[:4]) == number:
            raise StreamFault(number, Fault.PROTOCOL_ERROR, "a stream cannot depend on itself")

    def _take_reset(self, _flags: int, number: int, payload: bytes) -> None:
        frames.number_of(payload)
        if number == 0 or number > self._book.last:
            raise ConnectionFault(Fault.PROTOCOL_ERROR, f"the stream {number} is not open")
        stream = self._book.open.get(number)
        if stream is not None:
            stream.is_ended = True
            self._book.drop(stream)
            self._patience.was_bothered("requests are taken back")

    def _take_settings(self, flags: int, number: int, payload: bytes) -> None:
        if number:
            raise ConnectionFault(Fault.PROTOCOL_ERROR, "SETTINGS are the connection's")
        if flags & Flag.ACK:
            if payload:
                raise ConnectionFault(Fault.FRAME_SIZE_ERROR, "acknowledged SETTINGS must be empty")
            return
        self._patience.was_bothered("SETTINGS are sent")
        found, streams = frames.read_settings(payload), list(self._book.open.values())
        self.has_settings = True
        self._out.heed(found.get(Setting.INITIAL_WINDOW_SIZE), found.get(Setting.MAX_FRAME_SIZE), streams)
        self._out.transport.write(frames.frame(Kind.SETTINGS, Flag.ACK, 0))
        for stream in streams:
            self._pump(stream)

    def _take_push(self, _flags: int, _number: int, _payload: bytes) -> None:
        raise ConnectionFault(Fault.PROTOCOL_ERROR, "clients must not push")

    def _take_ping(self, flags: int, number: int, payload: bytes) -> None:
        if number:
            raise ConnectionFault(Fault.PROTOCOL_ERROR, "PING is the connection's")
        if len(payload) != PING_BYTES:
            raise ConnectionFault(Fault.FRAME_SIZE_ERROR, f"PING must have 8 bytes, got {len(payload)}")
        if not flags & Flag.ACK:
            self._patience.was_bothered("PINGs are sent")
            self._out.transport.write(frames.frame(Kind.PING, Flag.ACK, 0, payload))
        elif payload == LAST_PING and self._patience.going_s is not None:
            self._connection.go_at_last()

    def _take_goaway(self, _flags: int, number: int, _payload: bytes) -> None:
        if number:
            raise ConnectionFault(Fault.PROTOCOL_ERROR, "GOAWAY is the connection's")

    def _take_window(self, _flags: int, number: int, payload: bytes) -> None:
        more, stream = frames.number_of(payload), self._book.open.get(number)
        if number > self._book.last:
            raise ConnectionFault(Fault.PROTOCOL_ERROR, f"the stream {number} is not open")
        if more == 0:
            if number == 0:
                raise ConnectionFault(Fault.PROTOCOL_ERROR, "WINDOW_UPDATE must be above 0")
            raise StreamFault(number, Fault.PROTOCOL_ERROR, "WINDOW_UPDATE must be above 0")
        if stream is not None:
            self._out.widen(stream, more)
            self._pump(stream)
        elif number == 0:
            self._out.widen(None, more)
            for one in list(self._out.waiting.values()):
                if self._out.window <= 0:
                    break
                self._pump(one)

    def _pump(self, stream: Stream) -> None:
        """Sends what the windows let pass now."""
        if stream.unsent is not None and self._out.pump(stream, self._connection.now):
            self._connection.answered(stream)


def _without_priority(number: int, block: bytes) -> bytes:
    if len(block) < _PRIORITY_BYTES or frames.number_of(block[:4]) == number:
        raise ConnectionFault(Fault.PROTOCOL_ERROR, "headers with a priority must name another stream")
    return block[_PRIORITY_BYTES:]


_TAKE = (
    Intake._take_data,
    Intake._take_headers,
    Intake._take_priority,
    Intake._take_reset,
    Intake._take_settings,
    Intake._take_push,
    Intake._take_ping,
    Intake._take_goaway,
    Intake._take_window,
    Intake._take_continuation,
)
