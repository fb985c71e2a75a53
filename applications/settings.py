"""Every setting of a run: its default, unit, range and meaning, in one place.

A value comes, in this order, from the default here, the application's spec, the `--config` file, `--set`.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Literal

from applications.errors import ConfigError, UnknownName

BEAM_RUNNERS = ("FnApiRunner", "DataflowRunner", "FlinkRunner", "PortableRunner", "PrismRunner", "SparkRunner")
Strategy = Literal["none", "mirrored", "multi_worker"]


def require(claim: bool, field: str, rule: str, value: object) -> None:
    """Raises `ConfigError` naming the field, the rule and the value unless `claim` holds."""
    if not claim:
        raise ConfigError(f"{field} must be {rule}, got {value!r}.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpanSettings:
    """Which part of data that arrive in portions is read, where the data path is a pattern such as `field/{SPAN}`."""

    last: int = 0  # only so many of the newest spans are read; 0 reads all

    def __post_init__(self) -> None:
        require(self.last >= 0, "spans.last", "0 (all) or more spans", self.last)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageSettings:
    """The size every image is brought to before the network sees it."""

    height_px: int = 64  # pixels, 8 to 1024
    width_px: int = 64  # pixels, 8 to 1024

    def __post_init__(self) -> None:
        for name in ("height_px", "width_px"):
            require(8 <= getattr(self, name) <= 1024, f"image.{name}", "from 8 to 1024 pixels", getattr(self, name))


@dataclasses.dataclass(frozen=True, kw_only=True)
class IngestSettings:
    """How raw files become examples, and when the run stops because too many are bad."""

    format: Literal["raw", "tfrecord"] = "raw"  # raw files of the source, or ready TFRecords of Examples
    max_bad_share: float = 0.05  # fraction of items that may be quarantined before the run stops, 0 to 1
    max_pixels: int = 50_000_000  # an image with more is refused before it is decoded
    near_duplicate_bits: int = 7  # images whose 64-bit perceptual hashes differ in at most so many are compared

    def __post_init__(self) -> None:
        require(0 <= self.max_bad_share <= 1, "ingest.max_bad_share", "a fraction from 0 to 1", self.max_bad_share)
        require(self.max_pixels >= 1, "ingest.max_pixels", "at least 1 pixel", self.max_pixels)
        bits = self.near_duplicate_bits
        require(0 <= bits <= 7, "ingest.near_duplicate_bits", "from 0 to 7 bits", bits)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SplitSettings:
    """Fractions of the groups (not rows) in each split, and the seed that decides who goes where."""

    train: float = 0.70  # fraction of groups
    validation: float = 0.12  # fraction of groups; early stopping looks here
    test: float = 0.18  # fraction of groups; nothing but the final evaluation looks here
    seed: int = 1  # the same seed puts the same groups into the same splits

    def __post_init__(self) -> None:
        for name in ("train", "validation", "test"):
            require(0 < getattr(self, name) < 1, f"split.{name}", "a fraction above 0 and below 1", getattr(self, name))
        total = self.train + self.validation + self.test
        require(abs(total - 1) < 1e-6, "split.train + split.validation + split.test", "1", total)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ValidateSettings:
    """What an anomaly in the data does to the run."""

    on_anomaly: Literal["stop", "warn"] = "stop"  # whether the run ends there or goes on with a warning


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """How the network is trained."""

    model: str = "small_resnet"  # the network; trainer/choices.py lists them
    weights: str = ""  # a .weights.h5 file to start from; "" starts from nothing
    warm_start: bool = False  # start from the newest pushed model's weights; where none was pushed, from nothing
    width: int = 32  # channels of the first block, 4 to 512
    epochs: int = 64  # at most so many passes over the training split
    steps_per_epoch: int = 0  # 0 means one pass over the split
    batch_size: int = 64  # images
    learning_rate: float = 3e-3  # peak of the schedule
    warmup_share: float = 0.15  # fraction of all steps over which the rate rises to its peak
    weight_decay: float = 0.05  # decoupled, per AdamW
    label_smoothing: float = 0.1  # 0 to below 1
    dropout: float = 0.2  # 0 to below 1, before the last layer
    patience: int = 15  # epochs without a better validation score before training stops
    class_weights: bool = True  # weigh each class by the inverse of its share
    augment: tuple[str, ...] = ("flip", "rotate")  # changes to training images; trainer/choices.py lists them
    crop: float = 0.75  # side of the random window training sees, as a fraction of the image's; 1 shows all of it
    seed: int = 1  # of initial weights, order and augmentation
    strategy: Strategy = "none"  # how the work is spread over devices

    def __post_init__(self) -> None:
        if self.weights and self.warm_start:
            raise ConfigError(
                f"train.weights and train.warm_start both say where training starts, got {self.weights!r} and true; "
                "give one of them."
            )
        at_least_one = ("epochs", "batch_size", "patience")
        for name in at_least_one:
            require(getattr(self, name) >= 1, f"train.{name}", "at least 1", getattr(self, name))
        require(4 <= self.width <= 512, "train.width", "from 4 to 512 channels", self.width)
        require(self.steps_per_epoch >= 0, "train.steps_per_epoch", "0 (one pass) or more", self.steps_per_epoch)
        require(self.learning_rate > 0, "train.learning_rate", "above 0", self.learning_rate)
        require(self.weight_decay >= 0, "train.weight_decay", "0 or above", self.weight_decay)
        require(0.25 <= self.crop <= 1, "train.crop", "a fraction from 0.25 to 1", self.crop)
        for name in ("warmup_share", "label_smoothing", "dropout"):
            require(0 <= getattr(self, name) < 1, f"train.{name}", "from 0 to below 1", getattr(self, name))


@dataclasses.dataclass(frozen=True, kw_only=True)
class TuneSettings:
    """Search for better training settings before training; off unless asked for."""

    enabled: bool = False  # whether there is a stage `tune`
    trials: int = 6  # settings tried
    epochs: int = 4  # passes per trial

    def __post_init__(self) -> None:
        require(self.trials >= 1, "tune.trials", "at least 1", self.trials)
        require(self.epochs >= 1, "tune.epochs", "at least 1", self.epochs)


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluateSettings:
    """How metrics and their intervals are computed on the test split."""

    confidence: float = 0.95  # of every interval, above 0.5 and below 1
    resamples: int = 2000  # bootstrap draws of whole groups
    seed: int = 1  # of the bootstrap draws

    def __post_init__(self) -> None:
        require(0.5 < self.confidence < 1, "evaluate.confidence", "above 0.5 and below 1", self.confidence)
        require(self.resamples >= 100, "evaluate.resamples", "at least 100", self.resamples)


@dataclasses.dataclass(frozen=True, kw_only=True)
class BlessingSettings:
    """What a model must show on the test split before it is pushed."""

    metric: Literal["accuracy", "balanced_accuracy", "macro_f1"] = "accuracy"  # what `at_least` judges
    at_least: float = 0.5  # the lower end of the metric's interval must reach it
    worst_class_at_least: float = 0.0  # recall of the weakest class (the point estimate)
    must_not_drop_by: float = 0.01  # against the baseline, on the same test items
    calibration_error_at_most: float = 1.0  # expected calibration error

    def __post_init__(self) -> None:
        for name in ("at_least", "worst_class_at_least", "must_not_drop_by", "calibration_error_at_most"):
            require(0 <= getattr(self, name) <= 1, f"blessing.{name}", "from 0 to 1", getattr(self, name))


@dataclasses.dataclass(frozen=True, kw_only=True)
class ServingCheckSettings:
    """What the exported model must show in a clean process before it is pushed."""

    requests: int = 64  # test items sent to every signature
    probability_tolerance: float = 1e-3  # largest difference from the trainer's own probabilities
    p99_ms_at_most: float = 1000.0  # milliseconds for one image
    memory_mib_at_most: int = 4096  # peak resident memory of the clean process, MiB
    timeout_s: float = 300.0  # seconds the clean process may take in all, import of TensorFlow included

    def __post_init__(self) -> None:
        require(self.requests >= 1, "serving_check.requests", "at least 1", self.requests)
        for name in ("probability_tolerance", "p99_ms_at_most", "memory_mib_at_most", "timeout_s"):
            require(getattr(self, name) > 0, f"serving_check.{name}", "above 0", getattr(self, name))


@dataclasses.dataclass(frozen=True, kw_only=True)
class PushSettings:
    """Where a blessed model goes."""

    destination: str = ""  # the serving folder; "" means `serving` in the output folder
    keep_versions: int = 0  # older versions beyond so many are removed after a push; 0 keeps all

    def __post_init__(self) -> None:
        require(self.keep_versions >= 0, "push.keep_versions", "0 (all) or more", self.keep_versions)


@dataclasses.dataclass(frozen=True, kw_only=True)
class MetadataSettings:
    """Where ML Metadata keeps lineage. The password is read from a file, never written into a run's record."""

    backend: Literal["sqlite", "postgresql", "mysql"] = "sqlite"  # sqlite is a file in the output folder
    host: str = "localhost"  # of a PostgreSQL or MySQL server
    port: int = 0  # 0 means the backend's usual port
    database: str = "earthloop"  # its name on that server
    user: str = "earthloop"  # who connects
    password_file: str = ""  # a file that holds nothing but the password; "" connects without one

    def __post_init__(self) -> None:
        is_plain = re.fullmatch(r"\w[\w-]*", self.database) is not None  # ML Metadata puts it into SQL as it is
        require(is_plain, "metadata.database", "letters, digits, _ and -", self.database)
        require(0 <= self.port <= 65_535, "metadata.port", "from 0 (the usual port) to 65535", self.port)


@dataclasses.dataclass(frozen=True, kw_only=True)
class BeamSettings:
    """How Apache Beam runs the data stages. Besides Beam's own runners, `runner` takes a dotted name."""

    runner: str = "FnApiRunner"  # never DirectRunner: it tries to download and execute a binary first
    options: tuple[str, ...] = ()  # further pipeline options, each "--name=value"

    def __post_init__(self) -> None:
        if self.runner not in BEAM_RUNNERS and "." not in self.runner:
            raise UnknownName("beam.runner", self.runner, BEAM_RUNNERS)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LocalSettings:
    """How the local runner uses this machine."""

    stages_at_once: int = 2  # independent stages that may run at the same time
    watts_per_core: float = 6.0  # for the energy estimate where the machine has no energy counter

    def __post_init__(self) -> None:
        require(1 <= self.stages_at_once <= 64, "local.stages_at_once", "from 1 to 64", self.stages_at_once)
        require(self.watts_per_core > 0, "local.watts_per_core", "above 0", self.watts_per_core)
