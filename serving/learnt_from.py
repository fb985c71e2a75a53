"""Which items a model has learnt from, kept inside its SavedModel, so that it is never judged on them later.

The list travels with the model through every copy and is covered by the manifest of a pushed version.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

FILE_NAME = "assets.extra/learnt_from.txt"  # TensorFlow leaves `assets.extra` to whoever exports a model
DIGITS = 16  # of each SHA-256 that are kept; that two of a million items agree in them has a probability below 1e-7


def write(folder: str, sha256: Iterable[str]) -> None:
    """Writes the list into a SavedModel.

    Args:
        folder: of the SavedModel; path or URI.
        sha256: 64 hexadecimal digits of every item whose content shaped the model, those that decided when to stop
            included.
    """
    import tensorflow as tf

    path = f"{folder}/{FILE_NAME}"
    tf.io.gfile.makedirs(path.rpartition("/")[0])
    with tf.io.gfile.GFile(path, "w") as file:
        file.write("".join(f"{digits}\n" for digits in sorted({digest[:DIGITS] for digest in sha256})))


def read(folder: Path) -> frozenset[str] | None:
    """Returns the first 16 digits of the SHA-256 of each item, or None where the model does not say."""
    path = folder / FILE_NAME
    return frozenset(path.read_text(encoding="ascii").split()) if path.is_file() else None
