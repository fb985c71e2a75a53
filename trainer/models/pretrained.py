"""Published architectures from `keras.applications`, with a new last layer.

They start from nothing unless `train.weights` names a file; nothing is ever downloaded.
"""

from __future__ import annotations

from collections.abc import Callable

import keras

from applications.errors import ConfigError
from applications.settings import TrainSettings

SMALLEST_PX = 32  # the architectures shrink an image to a thirty-second of its side


def mobilenet_v3(shape: tuple[int, int, int], classes: int, settings: TrainSettings) -> keras.Model:
    """Builds MobileNetV3-Small: light on memory and fast on phones; wants more data than `small_resnet`.

    Args:
        shape: height, width (pixels, at least 32) and channels (3) of one image.
        classes: how many.
        settings: `dropout` and `crop` are read here.

    Returns:
        A model from float32 `[batch, height, width, 3]`, 0 to 255, to logits float32 `[batch, classes]`.
    """
    images, body = _body(keras.applications.MobileNetV3Small, shape, settings, include_preprocessing=True)
    return _with_head(images, body(images), classes, settings)


def resnet50(shape: tuple[int, int, int], classes: int, settings: TrainSettings) -> keras.Model:
    """Builds ResNet-50: 23.6 million parameters; for a GPU.

    Args:
        shape: height, width (pixels, at least 32) and channels (3) of one image.
        classes: how many.
        settings: `dropout` and `crop` are read here.

    Returns:
        A model from float32 `[batch, height, width, 3]`, 0 to 255, to logits float32 `[batch, classes]`.
    """
    images, body = _body(keras.applications.ResNet50, shape, settings)
    return _with_head(images, body(keras.applications.resnet.preprocess_input(images)), classes, settings)


def _body(
    architecture: Callable[..., keras.Model], shape: tuple[int, int, int], settings: TrainSettings, **options: bool
) -> tuple[keras.KerasTensor, keras.Model]:
    side_px = min(shape[:2]) * settings.crop
    if side_px < SMALLEST_PX:
        raise ConfigError(
            f"train.model {settings.model} needs to see at least {SMALLEST_PX} pixels a side, got {side_px:.0f} "
            f"(images of {shape[0]} by {shape[1]}, train.crop={settings.crop}). Raise image.height_px and "
            "image.width_px, or take train.model=small_resnet."
        )
    any_side = (None, None, shape[2])  # training may show smaller windows of an image
    body = architecture(input_shape=any_side, include_top=False, weights=None, pooling="avg", **options)
    return keras.Input(any_side, name="pixels"), body


def _with_head(
    images: keras.KerasTensor, values: keras.KerasTensor, classes: int, settings: TrainSettings
) -> keras.Model:
    values = keras.layers.Dropout(settings.dropout, seed=settings.seed, name="dropout")(values)
    return keras.Model(images, keras.layers.Dense(classes, name="logits")(values), name=settings.model)
