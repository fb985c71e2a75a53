"""One training of one network: compile, fit with early stopping, and say how it went."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from applications.errors import ConfigError, StageError
from applications.settings import TrainSettings
from trainer import models, strategies
from trainer.callbacks import EpochHistory, ScalarLogs, StopOnNan
from trainer.input import Items, evaluation_batches, training_batches
from trainer.schedules import WarmUpCosine

EVALUATION_BATCH = 128  # images


@dataclasses.dataclass(frozen=True, kw_only=True)
class History:
    """How a training went: the contents of `history.json`.

    Attributes:
        epochs: one record per epoch, see `trainer.callbacks.EpochHistory`.
        best_epoch: whose weights the network has, from 1 on.
        stopped_early: whether the validation loss stopped it before its last epoch.
        network: name of the network.
        parameters: how many numbers it has learnt or gathered.
        train_seconds: wall time of the fit.
        temperature: that its logits were divided by afterwards, see `trainer.calibration`.
    """

    epochs: list[dict[str, float]]
    best_epoch: int
    stopped_early: bool
    network: str
    parameters: int
    train_seconds: float
    temperature: float = 1.0


def seed(number: int) -> None:
    """Makes what follows repeatable: initial weights, order, augmentation and dropout."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(number)


def steps_per_epoch(items: int, settings: TrainSettings) -> int:
    """Returns the steps of one epoch: those asked for, or as many whole batches as `items` gives; at least 1."""
    return settings.steps_per_epoch or max(1, items // settings.batch_size)


def compiled(shape: tuple[int, int, int], classes: int, steps: int, settings: TrainSettings) -> keras.Model:
    """Builds a network, loads its starting weights if there are any, and compiles it.

    Args:
        shape: height, width (pixels) and channels of one image.
        classes: how many.
        steps: of the whole training; the learning rate follows them.
        settings: of the training.

    Returns:
        A model ready to fit, from float32 `[batch, height, width, channels]`, 0 to 255, to logits.

    Raises:
        UnknownName: there is no such network.
        ConfigError: the starting weights are missing or do not fit.
    """
    model = models.build(shape, classes, settings)
    if settings.weights:
        _load_weights(model, settings.weights)
    optimizer = keras.optimizers.AdamW(
        WarmUpCosine(settings.learning_rate, steps, settings.warmup_share), weight_decay=settings.weight_decay
    )
    optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
    optimizer.build(model.trainable_variables)  # or else the first step would make its variables and be traced twice
    loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=settings.label_smoothing)
    # XLA is off: on a CPU its convolutions take about twice the time of oneDNN's.
    accuracy = keras.metrics.CategoricalAccuracy(name="accuracy")  # by name it would be made in the first step, too
    model.compile(optimizer, loss, weighted_metrics=[], metrics=[accuracy], jit_compile=False)
    return model


def fit(model: keras.Model, train: Items, validation: Items, settings: TrainSettings, logs: str) -> History:
    """Trains until the last epoch or until the validation loss has not fallen for `settings.patience` epochs.

    The network keeps the weights of its best epoch. With the same seed, data, machine and number of cores the same
    history comes back; another number of cores adds up in another order and differs in the last digits.

    Args:
        model: from `compiled`.
        train: items to learn from.
        validation: items that decide when to stop.
        settings: of the training.
        logs: folder for TensorBoard's logs.

    Returns:
        How it went.

    Raises:
        StageError: the loss is not finite.
    """
    classes = model.output_shape[-1]
    batches = training_batches(train, classes, settings)
    if model.distribute_strategy.num_replicas_in_sync > 1:
        strategies.prepare_for_replicas(model, batches)
    record = EpochHistory(settings.epochs)
    patience = keras.callbacks.EarlyStopping(
        monitor="val_loss",
        patience=settings.patience,
        start_from_epoch=int(settings.epochs * settings.warmup_share),
        restore_best_weights=True,
    )
    started = time.perf_counter()
    model.fit(
        batches,
        steps_per_epoch=steps_per_epoch(len(train), settings),
        epochs=settings.epochs,
        validation_data=evaluation_batches(validation, classes, EVALUATION_BATCH),
        callbacks=[StopOnNan(settings.epochs), record, patience, ScalarLogs(logs)],
        shuffle=False,  # the data set is shuffled
        verbose=0,
    )
    return History(
        epochs=record.epochs,
        best_epoch=patience.best_epoch + 1,
        stopped_early=len(record.epochs) < settings.epochs,
        network=settings.model,
        parameters=model.count_params(),
        train_seconds=time.perf_counter() - started,
    )


def logits(model: keras.Model, pixels: tf.Tensor | np.ndarray) -> np.ndarray:
    """Returns what a network says of some images.

    Args:
        model: from pixels to logits.
        pixels: uint8 `[items, height, width, channels]`.

    Returns:
        float32 `[items, classes]`.
    """

    @tf.function(reduce_retracing=True, autograph=False)
    def answer(images: tf.Tensor) -> tf.Tensor:
        """Returns the logits of one batch."""
        return model(tf.cast(images, tf.float32), training=False)

    starts = range(0, len(pixels), EVALUATION_BATCH)
    answers: list[Any] = [
        answer(tf.convert_to_tensor(pixels[start : start + EVALUATION_BATCH])).numpy() for start in starts
    ]
    return np.concatenate(answers)


def check_enough(items: Items, classes: tuple[str, ...], split: str) -> None:
    """Checks that a split can be learnt from.

    Args:
        items: of the split.
        classes: their names.
        split: its name, for the message.

    Raises:
        StageError: fewer than two classes have items.
    """
    present = np.unique(items.label_id)
    if len(present) >= 2:  # noqa: PLR2004
        return
    names = ", ".join(classes[index] for index in present)
    raise StageError(
        f"the {split} split must hold items of at least two classes, got {len(items)} of {names} only. "
        "Give the run more data, or other fractions under `split`."
    )


def _load_weights(model: keras.Model, path: str) -> None:
    if not Path(path).is_file():
        raise ConfigError(f"train.weights must name an existing .weights.h5 file, got {path!r}. Train once without it.")
    try:
        model.load_weights(path)
    except (ValueError, OSError) as error:
        raise ConfigError(
            f"train.weights must fit the network {model.name!r} of {model.count_params()} parameters, "
            f"but {path!r} does not: {first_sentence(error)} Use the train settings it was made with."
        ) from error


def without_optimizer(model: keras.Model) -> keras.Model:
    """Returns the same network, to save or load its weights alone.

    The state of the optimizer is twice their size, and its count of steps would put a later training at the end of
    its schedule.
    """
    return keras.Model(model.inputs, model.outputs, name=model.name)


def first_sentence(error: Exception) -> str:
    """Returns the first sentence of an error of Keras, which goes on for pages with the values of the weights."""
    lines = str(error).splitlines() or [type(error).__name__]
    return f"{lines[0].partition('. ')[0].rstrip('.')}."
