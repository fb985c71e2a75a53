from __future__ import annotations

import datetime
import errno
import os
import pathlib
import subprocess
import sys

import pytest

from applications.errors import OutputError
from pipeline import output_folder
from pipeline.output_folder import OutputFolder


def test_a_folder_is_made_and_can_be_written_to(tmp_path):
    folder = output_folder.prepare(tmp_path / "a/b")
    assert folder.path.is_dir()
    assert list(folder.path.iterdir()) == []


def test_a_file_is_no_output_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"must be a folder, but .* is a file. Give another with --out"):
        output_folder.prepare(tmp_path / "file")


@pytest.mark.parametrize("name", ["a[1]", "a\\b", "a*", "a?"])
def test_a_path_that_tensorflow_reads_as_a_pattern_is_refused(tmp_path, name):
    with pytest.raises(OutputError, match=r"none of \* \? \[ .*, which TensorFlow reads as wildcards, got .*--out DIR"):
        output_folder.prepare(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_read_only_folder_is_refused(tmp_path, monkeypatch):
    def refuse(*_args, **_more):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(output_folder.tempfile, "TemporaryFile", refuse)
    with pytest.raises(OutputError, match=r"must be writable, but .* is not \(Read-only file system\)"):
        output_folder.prepare(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_folder_without_permission_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="Permission denied"):
        output_folder.prepare(tmp_path)


def test_a_nearly_full_disk_is_refused_before_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr(output_folder, "free_mib", lambda _path: 120)
    with pytest.raises(OutputError, match=r"needs at least 500 MiB free, but the disk of .* has 120 MiB"):
        output_folder.prepare(tmp_path)


def test_a_disk_that_fills_up_later_is_explained():
    text = str(output_folder.explain_os_error(OSError(errno.ENOSPC, "x"), pathlib.Path("out")))
    assert text.startswith("no space left on the disk of out.")
    assert "give the same command again" in text


def test_run_ids_are_utc_and_never_taken_twice(tmp_path):
    folder = OutputFolder(tmp_path)
    east = datetime.timezone(datetime.timedelta(hours=2))
    now = datetime.datetime(2026, 11, 21, 5, 45, tzinfo=east)
    ids = []
    for _ in range(3):
        ids.append(output_folder.new_run_id(folder, now))
        folder.run(ids[-1]).mkdir(parents=True)
    assert ids == ["20261121T034500Z", "20261121T034500Z-2", "20261121T034500Z-3"]


def test_a_second_run_is_told_who_holds_the_folder(tmp_path):
    folder = OutputFolder(tmp_path)
    with output_folder.hold(folder) as lock:
        lock.note("20261121T034500Z")
        assert output_folder.is_held(folder)
        with (
            pytest.raises(OutputError, match=f"in use by process {os.getpid()} on .*, started .*Z. Wait for it"),
            output_folder.hold(folder),
        ):
            pass
        assert output_folder.holder(folder)["run_id"] == "20261121T034500Z"
    assert not output_folder.is_held(folder)
    assert output_folder.holder(folder) == {}


def test_the_lock_stays_with_a_process_that_inherited_it(tmp_path):
    folder = OutputFolder(tmp_path)
    with output_folder.hold(folder) as lock:
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=(lock.fileno(),))
    assert output_folder.is_held(folder)
    child.communicate(b"\n")
    assert not output_folder.is_held(folder)
