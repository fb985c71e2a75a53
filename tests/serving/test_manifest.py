"""The manifest finds every way in which a folder can differ from what was listed."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving import manifest, model_json
from serving.manifest import ManifestError
from serving.model_json import ModelJson


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "variables").mkdir()
    (tmp_path / "saved_model.pb").write_bytes(b"graph")
    (tmp_path / "variables" / "variables.index").write_bytes(b"index")
    return tmp_path


def about(files: dict[str, str]) -> ModelJson:
    return ModelJson(
        model="satellite-landcover",
        version=7,
        application="satellite/landcover",
        classes=("forest", "river"),
        configuration={"version": 1},
        metrics={"accuracy": {"value": 0.9, "low": 0.88, "high": 0.92}},
        verdict={"verdict": "blessed", "sentence": "Good."},
        data={"fingerprint": "abc"},
        files=files,
    )


def test_digests_are_sha256_by_relative_path(folder: Path) -> None:
    expected = {
        "saved_model.pb": hashlib.sha256(b"graph").hexdigest(),
        "variables/variables.index": hashlib.sha256(b"index").hexdigest(),
    }
    assert manifest.digests(folder) == expected


def test_a_file_larger_than_one_chunk_has_the_digest_of_its_whole(tmp_path: Path) -> None:
    content = bytes(range(256)) * (manifest.CHUNK_BYTES // 128)
    (tmp_path / "large").write_bytes(content)
    assert manifest.sha256_of(tmp_path / "large") == hashlib.sha256(content).hexdigest()


def test_every_missing_changed_and_extra_file_is_named(folder: Path) -> None:
    before = manifest.digests(folder) | {"assets/vocabulary.txt": "0" * 64}
    (folder / "saved_model.pb").write_bytes(b"other")
    (folder / "notes.txt").write_text("extra")
    with pytest.raises(ManifestError) as caught:
        manifest.verify(folder, before)
    text = str(caught.value)
    assert "assets/vocabulary.txt is missing" in text
    assert "saved_model.pb has changed" in text
    assert "notes.txt is not in the manifest" in text
    assert "push the model again" in text


def test_a_link_is_refused(folder: Path) -> None:
    (folder / "link").symlink_to(folder / "saved_model.pb")
    with pytest.raises(ManifestError, match=r"link is a link\. Copy what it points to"):
        manifest.digests(folder)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(contents=st.lists(st.binary(max_size=40), min_size=1, max_size=5), flipped=st.data())
def test_a_flipped_byte_anywhere_is_noticed(tmp_path: Path, contents: list[bytes], flipped: st.DataObject) -> None:
    folder = tmp_path / "model"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for place, content in enumerate(contents):
        (folder / f"file{place}").write_bytes(content)
    before = manifest.digests(folder)
    manifest.verify(folder, before)
    victim = flipped.draw(st.integers(0, len(contents) - 1))
    (folder / f"file{victim}").write_bytes(
        contents[victim][:-1] + bytes([contents[victim][-1] ^ 1]) if contents[victim] else b"x"
    )
    assert [text.split()[0] for text in manifest.differences(folder, before)] == [f"file{victim}"]


def test_model_json_comes_back_as_it_was_written(folder: Path) -> None:
    written = about(manifest.digests(folder))
    written.write(folder)
    assert model_json.read(folder) == written
    assert model_json.verify(folder).version == 7
    raw = json.loads((folder / "model.json").read_text())
    assert raw["format"] == 1
    assert raw["created_utc"].endswith("Z")
    assert set(raw["files"]) == {"saved_model.pb", "variables/variables.index"}


def test_the_documented_sha256sum_command_accepts_a_sound_version_and_refuses_a_changed_one(folder: Path) -> None:
    about(manifest.digests(folder)).write(folder)
    page = (Path(__file__).parents[2] / "docs" / "model-folder.md").read_text(encoding="utf-8")
    command = next(line for line in page.splitlines() if "sha256sum --check" in line and line.startswith("python3"))
    assert subprocess.run(command, shell=True, cwd=folder, capture_output=True, check=False).returncode == 0
    (folder / "saved_model.pb").write_bytes(b"other")
    done = subprocess.run(command, shell=True, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "saved_model.pb: FAILED" in done.stdout


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, "must hold model.json"),
        ("{", "must be JSON"),
        ("[]", r"must be 1, got \[\]"),
        ('{"format": 9}', "must be 1, got 9"),
        ('{"format": 1}', "must have the fields that a push writes"),
    ],
)
def test_an_unusable_model_json_is_explained(tmp_path: Path, content: str | None, text: str) -> None:
    if content is not None:
        (tmp_path / "model.json").write_text(content)
    with pytest.raises(ManifestError, match=text):
        model_json.read(tmp_path)
