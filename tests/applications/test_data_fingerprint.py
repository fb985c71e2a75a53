from __future__ import annotations

import os

import pytest

from applications.data_fingerprint import fingerprint, fingerprint_of
from applications.errors import DataPathError


@pytest.fixture
def data(tmp_path):
    for name in ("b/2.jpg", "a/1.jpg", "a/deep/3.jpg"):
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"12345678")
        os.utime(path, ns=(10**18, 10**18))
    return tmp_path / "data"


def test_the_same_files_elsewhere_have_the_same_fingerprint(data, tmp_path):
    before = fingerprint(str(data))
    data.rename(tmp_path / "moved")
    assert fingerprint(str(tmp_path / "moved")) == before
    assert (before.files, before.size_mib) == (3, 24 / 2**20)


def test_a_changed_size_time_or_name_changes_it(data):
    seen = {fingerprint(str(data)).digest}
    (data / "a/1.jpg").write_bytes(b"123")
    os.utime(data / "a/1.jpg", ns=(10**18, 10**18))
    seen.add(fingerprint(str(data)).digest)
    os.utime(data / "b/2.jpg", ns=(10**18, 10**18 + 1))
    seen.add(fingerprint(str(data)).digest)
    (data / "b/2.jpg").rename(data / "b/4.jpg")
    seen.add(fingerprint(str(data)).digest)
    assert len(seen) == 4


def test_hidden_files_and_folders_do_not_count(data):
    before = fingerprint(str(data))
    (data / ".DS_Store").write_text("x")
    (data / ".git").mkdir()
    (data / ".git/config").write_text("x")
    assert fingerprint(str(data)) == before


def test_links_are_followed_but_not_in_circles(data, tmp_path):
    (data / "loop").symlink_to(data)
    (data / "gone").symlink_to(tmp_path / "nothing")
    assert fingerprint(str(data)).files == 4


def test_a_single_file_has_a_fingerprint_and_nothing_has_none(data, tmp_path):
    assert fingerprint(str(data / "a/1.jpg")).files == 1
    with pytest.raises(DataPathError, match=r"there is no .*nothing"):
        fingerprint(str(tmp_path / "nothing"))


def test_several_folders_are_as_if_each_lay_in_a_folder_of_its_name(data):
    assert fingerprint_of({"": str(data)}) == fingerprint(str(data))
    assert fingerprint_of({"a": str(data / "a"), "b": str(data / "b")}) == fingerprint(str(data))
    assert fingerprint_of({"1": str(data / "a"), "2": str(data / "b")}).digest != fingerprint(str(data)).digest
