"""The audit reads back what ingest wrote, and finds a leak that ingest did not see."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from applications.settings import EvaluateSettings, IngestSettings
from components import SplitAudit
from components.ingest.records import write_records
from components.split_audit import AuditSplits, audited
from components.split_records import records

SETTINGS = EvaluateSettings(resamples=100)


def copied(examples: Any, to: Path) -> Any:
    """The same artifact in another place, to be spoilt."""
    from tfx.types.standard_artifacts import Examples

    shutil.copytree(examples.uri, to)
    other = Examples()
    other.uri, other.split_names = str(to), examples.split_names
    return other


def add(examples: Any, split: str, example: tf.train.Example) -> None:
    write_records(f"{examples.uri}/Split-{split}/data_tfrecord-00001-of-00002.gz", [example.SerializeToString()])


def first(examples: Any, split: str) -> tf.train.Example:
    paths = [str(path) for path in sorted(Path(examples.uri, f"Split-{split}").iterdir())]
    return tf.train.Example.FromString(next(iter(records(paths))))


def test_what_ingest_wrote_is_clean(ingested: Any) -> None:
    found = audited(ingested.examples, 7, SETTINGS)
    assert found["is_clean"] is True
    assert {split: counts["items"] for split, counts in found["splits"].items()} == ingested.summary["by_split"]
    assert found["splits"]["train"]["groups"] == found["splits"]["train"]["items"]
    assert found["random_split_gap"]["items"] == 120


def test_the_component_writes_the_audit_and_its_property(ingested: Any, tmp_path: Path) -> None:
    audit = SplitAudit()
    audit.uri = str(tmp_path / "audit")
    settings = {"ingest": dataclasses.asdict(IngestSettings()), "evaluate": dataclasses.asdict(SETTINGS)}
    executor = AuditSplits.EXECUTOR_SPEC.executor_class()
    executor.Do(
        {"examples": [ingested.examples]}, {"audit": [audit]}, {"settings": json.dumps(settings), "code_version": ""}
    )
    assert audit.get_int_custom_property("is_clean") == 1
    assert json.loads((tmp_path / "audit" / "audit.json").read_text())["near_duplicates_across_splits_count"] == 0


def test_a_group_that_strayed_into_another_split_is_found(ingested: Any, tmp_path: Path) -> None:
    spoilt = copied(ingested.examples, tmp_path / "spoilt")
    stray = first(spoilt, "train")
    add(spoilt, "test", stray)
    found = audited(spoilt, 7, SETTINGS)
    assert found["is_clean"] is False
    group = stray.features.feature["group"].bytes_list.value[0].decode()
    assert found["groups_in_two_splits"] == [{"group": group, "splits": ["test", "train"]}]
    assert found["near_duplicates_across_splits_count"] == 1


def test_a_brighter_copy_under_another_group_is_found(
    ingested: Any, tmp_path: Path, to_png: Any, caplog: pytest.LogCaptureFixture
) -> None:
    spoilt = copied(ingested.examples, tmp_path / "spoilt")
    copy = first(spoilt, "train")
    values = copy.features.feature
    origin = values["origin"].bytes_list.value[0].decode()
    pixels = tf.io.decode_png(values["image"].bytes_list.value[0]).numpy().astype(np.float64)
    values["image"].bytes_list.value[0] = to_png(np.clip(pixels * 1.05 + 2, 0, 255).astype(np.uint8))
    values["group"].bytes_list.value[0] = b"another"
    values["origin"].bytes_list.value[0] = b"copy.png"
    add(spoilt, "test", copy)
    found = audited(spoilt, 7, SETTINGS)
    assert found["groups_in_two_splits_count"] == 0
    assert found["near_duplicates_across_splits"] == [
        {"a": {"origin": origin, "split": "train"}, "b": {"origin": "copy.png", "split": "test"}, "bits": 0}
    ]
    assert "no model will be blessed" in caplog.text


def test_items_that_are_no_images_are_audited_by_group_alone(tmp_path: Path) -> None:
    from tfx.types.standard_artifacts import Examples

    examples = Examples()
    examples.uri, examples.splits = str(tmp_path), ["train", "test"]
    for split in ("train", "test"):
        item = tf.train.Example()
        item.features.feature["group"].bytes_list.value.append(b"site 1")
        item.features.feature["label"].bytes_list.value.append(b"rain")
        write_records(f"{tmp_path}/Split-{split}/data_tfrecord-00000-of-00001.gz", [item.SerializeToString()])
    found = audited(examples, 7, SETTINGS)
    assert found["groups_in_two_splits_count"] == 1
    assert found["random_split_gap"] is None
