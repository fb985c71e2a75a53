"""The baseline is the newest pushed version that is still what was pushed."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from tfx.types import standard_artifacts

from applications.errors import StageError
from applications.settings import SpanSettings
from components import DataWindow, baseline
from components.window import look
from serving import considered, made_from, manifest
from serving.considered import Considered
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


CONFIGURATION = json.dumps({"data": "chips", "train": {"epochs": 3}, "local": {"stages_at_once": 2}})
MADE_WITH = json.dumps({"code_version": "c0de", "weights_digest": ""})


@pytest.fixture
def window(tmp_path: Path) -> DataWindow:
    (tmp_path / "chips").mkdir()
    (tmp_path / "chips" / "a.png").write_bytes(b"1")
    made = DataWindow()
    made.uri = str(tmp_path / "window")
    look(str(tmp_path / "chips"), SpanSettings()).write(tmp_path / "window")
    return made


def run(folder: ModelFolder, window: DataWindow, **given: object) -> standard_artifacts.Model:
    model = standard_artifacts.Model()
    model.uri = str(folder.destination.parent / "artifact")
    told = {"destination": str(folder.destination), "model_name": folder.model, "state": "1", **given}
    baseline.Baseline.test_call(window=window, model=model, **told)
    return model


def asked(folder: ModelFolder, window: DataWindow, **given: object) -> int:
    told = {"configuration": CONFIGURATION, "made_with": MADE_WITH, **given}
    return run(folder, window, **told).get_int_custom_property("is_new")


def digest(window: DataWindow) -> str:
    data = json.loads(Path(window.uri, "window.json").read_text())["fingerprint"]
    return made_from.digest(json.loads(CONFIGURATION), data, "c0de", "")


def test_the_component_writes_the_version_as_a_property(folder: ModelFolder, window: DataWindow) -> None:
    version = push(folder, "new")
    assert run(folder, window).get_string_custom_property("version") == str(version)


def test_the_component_without_a_version_writes_an_empty_property(folder: ModelFolder, window: DataWindow) -> None:
    model = run(folder, window)
    assert model.get_string_custom_property("version") == ""
    assert absent(Path(model.uri))


def test_where_nothing_was_considered_yet_there_is_something_new(folder: ModelFolder, window: DataWindow) -> None:
    assert asked(folder, window) == 1


def test_a_model_that_was_considered_already_is_nothing_new_and_that_is_said(
    folder: ModelFolder, window: DataWindow, caplog: pytest.LogCaptureFixture
) -> None:
    was = Considered(
        made_from=digest(window), verdict="not blessed", pushed_version=0, ended_utc="2026-11-20T02:00:00Z"
    )
    was.write(folder)
    with caplog.at_level(logging.INFO):
        assert asked(folder, window) == 0
        assert asked(folder, window, run_unchanged=True) == 1
    said = "Nothing changed since 2026-11-20T02:00:00Z, when the model was not blessed: nothing is trained."
    assert said in caplog.text
    assert "run_unchanged is true, so it is trained again." in caplog.text


def test_other_data_settings_or_code_are_something_new(folder: ModelFolder, window: DataWindow, tmp_path: Path) -> None:
    Considered(made_from=digest(window), verdict="blessed", pushed_version=0).write(folder)
    assert asked(folder, window) == 0
    assert asked(folder, window, configuration=CONFIGURATION.replace("3", "4")) == 1
    assert asked(folder, window, made_with=MADE_WITH.replace("c0de", "c0df")) == 1
    (tmp_path / "chips" / "b.png").write_bytes(b"2")
    look(str(tmp_path / "chips"), SpanSettings()).write(tmp_path / "window")
    assert asked(folder, window) == 1


def test_how_the_machine_is_used_is_nothing_new(folder: ModelFolder, window: DataWindow) -> None:
    Considered(made_from=digest(window), verdict="blessed", pushed_version=0).write(folder)
    assert asked(folder, window, configuration=CONFIGURATION.replace('at_once": 2', 'at_once": 7')) == 0


def test_a_pushed_version_that_somebody_removed_is_made_again(folder: ModelFolder, window: DataWindow) -> None:
    version = push(folder, "new")
    Considered(made_from=digest(window), verdict="blessed", pushed_version=version).write(folder)
    assert asked(folder, window) == 0
    folder.version_path(version).rename(folder.destination / "elsewhere")
    assert asked(folder, window) == 1


def test_a_refused_model_is_made_again_where_the_version_it_was_held_against_is_gone(
    folder: ModelFolder, window: DataWindow
) -> None:
    push(folder, "old")
    newest = push(folder, "flattered")
    Considered(made_from=digest(window), verdict="not blessed", pushed_version=0).write(folder)
    assert asked(folder, window) == 0
    folder.version_path(newest).rename(folder.destination / "elsewhere")
    assert asked(folder, window) == 1


def test_a_note_that_does_not_say_the_newest_version_still_counts(folder: ModelFolder, window: DataWindow) -> None:
    Considered(made_from=digest(window), verdict="not blessed", pushed_version=0).write(folder)
    note = folder.path / ".considered.json"
    told = json.loads(note.read_text())
    assert told.pop("newest_version") == 0
    note.write_text(json.dumps(told))
    assert asked(folder, window) == 0


@pytest.mark.parametrize(
    ("verdict", "told"),
    [
        ("blessed", "when the model was blessed, but failed the serving check: nothing is trained."),
        ("cannot tell", "when it could not be told whether the model is good enough: nothing is trained."),
    ],
)
def test_why_a_model_was_not_pushed_is_told_in_words(
    folder: ModelFolder, window: DataWindow, caplog: pytest.LogCaptureFixture, verdict: str, told: str
) -> None:
    Considered(made_from=digest(window), verdict=verdict, pushed_version=0).write(folder)
    with caplog.at_level(logging.INFO):
        assert asked(folder, window) == 0
    assert told in caplog.text


def test_a_uri_to_push_to_is_refused_before_anything_is_trained(folder: ModelFolder, window: DataWindow) -> None:
    with pytest.raises(StageError, match=r"must be a folder on a volume .*, got 's3://b/serving'.*push_destination"):
        run(folder, window, destination="s3://b/serving")


def test_the_versions_of_the_candidate_itself_are_passed_over_also_where_the_stage_finds_out_which(
    folder: ModelFolder, window: DataWindow
) -> None:
    older = push(folder, "old", made_from="first")
    push(folder, "new", made_from=digest(window))
    model = run(folder, window, configuration=CONFIGURATION, made_with=MADE_WITH)
    assert model.get_string_custom_property("version") == str(older)


def test_a_note_that_cannot_be_read_is_none(folder: ModelFolder, caplog: pytest.LogCaptureFixture) -> None:
    assert considered.read(folder) is None
    folder.path.mkdir(parents=True)
    for text in ("{", "[]", '{"made_from": "m"}'):
        (folder.path / ".considered.json").write_text(text)
        assert considered.read(folder) is None
    assert caplog.text.count("is passed over") == 3
