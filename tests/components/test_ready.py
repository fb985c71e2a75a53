"""Ready TFRecords: their own splits are kept, or they are dealt out by group; what cannot be used is said at once."""

from __future__ import annotations

import gzip
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from tfx.components.example_gen.import_example_gen.executor import Executor
from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
from tfx.types.standard_artifacts import Examples

from applications.errors import DataError, DataPathError
from components.ingest.ready import import_example_gen
from components.ingest.records import first_record, write_records
from components.split_records import records


def example(**texts: str) -> bytes:
    made = tf.train.Example()
    for key, text in texts.items():
        made.features.feature[key].bytes_list.value.append(text.encode())
    return bytes(made.SerializeToString())


def run(node: Any, data: Path, out: Path) -> dict[str, list[tf.train.Example]]:
    artifact = Examples()
    artifact.uri = str(out)
    context = BaseBeamExecutor.Context(
        beam_pipeline_args=["--runner=FnApiRunner", "--sdk_container_image=unused"], tmp_dir=str(out)
    )
    Executor(context).Do({}, {"examples": [artifact]}, {**node.exec_properties, "input_base": str(data)})
    return {
        split: [
            tf.train.Example.FromString(record)
            for record in records([str(path) for path in Path(artifact.uri, f"Split-{split}").glob("*")])
        ]
        for split in artifact.splits
    }


def test_splits_that_are_there_are_kept(ingested: Any, even_split: Any, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(ingested.examples.uri, data)
    found = run(import_example_gen(str(data), even_split), data, tmp_path / "out")
    assert {split: len(items) for split, items in found.items()} == ingested.summary["by_split"]


def test_loose_records_are_dealt_out_by_group(even_split: Any, tmp_path: Path) -> None:
    records = [example(image="…", label="grass", group=f"site {number % 40}") for number in range(200)]
    write_records(f"{tmp_path}/data/all.gz", records)
    found = run(import_example_gen(f"{tmp_path}/data", even_split), tmp_path / "data", tmp_path / "out")
    groups = {
        split: {item.features.feature["group"].bytes_list.value[0] for item in items} for split, items in found.items()
    }
    assert sum(len(items) for items in found.values()) == 200
    assert sum(len(members) for members in groups.values()) == len(set().union(*groups.values())) == 40
    assert 10 <= len(groups["train"]) <= 30


def test_a_folder_that_is_not_there_is_said(even_split: Any, tmp_path: Path) -> None:
    with pytest.raises(DataPathError, match="absent is no folder. With ingest.format=tfrecord, --data names a folder"):
        import_example_gen(f"{tmp_path}/absent", even_split)


def test_an_empty_folder_is_said(even_split: Any, tmp_path: Path) -> None:
    with pytest.raises(DataPathError, match="holds no file"):
        import_example_gen(str(tmp_path), even_split)


def test_files_that_are_no_records_are_said(even_split: Any, tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8\xff" * 99)
    with pytest.raises(DataError, match=r"photo\.jpg must be a TFRecord file.*--set ingest\.format=raw"):
        import_example_gen(str(tmp_path), even_split)


def test_records_without_a_label_are_said(even_split: Any, tmp_path: Path) -> None:
    write_records(f"{tmp_path}/data/all.gz", [example(image="…", group="a")])
    with pytest.raises(DataError, match="must hold image and label, but lacks label; it has group, image"):
        import_example_gen(f"{tmp_path}/data", even_split)


def test_records_without_a_group_are_said(even_split: Any, tmp_path: Path) -> None:
    write_records(f"{tmp_path}/data/all.gz", [example(image="…", label="grass")])
    with pytest.raises(
        DataError, match="must hold 'group' or 'sha256', by which they are split; the first has image, label"
    ):
        import_example_gen(f"{tmp_path}/data", even_split)


def test_the_first_record_is_read_without_tensorflow(tmp_path: Path) -> None:
    write_records(f"{tmp_path}/two.gz", [b"one", b"two"])
    (tmp_path / "two").write_bytes(gzip.decompress((tmp_path / "two.gz").read_bytes()))
    (tmp_path / "none").write_bytes(b"")
    assert [first_record(f"{tmp_path}/{name}") for name in ("two.gz", "two", "none")] == [b"one", b"one", b""]
    (tmp_path / "cut").write_bytes((tmp_path / "two").read_bytes()[:14])
    with pytest.raises(ValueError, match="its first record ends too early"):
        first_record(f"{tmp_path}/cut")


def test_the_process_that_forks_the_stages_starts_no_tensorflow(tmp_path: Path, project: Path) -> None:
    write_records(f"{tmp_path}/data/all.gz", [example(image="…", label="grass", group="a")])
    script = f"""
from applications.settings import SplitSettings
from components.ingest.ready import import_example_gen
from tensorflow.python.eager import context
import_example_gen({str(tmp_path / "data")!r}, SplitSettings())
assert context.context()._context_handle is None
"""
    subprocess.run([sys.executable, "-c", script], check=True, cwd=project)
