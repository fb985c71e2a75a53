from __future__ import annotations

import re
import shutil

import pytest

from bootstrap import locks


@pytest.fixture
def folder(project):
    return project / "requirements"


def blocks(text: str) -> list[str]:
    """The requirements of a lock file, each with its continuation lines."""
    body = "\n".join(line for line in text.splitlines() if not line.strip().startswith("#"))
    return [block for block in re.split(r"\n(?=\S)", body) if block.strip()]


@pytest.mark.parametrize("name", locks.NAMES)
def test_each_requirement_is_exact_and_has_hashes(folder, name):
    found = blocks((folder / f"{name}.lock").read_text())
    assert found
    assert [block for block in found if not re.match(r"\S+==\S+", block) or "--hash=sha256:" not in block] == []


@pytest.mark.parametrize("name", locks.NAMES)
def test_no_lock_file_names_a_host(folder, name):
    text = (folder / f"{name}.lock").read_text()
    assert re.findall(r"https?:|//|@ |index|find-links", text) == []


@pytest.mark.parametrize("name", locks.NAMES)
def test_each_lock_file_was_made_from_the_in_files_as_they_are(folder, name):
    assert locks.is_current(folder, name), f"requirements/{name}.in has changed; run 'make lock'"


def test_a_changed_in_file_is_noticed_in_all_that_follow_from_it(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "requirements")
    path = tmp_path / "requirements" / "pipeline.in"
    path.write_text(path.read_text() + "numpy\n")
    stale = [name for name in locks.NAMES if not locks.is_current(tmp_path / "requirements", name)]
    assert stale == ["pipeline", "develop"]  # serving follows pipeline.lock, which is not made again yet


def versions(text: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([A-Za-z0-9._-]+)(?:\[\S+])?==(\S+)", text, flags=re.MULTILINE):
        found.setdefault(name, set()).add(version)
    return found


@pytest.mark.parametrize("name", ["serving", "develop"])
def test_shared_packages_have_the_pipeline_s_versions(folder, name):
    pipeline = versions((folder / "pipeline.lock").read_text())
    other = versions((folder / f"{name}.lock").read_text())
    assert {key: value for key, value in other.items() if key in pipeline and value - pipeline[key]} == {}


def test_what_serves_needs_neither_beam_nor_tfx(folder):
    found = versions((folder / "serving.lock").read_text())
    assert "tensorflow" in found
    assert {"apache-beam", "tfx", "tfx-bsl", "ml-metadata", "kfp"} & set(found) == set()


def test_the_overriding_farmhash_gives_the_fingerprints_of_the_one_that_tfdv_asks_for():
    farmhash = pytest.importorskip("farmhash")
    assert farmhash.fingerprint32("brightness_band") == 2_368_851_589  # computed with pyfarmhash 0.3.2
    assert farmhash.fingerprint64("brightness_band") == 18_260_370_187_972_238_483
    assert farmhash.fingerprint64("x" * 200) == 13_938_988_265_971_950_527


def test_tfx_is_the_version_that_was_agreed(folder):
    assert versions((folder / "pipeline.lock").read_text())["tfx"] == {"1.21.0"}
