"""Which items a model has learnt from, kept inside its SavedModel, so that it is never judged on them later.

The list travels with the model through every copy and is covered by the manifest of a pushed version. Weights from
which a later training may start have it beside them: what they have learnt from shapes that model, too.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from applications.progress import report

FILE_NAME = "assets.extra/learnt_from.txt"  # TensorFlow leaves `assets.extra` to whoever exports a model
WEIGHTS_SUFFIX = ".weights.h5"
DIGITS = 16  # of each SHA-256 that are kept; that two of a million items agree in them has a probability below 1e-7


def write(folder: str, sha256: Iterable[str]) -> None:
    """Writes the list into a SavedModel.

    Args:
        folder: of the SavedModel; path or URI.
        sha256: of every item whose content shaped the model, those that decided when to stop included: 64 hexadecimal
            digits, or their first 16.
    """
    _write(f"{folder}/{FILE_NAME}", sha256)


def read(folder: Path) -> frozenset[str] | None:
    """Returns the first 16 digits of the SHA-256 of each item, or None where the model does not say."""
    return _read(folder / FILE_NAME)


def write_beside(weights: str, sha256: Iterable[str]) -> None:
    """Writes the list that belongs to a file of weights; see `write`."""
    _write(beside(weights), sha256)


def of_weights(weights: str) -> frozenset[str] | None:
    """Returns what the weights that a training starts from have learnt from, as `read` does.

    Args:
        weights: the setting `train.weights`; "" for a training that starts from nothing.

    Returns:
        None where there is no list beside the weights, which is noted: nobody can then tell whether the model has
        seen the test items, and no list must be written that looks complete.
    """
    if not weights:
        return frozenset()
    known = _read(Path(beside(weights)))
    if known is None:
        text = f"whether train.weights has learnt from today's test items cannot be told: there is no {beside(weights)}"
        report("note", text=text)
    return known


def beside(weights: str) -> str:
    """Returns where the list of a file of weights lies: `network.learnt_from.txt` for `network.weights.h5`."""
    return f"{weights.removesuffix(WEIGHTS_SUFFIX)}.learnt_from.txt"


def _write(path: str, sha256: Iterable[str]) -> None:
    import tensorflow as tf

    tf.io.gfile.makedirs(path.rpartition("/")[0])
    with tf.io.gfile.GFile(path, "w") as file:
        file.write("".join(f"{digits}\n" for digits in sorted({digest[:DIGITS] for digest in sha256})))


def _read(path: Path) -> frozenset[str] | None:
    return frozenset(path.read_text(encoding="ascii").split()) if path.is_file() else None
