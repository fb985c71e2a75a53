"""The transform graph of a run as a module that can be called, and saved inside another model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf
from tensorflow_transform.saved.saved_transform_io_v2 import SavedModelLoader


class TransformGraph(tf.Module):
    """The transform graph, cut down to the raw features that are given and the outputs that are wanted.

    `TFTransformOutput.transform_features_layer` gives a model of Keras 2, which is traced again and again through
    AutoGraph when it is called and saved: seconds per export, and functions in the SavedModel that nobody calls.

    Attributes:
        raw_spec: for each raw feature given, how `tf.io.parse_example` reads it.
    """

    def __init__(self, transform_output: Any, inputs: Sequence[str], outputs: Sequence[str]) -> None:
        """Loads the graph.

        Args:
            transform_output: a `tft.TFTransformOutput`.
            inputs: names of the raw features that each call gives.
            outputs: names of the transformed features wanted.

        Raises:
            ValueError: an output cannot be computed from these inputs.
        """
        super().__init__()
        loader = SavedModelLoader(transform_output.transform_savedmodel_dir)
        loader.finalize(inputs, outputs)
        spec = transform_output.raw_feature_spec()
        self.raw_spec = {name: spec[name] for name in inputs}
        self._apply = loader.apply_transform_model
        self._kept = vars(loader)  # what is saved with this module: only what hangs on its attributes is

    def __call__(self, raw: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Returns the wanted outputs for a batch of raw features."""
        transformed: dict[str, tf.Tensor] = self._apply(dict(raw))
        return transformed
