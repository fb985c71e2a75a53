"""What copies models from a bucket, with a folder for a bucket and rclone, or a stand-in of four lines for it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess

import pytest

STAND_IN = """#!/bin/sh
case $1 in
    lsf) ls -p "$3" | grep '/$' ;;
    copy) mkdir -p "$4" && cp -R "$3/." "$4" ;;
esac
"""


@pytest.fixture(params=["stand-in", "rclone"])
def fetch(request, project, tmp_path):
    """Runs the script once; returns its exit status and what it said."""
    path = os.environ["PATH"]
    if request.param == "stand-in":
        program = tmp_path / "bin" / "rclone"
        program.parent.mkdir()
        program.write_text(STAND_IN)
        program.chmod(0o755)
        path = f"{program.parent}:{path}"
    elif shutil.which("rclone") is None:
        pytest.skip("rclone is not there; apt-get install rclone")
    script = project / "kubeflow" / "serving" / "components" / "s3" / "fetch-models.sh"
    environment = {
        "PATH": path,
        "HOME": str(tmp_path),
        "MODELS_SOURCE": str(tmp_path / "bucket"),
        "MODELS_FOLDER": str(tmp_path / "models" / "m"),
        "MODELS_EVERY_S": "1",
    }

    def run(how="once", timeout_s=60):
        return subprocess.run(
            ["sh", str(script), *([how] if how else [])],
            env=environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    return run


@pytest.fixture
def push(tmp_path):
    """Puts a version into the bucket, as a push makes it."""

    def make(version, text="weights"):
        folder = tmp_path / "bucket" / str(version)
        files = {"saved_model.pb": f"graph {version}", "variables/variables.index": text}
        for name, content in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(content)
        digests = {name: hashlib.sha256(content.encode()).hexdigest() for name, content in files.items()}
        described = {"format": 1, "made_from": "0" * 64, "files": digests, "data": {"fingerprint": "1" * 64}}
        (folder / "model.json").write_text(json.dumps(described, indent=2) + "\n")
        return folder

    return make


def served(tmp_path):
    return sorted(os.listdir(tmp_path / "models" / "m"))


def test_the_newest_versions_are_copied_as_they_are(fetch, push, tmp_path):
    for version in (9, 10, 11):
        push(version)
    (tmp_path / "bucket" / ".incoming-12-7").mkdir()
    done = fetch()
    assert done.returncode == 0, done.stderr
    assert served(tmp_path) == ["10", "11"]  # by number: 9 is older than 10
    copied = tmp_path / "models" / "m" / "11"
    assert (copied / "saved_model.pb").read_text() == "graph 11"
    assert (copied / "variables" / "variables.index").read_text() == "weights"
    assert "version 11 is there" in done.stdout


@pytest.mark.parametrize("damage", ["changed", "missing", "no manifest"])
def test_a_version_that_is_not_whole_is_not_served(fetch, push, tmp_path, damage):
    push(1)
    broken = push(2)
    if damage == "changed":
        (broken / "saved_model.pb").write_text("half of")
    elif damage == "missing":
        (broken / "variables" / "variables.index").unlink()
    else:
        (broken / "model.json").unlink()
    done = fetch()
    assert done.returncode == 0, done.stderr
    assert served(tmp_path) == ["1"]
    assert "version 2 is not whole" in done.stdout
    push(2)
    fetch()
    assert served(tmp_path) == ["1", "2"]


def test_older_versions_leave_and_what_is_there_is_not_copied_again(fetch, push, tmp_path):
    push(1)
    push(2)
    fetch()
    (tmp_path / "models" / "m" / "2" / "mark").write_text("")
    push(3)
    done = fetch()
    assert served(tmp_path) == ["2", "3"]
    assert (tmp_path / "models" / "m" / "2" / "mark").is_file()
    assert "version 1 was removed" in done.stdout


def test_it_waits_for_the_first_version(fetch, tmp_path):
    (tmp_path / "bucket").mkdir()
    with pytest.raises(subprocess.TimeoutExpired):
        fetch(timeout_s=3)
    assert served(tmp_path) == []


def test_without_a_word_it_says_how_it_is_used(fetch):
    done = fetch(how="")
    assert done.returncode == 2
    assert "usage: fetch-models.sh once | forever" in done.stderr
