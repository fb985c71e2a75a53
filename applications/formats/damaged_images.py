"""Makes damaged image files of every kind that ingest must refuse, each with the reason it must give."""

from __future__ import annotations

import dataclasses
import io
import struct
import zlib

import numpy as np
from PIL import Image

from applications.formats.refusal import Reason


@dataclasses.dataclass(frozen=True)
class Damaged:
    """A file that must be refused.

    Attributes:
        kind: what was done to it, in words.
        reason: what ingest must say.
        extension: of the file name, with the dot.
        data: the content.
    """

    kind: str
    reason: Reason
    extension: str
    data: bytes


def damaged_image(image: Image.Image, rng: np.random.Generator, turn: int) -> Damaged:
    """Damages one image; consecutive turns go through all kinds.

    Args:
        image: 8-bit colour.
        rng: decides where a file breaks off.
        turn: 0 or above.
    """
    makers = (_empty, _text, _cut, _scrambled, _transparent, _bomb, _four_inks, _bad_checksum, _sixteen_bit, _gif)
    return makers[turn % len(makers)](image, rng)


def encode(image: Image.Image, kind: str, **options: int) -> bytes:
    """The bytes of an image in a format that Pillow names, such as `JPEG`."""
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def _empty(image: Image.Image, rng: np.random.Generator) -> Damaged:
    del image, rng
    return Damaged("nothing was written", "zero bytes", ".jpg", b"")


def _text(image: Image.Image, rng: np.random.Generator) -> Damaged:
    del image
    page = f"<!DOCTYPE html><title>503 Service Unavailable</title><p>Request {rng.integers(1 << 30)}</p>\n"
    return Damaged("a server's error page saved as an image", "not an image", ".jpg", page.encode())


def _cut(image: Image.Image, rng: np.random.Generator) -> Damaged:
    data = encode(image, "JPEG", quality=90)
    return Damaged("a download that broke off", "truncated", ".jpg", data[: int(len(data) * rng.uniform(0.4, 0.9))])


def _scrambled(image: Image.Image, rng: np.random.Generator) -> Damaged:
    data = bytearray(encode(image, "JPEG", quality=90))
    data[20:180] = rng.bytes(160).replace(b"\xff", b"\0")
    return Damaged("a header overwritten with noise", "unreadable", ".jpg", bytes(data))


def _transparent(image: Image.Image, rng: np.random.Generator) -> Damaged:
    alpha = Image.new("L", image.size, int(rng.integers(0, 128)))
    image = image.copy()
    image.putalpha(alpha)
    return Damaged("a transparent overlay", "wrong mode", ".png", encode(image, "PNG"))


def _bomb(image: Image.Image, rng: np.random.Generator) -> Damaged:
    """A few bytes that claim a huge picture; decoding it would fill the memory."""
    del image
    side = int(rng.integers(30_000, 60_000))
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 64)), (b"IEND", b""))
    data = b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, body) for name, body in chunks)
    return Damaged(f"claims {side} x {side} pixels", "too many pixels", ".png", data)


def _four_inks(image: Image.Image, rng: np.random.Generator) -> Damaged:
    del rng
    return Damaged("a print file of four inks", "wrong mode", ".jpg", encode(image.convert("CMYK"), "JPEG"))


def _bad_checksum(image: Image.Image, rng: np.random.Generator) -> Damaged:
    data = bytearray(encode(image, "PNG"))
    data[int(rng.integers(60, len(data) - 40))] ^= 0x55
    return Damaged("a byte flipped on a worn disk", "unreadable", ".png", bytes(data))


def _sixteen_bit(image: Image.Image, rng: np.random.Generator) -> Damaged:
    del rng
    deep = np.asarray(image.convert("L"), np.uint16) * 257
    return Damaged("a 16-bit band", "wrong mode", ".png", encode(Image.fromarray(deep), "PNG"))


def _gif(image: Image.Image, rng: np.random.Generator) -> Damaged:
    del rng
    return Damaged("a GIF", "wrong mode", ".gif", encode(image.quantize(64), "GIF"))


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
