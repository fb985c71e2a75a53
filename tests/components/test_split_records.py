"""Records are read without TensorFlow as TensorFlow wrote them."""

from __future__ import annotations

from pathlib import Path

import pytest

from applications.errors import DataError
from components.split_records import batches, records, split_files

RECORDS = [b"one", b"", b"three" * 100_000, b"four"]


@pytest.fixture
def split(tmp_path: Path) -> Path:
    """Examples with a split of four records in two files, the first of them compressed."""
    import tensorflow as tf

    folder = tmp_path / "Split-test"
    folder.mkdir()
    for name, options, part in (("0.gz", "GZIP", RECORDS[:3]), ("1", "", RECORDS[3:])):
        with tf.io.TFRecordWriter(str(folder / name), options) as writer:
            for record in part:
                writer.write(record)
    return tmp_path


def test_records_come_in_the_order_of_the_files_compressed_or_not(split: Path) -> None:
    assert list(records(split_files(split, "test"))) == RECORDS


def test_a_batch_ends_with_so_many_records_or_when_it_is_large(split: Path) -> None:
    files = split_files(split, "test")
    assert list(batches(files, 3)) == [RECORDS[:3], RECORDS[3:]]
    assert list(batches(files, 10, size_bytes=4)) == [RECORDS[:3], RECORDS[3:]]
    assert list(batches(files, 4)) == [RECORDS]
    assert list(batches([], 4)) == []


def test_a_split_without_files_is_an_error(split: Path) -> None:
    with pytest.raises(DataError, match=r"the split 'train' has no files in .*; run the stage `ingest` again"):
        split_files(split, "train")


@pytest.mark.parametrize("cut", [1, 4, 10, 17])
def test_a_file_that_ends_within_a_record_is_an_error(split: Path, cut: int) -> None:
    file = split / "Split-test" / "1"
    file.write_bytes(file.read_bytes()[:-cut])
    with pytest.raises(DataError, match=r"1 must be a TFRecord of Examples: it ends within a record"):
        list(records([str(file)]))
