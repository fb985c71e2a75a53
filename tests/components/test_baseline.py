"""The baseline is the newest pushed version that is still what was pushed."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from tfx.types import standard_artifacts

from components import baseline
from serving import manifest
from serving.model_json import ModelJson
from serving.versions import ModelFolder


@pytest.fixture
def folder(tmp_path: Path) -> ModelFolder:
    return ModelFolder(destination=tmp_path / "serving", model="satellite-landcover")


def push(folder: ModelFolder, content: str, made_from: str = "") -> int:
    def write(incoming: Path, version: int) -> None:
        (incoming / "variables").mkdir()
        (incoming / "saved_model.pb").write_text(content)
        (incoming / "variables" / "variables.index").write_text(content)
        ModelJson(
            model=folder.model,
            version=version,
            application="satellite/landcover",
            classes=("forest", "river"),
            configuration={},
            metrics={},
            verdict={},
            data={},
            files=manifest.digests(incoming),
            made_from=made_from,
        ).write(incoming)

    return folder.publish(write)


def absent(artifact: Path) -> dict[str, object]:
    assert [path.name for path in artifact.iterdir()] == ["absent.json"]
    return json.loads((artifact / "absent.json").read_text())


def test_the_newest_version_is_copied_where_tfx_looks_for_a_model(folder: ModelFolder, tmp_path: Path) -> None:
    push(folder, "old")
    newest = push(folder, "new")
    assert baseline.copy_newest(folder, tmp_path / "artifact") == newest
    model = tmp_path / "artifact" / "Format-Serving"
    assert (model / "saved_model.pb").read_text() == "new"
    assert (model / "variables" / "variables.index").read_text() == "new"
    assert json.loads((model / "model.json").read_text())["version"] == newest


def test_without_any_version_the_artifact_says_that_it_is_absent(folder: ModelFolder, tmp_path: Path) -> None:
    assert baseline.copy_newest(folder, tmp_path / "artifact") is None
    found = absent(tmp_path / "artifact")
    assert found["reason"] == f"no version of satellite-landcover in {folder.destination} to compare with"
    assert found["broken"] == []


def test_a_broken_newest_version_gives_way_to_the_next_older_one_with_a_warning(
    folder: ModelFolder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    older = push(folder, "old")
    newest = push(folder, "new")
    (folder.version_path(newest) / "variables" / "variables.index").write_text("bad")
    with caplog.at_level(logging.WARNING):
        assert baseline.copy_newest(folder, tmp_path / "artifact") == older
    assert (tmp_path / "artifact" / "Format-Serving" / "saved_model.pb").read_text() == "old"
    assert f"version {newest} of satellite-landcover cannot be the baseline" in caplog.text
    assert "variables/variables.index has changed" in caplog.text


@pytest.mark.parametrize("damage", ["unlink model.json", "unlink saved_model.pb", "add a file"])
def test_when_every_version_is_broken_the_baseline_is_absent(folder: ModelFolder, tmp_path: Path, damage: str) -> None:
    version = push(folder, "only")
    if damage == "add a file":
        (folder.version_path(version) / "extra.txt").write_text("x")
    else:
        (folder.version_path(version) / damage.split()[1]).unlink()
    assert baseline.copy_newest(folder, tmp_path / "artifact") is None
    assert absent(tmp_path / "artifact")["broken"] == [version]


def test_a_version_made_from_the_same_things_is_the_candidate_itself_and_is_passed_over(
    folder: ModelFolder, tmp_path: Path
) -> None:
    older = push(folder, "old", made_from="first")
    push(folder, "new", made_from="second")
    assert baseline.copy_newest(folder, tmp_path / "artifact", made_from="second") == older


def test_the_component_writes_the_version_as_a_property(folder: ModelFolder, tmp_path: Path) -> None:
    version = push(folder, "new")
    model = standard_artifacts.Model()
    model.uri = str(tmp_path / "artifact")
    baseline.Baseline.test_call(model=model, destination=str(folder.destination), model_name=folder.model, state="1")
    assert model.get_string_custom_property("version") == str(version)


def test_the_component_without_a_version_writes_an_empty_property(folder: ModelFolder, tmp_path: Path) -> None:
    model = standard_artifacts.Model()
    model.uri = str(tmp_path / "artifact")
    node = baseline.Baseline(destination=str(folder.destination), model_name=folder.model, state="1", code_version="2")
    executor = node.executor_spec.executor_class()
    executor.Do({}, {"model": [model]}, dict(node.exec_properties))
    assert model.get_string_custom_property("version") == ""
    assert absent(tmp_path / "artifact")
