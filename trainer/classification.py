"""Classification: TFX's Trainer calls `run_fn`, its Tuner `tuner_fn`."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
from scipy import special

from applications import discovery
from applications.settings import TrainSettings, TuneSettings
from schemas import features
from serving import learnt_from, signatures
from trainer import calibration, fitting, strategies, warm_start
from trainer.input import Items, load_items
from trainer.models.folding import folded
from transform.graph import TransformGraph

if TYPE_CHECKING:
    from tfx.components.trainer.fn_args_utils import FnArgs
    from tfx.components.tuner.component import TunerFnResult

KEPT_PREDICTIONS = 128  # validation items whose answers the serving check compares with
WEIGHTS_FILE = "network.weights.h5"

_logger = logging.getLogger(__name__)


def run_fn(fn_args: FnArgs) -> None:
    """Trains a classifier and exports it.

    Writes the SavedModel, with the weights that a later training can start from, to `fn_args.serving_model_dir`, and
    to `fn_args.model_run_dir` the files `history.json`, `trainer_predictions.json`, `network.weights.h5` (for
    `train.weights`) and TensorBoard's `logs/`.

    Args:
        fn_args: `custom_config` holds "application" (its name) and "train" (the values of `TrainSettings`);
            `base_model` is the newest pushed model's SavedModel, for `train.warm_start`.

    Raises:
        StageError: too few items, or a loss that is not finite.
        ConfigError: a setting does not fit the data or the machine.
    """
    settings = train_settings(fn_args.custom_config, fn_args.hyperparameters)
    strategy = strategies.strategy(settings.strategy)  # first: several workers must find each other before any op
    fitting.seed(settings.seed)
    classes = discovery.load(fn_args.custom_config["application"]).classes
    transform_output = tft.TFTransformOutput(fn_args.transform_graph_path)
    train, validation = _load_splits(fn_args, transform_output, classes)
    steps = settings.epochs * fitting.steps_per_epoch(len(train), settings)
    network = _network(train, classes, settings)
    start = warm_start.find(fn_args.base_model, network, fn_args.train_files) if settings.warm_start else None
    with strategy.scope():
        model = fitting.compiled(tuple(train.pixels.shape[1:]), len(classes), steps, settings)
        if start:
            start.restore(model)
    history = fitting.fit(model, train, validation, settings, f"{fn_args.model_run_dir}/logs")
    _logger.info("best epoch %d of %d, %.0f s", history.best_epoch, settings.epochs, history.train_seconds)
    if strategies.is_chief():
        _write_weights(model, fn_args.model_run_dir)  # before the scaling: a later training must not start from it
        probabilities, temperature = _calibrate(model, validation)
        history = dataclasses.replace(history, temperature=temperature)
        _write_run(fn_args.model_run_dir, history, validation, probabilities)
        transform = TransformGraph(transform_output, [features.IMAGE], [features.PIXELS, features.REASON])
        signatures.export(folded(model), transform, classes, fn_args.serving_model_dir)
        warm_start.keep(f"{fn_args.model_run_dir}/{WEIGHTS_FILE}", network, fn_args.serving_model_dir, start)
        before = start.learnt_from if start else learnt_from.of_weights(settings.weights)
        _write_learnt_from(fn_args, before, (*train.sha256, *validation.sha256))


def tuner_fn(fn_args: FnArgs) -> TunerFnResult:
    """Sets a search for better training settings up.

    Args:
        fn_args: as for `run_fn`; `custom_config` also holds "tune" (the values of `TuneSettings`).

    Returns:
        The search and what to call it with.
    """
    from tfx.components.tuner.component import TunerFnResult

    from trainer import tuning

    config = fn_args.custom_config
    tune = TuneSettings(**config["tune"])
    settings = dataclasses.replace(train_settings(config, None), epochs=tune.epochs)
    fitting.seed(settings.seed)
    classes = discovery.load(config["application"]).classes
    train, validation = _load_splits(fn_args, tft.TFTransformOutput(fn_args.transform_graph_path), classes)
    search = tuning.search(train, len(classes), settings, tune, fn_args.working_dir)
    return TunerFnResult(tuner=search, fit_kwargs=tuning.fit_options(train, validation, len(classes), settings))


def train_settings(config: Mapping[str, Any], hyperparameters: Mapping[str, Any] | None) -> TrainSettings:
    """Returns the training settings, with tuned values over configured ones.

    Args:
        config: a TFX custom config whose "train" holds the values of `TrainSettings`; lists stand for tuples.
        hyperparameters: the configuration of `keras_tuner.HyperParameters`, or None.

    Returns:
        The settings.

    Raises:
        ConfigError: a value is out of its range.
    """
    values = dict(config["train"])
    if hyperparameters:
        values |= hyperparameters["values"]
    return TrainSettings(**{**values, "augment": tuple(values["augment"])})


def _load_splits(fn_args: FnArgs, transform_output: Any, classes: tuple[str, ...]) -> tuple[Items, Items]:
    train = load_items(fn_args.train_files, transform_output, features.TRAIN)
    validation = load_items(fn_args.eval_files, transform_output, features.VALIDATION)
    fitting.check_enough(train, classes, features.TRAIN)
    return train, validation


def _network(train: Items, classes: tuple[str, ...], settings: TrainSettings) -> warm_start.Network:
    height_px, width_px = (int(side) for side in train.pixels.shape[1:3])
    return warm_start.Network(
        model=settings.model, width=settings.width, height_px=height_px, width_px=width_px, classes=classes
    )


def _calibrate(model: keras.Model, validation: Items) -> tuple[np.ndarray, float]:
    """Scales the network's logits to suit the validation split; returns its probabilities there and the temperature."""
    answers = fitting.logits(model, validation.pixels)
    temperature = calibration.temperature(answers, validation.label_id)
    calibration.scale(model, temperature)
    return special.softmax(answers / temperature, axis=1), temperature


def _write_run(folder: str, history: fitting.History, validation: Items, probabilities: np.ndarray) -> None:
    predictions = {
        "sha256": validation.sha256[:KEPT_PREDICTIONS],
        "probabilities": probabilities[:KEPT_PREDICTIONS].tolist(),
    }
    for name, content in (("history", dataclasses.asdict(history)), ("trainer_predictions", predictions)):
        with tf.io.gfile.GFile(f"{folder}/{name}.json", "w") as file:
            file.write(json.dumps(content, indent=1))


def _write_weights(model: keras.Model, folder: str) -> None:
    tf.io.gfile.makedirs(folder)
    fitting.without_optimizer(model).save_weights(f"{folder}/{WEIGHTS_FILE}")


def _write_learnt_from(fn_args: FnArgs, before: Collection[str] | None, sha256: Collection[str]) -> None:
    """Writes into the SavedModel and beside the weights what they have learnt from.

    Where that is not known of the weights at the start, there is no list: one that looked complete would be a lie.
    """
    if before is not None:
        learnt_from.write(fn_args.serving_model_dir, {*before, *sha256})
        learnt_from.write_beside(f"{fn_args.model_run_dir}/{WEIGHTS_FILE}", {*before, *sha256})
