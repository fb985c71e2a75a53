"""The model as all peers serve it: bytes of JPEGs in, one answer for each out. Imports nothing of Earthloop."""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

MODEL_VARIABLE = "EARTHLOOP_BENCHMARK_MODEL"  # the folder of a version
MAX_BATCH = 32
WAIT_S = 0.002  # for a batch to fill


class Model:
    """A loaded version; warmed up, with TensorFlow's own choice of threads."""

    def __init__(self, folder: str | None = None) -> None:
        import tensorflow as tf

        path = Path(folder or os.environ[MODEL_VARIABLE])
        self._constant = tf.constant
        self._loaded = tf.saved_model.load(str(path))
        self._signature = self._loaded.signatures["predict_image"]

    def arrays(self, jpegs: Sequence[bytes]) -> dict[str, Any]:
        """Returns every output as a NumPy array, a row for each picture."""
        found = self._signature(image=self._constant(list(jpegs)))
        return {name: tensor.numpy() for name, tensor in found.items()}

    def predict(self, jpegs: Sequence[bytes]) -> list[dict[str, Any]]:
        """Returns label, score and probabilities for each picture."""
        found = self.arrays(jpegs)
        rows = zip(found["label"].tolist(), found["score"].tolist(), found["probabilities"].tolist(), strict=True)
        return [
            {"label": label.decode(), "score": score, "probabilities": probabilities}
            for label, score, probabilities in rows
        ]


def decoded(text: str) -> bytes:
    """Returns the bytes of a picture that came as base64."""
    return base64.b64decode(text)
