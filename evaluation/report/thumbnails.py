"""Small pictures for the report, as data URIs.

They are made anew, so that no place or camera data of the original is carried along.
"""

from __future__ import annotations

import base64
import io
import logging
from collections.abc import Collection
from pathlib import Path

from applications.errors import DataError
from evaluation.report.examples import read_examples
from schemas import features

LARGEST_PX = 128  # of the longer side
JPEG_QUALITY = 88

logger = logging.getLogger(__name__)


def collect_thumbnails(
    folder: Path, wanted: Collection[str], split: str = features.TEST
) -> tuple[dict[str, str], dict[str, str]]:
    """Finds pictures of wanted items, and one of each class, in one pass over a split.

    Args:
        folder: an Examples artifact.
        wanted: SHA-256 of the items, 64 hexadecimal digits each.
        split: where they are.

    Returns:
        Data URIs by SHA-256, and data URIs by class name (its first item). What cannot be read is left out and logged.
    """
    by_item: dict[str, str] = {}
    by_class: dict[str, str] = {}
    try:
        for example in read_examples(folder, split):
            sha256, label = (
                example.get(key, b"").decode("utf-8", "replace") for key in (features.SHA256, features.LABEL)
            )
            is_wanted, is_new_class = sha256 in wanted and sha256 not in by_item, bool(label) and label not in by_class
            if not (is_wanted or is_new_class):
                continue
            uri = thumbnail(example.get(features.IMAGE, b""))
            if uri and is_wanted:
                by_item[sha256] = uri
            if uri and is_new_class:
                by_class[label] = uri
    except DataError as error:
        logger.warning("the report goes without some pictures: %s", error)
    return by_item, by_class


def thumbnail(data: bytes) -> str:
    """Returns an encoded image as the data URI of a JPEG of at most 128 pixels a side; "" when it cannot be read."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(data)) as opened:
            image = opened.convert("RGB")
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
        logger.warning("a picture of the report cannot be read: %s", error)
        return ""
    image.thumbnail((LARGEST_PX, LARGEST_PX))
    out = io.BytesIO()
    image.save(out, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode("ascii")
