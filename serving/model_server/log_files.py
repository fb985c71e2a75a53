"""The pair of files of the request log that is written at the moment, and the reading of finished tables."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import glob
import os
import re
import secrets
import struct
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from serving.model_server import log_entries

if TYPE_CHECKING:
    import pyarrow as pa

    from serving.model_server.log_entries import Answered

RECORDS, TABLE = ".tfrecord", ".parquet"
_OPEN = ".part"  # ends the name of a file that is still written, so that nobody reads it
_HEADER = struct.Struct("<QI")  # of a TFRecord: length of the data and its check sum; four bytes more follow the data
_FOOTER_BYTES = 4
_OWN_NAME = re.compile(rf"[0-9]{{8}}T[0-9]{{6}}Z-[0-9a-f]+-[0-9]+\{RECORDS}\{_OPEN}")  # behind the prefix


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rotation:
    """When a file is finished: above a size in bytes, or an age in seconds."""

    max_bytes: int
    max_s: float


@dataclasses.dataclass(frozen=True)
class Entry:
    """One answered request as it is written: the record, and the lines of the table."""

    record: bytes
    rows: list[dict[str, Any]]

    @classmethod
    def of(cls, answered: Answered) -> Entry:
        """Puts an answered request into words; raises whatever a tensor is not made for."""
        return cls(log_entries.prediction_log(answered).SerializeToString(), log_entries.rows_of(answered))


class RotatingFiles:
    """One pair of files after the other; each appears under its name complete, by a rename."""

    def __init__(self, prefix: Path, rotation: Rotation) -> None:
        """Takes over what a killed server left.

        Args:
            prefix: folder and first part of the names.
            rotation: when to begin the next pair.
        """
        self._prefix = prefix
        self._rotation = rotation
        self._number = 0
        self._token = secrets.token_hex(4)  # servers that share a folder may have one process number and one clock
        self._writer: Any = None
        self._rows: list[dict[str, Any]] = []
        self._entries = 0
        self._bytes = 0
        self._begun_s = 0.0
        self._name = ""
        self._lock: IO[bytes] | None = None  # on the record file, as long as it is written
        prefix.parent.mkdir(parents=True, exist_ok=True)
        _take_over(prefix)

    def add(self, entry: Entry) -> None:
        """Writes one entry, and finishes the pair when it is large or old enough."""
        self.finish(only_due=True)
        if self._writer is None:
            self._begin()
        self._writer.write(entry.record)
        self._writer.flush()  # what is counted as written must not stand in a buffer
        self._rows.extend(entry.rows)
        self._entries += 1
        self._bytes += len(entry.record) + _HEADER.size + _FOOTER_BYTES
        if self._bytes >= self._rotation.max_bytes:
            self.finish(only_due=False)

    def finish(self, *, only_due: bool) -> None:
        """Closes and renames the pair.

        Args:
            only_due: only if it is old enough.
        """
        if self._writer is None or (only_due and time.monotonic() - self._begun_s < self._rotation.max_s):
            return
        self._writer.close()
        _write_table(self._rows, self._path(TABLE, is_open=True))
        for suffix in (TABLE, RECORDS):  # a table without its records would be taken for one that is not whole
            self._path(suffix, is_open=True).rename(self._path(suffix, is_open=False))
        self._writer, self._rows, self._entries = None, [], 0
        self._unlock()

    def abandon(self) -> int:
        """Lets go of the open pair after an error; whole records of it are taken over by the next start.

        Returns:
            How many entries had been written to it.
        """
        writer, self._writer = self._writer, None
        lost, self._entries, self._rows = self._entries, 0, []
        if writer is not None:
            with contextlib.suppress(Exception):
                writer.close()
            with contextlib.suppress(OSError):
                self._path(TABLE, is_open=True).unlink(missing_ok=True)
        self._unlock()
        return lost

    def _begin(self) -> None:
        import tensorflow as tf  # the server has it already

        self._number += 1
        self._name = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{self._token}-{self._number}"
        path = self._path(RECORDS, is_open=True)
        self._lock = path.open("xb")
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._writer = tf.io.TFRecordWriter(str(path))
        self._bytes, self._begun_s = 0, time.monotonic()

    def _unlock(self) -> None:
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.close()

    def _path(self, suffix: str, *, is_open: bool) -> Path:
        return self._prefix.with_name(f"{self._prefix.name}-{self._name}{suffix}{_OPEN if is_open else ''}")


def read_requests(folder: Path | str, corrections: pa.Table | None = None) -> pa.Table:
    """Reads the tables of a request log.

    Args:
        folder: where they lie; files that are still written are left out.
        corrections: true labels, with the columns `id`, `label` and, where a request had several items, `row`.

    Returns:
        A line per item, in the order of time, with the columns of `log_entries.schema()`. With corrections, also
        `true_label`, null where there is none.

    Raises:
        FileNotFoundError: the folder holds no table.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    paths = sorted(Path(folder).glob(f"*{TABLE}"))
    if not paths:
        raise FileNotFoundError(
            f"a request log must hold *{TABLE} files, but {folder} has none. Start the server with "
            "--request_log_dir, and wait until it finishes a file or stop it."
        )
    table = pa.concat_tables([pq.read_table(path, schema=log_entries.schema()) for path in paths]).sort_by("time_utc")
    return table if corrections is None else join_corrections(table, corrections)


