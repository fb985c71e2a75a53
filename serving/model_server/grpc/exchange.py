"""One call, from its first message to its status, for each shape that a method of gRPC can have here."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

from serving.model_server.errors import Code, ServingError
from serving.model_server.grpc import wire
from serving.model_server.http2.heads import Head
from serving.model_server.http2.streams import Stream

_MAX_PATIENT_BYTES = 64 << 10  # of a message that may come slowly: it is not counted as held
_LOG = logging.getLogger(__name__)


class Context(Protocol):
    """What a method may ask about its call, apart from the message."""

    head: Head
    deadline_s: float | None  # on the loop's clock


Cancel = Callable[[], object]
Done = Callable[[bytes | None, ServingError | None], None]  # the response or the error
# Begins to answer a message and returns how to forget it; raises ServingError instead of calling `Done` with it.
Begin = Callable[[bytes, Context, Done], Cancel | None]


class Exchange:
    """What all calls share: their messages, their deadline, and how they end."""

    is_patient = False

    def __init__(self, stream: Stream, head: Head, max_message_bytes: int) -> None:
        """Takes the call's stream; the deadline counts from here.

        Raises:
            ServingError: INVALID_ARGUMENT, the time-out is none.
        """
        self.head = head
        timeout_s = wire.timeout_s(head.fields.get(b"grpc-timeout"))
        self.deadline_s = None if timeout_s is None else stream.connection.now() + timeout_s
        self._stream = stream
        self._reader = wire.MessageReader(max_message_bytes, head.fields.get(b"grpc-encoding", b"identity"))

    def data(self, chunk: bytes) -> None:
        """A piece of the request has come."""
        try:
            for message in self._reader.feed(chunk):
                if self._stream.is_over:
                    return
                self.take(message)
        except ServingError as error:
            self.fail(error)

    def take(self, message: bytes) -> None:
        """A message has come.

        Raises:
            ServingError: the call ends with it.
        """
        raise NotImplementedError

    def end(self) -> None:
        """The request is whole."""
        raise NotImplementedError

    def cancel(self) -> None:
        """The client went away."""

    def late(self) -> None:
        """The request was not sent in time."""
        self.fail(ServingError(Code.DEADLINE_EXCEEDED, "the request was not sent in time"))

    def crowd_out(self) -> None:
        """The server holds too many requests."""
        self.fail(ServingError(Code.UNAVAILABLE, "the server is reading too many requests already; try again later"))

    def stop(self) -> None:
        """The server ends."""
        self.fail(ServingError(Code.UNAVAILABLE, "the server is shutting down"))

    def fail(self, error: ServingError) -> None:
        """Ends the call with a status."""
        self.cancel()
        self._stream.finish(wire.status(error.code, str(error), is_alone=not self._stream.is_headed))


class Refused(Exchange):
    """A call that is not looked at."""

    def __init__(self, stream: Stream, head: Head, error: ServingError) -> None:
        """Answers at once."""
        self._stream = stream
        self.head = head
        stream.receiver = self
        self.fail(error)

    def data(self, chunk: bytes) -> None:
        """Throws it away."""

    def end(self) -> None:
        """Nothing is left to do."""


class Unary(Exchange):
    """A call of one message that is answered by one."""

    def __init__(self, stream: Stream, head: Head, max_message_bytes: int, begin: Begin, max_answer_bytes: int) -> None:
        """Takes what answers, and how large its answers may be."""
        super().__init__(stream, head, max_message_bytes)
        self._begin = begin
        self._max_answer_bytes = max_answer_bytes
        self._message: bytes | None = None
        self._is_packed = False
        self._forget: Cancel | None = None

    def data(self, chunk: bytes) -> None:
        """Keeps the message until the request is whole, as it came: it may be a thousand times as large as counted."""
        try:
            for is_packed, message in self._reader.split(chunk):
                if self._message is not None:
                    raise ServingError(Code.UNIMPLEMENTED, "the method takes one message, and there are more")
                self._is_packed, self._message = is_packed, message
        except ServingError as error:
            self.fail(error)

    def end(self) -> None:
        """Has the call answered."""
        message, self._message = self._message, None  # not kept: it may be large
        if message is None or not self._reader.is_between:
            self.fail(ServingError(Code.UNIMPLEMENTED, "the method takes one message, and there is none that is whole"))
            return
        try:
            if self._is_packed:
                message = self._reader.unpacked(message)
            self._forget = self._begin(message, self, self._done)
        except ServingError as error:
            self.fail(error)

    def cancel(self) -> None:
        """Stops what works at the answer."""
        forget, self._forget = self._forget, None
        if forget is not None:
            forget()

    def _done(self, answer: bytes | None, error: ServingError | None) -> None:
        self._forget = None
        if error is not None:
            self.fail(error)
        elif answer is not None and len(answer) > self._max_answer_bytes:
            self.fail(wire.too_large("Sent", len(answer), self._max_answer_bytes))
        elif answer is not None:
            self._stream.respond(wire.HEAD, wire.framed(answer), wire.OK)


class Conversation(Exchange):
    """A call whose messages are answered one by one, until the client has no more."""

    is_patient = True

    def __init__(self, stream: Stream, head: Head, max_message_bytes: int, reply: Callable[[bytes], bytes]) -> None:
        """Takes what answers a message; it may raise ServingError."""
        super().__init__(stream, head, min(max_message_bytes, _MAX_PATIENT_BYTES))
        self._reply = reply

    def take(self, message: bytes) -> None:
        """Answers a message."""
        try:
            answer = self._reply(message)
        except ServingError:
            raise
        except Exception as fault:
            _LOG.exception("a gRPC call failed")
            raise ServingError(Code.INTERNAL, str(fault)) from fault
        self._stream.send(wire.HEAD, wire.framed(answer))

    def end(self) -> None:
        """Ends the call."""
        if self._stream.is_headed:
            self._stream.finish(wire.OK)
        else:
            self._stream.finish(wire.status(Code.OK, "", is_alone=True))


class Board:
    """News that calls may subscribe to.

    Attributes:
        subscribe: is given a call's message and what to call with news; returns how to stop that.
        max_readers: more at the same time are refused: they stay for as long as they like.
        readers: those that there are.
    """

    def __init__(
        self, subscribe: Callable[[bytes, Callable[[bytes], None]], Callable[[], None]], max_readers: int
    ) -> None:
        self.subscribe = subscribe
        self.max_readers = max_readers
        self.readers: set[Subscription] = set()


class Subscription(Exchange):
    """A call of one message that is answered by as many as there is news."""

    def __init__(self, stream: Stream, head: Head, max_message_bytes: int, board: Board) -> None:
        """Takes what has the news.

        Raises:
            ServingError: RESOURCE_EXHAUSTED, there are too many.
        """
        super().__init__(stream, head, min(max_message_bytes, _MAX_PATIENT_BYTES))
        if len(board.readers) >= board.max_readers:
            raise ServingError(
                Code.RESOURCE_EXHAUSTED, f"there are {board.max_readers} calls of this kind already; try again later"
            )
        self._board = board
        self._unsubscribe: Callable[[], None] | None = None
        board.readers.add(self)

    def take(self, message: bytes) -> None:
        """Begins to tell the news."""
        if self._unsubscribe is not None:
            raise ServingError(Code.UNIMPLEMENTED, "the method takes one message, and there are more")
        self._unsubscribe = self._board.subscribe(message, self._tell)
        self.is_patient = True

    def end(self) -> None:
        """The client only listens from here on."""
        if self._unsubscribe is None:
            self.fail(ServingError(Code.UNIMPLEMENTED, "the method takes one message, and there is none"))

    def cancel(self) -> None:
        """No more news."""
        self._board.readers.discard(self)
        if self._unsubscribe is not None:
            self._unsubscribe()

    def _tell(self, news: bytes) -> None:
        self._stream.send(wire.HEAD, wire.framed(news))
