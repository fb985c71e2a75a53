"""The search for better training settings, with keras-tuner."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import keras_tuner

from applications import progress
from applications.settings import TrainSettings, TuneSettings
from trainer import fitting
from trainer.callbacks import StopOnNan
from trainer.input import Items, evaluation_batches, training_batches

WIDTHS = (16, 24, 32, 48)  # channels of the first block
SPREAD = 4.0  # learning rate and weight decay are looked for within this factor of the configured ones


class ConfiguredFirst(keras_tuner.oracles.RandomSearchOracle):
    """Draws settings at random, but tries the configured ones first."""

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Returns the next settings to try."""
        if self.trials:
            return dict(super().populate_space(trial_id))
        return {"status": "RUNNING", "values": dict(self.hyperparameters.values)}


class Search(keras_tuner.Tuner):
    """A search that reports each finished trial as progress and keeps no networks, only their scores."""

    def run_trial(self, trial: Any, *args: Any, **options: Any) -> dict[str, float]:
        """Trains one network and returns the best validation accuracy of its epochs."""
        history = self.hypermodel.build(trial.hyperparameters).fit(*args, **options).history
        return {"val_accuracy": max(history["val_accuracy"])}

    def on_trial_end(self, trial: Any) -> None:
        """Reports the trial."""
        super().on_trial_end(trial)
        done, total = len(self.oracle.trials), self.oracle.max_trials
        score = self.oracle.trials[trial.trial_id].score
        progress.report("trial", done=done, total=total, val_accuracy=score, **trial.hyperparameters.values)


def search(train: Items, classes: int, settings: TrainSettings, tune: TuneSettings, folder: str) -> Search:
    """Returns a search over learning rate, weight decay, width and dropout for the best validation accuracy.

    Args:
        train: the training split; its size sets the length of the learning-rate schedule.
        classes: how many.
        settings: where the search starts; `epochs` are those of one trial.
        tune: its budget.
        folder: where the search keeps its state.
    """
    steps = settings.epochs * fitting.steps_per_epoch(len(train), settings)

    def build(parameters: keras_tuner.HyperParameters) -> keras.Model:
        """Builds and compiles the network of one trial."""
        return fitting.compiled(tuple(train.pixels.shape[1:]), classes, steps, proposed(parameters, settings))

    objective = keras_tuner.Objective("val_accuracy", direction="max")
    oracle = ConfiguredFirst(objective, max_trials=tune.trials, seed=settings.seed)
    return Search(oracle, build, directory=folder, project_name="tune", overwrite=True)


def proposed(parameters: keras_tuner.HyperParameters, settings: TrainSettings) -> TrainSettings:
    """Returns `settings` with the values that the search proposes; by default they are `settings`' own."""
    rate, decay = settings.learning_rate, max(settings.weight_decay, 1e-6)
    ranges = {"learning_rate": rate, "weight_decay": decay}
    values: dict[str, Any] = {
        name: parameters.Float(name, middle / SPREAD, middle * SPREAD, sampling="log", default=middle)
        for name, middle in ranges.items()
    }
    widths = sorted({*WIDTHS, settings.width})
    values["width"] = parameters.Choice("width", widths, default=settings.width)
    values["dropout"] = parameters.Float("dropout", 0.0, 0.5, step=0.1, default=settings.dropout)
    return dataclasses.replace(settings, **values)


def fit_options(train: Items, validation: Items, classes: int, settings: TrainSettings) -> dict[str, Any]:
    """Returns what each trial's `fit` is called with."""
    return {
        "x": training_batches(train, classes, settings),
        "steps_per_epoch": fitting.steps_per_epoch(len(train), settings),
        "epochs": settings.epochs,
        "validation_data": evaluation_batches(validation, classes, fitting.EVALUATION_BATCH),
        "callbacks": [StopOnNan(settings.epochs)],
        "shuffle": False,
        "verbose": 0,
    }
