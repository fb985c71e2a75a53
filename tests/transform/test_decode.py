"""Decoding in the graph: right pixels, and one broken image never fails its neighbours."""

from __future__ import annotations

import io

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from transform.decode import NOT_AN_IMAGE, UNREADABLE, decode_images

SIDE = 16  # pixels
PIXELS = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)


def encode(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    """Returns the bytes of one file."""
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


@tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
def decode(files: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Decodes to the tests' size; at most 1,000 pixels are let through."""
    return decode_images(files, SIDE, SIDE, 1000)


GOOD = encode(Image.fromarray(PIXELS))
JPEG = encode(Image.fromarray(PIXELS), "JPEG")


def reason(file: bytes) -> str:
    """Decodes a file between two good ones, which must come out right, and returns its reason."""
    pixels, reasons = decode(tf.constant([GOOD, file, GOOD]))
    np.testing.assert_array_equal(pixels[0], PIXELS)
    np.testing.assert_array_equal(pixels[2], PIXELS)
    assert reasons[0] == reasons[2] == b""
    text = reasons[1].numpy().decode()
    assert text == "" or not np.any(pixels[1])
    return text


def test_an_image_of_the_right_size_keeps_its_pixels() -> None:
    assert reason(GOOD) == ""


def test_a_jpeg_decodes_as_pillow_decodes_it() -> None:
    pixels, _ = decode(tf.constant([JPEG]))
    expected = np.asarray(Image.open(io.BytesIO(JPEG)), np.int32)
    assert np.abs(pixels[0].numpy() - expected).mean() < 2  # two JPEG libraries round differently


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "1"])
def test_other_png_modes_become_rgb(mode: str) -> None:
    image = Image.new("L", (SIDE, SIDE), 255).convert(mode)
    pixels, reasons = decode(tf.constant([encode(image)]))
    assert reasons[0] == b""
    assert pixels.numpy().min() == 255


def test_a_16_bit_png_keeps_its_upper_8_bits() -> None:
    image = Image.fromarray(np.full((SIDE, SIDE), 0x8040, np.uint16))
    pixels, _ = decode(tf.constant([encode(image)]))
    assert set(pixels.numpy().ravel()) == {0x80}


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_other_jpeg_modes_become_rgb(mode: str) -> None:
    file = encode(Image.new("RGB", (SIDE, SIDE), (200, 200, 200)).convert(mode), "JPEG")
    pixels, _ = decode(tf.constant([file]))
    assert abs(int(pixels.numpy().mean()) - 200) <= 3


def test_another_size_is_resized_with_antialiasing() -> None:
    stripes = np.zeros((30, 30, 3), np.uint8)
    stripes[::2] = 255
    pixels, _ = decode(tf.constant([encode(Image.fromarray(stripes))]))
    assert pixels.shape == (1, SIDE, SIDE, 3)
    assert np.all(np.abs(pixels.numpy()[:, 2:-2].astype(int) - 127) < 60)


@pytest.mark.parametrize("form", ["GIF", "BMP", "WEBP", "TIFF"])
def test_other_formats_are_refused_by_name(form: str) -> None:
    assert reason(encode(Image.fromarray(PIXELS), form)) == NOT_AN_IMAGE


def test_an_animated_gif_is_refused() -> None:
    frames = [Image.fromarray(PIXELS // shade) for shade in (1, 2)]
    assert reason(encode(frames[0], "GIF", save_all=True, append_images=frames[1:])) == NOT_AN_IMAGE


@pytest.mark.parametrize("file", [b"", b"x", b"not an image at all"])
def test_what_is_no_image_is_refused(file: bytes) -> None:
    assert reason(file) == NOT_AN_IMAGE


@pytest.mark.parametrize("file", [JPEG[:3], JPEG[:200], GOOD[:8], GOOD[:20], GOOD[:100]])
def test_a_truncated_image_is_unreadable(file: bytes) -> None:
    assert reason(file) == UNREADABLE


def test_an_image_with_too_many_pixels_is_refused() -> None:
    assert reason(encode(Image.new("RGB", (40, 40)))) == "more than 1000 pixels"


@pytest.mark.parametrize("side", [65_000, 2**31 - 1])
def test_a_png_that_declares_a_huge_size_is_refused_undecoded(side: int) -> None:
    sides = side.to_bytes(4, "big") * 2
    assert reason(GOOD[:16] + sides + GOOD[24:]) == "more than 1000 pixels"


def test_a_jpeg_that_declares_a_huge_size_is_refused_undecoded() -> None:
    frame = JPEG.find(b"\xff\xc0")
    sides = (65_000).to_bytes(2, "big") * 2
    assert reason(JPEG[: frame + 5] + sides + JPEG[frame + 9 :]) == "more than 1000 pixels"


@given(
    place=st.floats(0, 1, exclude_max=True), junk=st.binary(min_size=1, max_size=8), file=st.sampled_from([GOOD, JPEG])
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_damage_anywhere_leaves_the_neighbours_alone(place: float, junk: bytes, file: bytes) -> None:
    at = int(place * len(file))
    reason(file[:at] + junk + file[at + len(junk) :])


def test_a_batch_of_nothing_but_broken_images_has_only_reasons() -> None:
    pixels, reasons = decode(tf.constant([b"", JPEG[:100]]))
    assert pixels.shape == (2, SIDE, SIDE, 3)
    assert reasons.numpy().tolist() == [NOT_AN_IMAGE.encode(), UNREADABLE.encode()]


def test_an_empty_batch_gives_an_empty_batch() -> None:
    pixels, reasons = decode(tf.constant([], tf.string))
    assert pixels.shape == (0, SIDE, SIDE, 3)
    assert reasons.shape == (0,)
