"""Networks by the names in `trainer.choices`. Each takes pixels 0 to 255 and gives one logit per class."""

from __future__ import annotations

from collections.abc import Callable

import keras

from applications.settings import TrainSettings
from trainer import choices

Shape = tuple[int, int, int]
Builder = Callable[[Shape, int, TrainSettings], keras.Model]


def build(shape: Shape, classes: int, settings: TrainSettings) -> keras.Model:
    """Builds the network that `settings.model` names.

    Args:
        shape: height, width (pixels) and channels of one image.
        classes: how many.
        settings: `model`, `width` and `dropout` are read here.

    Returns:
        A model from float32 `[batch, height, width, channels]`, 0 to 255, to logits float32 `[batch, classes]`.

    Raises:
        UnknownName: there is no such network.
    """
    builder: Builder = choices.load("train.model", settings.model)
    return builder(shape, classes, settings)
