"""The table of per-item answers on the test split, and its file `predictions.parquet`."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from applications.errors import DataError
from evaluation import classification

FILE_NAME = "predictions.parquet"
METADATA_KEY = b"earthloop"  # of the JSON in the file's schema metadata


@dataclasses.dataclass(frozen=True, kw_only=True)
class Predictions:
    """What the candidate, and the baseline where there is one, answered on each test item.

    Attributes:
        classes: class names in the order of the probabilities.
        origins: where each item came from.
        sha256: 64 hexadecimal digits of each item.
        groups: the split unit of each item.
        label_ids: int64 `[items]`, the true class.
        probabilities: float64 `[items, classes]`; a row of zeros where the model could not read the item.
        has_seen: bool `[items]`, whether the model, or the weights it started from, has learnt from the item or its
            group; None where that is unknown.
        baseline_probabilities: the same of the earlier model on the same items, or None.
        baseline_version: version of the earlier model; "" where there is none.
        baseline_note: why an earlier model that exists is not compared with, as a clause; else "".
        baseline_has_seen: bool `[items]`, whether the earlier model has learnt from the item or its group; None where
            that is unknown, or there is no earlier model.
        slices: for each slice feature its value on each item.
    """

    classes: tuple[str, ...]
    origins: Sequence[str]
    sha256: Sequence[str]
    groups: Sequence[str]
    label_ids: npt.NDArray[np.int64]
    probabilities: npt.NDArray[np.float64]
    has_seen: npt.NDArray[np.bool_] | None = None
    baseline_probabilities: npt.NDArray[np.float64] | None = None
    baseline_version: str = ""
    baseline_note: str = ""
    baseline_has_seen: npt.NDArray[np.bool_] | None = None
    slices: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        wanted = (len(self.label_ids), len(self.classes))
        for name in ("probabilities", "baseline_probabilities"):
            table = getattr(self, name)
            if table is not None and table.shape != wanted:
                raise DataError(
                    f"{name} must be one row for each item and one column for each class, {wanted}, got {table.shape}."
                )
        if len(self.label_ids) and not 0 <= self.label_ids.min() <= self.label_ids.max() < len(self.classes):
            raise DataError(
                f"label_id must be from 0 to {len(self.classes) - 1}, got "
                f"{self.label_ids.min()} to {self.label_ids.max()}; the examples and the application's classes differ."
            )


def write(predictions: Predictions, path: str) -> None:
    """Writes the table as Parquet; class names and the baseline's version go into the file's metadata."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    best = classification.predicted_ids(predictions.probabilities)
    baseline = predictions.baseline_probabilities
    columns = {
        "origin": pa.array(predictions.origins, pa.string()),
        "sha256": pa.array(predictions.sha256, pa.string()),
        "group": pa.array(predictions.groups, pa.string()),
        "label_id": pa.array(predictions.label_ids, pa.int64()),
        "label": pa.array([predictions.classes[place] for place in predictions.label_ids], pa.string()),
        "predicted_id": pa.array(best, pa.int64()),
        "probabilities": pa.array(predictions.probabilities.tolist(), pa.list_(pa.float32())),
        "baseline_probabilities": pa.array(
            [None] * len(best) if baseline is None else baseline.tolist(), pa.list_(pa.float32())
        ),
        "has_seen": pa.array([None] * len(best) if predictions.has_seen is None else predictions.has_seen, pa.bool_()),
        "baseline_has_seen": pa.array(
            [None] * len(best) if predictions.baseline_has_seen is None else predictions.baseline_has_seen, pa.bool_()
        ),
    }
    for name, values in predictions.slices.items():
        columns.setdefault(name, pa.array(values, pa.string()))  # a slice may be the label, which is there already
    about = {
        "classes": predictions.classes,
        "has_baseline": baseline is not None,
        "baseline_version": predictions.baseline_version,
        "baseline_note": predictions.baseline_note,
        "slices": list(predictions.slices),
    }
    table = pa.table(columns).replace_schema_metadata({METADATA_KEY: json.dumps(about).encode()})
    pq.write_table(table, path)


def read(path: str) -> Predictions:
    """Reads what `write` wrote.

    Raises:
        DataError: the file is not a table of predictions.
    """
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    about = json.loads((table.schema.metadata or {}).get(METADATA_KEY, b"{}"))
    if "classes" not in about:
        raise DataError(f"{path} has no class names in its metadata; it was not written by the stage `predict`.")
    classes = tuple(about["classes"])
    return Predictions(
        classes=classes,
        origins=table["origin"].to_pylist(),
        sha256=table["sha256"].to_pylist(),
        groups=table["group"].to_pylist(),
        label_ids=np.asarray(table["label_id"].to_pylist(), np.int64),
        probabilities=_matrix(table["probabilities"].to_pylist(), len(classes)),
        has_seen=_flags(table["has_seen"].to_pylist()),
        baseline_probabilities=(
            _matrix(table["baseline_probabilities"].to_pylist(), len(classes)) if about["has_baseline"] else None
        ),
        baseline_version=about["baseline_version"],
        baseline_note=about["baseline_note"],
        baseline_has_seen=_flags(table["baseline_has_seen"].to_pylist()),
        slices={name: table[name].to_pylist() for name in about["slices"]},
    )


def _matrix(rows: list[list[float]], columns: int) -> npt.NDArray[np.float64]:
    return np.asarray(rows, np.float64).reshape(len(rows), columns)


def _flags(values: list[bool | None]) -> npt.NDArray[np.bool_] | None:
    return None if None in values or not values else np.asarray(values, np.bool_)
