"""One HTTP/2 connection on asyncio: bytes in, answers out, and how it ends.

Time-outs are looked at by whoever owns the connections (`check`), a few times a second, as for HTTP/1.1.
"""

from __future__ import annotations

import asyncio
import logging
from typing import cast

from serving.model_server.http2 import frames
from serving.model_server.http2.book import Book, Owner
from serving.model_server.http2.frames import ConnectionFault, Fault, FrameReader, Kind, Setting, StreamFault
from serving.model_server.http2.intake import LAST_PING, PING_BYTES, Intake
from serving.model_server.http2.patience import Patience
from serving.model_server.http2.streams import Outflow, Stream

_LATEST_GOING_S = 1.0  # for the answer to the ping behind the first GOAWAY
_LOG = logging.getLogger(__name__)


class Connection(asyncio.Protocol):
    """The server's side of a connection."""

    _transport: asyncio.Transport
    _out: Outflow
    _book: Book
    _intake: Intake

    def __init__(self, owner: Owner, loop: asyncio.AbstractEventLoop) -> None:
        self.now = loop.time
        self._owner = owner
        self._reader = FrameReader(owner.limits.max_frame_bytes)
        self._patience = Patience(owner.limits, loop.time())
        self._is_half = False  # the client sends no more, not even that it takes more
        self._is_left = False  # all is said and answered: the client is to close

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Takes the connection, or refuses it where there are too many."""
        owner, limits = self._owner, self._owner.limits
        self._transport = cast(asyncio.Transport, transport)
        self._out = Outflow(self._transport)
        self._book = Book(owner, self._out, self._patience)
        self._intake = Intake(self, owner, self._book, self._out, self._patience)
        self._transport.write(
            frames.settings(
                {
                    Setting.MAX_CONCURRENT_STREAMS: limits.max_streams,
                    Setting.INITIAL_WINDOW_SIZE: limits.stream_window_bytes,
                    Setting.MAX_FRAME_SIZE: limits.max_frame_bytes,
                    Setting.MAX_HEADER_LIST_SIZE: limits.max_head_bytes,
                }
            )
            + frames.window_update(0, limits.connection_window_bytes - frames.DEFAULT_WINDOW)
        )
        is_full = len(owner.connections) >= limits.max_connections
        owner.connections.add(self)
        if is_full:
            self._fail(ConnectionFault(Fault.ENHANCE_YOUR_CALM, f"there are {limits.max_connections} connections"))
        elif owner.is_ending:  # it was accepted before, and spoke TLS meanwhile
            self.go_away()

    def connection_lost(self, error: Exception | None) -> None:
        """Forgets what the client has asked for."""
        self._owner.connections.discard(self)
        self._book.drop_all()

    def data_received(self, data: bytes) -> None:
        """Reads on."""
        self._patience.heard(self.now())
        take, is_closing = self._intake.take, self._transport.is_closing
        try:
            for kind, flags, number, payload in self._reader.feed(data):
                if self._is_left or is_closing():
                    return
                try:
                    take(kind, flags, number, payload)
                except StreamFault as fault:
                    if self._reset(fault):
                        self._patience.was_bothered("requests are broken off")
        except ConnectionFault as fault:
            self._fail(fault)
        except Exception as error:
            _LOG.error("an HTTP/2 connection failed", exc_info=error)
            self._fail(ConnectionFault(Fault.INTERNAL_ERROR, "internal error; the server's log tells more"))
        else:
            self._close_if_done()

    def eof_received(self) -> bool:
        """The client sends no more: it may wait for answers to what it has asked whole.

        Returns:
            Whether the connection stays open.
        """
        self._book.last_answered = self._book.last
        self._is_half = True
        for stream in list(self._book.open.values()):
            if not stream.is_ended or stream.is_over or stream.receiver.is_patient:
                self._book.drop(stream)
        has_tls = self._transport.get_extra_info("sslcontext") is not None  # cannot be closed by halves
        return bool(self._book.open) and not has_tls

    def pause_writing(self) -> None:
        """The client does not take its answers: what it asks next has to wait."""
        self._patience.was_blocked(self.now(), self._transport.get_write_buffer_size())
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """The client takes answers again."""
        self._patience.was_freed()
        if not self._transport.is_closing():
            self._transport.resume_reading()

    # What the owner calls.

    def check(self, now: float) -> None:
        """Ends what has taken too long, and the connection with it where that must be.

        Args:
            now: on the loop's clock.
        """
        patience, has_settings = self._patience, self._intake.has_settings
        if patience.is_dead(now, self._transport.get_write_buffer_size()):
            self.abort()
        elif self._transport.is_closing():
            return
        elif self._is_left:
            if patience.is_quiet(now) and not self._transport.get_write_buffer_size():
                self._close()
        elif patience.is_head_late(now, has_settings=has_settings):
            self._fail(ConnectionFault(Fault.ENHANCE_YOUR_CALM, "the headers were not sent in time"))
        else:
            self._check_streams(now)
            if patience.wants_leave(now, has_streams=bool(self._book.open)):
                self.go_away()
            elif patience.going_s is not None and now > patience.going_s + _LATEST_GOING_S:
                self.go_at_last()
            elif patience.wants_ping(now):
                self._transport.write(frames.frame(Kind.PING, 0, 0, bytes(PING_BYTES)))

    def _check_streams(self, now: float) -> None:
        limits = self._owner.limits
        for stream in list(self._book.open.values()):
            if stream.blocked_s is not None and now > stream.blocked_s + limits.write_timeout_s:
                self._reset(StreamFault(stream.number, Fault.CANCEL, "the client does not take its answer"))
            elif not stream.is_ended and not stream.receiver.is_patient:
                if now > stream.start_s + limits.body_timeout_s + stream.received / limits.body_rate:
                    stream.receiver.late()
        self._close_if_done()

    def go_away(self) -> None:
        """Asks the client to open another connection; requests that come before it knows are answered."""
        if self._patience.going_s is None:
            self._patience.going_s = self.now()
            self._transport.write(
                frames.go_away(frames.MOST_STREAM, Fault.NO_ERROR) + frames.frame(Kind.PING, 0, 0, LAST_PING)
            )

    def stop(self) -> None:
        """Tells all requests that the server ends, and closes."""
        for stream in list(self._book.open.values()):
            stream.receiver.stop()
        self._close()

    def stop_patient(self) -> None:
        """Tells those requests that the server ends which might stay open for ever."""
        for stream in list(self._book.open.values()):
            if stream.receiver.is_patient:
                stream.receiver.stop()

    def abort(self) -> None:
        """Ends the connection at once."""
        self._transport.abort()

    # What streams call, until they are over.

    def respond(self, stream: Stream, head: bytes, data: bytes, trailers: bytes) -> None:
        """Gives a whole answer."""
        if self._out.whole(stream, head, data, trailers):
            self.answered(stream)
        else:
            self.send(stream, head, data)
            self.finish(stream, trailers)

    def send(self, stream: Stream, head: bytes, data: bytes) -> None:
        """Gives a part of an answer."""
        if stream.is_headed and self._is_far_behind(stream):
            self._reset(StreamFault(stream.number, Fault.ENHANCE_YOUR_CALM, "the client does not take its answer"))
            return
        if not stream.is_headed:
            self._out.head(stream, head)
        self._out.add(stream, data)
        self._out.pump(stream, self.now)

    def _is_far_behind(self, stream: Stream) -> bool:
        limits = self._owner.limits
        parts, unsent = len(stream.unsent or ()), self._transport.get_write_buffer_size()
        return parts >= limits.max_unsent_parts or unsent > limits.max_unsent_bytes

    def finish(self, stream: Stream, trailers: bytes) -> None:
        """Ends an answer."""
        stream.trailers = trailers
        stream.is_over = True
        if self._out.pump(stream, self.now):
            self.answered(stream)
        elif self._is_half:  # what is left waits for a window that nobody opens
            self._reset(StreamFault(stream.number, Fault.CANCEL, "the client takes no more"))
            self._close_if_done()

    def answered(self, stream: Stream) -> None:
        """Forgets a stream whose answer is given."""
        self._patience.answered()
        if not stream.is_ended:  # what still comes is not wanted
            self._transport.write(frames.reset(stream.number, Fault.NO_ERROR))
        self._book.forget(stream)
        self._close_if_done()

    # How it ends.

    def _reset(self, fault: StreamFault) -> bool:
        """Ends one stream; returns whether it was open."""
        stream = self._book.open.get(fault.stream)
        self._transport.write(frames.reset(fault.stream, fault.fault))
        if stream is not None:
            self._book.drop(stream)
        self._book.remember(fault.stream, is_sent_on=True)
        return stream is not None

    def go_at_last(self) -> None:
        """Says which streams are answered still, and closes when they are."""
        if self._book.last_answered is None:
            self._book.last_answered = self._book.last
            self._transport.write(frames.go_away(self._book.last, Fault.NO_ERROR))
            self._close_if_done()

    def _fail(self, fault: ConnectionFault) -> None:
        """Says why nothing more is read, and closes."""
        if not self._transport.is_closing():
            last = self._book.last if self._book.last_answered is None else self._book.last_answered
            self._transport.write(frames.go_away(last, fault.fault, str(fault)))
            self._close()
        self._book.drop_all()

    def _close_if_done(self) -> None:
        book = self._book
        if book.last_answered is not None and not book.open and not self._is_left:
            self._leave()

    def _leave(self) -> None:
        """Reads on until the client closes, as its GOAWAY has it do.

        Closed with bytes that nobody has read, such as a WINDOW_UPDATE for the answer itself, the system would break
        the connection off and throw away what the client has not taken yet.
        """
        self._is_left = True
        if self._is_half:
            self._close()
        else:
            self._patience.began_closing(self.now())

    def _close(self) -> None:
        self._patience.began_closing(self.now())
        self._transport.close()