def join_corrections(requests: pa.Table, corrections: pa.Table) -> pa.Table:
    """Adds the column `true_label` to logged requests, by `id` and, where the corrections have it, `row`.

    Raises:
        ValueError: the corrections lack a column, or name an item twice.
    """
    import pyarrow as pa

    keys = ["id", "row"] if "row" in corrections.column_names else ["id"]
    lacking = [name for name in (*keys, "label") if name not in corrections.column_names]
    if lacking:
        raise ValueError(
            f"corrections must have the columns id and label, and row where a request had several items; missing: "
            f"{', '.join(lacking)}; found: {', '.join(corrections.column_names)}."
        )
    chosen = corrections.select([*keys, "label"]).rename_columns([*keys, "true_label"])
    chosen = chosen.set_column(0, "id", chosen["id"].cast(pa.string()))
    if "row" in keys:
        chosen = chosen.set_column(1, "row", chosen["row"].cast(pa.int32()))
    if chosen.group_by(keys).aggregate([]).num_rows != chosen.num_rows:
        raise ValueError(
            f"corrections must name an item once, by {' and '.join(keys)}; some are named twice. Keep one."
        )
    return requests.join(chosen, keys=keys, join_type="left outer").sort_by(
        [("time_utc", "ascending"), ("row", "ascending")]
    )


def _write_table(rows: list[dict[str, Any]], path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(rows, schema=log_entries.schema()), path, compression="zstd")


def _take_over(prefix: Path) -> None:
    """Finishes the record files of servers that were killed: whole records stay, a torn one is cut off."""
    for path in sorted(prefix.parent.glob(f"{glob.escape(prefix.name)}-*{RECORDS}{_OPEN}")):
        if not _OWN_NAME.fullmatch(path.name.removeprefix(f"{prefix.name}-")):
            continue  # of a prefix that begins as this one does
        with contextlib.suppress(OSError), path.open("rb") as file:  # gone, or locked by the server that writes it
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            finished = path.with_suffix("")
            finished.with_suffix(f"{TABLE}{_OPEN}").unlink(missing_ok=True)
            if whole := _whole_bytes(path):
                os.truncate(path, whole)
                path.rename(finished)
            else:
                path.unlink()


def _whole_bytes(path: Path) -> int:
    size, at = path.stat().st_size, 0
    with path.open("rb") as file:
        while header := file.read(_HEADER.size):
            end = (
                at + _HEADER.size + _HEADER.unpack(header)[0] + _FOOTER_BYTES
                if len(header) == _HEADER.size
                else size + 1
            )
            if end > size:
                break
            at = end
            file.seek(at)
    return at
