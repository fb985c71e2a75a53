"""Asks the candidate, and the baseline where there is one, for an answer on every test item.

TFMA keeps no per-item answers with groups; the verdict, its intervals and the worst errors need them.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types.standard_artifacts import Examples, Model
from tfx.utils import path_utils

from applications import discovery
from applications.errors import DataError, StageError
from applications.progress import report
from components import artifacts, earlier_model
from components.split_records import batches, records, split_files
from evaluation import predictions as table
from schemas import features

SIGNATURE = "serving_default"
BATCH = 128  # items asked at a time
REQUIRED = (features.LABEL_ID, features.GROUP, features.ORIGIN, features.SHA256)

Ask = Callable[[Sequence[bytes]], npt.NDArray[np.float64]]


@component
def Predict(
    examples: InputArtifact[Examples],
    model: InputArtifact[Model],
    baseline: InputArtifact[Model],
    predictions: OutputArtifact[artifacts.Predictions],
    application: Parameter[str],
    code_version: Parameter[str] = "",
) -> None:
    """Writes `predictions.parquet`.

    Args:
        examples: raw Examples with a test split.
        model: the candidate.
        baseline: what `components.baseline` gives; may hold no model.
        predictions: gets the table.
        application: name of the application; gives classes and slices.
        code_version: digest of the code behind this stage, for the cache.
    """
    del code_version
    spec = discovery.load(application)
    earlier = earlier_model.find(baseline, spec.classes)
    files = split_files(Path(examples.uri), features.TEST)
    candidate = path_utils.serving_model_path(model.uri)
    asks = [load(candidate, spec.classes)]
    asks += [load(earlier.path, spec.classes)] if earlier.path else []
    columns, answers = predict(files, asks, [name for keys in spec.slices for name in keys])
    seen = earlier_model.has_seen(earlier.path, columns[features.SHA256], columns[features.GROUP])
    if seen is not None and seen.all():
        note = f"the earlier model (version {earlier.version}) has learnt from all of today's test items, "
        earlier = earlier_model.EarlierModel(version=earlier.version, note=f"{note}so the two are not compared")
    found = table.Predictions(
        classes=spec.classes,
        origins=columns[features.ORIGIN],
        sha256=columns[features.SHA256],
        groups=columns[features.GROUP],
        label_ids=np.asarray(columns[features.LABEL_ID], np.int64),
        probabilities=answers[0],
        has_seen=earlier_model.has_seen(candidate, columns[features.SHA256], columns[features.GROUP]),
        baseline_probabilities=answers[1] if earlier.path else None,
        baseline_version=earlier.version,
        baseline_note=earlier.note,
        baseline_has_seen=seen if earlier.path else None,
        slices={name: columns[name] for name in sorted({name for keys in spec.slices for name in keys})},
    )
    Path(predictions.uri).mkdir(parents=True, exist_ok=True)
    table.write(found, str(Path(predictions.uri) / table.FILE_NAME))


def load(folder: str, classes: tuple[str, ...]) -> Ask:
    """Loads a SavedModel.

    Args:
        folder: of the SavedModel.
        classes: class names that the model must give, in order.

    Returns:
        A function from serialized Examples to float64 `[items, classes]`; a row of zeros where the model could
        not read the item. It raises `StageError` when the answer is not of these classes.
    """
    loaded = tf.saved_model.load(folder)
    signature = loaded.signatures[SIGNATURE]

    def ask(serialized: Sequence[bytes]) -> npt.NDArray[np.float64]:
        """Answers one batch."""
        answer = signature(examples=tf.constant(serialized, tf.string))
        names = [name.decode() for name in answer["classes"].numpy()[0]]
        if tuple(names) != classes:
            raise StageError(
                f"the model in {folder} must answer with the classes {', '.join(classes)}, got {', '.join(names)}; "
                "run again from the stage `train`."
            )
        return np.asarray(answer["probabilities"].numpy(), np.float64)

    ask.model = loaded  # type: ignore[attr-defined]  # a signature does not keep its model's variables alive
    return ask


def predict(
    files: Sequence[str], asks: Sequence[Ask], slices: Sequence[str]
) -> tuple[dict[str, list[Any]], list[npt.NDArray[np.float64]]]:
    """Asks each model about every item of some TFRecord files.

    Args:
        files: TFRecords of Examples; names that end in ".gz" are compressed.
        asks: one function for each model, as `load` gives them.
        slices: names of features to keep beside the required ones.

    Returns:
        Feature name → value of each item (text for slices), and for each model float64 `[items, classes]`.

    Raises:
        DataError: the files have no items, or an item lacks a required feature.
    """
    wanted = dict.fromkeys([*REQUIRED, *slices])
    columns: dict[str, list[Any]] = {name: [] for name in wanted}
    answers: list[list[npt.NDArray[np.float64]]] = [[] for _ in asks]
    total, done = sum(1 for _ in records(files)), 0
    if total == 0:
        raise DataError(
            f"the test split has no items in its {len(files)} files, so nothing can be said about the model; "
            "give more data."
        )
    for batch in batches(files, BATCH):
        for ask, answer in zip(asks, answers, strict=True):
            answer.append(ask(batch))
        for name, value in _values(batch, wanted):
            columns[name].append(value)
        done += len(batch)
        report("items", done=done, total=total)
    return columns, [np.concatenate(answer) for answer in answers]


def _values(batch: Sequence[bytes], wanted: dict[str, None]) -> Iterator[tuple[str, Any]]:
    for serialized in batch:
        found = tf.train.Example.FromString(serialized).features.feature
        for name in wanted:
            value = _value(found[name]) if name in found else None
            if value is None and name in REQUIRED:
                raise DataError(
                    f"an Example of the test split has no feature {name!r}; it has {', '.join(sorted(found))}. "
                    "Ready TFRecords must carry it."
                )
            yield name, value if name == features.LABEL_ID else str("" if value is None else value)


def _value(feature: Any) -> int | float | str | None:
    """Returns the first value of a feature, text decoded; None where it is empty."""
    kind = feature.WhichOneof("kind")
    values = getattr(feature, kind).value if kind else ()
    if not values:
        return None
    return values[0].decode("utf-8", "replace") if isinstance(values[0], bytes) else values[0]
