"""Reads one encoded image, or says in plain words why not. What is accepted here, TensorFlow decodes too."""

from __future__ import annotations

import dataclasses
import io
import re

import numpy as np
import numpy.typing as npt
from PIL import Image

from applications.formats.perceptual import perceptual_hash, thumbnail
from applications.formats.refusal import Reason, Refused

DARK_BELOW, BRIGHT_FROM = 0.25, 0.45  # mean luma; the bands of the slice `brightness_band`

_FORMATS = ("JPEG", "PNG")
_MAGIC = {"JPEG": b"\xff\xd8\xff", "PNG": b"\x89PNG\r\n\x1a\n"}
_OTHER_MAGIC = {
    b"GIF8": "a GIF",
    b"BM": "a BMP",
    b"II*\0": "a TIFF",
    b"MM\0*": "a TIFF",
    b"II+\0": "a BigTIFF",
    b"MM\0+": "a BigTIFF",
    b"\0\0\0\x0cjP  ": "a JPEG 2000",
}
_PLAIN_MODES = ("RGB", "L", "P", "1")
_ALPHA_MODES = ("RGBA", "LA", "PA")
_ADDRESS = re.compile(r"<[^<>]* at 0x[0-9a-f]+>")  # of an object in memory: another one in every run
_OPAQUE = 255
_WORKING_PX = 512  # hash and thumbnail look from afar: larger images are averaged to about this first


@dataclasses.dataclass(frozen=True)
class ReadImage:
    """What is known of an image once it was read.

    Attributes:
        height_px: pixels, as stored; an orientation tag is not applied, because TensorFlow does not apply it either.
        width_px: pixels, as stored.
        brightness: mean luma, 0 to 1.
        contrast: standard deviation of luma, 0 to 0.5.
        perceptual_hash: 64-bit whole number, see `perceptual`.
        thumbnail: uint8 `[8, 8, 3]`, see `perceptual`.
    """

    height_px: int
    width_px: int
    brightness: float
    contrast: float
    perceptual_hash: int
    thumbnail: npt.NDArray[np.uint8]

    @property
    def brightness_band(self) -> str:
        """`dark`, `middle` or `bright`."""
        return brightness_band(self.brightness)


def brightness_band(brightness: float) -> str:
    """Names the band of a mean luma from 0 to 1: `dark` below 0.25, `bright` from 0.45, else `middle`."""
    if brightness < DARK_BELOW:
        return "dark"
    return "bright" if brightness >= BRIGHT_FROM else "middle"


def read_image(data: bytes, *, max_pixels: int) -> ReadImage:
    """Reads one image completely.

    Accepted are JPEG and PNG of 8 bits a channel: colour, greyscale, palette. An alpha channel is accepted where it is
    opaque throughout, since the network sees colour alone; transparent pixels have no colour to see.

    Args:
        data: the file's content.
        max_pixels: an image with more is refused before it is decoded.

    Raises:
        Refused: with the reason and what was found.
    """
    kind = _format_of(data)
    image = _opened(data, kind, max_pixels)
    width_px, height_px = image.size
    _check_mode(image, kind)
    colour, luma = _decoded(data, image, kind)
    brightness, contrast = _luma_statistics(luma)
    smaller = max(1, min(image.size) // _WORKING_PX)
    if smaller > 1:
        colour, luma = colour.reduce(smaller), luma.reduce(smaller)
    return ReadImage(
        height_px=height_px,
        width_px=width_px,
        brightness=brightness,
        contrast=contrast,
        perceptual_hash=perceptual_hash(np.asarray(luma)),
        thumbnail=thumbnail(np.asarray(colour)),
    )


def _format_of(data: bytes) -> str:
    if not data:
        raise Refused("zero bytes", "the file is empty")
    for name, magic in _MAGIC.items():
        if data.startswith(magic):
            return name
    for magic, words in _OTHER_MAGIC.items():
        if data.startswith(magic):
            raise Refused("wrong mode", f"{words} file; only JPEG and PNG are read")
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        raise Refused("wrong mode", "a WebP file; only JPEG and PNG are read")
    if any(magic.startswith(data) for magic in _MAGIC.values()):
        raise Refused("truncated", f"only {len(data)} bytes of an image's first mark are left")
    raise Refused("not an image", f"begins with {data[:12]!r}, which is neither JPEG nor PNG")


def _opened(data: bytes, kind: str, max_pixels: int) -> Image.Image:
    """Reads the header only, so that size and mode are known before anything is decoded."""
    try:
        image = Image.open(io.BytesIO(data), formats=_FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise Refused("too many pixels", f"{error}") from error
    except Exception as error:  # a parser fed with hostile bytes may raise anything
        if _ends(data, kind):
            raise Refused("unreadable", f"a damaged {kind} header ({_words(error)})") from error
        raise Refused("truncated", f"a {kind} that breaks off in its header, after {len(data)} bytes") from error
    pixels = image.width * image.height
    if pixels > max_pixels:
        raise Refused("too many pixels", f"{image.width} x {image.height} = {pixels} pixels, at most {max_pixels}")
    return image


def _check_mode(image: Image.Image, kind: str) -> None:
    if kind == "PNG" and getattr(image, "is_animated", False):
        raise Refused(
            "wrong mode", f"an animation of {getattr(image, 'n_frames', 'several')} frames; give one file each"
        )
    if image.mode not in (*_PLAIN_MODES, *_ALPHA_MODES):
        raise Refused("wrong mode", f"mode {image.mode}; 8-bit colour, greyscale or palette is expected")


def _decoded(data: bytes, image: Image.Image, kind: str) -> tuple[Image.Image, Image.Image]:
    """Colour and luma. PNG checksums are verified, since TensorFlow refuses a file where one is wrong."""
    if not _ends(data, kind):
        raise Refused("truncated", f"a {kind} without its end mark, {len(data)} bytes")
    try:
        if kind == "PNG":
            image.verify()
            image = Image.open(io.BytesIO(data), formats=_FORMATS)
        image.load()
        is_opaque = "transparency" not in image.info and image.mode not in _ALPHA_MODES
        lowest_alpha = _OPAQUE if is_opaque else int(np.asarray(image.convert("RGBA").getchannel("A")).min())
        colour = image if image.mode == "RGB" else image.convert("RGB")
        luma = image if image.mode == "L" else colour.convert("L")
    except Exception as error:  # a decoder fed with hostile bytes may raise anything
        reason: Reason = "truncated" if "truncated" in str(error) else "unreadable"
        raise Refused(reason, _words(error)) from error
    if lowest_alpha < _OPAQUE:
        raise Refused("wrong mode", f"has transparent pixels (alpha down to {lowest_alpha}); flatten it onto a colour")
    return colour, luma


def _ends(data: bytes, kind: str) -> bool:
    """Whether the end mark is there. In JPEG it must follow the last scan; bytes after it are tolerated."""
    if kind == "PNG":
        return data.rfind(b"IEND\xaeB`\x82") > 0
    return data.rfind(b"\xff\xd9") > data.rfind(b"\xff\xda")


def _luma_statistics(luma: Image.Image) -> tuple[float, float]:
    counts = np.asarray(luma.histogram(), np.float64) / (luma.width * luma.height)
    levels = np.arange(256) / 255
    mean = float(counts @ levels)
    variance = float(counts @ (levels - mean) ** 2)
    return mean, variance**0.5


def _words(error: Exception) -> str:
    text = " ".join(_ADDRESS.sub("", str(error)).split())
    return text[:200] or type(error).__name__
