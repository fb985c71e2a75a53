"""Versions appear whole and leave whole, whatever happens in between."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from applications.errors import OutputError
from serving import versions
from serving.versions import ModelFolder

FILES = ("saved_model.pb", "variables/variables.index", "model.json")


@pytest.fixture
def folder(tmp_path: Path) -> ModelFolder:
    return ModelFolder(destination=tmp_path / "serving", model="satellite-landcover")


def write(incoming: Path, version: int) -> None:
    (incoming / "variables").mkdir()
    for name in FILES:
        (incoming / name).write_text(str(version))


def test_only_folders_with_a_number_for_a_name_are_versions(folder: ModelFolder) -> None:
    for name in ("3", "20", "100", ".incoming-7-1", "007", "x", "-4", "1.5"):
        (folder.path / name).mkdir(parents=True)
    (folder.path / "200").write_text("a file")
    assert folder.versions() == [3, 20, 100]
    assert folder.newest() == 100


def test_a_missing_destination_has_no_versions(folder: ModelFolder) -> None:
    assert folder.versions() == []
    assert folder.newest() is None
    assert folder.leftovers() == []


def test_the_next_version_is_the_time_in_utc_seconds(folder: ModelFolder) -> None:
    assert folder.next_version(datetime(2026, 11, 21, 3, 45, tzinfo=UTC)) == 1795232700


@given(newest=st.integers(1, 4_000_000_000), now=st.integers(0, 4_000_000_000))
def test_the_next_version_is_above_every_other_even_if_the_clock_went_back(newest: int, now: int) -> None:
    class Fake(ModelFolder):
        def versions(self) -> list[int]:
            return [newest]

    chosen = Fake(destination=Path("x"), model="m").next_version(datetime.fromtimestamp(now, UTC))
    assert chosen > newest
    assert chosen in (now, newest + 1)


def test_a_published_version_holds_what_was_written_and_nothing_is_left_beside_it(folder: ModelFolder) -> None:
    version = folder.publish(write)
    assert [path.name for path in folder.path.iterdir()] == [str(version)]
    assert (folder.version_path(version) / "variables" / "variables.index").read_text() == str(version)


def test_a_reader_never_sees_an_incomplete_version_during_fifty_publishes(folder: ModelFolder) -> None:
    incomplete: list[str] = []
    seen: set[int] = set()
    done = threading.Event()

    def poll() -> None:
        while not done.is_set():
            for version in folder.versions():
                missing = [name for name in FILES if not (folder.version_path(version) / name).exists()]
                if missing and version in folder.versions():  # a version that was removed in between may lack files
                    incomplete.append(f"{version} lacks {missing}")
                seen.add(version)

    reader = threading.Thread(target=poll)
    reader.start()
    published = []
    for _ in range(50):
        published.append(folder.publish(write))
        folder.remove_older(3)
    done.set()
    reader.join()
    assert incomplete == []
    assert seen <= set(published)
    assert len(seen) >= 10
    assert published == sorted(set(published))
    assert folder.versions() == published[-3:]


def test_two_processes_that_publish_at_once_get_different_versions(folder: ModelFolder) -> None:
    def write_late(incoming: Path, version: int) -> None:
        write(incoming, version)
        if not folder.versions():  # another process is quicker
            folder.version_path(version).mkdir()
            write(folder.version_path(version), 0)

    version = folder.publish(write_late)
    assert len(folder.versions()) == 2
    contents = [(folder.version_path(each) / "model.json").read_text() for each in folder.versions()]
    assert contents == ["0", str(version)]


def test_an_error_while_writing_leaves_nothing_behind(folder: ModelFolder) -> None:
    def fail(incoming: Path, version: int) -> None:
        write(incoming, version)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        folder.publish(fail)
    assert list(folder.path.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (errno.ENOSPC, "its disk is full. Free some space, or set push.keep_versions"),
        (errno.EROFS, "its file system is read-only, or set push.destination to another folder"),
        (errno.EACCES, "it may not be written to. Change its permissions"),
    ],
)
def test_a_destination_that_cannot_be_written_to_is_explained(folder: ModelFolder, number: int, text: str) -> None:
    def fail(incoming: Path, version: int) -> None:
        raise OSError(number, os.strerror(number))

    with pytest.raises(OutputError, match=text) as caught:
        folder.publish(fail)
    assert str(folder.path) in str(caught.value)
    assert folder.versions() == []


def test_a_file_where_the_serving_folder_should_be_is_explained(folder: ModelFolder) -> None:
    folder.destination.write_text("a file")
    with pytest.raises(OutputError, match=r"is a file, not a folder|part of the path is a file"):
        folder.publish(write)


@pytest.mark.skipif(os.geteuid() == 0, reason="the administrator may write everywhere")
def test_a_read_only_destination_is_explained(folder: ModelFolder) -> None:
    folder.destination.mkdir()
    folder.destination.chmod(0o555)
    with pytest.raises(OutputError, match="it may not be written to"):
        folder.publish(write)


def test_zero_keeps_all_versions_and_two_keeps_the_newest_two(folder: ModelFolder) -> None:
    published = [folder.publish(write) for _ in range(4)]
    assert folder.remove_older(0) == []
    assert folder.remove_older(2) == published[:2]
    assert folder.versions() == published[2:]
    assert not list(folder.path.glob(".*"))


def test_leftovers_are_those_of_processes_that_have_ended(folder: ModelFolder) -> None:
    ended = subprocess.Popen([sys.executable, "-I", "-c", ""])
    ended.wait()
    for name in (f".incoming-5-{ended.pid}", f".incoming-6-{os.getpid()}", f".outgoing-4-{ended.pid}", ".other"):
        (folder.path / name).mkdir(parents=True)
    assert [path.name for path in folder.leftovers()] == [f".incoming-5-{ended.pid}", f".outgoing-4-{ended.pid}"]


def test_machines_that_publish_with_one_process_number_at_once_do_not_share_a_folder(
    folder: ModelFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ModelFolder, "next_version", lambda self: 7 if not self.versions() else 8)

    def as_another_machine(incoming: Path, version: int) -> None:
        write(incoming, version)
        with monkeypatch.context() as other:
            other.setattr(socket, "gethostname", lambda: "pod-b")
            if not folder.versions():
                assert folder.publish(write) == 7
        assert sorted(path.name for path in incoming.rglob("*.*")) == [
            "model.json",
            "saved_model.pb",
            "variables.index",
        ]

    monkeypatch.setattr(socket, "gethostname", lambda: "pod-a")
    assert folder.publish(as_another_machine) == 8
    assert folder.versions() == [7, 8]
    assert not list(folder.path.glob(".*"))


def test_leftovers_of_other_machines_are_left_to_them(folder: ModelFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = subprocess.Popen([sys.executable, "-I", "-c", ""])
    ended.wait()
    monkeypatch.setattr(socket, "gethostname", lambda: "pod-1/a")
    for host in ("pod-1_a", "pod-1", "pod-2"):
        (folder.path / f".incoming-5-{host}-{ended.pid}").mkdir(parents=True)
    (folder.path / f".outgoing-4-pod-1_a-{os.getpid()}").mkdir()
    assert [path.name for path in folder.leftovers()] == [f".incoming-5-pod-1_a-{ended.pid}"]


def test_a_version_that_another_machine_removes_first_is_no_error(
    folder: ModelFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = folder.publish(write), folder.publish(write)
    monkeypatch.setattr(ModelFolder, "versions", lambda self: [old - 1, old, new])
    assert folder.remove_older(1) == [old - 1, old]
    assert sorted(path.name for path in folder.path.iterdir()) == [str(new)]


def test_the_state_changes_with_every_push_and_removal_and_with_nothing_else(folder: ModelFolder) -> None:
    def state() -> str:
        return versions.state(str(folder.destination), folder.model)

    empty = state()
    folder.publish(write)
    one = state()
    folder.publish(write)
    two = state()
    assert len({empty, one, two}) == 3
    (folder.path / ".incoming-9-1").mkdir()
    assert state() == two
    folder.remove_older(1)
    assert state() not in (empty, one, two)


def test_state_needs_no_tensorflow() -> None:
    code = "import sys, serving.versions; sys.exit(any(name in sys.modules for name in ('tensorflow', 'tfx', 'numpy')))"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=False).returncode == 0
