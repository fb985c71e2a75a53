"""Starting from the newest pushed model: its weights, whether they fit, and what they have learnt from."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from applications.errors import ConfigError, EarthloopError
from applications.progress import report
from schemas import features
from serving import learnt_from, model_json
from trainer import fitting
from trainer.input import digests

# In the SavedModel: its own variables are of no use here, as batch normalisation is folded into them for serving.
WEIGHTS_FILE = "assets.extra/network.weights.h5"
NETWORK_FILE = "assets.extra/network.json"
SAVED_MODEL_FILE = "saved_model.pb"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Network:
    """What must be the same for the weights of one network to suit another.

    Attributes:
        model: the setting `train.model`.
        width: the setting `train.width`.
        height_px: of an image, pixels.
        width_px: of an image, pixels.
        classes: label names in order.
    """

    model: str
    width: int
    height_px: int
    width_px: int
    classes: tuple[str, ...]

    def __str__(self) -> str:
        """Returns it in words."""
        return (
            f"train.model={self.model}, train.width={self.width}, images of {self.height_px} by {self.width_px} pixels "
            f"(height by width) and the classes {', '.join(self.classes)}"
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Start:
    """A pushed model that a training starts from.

    Attributes:
        folder: of its SavedModel.
        version: its number; "" where it is not known.
        learnt_from: as `serving.learnt_from.read` gives it; None where the model does not say.
    """

    folder: Path
    version: str
    learnt_from: frozenset[str] | None

    def restore(self, model: keras.Model) -> None:
        """Puts the weights into a network.

        Raises:
            ConfigError: they do not fit, although they are said to: the code of the network has changed since.
        """
        try:
            fitting.without_optimizer(model).load_weights(self.folder / WEIGHTS_FILE)
        except (ValueError, OSError) as error:
            raise ConfigError(
                f"train.warm_start needs weights that fit the network {model.name!r} of {model.count_params()} "
                f"parameters, but those of {_called(self.version)} do not: {fitting.first_sentence(error)} Give "
                "train.warm_start=false to start from nothing."
            ) from error
        report("note", text=f"training starts from {_called(self.version)}")


def find(base_model: str | None, network: Network, train_files: Sequence[str]) -> Start | None:
    """Looks at the newest pushed model.

    Args:
        base_model: folder of its SavedModel. Where nothing was pushed yet it holds none, or does not exist.
        network: the one that is to be trained.
        train_files: glob patterns of the training split; the test split lies beside it.

    Returns:
        The model, or None where this training starts from nothing: none was pushed, it was pushed without its
        weights, or it has learnt from items that are in the test split today. A note says which.

    Raises:
        ConfigError: the model is another network, or knows other classes.
    """
    found = _look(Path(base_model or ""), network, train_files)
    if isinstance(found, str):
        report("note", text=f"training starts from nothing: {found}")
        return None
    return found


def keep(weights: str, network: Network, folder: str, start: Start | None) -> None:
    """Puts the weights of a training into its SavedModel, so that a later training can start from the pushed version.

    Args:
        weights: a `.weights.h5` file, as the training left the network.
        network: whose they are.
        folder: of the SavedModel; path or URI.
        start: what the training started from.
    """
    tf.io.gfile.makedirs(f"{folder}/{WEIGHTS_FILE.rpartition('/')[0]}")
    tf.io.gfile.copy(weights, f"{folder}/{WEIGHTS_FILE}", overwrite=True)
    about = {**dataclasses.asdict(network), "started_from": start.version if start else ""}
    with tf.io.gfile.GFile(f"{folder}/{NETWORK_FILE}", "w") as file:
        file.write(json.dumps(about, indent=1, ensure_ascii=False) + "\n")


def _look(folder: Path, network: Network, train_files: Sequence[str]) -> Start | str:
    """Returns the model, or why a training cannot start from it."""
    if not (folder / SAVED_MODEL_FILE).is_file():
        return "no model was pushed yet"
    version = _version(folder)
    if not (folder / WEIGHTS_FILE).is_file() or not (folder / NETWORK_FILE).is_file():
        return f"{_called(version)} was pushed without the weights of its training"
    _check_same(_read(folder), network, version)
    known = learnt_from.read(folder)
    if known is None:
        open_question = "whether it knows today's test items cannot be told"
        report("note", text=f"{_called(version)} does not say what it has learnt from: {open_question}")
    elif seen := _seen(known, train_files):
        return (
            f"{_called(version)} has learnt from {seen} of today's test items, and no model that starts from it "
            "could be blessed"
        )
    return Start(folder=folder, version=version, learnt_from=known)


def _read(folder: Path) -> Network:
    path = folder / NETWORK_FILE
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        fields = {field.name: values[field.name] for field in dataclasses.fields(Network)}
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"train.warm_start needs to know the network of the pushed model, but {path} does not say it ({error!r}). "
            "Give train.warm_start=false to start from nothing."
        ) from error
    return Network(**{**fields, "classes": tuple(fields["classes"])})


def _check_same(earlier: Network, network: Network, version: str) -> None:
    if earlier != network:
        raise ConfigError(
            f"train.warm_start needs the network that {_called(version)} is: {earlier}. This run trains another: "
            f"{network}. Give train.warm_start=false to start from nothing, or those settings."
        )


def _seen(known: frozenset[str], train_files: Sequence[str]) -> int:
    """Returns how many items of the test split are known; only their digests are read, and only for this."""
    train, test = (f"/Split-{name}/" for name in (features.TRAIN, features.TEST))
    patterns = [pattern.replace(train, test) for pattern in train_files if train in pattern]
    return sum(digest[: learnt_from.DIGITS] in known for digest in digests(patterns))


def _version(folder: Path) -> str:
    try:
        return str(model_json.read(folder).version)
    except EarthloopError:  # no `model.json`, or a damaged one
        return ""


def _called(version: str) -> str:
    return f"version {version}" if version else "the last model"
