"""Every kind of bad file gets its reason; what is accepted is described rightly."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from applications.formats.damaged_images import damaged_image
from applications.formats.images import brightness_band, read_image
from applications.formats.refusal import REASONS, Refused

PICTURE = Image.fromarray(np.random.default_rng(1).integers(0, 256, (40, 60, 3), np.uint8))


def stored(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def refusal(data: bytes, max_pixels: int = 10_000) -> Refused:
    with pytest.raises(Refused) as caught:
        read_image(data, max_pixels=max_pixels)
    return caught.value


@pytest.mark.parametrize(
    ("data", "reason", "detail"),
    [
        (b"", "zero bytes", "empty"),
        (b"<html>503</html>", "not an image", "neither JPEG nor PNG"),
        (b"\xff\xd8", "truncated", "only 2 bytes"),
        (stored(PICTURE, "JPEG")[:300], "truncated", "300 bytes"),
        (stored(PICTURE, "JPEG")[:-2], "truncated", "without its end mark"),
        (stored(PICTURE, "PNG")[:-12], "truncated", "without its end mark"),
        (b"\xff\xd8\xff" + b"\0" * 500 + b"\xff\xd9", "unreadable", "damaged JPEG header"),
        (stored(PICTURE, "GIF"), "wrong mode", "a GIF file; only JPEG and PNG"),
        (stored(PICTURE, "TIFF"), "wrong mode", "a TIFF file"),
        (stored(PICTURE, "WEBP"), "wrong mode", "a WebP file"),
        (stored(PICTURE, "BMP"), "wrong mode", "a BMP file"),
        (stored(PICTURE.convert("CMYK"), "JPEG"), "wrong mode", "mode CMYK"),
        (stored(Image.new("I;16", (9, 9)), "PNG"), "wrong mode", "mode I;16"),
        (stored(Image.new("RGBA", (9, 9), (1, 2, 3, 4)), "PNG"), "wrong mode", "transparent pixels (alpha down to 4)"),
        (stored(PICTURE, "PNG", save_all=True, append_images=[PICTURE.rotate(90)]), "wrong mode", "an animation of 2"),
        (stored(Image.new("L", (101, 100)), "PNG"), "too many pixels", "101 x 100 = 10100 pixels, at most 10000"),
    ],
)
def test_a_bad_file_gets_its_reason(data, reason, detail):
    refused = refusal(data)
    assert refused.reason == reason
    assert detail in refused.detail


def test_the_same_bytes_are_refused_in_the_same_words_in_every_run():
    header = b"\xff\xd8\xff" + b"\0" * 500 + b"\xff\xd9"
    assert refusal(header).detail == "a damaged JPEG header (cannot identify image file)"


def test_a_damaged_byte_in_a_png_is_noticed():
    data = bytearray(stored(PICTURE, "PNG"))
    data[200] ^= 1
    assert refusal(bytes(data)).reason == "unreadable"


def test_a_file_that_claims_a_huge_picture_is_refused_before_it_is_decoded():
    bomb = damaged_image(PICTURE, np.random.default_rng(1), turn=5)
    assert refusal(bomb.data, max_pixels=10**12).reason == "too many pixels"


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "1", "RGBA", "LA"])
def test_opaque_pictures_of_every_plain_mode_are_read(mode):
    image = read_image(stored(PICTURE.convert(mode), "PNG"), max_pixels=10_000)
    assert (image.height_px, image.width_px) == (40, 60)
    assert image.thumbnail.shape == (8, 8, 3)


def test_tensorflow_decodes_whatever_is_accepted():
    import tensorflow as tf

    for mode in ("RGB", "L", "P", "1", "RGBA", "LA"):
        data = stored(PICTURE.convert(mode), "PNG")
        image = read_image(data, max_pixels=10_000)
        pixels = tf.io.decode_image(data, channels=3, expand_animations=False).numpy()
        assert pixels.shape == (image.height_px, image.width_px, 3)
        assert (pixels / 255 @ [0.299, 0.587, 0.114]).mean() == pytest.approx(image.brightness, abs=0.005)


def test_grey_jpeg_and_bytes_after_the_end_are_read():
    data = stored(PICTURE.convert("L"), "JPEG") + b"maker's notes"
    assert read_image(data, max_pixels=10_000).width_px == 60


def test_brightness_and_contrast_are_shares_of_full_scale():
    half = np.zeros((10, 10), np.uint8)
    half[:5] = 255
    image = read_image(stored(Image.fromarray(half), "PNG"), max_pixels=100)
    assert image.brightness == pytest.approx(0.5)
    assert image.contrast == pytest.approx(0.5)
    assert image.brightness_band == "bright"


def test_bands_change_at_their_edges():
    assert [brightness_band(x) for x in (0.0, 0.2499, 0.25, 0.4499, 0.45, 1.0)] == [
        "dark", "dark", "middle", "middle", "bright", "bright"
    ]  # fmt: skip


def test_a_large_picture_looks_like_its_small_copy():
    large = PICTURE.resize((1800, 1200), Image.Resampling.BICUBIC)
    small = large.resize((600, 400), Image.Resampling.BOX)
    a, b = (read_image(stored(one, "PNG"), max_pixels=10**7) for one in (large, small))
    assert (a.perceptual_hash ^ b.perceptual_hash).bit_count() <= 2
    assert np.abs(a.thumbnail.astype(int) - b.thumbnail).max() <= 1


@given(turn=st.integers(0, 40), seed=st.integers(0, 1000))
def test_every_made_damage_gets_the_reason_it_was_made_for(turn, seed):
    damaged = damaged_image(PICTURE, np.random.default_rng(seed), turn)
    assert damaged.reason in REASONS
    assert refusal(damaged.data).reason == damaged.reason


@given(data=st.binary(max_size=400), head=st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"]))
def test_no_bytes_whatever_raise_anything_but_a_refusal(data, head):
    assert refusal(head + data).reason in REASONS


@given(at=st.integers(3, 3000), value=st.integers(0, 255), kind=st.sampled_from(["JPEG", "PNG"]))
def test_a_changed_byte_is_read_or_refused(at, value, kind):
    data = bytearray(stored(PICTURE, kind))
    data[at % len(data)] = value
    with contextlib.suppress(Refused):
        assert read_image(bytes(data), max_pixels=10_000).width_px > 0
