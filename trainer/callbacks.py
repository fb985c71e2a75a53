"""What happens beside the training steps: progress, the history, and stopping when the loss is lost."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from applications import progress
from applications.errors import StageError


class StopOnNan(keras.callbacks.Callback):
    """Ends the training with an error as soon as the loss is not a finite number."""

    def __init__(self, epochs: int) -> None:
        """Remembers how many epochs were planned, for the message."""
        super().__init__()
        self._epochs = epochs
        self._epoch = 0

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Remembers the epoch, for the message."""
        self._epoch = epoch + 1

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        """Looks at the loss.

        Raises:
            StageError: it is NaN or infinite.
        """
        loss = float((logs or {}).get("loss", 0.0))
        if math.isfinite(loss):
            return
        rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        raise StageError(
            f"the training loss must stay finite, got {loss} in epoch {self._epoch} of {self._epochs}, "
            f"step {batch + 1}, at a learning rate of {rate:.3g}; no model was written. "
            "Lower train.learning_rate to a tenth, or raise train.warmup_share."
        )


class EpochHistory(keras.callbacks.Callback):
    """Keeps a record of each epoch and reports it as progress.

    Attributes:
        epochs: one dictionary per epoch: `epoch` from 1 on, `loss`, `accuracy`, `val_loss`, `val_accuracy`,
            `learning_rate` after its last step and `seconds`.
    """

    def __init__(self, total: int) -> None:
        """Remembers how many epochs were planned, for the time left."""
        super().__init__()
        self.epochs: list[dict[str, float]] = []
        self._total = total
        self._started = 0.0

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Starts the clock."""
        self._started = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Adds a record and reports it."""
        record: dict[str, Any] = {"epoch": epoch + 1}
        record |= {name: float((logs or {})[name]) for name in ("loss", "accuracy", "val_loss", "val_accuracy")}
        record["learning_rate"] = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        record["seconds"] = time.perf_counter() - self._started
        self.epochs.append(record)
        mean_s = sum(past["seconds"] for past in self.epochs) / len(self.epochs)
        shown = {name: round(record[name], 4) for name in ("loss", "accuracy", "val_accuracy")}
        left_s = round(mean_s * (self._total - epoch - 1), 1)
        progress.report("epoch", done=epoch + 1, total=self._total, left_s=left_s, **shown)


class ScalarLogs(keras.callbacks.Callback):
    """Writes each epoch's figures where TensorBoard finds them.

    `keras.callbacks.TensorBoard` needs the package tensorboard at training time; these files do not.
    """

    def __init__(self, folder: str) -> None:
        """Takes the folder; it is made at the first epoch's end."""
        super().__init__()
        self._folder = folder
        self._writer: tf.summary.SummaryWriter | None = None

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Writes every metric under its own name, with the epoch, from 1 on, as the step."""
        self._writer = self._writer or tf.summary.create_file_writer(self._folder)
        plugin = tf.compat.v1.SummaryMetadata.PluginData(plugin_name="scalars")
        metadata = tf.compat.v1.SummaryMetadata(plugin_data=plugin)
        with self._writer.as_default(step=epoch + 1):
            for name, value in (logs or {}).items():
                tf.summary.write(name, tf.constant(float(value)), metadata=metadata)

    def on_train_end(self, logs: Mapping[str, float] | None = None) -> None:
        """Closes the file."""
        if self._writer:
            self._writer.close()
