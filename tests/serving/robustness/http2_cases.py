"""Good conversations in HTTP/2, and how they are broken: the same seed breaks the same way."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable

import hpack
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from serving.model_server.grpc.wire import framed
from serving.model_server.http2 import frames
from serving.model_server.http2.frames import Flag, Kind, Setting
from tests.serving.robustness.mutation import mutated

_HEAD = struct.Struct(">BHBBI")
_EDGES = (0, 1, 2, 3, 8, 100, 16_383, 16_384, 65_535, 65_536, 2**24 - 1, 2**31 - 1, 2**31, 2**32 - 1)
_VALUES = (b"application/grpc", b"1S", b"0n", b"x", b"gzip", b"", b"5", b"application/json", b"\xff", b"a" * 3000)
_NAMES = (b"grpc-timeout", b"content-type", b"grpc-encoding", b"content-length", b"te", b"x", b"X", b"connection", b"")


def conversation(rng: random.Random, predict: bytes) -> list[bytes]:
    """Makes the frames of some good calls on one connection, without the preface.

    Args:
        rng: chooses.
        predict: request for Predict.
    """
    encoder, found = hpack.Encoder(), [frames.settings({Setting.INITIAL_WINDOW_SIZE: rng.choice((65_535, 1 << 20))})]
    for number in range(1, 2 * rng.randint(1, 5), 2):
        path, body = _call(rng, predict)
        fields = [(":method", "POST"), (":scheme", "http"), (":path", path), ("content-type", "application/grpc")]
        block = encoder.encode(fields)
        if rng.random() < 0.2 and len(block) > 2:
            found.append(frames.frame(Kind.HEADERS, 0, number, block[:2]))
            found.append(frames.frame(Kind.CONTINUATION, Flag.END_HEADERS, number, block[2:]))
        else:
            found.append(frames.frame(Kind.HEADERS, Flag.END_HEADERS, number, block))
        if rng.random() < 0.2:
            found.append(frames.frame(Kind.DATA, Flag.PADDED, number, b"\x04" + body[:3] + bytes(4)))
            body = body[3:]
        found.append(frames.frame(Kind.DATA, Flag.END_STREAM, number, body))
        if rng.random() < 0.4:
            found.append(rng.choice(_BETWEEN)(number))
    return found


def _call(rng: random.Random, predict: bytes) -> tuple[str, bytes]:
    listing = reflection_pb2.ServerReflectionRequest(list_services="").SerializeToString()
    health = health_pb2.HealthCheckRequest().SerializeToString()
    reflecting = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
    return rng.choice(
        (
            ("/tensorflow.serving.PredictionService/Predict", framed(predict)),
            ("/tensorflow.serving.PredictionService/Predict", framed(predict)),
            ("/grpc.health.v1.Health/Check", framed(health)),
            ("/grpc.health.v1.Health/Watch", framed(health)),
            (reflecting, framed(listing) * 3),
        )
    )


_BETWEEN: tuple[Callable[[int], bytes], ...] = (
    lambda _: frames.frame(Kind.PING, 0, 0, b"12345678"),
    lambda number: frames.window_update(number, 1000),
    lambda _: frames.window_update(0, 100_000),
    lambda number: frames.reset(number, frames.Fault.CANCEL),
    lambda number: frames.frame(Kind.PRIORITY, 0, number, b"\0\0\0\0\x10"),
    lambda _: frames.settings({Setting.MAX_FRAME_SIZE: 20_000}),
)


def broken(rng: random.Random, sent: list[bytes]) -> bytes:
    """Breaks a conversation in one to four places; the preface stays good more often than not."""
    sent = list(sent)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(sent))
        sent[at : at + 1] = rng.choice(_WAYS)(rng, sent[at])
        if not sent:
            sent = [_any_frame(rng)]
    if rng.random() < 0.1:
        rng.shuffle(sent)
    data = frames.PREFACE + b"".join(sent)
    kind = rng.random()
    if kind < 0.1:
        return data[: rng.randint(0, len(data))]
    return mutated(rng, data) if kind < 0.2 else data


def _flip(rng: random.Random, one: bytes) -> list[bytes]:
    flipped = bytearray(one)
    for _ in range(rng.choice((1, 1, 2, 8))):
        flipped[rng.randrange(len(flipped))] ^= 1 << rng.randrange(8)
    return [bytes(flipped)]


def _with_length(rng: random.Random, one: bytes) -> list[bytes]:
    size = max(0, len(one) - 9 + rng.choice((-9, -1, 1, 2, 9, 100, 1 << 20)))
    return [struct.pack(">I", size & 0xFFFFFF)[1:] + one[3:]]


def _with_head(rng: random.Random, one: bytes) -> list[bytes]:
    if len(one) < _HEAD.size:
        return [one]
    high, low, kind, flags, number = _HEAD.unpack_from(one)
    choice = rng.randrange(3)
    if choice == 0:
        kind = rng.randrange(12)
    elif choice == 1:
        flags = rng.choice((0, 1, 4, 5, 8, 9, 0x20, 0x2D, rng.randrange(256)))
    else:
        number = rng.choice((0, 1, 2, 3, 5, 7, 9, 1001, 2**31 - 1, 2**32 - 1))
    return [_HEAD.pack(high, low, kind, flags, number) + one[9:]]


def _any_frame(rng: random.Random) -> bytes:
    payload = rng.choice(
        (
            b"",
            rng.randbytes(rng.choice((1, 4, 5, 8, 40, 300))),
            struct.pack(">I", rng.choice(_EDGES)),
            struct.pack(">HI", rng.randrange(8), rng.choice(_EDGES)),
            _block(rng),
        )
    )
    kind, number = rng.choice((*range(10), rng.randrange(256))), rng.choice((0, 0, 1, 3, 5, 7, 9, 2, 1001))
    return frames.frame(kind, rng.choice((0, 1, 4, 5, rng.randrange(256))), number, payload)


def _block(rng: random.Random) -> bytes:
    """Makes a header block that can be read, of headers that are seldom a request's."""
    fields = [(b":method", rng.choice((b"POST", b"GET"))), (b":scheme", b"http"), (b":path", b"/a")]
    for _ in range(rng.randint(0, 3)):
        fields.append((rng.choice(_NAMES), rng.choice(_VALUES)))
    if rng.random() < 0.3:
        rng.shuffle(fields)
    return hpack.Encoder().encode(fields, huffman=rng.random() < 0.5)


_WAYS: tuple[Callable[[random.Random, bytes], list[bytes]], ...] = (
    _flip,
    _flip,
    _with_length,
    _with_head,
    _with_head,
    lambda rng, one: [one[: rng.randint(0, len(one))] or b"\0"],
    lambda _, __: [b"\0\0\0\x63\0\0\0\0\0"],  # nothing, as a frame of no kind
    lambda rng, one: [one] * rng.choice((2, 3, 150)),
    lambda rng, one: [one, _any_frame(rng)],
    lambda rng, one: [_any_frame(rng), one],
    lambda rng, _: [_any_frame(rng) for _ in range(rng.randint(1, 20))],
    lambda rng, one: [frames.frame(Kind.HEADERS, rng.choice((0, 4, 5)), rng.choice((1, 3, 11)), _block(rng)), one],
)
