"""A connection without sockets: a client that writes frames and reads answers, and an owner that answers as told."""

from __future__ import annotations

import asyncio
import dataclasses
import struct
from collections.abc import Callable
from typing import Any

import hpack

from serving.model_server.http2 import frames, heads
from serving.model_server.http2.connection import Connection
from serving.model_server.http2.frames import Flag, Kind, Setting
from serving.model_server.http2.heads import Head
from serving.model_server.http2.limits import Limits
from serving.model_server.http2.streams import Stream

HEAD = heads.block([(b":status", b"200")])
TRAILERS = heads.block([(b"grpc-status", b"0")])
REQUEST = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/a.B/C")]
Frame = tuple[int, int, int, bytes]  # kind, flags, stream, payload


class Transport(asyncio.Transport):
    """Keeps what is written; `unsent` bytes are said to wait."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.unsent = 0
        self.is_closed = self.is_aborted = self.is_paused = False

    def write(self, data: Any) -> None:
        if not self.is_closed:
            self.written += data

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True

    def abort(self) -> None:
        self.is_closed = self.is_aborted = True

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False

    def get_write_buffer_size(self) -> int:
        return self.unsent


@dataclasses.dataclass
class Receiver:
    """Takes one request, and notes what it is told."""

    stream: Stream
    head: Head
    whole: Callable[[Receiver], None]
    is_patient: bool = False
    body: bytearray = dataclasses.field(default_factory=bytearray)
    told: list[str] = dataclasses.field(default_factory=list)

    def data(self, chunk: bytes) -> None:
        self.body += chunk

    def end(self) -> None:
        self.told.append("end")
        self.whole(self)

    def cancel(self) -> None:
        self.told.append("cancel")

    def late(self) -> None:
        self.told.append("late")
        self.stream.finish(TRAILERS)

    def crowd_out(self) -> None:
        self.told.append("crowd_out")
        self.stream.finish(TRAILERS)

    def stop(self) -> None:
        self.told.append("stop")
        self.stream.finish(TRAILERS)


class Owner:
    """Answers requests: at once with their own body, or later, when `answer` is called."""

    def __init__(self, limits: Limits, *, is_prompt: bool = True, is_patient: bool = False) -> None:
        self.connections: set[Connection] = set()
        self.held_bytes = 0
        self.open_streams = self.open_guests = 0
        self.is_ending = False
        self.limits = limits
        self.requests: list[Receiver] = []
        self._is_prompt = is_prompt
        self._is_patient = is_patient

    def open(self, stream: Stream, head: Head) -> None:
        stream.receiver = Receiver(stream, head, self._whole, self._is_patient)
        self.requests.append(stream.receiver)

    def _whole(self, request: Receiver) -> None:
        if self._is_prompt:
            request.stream.respond(HEAD, request.body, TRAILERS)


class Loop:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def time(self) -> float:
        return self.now_s


class Client:
    """The client's side of a connection."""

    def __init__(self, owner: Owner | None = None, *, speaks: bool = True, **limits: Any) -> None:
        """Connects; `limits` are Limits'. With `speaks`, preface and SETTINGS are sent and the answers thrown away."""
        self.owner = owner or Owner(Limits(**limits))
        self.loop = Loop()
        self.transport = Transport()
        self.connection = Connection(self.owner, self.loop)  # type: ignore[arg-type]
        self.connection.connection_made(self.transport)
        self.encoder, self._decoder = hpack.Encoder(), hpack.Decoder()
        if speaks:
            self.say(frames.PREFACE + frames.settings({}))
            self.frames()

    def say(self, data: bytes) -> None:
        """Sends bytes."""
        self.connection.data_received(data)

    def ask(self, number: int, body: bytes = b"", *, is_whole: bool = True, more: Any = ()) -> None:
        """Sends a request; without `is_whole`, all but its last flag."""
        block = self.encoder.encode([*REQUEST, *more])
        data = frames.frame(Kind.DATA, Flag.END_STREAM if is_whole else 0, number, body) if body or is_whole else b""
        self.say(frames.frame(Kind.HEADERS, Flag.END_HEADERS, number, block) + data)

    def frames(self) -> list[Frame]:
        """Takes the frames that have come."""
        found, data = [], bytes(self.transport.written)
        while data:
            high, low, kind, flags, number = struct.unpack_from(">BHBBI", data)
            size = high << 16 | low
            assert len(data) >= 9 + size, "half a frame was written"
            found.append((kind, flags, number, data[9 : 9 + size]))
            data = data[9 + size :]
        del self.transport.written[:]
        return found

    def read(self, block: bytes) -> dict[bytes, bytes]:
        """Reads a header block."""
        return dict(self._decoder.decode(block, raw=True))

    def goaway(self) -> tuple[int, int, str] | None:
        """Takes what has come; returns last stream, code and text of the last GOAWAY in it, if there is one."""
        told = [payload for kind, _, _, payload in self.frames() if kind == Kind.GOAWAY]
        return (*struct.unpack_from(">II", told[-1]), told[-1][8:].decode()) if told else None

    def resets(self) -> list[tuple[int, int]]:
        """Takes what has come; returns streams and codes of the RST_STREAM frames."""
        return [
            (number, int.from_bytes(payload, "big"))
            for kind, _, number, payload in self.frames()
            if kind == Kind.RST_STREAM
        ]

    def wait(self, seconds: float) -> None:
        """Lets time pass, and the server look."""
        self.loop.now_s += seconds
        if self.connection in self.owner.connections:
            self.connection.check(self.loop.now_s)

    def is_done(self) -> bool:
        """Says whether the server waits for this side to close, and that is the end then."""
        return not self.transport.is_closed and self.connection.eof_received() is False

    def lose(self) -> None:
        """Ends the connection as asyncio does."""
        self.transport.is_closed = True
        self.connection.connection_lost(None)


def window(**values: int) -> bytes:
    """A SETTINGS frame with the client's window."""
    return frames.settings({Setting.INITIAL_WINDOW_SIZE: values["size"]})
