"""The streams of one connection: those that are open, those that are over, and what their requests hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from serving.model_server.http2.limits import Limits
from serving.model_server.http2.patience import Patience
from serving.model_server.http2.streams import Outflow, Stream

if TYPE_CHECKING:
    from serving.model_server.http2.connection import Connection
    from serving.model_server.http2.heads import Head

_REMEMBERED = 256  # streams that are over, for what still comes for them


class Owner(Protocol):
    """Who knows all connections."""

    connections: set[Connection]
    held_bytes: int  # of all connections' requests that are not answered yet
    open_streams: int  # their number
    open_guests: int  # of them, those that the owner has made guests
    is_ending: bool  # clients are sent elsewhere
    limits: Limits

    def open(self, stream: Stream, head: Head) -> None:
        """Gives a stream what takes its request, and may answer it at once."""


class Book:
    """The streams of one connection.

    Attributes:
        open: those whose answer is not given, by number.
        last: number of the newest.
        last_answered: newer streams are not looked at, as the client was told or has ended; None before.
    """

    def __init__(self, owner: Owner, out: Outflow, patience: Patience) -> None:
        """Takes who counts all connections' streams, and what else has to know when one ends."""
        self.open: dict[int, Stream] = {}
        self.last = 0
        self.last_answered: int | None = None
        self._over: dict[int, bool] = {}
        self._owner = owner
        self._out = out
        self._patience = patience

    def add(self, stream: Stream) -> None:
        """Takes a stream that has begun."""
        self.open[stream.number] = stream
        self._owner.open_streams += 1

    def forget(self, stream: Stream) -> None:
        """Strikes out a stream that is over; what its request held is free."""
        stream.is_over = True
        number = stream.number
        if self.open.pop(number, None) is None:
            return
        self._out.waiting.pop(number, None)
        self._owner.open_streams -= 1
        if stream.is_guest:
            self._owner.open_guests -= 1
        self._owner.held_bytes -= stream.held
        self.remember(number, is_sent_on=not stream.is_ended)
        stream.let_go()
        if not self.open:
            self._patience.went_idle()

    def drop(self, stream: Stream) -> None:
        """Strikes out a stream whose answer nobody waits for."""
        receiver = stream.receiver
        self.forget(stream)
        receiver.cancel()

    def drop_all(self) -> None:
        """Strikes out all streams."""
        for stream in list(self.open.values()):
            self.drop(stream)

    def remember(self, number: int, *, is_sent_on: bool) -> None:
        """Notes that a stream is over.

        Args:
            number: of the stream.
            is_sent_on: it was ended here, so that its client may go on with the request until it knows.
        """
        self._over[number] = is_sent_on
        if len(self._over) > _REMEMBERED:
            del self._over[next(iter(self._over))]

    def is_sent_on(self, number: int) -> bool | None:
        """Says whether frames may still come for a stream that is over; None where that is forgotten."""
        return self._over.get(number)
