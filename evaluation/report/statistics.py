"""TensorFlow Data Validation's statistics and anomalies as plain records, read without importing TensorFlow."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from applications.errors import DataError

STATISTICS_FILE = "FeatureStats.pb"  # in Split-<name>/ of a StatisticsGen artifact
ANOMALIES_FILE = "SchemaDiff.pb"  # in Split-<name>/ of an ExampleValidator artifact
TOP_VALUES = 5
LONGEST_VALUE = 60  # characters of a top value that are kept
SPLIT_ORDER = {"train": 0, "validation": 1, "test": 2}


def summarise(folder: Path) -> dict[str, Any] | None:
    """Returns what the statistics of every split say of every feature.

    Args:
        folder: a StatisticsGen artifact.

    Returns:
        `splits` (name → `items`) and `features`: `name`, `type`, `kind` ("numeric" or "text") and `splits`
        (name → `count`, `missing`, and `mean`, `sd`, `min`, `median`, `max`, `zeros`, `histogram` as
        `[low, high, count]`; or `distinct`, `average_length`, `top` as `[value, count]`). None without files.

    Raises:
        DataError: a file is not what TFDV writes.
    """
    from tensorflow_metadata.proto.v0 import statistics_pb2

    splits: dict[str, Any] = {}
    features: dict[str, Any] = {}
    for split, file in _split_files(folder, STATISTICS_FILE):
        found = _parse(file, statistics_pb2.DatasetFeatureStatisticsList())
        if not found.datasets:
            continue
        data = found.datasets[0]
        splits[split] = {"items": int(data.num_examples)}
        for feature in data.features:
            name = feature.name or ".".join(feature.path.step)
            entry = features.setdefault(
                name,
                {
                    "name": name,
                    "type": statistics_pb2.FeatureNameStatistics.Type.Name(feature.type).lower(),
                    "splits": {},
                },
            )
            entry["kind"] = "numeric" if feature.HasField("num_stats") else "text"
            entry["splits"][split] = _numeric(feature) if entry["kind"] == "numeric" else _text(feature)
    return (
        {"splits": splits, "features": sorted(features.values(), key=lambda entry: entry["name"])} if splits else None
    )


def anomalies(folder: Path) -> dict[str, Any] | None:
    """Returns the anomalies of every split.

    Args:
        folder: an ExampleValidator artifact.

    Returns:
        Split name → list of `feature`, `severity` ("error", "warning", "unknown"), `summary`, `detail`; None without
        files.

    Raises:
        DataError: a file is not what TFDV writes.
    """
    from tensorflow_metadata.proto.v0 import anomalies_pb2

    splits: dict[str, Any] = {}
    for split, file in _split_files(folder, ANOMALIES_FILE):
        found = _parse(file, anomalies_pb2.Anomalies())
        rows = [(name, info) for name, info in sorted(found.anomaly_info.items())]
        if found.HasField("dataset_anomaly_info"):
            rows.append(("the data set", found.dataset_anomaly_info))
        splits[split] = [
            {
                "feature": ".".join(info.path.step) or name,
                "severity": anomalies_pb2.AnomalyInfo.Severity.Name(info.severity).lower(),
                "summary": info.short_description,
                "detail": info.description,
            }
            for name, info in rows
        ]
        if found.data_missing:
            splits[split].append(
                {"feature": "the data set", "severity": "error", "summary": "No data", "detail": "The split is empty."}
            )
    return splits or None


def _split_files(folder: Path, name: str) -> list[tuple[str, Path]]:
    found = [(file.parent.name.removeprefix("Split-"), file) for file in folder.glob(f"Split-*/{name}")]
    return sorted(found, key=lambda item: (SPLIT_ORDER.get(item[0], len(SPLIT_ORDER)), item[0]))


def _parse(file: Path, message: Any) -> Any:
    try:
        message.ParseFromString(file.read_bytes())
    except DecodeError as error:
        raise DataError(
            f"{file.parent.name}/{file.name} must hold a {message.DESCRIPTOR.name}, as TensorFlow Data Validation "
            f"writes it, but its {file.stat().st_size} bytes cannot be read ({error}). "
            "Run the stage that wrote it again with --fresh."
        ) from error
    return message


def _numeric(feature: Any) -> dict[str, Any]:
    stats = feature.num_stats
    shown = next((chart for chart in stats.histograms if chart.type == 0), None)  # 0: buckets of equal width
    buckets = [[bucket.low_value, bucket.high_value, bucket.sample_count] for bucket in shown.buckets] if shown else []
    return {
        **_counts(stats.common_stats),
        "mean": _finite(stats.mean),
        "sd": _finite(stats.std_dev),
        "min": _finite(stats.min),
        "median": _finite(stats.median),
        "max": _finite(stats.max),
        "zeros": int(stats.num_zeros),
        "histogram": [bucket for bucket in buckets if all(math.isfinite(value) for value in bucket)],
    }


def _text(feature: Any) -> dict[str, Any]:
    if feature.HasField("bytes_stats"):
        stats = feature.bytes_stats
        return {
            **_counts(stats.common_stats),
            "distinct": int(stats.unique),
            "average_length": _finite(stats.avg_num_bytes),
            "top": [],
        }
    stats = feature.string_stats
    top = [] if 0 < stats.unique == stats.common_stats.num_non_missing else stats.top_values[:TOP_VALUES]
    return {
        **_counts(stats.common_stats),
        "distinct": int(stats.unique),
        "average_length": _finite(stats.avg_length),
        "top": [
            [entry.value[:LONGEST_VALUE], int(entry.frequency)]
            for entry in top
            if not entry.value.startswith("__BYTES_VALUE__")
        ],
    }


def _counts(common: Any) -> dict[str, int]:
    return {"count": int(common.num_non_missing), "missing": int(common.num_missing)}


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
