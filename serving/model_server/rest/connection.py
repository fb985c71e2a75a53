"""One HTTP connection: requests are answered one after the other, in order, whatever the client does.

Time-outs are looked at by whoever owns the connections (`check`), a few times a second: a timer for each request would
cost more than the request's headers.
"""

from __future__ import annotations

import asyncio
import collections
import functools
import logging
from collections.abc import Callable
from typing import Any, Protocol, cast

from serving.model_server.rest.json_answers import error_answer
from serving.model_server.rest.messages import Request, Response, Writer
from serving.model_server.rest.reader import HttpError, Limits, Part, RequestReader

Respond = Callable[[Response], None]
Cancel = Callable[[], None]
Handler = Callable[[Request, Respond], Cancel | None]
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_LOG = logging.getLogger(__name__)


class Owner(Protocol):
    """Who knows all connections."""

    connections: set[Connection]
    is_draining: bool
    body_bytes: int  # of all connections' requests that are not answered yet
    limits: Limits
    handle: Handler
    writer: Writer


class Connection(asyncio.Protocol):
    """The server's side of a connection."""

    def __init__(self, owner: Owner, loop: asyncio.AbstractEventLoop) -> None:
        self._owner = owner
        self._limits = owner.limits
        self._now = loop.time
        self._reader = RequestReader(owner.limits, loop.time)
        self._transport: asyncio.Transport | None = None
        self._waiting: collections.deque[Request] = collections.deque()
        self._current: Request | None = None  # the one that is being answered
        self._cancel: Cancel | None = None  # what to call if its client goes away
        self._is_advancing = False
        self._is_paused = False  # reading
        self._body_bytes = 0  # of requests that are whole and not answered yet
        self._held_bytes = 0  # what the owner has counted of this connection
        self._is_half_closed = False
        self._is_blocked = False  # the client takes no response
        self._written_bytes = 0
        self._unsent: tuple[float, int] | None = None  # since when bytes wait for the client; how many it had then
        self._idle_s = loop.time()
        self._linger_s: float | None = None  # until when refused bytes are thrown away

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Takes the connection, or refuses it where there are too many."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=self._limits.write_buffer_bytes)
        if len(self._owner.connections) >= self._limits.max_connections:
            self._end_with(HttpError(503, f"the server has {self._limits.max_connections} connections already"))
        self._owner.connections.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        """Forgets what the client has asked for."""
        self._transport = None
        self._owner.connections.discard(self)
        self._waiting.clear()
        self._owner.body_bytes -= self._held_bytes
        self._held_bytes = 0
        if self._cancel is not None:
            self._cancel()
            self._cancel = None

    def data_received(self, data: bytes) -> None:
        """Reads on, and answers requests that are whole."""
        if self._linger_s is not None:
            return
        reader = self._reader
        requests = reader.feed(data)
        for request in requests:
            self._waiting.append(request)
            self._body_bytes += len(request.body)
        self._hold()
        if reader.part is Part.BODY and self._owner.body_bytes > self._limits.max_total_bytes:
            reader.failure = HttpError(503, f"requests of {self._limits.max_total_bytes} bytes are being read already")
        if reader.wants_continue and self._current is None and not self._waiting and self._transport is not None:
            reader.wants_continue = False
            self._write(_CONTINUE)
        self._advance()
        if len(self._waiting) > self._limits.max_pipelined and not self._is_paused and self._transport is not None:
            self._is_paused = True
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        """The client sends no more, but may wait for answers; returns whether the connection stays open."""
        self._is_half_closed = True
        return self._linger_s is None and not self._is_idle()

    def pause_writing(self) -> None:
        """The client does not take its responses: what it asks next has to wait."""
        self._is_blocked = True

    def resume_writing(self) -> None:
        """The client takes responses again."""
        self._is_blocked = False
        self._advance()

    # What the owner calls.

    def check(self, now: float) -> None:
        """Ends the connection if the client has been too slow.

        Args:
            now: on the loop's clock.
        """
        limits, reader = self._limits, self._reader
        if self._is_stalled(now) or (self._linger_s is not None and now > self._linger_s):
            self._abort()
        elif self._linger_s is not None:
            return
        elif reader.part is Part.START:
            if self._is_idle() and now > self._idle_s + limits.idle_timeout_s:
                self.close()
        elif not self._is_paused and reader.failure is None:
            allowed_s = limits.head_timeout_s
            if reader.part is Part.BODY:
                allowed_s = limits.body_timeout_s + reader.body_bytes / limits.body_rate
            if now > reader.began_s + allowed_s:
                reader.failure = HttpError(408, f"the request's {reader.part.value} was not sent in time")
                self._advance()

    def close_if_idle(self) -> None:
        """Ends the connection unless a request is on its way."""
        if self._is_idle() and self._reader.part is Part.START:
            self.close()

    def close(self) -> None:
        """Ends the connection once everything is written."""
        if self._transport is not None:
            self._transport.close()

    def _is_stalled(self, now: float) -> bool:
        """Says whether the client takes its responses too slowly, also those after which the connection ends."""
        waiting = 0 if self._transport is None else self._transport.get_write_buffer_size()
        taken = self._written_bytes - waiting
        if not waiting:
            self._unsent = None
            return False
        if self._unsent is None:
            self._unsent = (now, taken)
        since_s, before = self._unsent
        return now > since_s + self._limits.write_timeout_s + (taken - before) / self._limits.body_rate

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._written_bytes += len(data)
            self._transport.write(data)

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    # How answers are given.

    def _is_idle(self) -> bool:
        return self._current is None and not self._waiting

    def _advance(self) -> None:
        """Has requests answered, one after the other; a loop, because answers may come at once."""
        if self._is_advancing:
            return
        self._is_advancing = True
        try:
            while self._waiting and self._current is None and not self._is_blocked and self._transport is not None:
                self._start(self._waiting.popleft())
        finally:
            self._is_advancing = False
        if self._transport is None or not self._is_idle():
            return
        if self._reader.failure is not None:
            self._end_with(self._reader.failure)
        elif self._is_half_closed:
            self.close()
        elif self._is_paused:
            self._is_paused = False
            self._transport.resume_reading()

    def _hold(self) -> None:
        """Tells the owner how many bytes of requests this connection has in memory."""
        held = self._body_bytes + self._reader.body_bytes
        self._owner.body_bytes += held - self._held_bytes
        self._held_bytes = held

    def _start(self, request: Request) -> None:
        self._current = request
        respond = functools.partial(self._respond, request)
        try:
            cancel = self._owner.handle(request, respond)
        except Exception as error:
            _LOG.error("%s %r failed", request.method, request.target, exc_info=error)
            respond(Response(500, error_answer("internal error; the server's log tells more")))
            return
        if self._current is request:
            self._cancel = cancel

    def _respond(self, request: Request, response: Response) -> None:
        if self._current is not request:  # answered before
            return
        self._current = self._cancel = None
        self._body_bytes -= len(request.body)
        transport = self._transport
        if transport is None:
            return
        self._hold()
        is_last = not request.keeps_alive or self._owner.is_draining
        connection = b"close" if is_last else b"keep-alive" if request.is_old else b""
        head = self._owner.writer.head(response, connection=connection)
        self._write(head if request.method == "HEAD" else head + response.body)
        self._idle_s = self._now()
        if is_last:
            self._waiting.clear()
            transport.close()
        else:
            self._advance()

    def _end_with(self, error: HttpError) -> None:
        """Tells the client why nothing more is read, and gives it time to read that while it still sends."""
        transport = self._transport
        if transport is None or self._linger_s is not None:
            return
        self._linger_s = self._now() + self._limits.linger_s
        response = Response(error.status, error_answer(str(error)))
        self._write(self._owner.writer.head(response, connection=b"close") + response.body)
        if transport.can_write_eof() and not self._is_half_closed:
            transport.write_eof()
        else:
            transport.close()


def as_factory(owner: Owner, loop: asyncio.AbstractEventLoop) -> Callable[[], Any]:
    """Returns what makes the protocol of each new connection."""
    return lambda: Connection(owner, loop)
