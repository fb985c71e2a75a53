"""A residual network small enough to learn in minutes on two CPU cores."""

from __future__ import annotations

import keras

from applications.settings import TrainSettings
from trainer.models.fused_batch_norm import FusedBatchNorm
from trainer.models.space_to_depth import SpaceToDepth

BLOCKS = (2, 2, 2)  # residual blocks at a quarter, an eighth and a sixteenth of the image's side


def small_resnet(shape: tuple[int, int, int], classes: int, settings: TrainSettings) -> keras.Model:
    """Builds the network: a stem at half the image's side, then three stages of residual blocks.

    Args:
        shape: height, width (pixels) and channels of one image; odd sides lose their last row or column.
        classes: how many.
        settings: `width` is the channels of the first stage (each later one has twice as many); `dropout`.

    Returns:
        A model from float32 `[batch, height, width, channels]`, 0 to 255, to logits float32 `[batch, classes]`.
    """
    images = keras.Input((None, None, shape[2]), name="pixels")  # training may show smaller windows of an image
    values = keras.layers.Rescaling(1 / 64, offset=-1.6, name="rescale")(images)
    values = SpaceToDepth(name="space_to_depth")(values)
    values = _convolve(values, settings.width, name="stem")
    values = keras.layers.MaxPooling2D(2, name="stem_pool")(values)
    for stage, blocks in enumerate(BLOCKS):
        width = settings.width * 2**stage
        if stage:
            values = _convolve(values, width, stride=2, name=f"stage{stage}_down")
        for block in range(blocks):
            values = _residual(values, width, f"stage{stage}_block{block}")
    values = keras.layers.GlobalAveragePooling2D(name="pool")(values)
    values = keras.layers.Dropout(settings.dropout, seed=settings.seed, name="dropout")(values)
    return keras.Model(images, keras.layers.Dense(classes, name="logits")(values), name="small_resnet")


def _convolve(values: keras.KerasTensor, width: int, *, name: str, stride: int = 1) -> keras.KerasTensor:
    return keras.layers.ReLU(name=f"{name}_relu")(_normalised(values, width, name=name, stride=stride))


def _normalised(
    values: keras.KerasTensor, width: int, *, name: str, stride: int = 1, starts_at_zero: bool = False
) -> keras.KerasTensor:
    convolution = keras.layers.Conv2D(
        width, 3, strides=stride, padding="same", use_bias=False, kernel_initializer="he_normal", name=name
    )
    return FusedBatchNorm(starts_at_zero=starts_at_zero, name=f"{name}_norm")(convolution(values))


def _residual(values: keras.KerasTensor, width: int, name: str) -> keras.KerasTensor:
    branch = _convolve(values, width, name=f"{name}_a")
    branch = _normalised(branch, width, name=f"{name}_b", starts_at_zero=True)
    return keras.layers.ReLU(name=f"{name}_relu")(keras.layers.Add(name=f"{name}_add")([values, branch]))
