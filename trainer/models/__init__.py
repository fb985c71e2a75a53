"""Networks by name. Each takes pixels 0 to 255 and gives one logit per class."""

from __future__ import annotations

from collections.abc import Callable

import keras

from applications.errors import UnknownName
from applications.settings import TrainSettings
from trainer.models import pretrained, small_resnet

Shape = tuple[int, int, int]
Builder = Callable[[Shape, int, TrainSettings], keras.Model]

_BUILDERS: dict[str, Builder] = {
    "mobilenet_v3": pretrained.mobilenet_v3,
    "resnet50": pretrained.resnet50,
    "small_resnet": small_resnet.small_resnet,
}


def names() -> tuple[str, ...]:
    """Returns the known networks."""
    return tuple(_BUILDERS)


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
    if settings.model not in _BUILDERS:
        raise UnknownName("network (train.model)", settings.model, names())
    return _BUILDERS[settings.model](shape, classes, settings)
